"""`scorehouse policies`: what makes one model better than another, and for whom."""

import json as text
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from analytics.store import PolicyOwner, Row, Store
from flows import render
from flows.commands.limits import limits, numbers
from flows.commands.options import By, Json, Reason, actor_of
from flows.commands.rows import publish, show_row
from flows.errors import UsageError
from flows.settings import Settings, load_settings
from flows.warehouse import open_store

policies = typer.Typer(no_args_is_help=True, help="Routing policies: list, show, add, activate.")

PolicyName = Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")]
ForTenant = Annotated[str | None, typer.Option("--tenant", help="The policy of this tenant.")]
ForAgent = Annotated[
    str | None, typer.Option("--agent", help="The policy of this agent (of the tenant, if one is given).")
]
ForUser = Annotated[
    str | None, typer.Option("--user", help="The policy of this user (of the tenant, if one is given).")
]
InEnvironment = Annotated[
    str | None, typer.Option("--environment", help="Where it holds; else here: routing.environment.")
]
Version = Annotated[
    int | None, typer.Option("--version", min=1, help="This version; else the one in force, or the newest.")
]

_UNNAMED = "default"


@policies.command("list")
def list_policies(
    tenant: ForTenant = None,
    agent: ForAgent = None,
    user: ForUser = None,
    environment: InEnvironment = None,
    json: Json = False,
) -> None:
    """Every version of every stored policy, and the presets, which everyone may name. Options narrow to an owner's."""
    settings = load_settings()
    given = {
        "tenant_id": tenant,
        "agent_id": agent,
        "user_id": user,
        "environment": environment or settings.routing.environment,
    }
    with open_store(settings) as store:
        stored = store.select(
            "routing_configs", {name: value for name, value in given.items() if value is not None}, order="name,version"
        ).items
    rows = [{"is_preset": False, **row} for row in stored]
    everyones = {row["name"] for row in stored if _owner_of(row) == PolicyOwner(environment=row["environment"])}
    rows += [_preset(settings, name) for name in _presets(settings) if name not in everyones]
    if json:
        render.show_json_lines(rows)
        return
    render.show_rows(None, [_shown(row) for row in rows], "")


@policies.command("show")
def show_policy(
    name: PolicyName,
    version: Version = None,
    tenant: ForTenant = None,
    agent: ForAgent = None,
    user: ForUser = None,
    environment: InEnvironment = None,
    json: Json = False,
) -> None:
    """One policy with its rules: an owner's, without options everyone's, else the preset of that name."""
    settings = load_settings()
    owner = PolicyOwner(tenant, user, agent, environment or settings.routing.environment)
    with open_store(settings) as store:
        versions = _versions(store, name, owner)
    found = [row for row in versions if version in {None, row["version"]}]
    if found:
        row = next((row for row in found if row["is_active"]), found[-1])
        show_row({"is_preset": False, **row} | ({} if json else {"rules": _rules(row["rules"])}), as_json=json)
        return
    if version is not None or name not in _presets(settings):
        raise UsageError(
            f"There is no policy '{name}' of this owner{'' if version is None else f' in version {version}'}; 'scorehouse policies list' shows those that are there."
        )
    preset = _preset(settings, name)
    show_row(preset | ({} if json else {"rules": _rules(preset["rules"])}), as_json=json)


@policies.command("add")
def add_policy(
    name: PolicyName,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER", help="priority, quality, latency, cost or reliability: what it counts; repeatable."
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="A hard limit, as 'route' has it: max_tier=low, deny=a,b, ...; repeatable."
        ),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="Rank by price, latency, throughput or quality instead of weights.")
    ] = None,
    fades_k: Annotated[
        float | None, typer.Option(help="The priority's weight fades as k / (k + n) with n ratings.")
    ] = None,
    tie_delta: Annotated[float | None, typer.Option(help="Quality that may be lost for a lower price.")] = None,
    kept_within: Annotated[
        float | None,
        typer.Option(help="A session keeps its model while that loses less than so many times --tie-delta (else 5)."),
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    tenant: ForTenant = None,
    agent: ForAgent = None,
    user: ForUser = None,
    environment: InEnvironment = None,
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Add a policy, or a new version of one. It can be named at once, and ranks by itself once it is activated."""
    if name == _UNNAMED:
        raise UsageError(
            f"'{name}' is what ranks where no policy is in force: one of that name would rank unactivated. Choose another name."
        )
    settings = load_settings()
    owner = PolicyOwner(tenant, user, agent, environment or settings.routing.environment)
    given = {
        "weights": numbers("--weight", weight or ()),
        "sort": sort,
        "fades_k": fades_k,
        "tie_delta": tie_delta,
        "kept_within": kept_within,
        "limits": limits(limit or ()),
    }
    rules = {rule: value for rule, value in given.items() if value not in (None, {})}
    if not rules:
        raise UsageError(
            "A policy without rules says nothing: give --weight, --limit, --sort, --fades-k, --tie-delta or --kept-within."
        )
    if sort is not None and (weight or fades_k is not None):
        raise UsageError("--sort ranks by one figure alone: give either it or --weight and --fades-k.")
    _check(name, rules)
    with open_store(settings) as store:
        row = store.add_policy(name, rules, owner=owner, description=description, actor=actor_of(by, reason))
        active = any(other["is_active"] for other in _versions(store, name, owner))
        publish(settings, store)
    if json:
        render.show_json(row)
    words = "".join(
        f" --{word} {value}"
        for word, value in (("tenant", tenant), ("agent", agent), ("user", user), ("environment", environment))
        if value
    )
    state = "An older version of it stays in force" if active else "It is not in force"
    render.say(f"Added {name}, version {row['version']}. {state} until 'scorehouse policies activate {name}{words}'.")


@policies.command("activate")
def activate_policy(
    name: PolicyName,
    version: Annotated[int | None, typer.Option("--version", min=1, help="This version; else the newest.")] = None,
    tenant: ForTenant = None,
    agent: ForAgent = None,
    user: ForUser = None,
    environment: InEnvironment = None,
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Put a policy, or a preset, in force for its owner (without options everyone) in place of the one that was."""
    settings = load_settings()
    owner = PolicyOwner(tenant, user, agent, environment or settings.routing.environment)
    actor = actor_of(by, reason)
    with open_store(settings) as store:
        versions = _versions(store, name, owner)
        if not versions and version is None and name in _presets(settings):
            store.add_policy(name, _presets(settings)[name], owner=owner, description="preset", actor=actor)
        if chosen := [row for row in versions if version in {None, row["version"]}]:
            _check(name, chosen[-1]["rules"])  # it may have been written by REST, unchecked
        row = store.activate_policy(name, version=version, owner=owner, actor=actor)
        publish(settings, store)
    if json:
        render.show_json(row)
    render.say(f"{name}, version {row['version']}, is in force for {_whose(row)}.")


def _presets(settings: Settings) -> dict[str, dict[str, Any]]:
    """The built-in policies by name; `default` has the weights of the settings."""
    from analytics.routing.policies import PRESETS

    weights = {"priority": settings.routing.priority_weight, "quality": settings.routing.quality_weight}
    return {name: dict(rules) for name, rules in PRESETS.items()} | {"default": {"weights": weights}}


def _preset(settings: Settings, name: str) -> Row:
    return {"is_preset": True, "name": name, "version": None, "is_active": False, "rules": _presets(settings)[name]}


def _check(name: str, rules: Mapping[str, Any]) -> None:
    """By the code that reads them in the lookup. UsageError says what makes no sense."""
    from analytics.routing.policies import policy_of

    try:
        policy_of(name, rules)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _versions(store: Store, name: str, owner: PolicyOwner) -> list[Row]:
    wanted = {
        "tenant_id": owner.tenant,
        "user_id": owner.user,
        "agent_id": owner.agent,
        "environment": owner.environment,
    }
    return store.select("routing_configs", {"name": name, **wanted}, order="version").items


def _owner_of(row: Row) -> PolicyOwner:
    return PolicyOwner(row["tenant_id"], row["user_id"], row["agent_id"], row["environment"])


def _whose(row: Row) -> str:
    if row.get("is_preset"):
        return "anyone who names it"
    parts = [
        f"{word} {row[name]}"
        for word, name in (("agent", "agent_id"), ("user", "user_id"), ("tenant", "tenant_id"))
        if row[name]
    ]
    return " of ".join(parts) or "everyone"


def _shown(row: Row) -> dict[str, Any]:
    """A row as a person reads it."""
    kind = "preset" if row["is_preset"] else row["version"]
    return {
        "policy": row["name"],
        "version": kind,
        "of": _whose(row),
        "in force": row["is_active"],
        "rules": _rules(row["rules"]),
    }


def _rules(rules: Mapping[str, Any]) -> str:
    return text.dumps(rules, sort_keys=True, ensure_ascii=False)
