"""kill -9 at any step: 0 lost, 0 duplicated, no call paid twice.

A kill leaves the page cache to the kernel, so these tests would not notice a missing fsync; the order of system calls is
tested beside them.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MEMORY = Path("/dev/shm")
HARNESS = Path(__file__).parent / "landing_kills.py"


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: after a kill it holds what a disk's would, and it is quicker."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as folder:
        yield Path(folder)


def harness(scenario: str, base: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HARNESS), scenario, str(base)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_run_killed_at_any_boundary_is_whole_after_recovery(base: Path) -> None:
    found = harness("measure", base)
    assert found["wrong"] == []
    assert len(found["places"]) > 60

    paid = [number for number, place in enumerate(found["places"]) if place == "before write in bill"]
    assert len(paid) == 3
    for number in paid:
        assert found["places"][number - 3 : number - 1] == [
            "before pwrite in _write_all",
            "before fdatasync in append",
        ], "the intent is on the disk before the call"
        assert found["places"][number + 1 : number + 3] == [
            "before pwrite in _write_all",
            "before fdatasync in append",
        ], "the result is on the disk before anything else happens"


@pytest.mark.parametrize("boundary", [36, 66, 81], ids="died-at-{}".format)
def test_a_recovery_killed_at_any_boundary_is_whole_after_the_next(base: Path, boundary: int) -> None:
    found = harness(f"recover-{boundary}", base)
    assert found["wrong"] == []
    assert len(found["places"]) > 12


def test_without_intents_the_harness_sees_the_loss(base: Path) -> None:
    wrong = harness("measure-without-intents", base)["wrong"]
    assert any("was paid and is skipped" in line for line in wrong)
