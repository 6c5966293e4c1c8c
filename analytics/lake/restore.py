"""A store that was lost, or a new one, gets back what the lake holds.

The lake has every event that was ever extracted, and the catalog, the prices and the runs of its last extraction. What it has never
had: what admins, tenants and agents set (overrides, policies, budgets), and logs.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from analytics.errors import BadRows, Corrupt
from analytics.lake import CORRECTIONS, EVENTS, Lake
from analytics.store.protocol import Store

_TABLES = ("providers", "models", "prices", "domains", "task_domains", "runs")  # each behind those it points to
_ROWS_AT_ONCE = 1_000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Restoration:
    """Rows per table that the store had not had; how many results were dropped because their run was deleted.

    `problems` name files that are corrupt and rows that the store does not take, a sentence each.
    """

    rows: dict[str, int]
    dropped: int
    problems: tuple[str, ...]


def restore(lake: Lake, store: Store) -> Restoration:
    """Give the store every row of the lake that it lacks. What it has stays as it is, so it may be done again after a kill.

    Raises what the store raises, LeaseHeld while the lake is extracted or scored, and Corrupt for its manifest.
    """
    with lake.lease():
        rows, problems = dict[str, int](), list[str]()
        for table in CORRECTIONS:  # before the runs and results: what was deleted stays deleted
            rows[table] = _write(lake, store, table, problems)
        deleted = {row["run_id"] for row in store.read_all("tombstones")}
        for table in _TABLES:
            known = {row["id"] for row in store.select(table, columns=("id",)).items}
            rows[table] = _write(lake, store, table, problems, without=known | deleted)
        for table in EVENTS:
            if table not in rows and table != "benchmark_results":
                rows[table] = _write(lake, store, table, problems)
        rows["benchmark_results"], dropped = _land(lake, store, problems)
    return Restoration(rows, dropped, tuple(dict.fromkeys(problems)))


def _write(lake: Lake, store: Store, table: str, problems: list[str], without: Collection[str] = ()) -> int:
    """Write the rows of a table but those of the ids `without`; how many were new."""
    written = 0
    for batch in _batches(lake, table, problems):
        wanted = [row for row in batch if row["id"] not in without]
        try:
            written += store.write(table, wanted)
        except BadRows:  # one of them: each by itself
            for row in wanted:
                try:
                    written += store.write(table, [row])
                except BadRows as error:
                    problems.append(f"{row['id']}: {error}")
    return written


def _land(lake: Lake, store: Store, problems: list[str]) -> tuple[int, int]:
    landed = dropped = 0
    for batch in _batches(lake, "benchmark_results", problems):
        landing = store.land_results([], batch)
        landed, dropped = landed + landing.landed, dropped + landing.dropped
        problems += [f"benchmark_results {row_id}: {why}" for row_id, why in landing.refused]
        problems += [
            f"benchmark_results {row_id}: the store has other content under this id" for row_id in landing.alarms
        ]
    return landed, dropped


def _batches(lake: Lake, table: str, problems: list[str]) -> Iterator[list[Row]]:
    """The rows of a table, some at a time, in a form that a store takes: what is null is left to the table's default."""
    for file in lake.files(table):
        try:
            rows = lake.load(table, file)
        except Corrupt as error:
            problems.append(str(error))
            continue
        for start in range(0, rows.num_rows, _ROWS_AT_ONCE):
            found = rows.slice(start, _ROWS_AT_ONCE).to_pylist()
            yield [{name: value for name, value in row.items() if value is not None} for row in found]
