"""`scorehouse agents`: which models each agent may use, and with what priority."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from analytics.store import Actor, Row, Store, now_text
from flows import render
from flows.commands.choosing import OfProvider, OfTier, WithCapability, matching
from flows.commands.options import By, Json, OfTenant, Reason, actor_of
from flows.commands.rows import find_row, publish
from flows.errors import UsageError
from flows.settings import Settings, load_settings
from flows.warehouse import open_store

agents = typer.Typer(no_args_is_help=True, help="Agents and their models: list, models, enable, disable, priority.")

_NAMED = 10  # models that are named in a sentence; of more there is the number
_COLUMNS = ("id", "model_id", "display_name", "provider_id", "capabilities", "cost_tier", "priority", "is_available", "is_enabled")  # fmt: skip
_TOLD = ("id", "display_name", "provider_id", "cost_tier", "priority", "is_available")

AgentKey = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's key, as it names itself when it asks.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="This model, by its key; repeatable.")]


@agents.command("list")
def list_agents(tenant: OfTenant = None, json: Json = False) -> None:
    """All agents: how many models each may use, and how many of these can be answered now."""
    with open_store(load_settings()) as store:
        rows = store.select("agents", {} if tenant is None else {"tenant_id": tenant}, order="key").items
        enabled = store.select("agent_models", {"is_enabled": True}, columns=("agent_id", "model_id")).items
        answered = _answered(store)
    allowed = Counter(row["agent_id"] for row in enabled)
    possible = Counter(row["agent_id"] for row in enabled if row["model_id"] in answered)
    found = [
        {"agent": row["key"], "tenant_id": row["tenant_id"], "models_enabled": allowed[row["id"]], "models_available": possible[row["id"]],
         "created_at": row["created_at"]}
        for row in rows
    ]  # fmt: skip
    if json:
        render.show_json_lines(found)
        return
    render.show_rows(None, found, "There are no agents yet: 'scorehouse agents enable AGENT --model MODEL' makes one.")


@agents.command("models")
def list_models(
    agent: AgentKey,
    tenant: OfTenant = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were switched off as well.")] = False,
    json: Json = False,
) -> None:
    """The models that an agent may use: the priority set for it, and whether they are available."""
    with open_store(load_settings()) as store:
        found = [row for row in _models_of(store, agent, tenant) if everything or row["is_enabled"]]
    if json:
        render.show_json_lines(found)
    else:
        shown = {"model": "model", "cost_tier": "tier", "priority": "priority", "priority_override": "its own", "is_enabled": "enabled",
                 "is_available": "available", "enabled_by": "by"}  # fmt: skip
        render.show_rows(
            None,
            [{title: row[name] for name, title in shown.items()} for row in found],
            f"{agent} may use no model, so nothing is answered to it: 'scorehouse agents enable {agent} --model MODEL'.",
        )
    gone = [row["model"] for row in found if row["is_enabled"] and not row["is_available"]]
    if gone:
        render.say(f"Not answered now, for they are unavailable or disabled for everyone: {_named(gone)}.")


@agents.command("enable")
def enable_models(
    agent: AgentKey,
    model: Models = None,
    provider: OfProvider = None,
    cost_tier: OfTier = None,
    capability: WithCapability = None,
    tenant: OfTenant = None,
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Let an agent use models: named ones, all that match, or those of the named that match. A new agent is made by it."""
    if not (model or provider or cost_tier or capability):
        raise UsageError("Nothing to enable: give --model, --provider, --cost-tier or --capability.")
    settings = load_settings()
    with open_store(settings) as store:
        _require(store, model)
        chosen = [row["id"] for row in matching(store, provider, cost_tier, capability, _COLUMNS)]
        wanted = [key for key in chosen if not model or key in model]
        change = {"is_enabled": True}
        rows, now = _apply(settings, store, agent, tenant, wanted, change, actor_of(by, reason))
    _tell(agent, "enabled", wanted, rows, now, as_json=json)


@agents.command("disable")
def disable_models(
    agent: AgentKey,
    model: Models = None,
    provider: OfProvider = None,
    cost_tier: OfTier = None,
    capability: WithCapability = None,
    everything: Annotated[bool, typer.Option("--all", help="All of its models.")] = False,
    tenant: OfTenant = None,
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Switch models off for an agent; their priorities are kept. Nothing answers them to it a second later."""
    if not (model or provider or cost_tier or capability or everything):
        raise UsageError("Nothing to disable: give --model, --provider, --cost-tier, --capability or --all.")
    settings = load_settings()
    with open_store(settings) as store:
        wanted = [
            row["model"]
            for row in _chosen(store, agent, tenant, model, (provider, cost_tier, capability))
            if row["is_enabled"]
        ]
        change = {"is_enabled": False}
        rows, now = _apply(settings, store, agent, tenant, wanted, change, actor_of(by, reason))
    _tell(agent, "disabled", wanted, rows, now, as_json=json)


@agents.command("priority")
def set_priority(
    agent: AgentKey,
    priority: Annotated[int | None, typer.Argument(min=0, max=100, help="Base priority for this agent.")] = None,
    model: Models = None,
    provider: OfProvider = None,
    cost_tier: OfTier = None,
    capability: WithCapability = None,
    clear: Annotated[bool, typer.Option("--clear", help="Back to the models' own priority.")] = False,
    tenant: OfTenant = None,
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Set the base priority of an agent's models, for this agent alone. It enables none."""
    if (priority is None) != clear:
        raise UsageError("Give either a priority from 0 to 100 or --clear.")
    if not (model or provider or cost_tier or capability):
        raise UsageError("Nothing to set: give --model, --provider, --cost-tier or --capability.")
    settings = load_settings()
    with open_store(settings) as store:
        found = _chosen(store, agent, tenant, model, (provider, cost_tier, capability))
        wanted = [row["model"] for row in found]
        if lacking := [key for key in model or [] if key not in wanted]:
            raise UsageError(f"{_named(lacking)}: {agent} was never given it; 'scorehouse agents enable' comes first.")
        change = {"priority_override": priority}
        rows, now = _apply(settings, store, agent, tenant, wanted, change, actor_of(by, reason))
    _tell(agent, "cleared" if clear else "set", wanted, rows, now, as_json=json)


def _apply(
    settings: Settings, store: Store, agent: str, tenant: str | None, wanted: Sequence[str], change: Row, actor: Actor
) -> tuple[list[Row], str]:
    """Make one change to all the wanted models of an agent and let running lookups know; their rows, and the time of it."""
    now = now_text()
    changes = [{"model": key, **change} for key in wanted]
    rows = store.set_agent_models(agent, changes, tenant=tenant, actor=actor, at=now)
    publish(settings, store)
    return rows, now


def _answered(store: Store) -> set[str]:
    """Ids of the models that routers may answer at all."""
    return {
        row["model_id"]
        for row in store.select("catalog", {"is_available": True, "is_enabled": True}, columns=("model_id",)).items
    }


def _models_of(store: Store, agent: str, tenant: str | None) -> list[Row]:
    """The models of an agent with what the catalog says of them, in the order of their keys."""
    found = find_row(store, "agents", agent, "agent", by="key")
    if tenant is not None and found["tenant_id"] != tenant:
        raise UsageError(
            f"There is no agent '{agent}' of the tenant '{tenant}'; 'scorehouse agents list' shows those that are there."
        )
    own = {row["model_id"]: row for row in store.select("agent_models", {"agent_id": found["id"]}).items}
    catalog = store.select("catalog", columns=_COLUMNS, order="id").items if own else []
    return [_joined(agent, row, own[row["model_id"]]) for row in catalog if row["model_id"] in own]


def _joined(agent: str, model: Row, own: Row) -> Row:
    told = {"model" if name == "id" else name: model[name] for name in _TOLD}
    told["is_available"] = model["is_available"] and model["is_enabled"]  # what an admin disabled is answered to nobody
    settings = {name: own[name] for name in ("is_enabled", "priority_override", "enabled_by", "enabled_at")}
    return {"agent": agent, "tenant_id": own["tenant_id"], **told, **settings, "capabilities": model["capabilities"]}


def _chosen(
    store: Store,
    agent: str,
    tenant: str | None,
    named: Sequence[str] | None,
    like: tuple[str | None, str | None, str | None],
) -> list[Row]:
    """Of an agent's models the named ones (all, where none is named) that match provider, tier and capability."""
    _require(store, named)
    provider, cost_tier, capability = like
    matched = {row["id"] for row in matching(store, provider, cost_tier, capability, _COLUMNS)}
    return [
        row
        for row in _models_of(store, agent, tenant)
        if row["model"] in matched and (not named or row["model"] in named)
    ]


def _require(store: Store, named: Sequence[str] | None) -> None:
    for key in named or []:
        find_row(store, "catalog", key, "model")


def _tell(
    agent: str, done: str, wanted: Sequence[str], rows: Sequence[Mapping[str, Any]], now: str, *, as_json: bool
) -> None:
    """What was changed, for a program and for a person; `rows` are those of `wanted`, changed if they carry the time `now`."""
    changed = [key for key, row in zip(wanted, rows, strict=True) if row["enabled_at"] == now]
    if as_json:
        render.show_json({"agent": agent, f"{done}_count": len(changed), f"models_{done}": changed})
    if not wanted:
        render.say(
            f"No model matches; 'scorehouse agents models {agent} --all' shows its own, 'scorehouse models list' all."
        )
        return
    already = len(wanted) - len(changed)
    render.say(f"{agent}: {_named(wanted)} {done}{f' ({already} already)' if already else ''}.")


def _named(models: Sequence[str]) -> str:
    return ", ".join(models) if len(models) <= _NAMED else f"{len(models)} models"
