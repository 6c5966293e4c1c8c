"""A refresh that is killed has either happened or not, wherever it was; what is damaged is made again."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from scoring.test_rings import House

from analytics.scoring import moments as sums
from analytics.scoring.publish import current

ROOT = Path(__file__).parents[2]
_ROW = sums.WIDTH * 8

KILLED = textwrap.dedent("""
    import os, signal, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from analytics.lake import Lake
    from analytics.scoring import score

    root, name, event_wanted, seen = sys.argv[1], sys.argv[2], sys.argv[3], 0

    def watch(event, args):
        if event == event_wanted and any(name in str(arg) for arg in args):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    score(Lake(Path(root) / "lake"), Path(root) / "scoring", datetime(2026, 11, 21, 12, 30, tzinfo=UTC))
""")

POINTS = [("journal-", "os.rename"), ("/STATE", "os.rename"), ("moments-", "open"), ("histograms-", "open")]


@pytest.mark.parametrize(("name", "event"), POINTS)
def test_a_killed_refresh_is_done_again_or_was_done(tmp_path: Path, name: str, event: str) -> None:
    house = House(tmp_path)
    house.land(40)
    house.refresh()
    house.land(10)
    house.lake.extract(house.store)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), name, event], check=False, cwd=ROOT)
    assert done.returncode == -9
    report = house.refresh()
    assert not report.is_rebuilt
    house.check()
    assert house.refresh(full=True).snapshots == report.snapshots
    house.store.close()


def test_buildings_that_were_killed_leave_no_room_taken(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.land(40)
    house.lake.extract(house.store)
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path), "/STATE", "os.rename"], check=False, cwd=ROOT
        )
        assert done.returncode == -9
        assert len(list((house.folder / "scoring" / "state").glob("moments-*"))) == 1
    house.refresh()
    house.check()
    house.store.close()


@pytest.mark.parametrize("pattern", ["moments-*", "histograms-*", "keys-*", "ledger-*"])
def test_a_damaged_byte_is_noticed_and_the_sums_are_made_again(tmp_path: Path, pattern: str) -> None:
    house = House(tmp_path)
    house.land(40)
    first = house.refresh().snapshots
    (path,) = (house.folder / "scoring" / "state").glob(pattern)
    data = bytearray(path.read_bytes())
    at = next(at for at in range(len(data)) if data[at])
    data[at] ^= 1
    path.write_bytes(data)
    (house.folder / "scoring" / "state" / "cache-metrics-real.json").unlink()
    (house.folder / "scoring" / "state" / "cache-metrics-simulated.json").unlink()
    report = house.refresh()
    assert report.is_rebuilt
    assert report.snapshots == first
    assert current(house.folder / "scoring") == first["real"]
    house.store.close()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 3]


def emptied(data: bytes) -> bytes:
    return bytes(len(data))


def moved(data: bytes) -> bytes:
    """Every row lies where the one before it belongs."""
    return data[_ROW:] + data[:_ROW]


@pytest.mark.parametrize("damage", [None, cut, emptied, moved])
@pytest.mark.parametrize("has_metrics", [True, False])
def test_sums_that_are_lost_are_made_again(
    tmp_path: Path, damage: Callable[[bytes], bytes] | None, has_metrics: bool
) -> None:
    """Also where STATE names a journal, and where the metrics of windows are kept and only totals are read."""
    house = House(tmp_path)
    house.land(40)
    house.refresh()
    house.land(10)
    first = house.refresh()
    (path,) = (house.folder / "scoring" / "state").glob("moments-*")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    if not has_metrics:
        for mark in (house.folder / "scoring" / "state").glob("cache-metrics-*.json"):
            mark.unlink()
    report = house.refresh()
    assert report.is_rebuilt
    assert report.snapshots == first.snapshots
    house.check()
    house.store.close()


def test_damage_that_only_publication_meets_is_made_good_too(tmp_path: Path) -> None:
    """A day whose published part is gone is made of the totals of that day, which nothing else reads."""
    house = House(tmp_path)
    house.land(40)
    first = house.refresh()
    published = house.folder / "scoring" / first.snapshots["real"]
    for path in published.glob("model_performance_history.*.parquet"):
        path.unlink()
    for path in (house.folder / "scoring" / "state").glob("*.daily_totals.*.parquet"):
        path.write_bytes(path.read_bytes()[:-1])
    report = house.refresh()
    assert report.is_rebuilt
    assert report.tables[False]["model_performance_history"].num_rows
    house.check()
    house.store.close()
