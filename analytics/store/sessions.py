"""Conversations: which model each stays with, and when it is over. The SQLite side, inside a transaction that the store opened."""

import sqlite3
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from analytics.errors import BadRows
from analytics.store import schema
from analytics.store.rows import Row, clean, from_sqlite, from_text, new_id, now_text, to_sqlite, to_text

SESSION_S = 86_400.0
"""How long a session goes on after its last request, unless its caller says otherwise."""

_LONGEST_S = 366 * 86_400.0
_KEPT = ("agent_id", "model", "policy", "preferences", "budget_usd")  # overwritten where they are given


def prepared(given: Mapping[str, Any], ttl_s: float) -> Row:
    """What is said of one request of a session, checked; raises BadRows."""
    if not 0 < ttl_s <= _LONGEST_S:
        raise BadRows(f"session: ttl_s: more than 0 s and at most a year was expected, not {ttl_s!r}")
    row = clean(schema.table("user_sessions"), given, "session", whole=False)
    if not row["session_id"]:
        raise BadRows("session: session_id is missing")
    if row["budget_usd"] is not None and row["budget_usd"] < 0:
        raise BadRows(f"session: budget_usd: 0 or more was expected, not {row['budget_usd']!r}")
    return row


def others_session(session_id: str) -> BadRows:
    """Why a session cannot be touched."""
    return BadRows(f"session {session_id}: it is another user's; give each conversation an id of its own")


def touch(connection: sqlite3.Connection, asked: Row, ttl_s: float) -> Row:
    """What `Store.touch_session` says of a `prepared` row, for a transaction that is open."""
    table = schema.table("user_sessions")
    moment = asked["last_activity_at"] or now_text()
    expires_at = to_text(from_text(moment) + timedelta(seconds=ttl_s))
    key = (asked["tenant_id"] or "", asked["session_id"])
    row = _find(connection, key)
    if row is None:
        row = {"id": new_id(), "created_at": moment, "preferences": {}, "expires_at": expires_at} | {
            name: value for name, value in asked.items() if value is not None
        }
        row["last_activity_at"] = moment
        stored = to_sqlite(clean(table, row, "session"))
        names, marks = ", ".join(stored), ", ".join(f":{name}" for name in stored)
        connection.execute(f"insert into user_sessions ({names}) values ({marks})", stored)  # noqa: S608  # known columns
    else:
        if None not in (row["user_id"], asked["user_id"]) and row["user_id"] != asked["user_id"]:
            raise others_session(asked["session_id"])
        changed = {name: asked[name] for name in _KEPT if asked[name] is not None}
        if asked["model"] is None and row["expires_at"] is not None and row["expires_at"] <= moment:
            changed["model"] = None  # it was over: what it stayed with is forgotten
        changed["user_id"] = row["user_id"] or asked["user_id"]
        changed["last_activity_at"] = max(row["last_activity_at"], moment)
        changed["expires_at"] = max(row["expires_at"] or expires_at, expires_at)
        stored = to_sqlite(changed)
        connection.execute(
            f"update user_sessions set {', '.join(f'{name} = :{name}' for name in stored)} where id = :id",  # noqa: S608  # known columns
            stored | {"id": row["id"]},
        )
    found = _find(connection, key)
    assert found is not None, "it was written a moment ago"
    return found


def _find(connection: sqlite3.Connection, key: tuple[str, str]) -> Row | None:
    found = connection.execute("select * from user_sessions where coalesce(tenant_id, '') = ? and session_id = ?", key)
    names = [column[0] for column in found.description]
    return next(iter(from_sqlite(schema.table("user_sessions"), names, found.fetchall())), None)
