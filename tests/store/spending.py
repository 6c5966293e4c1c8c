"""The part of a store's contract that is about what may be spent: budgets are reserved before a call, settled after it, and never overspent."""

import os
import random
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from store.samples import Row

from analytics.errors import BadRows, UnknownName
from analytics.store import Reservation, SqliteStore, Store, new_id

NOON = "2026-11-21T12:00:00.000000Z"


def budget(**given: Any) -> Row:
    return {
        "id": new_id(), "tenant_id": "acme", "period": "day", "limit_usd": 1.0, "period_start_at": "2026-11-21T00:00:00.000000Z",
        "created_at": NOON, "updated_at": NOON,
    } | given  # fmt: skip


def at(hour: int, minute: int = 0, day: int = 21, month: int = 11) -> str:
    return f"2026-{month:02}-{day:02}T{hour:02}:{minute:02}:00.000000Z"


def reserve(store: Store, cost: float, **given: Any) -> Reservation:
    return store.reserve_budget(given.pop("id", None) or new_id(), cost, **{"tenant": "acme", "at": NOON} | given)


def only(store: Store, table: str = "budgets") -> Row:
    (row,) = store.read_all(table)
    return row


def spend(store: Store, seed: int, costs: list[float], found: list[tuple[Reservation, float | None]]) -> None:
    """Reserve, and settle with about what was reserved; some calls are not made, and some are never heard of again."""
    rng = random.Random(seed)
    for cost in costs:
        reserved = reserve(store, cost, user=f"u{seed % 3}", ttl_s=3600)
        if not reserved.is_granted:
            found.append((reserved, None))
            continue
        fate = rng.random()
        actual = None if fate < 0.2 else cost * rng.uniform(0.1, 1)
        if fate < 0.9:
            reserved = store.settle_budget(reserved.id, actual, at=NOON)
        found.append((reserved, actual if fate < 0.9 else cost))


def spend_in_a_process(path: Path, seed: int, costs: list[float], is_killed: bool) -> None:
    """The same in a process of its own; one that is killed has just reserved something."""
    with SqliteStore(path) as store:
        spend(store, seed, costs, [])
        if is_killed:
            reserve(store, 0.0, ttl_s=3600)
            os.kill(os.getpid(), signal.SIGKILL)


def assert_within(row: Mapping[str, Any], found: list[tuple[Reservation, float | None]]) -> None:
    granted = [reserved for reserved, _ in found if reserved.state != "refused"]
    spent = sum(reserved.actual_usd or 0 for reserved in granted)
    open_now = sum(reserved.cost_usd for reserved in granted if reserved.state == "reserved")
    assert row["spent_usd"] == pytest.approx(spent, abs=1e-7)
    assert row["reserved_usd"] == pytest.approx(open_now, abs=1e-7)
    assert row["spent_usd"] + row["reserved_usd"] <= row["limit_usd"] + 1e-6


class SpendingContract:
    """What holds for budgets and sessions in every store."""

    # -- budgets -----------------------------------------------------------------------------------------------

    def test_without_a_budget_everything_is_granted_and_recorded(self, store: Store) -> None:
        found = reserve(store, 5.0, model="aurora/small")
        assert (found.is_granted, found.left_usd, found.left_requests, found.reason) == (True, None, None, None)
        row = only(store, "budget_reservations")
        assert (row["id"], row["state"], row["cost_usd"], row["model"]) == (found.id, "reserved", 5.0, "aurora/small")
        assert (row["holds"], row["created_at"], row["expires_at"]) == ([], NOON, at(12, 10))

    def test_what_is_reserved_is_held_until_it_is_settled_with_what_it_cost(self, store: Store) -> None:
        store.write("budgets", [budget()])
        first = reserve(store, 0.75)
        assert first.left_usd == pytest.approx(0.25)
        refused = reserve(store, 0.5)
        assert (refused.state, refused.is_granted) == ("refused", False)
        assert refused.left_usd == pytest.approx(0.25)
        assert refused.reason == (
            "The day budget of the whole tenant has $0.25 left of $1, and the call is expected to cost $0.5."
        )
        assert len(store.read_all("budget_reservations")) == 1, "a refusal leaves nothing behind"
        settled = store.settle_budget(first.id, 0.5, at=NOON)
        assert (settled.state, settled.actual_usd, settled.exceeded_usd, settled.over) == ("settled", 0.5, 0.0, ())
        assert (only(store)["spent_usd"], only(store)["reserved_usd"]) == (0.5, 0.0)
        assert reserve(store, 0.5).is_granted

    def test_the_same_amounts_fill_a_budget_to_its_brim(self, store: Store) -> None:
        store.write("budgets", [budget(limit_usd=0.3)])
        assert [reserve(store, 0.1).is_granted for _ in range(4)] == [True, True, True, False]

    def test_asking_again_is_harmless(self, store: Store) -> None:
        store.write("budgets", [budget(requests_per_hour=9)])
        first = reserve(store, 0.25)
        again = reserve(store, 0.5, id=first.id)
        assert (again.state, again.cost_usd) == ("reserved", 0.25)
        assert (only(store)["reserved_usd"], only(store)["hour_requests"]) == (0.25, 1)
        for _ in range(2):
            assert store.settle_budget(first.id, 0.125).actual_usd == 0.125
        assert store.settle_budget(first.id, 0.75).actual_usd == 0.125, "what was settled once stays so"
        assert store.settle_budget(first.id, None).state == "settled"
        assert reserve(store, 0.25, id=first.id).state == "settled", "the call was made"
        assert (only(store)["spent_usd"], only(store)["reserved_usd"]) == (0.125, 0.0)

    def test_a_call_that_was_not_made_gives_its_reservation_back(self, store: Store) -> None:
        store.write("budgets", [budget()])
        found = reserve(store, 1.0)
        assert store.settle_budget(found.id, None).state == "released"
        assert only(store)["reserved_usd"] == 0.0
        assert reserve(store, 0.5, id=found.id).is_granted, "its id may be used again"
        assert only(store)["reserved_usd"] == 0.5

    def test_a_cost_beyond_the_reservation_is_recorded_and_said(self, store: Store) -> None:
        store.write("budgets", [budget(user_id="ann")])
        found = store.settle_budget(reserve(store, 0.5, user="ann").id, 1.5)
        assert (found.exceeded_usd, [purse.name for purse in found.over]) == (1.0, ["the day budget of user ann"])
        assert found.reason == (
            "The call cost $1.5, $1 more than was reserved for it; overspent: the day budget of user ann."
        )
        assert only(store)["spent_usd"] == 1.5
        assert reserve(store, 0.01, user="ann").left_usd == 0.0

    def test_every_budget_that_holds_must_grant(self, store: Store) -> None:
        rows = [
            budget(limit_usd=4.0), budget(period="month", limit_usd=3.0), budget(user_id="ann", limit_usd=2.0),
            budget(agent_id="coder", period="total", limit_usd=1.0), budget(user_id="ann", agent_id="coder", limit_usd=0.5),
            budget(user_id="bob", limit_usd=0.0), budget(tenant_id="other", limit_usd=0.0),
            budget(user_id="ann", period="total", limit_usd=0.0, is_active=False),
        ]  # fmt: skip
        store.write("budgets", rows)

        def who_refuses(cost: float, **who: Any) -> str | None:
            refused = reserve(store, cost, **who)
            return None if refused.refused_by is None else refused.refused_by.name

        assert who_refuses(0.6, user="ann", agent="coder") == "the day budget of user ann with agent coder"
        assert who_refuses(1.1, agent="coder") == "the total budget of agent coder"
        assert who_refuses(2.1, user="ann") == "the day budget of user ann"
        assert who_refuses(3.1) == "the month budget of the whole tenant"
        assert who_refuses(0.1, user="bob") == "the day budget of user bob"
        assert {row["reserved_usd"] for row in store.read_all("budgets")} == {0.0}
        found = reserve(store, 0.5, user="ann", agent="coder")
        assert found.left_usd == 0.0
        held = {row["id"] for row in store.read_all("budgets") if row["reserved_usd"] == 0.5}
        assert held == {row["id"] for row in rows[:5]}
        assert {hold["id"] for hold in only(store, "budget_reservations")["holds"]} == held

    def test_a_new_day_and_a_new_month_begin_with_nothing_spent(self, store: Store) -> None:
        store.write("budgets", [budget(), budget(period="month", limit_usd=1.5), budget(period="total", limit_usd=9.0)])
        store.settle_budget(reserve(store, 1.0).id, 1.0)
        late = reserve(store, 0.0, at=at(23, 59))
        refused = reserve(store, 1.0, at=at(0, day=22))
        assert refused.refused_by is not None
        assert (refused.refused_by.period, refused.left_usd) == ("month", 0.5)
        assert reserve(store, 0.5, at=at(0, day=22)).is_granted
        assert reserve(store, 1.0, at=at(0, day=1, month=12)).is_granted
        store.settle_budget(late.id, 0.75)
        rows = {row["period"]: row for row in store.read_all("budgets")}
        assert {period: row["spent_usd"] for period, row in rows.items()} == {"day": 0.0, "month": 0.0, "total": 1.75}
        assert rows["day"]["period_start_at"] == rows["month"]["period_start_at"] == at(0, day=1, month=12)
        assert {row["reserved_usd"] for row in rows.values()} == {1.0}, "what expired meanwhile is released"

    def test_a_clock_that_lags_does_not_bring_an_old_period_back(self, store: Store) -> None:
        store.write("budgets", [budget()])
        assert reserve(store, 1.0, at=at(0, 5, day=22)).is_granted
        assert not reserve(store, 1.0, at=at(23, 59)).is_granted

    def test_requests_of_an_hour_are_limited(self, store: Store) -> None:
        store.write("budgets", [budget(user_id="ann", limit_usd=None, requests_per_hour=2)])
        assert [reserve(store, 1.0, user="ann", at=at(12, minute)).left_requests for minute in (0, 58)] == [1, 0]
        refused = reserve(store, 0.0, user="ann", at=at(12, 59))
        assert refused.reason == "The hourly limit of user ann allows 2 requests an hour, and all were made."
        assert reserve(store, 1.0, user="bob", at=at(12, 59)).is_granted
        assert reserve(store, 1.0, user="ann", at=at(13)).is_granted
        assert only(store)["hour_requests"] == 1

    def test_a_limit_of_nothing_refuses_every_cost_and_grants_what_is_free(self, store: Store) -> None:
        store.write("budgets", [budget(limit_usd=0.0)])
        assert not reserve(store, 1e-6).is_granted
        assert reserve(store, 0.0).is_granted

    def test_what_nobody_settled_comes_back_after_its_expiry(self, store: Store) -> None:
        store.write("budgets", [budget(), budget(user_id="ann", limit_usd=1.0)])
        lost = reserve(store, 1.0, user="ann", ttl_s=60)
        assert not reserve(store, 0.5, at=at(12, 0)).is_granted
        assert reserve(store, 0.5, at=at(12, 1)).is_granted, "released on the next reservation of the tenant"
        rows = {row["user_id"]: row for row in store.read_all("budgets")}
        assert (rows[None]["reserved_usd"], rows["ann"]["reserved_usd"]) == (0.5, 0.0)
        states = {row["id"]: row["state"] for row in store.read_all("budget_reservations")}
        assert states[lost.id] == "released"
        found = store.settle_budget(lost.id, 0.75)
        assert (found.state, found.actual_usd) == ("settled", 0.75), "it was made after all"
        assert {row["spent_usd"] for row in store.read_all("budgets")} == {0.75}

    def test_reservations_that_are_long_over_are_forgotten(self, store: Store) -> None:
        old = reserve(store, 1.0, at=at(1, day=1, month=9))
        store.settle_budget(old.id, 1.0)
        new = reserve(store, 1.0)
        assert [row["id"] for row in store.read_all("budget_reservations")] == [new.id]
        with pytest.raises(UnknownName, match="reserve before the call"):
            store.settle_budget(old.id, 1.0)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"id": "mine"}, "id: a UUID was expected, not 'mine'"),
            ({"cost": -1.0}, "cost_usd: 0 or more"),
            ({"cost": float("nan")}, "cost_usd: nan is not a finite number"),
            ({"tenant": ""}, "tenant_id is missing"),
            ({"ttl_s": 0.0}, "ttl_s: more than 0 s"),
            ({"at": "noon"}, "created_at: "),
        ],
    )
    def test_a_reservation_that_makes_no_sense_is_refused(self, store: Store, given: Row, said: str) -> None:
        with pytest.raises(BadRows, match=said):
            reserve(store, **{"cost": 1.0} | given)
        assert store.read_all("budget_reservations") == []

    def test_an_id_belongs_to_one_tenant(self, store: Store) -> None:
        mine = reserve(store, 1.0)
        with pytest.raises(BadRows, match="another tenant's"):
            reserve(store, 1.0, id=mine.id, tenant="other")

    @pytest.mark.parametrize("seed", [1, 2])
    def test_eight_callers_at_once_never_overspend(self, store: Store, seed: int) -> None:
        rng = random.Random(seed)
        limit = rng.uniform(0.5, 3)
        store.write("budgets", [budget(limit_usd=limit, requests_per_hour=60)])
        store.write("budgets", [budget(user_id=f"u{n}", limit_usd=limit / 2, period="total") for n in range(3)])
        found: list[tuple[Reservation, float | None]] = []
        shares = [[rng.choice([0.0, 0.01, rng.random() / 4]) for _ in range(10)] for _ in range(8)]
        threads = [threading.Thread(target=spend, args=(store, n, costs, found)) for n, costs in enumerate(shares)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 80
        whole = next(row for row in store.read_all("budgets") if row["user_id"] is None)
        assert_within(whole, found)
        assert whole["hour_requests"] == sum(reserved.state != "refused" for reserved, _ in found) <= 60
        for row in store.read_all("budgets"):
            assert row["spent_usd"] + row["reserved_usd"] <= row["limit_usd"] + 1e-6
        late = reserve(store, 0.0, at=at(13, 1), user="u0")
        assert late.is_granted
        assert {row["reserved_usd"] < 1e-9 for row in store.read_all("budgets")} == {True}, "what was lost came back"

    def test_eight_callers_with_one_id_reserve_once(self, store: Store) -> None:
        store.write("budgets", [budget(limit_usd=100.0)])
        one = new_id()
        threads = [threading.Thread(target=reserve, args=(store, 1.0), kwargs={"id": one}) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (only(store)["reserved_usd"], only(store)["hour_requests"]) == (1.0, 1)

    # -- sessions ----------------------------------------------------------------------------------------------

    def test_a_session_begins_with_its_first_request_and_keeps_what_it_was_told(self, store: Store) -> None:
        first = store.touch_session("talk", tenant="acme", user="ann", model="a/one", at=NOON, ttl_s=3600)
        assert (first["model"], first["last_activity_at"], first["expires_at"]) == ("a/one", NOON, at(13))
        assert (first["preferences"], first["spent_usd"], first["budget_usd"]) == ({}, 0.0, None)
        later = store.touch_session(
            "talk", tenant="acme", user="ann", agent="coder", policy="best", preferences={"max_tier": "low"}, at=at(12, 30), ttl_s=3600
        )  # fmt: skip
        assert later["id"] == first["id"]
        assert (later["model"], later["policy"], later["preferences"]) == ("a/one", "best", {"max_tier": "low"})
        assert (later["agent_id"], later["created_at"], later["expires_at"]) == ("coder", NOON, at(13, 30))
        moved = store.touch_session("talk", tenant="acme", model="b/two", at=at(12, 10), ttl_s=60)
        assert (moved["model"], moved["last_activity_at"], moved["expires_at"]) == ("b/two", at(12, 30), at(13, 30))
        assert store.touch_session("talk", tenant="other", at=NOON)["id"] != first["id"]
        assert store.touch_session("talk", at=NOON)["tenant_id"] is None

    def test_a_session_that_was_over_forgets_its_model_and_not_what_it_spent(self, store: Store) -> None:
        store.touch_session("talk", tenant="acme", model="a/one", budget_usd=1.0, at=NOON, ttl_s=60)
        store.settle_budget(reserve(store, 0.75, session="talk").id, 0.75)
        row = store.touch_session("talk", tenant="acme", at=at(12, 1))
        assert (row["model"], row["spent_usd"], row["budget_usd"]) == (None, 0.75, 1.0)

    def test_a_session_spends_within_its_own_budget(self, store: Store) -> None:
        store.touch_session("talk", tenant="acme", budget_usd=1.0, at=NOON)
        first = reserve(store, 0.75, session="talk")
        assert (only(store, "user_sessions")["reserved_usd"], first.left_usd) == (0.75, 0.25)
        refused = reserve(store, 0.5, session="talk")
        assert refused.reason is not None
        assert refused.reason.startswith("The session's budget has $0.25 left of $1")
        assert reserve(store, 0.5, session="another").is_granted
        over = store.settle_budget(first.id, 2.0)
        assert [purse.kind for purse in over.over] == ["session"]
        assert (only(store, "user_sessions")["spent_usd"], only(store, "user_sessions")["reserved_usd"]) == (2.0, 0.0)

    def test_a_session_is_one_users(self, store: Store) -> None:
        store.touch_session("talk", tenant="acme", user="ann", model="a/one")
        with pytest.raises(BadRows, match="another user's"):
            store.touch_session("talk", tenant="acme", user="bob")
        for wrong in ({"session_id": ""}, {"ttl_s": -1.0}, {"budget_usd": -1.0}, {"at": "noon"}):
            with pytest.raises(BadRows):
                store.touch_session(**{"session_id": "talk"} | wrong)

    def test_callers_that_touch_a_session_at_once_share_it(self, store: Store) -> None:
        threads = [
            threading.Thread(target=store.touch_session, args=("talk",), kwargs={"tenant": "acme"}) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert only(store, "user_sessions")["session_id"] == "talk"
