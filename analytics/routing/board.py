"""Catalog and scores joined: what `route()` reads. It is replaced whole when either snapshot changes, and never changes
otherwise, but for what it remembers so as not to work it out again: orders, indexes, sets, answers.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from . import experience, policies, views
from .bits import Floats, Positions, PriceZones, Thresholds, Words
from .catalog import Catalog, Members
from .experience import Patch
from .few import Few
from .fresh import Fresh, overlaid
from .front import Layout
from .policies import Policy, Values
from .reader import places
from .records import RouteQuery, Sort
from .scores import MEASURED, Scores
from .views import View

# A model that was asked this often and never once answered is broken, whatever its priority says; one or two
# requests may have met a passing fault.
FAILING_FROM = 3
FIRST = 256  # so many are looked at before all are
HEAD = 1_024  # so many places of an order are kept, and of a large catalog one in so many
_HEAD_SHARE = 512
_AGENTS = 2_048  # so many agents' lists are kept, and as many patches
_CACHE_BYTES = 64 * 2**20  # or for a large catalog, whose models take a hundred times that:
_CACHE_BYTES_A_MODEL = 32
_VIEWS = 128  # where so many are kept, each has the rows of all models at hand
_VIEW_BYTES = 5  # of each model, that is, and some more for those that were rated
_KIND_BYTES = 160_000  # about, of the best models side by side, and of what there is to say of them
_AT_ONCE = 16
_NOT_MADE: Any = object()  # None means that nothing stands otherwise

Key = TypeVar("Key")
Value = TypeVar("Value")


def remember(known: dict[Key, Value], key: Key, value: Value, most: int) -> Value:
    """Keep `value` under `key`; beyond `most` entries what was kept first is forgotten."""
    if len(known) >= most:
        try:
            known.pop(next(iter(known)), None)
        except (RuntimeError, StopIteration):  # another thread was here between
            known.clear()
    known[key] = value
    return value


class Ranking(NamedTuple):
    """The best models of an order with their scores, best first (`is_whole`: all there are); `first` are the best of them side
    by side. Where a question goes beyond, what fits is put in order by itself.
    """

    order: NDArray[np.int32]
    score: Floats
    first: Few
    is_whole: bool


class Kind:
    """What was worked out for questions of one task and domain by one stored policy: orders by what they sort by, and what there
    is to say of a model, by its position.
    """

    __slots__ = ("named", "rankings", "told")

    def __init__(self) -> None:
        self.rankings: dict[Sort | None, Ranking] = {}
        self.named: dict[int, Any] = {}
        self.told: dict[int, Any] = {}


@dataclass(frozen=True, eq=False)
class Board:
    """`measured` and `last_seen` by position; `place_of` and `model_of` join positions with the scores' own places;
    `tie_rank` is the order of equal scores: by price, then failure rate, then key.
    """

    catalog: Catalog
    scores: Scores | None
    measured: Mapping[str, Floats]
    last_seen: Floats
    place_of: NDArray[np.int32]
    model_of: NDArray[np.int32]
    tie_rank: NDArray[np.int32]
    fresh: Fresh = field(default_factory=Fresh)
    cache_bytes: int = _CACHE_BYTES  # about: for rankings, for views, and for sets, each
    settled: dict[RouteQuery, Any] = field(default_factory=dict)
    asked_once: dict[int, None] = field(default_factory=dict)
    bands: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    sticky: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    kinds: dict[tuple[Any, ...], Kind] = field(default_factory=dict)
    views: dict[tuple[str | None, str | None, bool], View] = field(default_factory=dict)
    patched: dict[tuple[Any, ...], Few] = field(default_factory=dict)
    patches: dict[tuple[Any, ...], Patch | None] = field(default_factory=dict)
    sets: dict[tuple[Any, ...], Words] = field(default_factory=dict)
    types: dict[str, tuple[Words, Mapping[str, int]]] = field(default_factory=dict)
    members: dict[tuple[str, str | None], Members] = field(default_factory=dict)
    thresholds: dict[str, Thresholds] = field(default_factory=dict)
    estimates: dict[tuple[str | None, str | None], NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def of(cls, catalog: Catalog, scores: Scores | None, cache_bytes: int | None = None) -> "Board":
        """Join a catalog with the scores of its models, if there are any."""
        size = catalog.size
        if cache_bytes is None:
            cache_bytes = max(_CACHE_BYTES, _CACHE_BYTES_A_MODEL * size)
        measured: Mapping[str, Floats] = dict.fromkeys(MEASURED, np.full(size, np.nan))
        last_seen, place_of, model_of = measured["requests"], np.full(size, -1, np.int32), np.zeros(0, np.int32)
        if scores is not None:
            place_of, model_of = places(catalog.names, scores.models), places(scores.models, catalog.names)
            measured = {name: np.append(column, np.nan)[place_of] for name, column in scores.measured.items()}
            last_seen = np.append(scores.last_seen, np.nan)[place_of]
        rank = np.empty(size, dtype=np.int32)
        failures, price = (np.nan_to_num(column, nan=np.inf) for column in (measured["failure_rate"], catalog.price))
        by_key = pc.sort_indices(catalog.names).to_numpy().astype(np.intp)
        rank[by_key[np.lexsort((failures[by_key], price[by_key]))]] = np.arange(size)
        return cls(
            catalog, scores, measured, last_seen, place_of, model_of, rank, fresh=Fresh(), cache_bytes=cache_bytes
        )

    def with_fresh(self, fresh: Fresh) -> "Board":
        """The same board with other opinions laid over it; what these do not touch is shared."""
        board = replace(self, fresh=fresh, settled={}, asked_once={}, patches={}, patched={})
        for name in ("zones", "values", "single_values", "layout"):
            if name in self.__dict__:
                board.__dict__[name] = self.__dict__[name]
        return board

    def as_asked(self, old: "Board") -> Iterator[Callable[[], object]]:
        """Steps that make ready what was asked of an older board, so that no question has to wait for it."""
        policies_now = self.catalog.policies.stored
        yield lambda: (self.zones, self.values, self.layout)
        for name in list(old.thresholds):
            yield partial(self.threshold, name)
        for (policy, task, domain), kind in list(old.kinds.items()):
            for sort in list(kind.rankings) if policy in policies_now else ():
                yield partial(self.ranking, policies_now[policy], sort, task, domain)
        for task, domain, is_learned in list(old.views):
            yield partial(self.view, task, domain, is_learned=is_learned)
        for asked in list(old.estimates):
            yield partial(self.singles, *asked)

    def take_apart(self) -> None:
        """Forget bit by bit what was worked out; at once it would hold up whoever asks the next board."""
        remembered: tuple[dict[Any, Any], ...] = (self.settled, self.bands, self.sticky, self.kinds, self.views)
        for known in (*remembered, self.patches, self.sets, self.estimates):
            while known:
                for key in list(known)[:_AT_ONCE]:
                    known.pop(key, None)
                time.sleep(0)

    @cached_property
    def learns_apart(self) -> bool:
        """Whether the snapshot holds learned quality beside plain means."""
        return self.scores is not None and self.scores.learned is not self.scores.experience

    @cached_property
    def zones(self) -> PriceZones:
        """The index for limits on what a query costs (USD), by both prices (USD per 1M tokens)."""
        return PriceZones(self.catalog.price_in, self.catalog.price_out)

    @cached_property
    def layout(self) -> Layout:
        """Which sets the table of an order's first models holds, and in which row."""
        return Layout(self)

    @cached_property
    def values(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Each model's values of priority, latency, cost and reliability, on 0..1."""
        return (
            self.catalog.priority / 100,
            policies.latency_value(self.measured["latency_p50_ms"]),
            policies.cost_value(self.catalog.price),
            policies.reliability_value(self.measured["failure_rate"]),
        )

    def column(self, name: str) -> Floats:
        """A column that limits speak of: measured, `last_seen`, or the catalog's (context, price_in, price_out)."""
        if name == "last_seen":
            return self.last_seen
        column: Floats = self.measured[name] if name in self.measured else getattr(self.catalog, name)
        return column

    def threshold(self, name: str) -> Thresholds:
        """The index over one such column, made when it is asked for the first time."""
        found = self.thresholds.get(name)
        if found is None:
            found = self.thresholds[name] = Thresholds(self.column(name))
        return found

    def set_of(self, key: tuple[Any, ...], make: Callable[[], Words]) -> Words:
        """A set that many questions share, made once."""
        words = self.sets.get(key)
        if words is None:
            most = max(64, self.cache_bytes // (self.catalog.size // 8 + 400))
            words = remember(self.sets, key, make(), most)
        return words

    def members_of(self, agent: str, tenant: str | None) -> Members:
        """What an agent may use, and its own priorities."""
        found = self.members.get((agent, tenant))
        if found is None:
            found = remember(self.members, (agent, tenant), self.catalog.agents.of(agent, tenant), _AGENTS)
        return found

    def view(self, task: str | None, domain: str | None, *, is_learned: bool = False) -> View:
        """Everyone's experience at a task, in a domain, or at all: its plain means, or what was learned of them."""
        key = (task, domain, is_learned and self.learns_apart)
        view = self.views.get(key)
        if view is None:
            is_whole = _VIEWS * _VIEW_BYTES * self.catalog.size <= self.cache_bytes
            view = views.view(self, *key, is_whole=is_whole)
            remember(self.views, key, view, max(16, self.cache_bytes // view.nbytes))
        return view

    def patch(self, query: RouteQuery, task: str | None, *, is_learned: bool = False) -> Patch | None:
        """What stands otherwise for the asking agent or tenant."""
        if query.agent is None and query.tenant is None and not self.fresh.opinions:
            return None
        key = (task, query.domain, query.agent, query.tenant, is_learned)
        patch: Patch | None = self.patches.get(key, _NOT_MADE)
        if patch is _NOT_MADE:
            patch = experience.patch(self, *key)
            if self.fresh.opinions:
                patch = overlaid(self, *key[:4], patch, is_learned=is_learned)
            remember(self.patches, key, patch, _AGENTS)
        return patch

    def kind(self, policy: Policy, task: str | None, domain: str | None) -> Kind:
        """What is remembered for such questions."""
        key = (policy.key, task, domain)
        kind = self.kinds.get(key)
        if kind is None:
            most = max(16, self.cache_bytes // (12 * self._head + _KIND_BYTES))
            kind = remember(self.kinds, key, Kind(), most)
        return kind

    def ranking(self, policy: Policy, sort: Sort | None, task: str | None, domain: str | None) -> Ranking:
        """The best models by a stored policy, or by one figure and then the policy; made when asked for the first time."""
        rankings = self.kind(policy, task, domain).rankings
        ranking = rankings.get(sort)
        if ranking is None:
            ranking = rankings[sort] = self._rank(policy, sort, (task, domain))
        return ranking

    def singles(self, task: str | None, domain: str | None) -> tuple[NDArray[np.float32], ...]:
        """The five values of each model in single precision, in the order of `Weights`, to estimate scores by.

        Where there is no experience, the priority stands in for the quality.
        """
        key = (task, domain)
        found = self.estimates.get(key)
        if found is None:
            view = self.view(task, domain)
            quality = view.quality[view.find_all()[0]]
            found = np.where(np.isnan(quality), self.values[0], quality).astype(np.float32)
            remember(self.estimates, key, found, max(16, self.cache_bytes // (4 * max(self.catalog.size, 1))))
        priority, *others = self.single_values
        return priority, found, *others

    @cached_property
    def single_values(self) -> tuple[NDArray[np.float32], ...]:
        """The same four columns on 0..1 as 32-bit floats, half the memory for what is scored of all models."""
        return tuple(value.astype(np.float32) for value in self.values)

    def figures(self, sort: Sort, models: Positions | slice, quality: Floats, costs: Floats) -> Floats:
        """What some models are sorted by, lower being better and unknown coming last."""
        match sort:
            case "price":
                figure = costs
            case "latency":
                figure = self.measured["latency_p50_ms"][models]
            case "throughput":
                figure = -self.measured["tps_mean"][models]
            case "quality":
                figure = -quality
        known: Floats = np.where(np.isnan(figure), np.inf, figure)
        return known

    @cached_property
    def _head(self) -> int:
        """How many places of an order are kept."""
        return min(max(HEAD, self.catalog.size // _HEAD_SHARE), self.catalog.size)

    def _rank(self, policy: Policy, sort: Sort | None, asked: tuple[str | None, str | None]) -> Ranking:
        view, head = self.view(*asked, is_learned=policy.is_learned), self._head
        priority, *others = self.values
        row, _ = view.find_all()
        quality = view.quality[row]
        score = policies.scores(policy, Values(priority, quality, view.worth[row], *others))
        by = -score if sort is None else self.figures(sort, slice(None), quality, self.catalog.price)
        if head < len(by):
            models = (by <= np.partition(by, head - 1).item(head - 1)).nonzero()[0]
        else:
            models = np.arange(len(by))
        keys = (self.tie_rank[models], -score[models])
        order = models[np.lexsort(keys if sort is None else (*keys, by[models]))[:head]]
        ordered = score[order]
        best = order[:FIRST]
        row = row[best]
        floors = ordered[:FIRST] - policies.reach(policy, view.worth[row], view.se[row], self.tie_delta(policy))
        is_whole = head == len(by)
        few = Few(self, view, best, ordered[:FIRST], is_whole=is_whole and head <= FIRST, floors=floors)
        return Ranking(order.astype(np.int32), ordered, few, is_whole)

    def tie_delta(self, policy: Policy) -> float:
        """The quality that may be lost to a lower price."""
        return self.catalog.tie_delta if policy.tie_delta is None else policy.tie_delta


def costs(board: Board, query: RouteQuery, models: Positions) -> Floats:
    """USD per query by its token counts; without them the price per 1M tokens, three of input to one of output."""
    catalog = board.catalog
    if query.input_tokens is None or query.output_tokens is None:
        return catalog.price[models]
    total: Floats = query.input_tokens * catalog.price_in[models] + query.output_tokens * catalog.price_out[models]
    total /= 1e6
    return total


def cost(board: Board, query: RouteQuery, model: int) -> float:
    """What `costs` says of one model."""
    catalog = board.catalog
    if query.input_tokens is None or query.output_tokens is None:
        return catalog.price.item(model)
    total = query.input_tokens * catalog.price_in.item(model) + query.output_tokens * catalog.price_out.item(model)
    return total / 1e6
