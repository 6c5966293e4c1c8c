"""Which price of a model counts from now on: what a source says now, judged by what counted before. Pure.

The table `prices` is a history. A model's price in force is its newest row without a `quarantine_reason`; a row without
figures says that no source gives a price any more. A row is added only when something changed. What an admin set stands until
it is cleared. A price from outside that is no price, is too high, or leaps away from the last one from outside goes into
quarantine: kept and shown, never in force. All prices are USD per 1M tokens.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, cast, get_args

from analytics.errors import BadRows
from analytics.store.rows import Row, from_text, new_id, to_text

Source = Literal["provider_api", "simulated", "settings", "admin", "genai-prices"]
Figures = tuple[float | None, float | None, float | None]  # input, output, cached input

FIGURES = ("input_price_per_m", "output_price_per_m", "cached_input_price_per_m")
ESTIMATED = "genai-prices"  # the source whose figures are not the provider's own
_SIDES = ("input", "output", "cached input")
_NONE: Figures = (None, None, None)
_SOURCES = frozenset(get_args(Source))
_OURS = frozenset({"admin", "settings"})  # the user's own words: never doubted, and no measure for those of others


@dataclass(frozen=True, slots=True)
class PriceLimits:
    """What a price from outside may be: at most `highest_per_m`, and no more than `jump` times above or below the last one."""

    highest_per_m: float = 100_000.0
    jump: float = 10.0


class Offer(NamedTuple):
    """What a source says of one model's price now. Without figures it gives none, or one that is none: then `problem` says so.

    `source_version` and `matched_model` are the price library's.
    """

    source: Source
    figures: Figures = _NONE
    problem: str | None = None
    source_version: str | None = None
    matched_model: str | None = None


class Held(NamedTuple):
    """One row of `prices`, as far as it matters to the next."""

    model_id: str
    source: str
    figures: Figures
    quarantine_reason: str | None
    timestamp: str


class PriceHistory:
    """Of one model: the newest row of all, the one in force, and the figures of the newest from outside that counted."""

    __slots__ = ("from_outside", "in_force", "last")

    def __init__(self) -> None:
        self.last: Held | None = None
        self.in_force: Held | None = None
        self.from_outside: Figures | None = None

    @property
    def is_admins(self) -> bool:
        """Whether an admin's price is in force."""
        return self.in_force is not None and self.in_force.source == "admin" and self.in_force.figures != _NONE

    def add(self, row: Held) -> None:
        """One more row, later than all before."""
        self.last = row
        if row.quarantine_reason is None:
            self.in_force = row
            if row.source not in _OURS and row.figures != _NONE:
                self.from_outside = row.figures


class Verdict(NamedTuple):
    """The row to add (None: nothing changed), and whether the offer is what counts afterwards."""

    row: Row | None
    counts: bool


# What `histories` wants of each row of `prices`, ordered by (timestamp, id).
HISTORY_COLUMNS = ("model_id", "source", *FIGURES, "quarantine_reason", "timestamp")


def histories(rows: Iterable[Sequence[Any]]) -> dict[str, PriceHistory]:
    """The history of each model by its id, from the `HISTORY_COLUMNS` of its rows in the order of (timestamp, id)."""
    found: dict[str, PriceHistory] = {}
    for model_id, source, one, two, three, reason, moment in rows:
        history = found.get(model_id)
        if history is None:
            history = found[model_id] = PriceHistory()
        history.add(Held(model_id, source, (one, two, three), reason, moment))
    return found


def offer_of(entry: Mapping[str, Any], source: str) -> Offer:
    """The offer in a catalog entry: the price fields of `providers.records.Model`, and `price_source`, `source_version` and
    `matched_model` where another source than `source` gave the price. Raises BadRows for a source that does not exist.
    """
    named = entry.get("price_source") or source
    if named not in _SOURCES:
        raise BadRows(f"{entry.get('external_id')}: price_source: {named!r} is none of {', '.join(sorted(_SOURCES))}")
    problem = entry.get("price_problem")
    one, two, three = given = tuple(map(entry.get, FIGURES))
    known = _figure(one), _figure(two), _figure(three)
    if not problem and None in known:
        for side, value, figure in zip(_SIDES, given, known, strict=True):
            if value is not None and figure is None:
                problem = problem or f"the {side} price {value!s:.80} is no price"
    known = _NONE if problem else known
    return Offer(cast("Source", named), known, problem, entry.get("source_version"), entry.get("matched_model"))


def judge(
    offer: Offer, history: PriceHistory | None, *, model_id: str, provider_id: str, moment: str, limits: PriceLimits
) -> Verdict:
    """What becomes of an offer for one model at a moment (as stores write times)."""
    known = history or PriceHistory()
    if known.is_admins and offer.source != "admin":
        return Verdict(None, counts=False)
    reason = None if offer.source in _OURS else _doubt(offer, known.from_outside, limits)
    last = known.last
    if last is None:
        is_news = reason is not None or offer.figures != _NONE
    else:
        is_news = (last.figures, last.quarantine_reason) != (offer.figures, reason)
        is_news |= last.figures != _NONE and last.source != offer.source
    if not is_news:
        return Verdict(None, counts=reason is None)
    row = {
        "id": new_id(),
        "provider_id": provider_id,
        "model_id": model_id,
        **dict(zip(FIGURES, offer.figures, strict=True)),
        "source": offer.source,
        "source_version": offer.source_version,
        "matched_model": offer.matched_model,
        "quarantine_reason": reason,
        # A sync that began before somebody else's word still speaks after it.
        "timestamp": moment if last is None else later(last.timestamp, moment),
    }
    return Verdict(row, counts=reason is None)


def accepted(row: Row, moment: str) -> Row:
    """The row that puts a quarantined one in force from `moment` on. Raises BadRows if it is none, or has no figures."""
    if row["quarantine_reason"] is None:
        raise BadRows(f"price {row['id']} is not in quarantine")
    if all(row[name] is None for name in FIGURES):
        raise BadRows(f"price {row['id']} cannot count: {row['quarantine_reason']}")
    return {**row, "id": new_id(), "quarantine_reason": None, "timestamp": later(row["timestamp"], moment)}


def later(than: str, moment: str) -> str:
    """`moment`, or the first microsecond after `than` if it is not later: rows of one model follow each other."""
    return moment if moment > than else to_text(from_text(than) + timedelta(microseconds=1))


def _doubt(offer: Offer, before: Figures | None, limits: PriceLimits) -> str | None:
    """Why a price from outside may not count, if it may not. From or to 0 is a leap, however small the other figure."""
    if offer.problem:
        return offer.problem
    for side, figure in zip(_SIDES, offer.figures, strict=True):
        if figure is not None and figure > limits.highest_per_m:
            return f"the {side} price of {figure:g} USD per 1M tokens is above {limits.highest_per_m:g}"
    for side, new, old in zip(_SIDES, offer.figures, before or _NONE, strict=True):
        if new is None or old is None or new == old:
            continue
        low, high = min(new, old), max(new, old)
        if low == 0 or high > limits.jump * low * (1 + 1e-9):  # exactly ten times is no more than ten times
            return f"the {side} price went from {old:g} to {new:g} USD per 1M tokens: more than {limits.jump:g} times"
    return None


def _figure(value: Any) -> float | None:
    """A number that can be a price: finite, not negative."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        figure = float(value)
    except (OverflowError, ValueError):  # an integer of 400 digits, a signalling NaN
        return None
    return figure if math.isfinite(figure) and figure >= 0 else None
