"""Disk full while rows are extracted, summed or published: the last snapshot stays, and with room again all is as if nothing had been.

A file-size limit stands for the full disk: the write that passes it fails half way, with an OSError.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from scoring.test_rings import House
from store.samples import T2, request

from analytics.routing.published import read_published

ROOT = Path(__file__).parents[2]
LIMITED = textwrap.dedent("""
    import resource, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from analytics.lake import Lake
    from analytics.scoring import score
    from analytics.store import SqliteStore

    root, limit = Path(sys.argv[1]), int(sys.argv[2])
    with SqliteStore(root / "store.sqlite") as store:
        lake = Lake(root / "lake")
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        lake.extract(store)
        print("extracted", flush=True)
        score(lake, root / "scoring", datetime(2026, 11, 21, 12, 30, tzinfo=UTC))
        print("published", flush=True)
""")


def with_room_for(house: House, limit: int) -> tuple[str, str]:
    """What a process got done that may write no file beyond `limit` bytes, and how it ended."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(house.folder), str(limit)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("limit", [0, 5 << 10, 30 << 10, 100 << 10, 1 << 20])
def test_a_full_disk_leaves_the_old_snapshot_and_loses_nothing(tmp_path: Path, limit: int) -> None:
    house = House(tmp_path)
    house.land(120)
    first = house.refresh().snapshots
    house.land(400)
    house.store.write(
        "request_events", [request(model=f"new-{number}", is_simulated=False, created_at=T2) for number in range(40)]
    )
    output, error = with_room_for(house, limit)
    if "published" not in output:
        assert "OSError" in error
        assert read_published(house.folder / "scoring").snapshot_id == first["real"]
    assert house.lake.verify() == ()
    report = house.refresh()
    house.check()
    assert house.refresh(full=True).snapshots == report.snapshots
    house.store.close()


def test_a_first_scoring_without_room_publishes_nothing(tmp_path: Path) -> None:
    """And a limit that leaves room lets it pass: the test above sees both."""
    house = House(tmp_path)
    house.land(40)
    output, error = with_room_for(house, 4 << 10)
    assert ("published" in output, "OSError" in error) == (False, True)
    assert not list((house.folder / "scoring").glob("CURRENT*"))
    output, error = with_room_for(house, 1 << 30)
    assert "published" in output, error
    house.check()
    house.store.close()
