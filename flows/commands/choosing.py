"""Choosing models of the catalog by what they are: options and the filter that several commands share."""

from collections.abc import Sequence
from typing import Annotated

import typer

from analytics.store import Row, Store
from flows.commands.rows import find_row
from flows.errors import UsageError

_TIERS = ("free", "low", "standard", "premium")
_TIER_NAMES = "free, low, standard or premium"

OfProvider = Annotated[str | None, typer.Option("--provider", help="Only this provider's.")]
OfTier = Annotated[str | None, typer.Option("--cost-tier", help="Only this tier: free, low, standard or premium.")]
WithCapability = Annotated[str | None, typer.Option("--capability", help="Only models that are known to have it.")]


def matching(
    store: Store,
    provider: str | None,
    cost_tier: str | None,
    capability: str | None,
    columns: Sequence[str] | None,
) -> list[Row]:
    """The models of the catalog that match all that is given, in the order of their keys."""
    check_words(cost_tier)
    if provider:
        find_row(store, "provider_registry", provider, "provider")
    filters = {name: value for name, value in {"provider_id": provider, "cost_tier": cost_tier}.items() if value}
    rows = store.select("catalog", filters, order="id", columns=columns).items
    return [row for row in rows if not capability or capability in row["capabilities"]]


def check_words(
    cost_tier: str | None,
    capability: list[str] | None = None,
    model_type: str | None = None,
    domain: list[str] | None = None,
) -> None:
    """UsageError names the option that is no word of its kind."""
    if cost_tier not in {None, *_TIERS}:
        raise UsageError(f"--cost-tier '{cost_tier}' is not {_TIER_NAMES}.")
    words = {
        "capability": capability or [],
        "model-type": [] if model_type is None else [model_type],
        "domain": domain or [],
    }
    for name, given in words.items():
        if not all(word.strip() for word in given):
            raise UsageError(f"--{name} is empty.")
