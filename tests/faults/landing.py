"""What the tests of landing share: a store, a spool, a run in it, and a program that dies."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from store.samples import T0, plan, run

from analytics.store import Landing, RunSpool, Spool, SqliteStore

Row = dict[str, Any]

MEASURED = {"outcome": "ok", "success": True, "ttft_ms": 12.5, "created_at": T0}


def migrated(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    store.migrate()
    return store


def begin(spool: Spool, count: int = 3) -> tuple[RunSpool, list[str]]:
    """A run of `count` planned results, and their ids."""
    row = run(planned=count)
    plans = [plan(row) for _ in range(count)]
    return spool.open_run(row, plans), [planned["id"] for planned in plans]


def measure(opened: RunSpool, result_id: str, **given: Any) -> None:
    opened.intend(result_id)
    opened.record({"id": result_id, **MEASURED, **given})


def die(opened: RunSpool) -> None:
    """Leave a run as kill -9 does: the kernel closes the file, nobody tidies up."""
    os.close(opened._journal._descriptor)
    opened._is_closed = True


def outcomes(store: SqliteStore) -> dict[str, str]:
    rows = store.read("benchmark_results").rows
    found = {row["id"]: row["outcome"] for row in rows}
    assert len(found) == len(rows), "no id is there twice"
    return found


def refused(spool_directory: Path) -> list[Row]:
    files = sorted((spool_directory / "refused").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@contextmanager
def full_disk(opened: RunSpool) -> Iterator[None]:
    """Every write to the run's file fails as the kernel fails it when a disk is full."""
    descriptor = opened._journal._descriptor
    real, full = os.dup(descriptor), os.open("/dev/full", os.O_RDWR)
    os.dup2(full, descriptor)
    try:
        yield
    finally:
        if not opened._is_closed:
            os.dup2(real, descriptor)
        os.close(real)
        os.close(full)


class ReplyLost(SqliteStore):
    """A store whose commits succeed, but whose first replies never arrive."""

    lost = 2

    def land_results(self, runs: Any, results: Any) -> Landing:
        landing = super().land_results(runs, results)
        if self.lost:
            self.lost -= 1
            raise ConnectionResetError
        return landing
