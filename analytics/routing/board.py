"""Catalog and scores joined: for each question asked, every model's score and the order from best to worst.

A ranking is made once per (task, domain, agent, ...) and kept with the board; a board is replaced whole when either
snapshot changes, and never changes otherwise.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .columns import EVIDENCE, Catalog, Experience, Floats, Mask, Positions, Scores, no_scores
from .records import Fallback, RouteQuery, Sort
from .ties import ROUNDING, widest_gaps

_Z = 1.959963984540054  # two-sided 95 %

# A model that was asked this often and never once answered is broken, whatever its priority says; one or two
# requests may have met a passing fault.
FAILING_FROM = 3

# What an experience rests on, from broad to narrow; a narrower one replaces a broader one.
BASES = ("none", "overall", "domain_benchmarks", "ratings", "agent_ratings")


Key = TypeVar("Key")
Value = TypeVar("Value")


def remember(known: dict[Key, Value], key: Key, value: Value, most: int) -> Value:
    """Keep `value` under `key`; what was known is forgotten when it grows beyond `most` entries."""
    if len(known) >= most:
        known.clear()
    known[key] = value
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Every model's score for one kind of question (`key`); `order` holds the usable models only, best first.

    `rejected` counts the others by reason, and `failing` are those that never answered. `quality`, `n` and `se` are NaN
    without experience; `basis` indexes `BASES`. `of_agent` marks priorities that were set for the agent. `tie_floor` is
    the score below which nothing can tie with the model.
    """

    key: tuple[Any, ...]
    order: Positions
    usable: Mask
    rejected: Mapping[str, int]
    failing: Positions
    score: Floats
    priority: Floats
    of_agent: Mask
    tie_floor: Floats
    quality: Floats
    n: Floats
    se: Floats
    basis: NDArray[np.int8]
    sources: Mapping[int, tuple[tuple[str, str | None, str | None], ...]]
    task_is_known: bool


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """What `route()` reads: immutable but for what it remembers, so as not to work it out again: its `rankings`, what
    there is to say of a model in one of them (`named` in short, `told` in full), and what it `settled` before.
    """

    catalog: Catalog
    scores: Scores | None
    measured: Mapping[str, Floats]
    last_seen: Floats
    settled: dict[RouteQuery, Any] = field(default_factory=dict)
    named: dict[tuple[tuple[Any, ...], int], Fallback] = field(default_factory=dict)
    told: dict[tuple[tuple[Any, ...], int], Any] = field(default_factory=dict)
    rankings: dict[tuple[Any, ...], Ranking] = field(default_factory=dict)
    cache_bytes: int = 64 * 2**20  # for the rankings, about

    @classmethod
    def of(cls, catalog: Catalog, scores: Scores | None) -> "Board":
        """Join a catalog with the scores of its models, if there are any."""
        measured, last_seen = no_scores(len(catalog.keys)) if scores is None else (scores.measured, scores.last_seen)
        return cls(catalog, scores, measured, last_seen)

    def ranking(self, query: RouteQuery) -> Ranking:
        """The ranking that answers `query`, made when it is asked for the first time."""
        key = (query.model_type, query.task, query.domain, query.agent, query.tenant, query.sort)
        ranking = self.rankings.get(key)
        if ranking is None:
            most = max(16, self.cache_bytes // (70 * max(len(self.catalog.keys), 1)))
            ranking = remember(self.rankings, key, self._rank(query, key), most)
        return ranking

    def costs(self, query: RouteQuery, models: Positions | slice) -> Floats:
        """USD per query by its token counts; without them the price per 1M tokens, three of input to one of output."""
        catalog = self.catalog
        if query.input_tokens is None or query.output_tokens is None:
            return catalog.price[models]
        total: Floats = query.input_tokens * catalog.price_in[models]
        total += query.output_tokens * catalog.price_out[models]
        total /= 1e6
        return total

    def cost(self, query: RouteQuery, model: int) -> float:
        """What `costs` says of one model."""
        catalog = self.catalog
        if query.input_tokens is None or query.output_tokens is None:
            return catalog.price.item(model)
        total = query.input_tokens * catalog.price_in.item(model) + query.output_tokens * catalog.price_out.item(model)
        return total / 1e6

    def experience_rows(self, ranking: Ranking, model: int) -> list[tuple[Experience, int]]:
        """The score rows that one model's experience was made of."""
        rows: list[tuple[Experience, int]] = []
        assert self.scores is not None
        for key in ranking.sources.get(ranking.basis.item(model), ()):
            experience = self.scores.experience[key]
            row = int(experience.models.searchsorted(model))
            if row < len(experience.models) and experience.models.item(row) == model:
                rows.append((experience, row))
        return rows

    def _rank(self, query: RouteQuery, key: tuple[Any, ...]) -> Ranking:
        catalog = self.catalog
        size = len(catalog.keys)
        quality, n, se = (np.full(size, np.nan) for _ in range(3))
        basis = np.zeros(size, dtype=np.int8)
        sources = self._sources(query)
        for code, rows in sources.items():
            self._overlay(rows, code, quality, n, se, basis)
        allowed, rejected, priority, of_agent = self._allowed(query)
        broken = allowed & (self.measured["failure_rate"] == 1) & (self.measured["requests"] >= FAILING_FROM)
        failing = np.flatnonzero(broken)
        if len(failing):
            rejected["failing"] = len(failing)
        usable = allowed & ~broken
        known = basis > 0
        base = priority / 100
        score = np.where(known, catalog.weight_priority * base + catalog.weight_quality * quality, base)
        reach = np.where(known, catalog.weight_quality * widest_gaps(se, catalog.tie_delta) + ROUNDING, 0)
        ranking = Ranking(
            key=key,
            order=np.flatnonzero(usable),
            usable=usable,
            rejected=rejected,
            failing=failing,
            score=score,
            priority=priority,
            of_agent=of_agent,
            tie_floor=score - reach,
            quality=quality,
            n=n,
            se=se,
            basis=basis,
            sources=sources,
            task_is_known=any(code > 1 for code in sources) or query.task is None,
        )
        ranking.order[:] = self.best_first(ranking, query.sort, ranking.order, catalog.price[ranking.order])
        return ranking

    def best_first(self, ranking: Ranking, sort: Sort | None, models: Positions, costs: Floats) -> Positions:
        """`models` (ascending, with their `costs`) by the figure to sort by, then score, price, failure rate and key.

        Unknown figures come last.
        """
        price, failures = self.catalog.price[models], self.measured["failure_rate"][models]
        keys = [np.nan_to_num(failures, nan=np.inf), np.nan_to_num(price, nan=np.inf), -ranking.score[models]]
        match sort:
            case "price":
                keys.append(costs)
            case "latency":
                keys.append(self.measured["latency_p50_ms"][models])
            case "throughput":
                keys.append(-self.measured["tps_mean"][models])
            case "quality":
                keys.append(-ranking.quality[models])
            case None:
                pass
        keys[-1] = np.nan_to_num(keys[-1], nan=np.inf)
        ordered: Positions = models[np.lexsort(keys)]
        return ordered

    def _sources(self, query: RouteQuery) -> dict[int, tuple[tuple[str, str | None, str | None], ...]]:
        """The score rows that speak to the question, by basis from broad to narrow."""
        task, domain, agent = query.task, query.domain, query.agent
        there: Mapping[Any, Experience] = {} if self.scores is None else self.scores.experience
        wanted: dict[int, tuple[tuple[str, str | None, str | None], ...]]
        if task is None and domain is None:
            wanted = {1: (("overall", None, None),)}
        else:
            domains = (domain,) if domain is not None else self.catalog.task_domains.get(str(task), ())
            wanted = {2: tuple(("domain", name, None) for name in domains)}
            if task is not None:
                if domain is None and not any(key in there for key in wanted[2]):
                    wanted[2] = (("task_benchmarks", task, None),)
                wanted[3] = (("task", task, None),)
                if agent is not None:
                    wanted[4] = (("task", task, agent),)
        found = {code: tuple(key for key in keys if key in there) for code, keys in wanted.items()}
        return {code: keys for code, keys in found.items() if any(len(there[key].models) for key in keys)}

    def _overlay(
        self,
        keys: tuple[tuple[str, str | None, str | None], ...],
        code: int,
        quality: Floats,
        n: Floats,
        se: Floats,
        basis: NDArray[np.int8],
    ) -> None:
        """Replace broader experience by the mean of these rows, each weighing as much as its n."""
        assert self.scores is not None
        if len(keys) == 1:
            rows = self.scores.experience[keys[0]]
            models = rows.models
            quality[models], n[models], se[models] = rows.quality, rows.n, rows.se
        else:
            size = len(quality)
            total, weighted, variance = (np.zeros(size) for _ in range(3))
            for key in keys:
                rows = self.scores.experience[key]
                total[rows.models] += rows.n
                weighted[rows.models] += rows.n * rows.quality
                variance[rows.models] += (rows.n * rows.se) ** 2
            models = np.flatnonzero(total)
            quality[models] = weighted[models] / total[models]
            se[models] = np.sqrt(variance[models]) / total[models]
            n[models] = total[models]
        basis[models] = code

    def _allowed(self, query: RouteQuery) -> tuple[Mask, dict[str, int], Floats, Mask]:
        """Who may answer at all: available, enabled, of the right type, and enabled for the agent if there is one."""
        catalog = self.catalog
        size = len(catalog.keys)
        priority, of_agent = catalog.priority, np.zeros(size, dtype=np.bool_)
        steps = {
            "unavailable": catalog.available,
            "disabled": catalog.enabled,
            "model_type": catalog.model_types == query.model_type,
        }
        if query.agent is not None:
            members = np.zeros(size, dtype=np.bool_)
            rows = catalog.agents.get(query.agent)
            if rows is not None:
                mine = np.array(
                    [query.tenant is None or tenant in (None, query.tenant) for tenant in rows.tenants], np.bool_
                )
                members[rows.models[mine & rows.enabled]] = True
                members[rows.models[mine & ~rows.enabled]] = False
                overridden = mine & ~np.isnan(rows.priority)
                priority = priority.copy()
                priority[rows.models[overridden]] = rows.priority[overridden]
                of_agent[rows.models[overridden]] = True
            steps["agent"] = members
        allowed = np.ones(size, dtype=np.bool_)
        rejected, left = {}, size
        for reason, passed in steps.items():
            allowed &= passed
            now = int(np.count_nonzero(allowed))
            if now < left:
                rejected[reason] = left - now
            left = now
        return allowed, rejected, priority, of_agent


def interval(rows: list[tuple[Experience, int]]) -> tuple[str, int, float | None, float | None]:
    """Kind, n and 95 % interval of an experience: the published one of a single row, Wilson's of several together."""
    if len(rows) == 1:
        experience, row = rows[0]
        low, high = experience.low.item(row), experience.high.item(row)
        kind = EVIDENCE[experience.evidence.item(row)]
        return kind, int(experience.n.item(row)), None if math.isnan(low) else low, None if math.isnan(high) else high
    n = sum(float(experience.n[row]) for experience, row in rows)
    mean = sum(float(experience.n[row] * experience.quality[row]) for experience, row in rows) / n
    middle, half = mean + _Z * _Z / (2 * n), _Z * math.sqrt(mean * (1 - mean) / n + _Z * _Z / (4 * n * n))
    kinds = {EVIDENCE[experience.evidence[row]] for experience, row in rows}
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    scale = 1 + _Z * _Z / n
    return kind, int(n), max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
