"""What lookups decided, on its way from their logs into a Supabase project: real PostgreSQL, PostgREST and client."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from routing.worlds import NOW_S, configure, model, rating, scored
from supabase_project import Fault, Project

from analytics.errors import StoreUnavailable
from analytics.routing import Lookup, RouteAnswer, RouteQuery
from analytics.store.decisions import find_decision, land_decisions, told
from analytics.store.supabase import SupabaseStore

ASKED = (
    RouteQuery(task="code"),
    RouteQuery(task="code", tenant="acme", user="ann", weights={"quality": 1}, max_price={"prompt": 5}),
    RouteQuery(need=("flight",)),
)


@pytest.fixture
def store(project: Project) -> Iterator[SupabaseStore]:
    with SupabaseStore(project.url, project.service_key, timeout_s=10, patience_s=2) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def answers(tmp_path: Path) -> list[RouteAnswer]:
    """What was answered, and logged below `tmp_path`."""
    keys = ("a/one", "b/two")
    configure(tmp_path, [model(key) for key in keys])
    scored(tmp_path, [rating(key, "code", quality, 40) for key, quality in zip(keys, (0.9, 0.4), strict=True)])
    with Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S + 60, log=True) as lookup:
        return [lookup.route(query) for query in ASKED]


def test_decisions_land_once_and_are_told_as_they_were_given(
    store: SupabaseStore, answers: list[RouteAnswer], tmp_path: Path
) -> None:
    logs = tmp_path / "spool/decisions"
    kept = {path: path.read_bytes() for path in logs.glob("*.jsonl")}
    assert land_decisions(logs, store).landed == 3
    assert land_decisions(logs, store).landed == 0
    for path, data in kept.items():
        path.write_bytes(data)  # a drain that was killed before it took its file away
    again = land_decisions(logs, store)
    assert (again.landed, again.refused) == (0, ())
    assert len(store.read_all("routing_decisions")) == 3
    for answer in answers:
        found = told(find_decision(answer.decision_id, logs, store))
        assert json.loads(json.dumps(found["answer"])) == json.loads(json.dumps(answer.to_dict()))


def test_a_reply_that_is_lost_loses_and_doubles_no_decision(
    store: SupabaseStore, answers: list[RouteAnswer], tmp_path: Path, project: Project
) -> None:
    logs = tmp_path / "spool/decisions"
    project.proxy.faults.append(Fault("drop", times=1, method="POST", after=True))
    land_decisions(logs, store)
    assert sorted(row["id"] for row in store.read_all("routing_decisions")) == sorted(
        answer.decision_id for answer in answers
    )


def test_while_the_project_is_away_the_log_stays(
    store: SupabaseStore, answers: list[RouteAnswer], tmp_path: Path, project: Project
) -> None:
    logs = tmp_path / "spool/decisions"
    project.proxy.faults.append(Fault("status", times=1_000, status=503))
    with pytest.raises(StoreUnavailable):
        land_decisions(logs, store)
    project.proxy.faults.clear()
    assert land_decisions(logs, store).landed == len(answers)
