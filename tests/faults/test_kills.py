"""The kill sessions in small, with and without what makes them pass; `make soak` holds long ones.

They run as a program of their own, because the process that is killed is forked.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from faults.kills_readers import Readers
from faults.kills_verdict import judge
from supabase_project import Projects

from analytics.routing import Lookup
from analytics.scoring.publish import publish
from flows.settings import load_settings
from flows.warehouse import open_store

ROOT = Path(__file__).parents[2]
T0 = datetime(2026, 11, 21, 2, tzinfo=UTC)


def session(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults.kills", "--seed", "5", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_kills_of_bench_and_score_lose_nothing_and_double_nothing() -> None:
    done = session("--kills", "4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    assert done.stdout.startswith("4 kills in ")


def test_kills_of_bench_and_extraction_on_a_supabase_project_lose_nothing_and_double_nothing(
    projects: Projects,
) -> None:
    """`projects` is asked for only so that the test says why, where there can be no project."""
    done = session("--kills", "4", "--store", "supabase")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    assert done.stdout.startswith("4 kills in ")


def test_without_the_fsync_before_the_call_a_paid_call_is_denied() -> None:
    done = session("--kills", "2", "--during", "bench", "--without", "intent")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "called, but its row says skipped" in done.stdout


def test_without_the_idempotent_key_rows_are_not_those_that_were_planned() -> None:
    done = session("--kills", "1", "--during", "landing", "--without", "idempotence")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "in the store, but never planned" in done.stdout
    assert "in the lake, but never planned" in done.stdout


def test_a_lost_and_an_unplanned_result_are_found(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    open_store(settings).close()
    empty = publish(settings.home.scoring, {}, {"as_of": T0.isoformat(), "is_simulated": True}, "CURRENT-simulated")
    called = {"event": "received", "request_id": "paid", "path": "/aurora/v1/chat/completions"}
    found = judge(settings, [called, called], {"planned"}).findings
    assert found == {
        "planned, but not in the store": ["planned"],
        "planned, but not in the lake": ["planned"],
        "called, but without a row": ["paid"],
        "called more than once": ["paid"],
        "scored otherwise than by a computation from nothing": [f"{empty} instead of None"],
    }


@pytest.fixture
def lookup(tmp_path: Path) -> Iterator[Lookup]:
    with Lookup.open(tmp_path, simulated=True, watch=False) as opened:
        yield opened


def put(home: Path, as_of: datetime) -> Path:
    """A snapshot of simulated scores without a row worth routing by; its directory."""
    meta = {"as_of": as_of.isoformat(), "is_simulated": True}
    root = home / "scoring"
    return root / publish(root, {"model_metrics": pa.table({"model": ["a/b"]})}, meta, "CURRENT-simulated")


def test_readers_find_nothing_wrong_before_and_after_a_first_snapshot(tmp_path: Path, lookup: Lookup) -> None:
    readers = Readers(tmp_path)
    readers.look(lookup)
    put(tmp_path, T0)
    readers._read()
    put(tmp_path, T0 + timedelta(seconds=1))
    readers._read()
    assert readers.wrong == []
    assert len(readers.snapshots) == 2


@pytest.mark.parametrize("damage", ["torn", "gone", "no pointer", "older"])
def test_readers_notice(damage: str, tmp_path: Path, lookup: Lookup) -> None:
    readers = Readers(tmp_path)
    snapshot = put(tmp_path, T0)
    readers._read()
    assert readers.wrong == []
    match damage:
        case "torn":
            table = snapshot / "model_metrics.parquet"
            table.write_bytes(table.read_bytes()[:-1])
        case "gone":
            shutil.rmtree(snapshot)
        case "no pointer":
            (tmp_path / "scoring" / "CURRENT-simulated").unlink()
        case _:
            put(tmp_path, T0 - timedelta(seconds=1))
    readers.look(lookup)
    expected = 1 if damage == "older" else 3
    assert len(readers.wrong) >= expected, readers.wrong
