"""One opinion on one message, recorded in SQLite inside a transaction that the store opened."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from analytics.errors import BadRows, UnknownName
from analytics.store import schema
from analytics.store.rows import Row, clean, from_sqlite, new_id, now_text, to_sqlite

SIGNALS: Mapping[str, float | None] = {"regenerate": 0.0, "copy": 1.0, "continue": 0.5, "abandon": None}
"""What an implicit signal is worth as a rating; abandoning says nothing certain, so it is kept without one."""

_FROM_REQUEST = ("model", "is_simulated", "task_type", "agent_id", "tenant_id", "user_id")


def prepared(given: Mapping[str, Any]) -> Row:
    """What is said of one opinion, with what follows from that alone: rating, type, id and time. Raises BadRows."""
    table = schema.table("feedback_events")
    cleaned = clean(table, given, "feedback", whole=False)
    row = {name: value for name, value in cleaned.items() if value is not None}
    signal = row.get("signal")
    if signal is not None:
        if signal not in SIGNALS:
            raise BadRows(f"feedback: signal: {signal!r} is none of {', '.join(SIGNALS)}")
        row.setdefault("rating", SIGNALS[signal])
    elif "rating" not in row:
        raise BadRows("feedback: either a rating or a signal is needed")
    row.setdefault("feedback_type", "implicit" if signal else "explicit")
    row.setdefault("id", new_id())
    row.setdefault("created_at", now_text())
    clean(table, {"model": "not known yet"} | row, "feedback")
    return row


def unknown_message(row: Row) -> UnknownName:
    """Why an opinion without a model cannot be recorded."""
    return UnknownName(
        f"no request carries the message {row.get('message_id')!r}; name the model to rate it all the same"
    )


def submit(connection: sqlite3.Connection, given: Mapping[str, Any]) -> Row:
    """What `Store.submit_feedback` says, for a transaction that is open."""
    table = schema.table("feedback_events")
    row = prepared(given)
    asked = connection.execute(
        f"select {', '.join(_FROM_REQUEST)} from request_events where message_id = ? order by commit_seq desc limit 1",  # noqa: S608  # names of ours
        (row.get("message_id"),),
    ).fetchone()
    if asked:
        row = {**{name: value for name, value in zip(_FROM_REQUEST, asked, strict=True) if value is not None}, **row}
    elif "model" not in row:
        raise unknown_message(row)
    stored = to_sqlite(clean(table, row, "feedback"))
    names, values = ", ".join(stored), ", ".join(f":{name}" for name in stored)
    connection.execute(
        f"insert into feedback_events ({names}) values ({values}) on conflict (id) do nothing",  # noqa: S608  # known columns
        stored,
    )
    found = connection.execute("select * from feedback_events where id = ?", (stored["id"],))
    return from_sqlite(table, [column[0] for column in found.description], found.fetchall())[0]
