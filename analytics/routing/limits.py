"""The hard limits of a query, as data: one row per limit, in the order in which they are applied and counted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from . import bits
from .asked import Asked
from .bits import Positions, Thresholds, Words
from .board import FAILING_FROM, Board, remember
from .records import LIMIT_FIELDS, TIERS, MaxPrice


@dataclass(frozen=True, slots=True)
class Limit:
    """`field` of the query, the models that pass it, and `failing`: what a model that fails it does, for "12 models ...".

    `failing_one` is the same said of a single model.
    """

    field: str
    passing: Callable[[Asked, Any], Words]
    failing: str
    failing_one: str


def _named(asked: Asked, keys: Iterable[str]) -> Words:
    position = asked.board.catalog.position
    found = [place for key in keys if (place := position.get(key)) is not None]
    return bits.of(np.array(found, dtype=np.intp), asked.board.catalog.size)


def _of_providers(asked: Asked, names: Iterable[str]) -> Words:
    board = asked.board
    words = np.zeros(bits.words_for(board.catalog.size), dtype=np.uint64)
    for name in names:
        code = board.catalog.provider_codes.get(name)
        if code is not None:
            words = words | board.set_of(("provider", name), partial(_of_provider, board, code))
    return words


def _of_provider(board: Board, code: int) -> Words:
    return bits.pack(board.catalog.provider_code == code)


def _capable(asked: Asked, needed: tuple[str, ...]) -> Words:
    catalog = asked.board.catalog
    nobody = np.zeros(bits.words_for(catalog.size), dtype=np.uint64)
    words = catalog.capabilities.get(needed[0], nobody)
    for name in needed[1:]:
        words = words & catalog.capabilities.get(name, nobody)
    return words | catalog.no_capabilities if asked.query.allow_unknown else words


def _tier(asked: Asked, tier: str) -> Words:
    board, unknown = asked.board, asked.query.allow_unknown

    def make() -> Words:
        tiers, most = board.catalog.tier, TIERS.index(tier)
        return bits.pack(~(tiers > most) if unknown else tiers <= most)

    return board.set_of(("max_tier", tier, unknown), make)


def _at_most(column: str) -> Callable[[Asked, float], Words]:
    def passing(asked: Asked, bound: float) -> Words:
        index = asked.board.threshold(column)
        return _or_unknown(asked, index, index.at_most(bound))

    return passing


def _at_least(column: str) -> Callable[[Asked, float], Words]:
    def passing(asked: Asked, bound: float) -> Words:
        index = asked.board.threshold(column)
        return _or_unknown(asked, index, index.at_least(bound))

    return passing


def _or_unknown(asked: Asked, index: Thresholds, words: Words) -> Words:
    return words | ~index.known if asked.query.allow_unknown else words


def _price(asked: Asked, most: MaxPrice) -> Words:
    pairs = [
        (column, bound) for column, bound in zip(("price_in", "price_out"), most, strict=True) if bound is not None
    ]
    words = np.full(bits.words_for(asked.board.catalog.size), bits.ALL)
    for column, bound in pairs:
        words = words & _at_most(column)(asked, bound)
    return words


def _cost(asked: Asked, bound: float) -> Words:
    query, board = asked.query, asked.board
    if query.input_tokens is None or query.output_tokens is None:
        return _at_most("cost_per_query")(asked, bound)
    words = board.zones.at_most(query.input_tokens, query.output_tokens, bound)
    return (
        words | board.set_of(("price", None), lambda: bits.pack(np.isnan(board.catalog.price)))
        if query.allow_unknown
        else words
    )


def _experience(what: str) -> Callable[[Asked, float], Words]:
    """A lower bound on the quality or on the n of the experience, the asking agent's own where it has any."""

    def passing(asked: Asked, bound: float) -> Words:
        words = asked.view.at_least(what, bound, allow_unknown=asked.query.allow_unknown)
        own = asked.patch
        if own is None:
            return words
        column = getattr(own, what)
        passed = ~(column < bound) if asked.query.allow_unknown else column >= bound
        return (words & ~own.words) | bits.of(own.models[passed], asked.board.catalog.size)

    return passing


LIMITS = {
    limit.field: limit
    for limit in (
        Limit("allow", _named, "are not among those allowed", "is not among those allowed"),
        Limit("deny", lambda a, keys: ~_named(a, keys), "are denied", "is denied"),
        Limit("only", _of_providers, "are of other providers", "is of another provider"),
        Limit(
            "ignore", lambda a, names: ~_of_providers(a, names), "are of ignored providers", "is of an ignored provider"
        ),
        Limit("need", _capable, "lack a needed capability", "lacks a needed capability"),
        Limit("max_tier", _tier, "are of a higher or unknown cost tier", "is of a higher or unknown cost tier"),
        Limit("max_price", _price, "have a higher or unknown price", "has a higher or unknown price"),
        Limit(
            "max_usd_per_query",
            _cost,
            "cost more than that or have no known price",
            "costs more than that or has no known price",
        ),
        Limit(
            "min_context",
            _at_least("context"),
            "have a smaller or unknown context window",
            "has a smaller or unknown context window",
        ),
        Limit(
            "max_ttft_p95_ms",
            _at_most("ttft_p95_ms"),
            "take longer to the first word, or were never timed",
            "takes longer to the first word, or was never timed",
        ),
        Limit(
            "max_latency_p95_ms",
            _at_most("latency_p95_ms"),
            "take longer to answer, or were never timed",
            "takes longer to answer, or was never timed",
        ),
        Limit(
            "min_tps",
            _at_least("tps_mean"),
            "write more slowly, or were never timed",
            "writes more slowly, or was never timed",
        ),
        Limit(
            "max_failure_rate",
            _at_most("failure_rate"),
            "fail more often, or were never asked",
            "fails more often, or was never asked",
        ),
        Limit(
            "min_quality", _experience("quality"), "are of lower or unknown quality", "is of lower or unknown quality"
        ),
        Limit(
            "min_samples",
            _experience("n"),
            "have too few ratings or graded answers",
            "has too few ratings or graded answers",
        ),
        Limit(
            "max_age_s",
            lambda a, seconds: _at_least("last_seen")(a, a.now - seconds),
            "were last seen too long ago, or never",
            "was last seen too long ago, or never",
        ),
    )
}
assert tuple(LIMITS) == LIMIT_FIELDS

# Reasons that are not the query's to change: they are counted like limits, but nobody is told to relax them.
OTHER_REASONS = {
    "unavailable": ("are not available now", "is not available now"),
    "disabled": ("are disabled", "is disabled"),
    "model_type": ("are of another type", "is of another type"),
    "agent": ("are not enabled for this agent", "is not enabled for this agent"),
    "tenant": ("are not allowed to this tenant", "is not allowed to this tenant"),
    "role": ("are not allowed to this role", "is not allowed to this role"),
    "failing": (
        "have not answered any of their last {requests} requests",
        "has not answered any of its last {requests} requests",
    ),
}
FAILING = {limit.field: (limit.failing, limit.failing_one) for limit in LIMITS.values()} | OTHER_REASONS


def ready(board: Board, model_type: str) -> Words:
    """The models of one type that may answer at all, and do."""
    return board.set_of(("ready", model_type), lambda: _by_type(board, model_type)[0] & ~failing(board))


class Steps:
    """Every reason in order, with the models that pass it; the limits' sets are made once, when they are asked for."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    @cached_property
    def general(self) -> tuple[Words, Mapping[str, int]]:
        """The models that no reason but a limit rejects, and how many each of the reasons rejects first."""
        asked, board, model_type = self.asked, self.asked.board, self.asked.query.model_type
        words, rejected = _by_type(board, model_type)
        steps = [*groups(asked), ("failing", ~failing(board))]
        return _counted(words, steps, dict(rejected))

    def fitting(self) -> Words:
        """The models that pass everything."""
        words = ready(self.asked.board, self.asked.query.model_type)
        for _, passing in (*groups(self.asked), *self.limits):
            words = words & passing
        return words

    @cached_property
    def limits(self) -> list[tuple[str, Words]]:
        """The field of each limit that was asked, in their order, and the set of models that pass it."""
        return [(field, LIMITS[field].passing(self.asked, value)) for field, value in self.asked.limits]


def rejections(steps: Steps) -> Mapping[str, int]:
    """How many models fail which limit first; those that fit are not among them."""
    words, rejected = steps.general
    return _counted(words, steps.limits, dict(rejected))[1]


def first_failed(asked: Asked, model: int) -> str | None:
    """Why one model does not fit: the first reason in order, or None if it does fit."""
    board, model_type = asked.board, asked.query.model_type
    steps = [*_types(board, model_type), *groups(asked), ("failing", ~failing(board)), *Steps(asked).limits]
    return next((field for field, passing in steps if not bits.has(passing, model)), None)


def what_to_relax(steps: Steps) -> list[tuple[str, int]]:
    """Each single limit without which some models would fit, with their number, most first."""
    before = [steps.general[0]]
    for _, words in steps.limits:
        before.append(before[-1] & words)
    helping, after = [], before[0]
    for (field, words), others in zip(reversed(steps.limits), reversed(before[:-1]), strict=True):
        left = others & after
        if left.any():
            helping.append((field, bits.count(left)))
        after = after & words
    helping.reverse()
    return sorted(helping, key=lambda entry: -entry[1])


def _counted(
    words: Words, steps: Iterable[tuple[str, Words]], rejected: dict[str, int]
) -> tuple[Words, dict[str, int]]:
    left = bits.count(words)
    for field, passing in steps:
        words = words & passing
        now = bits.count(words) if left else 0
        if now < left:
            rejected[field] = left - now
        left = now
    return words, rejected


def _types(board: Board, model_type: str) -> list[tuple[str, Words]]:
    catalog = board.catalog
    code = catalog.model_types.get(model_type, -1)
    return [
        ("unavailable", bits.pack(catalog.available)),
        ("disabled", bits.pack(catalog.enabled)),
        ("model_type", bits.pack(catalog.model_type == code)),
    ]


def _by_type(board: Board, model_type: str) -> tuple[Words, Mapping[str, int]]:
    """The models of one type that may answer at all, and how many others there are, by reason."""
    found = board.types.get(model_type)
    if found is None:
        everyone = bits.pack(np.ones(board.catalog.size, dtype=np.bool_))
        found = remember(board.types, model_type, _counted(everyone, _types(board, model_type), {}), 64)
    return found


def failing(board: Board) -> Words:
    """The models that were asked often enough and never answered."""
    requests, rate = board.measured["requests"], board.measured["failure_rate"]
    return board.set_of(("failing",), lambda: bits.pack((rate == 1) & (requests >= FAILING_FROM)))


def unanswered(asked: Asked) -> float:
    """The requests to models that might answer this question, had they ever answered one."""
    board = asked.board
    words = _by_type(board, asked.query.model_type)[0] & failing(board)
    for _, group in groups(asked):
        words = words & group
    return float(board.measured["requests"][bits.members(words)].sum())


def groups(asked: Asked, *, agent: bool = True) -> list[tuple[str, Words]]:
    """Who may use what: the agent's models (but for those who know them), the tenant's and the role's."""
    query, board = asked.query, asked.board
    catalog, found = board.catalog, []
    if agent and query.agent is not None:
        found.append(("agent", board.members_of(query.agent, query.tenant).words))
    if query.tenant is not None and query.tenant in catalog.tenants:
        found.append(("tenant", _positions(board, "tenant", query.tenant, catalog.tenants[query.tenant])))
    if query.role is not None:
        found.append(("role", _of_role(board, query.role, query.tenant)))
    return found


def _of_role(board: Board, role: str, tenant: str | None) -> Words:
    """What a role may use: by the rows for everyone and those for its tenant; without any, nothing."""
    words = np.zeros(bits.words_for(board.catalog.size), dtype=np.uint64)
    for who in dict.fromkeys((None, tenant)):
        positions = board.catalog.roles.get((role, who))
        if positions is not None:
            words = words | _positions(board, "role", (role, who), positions)
    return words


def _positions(board: Board, kind: str, who: Any, positions: Positions) -> Words:
    return board.set_of((kind, who), lambda: bits.of(positions, board.catalog.size))
