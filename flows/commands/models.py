"""`scorehouse models`: what providers serve, and what is done with it."""

from decimal import Decimal
from typing import Annotated, Any

import typer

from analytics.errors import BadRows
from analytics.store import Actor, new_id, now_text, stable_id
from flows import render
from flows.commands.choosing import OfProvider, OfTier, WithCapability, check_words, matching
from flows.commands.options import By, Json, Reason, actor_of
from flows.commands.rows import ModelKey, find_row, publish, show_row, whose
from flows.commands.running import run_job
from flows.errors import UsageError
from flows.keys import announcement
from flows.settings import Settings, load_settings
from flows.warehouse import open_store
from providers.entries import TierThresholds
from providers.entries import cost_tier as tier_of

models = typer.Typer(no_args_is_help=True, help="Models: list, show, sync, add, set, enable, disable.")

_SHOWN = {"context_window": "ctx_length"}  # an override's column, and the catalog's name for it
_NAMED = 10  # models that are named in a sentence; of more there is the number
_LISTED = {
    "id": "id", "model_type": "type", "capabilities": "capabilities", "ctx_length": "context", "pricing_input": "USD/M in",
    "pricing_output": "USD/M out", "cost_tier": "tier", "priority": "priority", "is_available": "available", "is_active": "active",
    "is_enabled": "enabled", "is_simulated": "simulated",
}  # fmt: skip  # a column of the catalog -> its title in the table


@models.command("list")
def list_models(
    provider: OfProvider = None, cost_tier: OfTier = None, capability: WithCapability = None, json: Json = False
) -> None:
    """The catalog: what is available, what is active (benchmarked), what it costs (~: as a price library estimates)."""
    with open_store(load_settings()) as store:
        columns = None if json else (*_LISTED, "is_price_estimated")
        rows = matching(store, provider, cost_tier, capability, columns)
    if json:
        render.show_json_lines(rows)
        return
    for row in rows:
        row["capabilities"] = list(row["capabilities"])
        row |= {name: _price(row[name], row["is_price_estimated"]) for name in ("pricing_input", "pricing_output")}
    shown = [{title: row[name] for name, title in _LISTED.items()} for row in rows]
    render.show_rows(None, shown, "No model matches; 'scorehouse models sync' asks the providers what they serve.")


def _price(price: float | None, estimated: bool | None) -> float | str:
    if price is None:
        return "unknown"
    return f"~{render.cell(price)}" if estimated else price


@models.command("show")
def show_model(model: ModelKey, json: Json = False) -> None:
    """Everything that is known of one model, the provider's raw entry included."""
    with open_store(load_settings()) as store:
        row = find_row(store, "catalog", model, "model")
    show_row(row, as_json=json)
    if whose(row["price_source"], row["pricing_input"], row["pricing_output"]) == "unknown":
        render.say(f"Its price is unknown; 'scorehouse prices set {model}' sets one.")


@models.command("sync")
def sync_models(
    provider: Annotated[list[str] | None, typer.Argument(metavar="[PROVIDER]...", help="Only these.")] = None,
    json: Json = False,
) -> None:
    """Ask providers what they serve. A provider that fails keeps its last known catalog (exit 1)."""
    from flows.jobs.sync import sync_catalogs

    settings = load_settings()
    if notice := announcement(settings):
        render.say(notice)
    reports = run_job(settings, "sync-models", lambda: sync_catalogs(settings, tuple(provider or ())))
    if json:
        render.show_json_lines(report.to_dict() for report in reports)
    else:
        names = (
            "provider",
            "models_discovered",
            "models_added",
            "models_updated",
            "models_vanished",
            "prices_changed",
            "prices_quarantined",
            "synced_at",
        )
        rows = [{name.removeprefix("models_"): report.to_dict()[name] for name in names} for report in reports]
        render.show_rows(None, rows, "There are no providers yet: 'scorehouse providers add'.")
    for report in reports:
        if report.error:
            kept = "The last known catalog stays in use." if report.last_synced else "It has no catalog yet."
            render.say(f"{report.provider}: {report.error.removesuffix('.')}. {kept}")
        for entry in report.to_dict()["rejected"]:
            render.say(f"{report.provider}: left out {entry}")
        for entry in report.to_dict()["quarantined"]:
            render.say(f"{report.provider}: price in quarantine: {entry}")
        if report.prices_quarantined:
            render.say(
                f"{report.provider}: {report.prices_quarantined} prices do not count until 'scorehouse prices accept'; "
                "'scorehouse prices list --quarantined' shows them."
            )
    _say_idle(settings, [report.provider for report in reports if report.change and report.change.discovered])
    if any(report.error for report in reports):
        raise typer.Exit(1)


def _say_idle(settings: Settings, synced: list[str]) -> None:
    """The next step for a provider that has models of which none is measured."""
    with open_store(settings) as store:
        active = store.select("catalog", {"is_active": True, "is_available": True}, columns=("provider_id",)).items
    measured = {row["provider_id"] for row in active}
    for key in synced:
        if key not in measured:
            render.say(
                f"{key}: none of its models is active. 'scorehouse models set MODEL --active' has one measured by every run, "
                "'scorehouse bench --model MODEL' measures it once."
            )


@models.command("add")
def add_model(
    model: ModelKey,
    display_name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    context_window: Annotated[int | None, typer.Option(min=1, help="Tokens.")] = None,
    input_price_per_m: Annotated[
        float | None, typer.Option(min=0, max=1_000_000, help="USD per 1M input tokens.")
    ] = None,
    output_price_per_m: Annotated[
        float | None, typer.Option(min=0, max=1_000_000, help="USD per 1M output tokens.")
    ] = None,
    base_model: Annotated[str | None, typer.Option(help="The model behind a deployment, by its own name.")] = None,
    model_type: Annotated[str, typer.Option(help="chat, embedding, ...")] = "chat",
    cost_tier: Annotated[str | None, typer.Option(help="free, low, standard or premium; by its price without.")] = None,
    capability: Annotated[list[str] | None, typer.Option(help="It has these capabilities.")] = None,
    active: Annotated[bool, typer.Option("--active/--inactive", help="Benchmark it.")] = True,
    by: By = None,
    reason: Reason = None,
) -> None:
    """Add a model by hand, where a provider does not list it (an Azure deployment, say)."""
    key, _, name = model.partition("/")
    if not name:
        raise UsageError(f"'{model}' is no model key: write provider/name.")
    if (input_price_per_m is None) != (output_price_per_m is None):
        raise UsageError("A price has two sides: give --input-price-per-m and --output-price-per-m, or neither.")
    check_words(cost_tier, capability, model_type)
    settings = load_settings()
    thresholds = TierThresholds(settings.catalog.low_below_usd_per_m, settings.catalog.standard_below_usd_per_m)
    input_price, output_price = (
        None if price is None else Decimal(str(price)) for price in (input_price_per_m, output_price_per_m)
    )
    now = now_text()
    with open_store(settings) as store:
        provider = find_row(store, "providers", key, "provider", by="key")
        if store.select("models", {"key": model}).items:
            raise UsageError(f"There is a model '{model}' already; 'scorehouse models set' changes it.")
        row = {
            "id": stable_id("model", model), "key": model, "name": name, "provider_id": provider["id"], "display_name": display_name or name,
            "context_window": context_window, "is_active": active, "is_manual": True, "model_type": model_type,
            "capabilities": dict.fromkeys(capability or (), "admin"), "cost_tier": cost_tier or tier_of(input_price, output_price, thresholds),
            "metadata": {"base_model": base_model} if base_model else {}, "created_at": now, "updated_at": now,
        }  # fmt: skip
        actor = actor_of(by, reason)
        store.change_rows("models", [row], action="add_model", actor=actor, at=now)
        if input_price_per_m is not None:
            price = {
                "id": new_id(), "provider_id": provider["id"], "model_id": row["id"], "input_price_per_m": input_price_per_m,
                "output_price_per_m": output_price_per_m, "source": "admin", "timestamp": now,
            }  # fmt: skip
            store.change_rows("prices", [price], action="set_price", actor=actor, at=now)
        publish(settings, store)
    render.say(f"Added {model}.")


@models.command("set")
def set_model(
    model: ModelKey,
    priority: Annotated[int | None, typer.Option(min=0, max=100, help="Base priority in routing.")] = None,
    cost_tier: Annotated[str | None, typer.Option(help="free, low, standard or premium.")] = None,
    display_name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    context_window: Annotated[int | None, typer.Option(min=1, help="Tokens.")] = None,
    model_type: Annotated[str | None, typer.Option(help="chat, embedding, ...")] = None,
    domain: Annotated[list[str] | None, typer.Option(help="It is meant for these domains.")] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="It has these capabilities (replaces the synced list).")
    ] = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Benchmark it, or not.")] = None,
    retry_parameters: Annotated[
        bool, typer.Option("--retry-parameters", help="Send again what it once refused ('models show' names it).")
    ] = False,
    by: By = None,
    reason: Reason = None,
) -> None:
    """Set what you know better than the provider; a sync never overwrites it."""
    if display_name is not None and not display_name.strip():
        raise UsageError("--display-name is empty.")
    check_words(cost_tier, capability, model_type, domain)
    values = {
        "priority": priority, "cost_tier": cost_tier, "display_name": display_name, "context_window": context_window,
        "capabilities": dict.fromkeys(capability, "admin") if capability else None, "is_active": active, "model_type": model_type,
        "domains": domain,
    }  # fmt: skip
    given = {name: value for name, value in values.items() if value is not None}
    if not given and not retry_parameters:
        raise UsageError(
            "Nothing to set: give at least one of --priority, --cost-tier, --display-name, --context-window, --model-type, --domain, "
            "--capability, --active, --retry-parameters."
        )
    actor = actor_of(by, reason)
    if given:
        _override(model, given, actor)
    if retry_parameters:
        _forget_rejected(model, actor)


Several = Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="These, by their keys.")]


@models.command("enable")
def enable_models(
    model: Several = None,
    provider: OfProvider = None,
    cost_tier: OfTier = None,
    capability: WithCapability = None,
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Let routers answer these models again: named ones, all that match, or those of the named that match."""
    chosen = (model, provider, cost_tier, capability)
    _switch(*chosen, enabled=True, actor=actor_of(by, reason), as_json=json)


@models.command("disable")
def disable_models(
    model: Several = None,
    provider: OfProvider = None,
    cost_tier: OfTier = None,
    capability: WithCapability = None,
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """No router answers these models from now on; they can still be measured."""
    chosen = (model, provider, cost_tier, capability)
    _switch(*chosen, enabled=False, actor=actor_of(by, reason), as_json=json)


def _switch(
    named: list[str] | None,
    provider: str | None,
    cost_tier: str | None,
    capability: str | None,
    *,
    enabled: bool,
    actor: Actor,
    as_json: bool,
) -> None:
    word = "enable" if enabled else "disable"
    if not (named or provider or cost_tier or capability):
        raise UsageError(f"Nothing to {word}: name models, or give --provider, --cost-tier or --capability.")
    settings = load_settings()
    with open_store(settings) as store:
        for key in named or []:
            find_row(store, "catalog", key, "model")
        columns = ("id", "model_id", "is_enabled", "capabilities")
        chosen = [
            row for row in matching(store, provider, cost_tier, capability, columns) if not named or row["id"] in named
        ]
        changed = [row for row in chosen if row["is_enabled"] != enabled]
        rows = [{"model_id": row["model_id"], "is_enabled": enabled} for row in changed]
        store.change_rows("model_overrides", rows, action=f"{word}_models", actor=actor)
        publish(settings, store)
    if as_json:
        render.show_json({f"{word}d_count": len(changed), f"models_{word}d": [row["id"] for row in changed]})
    if not chosen:
        render.say("No model matches; 'scorehouse models list' shows those that are there.")
        return
    names = ", ".join(row["id"] for row in chosen) if len(chosen) <= _NAMED else f"{len(chosen)} models"
    already = len(chosen) - len(changed)
    render.say(f"{names}: {word}d{f' ({already} already)' if already else ''}.")


def _forget_rejected(model: str, actor: Actor) -> None:
    with open_store(load_settings()) as store:
        row = find_row(store, "catalog", model, "model")
        known = sorted(row["rejected_parameters"])
        forgotten = {"id": row["model_id"], "rejected_parameters": {}}
        store.change_rows("models", [forgotten], action="retry_parameters", actor=actor)
    render.say(
        f"{model}: {', '.join(known)} will be sent again."
        if known
        else f"{model} is not known to have refused a parameter."
    )


def _override(model: str, values: dict[str, Any], actor: Actor) -> None:
    settings = load_settings()
    with open_store(settings) as store:
        row = find_row(store, "catalog", model, "model")
        try:
            store.change_rows(
                "model_overrides", [{"model_id": row["model_id"], **values}], action="set_model", actor=actor
            )
        except BadRows as error:
            raise UsageError(f"{model} cannot be set so: {error}") from error
        publish(settings, store)
        now = find_row(store, "catalog", model, "model")
    render.say(
        f"{model}: " + ", ".join(f"{name} is {render.cell(now[_SHOWN.get(name, name)])}" for name in values) + "."
    )
