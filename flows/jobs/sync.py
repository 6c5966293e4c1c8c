"""Sync catalogs: ask each provider what it serves and make the catalog say so; on failure the last known catalog stays."""

import asyncio
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from structlog.typing import FilteringBoundLogger

from analytics.store import CatalogChange, Store, from_text, to_text
from flows.errors import SecretUnavailable, UsageError
from flows.jobs.configuration import publish
from flows.jobs.patience import fetch_patiently
from flows.jobs.prices import limits_of, log_quarantined, price_fields
from flows.keys import find_key, variable_name
from flows.logs import open_log
from flows.settings import Settings
from flows.warehouse import open_store
from providers.catalog import Catalog
from providers.errors import BadProvider, ConnectFailed, Refused, WireError
from providers.records import Model, ProviderSpec
from providers.specs import make_spec

_MODEL_FIELDS = tuple(field.name for field in fields(Model))
_values_of = attrgetter(*_MODEL_FIELDS)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one provider's sync changed, or why it failed; `rejected` entries of its list were unusable.

    `prices_quarantined` is how many of its models have a price in quarantine now, those of earlier syncs included.
    """

    provider: str
    change: CatalogChange | None = None
    rejected: tuple[str, ...] = ()
    error: str | None = None
    last_synced: str | None = None
    prices_quarantined: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For --json and artifacts."""
        change = self.change or CatalogChange()
        return {
            "provider": self.provider,
            "models_discovered": change.discovered,
            "models_added": change.added,
            "models_updated": change.updated,
            "models_vanished": change.vanished,
            "prices_changed": change.prices,
            "prices_quarantined": self.prices_quarantined,
            "quarantined": [f"{name}: {why}" for name, why in change.quarantined],
            "rejected": [*self.rejected, *(f"{name}: {why}" for name, why in change.rejected)],
            "error": self.error,
            "synced_at": self.last_synced,
        }


async def sync_catalogs(settings: Settings, providers: tuple[str, ...] = ()) -> list[SyncReport]:
    """Sync the named providers, or all active ones, side by side; then publish the configuration for the lookup.

    Raises UsageError for a provider that does not exist; a provider that fails is a report with its error.
    """
    log = open_log(settings.home.logs)
    with open_store(settings) as store:
        rows = {row["key"]: row for row in store.read_all("providers")}
        for key in providers:
            if key not in rows:
                raise UsageError(
                    f"There is no provider '{key}'; 'scorehouse providers list' shows those that are there."
                )
        chosen = (
            [rows[key] for key in dict.fromkeys(providers)]
            if providers
            else [row for row in rows.values() if row["is_active"]]
        )
        with _without_collecting():
            reports = await asyncio.gather(*(_sync(settings, store, log, row) for row in chosen))
            publish(settings, store)
    return list(reports)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """The garbage collector would look at a growing catalog again and again, an eighth of a sync's time, and find nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _sync(settings: Settings, store: Store, log: FilteringBoundLogger, row: Mapping[str, Any]) -> SyncReport:
    now = to_text(datetime.now(UTC))
    key = None
    try:
        spec = make_spec(row)
        found = await asyncio.to_thread(find_key, settings, spec)
        key = found.value
        if found.is_from_environment:
            log.warning("development mode: the key is not from Vault", provider=row["key"], source=found.source)
        catalog = await fetch_patiently(spec, key, settings.catalog, log)
    except (WireError, BadProvider, SecretUnavailable, TimeoutError) as error:
        message = _why(error, row, settings, has_key=key is not None)
        log.error("sync failed; the last known catalog stays", provider=row["key"], message=message)
        await asyncio.to_thread(store.catalog_failed, row["key"], message, now)
        return SyncReport(row["key"], error=message, last_synced=row["last_synced"])
    change = await asyncio.to_thread(_apply, settings, store, spec, catalog, now)
    if not catalog.models and await asyncio.to_thread(_has_models, store, row["key"]):
        # The store counts an empty list as a failed sync and keeps the last known catalog.
        message = "The provider listed no usable models."
        log.error("sync failed; the last known catalog stays", provider=row["key"], message=message)
        return SyncReport(row["key"], rejected=catalog.rejected, error=message, last_synced=row["last_synced"])
    for entry in catalog.rejected:
        log.warning("a catalog entry is unusable", provider=row["key"], message=entry)
    for name, reason in change.quarantined:
        log_quarantined(log, f"{row['key']}/{name}", reason)
    waiting = await asyncio.to_thread(store.select, "quarantined_prices", {"provider": row["key"]}, page=1, per_page=1)
    return SyncReport(
        row["key"], change=change, rejected=catalog.rejected, last_synced=now, prices_quarantined=waiting.total
    )


def _apply(settings: Settings, store: Store, spec: ProviderSpec, catalog: Catalog, now: str) -> CatalogChange:
    at = from_text(now)
    entries = []
    for model in catalog.models:
        entry = _entry(model)
        entry.update(price_fields(settings, spec, model, at))
        entries.append(entry)
    return store.apply_catalog(spec.key, entries, now, active=_active(spec), price_limits=limits_of(settings))


def _entry(model: Model) -> dict[str, Any]:
    """A model as a store takes it; not `asdict`, which copies all that is in it."""
    return dict(zip(_MODEL_FIELDS, _values_of(model), strict=True))


def _has_models(store: Store, provider: str) -> bool:
    return bool(store.select("catalog", {"provider_id": provider, "is_available": True}, page=1, per_page=1).total)


def _why(error: Exception, row: Mapping[str, Any], settings: Settings, *, has_key: bool) -> str:
    """What a person needs to mend it: what was said, where it was asked, and whether it was asked with a key."""
    if isinstance(error, TimeoutError):
        return f"The models endpoint did not answer within {settings.catalog.timeout_ms:.0f} ms."
    if isinstance(error, ConnectFailed):
        return f"No connection to {make_spec(row).base_url}: {error}"
    if not isinstance(error, Refused) or error.status_code is None:
        return str(error)
    source = (
        f"'scorehouse keys set {row['key']}' stores one"
        if settings.vault_addr
        else f"in development mode it is read from {variable_name(row['key'])}"
    )
    without = f" (asked without a key; {source})"
    said = str(error).rstrip(".")
    return f"HTTP {error.status_code} ({error.error_type}): {said}{'' if has_key or row['is_simulated'] else without}."


def _active(spec: ProviderSpec) -> Any:
    """What is benchmarked from its first appearance on: a type's default models, and all that is simulated.

    What a gateway of one's own lists may be hundreds of paid models: its user says which are wanted.
    """
    return "all" if spec.is_simulated else spec.default_models
