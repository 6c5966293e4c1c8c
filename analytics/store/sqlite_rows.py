"""Statements of the generic verbs in SQLite's words, and the rows that they find."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from analytics.store import schema
from analytics.store.rows import Row, clean, from_sqlite, to_sqlite
from analytics.store.schema import Table


def upsert(table: Table, columns: tuple[str, ...]) -> str:
    """An insert of these columns. An event that is there stays; of any other row all but key and birth is overwritten."""
    names, values = ", ".join(columns), ", ".join(f":{column}" for column in columns)
    changed = [column for column in columns if column not in {table.key, "created_at"}]
    action = "nothing"
    if changed and not table.is_event:
        action = "update set " + ", ".join(f"{column} = excluded.{column}" for column in changed)
    return f"insert into {table.name} ({names}) values ({values}) on conflict ({table.key}) do {action}"  # noqa: S608  # known names


def condition(table: Table, filters: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The condition that all `filters` hold, as `Store.select` takes them, and the values of its marks."""
    parts, values = ["true"], list[Any]()
    for name, wanted in filters.items():
        column = schema.column(table, name)
        if wanted is None:
            parts.append(f"{column} is null")
            continue
        several = list(wanted) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
        parts.append(f"{column} in ({', '.join('?' * len(several))})")
        for value in several:
            values.extend(to_sqlite(clean(table, {column: value}, "filter", whole=False)).values())
    return " and ".join(parts), values


def ordering(table: Table, order: str | None, sign: str) -> str:
    """The terms of an `order by`: nulls last, the key (with `sign` before it) to break ties."""
    wanted = [part.strip() for part in (order or "").split(",") if part.strip()]
    terms = []
    for part in wanted:
        column = schema.column(table, part.removeprefix("-"))
        terms.append(f"{column} is null, {column} {'desc' if part.startswith('-') else 'asc'}")
    return ", ".join([*terms, sign + ("commit_seq" if table.is_event else table.key or "1")])


def fetch(table: Table, cursor: sqlite3.Cursor) -> list[Row]:
    """What a cursor found, as rows of a store."""
    return from_sqlite(table, [column[0] for column in cursor.description], cursor.fetchall())
