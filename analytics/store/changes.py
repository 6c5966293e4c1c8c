"""What a person changes of providers, models and budgets, in SQLite inside a transaction that the store opened: audited row by row."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from analytics.errors import BadRows
from analytics.store import audit, schema
from analytics.store.protocol import Actor
from analytics.store.rows import Row, clean, from_sqlite, mended, now_text, stable_id, to_sqlite
from analytics.store.schema import Table

_STAMPS = ("created_at", "updated_at", "set_by")  # the store's to write


def prepared(
    table: str, rows: Sequence[Mapping[str, Any]], actor: Actor, at: str | None
) -> tuple[Table, list[Row], str]:
    """The table's shape, the rows checked and stamped with who and when, and when that is. Raises BadRows and UnknownName."""
    shape = schema.holds_no_events(table)
    moment = moment_of(at)
    stamps = {name: moment if name.endswith("_at") else actor.id for name in _STAMPS if name in shape.columns}
    found = list[Row]()
    for index, row in enumerate(rows):
        where = f"{table}, row {index}"
        if row.get(str(shape.key)) is None:
            raise BadRows(f"{where}: {shape.key} is missing")
        found.append(clean(shape, {**row, **stamps}, where, whole=False))
    return shape, found, moment


def moment_of(at: str | None) -> str:
    """When a change is made, as stores keep it; None: now. Raises BadRows."""
    if at is None:
        return now_text()
    return str(clean(schema.table("audit_log"), {"created_at": at}, "change", whole=False)["created_at"])


def change(
    connection: sqlite3.Connection, table: Table, rows: Sequence[Row], action: str, actor: Actor, moment: str
) -> int:
    """What `Store.change_rows` says of `prepared` rows."""
    return sum(
        _change(connection, table, row, f"{table.name}, row {index}", (action, actor, moment))
        for index, row in enumerate(rows)
    )


def remove(
    connection: sqlite3.Connection, table: Table, ids: Sequence[str], action: str, actor: Actor, moment: str
) -> int:
    """What `Store.remove_rows` says."""
    removed = 0
    for row_id in ids:
        before = _row(connection, table, mended(row_id))
        if before is not None:
            _record(connection, table, (before, None), (action, actor, moment))
            connection.execute(f"delete from {table.name} where {table.key} = ?", (mended(row_id),))  # noqa: S608  # names of ours
            removed += 1
    return removed


def added(
    table: str, rows: Sequence[Mapping[str, Any]], action: str, actor: Actor, at: str | None
) -> list[tuple[Table, list[Row]]]:
    """A person's events, and their rows of the audit log, each with the table they go to; checked. Raises BadRows and UnknownName.

    An event's row of the log has an id that follows from the event's, so that what is added again is not told again.
    """
    shape, log, moment = schema.events(table), schema.table("audit_log"), moment_of(at)
    found, trail = list[Row](), list[Row]()
    for index, given in enumerate(rows):
        row = clean(shape, given, f"{table}, row {index}")
        values = (None, {name: row[name] for name in _compared(shape, row)})
        subject = (table, str(row["id"]))
        told = audit.row_of(actor, action, subject, values, tenant=row.get("tenant_id"), at=moment)
        found.append(row)
        trail.append(clean(log, told | {"id": stable_id("audit", f"{table}/{row['id']}")}, "audit_log"))
    return [(shape, found), (log, trail)]


def _change(connection: sqlite3.Connection, table: Table, row: Row, where: str, said: tuple[str, Actor, str]) -> bool:
    """Insert a row, or change the columns that are given of the one that is there; whether that changed anything but times."""
    before = _row(connection, table, row[str(table.key)])
    if before is None:
        values = to_sqlite(clean(table, row, where))
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        statement = f"insert into {table.name} ({names}) values ({marks})"  # noqa: S608  # known columns
    elif all(before[name] == row[name] for name in _compared(table, row)):
        return False
    else:
        values = to_sqlite(row)
        settings = ", ".join(f"{name} = :{name}" for name in values if name not in {table.key, "created_at"})
        statement = f"update {table.name} set {settings} where {table.key} = :{table.key}"  # noqa: S608  # known columns
    try:
        connection.execute(statement, values)
    except sqlite3.IntegrityError as error:
        raise BadRows(f"{where}: {error}") from None
    after = _row(connection, table, row[str(table.key)])
    _record(connection, table, (before or _replaced(connection, table, row), after), said)
    return True


def _compared(table: Table, row: Row) -> list[str]:
    """The columns that make a change: neither a time nor who set it, which the audit log says itself."""
    return [name for name in row if name != "set_by" and table.columns[name].kind != "time"]


def _row(connection: sqlite3.Connection, table: Table, key: str) -> Row | None:
    found = connection.execute(f"select * from {table.name} where {table.key} = ?", (key,))  # noqa: S608  # names of ours
    names = [column[0] for column in found.description]
    return next(iter(from_sqlite(table, names, found.fetchall())), None)


def _replaced(connection: sqlite3.Connection, table: Table, row: Row) -> Row | None:
    """Of a new price the one of its model that was in force before it: prices are a history, of which no row is ever changed."""
    if table.name != "prices":
        return None
    found = connection.execute(
        "select id from prices where model_id = ? and id <> ? and quarantine_reason is null order by timestamp desc, id desc limit 1",
        (row["model_id"], row["id"]),
    ).fetchone()
    return None if found is None else _row(connection, table, found[0])


def _record(
    connection: sqlite3.Connection, table: Table, rows: tuple[Row | None, Row | None], said: tuple[str, Actor, str]
) -> None:
    action, actor, moment = said
    known = rows[1] or rows[0] or {}
    subject = (table.name, known[str(table.key)])
    told = (_told(connection, table, rows[0]), _told(connection, table, rows[1]))
    audit.record(connection, audit.row_of(actor, action, subject, told, tenant=known.get("tenant_id"), at=moment))


def _told(connection: sqlite3.Connection, table: Table, row: Row | None) -> Row | None:
    """A row as the audit log tells it: with the key of the model that it belongs to, which people know it by."""
    if row is None:
        return None
    told = {name: row[name] for name in _compared(table, row)}
    if "model_id" in row:
        model = connection.execute("select key from models where id = ?", (row["model_id"],)).fetchone()
        told["model"] = None if model is None else model[0]
    return told
