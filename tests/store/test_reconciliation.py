"""Store and lake are compared day by day, and a row that one of them lacks is noticed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from store.samples import T0, T1, T2, request, result, run

from analytics.errors import Corrupt
from analytics.lake import Lake
from analytics.lake.reconcile import last_reconciliation, reconcile
from analytics.routing.seal import seal, unseal
from analytics.store import SqliteStore, Store
from analytics.store.supabase import SupabaseStore

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)  # the day of T0 is over, that of T2 is not


@pytest.fixture(params=["sqlite", "supabase"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store
    if request.param == "sqlite":
        opened = SqliteStore(tmp_path / "store.sqlite")
    else:
        project = request.getfixturevalue("project")
        opened = SupabaseStore(project.url, project.service_key)
    with opened:
        opened.migrate()
        yield opened


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def events(store: Store, count: int = 3, **given: Any) -> list[str]:
    rows = [request(**given) for _ in range(count)]
    store.write("request_events", rows)
    return [row["id"] for row in rows]


def test_closed_days_of_the_same_rows_reconcile(store: Store, lake: Lake) -> None:
    measured = run()
    store.land_results([measured], [result(measured), result(measured, created_at=T2)])
    events(store)
    lake.extract(store)
    events(store)  # waits to be extracted: no difference
    found = reconcile(store, lake, NOW)
    assert found is not None
    assert (found.days, found.rows, found.pruned, found.differences) == (2, 4, 0, ())
    assert last_reconciliation(lake) == found


def test_a_row_that_the_lake_lost_is_missing(store: Store, lake: Lake) -> None:
    events(store)
    lake.extract(store)
    (file,) = lake.files("request_events")
    (lake.directory / file.path).write_bytes(b"not what was written")
    found = reconcile(store, lake, NOW)
    assert found is not None
    assert [str(difference) for difference in found.differences] == [
        "request_events of 2026-11-21: missing; 3 rows in the store, 0 in the lake"
    ]


def test_a_row_that_the_lake_has_twice_is_noticed(store: Store, lake: Lake) -> None:
    events(store)
    lake.extract(store)
    path = lake.directory / "manifest.json"
    manifest = unseal(path.read_bytes())
    manifest["tables"]["request_events"]["files"] *= 2
    path.write_bytes(seal(manifest))
    found = reconcile(store, lake, NOW)
    assert found is not None
    assert [difference.fault for difference in found.differences] == ["doubled"]


def test_other_rows_of_the_same_number_are_noticed(store: Store, lake: Lake, tmp_path: Path) -> None:
    events(store)
    lake.extract(store)
    with SqliteStore(tmp_path / "other.sqlite") as other:
        other.migrate()
        events(other)
        aside = Lake(tmp_path / "aside")
        aside.extract(other)
        (theirs,), (ours,) = aside.files("request_events"), lake.files("request_events")
        (lake.directory / ours.path).write_bytes((aside.directory / theirs.path).read_bytes())
    path = lake.directory / "manifest.json"
    named = json.dumps(unseal(path.read_bytes())).replace(ours.sha256, theirs.sha256)
    path.write_bytes(seal(json.loads(named)))
    found = reconcile(store, lake, NOW)
    assert found is not None
    assert [difference.fault for difference in found.differences] == ["other"]


def test_a_deleted_run_and_pruned_rows_are_no_difference(store: Store, lake: Lake) -> None:
    gone, kept = run(), run()
    store.land_results([gone, kept], [result(gone), result(kept)])
    events(store)
    events(store, created_at=T1)
    lake.extract(store)
    store.delete("runs", [gone["id"]])
    store.expire("request_events", T1, lake.manifest().table("request_events").watermark)
    found = reconcile(store, lake, NOW)
    assert found is not None
    assert (found.differences, found.pruned) == ((), 1)


def test_a_lake_of_another_database_is_not_compared(store: Store, lake: Lake, tmp_path: Path) -> None:
    assert reconcile(store, lake, NOW) is None
    with SqliteStore(tmp_path / "other.sqlite") as other:
        other.migrate()
        lake.extract(other)
    assert reconcile(store, lake, NOW) is None
    assert last_reconciliation(lake) is None


def test_a_spoiled_finding_is_named(lake: Lake) -> None:
    lake.directory.mkdir()
    (lake.directory / "reconciliation.json").write_text("[]")
    with pytest.raises(Corrupt, match=r"reconciliation\.json"):
        last_reconciliation(lake)


def test_events_of_before_the_watermark_alone_are_compared(store: Store, lake: Lake) -> None:
    events(store, created_at=T0)
    lake.extract(store)
    events(store, created_at=T0)
    lake.extract(store)
    found = reconcile(store, lake, NOW)
    assert found is not None
    assert found.rows == 6
