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
    mask = few.among(query.model_type, partial(ready, board, query.model_type))
    if query.agent is not None or query.tenant is not None or query.role is not None:
        for name, words in groups(asked):
            if agent or name != "agent":
                mask = mask & bits.among(words, few.models)
    for field, value in asked.limits:
        mask = mask & _TESTS[field](asked, few, value)
    return mask


def _named(asked: Asked, few: Few, keys: tuple[str, ...]) -> Mask:
    position = asked.board.catalog.position
    return np.isin(few.models, [position[key] for key in keys if key in position])


def _of_providers(asked: Asked, few: Few, names: tuple[str, ...]) -> Mask:
    codes = asked.board.catalog.provider_codes
    mask: Mask = few.provider == codes.get(names[0], -1) if names else np.zeros(len(few.models), dtype=np.bool_)
    for name in names[1:]:
        mask = mask | (few.provider == codes.get(name, -1))
    return mask


def _capable(asked: Asked, few: Few, needed: tuple[str, ...]) -> Mask:
    unknown = asked.query.allow_unknown
    one, *more = [few.among((name, unknown), partial(LIMITS["need"].passing, asked, (name,))) for name in needed]
    for mask in more:
        one = one & mask
    return one


def _below(asked: Asked, column: Floats, bound: float) -> Mask:
    mask: Mask = ~(column > bound) if asked.query.allow_unknown else column <= bound
    return mask


def _above(asked: Asked, column: Floats, bound: float) -> Mask:
    mask: Mask = ~(column < bound) if asked.query.allow_unknown else column >= bound
    return mask


def _at_most(name: str) -> Test:
    return lambda asked, few, bound: _below(asked, few.column(name), bound)


def _at_least(name: str) -> Test:
    return lambda asked, few, bound: _above(asked, few.column(name), bound)


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


_TESTS: dict[str, Test] = {
    "allow": _named,
    "deny": lambda asked, few, keys: ~_named(asked, few, keys),
    "only": _of_providers,
    "ignore": lambda asked, few, names: ~_of_providers(asked, few, names),
    "need": _capable,
    "max_tier": lambda asked, few, tier: _below(asked, few.column("tier"), TIERS.index(tier)),
    "max_price": _price,
    "max_usd_per_query": _cost,
    "min_context": _at_least("context"),
    "max_ttft_p95_ms": _at_most("ttft_p95_ms"),
    "max_latency_p95_ms": _at_most("latency_p95_ms"),
    "min_tps": _at_least("tps_mean"),
    "max_failure_rate": _at_most("failure_rate"),
    "min_quality": _at_least("quality"),
    "min_samples": _at_least("n"),
    "max_age_s": lambda asked, few, seconds: _above(asked, few.column("last_seen"), asked.now - seconds),
}
assert set(_TESTS) == set(LIMITS)
