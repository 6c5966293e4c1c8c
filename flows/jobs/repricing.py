"""Correct what results cost when a price was wrong. Results are never changed; what counts them costs them anew."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.compute as pc

from analytics.lake import Lake
from analytics.results import read_results
from analytics.store import Actor, Row, Store, new_id
from flows.errors import UsageError
from flows.plan import cost_usd
from flows.settings import Settings
from flows.warehouse import open_store

_NEEDED = ("id", "price_id", "cost_source", "input_tokens", "cached_input_tokens", "output_tokens", "cost_usd")


@dataclass(frozen=True, slots=True)
class RepriceReport:
    """How many results name the price, what they cost in all before and after, in USD; `repricing_id` is None after a dry run.

    `corrupt` are sentences about lake files that could not be counted.
    """

    price_id: str
    results: int
    cost_usd_before: float
    cost_usd_after: float
    repricing_id: str | None
    is_in_force: bool
    corrupt: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def reprice(
    settings: Settings,
    price_id: str,
    figures: Sequence[float | None],
    at: str,
    actor: Actor,
    *,
    dry_run: bool = False,
) -> RepriceReport:
    """From the next scoring on every result that names `price_id` costs by `figures`: input, output and cached input price in
    USD per 1M tokens. The newest correction of a price counts; it is audited, and the actor's reason is kept with it. Raises
    UsageError for a price that nobody knows.
    """
    one, two, three = figures
    with open_store(settings) as store:
        results, corrupt = _results(store, Lake(settings.home.lake), price_id)
        if not results and not store.select("prices", {"id": price_id}).items:
            raise UsageError(f"There is no price '{price_id}'; 'scorehouse prices show MODEL' lists a model's prices.")
        after = [
            cost_usd(row["input_tokens"], row["output_tokens"], one, two, row["cached_input_tokens"], three)
            for row in results
        ]
        correction = {
            "id": new_id(),
            "price_id": price_id,
            "input_price_per_m": one,
            "output_price_per_m": two,
            "cached_input_price_per_m": three,
            "reason": actor.reason,
            "created_at": at,
        }
        if not dry_run:
            store.add_events("repricings", [correction], action="reprice", actor=actor, at=at)
        return RepriceReport(
            price_id,
            len(results),
            sum(row["cost_usd"] or 0.0 for row in results),
            sum(cost or 0.0 for cost in after),
            None if dry_run else str(correction["id"]),
            bool(store.select("catalog", {"price_id": price_id}).items),
            corrupt,
        )


def _results(store: Store, lake: Lake, price_id: str) -> tuple[list[Row], tuple[str, ...]]:
    """The results that name the price, at what they cost now: those of the lake, and of the store what the lake has not read yet."""
    reading = read_results(lake, columns=_NEEDED)
    rows = reading.rows.filter(
        pc.and_(pc.equal(reading.rows["price_id"], price_id), pc.equal(reading.rows["cost_source"], "price"))
    )
    found = {row["id"]: row for row in rows.to_pylist()}
    costs = {row["id"]: row["cost_usd"] for row in store.select("result_costs", {"price_id": price_id}).items}
    for row in store.select("benchmark_results", {"price_id": price_id, "cost_source": "price"}).items:
        found[row["id"]] = {name: row[name] for name in _NEEDED} | {"cost_usd": costs[row["id"]]}
    return list(found.values()), reading.corrupt
