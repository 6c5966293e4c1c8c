"""Threats, fake ratings: a thousand of them move a model's rank by one place at most."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from analytics.lake import Lake
from analytics.routing import Lookup, RouteQuery
from analytics.scoring import publish_configuration, score
from analytics.store import Row, SqliteStore, new_id

AT = "2026-11-21T12:00:00.000000Z"
AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
NAMES = ("best", "good", "fair", "poor", "bad")
SHARES = (9, 8, 7, 6, 5)  # of each tenant's ten ratings of a model so many are good
NOBODY_RATED = "new"
FAKES = 1000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Four tenants of ten users each have rated five models honestly; one more model has no rating."""
    with SqliteStore(tmp_path / "store.sqlite") as made:
        made.migrate()
        made.write("providers", [
            {"id": new_id(), "key": "p", "name": "p", "provider_type": "custom", "base_url": "https://p.example/v1", "created_at": AT, "updated_at": AT}
        ])  # fmt: skip
        entries = [
            {"external_id": name, "model_type": "chat", "capabilities": ["text"]} for name in (*NAMES, NOBODY_RATED)
        ]
        made.apply_catalog("p", entries, AT)
        made.write("feedback_events", [
            vote(name, float(user < share), f"{tenant}-{name}-{user}", f"{tenant}-u{user}", tenant)
            for name, share in zip(NAMES, SHARES, strict=True) for tenant in ("t1", "t2", "t3", "t4") for user in range(10)
        ])  # fmt: skip
        yield made


def vote(name: str, rating: float, message: str, user: str | None, tenant: str | None) -> Row:
    return {
        "id": new_id(), "message_id": message, "model": f"p/{name}", "task_type": "code", "rating": rating,
        "feedback_type": "explicit", "user_id": user, "tenant_id": tenant, "agent_id": "helper", "created_at": AT,
    }  # fmt: skip


def ranks(store: SqliteStore, folder: Path) -> dict[str, dict[str, int]]:
    """Everyone's order of the models at code by two policies, as `route` answers it after `score`."""
    lake = Lake(folder / "lake")
    lake.extract(store)
    score(lake, folder / "scoring", AS_OF)
    publish_configuration(store, folder / "configuration", tie_delta=0.0)
    found = {}
    with Lookup.open(folder, watch=False) as lookup:
        for policy in ("default", "learned"):
            answer = lookup.route(RouteQuery(task="code", top=20, policy=policy))
            assert answer.model is not None
            order = [answer.model, *(other.model for other in answer.fallbacks)]
            found[policy] = {key.removeprefix("p/"): place for place, key in enumerate(order)}
    return found


ATTACKS: dict[str, Callable[[int], tuple[str, str | None, str | None]]] = {
    "one user on one message": lambda _: ("m", "evil", "x"),
    "one user of a tenant of many": lambda number: (f"m{number}", "t1-u0", "t1"),
    "a thousand users of one tenant": lambda number: (f"m{number}", f"evil{number}", "x"),
    "nobody in particular": lambda number: (f"m{number}", None, None),
}


@pytest.mark.parametrize(("target", "stars"), [("bad", 1.0), ("best", 0.0)])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_thousand_fake_votes_move_a_rank_by_at_most_one(
    store: SqliteStore, tmp_path: Path, attack: str, target: str, stars: float
) -> None:
    before = ranks(store, tmp_path / "before")
    fakes = [vote(target, stars, *ATTACKS[attack](number)) for number in range(FAKES)]
    assert store.write("feedback_events", fakes) == FAKES
    after = ranks(store, tmp_path / "after")
    for policy, places in before.items():
        assert [name for name in sorted(places, key=places.__getitem__) if name in NAMES] == list(NAMES)
        moved = {name: abs(after[policy][name] - places[name]) for name in places}
        assert max(moved.values()) <= 1, (policy, moved)


def test_a_model_that_nobody_else_rated_is_not_voted_up(store: SqliteStore, tmp_path: Path) -> None:
    before = ranks(store, tmp_path / "before")
    store.write(
        "feedback_events", [vote(NOBODY_RATED, 1.0, f"m{number}", f"evil{number}", "x") for number in range(FAKES)]
    )
    after = ranks(store, tmp_path / "after")
    for policy, places in before.items():
        assert places[NOBODY_RATED] - after[policy][NOBODY_RATED] <= 1, policy


def test_a_tenants_own_ratings_count_for_itself(store: SqliteStore, tmp_path: Path) -> None:
    store.write("feedback_events", [vote("bad", 1.0, f"m{number}", f"u{number}", "x") for number in range(100)])
    ranks(store, tmp_path)
    with Lookup.open(tmp_path, watch=False) as lookup:
        own = lookup.route(RouteQuery(task="code", tenant="x"))
    assert own.model == "p/bad"
    assert own.evidence is not None
    assert own.evidence.n == 100
