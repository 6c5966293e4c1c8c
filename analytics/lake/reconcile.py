"""Does the lake hold what the store gave it? Counted and hashed by day, for the days that are over.

Both sides are taken up to the watermark of the lake, so that what waits to be extracted is no difference. Rows of deleted runs are
gone from the store and left out of the lake's count. A day of which the lake has more than the store was pruned there: that is
what the lake is for, so it is said but is no fault. Nor is it one if the lake pruned a day that a store, put back from a backup, has again.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from analytics.durable import replace_file
from analytics.errors import Corrupt
from analytics.lake import EVENTS, Lake, LakeFile, Manifest
from analytics.store import Tally, to_text
from analytics.store.rows import id_number

_FILE = "reconciliation.json"

Fault = Literal["missing", "doubled", "other"]


class Counted(Protocol):
    """What this module needs of a store."""

    def epoch(self) -> str: ...
    def tally(self, table: str, after: int | None = None, until: int | None = None) -> Sequence[Tally]: ...
    def read_all(self, table: str) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """A day of a table that is not the same: rows are missing from the lake, are there twice, or are other ones."""

    table: str
    day: str
    fault: Fault
    store_rows: int
    lake_rows: int

    def __str__(self) -> str:
        return f"{self.table} of {self.day}: {self.fault}; {self.store_rows} rows in the store, {self.lake_rows} in the lake"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a comparison at `at` (UTC text) found: how many days of tables were compared, with how many rows of the store.

    `pruned` of those days have left the store, in part or whole.
    """

    at: str
    days: int
    rows: int
    pruned: int
    differences: tuple[Difference, ...]


def reconcile(store: Counted, lake: Lake, now: datetime) -> Reconciliation | None:
    """Compare every closed day, and keep the finding beside the lake; None while the lake is not that of this store.

    Raises what the store raises, and Corrupt for the lake's manifest.
    """
    manifest = lake.manifest()
    if manifest.epoch != store.epoch():
        return None
    found = _compared(store, lake, manifest, now)
    if found.differences:  # a run that was deleted meanwhile is none: the second look sees its tombstone
        found = _compared(store, lake, manifest, now)
    replace_file(_path(lake), json.dumps(asdict(found), sort_keys=True, indent=1).encode())
    return found


def last_reconciliation(lake: Lake) -> Reconciliation | None:
    """What the last comparison found; None if there was none. Raises Corrupt."""
    path = _path(lake)
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        differences = tuple(Difference(**difference) for difference in document.pop("differences"))
        return Reconciliation(**document, differences=differences)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"{path} is no reconciliation ({type(error).__name__}); remove it") from error


def _compared(store: Counted, lake: Lake, manifest: Manifest, now: datetime) -> Reconciliation:
    today = f"{now.astimezone(UTC):%Y-%m-%d}"
    days = rows = pruned = 0
    differences = list[Difference]()
    for table in EVENTS:
        stored = [day for day in store.tally(table, None, manifest.table(table).watermark or 0) if day.day < today]
        deleted = pa.array([row["run_id"] for row in store.read_all("tombstones")], pa.string())
        for day, (held, is_doubled) in zip(stored, _held(lake, manifest, table, stored, deleted), strict=True):
            days, rows, pruned = days + 1, rows + day.rows, pruned + (held.rows > day.rows and not is_doubled)
            fault: Fault | None = None
            if is_doubled:
                fault = "doubled"
            elif held.rows + manifest.pruned.get(table, {}).get(day.day, 0) < day.rows:
                fault = "missing"
            elif held.rows == day.rows and held.ids != day.ids and day.day not in manifest.pruned.get(table, {}):
                fault = "other"
            if fault:
                differences.append(Difference(table, day.day, fault, day.rows, held.rows))
    return Reconciliation(to_text(now), days, rows, pruned, tuple(differences))


def _held(
    lake: Lake, manifest: Manifest, table: str, days: Sequence[Tally], deleted: pa.Array
) -> Iterator[tuple[Tally, bool]]:
    """The lake's own tally of each of these days, and whether a row is there twice; a corrupt file counts as no rows."""
    files: dict[str, list[LakeFile]] = defaultdict(list)
    for file in manifest.table(table).files:
        files[file.day].append(file)
    has_runs = table == "benchmark_results"
    for day in days:
        rows = lake.load_all(table, files[day.day], ["id", "run_id"] if has_runs else ["id"]).rows
        if has_runs:
            rows = rows.filter(pc.invert(pc.is_in(rows.column("run_id"), deleted)))
        ids = rows.column("id").to_pylist()
        yield Tally(day.day, len(ids), sum(map(id_number, ids))), len(set(ids)) < len(ids)


def _path(lake: Lake) -> Path:
    return lake.directory / _FILE
