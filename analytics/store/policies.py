"""Versions of routing policies, and which of an owner's is in force: changed in SQLite inside a transaction that the store opened."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from analytics.errors import BadRows, UnknownName
from analytics.store import audit, schema
from analytics.store.protocol import Actor, PolicyOwner
from analytics.store.rows import Row, clean, from_sqlite, mended, new_id, now_text, to_sqlite

_OWNED = "coalesce(tenant_id, '') = ? and coalesce(user_id, '') = ? and coalesce(agent_id, '') = ? and environment = ?"
_TOLD = ("name", "version", "user_id", "agent_id", "environment", "rules", "description")


def columns_of(owner: PolicyOwner) -> Row:
    """An owner as columns of `routing_configs`. Raises BadRows for an empty name, which would be everybody's."""
    row = {"tenant_id": owner.tenant, "user_id": owner.user, "agent_id": owner.agent, "environment": owner.environment}
    empty = next((name for name, value in row.items() if value is not None and not str(value).strip()), None)
    if empty:
        raise BadRows(f"policy: {empty} is empty; leave it out for a policy that is everyone's")
    if owner.user is not None and owner.agent is not None:
        raise BadRows("policy: it is a user's or an agent's, not both: give one of them")
    return clean(schema.table("routing_configs"), row, "policy", whole=False)


def prepared(
    name: str,
    rules: Mapping[str, Any],
    owner: PolicyOwner,
    description: str | None,
    actor: Actor,
    at: str | None,
) -> Row:
    """A new version as the database will have it, but for its number. Raises BadRows."""
    if not isinstance(name, str) or not name.strip():
        raise BadRows(f"a policy's name is a text that is not empty, not {name!r}")
    if not isinstance(rules, Mapping):
        raise BadRows(f"policy {name}: rules are an object of weights, limits and the like, not {rules!r}")
    row = {
        "id": new_id(),
        **columns_of(owner),
        "name": name,
        "version": 1,
        "rules": rules,
        "description": description,
        "created_by": actor.id,
        "created_at": at or now_text(),
    }
    cleaned = clean(schema.table("routing_configs"), row, f"policy {name}")
    del cleaned["version"]
    return cleaned


def moment_of(at: str | None) -> str:
    """The time of an activation, checked."""
    row = clean(schema.table("routing_configs"), {"activated_at": at or now_text()}, "policy", whole=False)
    return str(row["activated_at"])


def unknown_policy(name: str, version: int | None, stored: Iterable[tuple[str, int]]) -> UnknownName:
    """Why a policy cannot be activated; `stored` are the versions that this owner has."""
    there = ", ".join(f"{known} (version {number})" for known, number in sorted(stored)) or "none yet"
    wanted = repr(name) if version is None else f"{name!r} in version {version}"
    return UnknownName(f"this owner has no policy {wanted}; it has: {there}")


def add(connection: sqlite3.Connection, row: Row, actor: Actor) -> Row:
    """What `Store.add_policy` says of a `prepared` row, for a transaction that is open."""
    owner = _owner(row)
    (last,) = connection.execute(
        f"select coalesce(max(version), 0) from routing_configs where {_OWNED} and name = ?",  # noqa: S608  # a text of ours
        (*owner, row["name"]),
    ).fetchone()
    stored = to_sqlite(row | {"version": last + 1})
    names, marks = ", ".join(stored), ", ".join(f":{name}" for name in stored)
    connection.execute(f"insert into routing_configs ({names}) values ({marks})", stored)  # noqa: S608  # known columns
    (made,) = _select(connection, "id = ?", (row["id"],))
    told = {name: made[name] for name in _TOLD}
    subject, tenant = ("routing_configs", made["id"]), made["tenant_id"]
    audit.record(
        connection, audit.row_of(actor, "add_policy", subject, (None, told), tenant=tenant, at=made["created_at"])
    )
    return made


def activate(
    connection: sqlite3.Connection, name: str, version: int | None, owner: PolicyOwner, actor: Actor, at: str | None
) -> Row:
    """What `Store.activate_policy` says, for a transaction that is open."""
    moment = moment_of(at)
    rows = _select(connection, _OWNED, _owner(columns_of(owner)))
    wanted = [row for row in rows if row["name"] == mended(name) and version in {None, row["version"]}]
    if not wanted:
        raise unknown_policy(name, version, ((row["name"], row["version"]) for row in rows))
    chosen = max(wanted, key=lambda row: int(row["version"]))
    if chosen["is_active"]:
        return chosen
    before = next((_named(row) for row in rows if row["is_active"]), None)
    connection.execute(
        f"update routing_configs set is_active = 0 where is_active and {_OWNED}",  # noqa: S608  # a text of ours
        _owner(chosen),
    )
    connection.execute(
        "update routing_configs set is_active = 1, activated_at = ? where id = ?", (moment, chosen["id"])
    )
    subject, told = ("routing_configs", chosen["id"]), (before, _named(chosen))
    audit.record(
        connection, audit.row_of(actor, "activate_policy", subject, told, tenant=chosen["tenant_id"], at=moment)
    )
    (active,) = _select(connection, "id = ?", (chosen["id"],))
    return active


def _named(row: Row) -> Row:
    return {"name": row["name"], "version": row["version"]}


def _owner(row: Row) -> tuple[str, ...]:
    return row["tenant_id"] or "", row["user_id"] or "", row["agent_id"] or "", row["environment"]


def _select(connection: sqlite3.Connection, condition: str, values: tuple[str, ...]) -> list[Row]:
    found = connection.execute(f"select * from routing_configs where {condition}", values)  # noqa: S608  # a text of ours
    return from_sqlite(schema.table("routing_configs"), [column[0] for column in found.description], found.fetchall())
