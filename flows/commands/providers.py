"""`scorehouse providers`: who is measured."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

import typer

from analytics.store import Actor, Row, now_text, stable_id
from flows import render
from flows.commands.options import By, Json, Reason, actor_of
from flows.commands.rows import ProviderKey, find_row, publish, show_row
from flows.errors import UsageError
from flows.freshness import freshness
from flows.keys import origin, secret_path, variable_name
from flows.settings import load_settings
from flows.warehouse import open_store
from providers.addresses import check_host
from providers.records import ProviderSpec
from providers.specs import load, make_spec, provider_types

providers = typer.Typer(no_args_is_help=True, help="Providers: list, show, add, set, disable, enable, test.")

_WITHOUT_ADDRESS = {"azure", "custom"}  # what their specs have is an example

BaseUrl = Annotated[str | None, typer.Option(help="Where it answers; needed for azure and custom.")]
DisplayName = Annotated[str | None, typer.Option(help="What people call it.")]
ModelsEndpoint = Annotated[str | None, typer.Option(help="Its models endpoint, if not the usual one.")]
RateLimit = Annotated[int | None, typer.Option(min=1, max=1_000_000, help="At most so many requests a minute.")]


@providers.command("list")
def list_providers(json: Json = False) -> None:
    """All providers, and how old their catalogs are: a failed sync leaves the last known one, which is called stale."""
    now = datetime.now(UTC)
    with open_store(load_settings()) as store:
        rows = store.read_all("provider_registry")
    if json:
        render.show_json_lines(row | freshness(row, now).to_dict() for row in rows)
        return
    columns = ("id", "display_name", "provider_type", "api_base", "is_active", "is_simulated", "model_count")
    render.show_rows(
        None,
        [{name: row[name] for name in columns} | {"catalog": str(freshness(row, now))} for row in rows],
        "There are no providers yet: 'scorehouse providers add'.",
    )


@providers.command("show")
def show_provider(provider: ProviderKey, json: Json = False) -> None:
    """Everything that is known of one provider."""
    with open_store(load_settings()) as store:
        row = find_row(store, "provider_registry", provider, "provider")
    show_row(row | freshness(row, datetime.now(UTC)).to_dict(), as_json=json)


@providers.command("add")
def add_provider(
    provider: Annotated[str, typer.Argument(metavar="ID", help="A short name of your own, used as its key.")],
    provider_type: Annotated[
        str, typer.Option("--type", help="openai, groq, together, openrouter, anthropic, azure or custom.")
    ],
    base_url: BaseUrl = None,
    display_name: DisplayName = None,
    models_endpoint: ModelsEndpoint = None,
    rate_limit_rpm: RateLimit = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="It may be in a private network, not only on the public internet.")
    ] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Not a real provider: its rows never mix with real evidence.")
    ] = False,
    by: By = None,
    reason: Reason = None,
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
        "is_private_allowed": allow_private,
        "created_at": now,
        "updated_at": now,
    }
    spec = _spec_of(row)  # an unusable URL is refused before anything is written
    settings = load_settings()
    with open_store(settings) as store:
        taken = {taken["key"]: taken["name"] for taken in store.read_all("providers")}
        if provider in taken:
            raise UsageError(
                f"There is a provider '{provider}' already; 'scorehouse providers show {provider}' shows it."
            )
        if row["name"] in taken.values():
            raise UsageError(f"There is a provider called '{row['name']}' already; choose another --display-name.")
        store.change_rows("providers", [row], action="add_provider", actor=actor_of(by, reason), at=now)
        publish(settings, store)
        show_row(find_row(store, "provider_registry", provider, "provider"), as_json=json)
    stored = f"'scorehouse keys set {provider}' stores it in Vault; development mode (SCOREHOUSE_DEV=1) reads {variable_name(provider)}"
    if spec.is_simulated:
        needs = ""
    elif spec.key_required:
        needs = f"It needs a key: {stored}. "
    else:
        needs = f"If it wants a key: {stored}. "
    render.say(f"Added. {needs}Next: scorehouse models sync {provider}")


@providers.command("set")
def set_provider(
    provider: ProviderKey,
    base_url: BaseUrl = None,
    display_name: DisplayName = None,
    models_endpoint: ModelsEndpoint = None,
    rate_limit_rpm: RateLimit = None,
    allow_private: Annotated[
        bool | None,
        typer.Option(
            "--allow-private/--public-only", help="It may be in a private network, or on the public internet alone."
        ),
    ] = None,
    by: By = None,
    reason: Reason = None,
) -> None:
    """Change what is known of a provider. A key stays bound to the address that it was stored for."""
    values = {
        "base_url": base_url, "name": display_name, "models_endpoint": models_endpoint, "rate_limit_rpm": rate_limit_rpm,
        "is_private_allowed": allow_private,
    }  # fmt: skip
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        raise UsageError(
            "Nothing to set: give at least one of --base-url, --display-name, --models-endpoint, --rate-limit-rpm, --allow-private."
        )
    for name, value in given.items():
        if isinstance(value, str) and not value.strip():
            raise UsageError(f"--{'display-name' if name == 'name' else name.replace('_', '-')} is empty.")
    settings = load_settings()
    with open_store(settings) as store:
        row = find_row(store, "providers", provider, "provider", by="key")
        if any(taken["name"] == display_name and taken["key"] != provider for taken in store.read_all("providers")):
            raise UsageError(f"There is a provider called '{display_name}' already; choose another --display-name.")
        spec = _spec_of(row | given)
        changed = {"id": row["id"], **given}
        store.change_rows("providers", [changed], action="set_provider", actor=actor_of(by, reason))
        publish(settings, store)
    moved = origin(spec.base_url) != origin(make_spec(row).base_url)
    key = (
        f" Its key is not sent there until 'scorehouse keys set {provider}' stores it for the new address."
        if moved
        else ""
    )
    render.say(
        f"{provider}: " + ", ".join(f"{name} is {render.cell(value)}" for name, value in given.items()) + "." + key
    )


@providers.command("disable")
def disable_provider(provider: ProviderKey, by: By = None, reason: Reason = None) -> None:
    """Switch a provider off: nothing is sent to it, and its models are unavailable to agents at once."""
    _switch(provider, actor_of(by, reason), active=False)


@providers.command("enable")
def enable_provider(provider: ProviderKey, by: By = None, reason: Reason = None) -> None:
    """Switch a provider on again."""
    _switch(provider, actor_of(by, reason), active=True)


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
            find_row(store, "provider_registry", key, "provider")
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


def _switch(provider: str, actor: Actor, *, active: bool) -> None:
    settings = load_settings()
    with open_store(settings) as store:
        row = find_row(store, "providers", provider, "provider", by="key")
        action = "enable_provider" if active else "disable_provider"
        store.change_rows("providers", [{"id": row["id"], "is_active": active}], action=action, actor=actor)
        publish(settings, store)
    render.say(f"{provider} is {'enabled' if active else 'disabled; its models are unavailable'}.")


def _spec_of(row: Row) -> ProviderSpec:
    """The spec of a row that somebody wrote just now. Raises BadProvider for an address that it may not have."""
    spec = make_spec(row)
    check_host(urlsplit(spec.base_url).hostname or "", is_private_allowed=spec.is_private_allowed)
    return spec
