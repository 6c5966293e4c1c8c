"""`explain` and `performance` on a house whose providers were measured and whose users said what they thought."""

import shutil

import pytest
from e2e.conftest import Run
from house import AURORA, House


def test_a_decision_is_explained_before_and_after_it_landed_and_when_its_snapshot_is_gone(
    run: Run, house: House
) -> None:
    house.ready(AURORA)
    house.bench(workload="gold", sample=4)
    assert run("score").code == 0
    asked = run("route", "--task", "code", "--min-samples", "1", "--json").json
    logged = run("explain", asked["decision_id"], "--json")
    assert (logged.code, logged.json["answer"]) == (0, asked)
    assert logged.json["query"] == {"task": "code", "min_samples": 1}
    assert run("score").code == 0
    assert list((house.home / "spool" / "decisions").iterdir()) == []
    shutil.rmtree(house.home / "scoring")
    landed = run("explain", asked["decision_id"], "--json").json
    assert landed == logged.json
    text = run("explain", asked["decision_id"]).out
    assert all(reason in text for reason in asked["reasons"])
    for candidate in landed["candidates"]:
        assert candidate["model"] in text
        assert all(part["name"] in text for part in candidate["parts"])
    assert asked["snapshot_id"] in text


def test_what_was_not_logged_cannot_be_explained(run: Run, house: House) -> None:
    house.ready(AURORA)
    asked = run("route", "--no-log", "--json").json
    assert not (house.home / "spool" / "decisions").exists()
    for unknown in (asked["decision_id"], "nonsense"):
        ran = run("explain", unknown)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert unknown in ran.err
    assert "decision" in run("route").out
    assert "decision" not in run("route", "--no-log").out, "an id that nothing can be asked by"


def test_an_explanation_needs_no_store_and_makes_none(run: Run, house: House) -> None:
    assert run("explain", "nonsense").code == 2
    assert not house.home.exists()


def test_performance_is_told_by_task_and_agent(run: Run, house: House) -> None:
    house.ready(AURORA)
    assert run("performance").err.startswith("No rows")
    house.bench(workload="short")
    lines = [
        f'{{"id": "r{n}", "model": "{AURORA}/aurora-{name}", "task_type": "{task}", "agent_id": "{agent}", "success": {ok}, "latency_ms": {ms}, "rating": {stars}}}'
        for n, (name, task, agent, ok, ms, stars) in enumerate(
            [("mini", "code", "a", "true", 100, 1.0), ("mini", "code", "b", "true", 300, 0.5), ("mini", "chat", "a", "false", 900, 0.0),
             ("code", "code", "a", "true", 50, 0.25)]
        )
    ]  # fmt: skip
    (house.home.parent / "events.jsonl").write_text("\n".join(lines))
    assert run("events", "import", "events.jsonl").code == 0
    assert run("score").code == 0

    def told(*words: str) -> dict[str, tuple[float | None, int, int, float | None]]:
        rows = run("performance", "--json", *words).lines
        names = ("avg_rating", "rating_n", "usage_count", "avg_latency_ms")
        return {row["model"].partition("/")[2]: tuple(row[name] for name in names) for row in rows}  # type: ignore[misc]

    assert told("--task", "code") == {"aurora-mini": (0.75, 2, 2, 200.0), "aurora-code": (0.25, 1, 1, 50.0)}
    assert told("--task", "code", "--agent", "a") == {
        "aurora-mini": (1.0, 1, 1, 100.0),
        "aurora-code": (0.25, 1, 1, 50.0),
    }
    assert told("--agent", "a")["aurora-mini"] == (0.5, 2, 2, 100.0)
    assert told("--task", "nothing") == {}
    everything = told()
    assert everything["aurora-mini"][:3] == (pytest.approx(0.5), 3, 4)
    assert everything["aurora-mini"][3] is not None
    assert all(
        rating is None for name, (rating, *_) in everything.items() if name not in {"aurora-mini", "aurora-code"}
    )
    assert "aurora-mini" in run("performance").out


def test_performance_says_that_simulated_evidence_is_left_out_where_there_is_real_one(run: Run, house: House) -> None:
    house.ready(AURORA)
    house.bench()
    assert run("score").code == 0
    alone = run("performance")
    assert (alone.code, alone.err) == (0, "")
    house.add_gateway("gateway", "aurora-mini", provider_type="custom")
    house.bench(providers=("gateway",))
    assert run("score").code == 0
    ran = run("performance", "--json")
    assert [row["model"] for row in ran.lines] == ["gateway/aurora-mini"]
    assert ran.err == "This is the real evidence; there is simulated evidence too, which is left out.\n"
