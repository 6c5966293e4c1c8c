"""`scorehouse audit`, and the trail that `prices` and `models` leave for it, in a file and in a Supabase project."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import Run
from house import AURORA, House

from analytics.store import Actor, new_id
from flows.commands.audit import ENTITIES

ROOT = Path(__file__).parents[2]
MINI = f"{AURORA}/aurora-mini"
BY = ("--by", "anna", "--reason", "the page was read wrongly")
PRICE = ("input_price_per_m", "output_price_per_m", "cached_input_price_per_m")


@pytest.fixture(params=["sqlite", "supabase"])
def placed(request: pytest.FixtureRequest, house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house of one synced provider, whose store is a file or a project."""
    if request.param == "supabase":
        project = request.getfixturevalue("project")
        monkeypatch.setenv("SUPABASE_URL", project.url)
        monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", project.service_key)
    return house.ready(AURORA)


def quarantined(house: House) -> str:
    """A price of the model that waits to be accepted; its id."""
    (model,) = house.rows("models", key=MINI)
    row = {"id": new_id(), "provider_id": model["provider_id"], "model_id": model["id"], "input_price_per_m": 900.0,
           "output_price_per_m": 901.0, "source": "simulated", "quarantine_reason": "a leap", "timestamp": "2999-01-01T00:00:00.000000Z"}  # fmt: skip
    with house.store() as store:
        store.write("prices", [row])
    return str(row["id"])


def figures(row: dict[str, Any], when: str = "new_value") -> tuple[Any, ...]:
    return tuple(row[when][name] for name in PRICE)


def test_what_a_person_says_of_prices_is_in_the_trail_and_what_the_engine_says_is_not(run: Run, placed: House) -> None:
    assert run("audit", "--json").lines == [], "a sync is nobody's change"
    (listed,) = placed.rows("catalog", id=MINI)

    def does(*words: object) -> None:
        ran = run("prices", *words, *BY)
        assert ran.code == 0, ran.err

    for _ in range(2):  # what is said again changes nothing
        does("set", MINI, "--input", 1, "--output", 2, "--cached-input", 0.5)
    does("clear", MINI)
    does("accept", quarantined(placed))
    for rehearsal in (["--dry-run"], []):
        does("reprice", listed["price_id"], "--input", 3, "--output", 4, *rehearsal)

    trail = run("audit", "--json").lines[::-1]
    assert [row["action"] for row in trail] == ["set_price", "clear_price", "accept_price", "reprice"]
    assert [row["object_type"] for row in trail] == ["prices", "prices", "prices", "repricings"]
    assert {(row["actor_id"], row["actor_role"], row["reason"], row["tenant_id"]) for row in trail} == {
        ("anna", "platform_admin", BY[-1], None)
    }
    assert [figures(row) for row in trail] == [(1, 2, 0.5), (None, None, None), (900, 901, None), (3, 4, None)]
    before = (0.1, 0.4, None)  # what the provider lists, in force before and again after what anna said
    assert [figures(row, "old_value") for row in trail[:3]] == [before, (1, 2, 0.5), before]
    assert {row["new_value"]["model"] for row in trail[:3]} == {MINI}
    assert {row["object_id"] for row in trail[:3]} <= {row["id"] for row in placed.rows("prices")}
    assert trail[3]["new_value"]["price_id"] == listed["price_id"]
    (fix,) = placed.rows("repricings")
    assert (fix["id"], fix["reason"]) == (trail[3]["object_id"], BY[-1])


def test_a_price_beside_a_new_model_and_a_parameter_to_be_tried_again_are_in_the_trail(run: Run, placed: House) -> None:
    (model,) = placed.rows("models", key=MINI)
    moment = "2026-11-21T02:00:00.000000Z"
    with placed.store() as store:
        store.note_rejected_parameters(model["id"], {"top_p": moment})
    for words in (
        ("add", f"{AURORA}/by-hand", "--input-price-per-m", 0.1, "--output-price-per-m", 0.2),
        ("set", MINI, "--retry-parameters"),
        ("set", MINI, "--retry-parameters"),
    ):
        ran = run("models", *words, *BY)
        assert ran.code == 0, ran.err
    added, price, retried = run("audit", "--by", "anna", "--json").lines[::-1]
    assert [row["action"] for row in (added, price, retried)] == ["add_model", "set_price", "retry_parameters"]
    assert (price["new_value"]["model"], *figures(price)) == (f"{AURORA}/by-hand", 0.1, 0.2, None)
    assert (retried["object_type"], retried["object_id"]) == ("models", model["id"])
    assert [retried[name]["rejected_parameters"] for name in ("old_value", "new_value")] == [{"top_p": moment}, {}]
    line = next(line for line in run("audit").out.splitlines() if "retry_parameters" in line)
    assert "rejected_parameters top_p -> none" in line


def test_the_newest_change_is_first_and_options_choose(run: Run, placed: House) -> None:
    acme, bee = ("budgets", "set", "--tenant", "acme"), ("budgets", "set", "--tenant", "bee")
    for words in (
        (*acme, "--limit-usd", 5, "--by", "anna"), (*acme, "--limit-usd", 5.0001, "--by", "bea", "--reason", "more"),
        (*bee, "--limit-usd", 9, "--by", "bea"), ("prices", "set", MINI, "--input", 1, "--output", 2, "--by", "anna"),
    ):  # fmt: skip
        assert run(*words).code == 0
    with placed.store() as store:
        old = {"id": store.select("budgets", {"tenant_id": "bee"}).items[0]["id"], "limit_usd": 8.0}
        store.change_rows("budgets", [old], action="set_budget", actor=Actor("user", "cleo"), at="2020-02-29T12:00:00Z")

    def told(*words: object) -> list[tuple[str, str, str | None]]:
        rows = run("audit", *words, "--json").lines
        assert [row["created_at"] for row in rows] == sorted((row["created_at"] for row in rows), reverse=True)
        return [(row["actor_id"], row["object_type"], row["tenant_id"]) for row in rows]

    everything = [
        ("anna", "prices", None), ("bea", "budgets", "bee"), ("bea", "budgets", "acme"), ("anna", "budgets", "acme"),
        ("cleo", "budgets", "bee"),
    ]  # fmt: skip
    assert told() == everything
    assert told("--limit", 2) == everything[:2]
    assert told("--entity", "budgets") == everything[1:]
    assert told("--by", "anna") == [everything[0], everything[3]]
    assert told("--tenant", "bee") == [everything[1], everything[4]]
    assert told("--tenant", "bee", "--by", "bea", "--entity", "budgets") == [everything[1]]
    assert told("--id", old["id"]) == [everything[1], everything[4]]
    assert told("--id", "no-uuid") == told("--entity", "agents") == told("--by", "o'hara") == []
    assert told("--since", "2020-02-29T12:00:01") == told("--since", "2021-01-01") == everything[:4]
    assert told("--since", "2020-02-29T13:00+01:00") == told("--since", "2020-02-29T12:00Z") == everything
    assert told("--since", "2999-01-01") == []

    table = run("audit", "--limit", 3)
    assert re.search(rf"anna +set_price +prices {MINI} +- +input_price_per_m 0.1 -> 1,", table.out)
    assert re.search(r"bea +set_budget .*acme +limit_usd 5 -> 5.0001 +more", table.out), (
        "two values that differ look so"
    )
    assert "the newest 3" in table.err
    assert "the newest" not in run("audit", "--limit", 5).err
    assert (run("audit", "--by", "nobody").out, run("audit", "--by", "nobody").err) == ("", "No change matches.\n")


def test_a_text_from_outside_moves_no_cursor(run: Run, house: House) -> None:
    run("budgets", "set", "--tenant", "acme", "--limit-usd", 5, "--by", "[bold]eve\x1b[2J", "--reason", "\u202etxet")
    shown = run("audit")
    assert shown.code == 0
    assert "[bold]eve" in shown.out
    assert not {"\x1b", "\u202e"} & set(shown.out)


def test_an_empty_trail_is_one_sentence(run: Run, house: House) -> None:
    ran = run("audit")
    assert (ran.code, ran.out, ran.err) == (0, "", "Nobody has changed anything by a command yet.\n")
    assert (run("audit", "--json").code, run("audit", "--json").out) == (0, "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("audit --entity catalog", "--entity 'catalog' is not one of providers, models"),
        ("audit --entity Prices", "--entity 'Prices' is not one of"),
        ("audit --since yesterday", "--since 'yesterday' is no time: write 2026-11-21"),
        ("audit --since 2026-02-30", "--since '2026-02-30' is no time"),
        ("audit --since 0001-01-01T00:00+14:00", "is no time"),
        ("audit --limit 0", "'--limit'"),
        ("audit --limit many", "'--limit'"),
        (f"prices set {MINI} --input 1 --output 2 --by", "--by"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_trail(run: Run, house: House, words: str, sentence: str) -> None:
    house.ready(AURORA)
    ran = run(*words.split())
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert sentence in ran.err
    assert house.rows("audit_log") == []


def test_a_price_that_cannot_be_audited_is_not_set(run: Run, house: House) -> None:
    house.ready(AURORA)
    (listed,) = house.rows("catalog", id=MINI)
    waiting = quarantined(house)
    before = house.rows("prices"), house.rows("repricings")
    with sqlite3.connect(house.settings.home.store) as other:
        other.execute("create trigger closed before insert on audit_log begin select raise(abort, 'closed'); end")
    other.close()
    for words in (
        ("set", MINI, "--input", 1, "--output", 2), ("accept", waiting),
        ("reprice", listed["price_id"], "--input", 3, "--output", 4, "--reason", "x"),
    ):  # fmt: skip
        ran = run("prices", *words)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
        assert "closed" in ran.err
    assert (house.rows("prices"), house.rows("repricings")) == before


def test_every_table_whose_changes_are_audited_can_be_asked_for() -> None:
    """An account's changes by REST are audited by triggers; those of the program by the commands that this page runs."""
    (policies,) = (ROOT / "sql" / "migrations" / "postgres").glob("*_policies.sql")
    triggers = policies.read_text("utf-8").rpartition("foreach name in array array[")[2].partition("]")[0]
    audited = set(re.findall(r"'(\w+)'", triggers))
    assert len(audited) > 10
    assert audited | {"repricings"} == set(ENTITIES)
