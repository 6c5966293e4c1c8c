"""The warehouse's tables as data, read off the migrations themselves: which columns there are and what each holds.

A column's kind is one of text, integer, real, boolean, json and time. SQLite stores the last three as integers and text,
so its declared types cannot tell them; the naming rules below do, for tables and views alike, and a test holds them to
the check constraints.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

from analytics import sqlfiles
from analytics.errors import UnknownName

Kind = Literal["text", "integer", "real", "boolean", "json", "time"]

_BOOLEANS = {"success", "correct", "cache_hit", "connection_reused"}  # and whatever begins with is_
_JSON = {
    "candidates", "capabilities", "conversation_context", "details", "domains", "dropped_parameters", "evidence", "fallbacks", "holds",
    "metadata", "new_value", "old_value", "parts", "preferences", "rate_limits", "reason_codes", "reasons", "rejected",
    "rejected_parameters", "request", "response", "route_query", "rules", "tags", "tools_used",
}  # fmt: skip
_TIMES = {"timestamp", "last_synced", "last_updated"}  # and whatever ends with _at
_COUNTS = {("cache_metrics", "cache_hit"), ("model_metrics_by_window", "correct")}  # where these words are no answer
_COMPUTED: dict[str, Kind] = {  # view columns that no table has
    "ctx_length": "integer",
    "model_count": "integer",
    "prompt_tokens": "integer",
    "response_cost": "real",
    "token_count": "integer",
}
_EXPIRABLE = ("benchmark_results", "request_events", "feedback_events")
_DECLARED: dict[str, Kind] = {"TEXT": "text", "INTEGER": "integer", "REAL": "real"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `is_required`: a new row must give it, for it is neither nullable nor has a default."""

    name: str
    kind: Kind
    is_required: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view. `key` is the column that identifies a row (None for views without an `id`).

    An event table (`is_event`) is append-only and numbered in commit order by `commit_seq`.
    """

    name: str
    columns: Mapping[str, Column]
    key: str | None
    is_event: bool
    is_view: bool


def kind_of(name: str, declared: str = "", table: str = "") -> Kind | None:
    """What a column of this name holds, by the naming rules, else by its declared SQLite type, else None."""
    if (table, name) in _COUNTS:
        return "integer"
    if name.startswith("is_") or name in _BOOLEANS:
        return "boolean"
    if name in _JSON:
        return "json"
    if name.endswith("_at") or name in _TIMES:
        return "time"
    return _DECLARED.get(declared.upper())


def statements(script: str) -> Iterator[str]:
    """The single statements of a SQL script, so that all of them can run inside one transaction of ours."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


@cache
def migrations() -> Mapping[str, str]:
    """SQL text of each SQLite migration by name, in the order in which they apply."""
    found = {name: path.read_text(encoding="utf-8") for name, path in sqlfiles.files("migrations/sqlite").items()}
    return MappingProxyType(found)


def describe(connection: sqlite3.Connection) -> dict[str, Table]:
    """The tables and views that a SQLite database has now."""
    listed = connection.execute(
        "select name, type from sqlite_master where type in ('table', 'view') and name not like 'sqlite_%'"
    ).fetchall()
    shapes = {name: connection.execute("select * from pragma_table_info(?)", (name,)).fetchall() for name, _ in listed}
    known: dict[str, Kind] = dict(_COMPUTED)
    for shape in shapes.values():
        known.update({column[1]: kind for column in shape if (kind := kind_of(column[1], column[2]))})
    tables = {}
    for name, object_type in sorted(listed):
        columns = {
            # A view's expression has no declared type; it carries the name, hence the kind, of the column it stands for.
            column: Column(column, kind_of(column, declared, name) or known[column], bool(not_null and default is None))
            for _, column, declared, not_null, default, _ in shapes[name]
            if column != "commit_seq"
        }
        is_event = len(columns) < len(shapes[name])
        keys = [column for _, column, _, _, _, primary in shapes[name] if primary]
        key = "id" if "id" in columns else keys[0] if keys else None
        if is_event:
            columns["commit_seq"] = Column("commit_seq", "integer", is_required=False)
        tables[name] = Table(name, MappingProxyType(columns), key, is_event, object_type == "view")
    return tables


@contextmanager
def empty_warehouse() -> Iterator[sqlite3.Connection]:
    """A database in memory on which all migrations were replayed."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for script in migrations().values():
            for statement in statements(script):
                connection.execute(statement)
        yield connection
    finally:
        connection.close()


@cache
def warehouse() -> Mapping[str, Table]:
    """The tables and views this program is written for."""
    with empty_warehouse() as connection:
        return MappingProxyType(describe(connection))


def table(name: str) -> Table:
    """The shape of one table or view; UnknownName lists those that exist."""
    try:
        return warehouse()[name]
    except KeyError:
        raise UnknownName(f"no table or view is called {name!r}; there are: {', '.join(sorted(warehouse()))}") from None


def writable(name: str) -> Table:
    """The shape of a table that rows may be written to; UnknownName for a view."""
    found = table(name)
    if found.is_view or name == "store_epoch":
        raise UnknownName(f"{name} cannot be written to")
    return found


def events(name: str) -> Table:
    """The shape of an event table; UnknownName for another."""
    found = table(name)
    if not found.is_event:
        raise UnknownName(f"{name} holds no events; use read_all")
    return found


def holds_no_events(name: str) -> Table:
    """The shape of a table whose rows may be deleted one by one; UnknownName for another."""
    found = writable(name)
    if found.is_event:
        raise UnknownName(f"{name} holds events: delete the run they belong to, or let them expire")
    return found


def expirable(name: str) -> Table:
    """The shape of a table whose rows grow old; UnknownName for another."""
    if name not in _EXPIRABLE:
        raise UnknownName(f"{name} does not expire; these do: {', '.join(_EXPIRABLE)}")
    return table(name)


def column(table: Table, name: str) -> str:
    """The name of a column that is there; UnknownName lists those that are."""
    if name not in table.columns:
        raise UnknownName(f"{table.name} has no column {name!r}; it has: {', '.join(sorted(table.columns))}")
    return name
