"""The lake's Arrow schemas, derived from the store's tables, whose columns the migrations define.

A row of a store becomes a row of an Arrow table: time text becomes `timestamp[us, UTC]`, 0 and 1 become booleans, lists and
objects become JSON text. What is missing is null.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analytics.errors import BadRows, UnknownName
from analytics.store.schema import Kind
from analytics.store.schema import table as store_table

CORRECTIONS = ("tombstones", "repricings")  # events that change what others count for; they are never expired
EVENTS = ("benchmark_results", "request_events", "feedback_events", *CORRECTIONS)
DIMENSIONS = ("providers", "models", "prices", "runs", "catalog", "task_domains", "domains")

TIME = pa.timestamp("us", tz="UTC")
_TYPES: dict[Kind, pa.DataType] = {
    "text": pa.string(),
    "json": pa.string(),
    "integer": pa.int64(),
    "real": pa.float64(),
    "boolean": pa.bool_(),
    "time": TIME,
}
_SORT_KEYS = ("model", "domain", "created_at", "key", "id")


@cache
def schema(table: str) -> pa.Schema:
    """The Arrow schema of a lake table or dimension, without the store's own `commit_seq`; raises `UnknownName`."""
    if table not in {*EVENTS, *DIMENSIONS}:
        raise UnknownName(f"{table!r} is no table of the lake: {', '.join((*EVENTS, *DIMENSIONS))}")
    columns = store_table(table).columns.values()
    return pa.schema([(column.name, _TYPES[column.kind]) for column in columns if column.name != "commit_seq"])


def to_arrow(table: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of a store as an Arrow table; columns the lake does not know are dropped, absent ones are null.

    A time that cannot be read becomes null. Raises `BadRows` for a value of the wrong type, naming table and column.
    """
    rows = list(rows)
    columns = []
    for field in schema(table):
        convert = _CONVERT[field.type]
        values = (row.get(field.name) for row in rows)
        try:
            columns.append(pa.array([None if value is None else convert(value) for value in values], type=field.type))
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise BadRows(f"{table}.{field.name} holds a value that is no {field.type}: {error}") from error
    return pa.Table.from_arrays(columns, schema=schema(table))


def from_copy(table: str, rows: pa.Table) -> pa.Table:
    """What PostgreSQL gave in bulk of all columns of `schema(table)`, as `to_arrow` makes it of the same rows; raises `BadRows`."""
    shape, kinds, columns = schema(table), store_table(table).columns, []
    for field in shape:
        column = rows.column(field.name)
        if kinds[field.name].kind == "json":
            column = _by_value(column, lambda text: _text(json.loads(text)))
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise BadRows(f"{table}.{field.name} holds a value that is no {field.type}: {error}") from error
    return pa.Table.from_arrays(columns, schema=shape)


def _by_value(column: pa.ChunkedArray, convert: Callable[[str], str]) -> pa.ChunkedArray:
    """Each different text converted once."""
    coded = column.combine_chunks().dictionary_encode()
    values = pa.array([convert(value) for value in coded.dictionary.to_pylist()], type=pa.string())
    return pa.chunked_array([values.take(coded.indices)])


def in_order(rows: pa.Table) -> pa.Table:
    """The rows in the order of a lake file: by model, domain and time, ids last, so that equal rows make equal bytes."""
    return rows.combine_chunks().take(pc.sort_indices(rows, sort_keys=_sort_keys(rows)))


def by_day(rows: pa.Table) -> Iterator[tuple[date | None, pa.Table]]:
    """Each UTC day of `created_at` (last None, of rows without a time) and its rows `in_order`."""
    days = rows.column("created_at").cast(pa.date32()).combine_chunks()
    keys = [("day", "ascending"), *_sort_keys(rows)]
    places = pc.sort_indices(rows.append_column("day", days), sort_keys=keys)
    ordered, start = rows.combine_chunks().take(places), 0
    for found in pc.value_counts(days.take(places)):  # in the order in which they appear
        day, count = found["values"].as_py(), found["counts"].as_py()
        yield day, ordered.slice(start, count).combine_chunks()
        start += count


def _sort_keys(rows: pa.Table) -> list[tuple[str, str]]:
    return [(name, "ascending") for name in _SORT_KEYS if name in rows.column_names]


def conform(rows: pa.Table, table: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A file's table in today's schema: a column that the file is too old to have is null."""
    fields = [field for field in schema(table) if columns is None or field.name in columns]
    return pa.Table.from_arrays(
        [
            rows.column(field.name).cast(field.type)
            if field.name in rows.column_names
            else pa.nulls(rows.num_rows, field.type)
            for field in fields
        ],
        schema=pa.schema(fields),
    )


def _time(value: Any) -> datetime | None:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


_CONVERT: dict[pa.DataType, Callable[[Any], Any]] = {
    TIME: _time,
    pa.string(): _text,
    pa.bool_(): bool,
    pa.int64(): int,
    pa.float64(): float,
}
