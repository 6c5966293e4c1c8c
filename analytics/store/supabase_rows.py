"""Rows on their way to and from a Supabase project: in groups and parts that a call can carry, and in a store's form again."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import orjson

from analytics.store import schema
from analytics.store.rows import Row, clean
from analytics.store.schema import Table

ROWS_AT_ONCE = 1_000  # of a call, either way: a hosted project cuts longer answers
_BYTES_AT_ONCE = 4 * 1024 * 1024
_SEQ_BITS = 64

Group = dict[str, Any]
Part = list[Group]


def groups(table: Table, rows: Sequence[Row]) -> list[Group]:
    """Cleaned rows by the columns they give, each key once in a group.

    Of events with the same key the first counts, so that their order between groups is free; of other rows the last does, and
    groups follow each other as the rows did.
    """
    if table.is_event:
        found: dict[tuple[str, ...], dict[Any, Row]] = {}
        seen = set[Any]()
        for row in rows:
            if row["id"] not in seen:
                seen.add(row["id"])
                found.setdefault(tuple(sorted(row)), {})[row["id"]] = row
        return [_group(table.name, columns, list(members.values())) for columns, members in found.items()]
    return [
        _group(table.name, columns, list({row[str(table.key)]: row for row in members}.values()))
        for columns, members in groupby(rows, key=lambda row: tuple(sorted(row)))
    ]


def by_columns(table: str, rows: Sequence[Row]) -> tuple[list[Group], list[int]]:
    """All the rows by the columns they give, and the place in `rows` of each row of those groups, one after the other."""
    found: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(rows):
        found.setdefault(tuple(sorted(row)), []).append(index)
    made = [_group(table, columns, [rows[index] for index in indexes]) for columns, indexes in found.items()]
    return made, [index for indexes in found.values() for index in indexes]


def parts(whole: Sequence[Group]) -> Iterator[Part]:
    """The groups in parts of at most 1,000 rows and about 4 MiB each (a row that is larger goes alone)."""
    part, count, size = Part(), 0, 0
    for group in whole:
        begin = 0
        for index, row in enumerate(group["rows"]):
            more = _size(row)
            if count and (count == ROWS_AT_ONCE or size + more > _BYTES_AT_ONCE):
                if index > begin:
                    part.append({**group, "rows": group["rows"][begin:index]})
                yield part
                part, count, size, begin = Part(), 0, 0, index
            count, size = count + 1, size + more
        part.append({**group, "rows": group["rows"][begin:]})
    if part:
        yield part


def from_json(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows as PostgreSQL writes them in JSON, in a store's form; the transaction number is not part of it."""
    converters = _converters(table)
    found = []
    for given in rows:
        row = dict(given)
        row.pop("txid", None)
        for name, convert in converters:
            value = row.get(name)
            if value is not None:
                row[name] = convert(value)
        found.append(row)
    return found


def filters_of(table: Table, filters: Mapping[str, Any]) -> dict[str, list[Any] | None]:
    """Column -> null or the values that will do, as `select_rows` wants them; UnknownName for a column that is not there."""
    found: dict[str, list[Any] | None] = {}
    for name, wanted in filters.items():
        schema.column(table, name)
        if wanted is None:
            found[name] = None
            continue
        several = list(wanted) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
        cleaned = (clean(table, {name: value}, "filter", whole=False)[name] for value in several)
        found[name] = [value for value in cleaned if value is not None]
    return found


def order_of(table: Table, order: str | None) -> list[tuple[str, bool]]:
    """(column, is descending) for each term of `order`, and for the key that breaks ties."""
    wanted = [part.strip() for part in (order or "").split(",") if part.strip()]
    terms = [(schema.column(table, part.removeprefix("-")), part.startswith("-")) for part in wanted]
    tie = "commit_seq" if table.is_event else table.key
    return [*terms, (tie, False)] if tie else terms


def watermark(txid: int, seq: int) -> int:
    """A place in the order (transaction, row of it) as one number, so that places compare as numbers do."""
    return txid << _SEQ_BITS | seq


def place(mark: int | None) -> tuple[str, int]:
    """Transaction (as text: it may be beyond a JSON number) and row of a watermark."""
    number = mark or 0
    return str(number >> _SEQ_BITS), number & (1 << _SEQ_BITS) - 1


def _group(table: str, columns: Sequence[str], rows: list[Row]) -> Group:
    return {"table": table, "columns": list(columns), "rows": rows}


def _size(row: Row) -> int:
    """The bytes of a row in JSON."""
    try:
        return len(orjson.dumps(row))
    except orjson.JSONEncodeError:  # a whole number beyond 64 bits in somebody's metadata: the slower writer takes it
        return len(json.dumps(row, ensure_ascii=False))


def _converters(table: Table) -> list[tuple[str, Callable[[Any], Any]]]:
    chosen: dict[str, Callable[[Any], Any]] = {"real": float, "time": _time}
    return [(column.name, chosen[column.kind]) for column in table.columns.values() if column.kind in chosen]


def _time(text: str) -> str:
    """`2026-11-21T02:00:00.5+00:00` as stores keep it; what Python cannot read (infinity) stays as it is."""
    moment = text.removesuffix("+00:00")
    if len(moment) == 19:
        return f"{moment}.000000Z"
    if 20 < len(moment) <= 26 and moment[19] == ".":
        return f"{moment:0<26}Z"
    return text
