"""`scorehouse providers` and `scorehouse models`: who is measured, and what they serve."""

from typing import Annotated, Any

import typer

from analytics.errors import BadRows
from analytics.store import Row, Store, new_id, now_text, stable_id
from flows import render
from flows.commands.options import Json
from flows.commands.running import run_job
from flows.errors import UsageError
from flows.keys import announcement, secret_path, variable_name
from flows.settings import Settings, load_settings
from flows.warehouse import open_store
from providers.specs import load, make_spec, provider_types

providers = typer.Typer(no_args_is_help=True, help="Providers: list, show, add, disable, enable, test.")
models = typer.Typer(no_args_is_help=True, help="Models: list, show, sync, add, set, enable, disable.")

_TIERS = ("free", "low", "standard", "premium")
_TIER_NAMES = "free, low, standard or premium"

ProviderKey = Annotated[
    str, typer.Argument(metavar="PROVIDER", help="The provider's key, as 'providers list' shows it.")
]
ModelKey = Annotated[str, typer.Argument(metavar="MODEL", help="The model's key: provider/name.")]


_WITHOUT_ADDRESS = {"azure", "custom"}  # what their specs have is an example


@providers.command("list")
def list_providers(json: Json = False) -> None:
    """All providers."""
    with open_store(load_settings()) as store:
        rows = store.read_all("provider_registry")
    if json:
        render.show_json_lines(rows)
        return
    columns = (
        "id",
        "display_name",
        "provider_type",
        "api_base",
        "is_active",
        "is_simulated",
        "model_count",
        "last_synced",
    )
    render.show_rows(
        None,
        [{name: row[name] for name in columns} for row in rows],
        "There are no providers yet: 'scorehouse providers add'.",
    )


@providers.command("show")
def show_provider(provider: ProviderKey, json: Json = False) -> None:
    """Everything that is known of one provider."""
    with open_store(load_settings()) as store:
        _show(_one(store, "provider_registry", provider, "provider"), as_json=json)


@providers.command("add")
def add_provider(
    provider: Annotated[str, typer.Argument(metavar="ID", help="A short name of your own, used as its key.")],
    provider_type: Annotated[
        str, typer.Option("--type", help="openai, groq, together, openrouter, anthropic, azure or custom.")
    ],
    base_url: Annotated[str | None, typer.Option(help="Where it answers; needed for azure and custom.")] = None,
    display_name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    models_endpoint: Annotated[str | None, typer.Option(help="Its models endpoint, if not the usual one.")] = None,
    rate_limit_rpm: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="At most so many requests a minute.")
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Not a real provider: its rows never mix with real evidence.")
    ] = False,
    json: Json = False,
) -> None:
    """Add a provider. Its key never comes here: it is looked up when a request goes out."""
    if provider_type not in provider_types():
        raise UsageError(f"--type '{provider_type}' is not a provider type; there are {', '.join(provider_types())}.")
    if not provider or "/" in provider or provider != provider.strip():
        raise UsageError(
            f"The id '{provider}' cannot be used: it must not be empty, hold a slash or begin or end with a space."
        )
    if base_url is not None and not base_url.strip():
        raise UsageError("--base-url is empty; leave it out for the type's own address, where it has one.")
    url = base_url or load(provider_type)["base_url"]
    if base_url is None and provider_type in _WITHOUT_ADDRESS:
        raise UsageError(f"A provider of type {provider_type} needs --base-url.")
    now = now_text()
    row: Row = {
        "id": stable_id("provider", provider),
        "key": provider,
        "name": display_name or provider,
        "provider_type": provider_type,
        "base_url": url,
        "models_endpoint": models_endpoint,
        "api_key_vault_path": secret_path(provider),
        "rate_limit_rpm": rate_limit_rpm,
        "is_simulated": simulated,
        "created_at": now,
        "updated_at": now,
    }
    spec = make_spec(row)  # an unusable URL is refused before anything is written
    settings = load_settings()
    with open_store(settings) as store:
        taken = {taken["key"]: taken["name"] for taken in store.read_all("providers")}
        if provider in taken:
            raise UsageError(
                f"There is a provider '{provider}' already; 'scorehouse providers show {provider}' shows it."
            )
        if row["name"] in taken.values():
            raise UsageError(f"There is a provider called '{row['name']}' already; choose another --display-name.")
        store.write("providers", [row])
        publish(settings, store)
        _show(_one(store, "provider_registry", provider, "provider"), as_json=json)
    stored = f"'scorehouse keys set {provider}' stores it in Vault; development mode (SCOREHOUSE_DEV=1) reads {variable_name(provider)}"
    if spec.is_simulated:
        needs = ""
    elif spec.key_required:
        needs = f"It needs a key: {stored}. "
    else:
        needs = f"If it wants a key: {stored}. "
    render.say(f"Added. {needs}Next: scorehouse models sync {provider}")


@providers.command("disable")
def disable_provider(provider: ProviderKey) -> None:
    """Switch a provider off: nothing is sent to it, and its models are unavailable to agents at once."""
    _switch(provider, active=False)


@providers.command("enable")
def enable_provider(provider: ProviderKey) -> None:
    """Switch a provider on again."""
    _switch(provider, active=True)


@providers.command("test")
def check_providers(
    provider: Annotated[list[str] | None, typer.Argument(metavar="[PROVIDER]...", help="Only these.")] = None,
    json: Json = False,
) -> None:
    """The quick check: every active provider once, with a short prompt, one model each."""
    from flows.commands.measuring import run_and_show
    from flows.jobs.benchmark import BenchmarkRequest

    settings = load_settings()
    with open_store(settings) as store:
        for key in provider or []:
            _one(store, "provider_registry", key, "provider")
        active = store.select(
            "catalog", {"is_active": True, "is_available": True, "model_type": "chat"}, order="id"
        ).items
    first = {
        row["provider_id"]: row["id"] for row in reversed(active) if not provider or row["provider_id"] in provider
    }
    for key in provider or []:
        if key not in first:
            raise UsageError(
                f"Provider '{key}' has no active model; 'scorehouse models list --provider {key}' shows what it has."
            )
    request = BenchmarkRequest(
        providers=tuple(provider or ()),
        models=tuple(first.values()),
        workload="short",
        repeats=1,
        run_name=None,
        triggered_by="check",
    )
    run_and_show(settings, request, as_json=json)


@models.command("list")
def list_models(
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    cost_tier: Annotated[str | None, typer.Option(help="free, low, standard or premium.")] = None,
    capability: Annotated[str | None, typer.Option(help="Only models that are known to have it.")] = None,
    json: Json = False,
) -> None:
    """The catalog: what is available, what is active (benchmarked), what it costs."""
    if cost_tier not in {None, *_TIERS}:
        raise UsageError(f"--cost-tier '{cost_tier}' is not {_TIER_NAMES}.")
    filters = {name: value for name, value in {"provider_id": provider, "cost_tier": cost_tier}.items() if value}
    with open_store(load_settings()) as store:
        if provider:
            _one(store, "provider_registry", provider, "provider")
        rows = store.select("catalog", filters, order="id").items
    rows = [row for row in rows if not capability or capability in row["capabilities"]]
    if json:
        render.show_json_lines(rows)
        return
    columns = {
        "id": "id", "model_type": "type", "capabilities": "capabilities", "ctx_length": "context", "pricing_input": "USD/M in",
        "pricing_output": "USD/M out", "cost_tier": "tier", "priority": "priority", "is_available": "available", "is_active": "active",
        "is_enabled": "enabled", "is_simulated": "simulated",
    }  # fmt: skip
    shown = [
        {title: list(row[name]) if name == "capabilities" else row[name] for name, title in columns.items()}
        for row in rows
    ]
    render.show_rows(None, shown, "No model matches; 'scorehouse models sync' asks the providers what they serve.")


@models.command("show")
def show_model(model: ModelKey, json: Json = False) -> None:
    """Everything that is known of one model, the provider's raw entry included."""
    with open_store(load_settings()) as store:
        _show(_one(store, "catalog", model, "model"), as_json=json)


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
    _say_idle(settings, [report.provider for report in reports if report.change and report.change.discovered])
    if any(report.error for report in reports):
        raise typer.Exit(1)


def _say_idle(settings: Settings, synced: list[str]) -> None:
    """The next step for a provider that has models of which none is measured."""
    with open_store(settings) as store:
        active = store.select("catalog", {"is_active": True, "is_available": True}).items
    for key in synced:
        if key not in {row["provider_id"] for row in active}:
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
    active: Annotated[bool, typer.Option("--active/--inactive", help="Benchmark it.")] = True,
) -> None:
    """Add a model by hand, where a provider does not list it (an Azure deployment, say)."""
    key, _, name = model.partition("/")
    if not name:
        raise UsageError(f"'{model}' is no model key: write provider/name.")
    if (input_price_per_m is None) != (output_price_per_m is None):
        raise UsageError("A price has two sides: give --input-price-per-m and --output-price-per-m, or neither.")
    settings = load_settings()
    now = now_text()
    with open_store(settings) as store:
        provider = _one(store, "providers", key, "provider", by="key")
        if store.select("models", {"key": model}).items:
            raise UsageError(f"There is a model '{model}' already; 'scorehouse models set' changes it.")
        row = {
            "id": stable_id("model", model), "key": model, "name": name, "provider_id": provider["id"], "display_name": display_name or name,
            "context_window": context_window, "is_active": active, "is_manual": True, "created_at": now, "updated_at": now,
        }  # fmt: skip
        store.write("models", [row])
        if input_price_per_m is not None:
            store.write(
                "prices",
                [{"id": new_id(), "provider_id": provider["id"], "model_id": row["id"], "input_price_per_m": input_price_per_m,
                  "output_price_per_m": output_price_per_m, "source": "admin", "timestamp": now}],
            )  # fmt: skip
        publish(settings, store)
    render.say(f"Added {model}.")


@models.command("set")
def set_model(
    model: ModelKey,
    priority: Annotated[int | None, typer.Option(min=0, max=100, help="Base priority in routing.")] = None,
    cost_tier: Annotated[str | None, typer.Option(help="free, low, standard or premium.")] = None,
    display_name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    context_window: Annotated[int | None, typer.Option(min=1, help="Tokens.")] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="It has these capabilities (replaces the synced list).")
    ] = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Benchmark it, or not.")] = None,
) -> None:
    """Set what you know better than the provider; a sync never overwrites it."""
    if cost_tier not in {None, *_TIERS}:
        raise UsageError(f"--cost-tier '{cost_tier}' is not {_TIER_NAMES}.")
    if display_name is not None and not display_name.strip():
        raise UsageError("--display-name is empty.")
    if not all(name.strip() for name in capability or []):
        raise UsageError("--capability is empty.")
    values = {
        "priority": priority, "cost_tier": cost_tier, "display_name": display_name, "context_window": context_window,
        "capabilities": dict.fromkeys(capability, "admin") if capability else None, "is_active": active,
    }  # fmt: skip
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        raise UsageError(
            "Nothing to set: give at least one of --priority, --cost-tier, --display-name, --context-window, --capability, --active."
        )
    _override(model, given)


@models.command("enable")
def enable_model(model: ModelKey) -> None:
    """Let routers answer this model again."""
    _override(model, {"is_enabled": True})


@models.command("disable")
def disable_model(model: ModelKey) -> None:
    """No router answers this model from now on; it can still be measured."""
    _override(model, {"is_enabled": False})


def publish(settings: Settings, store: Store) -> None:
    """Tell the lookup at once."""
    from flows.jobs.configuration import publish as publish_configuration

    publish_configuration(settings, store)


def _override(model: str, values: dict[str, Any]) -> None:
    settings = load_settings()
    with open_store(settings) as store:
        row = _one(store, "catalog", model, "model")
        try:
            store.write("model_overrides", [{"model_id": row["model_id"], **values, "updated_at": now_text()}])
        except BadRows as error:
            raise UsageError(f"{model} cannot be set so: {error}") from error
        publish(settings, store)
        now = _one(store, "catalog", model, "model")
    render.say(
        f"{model}: " + ", ".join(f"{name} is {render.cell(now[_SHOWN.get(name, name)])}" for name in values) + "."
    )


_SHOWN = {"context_window": "ctx_length"}  # an override's column, and the catalog's name for it


def _switch(provider: str, *, active: bool) -> None:
    settings = load_settings()
    with open_store(settings) as store:
        row = _one(store, "providers", provider, "provider", by="key")
        store.write("providers", [{**row, "is_active": active, "updated_at": now_text()}])
        publish(settings, store)
    render.say(f"{provider} is {'enabled' if active else 'disabled; its models are unavailable'}.")


def _one(store: Store, table: str, key: str, noun: str, by: str = "id") -> Row:
    found = store.select(table, {by: key}).items
    if not found:
        raise UsageError(f"There is no {noun} '{key}'; 'scorehouse {noun}s list' shows those that are there.")
    return found[0]


def _show(row: Row, *, as_json: bool) -> None:
    if as_json:
        render.show_json(row)
        return
    for name, value in row.items():
        render.out.print(f"{name:20}", render.plain(render.cell(value)), soft_wrap=True)
