"""`scorehouse budgets`, the sessions of `route`, and what `status` says of both."""

import json
from typing import Any

import pytest

from analytics.store import SqliteStore, new_id
from flows.settings import load_settings
from flows.warehouse import open_store


def test_a_budget_is_set_listed_used_up_and_cleared(run: Any) -> None:
    assert run("budgets", "list").err.startswith("There are no budgets")
    made = run(
        "budgets",
        "set",
        "--tenant",
        "acme",
        "--user",
        "ann",
        "--period",
        "day",
        "--limit-usd",
        "2",
        "--by",
        "boss",
        "--json",
    )
    assert made.code == 0
    assert "User ann of tenant acme may use $2 in a day." in made.err
    assert json.loads(made.out)["set_by"] == "boss"
    changed = run("budgets", "set", "--tenant", "acme", "--user", "ann", "--period", "day", "--requests-per-hour", "5")
    assert "may use $2 in a day and 5 requests an hour" in changed.err
    assert run("budgets", "set", "--tenant", "acme", "--limit-usd", "100").code == 0
    with open_store(load_settings()) as store:
        assert store.reserve_budget(new_id(), 1.75, tenant="acme", user="ann").is_granted
    rows = [json.loads(line) for line in run("budgets", "list", "--tenant", "acme", "--json").out.splitlines()]
    assert [(row["user_id"], row["period"], row["left_usd"], row["hour_requests"]) for row in rows] == [
        ("ann", "day", 0.25, 1), (None, "month", 98.25, 1)
    ]  # fmt: skip
    part = json.loads(run("status", "--json").out)["budgets"]
    assert (part["state"], part["near"], part["over"]) == ("waiting", ["user ann of tenant acme (day)"], [])
    assert run("budgets", "set", "--tenant", "acme", "--user", "ann", "--period", "day", "--clear").code == 0
    assert json.loads(run("status", "--json").out)["budgets"] == {"state": "ok", "budgets": 1, "over": [], "near": []}


def test_a_limit_is_told_in_all_its_digits(run: Any) -> None:
    for given, told in (("100", "$100"), ("1234567.89", "$1,234,567.89"), ("0.0000001", "$0.0000001"), ("0", "$0")):
        assert f"may use {told} in a month." in run("budgets", "set", "--tenant", "acme", "--limit-usd", given).err


def test_a_tenant_without_a_budget_is_not_told_that_nobody_has_one(run: Any) -> None:
    assert run("budgets", "set", "--tenant", "acme", "--limit-usd", "100").code == 0
    assert "Tenant ghost has no budget, so nothing limits it" in run("budgets", "list", "--tenant", "ghost").err


def test_a_budget_that_makes_no_sense_is_refused(run: Any) -> None:
    for words, said in (
        (["--limit-usd", "1", "--period", "week"], "--period 'week' is not one of day, month, total"),
        ([], "Give --limit-usd, --requests-per-hour or both; or --clear alone"),
        (["--limit-usd", "1", "--clear"], "or --clear alone"),
        (["--limit-usd", "nan"], "'--limit-usd'"),
        (["--limit-usd", "1e300"], "Input should be less than or equal to 1"),
        (["--limit-usd", "1", "--user", ""], "may not be empty"),
        (["--clear"], "There is no month budget of the whole tenant acme"),
    ):
        ran = run("budgets", "set", "--tenant", "acme", *words)
        assert (ran.code, said in ran.err) == (2, True), ran.err


def test_a_budget_that_somebody_clears_while_it_is_set_is_set_all_the_same(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("budgets", "set", "--tenant", "acme")
    assert run(*words, "--limit-usd", "1", "--requests-per-hour", "9").code == 0
    change_rows, others = SqliteStore.change_rows, ["--clear"]

    def after_another_process(store: SqliteStore, *args: Any, **named: Any) -> int:
        while others:
            assert run(*words, others.pop()).code == 0
        return change_rows(store, *args, **named)

    monkeypatch.setattr(SqliteStore, "change_rows", after_another_process)
    assert run(*words, "--limit-usd", "2", "--by", "anna").code == 0
    (row,) = [json.loads(line) for line in run("budgets", "list", "--json").out.splitlines()]
    assert (row["limit_usd"], row["requests_per_hour"], row["set_by"]) == (2, None, "anna"), "the cleared limit is gone"
    did = [json.loads(line)["action"] for line in run("audit", "--entity", "budgets", "--json").out.splitlines()]
    assert did == ["set_budget", "clear_budget", "set_budget"]


def test_a_route_in_a_session_is_remembered(run: Any) -> None:
    assert run("route", "--session", "talk", "--tenant", "acme", "--user", "ann").code == 3
    with open_store(load_settings()) as store:
        (row,) = store.read_all("user_sessions")
        assert (row["session_id"], row["tenant_id"], row["user_id"], row["model"]) == ("talk", "acme", "ann", None)
    ran = run("route", "--session", "talk", "--tenant", "acme", "--user", "bob")
    assert (ran.code, "another user's" in ran.err) == (2, True)
