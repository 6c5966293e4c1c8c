"""Raw files leave the lake, and what they added up to stays, whatever happens to the state."""

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from scoring.test_rings import AS_OF, House

from analytics.errors import Corrupt
from analytics.scoring import Prunable, prunable, seal, sealed_files

FUTURE = date(2030, 1, 1)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.land(150)
    made.refresh()
    yield made
    made.store.close()


def prune(house: House, *, before: date = FUTURE) -> tuple[Prunable, ...]:
    with house.lake.lease():
        days = seal(house.lake, house.folder / "scoring", prunable(house.lake, house.folder / "scoring", before))
        gone: dict[str, list[object]] = {}
        for day in days:
            gone.setdefault(day.table, []).extend(day.files)
        house.lake.forget(gone)  # type: ignore[arg-type]
    for day in days:
        for file in day.files:
            (house.lake.directory / file.path).unlink()
    return days


def test_what_was_pruned_still_counts_and_survives_the_loss_of_the_state(house: House) -> None:
    before = house.refresh().snapshots
    days = prune(house)
    assert {day.table for day in days} == {"benchmark_results", "request_events"}
    assert sum(day.rows for day in days) > 0
    report = house.refresh()
    assert not report.is_rebuilt
    assert report.snapshots == before
    shutil.rmtree(house.folder / "scoring" / "state")
    report = house.refresh()
    assert report.is_rebuilt
    assert report.corrupt == ()
    assert report.snapshots == before


def test_only_days_behind_every_border_may_be_pruned(house: House) -> None:
    days = prunable(house.lake, house.folder / "scoring", FUTURE)
    newest = max(day.day for day in days)
    assert date.fromisoformat(newest) <= (AS_OF - timedelta(hours=2161)).date()
    assert {day.day for day in prunable(house.lake, house.folder / "scoring", date.fromisoformat(newest))} < {
        day.day for day in days
    }
    assert {file.path for day in days for file in day.files} < {
        file.path for table in ("benchmark_results", "request_events") for file in house.lake.files(table)
    }


def test_a_day_with_a_file_that_is_not_absorbed_may_not_be_pruned(house: House) -> None:
    days = {day.day for day in prunable(house.lake, house.folder / "scoring", FUTURE)}
    house.land(150)
    house.lake.extract(house.store)
    assert {day.day for day in prunable(house.lake, house.folder / "scoring", FUTURE)} < days


def test_rows_that_are_sealed_and_still_there_count_once(house: House) -> None:
    """The prune was killed between sealing and the lake's commit, and sealing again changes nothing."""
    before = house.refresh().snapshots
    scoring = house.folder / "scoring"
    for _ in range(2):
        sealed = seal(house.lake, scoring, prunable(house.lake, scoring, FUTURE))
        files = sorted(path.name for path in (house.lake.directory / "partials").rglob("*.parquet"))
    assert sorted(path.name for path in (house.lake.directory / "partials").rglob("*.parquet")) == files
    assert {file.path for files in sealed_files(house.lake).values() for file in files} == {
        file.path for day in sealed for file in day.files
    }
    assert house.refresh(full=True).snapshots == before


def test_late_rows_of_a_pruned_day_are_added_and_may_be_pruned_too(house: House) -> None:
    prune(house)
    house.land(150)
    before = house.refresh()
    assert not before.is_rebuilt
    assert house.refresh(full=True).snapshots == before.snapshots
    prune(house)
    assert house.refresh(full=True).snapshots == before.snapshots


def test_no_state_means_nothing_may_be_pruned(house: House) -> None:
    days = prunable(house.lake, house.folder / "scoring", FUTURE)
    shutil.rmtree(house.folder / "scoring" / "state")
    assert prunable(house.lake, house.folder / "scoring", FUTURE) == ()
    assert seal(house.lake, house.folder / "scoring", days) == ()


def test_a_damaged_seal_is_named_and_left_out(house: House) -> None:
    prune(house)
    path = next((house.lake.directory / "partials").rglob("*.moments.parquet"))
    path.write_bytes(b"x" + path.read_bytes()[1:])
    report = house.refresh(full=True)
    assert [path.name in text for text in report.corrupt] == [True]
    (house.lake.directory / "partials" / "SEALED").write_text('{"version": 2}')
    with pytest.raises(Corrupt):
        house.refresh(full=True)
