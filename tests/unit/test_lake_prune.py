"""Raw files leave the lake on purpose: in one commit, after their grace, and never to be missed or to come again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from store.samples import T0, T2, request

from analytics.lake import Lake
from analytics.lake.reconcile import reconcile
from analytics.store import SqliteStore

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = "2026-11-21T23:00:00.000000Z"  # the day of T0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "store.sqlite") as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def lake(tmp_path: Path, store: SqliteStore) -> Lake:
    """Three requests of a day and one of the next, extracted."""
    made = Lake(tmp_path / "lake", grace_s=0.0)
    store.write("request_events", [*(request(created_at=T0) for _ in range(3)), request(created_at=T2)])
    made.extract(store)
    return made


def forget(lake: Lake, day: str = "2026-11-21") -> list[Path]:
    gone = [file for file in lake.files("request_events") if file.day == day]
    with lake.lease():
        lake.forget({"request_events": gone})
    return [lake.directory / file.path for file in gone]


def days(lake: Lake) -> list[str]:
    return [file.day for file in lake.files("request_events")]


def test_a_forgotten_day_is_out_of_the_lake_at_once_and_off_the_disk_after_its_grace(
    store: SqliteStore, lake: Lake
) -> None:
    gone = forget(lake)
    assert days(lake) == ["2026-11-22"]
    assert lake.read("request_events").rows.num_rows == 1
    assert lake.manifest().pruned == {"request_events": {"2026-11-21": 3}}
    assert all(path.exists() for path in gone), "whoever reads the old manifest may still open them"
    for _ in range(2):
        lake.extract(store)
    assert not any(path.exists() for path in gone)
    assert (days(lake), lake.verify()) == (["2026-11-22"], ())


def test_a_file_that_the_manifest_does_not_name_is_not_forgotten(lake: Lake) -> None:
    before = lake.manifest()
    stranger = lake.files("request_events")[0]
    forget(lake)
    after = lake.manifest()
    with lake.lease(), pytest.raises(ValueError, match=stranger.path):
        lake.forget({"request_events": [stranger]})
    assert (lake.manifest(), before != after) == (after, True)


def test_rows_that_come_late_to_a_forgotten_day_are_new(store: SqliteStore, lake: Lake) -> None:
    forget(lake)
    store.write("request_events", [request(created_at=LATER)])
    assert lake.extract(store).rows["request_events"] == 1
    assert days(lake) == ["2026-11-22", "2026-11-21"]


def test_a_store_that_was_put_back_brings_no_forgotten_row_again(
    store: SqliteStore, lake: Lake, tmp_path: Path
) -> None:
    """Its backup has the day that was pruned here: those rows are in the sums, and would count twice."""
    rows = [
        {name: value for name, value in row.items() if name != "commit_seq" and value is not None}
        for row in store.select("request_events").items
    ]
    forget(lake)
    with SqliteStore(tmp_path / "backup.sqlite") as backup:
        backup.migrate()
        backup.write("request_events", [*rows, request(created_at="2026-11-20T01:00:00.000000Z")])
        done = lake.extract(backup)
        assert (done.restored, done.rows["request_events"]) == (True, 1)
        assert days(lake) == ["2026-11-22", "2026-11-20"]
        found = reconcile(backup, lake, NOW)
    assert found is not None
    assert found.differences == ()


def test_a_forgotten_day_is_no_difference_but_a_row_more_than_it_had_is(store: SqliteStore, lake: Lake) -> None:
    forget(lake)
    found = reconcile(store, lake, NOW)
    assert found is not None
    assert found.differences == (), "the store has the day still"
    store.write("request_events", [request(created_at=LATER)])
    lake.extract(store)
    (lake.directory / lake.files("request_events")[-1].path).write_bytes(b"spoiled")
    found = reconcile(store, lake, NOW)
    assert found is not None
    assert [str(one) for one in found.differences] == [
        "request_events of 2026-11-21: missing; 4 rows in the store, 0 in the lake"
    ]
