"""Aggregates back into the store, for those who read SQL or REST there."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol

import pyarrow as pa

from analytics.scoring.build import ScoreReport
from analytics.store import stable_id, to_text

_KEYS = {
    "model_metrics": ("model", "domain"),
    "model_metrics_by_window": ("model", "domain", "window_name"),
    "model_totals": ("model",),
    "model_performance_history": ("model", "domain", "date"),
    "daily_aggregates": ("date",),
}


class Aggregates(Protocol):
    """What this module needs of a store."""

    def read_all(self, table: str) -> Sequence[Mapping[str, Any]]: ...
    def write(self, table: str, rows: Sequence[Mapping[str, Any]]) -> int: ...
    def delete(self, table: str, ids: Sequence[str]) -> int: ...


def write_back(store: Aggregates, report: ScoreReport) -> dict[str, int]:
    """Make the aggregates of the store those that were published; rows there now, by table.

    Only rows that changed are written. A row whose evidence is gone (a deleted run) is deleted. Kinds that the report does not have stay as they are. Safe to
    repeat; raises what the store raises.
    """
    written = {}
    for table, keys in _KEYS.items():
        rows = [row for tables in report.tables.values() for row in _rows(table, keys, tables[table])]
        kept = {row["id"] for row in rows}
        old = {row["id"]: row for row in store.read_all(table) if bool(row["is_simulated"]) in report.tables}
        store.write(table, [row for row in rows if not _is_in(old.get(row["id"]), row)])
        store.delete(table, [row_id for row_id in old if row_id not in kept])
        written[table] = len(rows)
    return written


def _is_in(stored: Mapping[str, Any] | None, row: Mapping[str, Any]) -> bool:
    return stored is not None and all(stored[name] == value for name, value in row.items())


def _rows(name: str, keys: Sequence[str], table: pa.Table) -> list[dict[str, Any]]:
    rows = [{column: _stored(value) for column, value in row.items()} for row in table.to_pylist()]
    return [
        {
            "id": stable_id(
                name, "/".join("" if row[key] is None else str(row[key]) for key in (*keys, "is_simulated"))
            ),
            **row,
        }
        for row in rows
    ]


def _stored(value: Any) -> Any:
    match value:
        case datetime():
            return to_text(value)
        case date():
            return value.isoformat()
        case _:
            return value
