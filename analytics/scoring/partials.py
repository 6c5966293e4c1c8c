"""Mergeable aggregates of one day, kept under the digest of everything they were computed from.

::

    partials/dt=YYYY-MM-DD/<digest>-<table>.parquet
    partials/dt=YYYY-MM-DD/<digest>.json        written last: sha256 and rows of each table

The digest covers the day's lake files, the deleted runs that have rows in them, and the SQL. A day in which none of these
changed is read back; a late row, a deleted run or an edited file makes a new digest, and the day is computed anew. So it is when a
price that its rows name was corrected: which prices those are stands beside the partial. They are a cache: a partial that
is damaged or gone is computed again.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics.durable import make_directory, replace_file
from analytics.lake import EVENTS, Lake, LakeFile, Manifest, to_arrow
from analytics.scoring.tables import compute, needed, scoring_sql

TABLES = ("hourly_moments", "hourly_buckets", "day_votes", "day_left_out")
_SOURCES = ("benchmark_results", "request_events", "feedback_events")
_DIGITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """The partial tables of one day; `corrupt` are the sentences about files that were left out of it.

    `digest` is that of the day's rows, and behind a dash that of the corrected prices they name, if any.
    """

    digest: str
    tables: dict[str, pa.Table]
    is_reused: bool
    corrupt: tuple[str, ...] = ()


class Partials:
    """The partials below one directory. Only the holder of the lake's lease may use it."""

    def __init__(self, directory: Path) -> None:
        self._directory = Path(directory)

    def day(
        self,
        lake: Lake,
        manifest: Manifest,
        day: str,
        deleted_runs: frozenset[str],
        repricings: pa.Table,
        *,
        anew: bool = False,
    ) -> Day:
        """One day's tables, read back if nothing they rest on changed, else computed; `anew` computes in any case."""
        files = {name: [file for file in manifest.table(name).files if file.day == day] for name in _SOURCES}
        deleted = sorted(deleted_runs.intersection(run for file in files["benchmark_results"] for run in file.runs))
        digest = _digest(files, deleted)
        if not anew and (kept := self._read(day, digest, repricings)):
            return kept
        readings = {name: lake.load_all(name, found) for name, found in files.items()}
        corrupt = tuple(sentence for reading in readings.values() for sentence in reading.corrupt)
        inputs = {name: reading.rows for name, reading in readings.items()}
        inputs["tombstones"] = to_arrow("tombstones", [{"run_id": run} for run in deleted])
        prices = pc.unique(inputs["benchmark_results"].column("price_id")).drop_null().to_pylist()
        corrected, inputs["repricings"] = _corrections(repricings, prices)
        tables = compute(TABLES, inputs, {})
        if not corrupt:  # what rests on a part of a day is never kept under the digest of all of it
            self._write(day, digest, tables, {"prices": sorted(prices), "corrected": corrected})
        return Day(digest + corrected, tables, is_reused=False, corrupt=corrupt)

    def empty(self) -> dict[str, pa.Table]:
        """The tables of a day without events."""
        return compute(TABLES, {name: to_arrow(name, ()) for name in EVENTS}, {})

    def forget_all_but(self, kept: dict[str, str]) -> None:
        """Remove every partial but that of digest `kept[day]` of each day."""
        for path in self._directory.glob("dt=*/*"):
            if not path.name.startswith(kept.get(path.parent.name.removeprefix("dt="), "-")[:_DIGITS]):
                path.unlink()

    def _folder(self, day: str) -> Path:
        return self._directory / f"dt={day}"

    def _read(self, day: str, digest: str, repricings: pa.Table) -> Day | None:
        """What was kept, whole, unchanged and by the prices of today, or None."""
        try:
            record = json.loads((self._folder(day) / f"{digest}.json").read_bytes())
            corrected, _ = _corrections(repricings, record["prices"])
            if record["corrected"] != corrected:
                return None
            tables = {}
            for name in TABLES:
                data = (self._folder(day) / f"{digest}-{name}.parquet").read_bytes()
                if hashlib.sha256(data).hexdigest() != record["tables"][name]:
                    return None
                tables[name] = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Day(digest + corrected, tables, is_reused=True)

    def _write(self, day: str, digest: str, tables: dict[str, pa.Table], record: dict[str, Any]) -> None:
        make_directory(self._folder(day))
        sums = {}
        for name, table in tables.items():
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
            data = sink.getvalue().to_pybytes()
            replace_file(self._folder(day) / f"{digest}-{name}.parquet", data)
            sums[name] = hashlib.sha256(data).hexdigest()
        replace_file(
            self._folder(day) / f"{digest}.json", json.dumps({**record, "tables": sums}, sort_keys=True).encode()
        )


def _corrections(repricings: pa.Table, prices: Sequence[str]) -> tuple[str, pa.Table]:
    """The corrections of these prices, and their digest behind a dash ('' where there are none)."""
    found = repricings.filter(pc.is_in(repricings.column("price_id"), pa.array(prices, pa.string())))
    if not found.num_rows:
        return "", found
    rows = sorted(json.dumps(row, sort_keys=True, default=str) for row in found.to_pylist())
    return "-" + hashlib.sha256("".join(rows).encode()).hexdigest()[:_DIGITS], found


def _digest(files: dict[str, list[LakeFile]], deleted: Sequence[str]) -> str:
    program = {name: scoring_sql()[name] for name in needed(TABLES, EVENTS)}
    lake = {name: sorted(file.sha256 for file in found) for name, found in files.items()}
    document = json.dumps([program, lake, list(deleted)], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:_DIGITS]
