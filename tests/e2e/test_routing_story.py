"""What routing is for, from end to end: a provider is added, its models are given to an agent, people rate what they got, and the
answer changes and says why. By the command and from Python it is the same answer.
"""

import json
from pathlib import Path
from typing import Any

from e2e.conftest import Run
from house import House

from analytics.routing import Lookup, RouteQuery

__all__ = ["Run"]

GATEWAY, AGENT, TENANT, TASK = "gateway", "writer", "acme", "summarization"
MINI, CODE = f"{GATEWAY}/aurora-mini", f"{GATEWAY}/aurora-code"
OF_THE_MOMENT = {"decision_id", "age_s"}  # no two answers share these


def both_answers(run: Run, house: House) -> dict[str, Any]:
    """The same question by the command and from Python; the answer, which is the same."""
    ran = run("route", "--task", TASK, "--agent", AGENT, "--tenant", TENANT, "--max-tier", "standard", "--json")
    with Lookup.open(house.home, watch=False) as lookup:
        answer = lookup.route(RouteQuery(task=TASK, agent=AGENT, tenant=TENANT, max_tier="standard")).to_dict()
    assert {**ran.json, **dict.fromkeys(OF_THE_MOMENT)} == {**answer, **dict.fromkeys(OF_THE_MOMENT)}
    assert ran.json["decision_id"] != answer["decision_id"]
    assert ran.code == (3 if answer["source"] == "none" else 0)
    found: dict[str, Any] = ran.json
    return found


def messages(model: str, count: int) -> list[dict[str, Any]]:
    """Live requests of the agent to a model, as its application reports them."""
    return [
        {"model": model, "task_type": TASK, "success": True, "latency_ms": 500, "agent_id": AGENT, "tenant_id": TENANT,
         "message_id": f"{model}#{number}"}
        for number in range(count)
    ]  # fmt: skip


def test_a_custom_providers_models_are_routed_to_and_feedback_changes_the_answer(
    run: Run, house: House, tmp_path: Path
) -> None:
    address = f"http://127.0.0.1:{house.simulated.port}/aurora/v1"
    added = run("providers", "add", GATEWAY, "--type", "custom", "--base-url", address, "--simulated", "--json")
    assert (added.code, added.json["provider_type"]) == (0, "custom")
    (synced,) = run("models", "sync", GATEWAY, "--json").lines
    assert synced["models_added"] == 3
    assert run("bench", "--provider", GATEWAY, "--model", CODE, "--workload", "short").code == 0
    assert run("score").code == 0

    before = both_answers(run, house)
    assert before["source"] == "none"
    assert before["rejected"] == {"agent": 3}
    assert any(f'No model is enabled for the agent "{AGENT}"' in reason for reason in before["reasons"])

    enabled = run(
        "agents", "enable", AGENT, "--tenant", TENANT, "--provider", GATEWAY, "--capability", "text", "--json"
    )
    assert {MINI, CODE} <= set(enabled.json["models_enabled"])
    run("agents", "priority", AGENT, 60, "--model", MINI, "--json")
    first = both_answers(run, house)
    assert (first["model"], first["priority"], first["evidence"]) == (MINI, 60, None)
    assert [part["name"] for part in first["parts"]] == ["priority"], "priority alone without experience"
    assert CODE in [fallback["model"] for fallback in first["fallbacks"]]

    live = tmp_path / "live.jsonl"
    live.write_text("".join(json.dumps(row) + "\n" for row in (*messages(MINI, 6), *messages(CODE, 6))))
    assert run("events", "import", live, "--json").json["new_requests"] == 12
    for number in range(6):
        poor, good = f"{MINI}#{number}", f"{CODE}#{number}"
        words = ("--rating", 0.1) if number % 2 else ("--signal", "regenerate")
        assert run("feedback", poor, *words, "--user", f"u{number}", "--json").json["model"] == MINI
        words = ("--rating", 1) if number % 2 else ("--signal", "copy")
        assert run("feedback", good, *words, "--user", f"u{number}", "--json").json["agent_id"] == AGENT
    assert both_answers(run, house)["model"] == MINI, "what was said counts from the next score on"

    scored = run("score", "--json").json
    second = both_answers(run, house)
    assert second["model"] == CODE
    assert second["snapshot_id"] == scored["snapshots"]["simulated"] != first["snapshot_id"]
    assert (second["evidence"]["kind"], second["evidence"]["n"], second["evidence"]["quality"] > 0.7) == (
        "feedback",
        6,
        True,
    )
    assert [(part["name"], part["basis"]) for part in second["parts"]] == [
        ("priority", "catalog"),
        ("experience", "agent_ratings"),
    ]
    assert any("rating" in reason for reason in second["reasons"]), second["reasons"]
    assert MINI in [fallback["model"] for fallback in second["fallbacks"]]

    run("agents", "disable", AGENT, "--model", CODE)
    third = both_answers(run, house)
    assert CODE not in {third["model"], *(fallback["model"] for fallback in third["fallbacks"])}
    assert third["rejected"]["agent"] == 1
