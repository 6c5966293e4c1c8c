"""What a person changes in a Supabase project: an agent's models, versions of policies, the catalog, budgets. Each is one call of one function."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from analytics.errors import BadRows
from analytics.store import agents, changes, policies, schema
from analytics.store.audit import said_of
from analytics.store.protocol import Actor, Page, PolicyOwner
from analytics.store.rows import Row, mended, stable_id
from analytics.store.supabase_rows import Group, from_json, groups
from analytics.store.supabase_wire import Refusal


class _Project(Protocol):
    """What this module needs of the store."""

    def call(self, function: str, **values: Any) -> dict[str, Any]: ...

    def send(self, function: str, grouped: Sequence[Group], **values: Any) -> dict[str, Any]: ...

    def select(self, table: str, filters: Mapping[str, Any] | None, *, columns: Sequence[str]) -> Page: ...


def change_rows(
    project: _Project, table: str, rows: Sequence[Mapping[str, Any]], action: str, actor: Actor, at: str | None
) -> int:
    """What `Store.change_rows` says."""
    shape, wanted, moment = changes.prepared(table, rows, actor, at)
    if not wanted:
        return 0
    said = {"p_action": action, "p_actor": said_of(actor), "p_at": moment}
    try:
        return int(project.send("change_rows", groups(shape, wanted), **said)["changed"])
    except Refusal as error:
        keys = [str(row[str(shape.key)]) for row in wanted]
        where = f", row {keys.index(str(error.key))}" if str(error.key) in keys else ""
        raise BadRows(f"{table}{where}: {error}") from None


def remove_rows(project: _Project, table: str, ids: Sequence[str], action: str, actor: Actor, at: str | None) -> int:
    """What `Store.remove_rows` says."""
    schema.holds_no_events(table)
    said = {"p_action": action, "p_actor": said_of(actor), "p_at": changes.moment_of(at)}
    return int(project.call("remove_rows", p_table=table, p_ids=mended(list(ids)), **said)["removed"])


def add_events(
    project: _Project, table: str, rows: Sequence[Mapping[str, Any]], action: str, actor: Actor, at: str | None
) -> None:
    """What `Store.add_events` says."""
    found = changes.added(table, rows, action, actor, at)
    grouped = [group for shape, wanted in found for group in groups(shape, wanted)]
    if not grouped:
        return
    try:
        project.send("write_rows", grouped)
    except Refusal as error:
        keys = [[str(row["id"]) for row in wanted] for _, wanted in found]
        index = next((ids.index(str(error.key)) for ids in keys if str(error.key) in ids), None)
        raise BadRows(f"{table}{'' if index is None else f', row {index}'}: {error}") from None


def set_agent_models(
    project: _Project,
    agent: str,
    changes: Sequence[Mapping[str, Any]],
    tenant: str | None,
    actor: Actor,
    at: str | None,
) -> list[Row]:
    """What `Store.set_agent_models` says."""
    key, wanted, moment = agents.prepared(agent, changes, at)
    if not wanted:
        return []
    try:
        answer = project.call(
            "set_agent_models", p_agent=key, p_agent_id=stable_id("agent", key), p_tenant=mended(tenant), p_changes=wanted,
            p_actor=said_of(actor), p_at=moment,
        )  # fmt: skip
    except Refusal as error:
        raise BadRows(f"agent {key}: {error}") from None
    if answer["unknown"] is not None:
        raise agents.unknown_model(answer["unknown"])
    if answer["rows"] is None:
        raise agents.others_agent(key, tenant)
    return from_json(schema.table("agent_models"), answer["rows"])


def add_policy(project: _Project, row: Row, actor: Actor) -> Row:
    """What `Store.add_policy` says of a row that `policies.prepared` made."""
    try:
        stored = project.call("add_policy", p_row=row, p_actor=said_of(actor))["policy"]
    except Refusal as error:
        raise BadRows(f"policy {row['name']}: {error}") from None
    return from_json(schema.table("routing_configs"), [stored])[0]


def activate_policy(
    project: _Project, name: str, version: int | None, owner: PolicyOwner, actor: Actor, at: str | None
) -> Row:
    """What `Store.activate_policy` says."""
    columns = policies.columns_of(owner)
    found = project.call(
        "activate_policy", p_owner=columns, p_name=mended(name), p_version=version, p_actor=said_of(actor), p_at=policies.moment_of(at)
    )["policy"]  # fmt: skip
    if found is None:
        rows = project.select("routing_configs", columns, columns=("name", "version")).items
        raise policies.unknown_policy(name, version, ((row["name"], row["version"]) for row in rows))
    return from_json(schema.table("routing_configs"), [found])[0]
