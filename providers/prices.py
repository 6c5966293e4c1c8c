"""What a price library says a model costs, where its provider's API says nothing.

The library is genai-prices, used as it is installed: its data travels with it, its updater is never started, nothing is
fetched. Its authors say that it is not always right, so what rests on it is an estimate. It is imported on first use, because
that takes half a second.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class LibraryPrice:
    """Base prices in USD per 1M tokens (long prompts cost more at some providers: tiers are left out), None where the library has none.

    `matched_model` is the library's own id: it matches names by their beginnings too, so a near name may find a relative.
    """

    input_price_per_m: Decimal | None
    output_price_per_m: Decimal | None
    cached_input_price_per_m: Decimal | None
    matched_model: str
    library_version: str


def library_price(genai_provider: str, model: str, at: datetime) -> LibraryPrice | None:
    """The price of `model` at a moment (with a time zone), by the library's own id of the provider; None if it is unknown to it.

    The figures are read off the model's price record: pricing a usage of 1M tokens would give the price of a long prompt.
    """
    import genai_prices  # noqa: PLC0415  # half a second
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    try:
        _, found = get_snapshot().find_provider_model(model, None, genai_provider, None)
    except LookupError:
        return None
    prices = found.get_prices(at)
    known = (_base(prices.input_mtok), _base(prices.output_mtok), _base(prices.cache_read_mtok))
    if known[:2] == (None, None):
        return None  # paid by the hour, the picture or the search
    return LibraryPrice(*known, matched_model=found.id, library_version=genai_prices.__version__)


def _base(price: Any) -> Decimal | None:
    """A price, or the lowest step of one that rises with the length of the prompt."""
    base: Decimal | None = getattr(price, "base", price)
    return base
