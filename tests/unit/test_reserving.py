"""Route and reserve: budgets are checked against the model that is called, before the call, fallbacks included."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from routing.worlds import NOW_S, configure, model, rating, scored
from store.spending import NOON, budget

from analytics.reserving import Reserved, route_and_reserve
from analytics.routing import Lookup, RouteQuery
from analytics.store import SqliteStore, new_id

MODELS = [
    model("a/best", pricing_input=100.0, pricing_output=100.0),
    model("b/good", pricing_input=10.0, pricing_output=10.0),
    model("c/fair", pricing_input=1.0, pricing_output=1.0),
    model("d/free", pricing_input=0.0, pricing_output=0.0, capabilities=[]),
    model("e/unpriced", pricing_input=None, pricing_output=None, priority=100),
]
QUALITY = {"a/best": 0.95, "b/good": 0.9, "c/fair": 0.8, "d/free": 0.5, "e/unpriced": 0.99}


@pytest.fixture
def lookup(tmp_path: Path) -> Lookup:
    configure(tmp_path, MODELS, [], [])
    scored(tmp_path, [rating(key, "code", quality, 50_000, quality_se=0.0001) for key, quality in QUALITY.items()])
    return Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "store" / "store.sqlite") as opened:
        opened.migrate()
        yield opened


def query(**given: object) -> RouteQuery:
    fields = {"task": "code", "tenant": "acme", "need": ("text",), "input_tokens": 5_000, "output_tokens": 5_000}
    return RouteQuery(**fields | given)  # type: ignore[arg-type]  # a test's own fields


def ask(lookup: Lookup, store: SqliteStore, one: str | None = None, **given: object) -> Reserved:
    return route_and_reserve(lookup, store, query(**given), one, at=NOON)


def test_a_query_takes_the_best_model_that_the_budget_has_enough_for(lookup: Lookup, store: SqliteStore) -> None:
    store.write("budgets", [budget(limit_usd=1.25)])
    found = [ask(lookup, store) for _ in range(5)]
    assert [reserved.answer.model for reserved in found] == ["a/best", "b/good", "b/good", "c/fair", "c/fair"]
    costs = [reserved.reservation.cost_usd for reserved in found if reserved.reservation]
    assert costs == pytest.approx([1.0, 0.1, 0.1, 0.01, 0.01])
    assert "budget_cheaper" in found[1].answer.reason_codes
    assert (
        found[1].answer.reasons[-1].startswith("A dearer model was passed over: The day budget of the whole tenant has")
    )
    assert store.select("budget_reservations", {"id": found[1].reservation.id}).items[0]["model"] == "b/good"  # type: ignore[union-attr]


def test_without_enough_for_any_model_within_the_limits_the_budget_is_the_reason(
    lookup: Lookup, store: SqliteStore
) -> None:
    store.write("budgets", [budget(limit_usd=0.005)])
    found = ask(lookup, store)
    assert (found.answer.model, found.answer.source, found.answer.reason_codes[0]) == (None, "none", "budget_refused")
    assert found.answer.reasons[0].startswith("The day budget of the whole tenant has $0.005 left of $0.005")
    assert found.reservation is not None
    assert not found.reservation.is_granted
    assert store.read_all("budget_reservations") == []
    assert ask(lookup, store, need=()).answer.model == "d/free", "what costs nothing is always granted"
    assert found.answer.to_dict()["model"] is None


def test_an_hour_without_requests_left_is_no_matter_of_price(lookup: Lookup, store: SqliteStore) -> None:
    store.write("budgets", [budget(limit_usd=None, requests_per_hour=1, user_id="ann")])
    assert ask(lookup, store, user="ann").answer.model == "a/best"
    found = ask(lookup, store, user="ann")
    assert found.answer.reasons == ("The hourly limit of user ann allows 1 requests an hour, and all were made.",)
    assert ask(lookup, store, user="bob").answer.model == "a/best"


def test_what_has_no_known_price_is_reserved_only_where_the_query_allows_it(lookup: Lookup, store: SqliteStore) -> None:
    store.write("budgets", [budget()])
    assert ask(lookup, store).answer.model == "a/best"
    found = ask(lookup, store, allow_unknown=True, allow=("e/unpriced",))
    assert found.answer.model == "e/unpriced"
    assert found.reservation is not None
    assert found.reservation.cost_usd == 0
    only = ask(lookup, store, allow=("e/unpriced",))
    assert (only.answer.model, only.reservation) == (None, None)


def test_asking_again_under_one_id_answers_the_model_that_was_reserved(lookup: Lookup, store: SqliteStore) -> None:
    store.write("budgets", [budget(limit_usd=1.5)])
    one = new_id()
    assert ask(lookup, store, one).answer.model == "a/best"
    again = ask(lookup, store, one, sort="price")
    assert again.answer.model == "a/best"
    assert store.read_all("budgets")[0]["reserved_usd"] == pytest.approx(1.0)
    store.settle_budget(one, 1.0)
    with pytest.raises(ValueError, match="settled already"):
        ask(lookup, store, one)


def test_a_session_stays_with_the_model_that_was_reserved_until_its_budget_moves_it(
    lookup: Lookup, store: SqliteStore
) -> None:
    store.touch_session("talk", tenant="acme", budget_usd=0.5, at=NOON)
    first = ask(lookup, store, session="talk")
    assert first.answer.model == "b/good"
    assert store.read_all("user_sessions")[0]["model"] == "b/good"
    assert "session_moved" not in first.answer.reason_codes
    kept = ask(lookup, store, session="talk", session_model="b/good", deny=("a/best",))
    assert kept.answer.reason_codes[0] == "session_kept"
    assert store.read_all("user_sessions")[0]["reserved_usd"] == pytest.approx(0.2)


@pytest.mark.parametrize("missing", [{"tenant": None}, {"input_tokens": None, "output_tokens": None}])
def test_what_cannot_be_reserved_is_said(lookup: Lookup, store: SqliteStore, missing: dict[str, None]) -> None:
    with pytest.raises(ValueError, match="must be given to reserve a budget"):
        ask(lookup, store, **missing)


def replay(lookup: Lookup, path: Path, seed: int, requests: int) -> None:
    """A stream of requests: calls fail and go to a fallback, some are never settled, none costs more than was reserved."""
    rng = random.Random(seed)
    with SqliteStore(path) as store:
        for _ in range(requests):
            denied: tuple[str, ...] = ()
            tokens = rng.choice([10, 1_000, 8_000])
            for _ in range(3):
                found = ask(lookup, store, user=f"u{seed % 2}", deny=denied, input_tokens=tokens, output_tokens=tokens)
                reservation = found.reservation
                if found.answer.model is None or reservation is None:
                    break
                assert lookup.cost_usd(found.answer.model, tokens, tokens) == pytest.approx(reservation.cost_usd)
                fails = rng.random() < 0.4
                if rng.random() < 0.95:
                    store.settle_budget(
                        reservation.id, reservation.cost_usd * (rng.random() / 2 if fails else 1), at=NOON
                    )
                if not fails:
                    break
                denied = (*denied, found.answer.model)


def assert_never_overspent(store: SqliteStore) -> None:
    spent = 0.0
    for row in store.read_all("budgets"):
        assert 0 <= row["spent_usd"] + row["reserved_usd"] <= row["limit_usd"] + 1e-6
        spent = max(spent, row["spent_usd"] / row["limit_usd"])
    assert spent > 0.2, "and there was something to overspend"
    rows = store.read_all("budget_reservations")
    whole = next(row for row in store.read_all("budgets") if row["user_id"] is None)
    assert sum(row["actual_usd"] or 0 for row in rows) == pytest.approx(whole["spent_usd"])


def budgets(store: SqliteStore) -> None:
    store.write(
        "budgets", [budget(limit_usd=3.0), *(budget(user_id=f"u{n}", limit_usd=2.0, period="month") for n in (0, 1))]
    )


def test_a_stream_of_requests_with_fallbacks_never_overspends(
    lookup: Lookup, store: SqliteStore, tmp_path: Path
) -> None:
    budgets(store)
    path = tmp_path / "store" / "store.sqlite"
    threads = [threading.Thread(target=replay, args=(lookup, path, seed, 12)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_never_overspent(store)


def test_what_a_session_prefers_holds_for_each_of_its_queries(lookup: Lookup, store: SqliteStore) -> None:
    store.touch_session("s1", tenant="acme", preferences={"deny": ["a/best"], "max_price": {"prompt": 50}}, at=NOON)
    assert ask(lookup, store).answer.model == "a/best"
    assert ask(lookup, store, session="s1").answer.model == "b/good"
    assert ask(lookup, store, session="s1", session_model="a/best").answer.model == "b/good"
    stricter = ask(lookup, store, session="s1", max_price={"prompt": 5}, deny=("d/free",))
    assert stricter.answer.model == "c/fair", "of two limits the stricter holds"
    assert ask(lookup, store, session="s1", max_price={"prompt": 500}).answer.model == "b/good", "none is lifted"


def test_how_a_session_ranks_holds_where_the_query_does_not_say(lookup: Lookup, store: SqliteStore) -> None:
    store.touch_session("s2", tenant="acme", policy="cheapest", at=NOON)
    assert ask(lookup, store, session="s2").answer.model == "c/fair"
    assert ask(lookup, store, session="s2", policy="best", session_model="a/best").answer.model == "a/best"
    store.touch_session("s3", tenant="acme", policy="best", preferences={"sort": "price"}, at=NOON)
    assert ask(lookup, store, session="s3").answer.model == "c/fair"


@pytest.mark.parametrize("preferences", [{"denny": ["a/best"]}, {"max_tier": "cheap"}, {"min_quality": "high"}])
def test_preferences_that_make_no_sense_are_named_and_reserve_nothing(
    lookup: Lookup, store: SqliteStore, preferences: dict[str, object]
) -> None:
    store.touch_session("s4", tenant="acme", preferences=preferences, at=NOON)
    with pytest.raises(ValueError, match=rf"session s4: .*{next(iter(preferences))}"):
        ask(lookup, store, session="s4")
    assert store.read_all("budget_reservations") == []
