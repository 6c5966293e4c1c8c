"""What a run will measure: active models x a workload's items x repeats, in a seeded order, with an upper bound of its cost. Pure."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flows.workloads import Item, Workload


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request of a run; `id` is the result's id from the plan to the lake. Prices are USD per 1M tokens.

    `entry` is the model's entry in its provider's listing, `rejected_parameters` are those that it is known to refuse.
    """

    id: str
    provider: str
    model: str
    external_id: str
    provider_id: str
    model_id: str
    is_simulated: bool
    item: Item
    repeat: int
    price_id: str | None
    input_price_per_m: float | None
    output_price_per_m: float | None
    most_usd: float | None
    cached_input_price_per_m: float | None = None
    is_price_estimated: bool = False
    rejected_parameters: frozenset[str] = frozenset()
    entry: Mapping[str, Any] = field(default_factory=dict)

    def skeleton(self, run_id: str, workload: Workload, created_at: datetime) -> dict[str, Any]:
        """The columns of the result that are known before the call: what stands in the spool from the start."""
        return {
            "id": self.id,
            "run_id": run_id,
            "provider_id": self.provider_id,
            "model_id": self.model_id,
            "provider": self.provider,
            "model": self.model,
            "is_simulated": self.is_simulated,
            "workload_id": workload.id,
            "workload_version": workload.version,
            "domain": self.item.domain,
            "benchmark_id": self.item.benchmark_id,
            "repeat": self.repeat,
            "created_at": created_at,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of a run by provider, each provider's in the order in which they go out."""

    requests: Mapping[str, tuple[PlannedRequest, ...]]
    seed: int

    @property
    def size(self) -> int:
        """How many requests the run has."""
        return sum(len(requests) for requests in self.requests.values())

    @property
    def models(self) -> tuple[str, ...]:
        """The models that are measured, in name order."""
        return tuple(sorted({request.model for requests in self.requests.values() for request in requests}))

    @property
    def most_usd(self) -> float:
        """An upper bound of the cost of all requests whose price is known."""
        return sum(request.most_usd or 0.0 for requests in self.requests.values() for request in requests)

    @property
    def unpriced_models(self) -> tuple[str, ...]:
        """The models that the bound leaves out because their price is unknown."""
        everything = (request for requests in self.requests.values() for request in requests)
        return tuple(sorted({request.model for request in everything if request.most_usd is None}))

    @property
    def estimated_models(self) -> tuple[str, ...]:
        """The models whose price is a price library's and not their provider's own word."""
        everything = (request for requests in self.requests.values() for request in requests)
        return tuple(sorted({request.model for request in everything if request.is_price_estimated}))


def make_plan(
    catalog: Sequence[Mapping[str, Any]],
    provider_ids: Mapping[str, str],
    workload: Workload,
    *,
    repeats: int,
    seed: int,
    new_id: Callable[[], str],
) -> Plan:
    """Cross `catalog` rows (of the view `catalog`) with the workload's items.

    `provider_ids` maps a provider's key to its row's id. The order is shuffled with `seed` within each provider, so that models
    are compared in the same minutes and no model always goes first; the numbers of unique prompts follow from it too.
    """
    shuffle = random.Random(seed)  # noqa: S311  # an order to repeat, not a secret
    requests: dict[str, tuple[PlannedRequest, ...]] = {}
    for provider in sorted({row["provider_id"] for row in catalog}):
        mine = [
            _request(row, provider_ids[provider], item.with_nonce(seed, row["id"], number, repeat), repeat, new_id())
            for row in sorted(catalog, key=lambda row: str(row["id"]))
            if row["provider_id"] == provider
            for number, item in enumerate(workload.items)
            for repeat in range(repeats * workload.times)
        ]
        shuffle.shuffle(mine)
        requests[provider] = tuple(mine)
    return Plan(requests=requests, seed=seed)


def sample(workload: Workload, per_domain: int) -> Workload:
    """The first `per_domain` items of each domain; the version stays, because each prompt is the same."""
    taken: Counter[str | None] = Counter()
    kept = []
    for item in workload.items:
        if taken[item.domain] < per_domain:
            taken[item.domain] += 1
            kept.append(item)
    return replace(workload, items=tuple(kept))


def _request(row: Mapping[str, Any], provider_id: str, item: Item, repeat: int, result_id: str) -> PlannedRequest:
    return PlannedRequest(
        id=result_id,
        provider=row["provider_id"],
        model=row["id"],
        external_id=row["external_id"],
        provider_id=provider_id,
        model_id=row["model_id"],
        is_simulated=bool(row["is_simulated"]),
        item=item,
        repeat=repeat,
        price_id=row["price_id"],
        input_price_per_m=row["pricing_input"],
        output_price_per_m=row["pricing_output"],
        most_usd=_most_usd(row, item),
        cached_input_price_per_m=row["pricing_cached_input"],
        is_price_estimated=bool(row["is_price_estimated"]),
        rejected_parameters=frozenset(row.get("rejected_parameters") or ()),
        entry=row.get("metadata") or {},
    )


def _most_usd(row: Mapping[str, Any], item: Item) -> float | None:
    """A token is at least one byte of UTF-8, so bytes bound the input tokens; a chat template adds a few dozen.

    Whether the provider's cache helps is not known before the call: all input is taken at the dearer of its two prices.
    Nothing bounds a request whose price is unknown, or whose prompt sets no limit to the answer.
    """
    output_tokens = item.prompt.max_output_tokens
    if row["pricing_input"] is None or row["pricing_output"] is None or output_tokens is None:
        return None
    text = item.prompt.text + (item.prompt.system or "")
    input_tokens = len(text.encode()) + 64
    input_price = max(row["pricing_input"], row["pricing_cached_input"] or 0.0)
    return cost_usd(input_tokens, output_tokens, input_price, row["pricing_output"])


def cost_usd(
    input_tokens: int | None,
    output_tokens: int | None,
    input_price_per_m: float | None,
    output_price_per_m: float | None,
    cached_input_tokens: int | None = None,
    cached_input_price_per_m: float | None = None,
) -> float | None:
    """USD of one request at prices per 1M tokens; None as soon as a count or a price is unknown.

    `input_tokens` is the inclusive total; those of it that came from the provider's cache cost the cached price where it is
    known, else as the others do. `sql/scoring/repriced_costs.sql` and the view `result_costs` have the same formula.
    """
    if input_tokens is None or output_tokens is None or input_price_per_m is None or output_price_per_m is None:
        return None
    cached = min(cached_input_tokens or 0, input_tokens)
    cached_price = input_price_per_m if cached_input_price_per_m is None else cached_input_price_per_m
    paid = (input_tokens - cached) * input_price_per_m + cached * cached_price + output_tokens * output_price_per_m
    return paid / 1_000_000
