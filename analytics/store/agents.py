"""Which models an agent may use, changed in SQLite inside a transaction that the store opened."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analytics.errors import BadRows, UnknownName
from analytics.store import audit, schema
from analytics.store.protocol import Actor
from analytics.store.rows import Row, clean, from_sqlite, mended, new_id, now_text, stable_id

_SETTABLE = ("is_enabled", "priority_override")
_UNSET = {"is_enabled": False, "priority_override": None}  # a priority alone lets nobody use a model
_HIGHEST = 100


def prepared(agent: str, changes: Sequence[Mapping[str, Any]], at: str | None) -> tuple[str, list[Row], str]:
    """The agent's key, what becomes of each model (once, the later word counting) and when. Raises BadRows."""
    table = schema.table("agent_models")
    key = mended(agent).strip() if isinstance(agent, str) else ""
    if not key:
        raise BadRows(f"the agent's key is a text that is not empty, not {agent!r}")
    moment = (
        now_text() if at is None else str(clean(table, {"enabled_at": at}, f"agent {key}", whole=False)["enabled_at"])
    )
    wanted: dict[str, Row] = {}
    for index, change in enumerate(changes):
        where = f"agent {key}, change {index}"
        model = change.get("model")
        if not isinstance(model, str):
            raise BadRows(f"{where}: model is a model's key, not {model!r}")
        given = {name: value for name, value in change.items() if name != "model"}
        odd = next((name for name in given if name not in _SETTABLE), None)
        if odd is not None or not given:
            raise BadRows(f"{where}: {odd or 'nothing'} cannot be set; {' and '.join(_SETTABLE)} can")
        row = clean(table, given, where, whole=False)
        if "is_enabled" in row and row["is_enabled"] is None:
            raise BadRows(f"{where}: is_enabled is true or false")
        priority = row.get("priority_override")
        if priority is not None and not 0 <= priority <= _HIGHEST:
            raise BadRows(f"{where}: priority_override: {priority} does not lie on 0 to {_HIGHEST}")
        wanted.setdefault(mended(model), {}).update(row)
    return key, [{"model": model, **row} for model, row in wanted.items()], moment


def unknown_model(model: str) -> UnknownName:
    """Why a change cannot be made: the catalog has no such model."""
    return UnknownName(f"no model is called {model!r}; nothing was changed")


def others_agent(agent: str, tenant: str | None) -> UnknownName:
    """Why a tenant may not change this agent. It does not say whose it is."""
    return UnknownName(f"the tenant {tenant!r} has no agent {agent!r}, and the name is taken; nothing was changed")


def set_models(
    connection: sqlite3.Connection,
    agent: str,
    changes: Sequence[Mapping[str, Any]],
    tenant: str | None,
    actor: Actor,
    at: str | None,
) -> list[Row]:
    """What `Store.set_agent_models` says, for a transaction that is open."""
    key, wanted, moment = prepared(agent, changes, at)
    if not wanted:
        return []
    models = {change["model"]: _model_id(connection, change["model"]) for change in wanted}
    agent_id, owner = _agent(connection, key, tenant, moment)
    before = _rows(connection, agent_id, models.values())
    changed: dict[str, tuple[Row | None, Row]] = {}
    for change in wanted:
        was = before.get(models[change["model"]])
        now = _settings(_UNSET | (was or {}) | change)
        if was is None or _settings(was) != now:
            changed[change["model"]] = was, now
    connection.executemany(
        "insert into agent_models (id, agent_id, model_id, tenant_id, is_enabled, priority_override, enabled_by, enabled_at) "
        "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (agent_id, model_id) do update set is_enabled = excluded.is_enabled, "
        "priority_override = excluded.priority_override, enabled_by = excluded.enabled_by, enabled_at = excluded.enabled_at",
        (
            (
                new_id(),
                agent_id,
                models[model],
                owner,
                now["is_enabled"],
                now["priority_override"],
                mended(actor.id),
                moment,
            )
            for model, (_, now) in changed.items()
        ),
    )
    after = _rows(connection, agent_id, models.values())
    for model, (was, now) in changed.items():
        named = {"agent": key, "model": model}
        told = (None if was is None else named | _settings(was), named | now)
        subject = ("agent_models", after[models[model]]["id"])
        audit.record(connection, audit.row_of(actor, "set_agent_models", subject, told, tenant=owner, at=moment))
    return [after[models[change["model"]]] for change in wanted]


def _settings(row: Row) -> Row:
    return {name: row[name] for name in _SETTABLE}


def _model_id(connection: sqlite3.Connection, model: str) -> str:
    found = connection.execute("select id from models where key = ?", (model,)).fetchone()
    if found is None:
        raise unknown_model(model)
    return str(found[0])


def _agent(connection: sqlite3.Connection, key: str, tenant: str | None, moment: str) -> tuple[str, str | None]:
    """The agent's id and its tenant; it is made if there is none."""
    connection.execute(
        "insert into agents (id, key, tenant_id, created_at) values (?, ?, ?, ?) on conflict (key) do nothing",
        (stable_id("agent", key), key, mended(tenant), moment),
    )
    agent_id, owner = connection.execute("select id, tenant_id from agents where key = ?", (key,)).fetchone()
    if tenant is not None and owner != mended(tenant):
        raise others_agent(key, tenant)
    return agent_id, owner


def _rows(connection: sqlite3.Connection, agent_id: str, models: Iterable[str]) -> dict[str, Row]:
    """What is set for an agent of these models, by the model's id."""
    found = connection.execute(
        "select * from agent_models where agent_id = ? and model_id in (select value from json_each(?))",
        (agent_id, json.dumps(list(models))),
    )
    names = [column[0] for column in found.description]
    return {row["model_id"]: row for row in from_sqlite(schema.table("agent_models"), names, found.fetchall())}
