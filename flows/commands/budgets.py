"""`scorehouse budgets`: what a tenant, a user or an agent may spend, and how often it may ask."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import typer

from analytics.errors import BadRows
from analytics.store import Actor, Row, Store, now_text, stable_id
from analytics.store.budgets import start_of
from flows import render
from flows.budgets import owner_of, shown
from flows.commands.options import By, Json, OfTenant, Reason, actor_of
from flows.errors import UsageError
from flows.settings import load_settings
from flows.warehouse import open_store

budgets = typer.Typer(no_args_is_help=True, help="What may be spent: list, set.")

_PERIODS = ("day", "month", "total")


@budgets.command("list")
def list_budgets(tenant: OfTenant = None, json: Json = False) -> None:
    """All budgets: their limits, what was spent and reserved in this period, and the requests of this hour."""
    with open_store(load_settings()) as store:
        rows = store.select(
            "budgets", {} if tenant is None else {"tenant_id": tenant}, order="tenant_id,user_id,agent_id,period"
        ).items
    found = [shown(row, now_text()) for row in rows]
    if json:
        render.show_json_lines(found)
        return
    if tenant is None:
        none = (
            "There are no budgets, so nothing is limited: 'scorehouse budgets set --tenant T --limit-usd X' makes one."
        )
    else:
        none = f"Tenant {tenant} has no budget, so nothing limits it; 'scorehouse budgets list' shows everyone's."
    render.show_rows(None, found, none)


@budgets.command("set")
def set_budget(
    tenant: Annotated[str, typer.Option("--tenant", help="The tenant that it holds for.")],
    user: Annotated[str | None, typer.Option("--user", help="For this account alone.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="For this agent alone.")] = None,
    period: Annotated[str, typer.Option("--period", help="day or month (UTC), or total.")] = "month",
    limit_usd: Annotated[
        float | None, typer.Option("--limit-usd", min=0, max=1e12, help="At most so much in each period.")
    ] = None,
    requests_per_hour: Annotated[
        int | None, typer.Option("--requests-per-hour", min=0, help="At most so many requests in each hour.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take the budget away.")] = False,
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Set or clear one budget. What was spent in this period stays counted; a limit that is not given stays as it is."""
    if period not in _PERIODS:
        raise UsageError(f"--period '{period}' is not one of {', '.join(_PERIODS)}.")
    if not tenant or user == "" or agent == "":
        raise UsageError("--tenant, --user and --agent may not be empty: leave out who is not meant.")
    if clear != (limit_usd is None and requests_per_hour is None):
        raise UsageError("Give --limit-usd, --requests-per-hour or both; or --clear alone.")
    actor = actor_of(by, reason)
    owner: Row = {"tenant_id": tenant, "user_id": user, "agent_id": agent, "period": period}
    with open_store(load_settings()) as store:
        found = store.select("budgets", owner).items
        if clear and not found:
            raise UsageError(
                f"There is no {period} budget of {owner_of(owner)}; 'scorehouse budgets list' shows those that are there."
            )
        if clear:
            store.remove_rows("budgets", [found[0]["id"]], action="clear_budget", actor=actor)
            render.say(f"Cleared: {owner_of(owner)} has no {period} budget any more.")
            return
        limits = {"limit_usd": limit_usd, "requests_per_hour": requests_per_hour}
        given = {name: value for name, value in limits.items() if value is not None} | {"is_active": True}
        stored = _set(store, owner, given, actor)
    if json:
        render.show_json(shown(stored, now_text()))
    said = (
        []
        if stored["limit_usd"] is None
        else [f"${_figure(stored['limit_usd'])} in {'all' if period == 'total' else f'a {period}'}"]
    )
    said += [] if stored["requests_per_hour"] is None else [f"{stored['requests_per_hour']:,} requests an hour"]
    render.say(f"{owner_of(owner)[0].upper()}{owner_of(owner)[1:]} may use {' and '.join(said)}.")


def _set(store: Store, owner: Row, given: Row, actor: Actor) -> Row:
    """Set one budget; the row as it stands then. Who clears or sets the same one between a look and its change makes another look due."""
    found = store.select("budgets", owner).items
    while True:
        now = now_text()
        row = {"id": found[0]["id"]} if found else _new(owner, now)  # what is counted is the engine's to write
        try:
            store.change_rows("budgets", [row | owner | given], action="set_budget", actor=actor, at=now)
        except BadRows:
            before, found = found, store.select("budgets", owner).items
            if [row["id"] for row in before] == [row["id"] for row in found]:
                raise
            continue
        found = store.select("budgets", owner).items
        if found:
            return found[0]


def _figure(usd: float) -> str:
    """All digits that were set, none of them as a power of ten: 0.0000001, 1,250,000, 2.5."""
    return f"{Decimal(repr(usd)).normalize():,f}"


def _new(owner: Mapping[str, str | None], now: str) -> Row:
    start = now if owner["period"] == "total" else start_of(str(owner["period"]), now)
    key = "/".join(f"{name}={value!r}" for name, value in owner.items())
    return {"id": stable_id("budget", key), "period_start_at": start}
