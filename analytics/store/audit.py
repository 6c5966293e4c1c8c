"""The trail of who changed what: one row for each change, in SQLite written inside its transaction."""

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from analytics.store import schema
from analytics.store.protocol import Actor
from analytics.store.rows import Row, clean, mended, new_id, to_sqlite


def said_of(actor: Actor) -> Row:
    """An actor as the database is told of it."""
    return {name: mended(value) for name, value in asdict(actor).items()}


def row_of(
    actor: Actor,
    action: str,
    subject: tuple[str, str],
    values: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None],
    *,
    tenant: str | None,
    at: str,
) -> Row:
    """A new row of `audit_log`: `subject` is the table and the id of what was changed, `values` what it said before and after."""
    return {
        "id": new_id(),
        "tenant_id": tenant,
        "actor_id": actor.id,
        "actor_role": actor.role,
        "action": action,
        "object_type": subject[0],
        "object_id": subject[1],
        "old_value": values[0],
        "new_value": values[1],
        "reason": actor.reason,
        "created_at": at,
    }


def record(connection: sqlite3.Connection, told: Row) -> None:
    """Write one row that `row_of` made."""
    row = to_sqlite(clean(schema.table("audit_log"), told, "audit_log"))
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(f"insert into audit_log ({names}) values ({marks})", row)  # noqa: S608  # names of ours
