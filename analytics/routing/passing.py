"""The hard limits once more, for a few candidates side by side. They must say what the sets of `limits` say."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from . import bits
from .asked import Asked
from .bits import Floats, Mask
from .few import Few
from .limits import LIMITS, groups, ready
from .records import TIERS

Test = Callable[[Asked, Few, Any], Mask]


def passing(asked: Asked, few: Few, *, agent: bool) -> Mask:
    """Which of the candidates pass everything; the asking agent's list is looked at only if `agent`."""
    query, board = asked.query, asked.board
    mask = few.masks.get(query.model_type)
    if mask is None:
        mask = few.among(query.model_type, partial(ready, board, query.model_type))
    if query.agent is not None or query.tenant is not None or query.role is not None:
        for name, words in groups(asked):
            if agent or name != "agent":
                mask = mask & bits.among(words, few.models)
    for field, value in asked.limits:
        mask = mask & _passed(asked, few, field, value)
    return mask


def _passed(asked: Asked, few: Few, field: str, value: Any) -> Mask:
    """Which of them pass one limit."""
    way = COLUMNS.get(field)
    if way is None:
        return TESTS[field](asked, few, value)
    name, is_most = way
    return _below(asked, few.column(name), value) if is_most else _above(asked, few.column(name), value)


def _named(asked: Asked, few: Few, keys: tuple[str, ...]) -> Mask:
    position = asked.board.catalog.position
    return np.isin(few.models, [position[key] for key in keys if key in position])


def _of_providers(asked: Asked, few: Few, names: tuple[str, ...]) -> Mask:
    key = ("providers", names)
    mask = few.masks.get(key)
    if mask is None:
        codes = asked.board.catalog.provider_codes
        mask = np.zeros(len(few.models), dtype=np.bool_)
        for name in names:
            mask |= few.provider == codes.get(name, -1)
        few.keep(key, mask)
    return mask


def _capable(asked: Asked, few: Few, needed: tuple[str, ...]) -> Mask:
    unknown = asked.query.allow_unknown
    passed = None
    for name in needed:
        mask = few.masks.get((name, unknown))
        if mask is None:
            mask = few.among((name, unknown), partial(LIMITS["need"].passing, asked, (name,)))
        passed = mask if passed is None else passed & mask
    assert passed is not None
    return passed


def _below(asked: Asked, column: Floats, bound: float) -> Mask:
    mask: Mask = ~(column > bound) if asked.query.allow_unknown else column <= bound
    return mask


def _above(asked: Asked, column: Floats, bound: float) -> Mask:
    mask: Mask = ~(column < bound) if asked.query.allow_unknown else column >= bound
    return mask


def _price(asked: Asked, few: Few, most: tuple[float | None, float | None]) -> Mask:
    mask = np.ones(len(few.models), dtype=np.bool_)
    for name, bound in zip(("price_in", "price_out"), most, strict=True):
        if bound is not None:
            mask = mask & _below(asked, few.column(name), bound)
    return mask


def _cost(asked: Asked, few: Few, bound: float) -> Mask:
    query = asked.query
    if query.input_tokens is None or query.output_tokens is None:
        return _below(asked, few.column("cost_per_query"), bound)
    total = query.input_tokens * few.column("price_in")
    total += query.output_tokens * few.column("price_out")
    total /= 1e6
    return _below(asked, total, bound)


# Limits that are a bound on one column: its name, and whether the bound is the most that passes.
COLUMNS = {
    "min_context": ("context", False),
    "max_ttft_p95_ms": ("ttft_p95_ms", True),
    "max_latency_p95_ms": ("latency_p95_ms", True),
    "min_tps": ("tps_mean", False),
    "max_failure_rate": ("failure_rate", True),
    "min_quality": ("quality", False),
    "min_samples": ("n", False),
}
TESTS: dict[str, Test] = {
    "allow": _named,
    "deny": lambda asked, few, keys: ~_named(asked, few, keys),
    "only": _of_providers,
    "ignore": lambda asked, few, names: ~_of_providers(asked, few, names),
    "need": _capable,
    "max_tier": lambda asked, few, tier: _below(asked, few.column("tier"), TIERS.index(tier)),
    "max_price": _price,
    "max_usd_per_query": _cost,
    "max_age_s": lambda asked, few, seconds: _above(asked, few.column("last_seen"), asked.now - seconds),
}
assert {*TESTS, *COLUMNS} == set(LIMITS)
