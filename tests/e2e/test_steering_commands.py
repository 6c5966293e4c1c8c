"""`scorehouse agents` and `scorehouse policies`, and what the configuration says of roles and tasks: what a tenant's admin steers by."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import Run
from house import AURORA, BOREALIS, CASCADE, House

from analytics.routing import Lookup, RouteQuery
from analytics.store import Row
from flows.jobs.score import run_score
from providers.simulated import Simulated

__all__ = ["Run"]

MINI, CODE, SWIFT = f"{AURORA}/aurora-mini", f"{AURORA}/aurora-code", f"{CASCADE}/cascade-swift"
AT_ONCE_S = 1.0  # what is switched off may be answered for so long


@pytest.fixture(scope="module")
def furnished(simulated_world: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with catalogs and a snapshot that knows next to nothing."""
    house = House(tmp_path_factory.mktemp("furnished"), simulated_world).ready()
    house.bench(models=(MINI,))
    run_score(house.settings)
    return house.home


@pytest.fixture
def ready(house: House, furnished: Path) -> House:
    """A copy of that home, to be changed."""
    shutil.copytree(furnished, house.home)
    return house


@pytest.fixture
def watching(ready: House) -> Iterator[Lookup]:
    """A lookup as an agent has it, open since before anything was changed."""
    with Lookup.open(ready.home, simulated=True) as lookup:
        yield lookup


def answered(run: Run, *words: object) -> Any:
    ran = run("route", *words, "--top", 100, "--json")
    assert ran.code in {0, 3}, ran.err
    return ran.json


def models_of(answer: Any) -> set[str]:
    return {answer["model"], *(fallback["model"] for fallback in answer["fallbacks"])} - {None}


def soon(happens: Callable[[], bool]) -> bool:
    """Whether it happens within the time that a change may take to be known."""
    end = time.monotonic() + AT_ONCE_S
    while not happens():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def audited(house: House) -> list[Row]:
    with house.store() as store:
        return store.read("audit_log").rows


def test_an_agent_gets_what_it_was_given_by_name_and_by_filter(run: Run, ready: House) -> None:
    assert answered(run, "--agent", "writer")["source"] == "none", "an agent that nobody knows may use nothing"
    ran = run(
        "agents", "enable", "writer", "--model", MINI, "--model", SWIFT, "--tenant", "acme", "--by", "anna", "--json"
    )
    assert ran.json == {"agent": "writer", "enabled_count": 2, "models_enabled": [MINI, SWIFT]}
    assert models_of(answered(run, "--agent", "writer", "--tenant", "acme")) == {MINI, SWIFT}
    free = {row["id"] for row in ready.rows("catalog", cost_tier="low")}
    ran = run("agents", "enable", "writer", "--cost-tier", "low", "--model", MINI, "--json")
    assert ran.json["models_enabled"] == []
    assert f"writer: {MINI} enabled (1 already)." in ran.err or MINI not in free
    of_cascade = {row["id"] for row in ready.rows("catalog", provider_id=CASCADE)}
    assert set(
        run("agents", "enable", "writer", "--provider", CASCADE, "--json").json["models_enabled"]
    ) == of_cascade - {SWIFT}

    run("agents", "disable", "writer", "--model", SWIFT, "--reason", "too terse")
    listed = {row["model"]: row for row in run("agents", "models", "writer", "--all", "--json").lines}
    assert set(listed) == {MINI, *of_cascade}
    assert {key for key, row in listed.items() if not row["is_enabled"]} == {SWIFT}
    assert {row["model"] for row in run("agents", "models", "writer", "--json").lines} == {MINI, *of_cascade} - {SWIFT}
    assert (listed[MINI]["tenant_id"], listed[MINI]["enabled_by"]) == ("acme", "anna")
    (summary,) = run("agents", "list", "--json").lines
    assert (summary["agent"], summary["models_enabled"], summary["models_available"]) == (
        "writer",
        len(of_cascade),
        len(of_cascade),
    )
    assert run("agents", "list", "--tenant", "other", "--json").lines == []
    assert "writer" in run("agents", "list").out
    assert MINI in run("agents", "models", "writer").out

    assert run("agents", "disable", "writer", "--all").code == 0
    assert answered(run, "--agent", "writer")["source"] == "none"
    assert "may use no model" in run("agents", "models", "writer").err
    trail = [row for row in audited(ready) if row["action"] == "set_agent_models"]
    assert len(trail) == 2 * (1 + len(of_cascade)), "each model once on, once off"
    (terse,) = (row for row in trail if row["reason"] == "too terse")
    assert (terse["old_value"]["is_enabled"], terse["new_value"]["is_enabled"]) == (True, False)
    assert (terse["new_value"]["agent"], terse["new_value"]["model"], terse["tenant_id"]) == ("writer", SWIFT, "acme")


def test_a_priority_holds_for_its_agent_alone_and_enables_nothing(run: Run, ready: House) -> None:
    run("agents", "enable", "writer", "--model", MINI, "--model", CODE)
    run("agents", "enable", "coder", "--model", MINI, "--model", CODE)
    (last,) = answered(run, "--agent", "writer")["fallbacks"]
    ran = run("agents", "priority", "writer", 100, "--model", last["model"], "--json")
    assert ran.json == {"agent": "writer", "set_count": 1, "models_set": [last["model"]]}
    now = answered(run, "--agent", "writer")
    assert (now["model"], now["priority"], now["parts"][0]["basis"]) == (last["model"], 100, "agent_override")
    assert answered(run, "--agent", "coder")["model"] != last["model"]
    assert run("agents", "priority", "writer", "--clear", "--provider", AURORA).code == 0
    assert answered(run, "--agent", "writer")["model"] != last["model"]
    run("agents", "disable", "writer", "--model", CODE)
    run("agents", "priority", "writer", 90, "--model", CODE)
    assert models_of(answered(run, "--agent", "writer")) == {MINI}
    ran = run("agents", "priority", "writer", 90, "--model", SWIFT)
    assert (ran.code, "was never given it" in ran.err) == (2, True)


def test_an_agents_list_says_what_is_not_answered_now(run: Run, ready: House) -> None:
    run("agents", "enable", "writer", "--model", MINI, "--model", SWIFT, "--tenant", "acme")
    run("models", "disable", MINI)
    ran = run("agents", "models", "writer", "--json")
    assert {row["model"]: row["is_available"] for row in ran.lines} == {MINI: False, SWIFT: True}
    assert f"Not answered now, for they are unavailable or disabled for everyone: {MINI}." in ran.err
    (summary,) = run("agents", "list", "--json").lines
    assert (summary["models_enabled"], summary["models_available"]) == (2, 1)
    ran = run("agents", "models", "writer", "--tenant", "other")
    assert (ran.code, "no agent 'writer' of the tenant 'other'" in ran.err) == (2, True)
    ran = run("agents", "enable", "writer", "--model", CODE, "--tenant", "other")
    assert (ran.code, "the tenant 'other' has no agent 'writer'" in ran.err) == (2, True)


def test_what_is_switched_off_is_not_answered_a_second_later(run: Run, ready: House, watching: Lookup) -> None:
    """By a lookup that was open all the while, and has answered the same questions before."""

    def answers(agent: str | None = None) -> set[str]:
        return models_of(watching.route(RouteQuery(agent=agent, top=100)).to_dict())

    everything = answers()
    assert {MINI, CODE, SWIFT} <= everything
    assert answers("writer") == set()
    steps: list[tuple[tuple[str, ...], str | None, set[str]]] = [
        (("agents", "enable", "writer", "--model", MINI, "--model", SWIFT), "writer", {MINI, SWIFT}),
        (("agents", "disable", "writer", "--model", SWIFT), "writer", {MINI}),
        (("models", "disable", MINI), None, everything - {MINI}),
        (("models", "disable", "--provider", AURORA), None, {key for key in everything if not key.startswith(AURORA)}),
        (("models", "enable", MINI), "writer", {MINI}),
        (("providers", "disable", AURORA), "writer", set()),
        (("providers", "enable", AURORA), "writer", {MINI}),
        (("models", "enable", "--provider", AURORA), None, everything),
        (("policies", "add", "near", "--limit", f"only={BOREALIS}"), None, everything),
        (("policies", "activate", "near"), None, {key for key in everything if key.startswith(BOREALIS)}),
        (("policies", "activate", "default"), None, everything),
    ]
    for words, agent, expected in steps:
        assert run(*words).code == 0
        assert soon(lambda agent=agent, expected=expected: answers(agent) == expected), words  # type: ignore[misc]


def test_who_switched_what_off_for_everyone_is_in_the_audit_log(run: Run, ready: House) -> None:
    """Each change of what tenants' agents may use is one row: who, why, and what it was before; one that changes nothing is none."""
    by = ("--by", "anna", "--reason", "too slow")
    budget = ("budgets", "set", "--tenant", "acme", "--user", "ann")
    for words in (
        ("models", "disable", MINI, *by), ("models", "disable", MINI, "--by", "bea"), ("models", "enable", MINI, *by),
        ("models", "set", MINI, "--priority", 70, *by),
        ("providers", "disable", BOREALIS, *by), ("providers", "disable", BOREALIS, "--by", "bea"),
        ("providers", "enable", BOREALIS, *by), ("providers", "set", BOREALIS, "--rate-limit-rpm", 60, *by),
        (*budget, "--limit-usd", 5, *by), (*budget, "--limit-usd", 5, "--by", "bea"), (*budget, "--requests-per-hour", 9, *by),
        (*budget, "--clear", *by),
        ("models", "add", f"{AURORA}/by-hand", *by),
        ("providers", "add", "lan", "--type", "custom", "--base-url", "https://lan.example/v1", *by),
    ):  # fmt: skip
        ran = run(*words)
        assert ran.code == 0, ran.err

    trail = audited(ready)
    assert {(row["actor_id"], row["actor_role"], row["reason"]) for row in trail} == {
        ("anna", "platform_admin", "too slow")
    }
    budgets = [row for row in trail if row["object_type"] == "budgets"]
    assert {row["tenant_id"] for row in budgets} == {"acme"}

    def told(name: str, row: Row) -> tuple[str, Any, Any]:
        return row["action"], *(value and value[name] for value in (row["old_value"], row["new_value"]))

    mini = [row for row in trail if (row["new_value"] or {}).get("model") == MINI]
    assert [told("is_enabled", row) for row in mini[:2]] == [
        ("disable_models", None, False),
        ("enable_models", False, True),
    ]
    assert told("priority", mini[2]) == ("set_model", None, 70)
    borealis = [row for row in trail if (row["old_value"] or {}).get("key") == BOREALIS]
    assert [told("is_active", row) for row in borealis[:2]] == [
        ("disable_provider", True, False), ("enable_provider", False, True)
    ]  # fmt: skip
    assert told("rate_limit_rpm", borealis[2])[::2] == ("set_provider", 60)
    assert [told("limit_usd", row) for row in budgets] == [
        ("set_budget", None, 5.0), ("set_budget", 5.0, 5.0), ("clear_budget", 5.0, None)
    ]  # fmt: skip
    assert [told("requests_per_hour", row)[1:] for row in budgets] == [(None, None), (None, 9), (9, None)]
    assert [told("key", row) for row in trail[-2:]] == [
        ("add_model", None, f"{AURORA}/by-hand"), ("add_provider", None, "lan")
    ]  # fmt: skip
    assert len(trail) == len(mini) + len(borealis) + len(budgets) + 2 == 11


def test_before_anything_is_published_the_default_model_of_the_environment_stands_in(
    run: Run, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("route", "--task", "code").code == 3
    monkeypatch.setenv("SCOREHOUSE_DEFAULT_MODEL", "groq/llama-3.1-8b-instant")
    told = answered(run)
    assert (told["model"], told["source"]) == ("groq/llama-3.1-8b-instant", "default")


def test_the_presets_are_listed_as_such_and_can_be_put_in_force(run: Run, ready: House) -> None:
    rows = {row["name"]: row for row in run("policies", "list", "--json").lines}
    assert set(rows) == {"default", "learned", "cheapest", "fastest", "best", "balanced"}
    assert all(row["is_preset"] and row["version"] is None for row in rows.values())
    assert rows["default"]["rules"] == {"weights": {"priority": 0.3, "quality": 0.7}}
    assert run("policies", "show", "learned", "--json").json["rules"]["fades_k"] == 1.0
    assert "preset" in run("policies", "list").out
    ran = run("policies", "activate", "cheapest", "--tenant", "acme", "--json")
    assert (ran.json["name"], ran.json["version"], ran.json["is_active"]) == ("cheapest", 1, True)
    assert "is in force for tenant acme" in ran.err
    assert answered(run, "--tenant", "acme")["policy"] == "cheapest"
    assert answered(run)["policy"] == "default"


def test_nothing_ranks_unactivated_under_the_name_of_the_default(run: Run, ready: House) -> None:
    before = answered(run)
    for owner in ((), ("--tenant", "acme")):
        ran = run("policies", "add", "default", "--weight", "cost=1", *owner)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert "Choose another name" in ran.err
    assert answered(run)["model"] == before["model"]
    assert {row["is_preset"] for row in run("policies", "list", "--json").lines} == {True}


def test_a_policy_ranks_for_its_owner_from_its_activation_on(run: Run, ready: House) -> None:
    words = ("--weight", "quality=0.7,priority=0.1", "--weight", "cost=0.2", "--limit", "max_tier=low", "--limit", f"deny={MINI}", "--fades-k", 10,
             "--tie-delta", 0.02, "--limit", "max_price=prompt=5,completion=20", "--description", "for nights", "--by", "anna")  # fmt: skip
    ran = run("policies", "add", "house", "--tenant", "acme", *words, "--json")
    assert (ran.code, ran.json["version"], ran.json["is_active"]) == (0, 1, False)
    assert ran.json["rules"] == {
        "weights": {"quality": 0.7, "priority": 0.1, "cost": 0.2}, "fades_k": 10, "tie_delta": 0.02,
        "limits": {"max_tier": "low", "deny": [MINI], "max_price": {"prompt": 5, "completion": 20}},
    }  # fmt: skip
    assert "It is not in force until 'scorehouse policies activate house --tenant acme'." in ran.err
    assert answered(run, "--tenant", "acme")["policy"] == "default"
    assert answered(run, "--tenant", "acme", "--policy", "house")["policy"] == "house", "but it can be named"
    run("policies", "activate", "house", "--tenant", "acme")
    answer = answered(run, "--tenant", "acme")
    assert (answer["policy"], answer["rejected"]["deny"]) == ("house", 1)
    assert MINI not in models_of(answer)

    ran = run("policies", "add", "house", "--tenant", "acme", "--sort", "price")
    assert "version 2. An older version of it stays in force" in ran.err
    assert MINI not in models_of(answered(run, "--tenant", "acme"))
    run("policies", "activate", "house", "--tenant", "acme", "--reason", "cheaper")
    assert MINI in models_of(answered(run, "--tenant", "acme"))
    run("policies", "activate", "house", "--tenant", "acme", "--version", 1)
    assert MINI not in models_of(answered(run, "--tenant", "acme"))
    assert run("policies", "show", "house", "--tenant", "acme", "--json").json["version"] == 1, "the one in force"
    assert run("policies", "show", "house", "--tenant", "acme", "--version", 2, "--json").json["rules"] == {
        "sort": "price"
    }
    assert [
        row["version"] for row in run("policies", "list", "--tenant", "acme", "--json").lines if not row["is_preset"]
    ] == [1, 2]

    run("policies", "add", "mine", "--user", "u1", "--sort", "latency")
    run("policies", "activate", "mine", "--user", "u1")
    answer = answered(run, "--tenant", "acme", "--user", "u1")
    assert answer["policy"] == "mine"
    assert MINI not in models_of(answer), "nobody escapes a tenant's limits by a policy of his own"
    run("policies", "add", "mine", "--user", "u1", "--sort", "latency", "--environment", "staging")
    assert (
        run("policies", "show", "mine", "--user", "u1", "--environment", "staging", "--json").json["is_active"] is False
    )
    assert {row["action"] for row in audited(ready)} == {"add_policy", "activate_policy"}


def test_a_role_gets_no_other_models_than_the_configuration_says(run: Run, ready: House) -> None:
    Path("scorehouse.toml").write_text(
        f'[[allowed_models]]\nrole = "intern"\nmodels = ["{MINI}", "{SWIFT}"]\n'
        f'[[allowed_models]]\ntenant = "acme"\nmodels = ["{MINI}", "{CODE}"]\n'
        f'[[allowed_models]]\ntenant = "acme"\nrole = "guest"\nmodels = []\n'
    )
    assert run("score").code == 0
    assert models_of(answered(run, "--role", "intern")) == {MINI, SWIFT}
    assert models_of(answered(run, "--tenant", "acme")) == {MINI, CODE}
    answer = answered(run, "--tenant", "acme", "--role", "intern")
    assert models_of(answer) == {MINI}
    assert answer["rejected"]["role"] == 1
    for words in (("--tenant", "acme", "--role", "guest"), ("--role", "stranger")):
        assert run("route", *words).code == 3
    assert len(models_of(answered(run, "--tenant", "other"))) > 2


def test_a_task_is_told_by_the_configurations_words_too(run: Run, ready: House) -> None:
    def task(*words: str) -> tuple[str, str, str] | None:
        told = answered(run, *words)["task"]
        return None if told is None else (told["task"], told["source"], told["confidence"])

    assert task("--message", "Is this clause binding?") is None
    Path("scorehouse.toml").write_text(
        '[[task_types]]\ntask_type = "legal"\nsource = "keyword"\npatterns = ["clause", "power of attorney"]\n'
        '[[task_types]]\ntask_type = "legal"\nsource = "attachment"\npatterns = ["application/x-contract", "audio/*"]\n'
        '[[task_types]]\ntask_type = "booking"\nsource = "tool"\npatterns = ["book_flight"]\n'
    )
    assert run("score").code == 0
    assert task("--message", "Is this CLAUSE binding?") == ("legal", "keyword", "medium")
    assert task("--message", "A power of attorney, please") == ("legal", "keyword", "medium")
    assert task("--message", "Review this clause") == ("analysis", "keyword", "medium"), (
        "of as many hits the built-in one"
    )
    assert task("--message", "Review this", "--attachment", "audio/ogg") == ("legal", "attachment", "high")
    assert task("--tool", "book_flight", "--attachment", "audio/ogg") == ("booking", "tool", "high")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[allowed_models]]\nmodels = []\n", "allowed_models.0: Value error, give a tenant, a role or both"),
        ('[[allowed_models]]\nrole = ""\nmodels = []\n', "allowed_models.0.role"),
        ('[[allowed_models]]\nrole = "intern"\n', "allowed_models.0.models"),
        ('[[task_types]]\ntask_type = "x"\nsource = "smell"\npatterns = ["a"]\n', "task_types.0.source"),
        ('[[task_types]]\ntask_type = "x"\nsource = "tool"\npatterns = []\n', "task_types.0.patterns"),
        (
            '[[task_types]]\ntask_type = "x"\nsource = "keyword"\npatterns = ["!!"]\n',
            "the keyword '!!' has no word in it",
        ),
    ],
)
def test_a_restriction_that_makes_no_sense_is_refused_at_start(run: Run, house: House, text: str, said: str) -> None:
    Path("scorehouse.toml").write_text(text)
    ran = run("status")
    assert (ran.code, said in ran.err) == (2, True), ran.err
    assert not house.home.exists()


def test_a_policy_that_was_written_past_the_command_is_not_put_in_force(run: Run, ready: House) -> None:
    run("policies", "add", "house", "--sort", "price")
    (row,) = ready.rows("routing_configs")
    with ready.store() as store:
        store.write("routing_configs", [row | {"rules": {"limits": {"max_beauty": 1}}}])
    ran = run("policies", "activate", "house")
    assert (ran.code, "there is no rule or limit max_beauty" in ran.err) == (2, True)
    assert not ready.rows("routing_configs", is_active=True)
    assert json.loads(run("policies", "show", "house", "--json").out)["rules"] == {"limits": {"max_beauty": 1}}


def test_max_price_is_a_limit_of_both_sides(run: Run, ready: House) -> None:
    rows = ready.rows("catalog", model_type="chat", is_available=True)
    below = {row["id"] for row in rows if row["pricing_input"] <= 0.5 and row["pricing_output"] <= 1}
    assert models_of(answered(run, "--max-price", "prompt=0.5,completion=1")) == below
    assert models_of(answered(run, "--max-price", "prompt=0.5", "--max-price", "completion=1")) == below
    assert below < models_of(answered(run))
