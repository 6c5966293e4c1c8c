"""The hard limits once more, for a few candidates side by side. They must say what the sets of `limits` say."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import and_, or_
from typing import Any

import numpy as np

from . import bits
from .asked import Asked
from .bits import Floats, Mask
from .few import Few, Ranked
from .front import IS_MOST, as_number
from .limits import LIMITS, groups, ready
from .records import TIERS

_ROUNDED_UP = 1e6 * (1 + 1e-9)  # a bound in USD per token, per 1M of them
Test = Callable[[Asked, Few, Any], Mask]
Check = tuple[
    Callable[[int], float], bool, float, bool
]  # a column by place or else by model, the bound, whether that is the most


def passing(asked: Asked, few: Few, *, agent: bool) -> Mask:
    """Which of the candidates pass everything; the asking agent's list is looked at only if `agent`."""
    query, board = asked.query, asked.board
    sets = [ready(board, query.model_type)]
    if query.agent is not None or query.tenant is not None or query.role is not None:
        sets += [words for _, words in groups(asked, agent=agent)]
    columns = []
    for field, value in asked.limits:
        if field == "need":
            sets += [LIMITS["need"].passing(asked, (name,)) for name in value]
        else:
            columns.append((field, value))
    mask = few.among(sets)
    for field, value in columns:
        if field in TESTS:
            mask &= TESTS[field](asked, few, value)
        else:
            for name, bound in bounds(asked, field, value):
                mask &= _within(asked, few.column(name), bound, is_most=IS_MOST[name])
    return mask


def first_passing(asked: Asked, few: Few) -> Iterator[Ranked] | None:
    """The same of the first models of an order, one by one, the best first; None where there is none for sure.

    What a query costs by its tokens is looked at last, and only for those that are drawn.
    """
    query, board = asked.query, asked.board
    sets, unknown = few.sets, query.allow_unknown
    left = sets.get(query.model_type)
    if left is None:
        left = few.keep_set(query.model_type, as_number(bits.among(ready(asked.board, query.model_type), few.models)))
    if query.agent is not None or query.tenant is not None or query.role is not None:
        for _, words in groups(asked):
            left &= as_number(bits.among(words, few.models))
    layout, most = board.layout, None
    checks: list[Check] = []
    for field, value in asked.limits:
        if field in TESTS:
            if field == "max_usd_per_query" and query.input_tokens is not None:
                most = value
                left &= -1 if unknown else _cheap(asked, few, value)
            else:
                left &= _set_of(asked, few, field, value)
            continue
        for name, bound in bounds(asked, field, value):
            found = few.row(layout.within(name, bound))
            left &= found | few.row(layout.row_of[name]) if unknown else found
            if name in {"quality", "n"}:
                checks.append((few.column(name).item, True, bound, False))
            elif name != "tier":
                checks.append((board.column(name).item, False, bound, IS_MOST[name]))
    return _checked(asked, few, left, checks, most) if left else None


def _checked(
    asked: Asked,
    few: Few,
    left: int,
    checks: list[Check],
    most: float | None,
) -> Iterator[Ranked]:
    """Those that pass to the letter: whom the table left pass nearly all. What is unknown passes where it is left at all."""
    unknown, cost = asked.query.allow_unknown, asked.cost
    while left:
        lowest = left & -left
        left ^= lowest
        place = lowest.bit_length() - 1
        hit = few.at(place)
        for figure, is_of_place, bound, is_most in checks:
            found = figure(place if is_of_place else hit[0])
            if found > bound if is_most else found < bound:
                break
        else:
            if most is not None:
                usd = cost(hit[0])
                if usd > most if unknown else not usd <= most:
                    continue
            yield hit


def _cheap(asked: Asked, few: Few, most: float) -> int:
    """Those whose input alone, and whose output alone, costs hardly more than that."""
    query, left = asked.query, -1
    for name, tokens in (("price_in", query.input_tokens), ("price_out", query.output_tokens)):
        if tokens:
            left &= few.row(asked.board.layout.within(name, most * _ROUNDED_UP / tokens))
    return left


def _set_of(asked: Asked, few: Few, field: str, value: Any) -> int:
    """Those that pass a limit that is no bound on a column."""
    row_of, kind = asked.board.layout.row_of, "need" if field == "need" else "provider"
    if field not in {"need", "ignore", "only"} or any((kind, name) not in row_of for name in value):
        return as_number(TESTS[field](asked, few, value))
    rows = [few.row(row_of[kind, name]) for name in value]
    if field == "need":
        unknown = few.row(row_of["need", None]) if asked.query.allow_unknown else 0
        return reduce(and_, [row | unknown for row in rows])
    found = reduce(or_, rows, 0)
    return found if field == "only" else ~found


def bounds(asked: Asked, field: str, value: Any) -> Sequence[tuple[str, float]]:
    """The columns that a limit speaks of, with the bound of each."""
    name = COLUMNS.get(field)
    if name is not None:
        return ((name, value),)
    if field == "max_tier":
        return (("tier", TIERS.index(value)),)
    if field == "max_age_s":
        return (("last_seen", asked.now - value),)
    pairs = zip(("price_in", "price_out"), value, strict=True)
    return [(name, bound) for name, bound in pairs if bound is not None]


def _within(asked: Asked, column: Floats, bound: float, *, is_most: bool) -> Mask:
    if asked.query.allow_unknown:
        mask: Mask = ~(column > bound) if is_most else ~(column < bound)
    else:
        mask = column <= bound if is_most else column >= bound
    return mask


def _named(asked: Asked, few: Few, keys: tuple[str, ...]) -> Mask:
    position = asked.board.catalog.position
    return np.isin(few.models, [position[key] for key in keys if key in position])


def _of_providers(asked: Asked, few: Few, names: tuple[str, ...]) -> Mask:
    codes, mask = asked.board.catalog.provider_codes, np.zeros(len(few.models), dtype=np.bool_)
    for name in names:
        mask |= few.provider == codes.get(name, -1)
    return mask


def _cost(asked: Asked, few: Few, bound: float) -> Mask:
    query = asked.query
    if query.input_tokens is None or query.output_tokens is None:
        return _within(asked, few.column("cost_per_query"), bound, is_most=True)
    total = query.input_tokens * few.column("price_in")
    total += query.output_tokens * few.column("price_out")
    total /= 1e6
    return _within(asked, total, bound, is_most=True)


# Limits that are a bound on one column.
COLUMNS = {
    "min_context": "context",
    "max_ttft_p95_ms": "ttft_p95_ms",
    "max_latency_p95_ms": "latency_p95_ms",
    "min_tps": "tps_mean",
    "max_failure_rate": "failure_rate",
    "min_quality": "quality",
    "min_samples": "n",
}
TESTS: dict[str, Test] = {
    "allow": _named,
    "deny": lambda asked, few, keys: ~_named(asked, few, keys),
    "only": _of_providers,
    "ignore": lambda asked, few, names: ~_of_providers(asked, few, names),
    "need": lambda asked, few, needed: few.among([LIMITS["need"].passing(asked, needed)]),
    "max_usd_per_query": _cost,
}
assert {*TESTS, *COLUMNS, "max_tier", "max_price", "max_age_s"} == set(LIMITS)
