"""The hard limits of a query, as data: one row per limit, in the order in which they are applied and counted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from .board import Board, Ranking
from .columns import Floats, Mask, Positions
from .records import TIERS, RouteQuery


class Asked(NamedTuple):
    """One question at one moment: what a limit's test reads. `now` is seconds since 1970."""

    board: Board
    ranking: Ranking
    query: RouteQuery
    now: float


@dataclass(frozen=True, slots=True)
class Limit:
    """`field` of the query, its test on all models, and `failing`: what a model that fails it does, for "12 models ...".

    `failing_one` is the same said of a single model.
    """

    field: str
    test: Callable[[Asked, Any], Mask]
    failing: str
    failing_one: str


class Fitting(NamedTuple):
    """Which models are left after all limits (None: all usable ones), and how many each limit rejected first."""

    mask: Mask | None
    number: int
    rejected: Mapping[str, int]


def _members(asked: Asked, keys: Iterable[str]) -> Mask:
    catalog = asked.board.catalog
    mask = np.zeros(len(catalog.keys), dtype=np.bool_)
    for key in keys:
        index = catalog.position.get(key)
        if index is not None:
            mask[index] = True
    return mask


def _of_providers(asked: Asked, names: Iterable[str]) -> Mask:
    catalog = asked.board.catalog
    mask = np.zeros(len(catalog.keys), dtype=np.bool_)
    for name in names:
        code = catalog.provider_codes.get(name)
        if code is not None:
            mask |= catalog.provider_code == code
    return mask


def _capable(asked: Asked, needed: tuple[str, ...]) -> Mask:
    catalog = asked.board.catalog
    nobody = np.zeros(len(catalog.keys), dtype=np.bool_)
    mask = catalog.capabilities.get(needed[0], nobody)
    for name in needed[1:]:
        mask = mask & catalog.capabilities.get(name, nobody)
    return mask | catalog.no_capabilities if asked.query.allow_unknown else mask


def _at_most(asked: Asked, column: Floats, bound: float) -> Mask:
    mask: Mask = ~(column > bound) if asked.query.allow_unknown else column <= bound
    return mask


def _at_least(asked: Asked, column: Floats, bound: float) -> Mask:
    mask: Mask = ~(column < bound) if asked.query.allow_unknown else column >= bound
    return mask


def _cost(asked: Asked, bound: float) -> Mask:
    if asked.query.input_tokens is None:
        return _at_most(asked, asked.board.measured["cost_per_query"], bound)
    return _at_most(asked, asked.board.costs(asked.query, slice(None)), bound)


LIMITS = (
    Limit("allow", _members, "are not among those allowed", "is not among those allowed"),
    Limit("deny", lambda a, keys: ~_members(a, keys), "are denied", "is denied"),
    Limit("only", _of_providers, "are of other providers", "is of another provider"),
    Limit("ignore", lambda a, names: ~_of_providers(a, names), "are of ignored providers", "is of an ignored provider"),
    Limit("need", _capable, "lack a needed capability", "lacks a needed capability"),
    Limit(
        "max_tier",
        lambda a, tier: _at_most(a, a.board.catalog.tier, float(TIERS.index(tier))),
        "are of a higher or unknown cost tier",
        "is of a higher or unknown cost tier",
    ),
    Limit(
        "max_usd_per_query",
        _cost,
        "cost more than that or have no known price",
        "costs more than that or has no known price",
    ),
    Limit(
        "min_context",
        lambda a, tokens: _at_least(a, a.board.catalog.context, tokens),
        "have a smaller or unknown context window",
        "has a smaller or unknown context window",
    ),
    Limit(
        "max_ttft_p95_ms",
        lambda a, ms: _at_most(a, a.board.measured["ttft_p95_ms"], ms),
        "take longer to the first word, or were never timed",
        "takes longer to the first word, or was never timed",
    ),
    Limit(
        "max_latency_p95_ms",
        lambda a, ms: _at_most(a, a.board.measured["latency_p95_ms"], ms),
        "take longer to answer, or were never timed",
        "takes longer to answer, or was never timed",
    ),
    Limit(
        "min_tps",
        lambda a, tps: _at_least(a, a.board.measured["tps_mean"], tps),
        "write more slowly, or were never timed",
        "writes more slowly, or was never timed",
    ),
    Limit(
        "max_failure_rate",
        lambda a, share: _at_most(a, a.board.measured["failure_rate"], share),
        "fail more often, or were never asked",
        "fails more often, or was never asked",
    ),
    Limit(
        "min_quality",
        lambda a, quality: _at_least(a, a.ranking.quality, quality),
        "are of lower or unknown quality",
        "is of lower or unknown quality",
    ),
    Limit(
        "min_samples",
        lambda a, n: _at_least(a, a.ranking.n, n),
        "have too few ratings or graded answers",
        "has too few ratings or graded answers",
    ),
    Limit(
        "max_age_s",
        lambda a, seconds: _at_least(a, a.board.last_seen, a.now - seconds),
        "were last seen too long ago, or never",
        "was last seen too long ago, or never",
    ),
)
# Reasons that are not the query's to change: they are counted like limits, but nobody is told to relax them.
OTHER_REASONS = {
    "unavailable": ("are not available now", "is not available now"),
    "disabled": ("are disabled", "is disabled"),
    "model_type": ("are of another type", "is of another type"),
    "agent": ("are not enabled for this agent", "is not enabled for this agent"),
    "failing": (
        "have not answered any of their last {requests} requests",
        "has not answered any of its last {requests} requests",
    ),
}
FAILING = {limit.field: (limit.failing, limit.failing_one) for limit in LIMITS} | OTHER_REASONS


_values = attrgetter(*(limit.field for limit in LIMITS))
_UNSET = _values(RouteQuery())


def set_limits(query: RouteQuery) -> list[tuple[Limit, Any]]:
    """The limits that the query sets, with their values. (An empty `allow` or `only` is a limit that nothing passes.)"""
    given = zip(LIMITS, _values(query), _UNSET, strict=True)
    return [(limit, value) for limit, value, unset in given if value != unset]


def sift(asked: Asked) -> Fitting:
    """Apply every limit of the query; a model counts as rejected by the first one that it fails."""
    ranking = asked.ranking
    limits = set_limits(asked.query)
    count = len(ranking.order)
    if not limits:
        return Fitting(None, count, ranking.rejected)
    mask, rejected = ranking.usable, dict(ranking.rejected)
    for limit, value in limits:
        mask = mask & limit.test(asked, value)
        left = int(np.count_nonzero(mask))
        if left < count:
            rejected[limit.field] = count - left
        count = left
    return Fitting(mask, count, rejected)


def first_failed(asked: Asked, model: int) -> str | None:
    """Why one model does not fit: the first reason in order, or None if it does fit."""
    if not asked.ranking.usable[model]:
        return _why_unusable(asked, model)
    return next((limit.field for limit, value in set_limits(asked.query) if not limit.test(asked, value)[model]), None)


def _why_unusable(asked: Asked, model: int) -> str:
    catalog = asked.board.catalog
    if not catalog.available[model]:
        return "unavailable"
    if not catalog.enabled[model]:
        return "disabled"
    return "agent" if catalog.model_types[model] == asked.query.model_type else "model_type"


def what_to_relax(asked: Asked) -> list[tuple[str, int]]:
    """Each single limit without which some models would fit, with their number, most first."""
    masks = [(limit.field, limit.test(asked, value)) for limit, value in set_limits(asked.query)]
    helping = []
    for dropped, _ in masks:
        others: list[Mask] = [mask for field, mask in masks if field != dropped]
        count = int(np.count_nonzero(np.logical_and.reduce([asked.ranking.usable, *others])))
        if count:
            helping.append((dropped, count))
    return sorted(helping, key=lambda entry: -entry[1])


def fitting_order(asked: Asked, fitting: Fitting) -> Positions:
    """The usable models, best first. By price for given token counts the order is the query's own, so it is made here."""
    query, ranking = asked.query, asked.ranking
    if query.sort == "price" and query.input_tokens is not None:
        models = np.flatnonzero(ranking.usable if fitting.mask is None else fitting.mask)
        return asked.board.best_first(ranking, query.sort, models, asked.board.costs(query, models))
    return ranking.order
