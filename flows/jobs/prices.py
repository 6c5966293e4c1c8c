"""Whose price of a model counts: its provider's API, else the user's settings, else a price library, else nobody's.

An admin's price goes before all of them and is kept by the store until it is cleared; what a provider reports with an answer
goes before any price. `analytics.store.pricing` judges what these sources say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from structlog.typing import FilteringBoundLogger

from analytics.errors import BadRows
from analytics.store import Actor, Row, Store, from_text, new_id
from analytics.store.pricing import (
    FIGURES,
    HISTORY_COLUMNS,
    Offer,
    PriceHistory,
    PriceLimits,
    accepted,
    histories,
    judge,
    later,
    offer_of,
)
from flows.errors import UsageError
from flows.jobs.configuration import publish
from flows.settings import Settings
from providers.dialects.parameters import base_model
from providers.entries import BadEntry, TierThresholds, cost_tier, read_entry
from providers.errors import BadProvider
from providers.prices import library_price
from providers.records import Model, ProviderSpec
from providers.specs import make_spec

_AT_ONCE = 200  # ids in one question to the store
_PRICED = ("price_id", "price_source", "is_price_estimated", "pricing_input", "pricing_output", "pricing_cached_input")


@dataclass(frozen=True, slots=True)
class PriceCheck:
    """What a look at the sources changed: rows of `prices` that count from now on, and those put into quarantine."""

    counting: tuple[Row, ...] = ()
    quarantined: tuple[Row, ...] = ()


def tiers_of(settings: Settings) -> TierThresholds:
    """Where the cost tiers end, as configured."""
    return TierThresholds(settings.catalog.low_below_usd_per_m, settings.catalog.standard_below_usd_per_m)


def limits_of(settings: Settings) -> PriceLimits:
    """What a price from outside may be, as configured."""
    return PriceLimits(settings.catalog.highest_price_usd_per_m, settings.catalog.price_jump)


def price_fields(settings: Settings, spec: ProviderSpec, model: Model, at: datetime) -> dict[str, Any]:
    """What replaces a model's price fields, source and cost tier in its catalog entry: nothing where its API gives a price.

    An API that gives what is no price has spoken too: no estimate takes its place.
    """
    if model.price_problem or any(getattr(model, name) is not None for name in FIGURES):
        return {}
    own = settings.prices.get(f"{spec.key}/{model.external_id}")
    if own is not None:
        figures = tuple(None if value is None else Decimal(str(value)) for value in own.model_dump().values())
        return _fields(settings, figures, price_source="settings")
    raw = orjson.loads(model.raw) if spec.ids_are_deployments else {}
    name = base_model(spec, model.external_id, raw) if spec.genai_provider else None
    found = library_price(spec.genai_provider, name, at) if spec.genai_provider and name else None
    if found is None:
        return {}
    figures = (found.input_price_per_m, found.output_price_per_m, found.cached_input_price_per_m)
    library = {"source_version": found.library_version, "matched_model": found.matched_model}
    return _fields(settings, figures, price_source="genai-prices", **library)


def check_prices(
    settings: Settings, store: Store, rows: Sequence[Row], at: str, log: FilteringBoundLogger | None = None
) -> PriceCheck:
    """Look at the sources again for these rows of the view `catalog`, without a network: the API's word is the entry it gave last.

    `rows` are brought up to what counts now. With `log` what changed is written to the store and logged; without it nothing is.
    """
    specs = _specs(store)
    history = _histories(store, [row["model_id"] for row in rows])
    ids = {row["key"]: row["id"] for row in store.read_all("providers")}
    counting: list[Row] = []
    quarantined: list[Row] = []
    for row in rows:
        spec = specs.get(row["provider_id"])
        if spec is None:
            continue  # it cannot be asked either, and whoever asks it says why
        model = _kept_model(spec, row)
        fields = {name: getattr(model, name) for name in (*FIGURES, "price_problem")}
        fields |= price_fields(settings, spec, model, from_text(at))
        offer = offer_of(fields, "simulated" if spec.is_simulated else "provider_api")
        known = history.get(row["model_id"])
        provider_id = ids[row["provider_id"]]
        verdict = judge(
            offer, known, model_id=row["model_id"], provider_id=provider_id, moment=at, limits=limits_of(settings)
        )
        if verdict.row is None:
            continue
        (counting if verdict.counts else quarantined).append(verdict.row)
        if verdict.counts:
            row.update(_shown(verdict.row))
    check = PriceCheck(tuple(counting), tuple(quarantined))
    if log is not None:
        _keep(settings, store, check, {row["model_id"]: row["id"] for row in rows}, log)
    return check


def set_price(
    settings: Settings, store: Store, row: Row, figures: Sequence[float | None], at: str, actor: Actor
) -> None:
    """An admin's price for a row of the view `catalog`: it counts until it is cleared, whatever others say. Audited."""
    known = _histories(store, [row["model_id"]]).get(row["model_id"])
    one, two, three = figures
    offer = Offer("admin", (one, two, three))
    verdict = judge(
        offer, known, model_id=row["model_id"], provider_id=_provider_id(store, row), moment=at, limits=PriceLimits()
    )
    if verdict.row is not None:
        store.change_rows("prices", [verdict.row], action="set_price", actor=actor, at=at)
        write_tiers(settings, store, [row["model_id"]])


def clear_price(settings: Settings, store: Store, row: Row, at: str, log: FilteringBoundLogger, actor: Actor) -> None:
    """End an admin's price: from now on counts what the other sources say. Audited. UsageError where no admin's price is in force."""
    known = _histories(store, [row["model_id"]]).get(row["model_id"])
    if known is None or known.last is None or not known.is_admins:
        whose = row["price_source"] or "nobody"
        raise UsageError(f"No price of {row['id']} was set by hand; the one in force comes from {whose}.")
    gone = {
        "id": new_id(),
        "provider_id": _provider_id(store, row),
        "model_id": row["model_id"],
        "source": "admin",
        "timestamp": later(known.last.timestamp, at),
    }
    store.change_rows("prices", [gone], action="clear_price", actor=actor, at=at)
    check_prices(settings, store, [row], later(gone["timestamp"], at), log)
    write_tiers(settings, store, [row["model_id"]])


def accept_price(settings: Settings, store: Store, price_id: str, at: str, actor: Actor) -> Row:
    """Put a quarantined price in force from now on; the new row. Audited. UsageError where it is none, or not its model's newest word."""
    held = store.select("prices", {"id": price_id}).items
    if not held:
        raise UsageError(
            f"There is no price '{price_id}'; 'scorehouse prices list --quarantined' shows those that wait."
        )
    if held[0]["quarantine_reason"] is not None and not store.select("quarantined_prices", {"id": price_id}).items:
        raise UsageError(
            f"Price '{price_id}' is past: another one came after it, which 'scorehouse prices show' tells."
        )
    try:
        row = accepted(held[0], at)
    except BadRows as error:
        raise UsageError(f"{str(error).capitalize()}; 'scorehouse prices set' sets one by hand.") from None
    store.change_rows("prices", [row], action="accept_price", actor=actor, at=at)
    write_tiers(settings, store, [row["model_id"]])
    return row


def write_prices(settings: Settings, store: Store, rows: Sequence[Row]) -> None:
    """Write rows of `prices` that count, and the cost tiers that follow from them."""
    store.write("prices", rows)
    write_tiers(settings, store, [row["model_id"] for row in rows])


def write_tiers(settings: Settings, store: Store, model_ids: Sequence[str]) -> None:
    """Make the cost tier of these models that of their price in force."""
    for part in _parts(model_ids):
        prices = {row["model_id"]: row for row in store.select("catalog", {"model_id": part}).items}
        changed = []
        for model in store.select("models", {"id": part}).items:
            found = prices[model["id"]]
            tier = _tier(settings, (found["pricing_input"], found["pricing_output"]))
            if model["cost_tier"] != tier:
                changed.append({**model, "cost_tier": tier})
        if changed:
            store.write("models", changed)


def _keep(
    settings: Settings, store: Store, check: PriceCheck, names: Mapping[str, str], log: FilteringBoundLogger
) -> None:
    if check.quarantined:
        store.write("prices", check.quarantined)
    if check.counting:
        write_prices(settings, store, check.counting)
        publish(settings, store)  # the lookup knows prices and tiers too
    for row in check.counting:
        log.info("a price changed", model=names[row["model_id"]], source=row["source"], price_id=row["id"])
    for row in check.quarantined:
        log_quarantined(log, names[row["model_id"]], row["quarantine_reason"])


def log_quarantined(log: FilteringBoundLogger, model: str, reason: str) -> None:
    """One line in the log for a price that does not count."""
    log.warning("a price is in quarantine; the last good one counts", model=model, message=reason)


def _kept_model(spec: ProviderSpec, row: Row) -> Model:
    """The model as its provider listed it last; one that was added by hand has nothing but its name."""
    try:
        return replace(
            read_entry(row["metadata"], zero_is_free=spec.zero_is_free),
            external_id=row["external_id"],  # an entry may call a deployment by its model
        )
    except BadEntry:
        return Model(row["external_id"], row["display_name"], raw=orjson.dumps(row["metadata"]))


def _specs(store: Store) -> dict[str, ProviderSpec]:
    specs = {}
    for row in store.read_all("providers"):
        try:
            specs[row["key"]] = make_spec(row)
        except BadProvider:
            continue
    return specs


def _histories(store: Store, model_ids: Sequence[str]) -> dict[str, PriceHistory]:
    found: dict[str, PriceHistory] = {}
    for part in _parts(model_ids):
        rows = store.select("prices", {"model_id": part}, "timestamp,id").items
        found |= histories([row[name] for name in HISTORY_COLUMNS] for row in rows)
    return found


def _parts(ids: Sequence[str]) -> Iterable[list[str]]:
    unique = list(dict.fromkeys(ids))
    return (unique[start : start + _AT_ONCE] for start in range(0, len(unique), _AT_ONCE))


def _fields(settings: Settings, figures: tuple[Decimal | None, ...], **more: Any) -> dict[str, Any]:
    return {**dict(zip(FIGURES, figures, strict=True)), "cost_tier": _tier(settings, figures), **more}


def _tier(settings: Settings, figures: Sequence[Any]) -> str | None:
    one, two = (None if figure is None else Decimal(str(figure)) for figure in figures[:2])
    return cost_tier(one, two, tiers_of(settings))


def _shown(row: Row) -> Row:
    """A price as the view `catalog` shows it."""
    values = (row["id"], row["source"], row["source"] == "genai-prices", *(row[name] for name in FIGURES))
    return dict(zip(_PRICED, values, strict=True))


def _provider_id(store: Store, row: Row) -> str:
    (provider,) = store.select("providers", {"key": row["provider_id"]}).items
    return str(provider["id"])
