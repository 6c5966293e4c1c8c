"""What the published experience says to one question: everyone's as a `View` of all models, and an agent's or a tenant's own
as a `Patch` of the few models that it covers. A narrower experience replaces a broader one.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import bits
from .bits import Floats, Mask, Positions, Thresholds, Words
from .scores import EVIDENCE, Group

if TYPE_CHECKING:
    from .board import Board

# What an experience rests on, from broad to narrow.
BASES = ("none", "overall", "domain_benchmarks", "ratings", "tenant_ratings", "agent_ratings")
_OVERALL, _BENCHMARKS, _RATINGS, _OF_TENANT, _OF_AGENT = range(1, 6)
_Z = 1.959963984540054  # two-sided 95 %

_NOBODY, _NO_PRIORITY = np.zeros(0, dtype=np.intp), np.zeros(0)

Sources = Mapping[int, tuple[Group, ...]]  # by place in BASES


class Known(NamedTuple):
    """What is known of one model for a question; NaN without experience. `groups` are what its experience was made of."""

    priority: float
    of_agent: bool
    quality: float
    n: float
    se: float
    basis: int
    groups: tuple[Group, ...]


class Pool(NamedTuple):
    """Experience of some models: parallel columns."""

    models: Positions
    quality: Floats
    n: Floats
    se: Floats


@dataclass(frozen=True, eq=False)
class View:
    """Everyone's experience: `row` of each model points into the columns, whose row 0 is unknown. `models` are those of the
    other rows, ascending.
    """

    row: NDArray[np.int32]
    models: Positions
    quality: Floats
    n: Floats
    se: Floats
    basis: NDArray[np.int8]
    sources: Sources
    task_is_known: bool

    @cached_property
    def by_quality(self) -> Thresholds:
        return Thresholds(self.quality[1:], self.models, len(self.row))

    @cached_property
    def by_n(self) -> Thresholds:
        return Thresholds(self.n[1:], self.models, len(self.row))


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """The models (ascending) that stand otherwise for one agent or tenant: parallel columns, and `index` into them.

    `group` is a place in `groups`, or -1 where the experience is everyone's.
    """

    models: Positions
    words: Words
    index: Mapping[int, int]
    priority: Floats
    of_agent: Mask
    quality: Floats
    n: Floats
    se: Floats
    basis: NDArray[np.int8]
    group: NDArray[np.int8]
    groups: tuple[Group, ...]


def view(board: "Board", task: str | None, domain: str | None) -> View:
    """The experience of everyone at `task`, in `domain`, or at all."""
    size = board.catalog.size
    row = np.zeros(size, dtype=np.int32)
    sources = _sources(board, task, domain)
    pools = []
    start = 1
    for basis, groups in sources.items():
        pool = _pooled(board, groups)
        row[pool.models] = np.arange(start, start + len(pool.models))
        start += len(pool.models)
        pools.append((basis, pool))
    models = np.flatnonzero(row)
    kept = row[models]
    row[models] = np.arange(1, len(models) + 1)
    unknown = np.array([np.nan])
    columns = [
        np.concatenate([unknown, np.concatenate([unknown, *(pool[place] for _, pool in pools)])[kept]])
        for place in (1, 2, 3)
    ]
    basis_of = np.concatenate([[0], *(np.full(len(pool.models), basis) for basis, pool in pools)]).astype(np.int8)
    return View(
        row=row,
        models=models,
        quality=columns[0],
        n=columns[1],
        se=columns[2],
        basis=np.append(np.int8(0), basis_of[kept]),
        sources=sources,
        task_is_known=task is None or any(basis > _OVERALL for basis in sources),
    )


def patch(board: "Board", task: str | None, domain: str | None, agent: str | None, tenant: str | None) -> Patch | None:
    """What stands otherwise for this agent of this tenant; None if nothing does.

    The tenant's own ratings replace everyone's, the agent's own those of its tenant.
    """
    wanted: list[tuple[int, Group]] = []
    if task is not None:
        if tenant is not None:
            wanted.append((_OF_TENANT, Group("task", task, None, tenant)))
        if agent is not None:
            wanted += [(_OF_AGENT, Group("task", task, agent, who)) for who in dict.fromkeys((None, tenant))]
    found = [(basis, group, pool) for basis, group in wanted if (pool := _own(board, group)) is not None]
    overridden, priority = _NOBODY, _NO_PRIORITY
    if agent is not None:
        _, _, overridden, priority = board.members_of(agent, tenant)
    if not found and not len(overridden):
        return None
    models = np.unique(np.concatenate([overridden, *(pool.models for _, _, pool in found)]))
    seen = board.view(task, domain)
    row = seen.row[models]
    columns = [column[row] for column in (seen.quality, seen.n, seen.se)]
    basis_of, group_of = seen.basis[row], np.full(len(models), -1, dtype=np.int8)
    for place, (basis, _, pool) in enumerate(found):
        at = models.searchsorted(pool.models)
        for column, values in zip(columns, pool[1:], strict=True):
            column[at] = values
        basis_of[at], group_of[at] = basis, place
    base, of_agent = board.catalog.priority[models], np.zeros(len(models), dtype=np.bool_)
    at = models.searchsorted(overridden)
    base[at], of_agent[at] = priority, True
    return Patch(
        models=models,
        words=bits.of(models, board.catalog.size),
        index={model: place for place, model in enumerate(models.tolist())},
        priority=base,
        of_agent=of_agent,
        quality=columns[0],
        n=columns[1],
        se=columns[2],
        basis=basis_of,
        group=group_of,
        groups=tuple(group for _, group, _ in found),
    )


def known(board: "Board", seen: View, own: Patch | None, model: int) -> Known:
    """What is known of one model."""
    at = None if own is None else own.index.get(model)
    if own is None or at is None:
        row = seen.row.item(model)
        basis = seen.basis.item(row)
        return Known(
            board.catalog.priority.item(model),
            False,
            seen.quality.item(row),
            seen.n.item(row),
            seen.se.item(row),
            basis,
            seen.sources.get(basis, ()),
        )
    basis, group = own.basis.item(at), own.group.item(at)
    return Known(
        own.priority.item(at),
        own.of_agent.item(at),
        own.quality.item(at),
        own.n.item(at),
        own.se.item(at),
        basis,
        seen.sources.get(basis, ()) if group < 0 else (own.groups[group],),
    )


def evidence(board: "Board", groups: Iterable[Group], model: int) -> tuple[str, int, float | None, float | None] | None:
    """Kind, n and 95 % interval: the published one of a single row, Wilson's of several together; None without rows."""
    assert board.scores is not None
    experience, place = board.scores.experience, board.place_of.item(model)
    rows: list[int] = []
    for group in groups:
        there = board.scores.groups.find(group)
        if there is not None:
            row = there.start + int(experience.model[there].searchsorted(np.int32(place)))
            if row < there.stop and experience.model.item(row) == place:
                rows.append(row)
    if not rows:
        return None
    kinds = {EVIDENCE[experience.evidence.item(row)] for row in rows}
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    if len(rows) == 1:
        low, high = experience.low.item(rows[0]), experience.high.item(rows[0])
        limits = tuple(None if math.isnan(value) else value for value in (low, high))
        return kind, int(experience.n.item(rows[0])), limits[0], limits[1]
    n = sum(experience.n.item(row) for row in rows)
    mean = sum(experience.n.item(row) * experience.quality.item(row) for row in rows) / n
    middle, half = mean + _Z * _Z / (2 * n), _Z * math.sqrt(mean * (1 - mean) / n + _Z * _Z / (4 * n * n))
    scale = 1 + _Z * _Z / n
    return kind, int(n), max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _sources(board: "Board", task: str | None, domain: str | None) -> dict[int, tuple[Group, ...]]:
    """The groups that speak to the question, from broad to narrow."""
    wanted: dict[int, tuple[Group, ...]]
    if task is None and domain is None:
        wanted = {_OVERALL: (Group("overall"),)}
    else:
        domains = (domain,) if domain is not None else board.catalog.task_domains.get(str(task), ())
        wanted = {_BENCHMARKS: tuple(Group("domain", name) for name in domains)}
        if task is not None:
            if domain is None and not any(_has(board, group) for group in wanted[_BENCHMARKS]):
                wanted[_BENCHMARKS] = (Group("task_benchmarks", task),)
            wanted[_RATINGS] = (Group("task", task),)
    there = {basis: tuple(group for group in groups if _has(board, group)) for basis, groups in wanted.items()}
    return {basis: groups for basis, groups in there.items() if groups}


def _has(board: "Board", group: Group) -> bool:
    """Whether a group has experience with any model of the catalog."""
    rows = None if board.scores is None else board.scores.groups.find(group)
    return rows is not None and bool((board.model_of[board.scores.experience.model[rows]] >= 0).any())  # type: ignore[union-attr]


def _own(board: "Board", group: Group) -> Pool | None:
    """One group's rows, by position; None if it has none."""
    rows = None if board.scores is None else board.scores.groups.find(group)
    pool = None if rows is None else _listed(board, rows)
    return pool if pool is not None and len(pool.models) else None


def _pooled(board: "Board", groups: tuple[Group, ...]) -> Pool:
    """The mean of the groups' rows for each model, each weighing as much as its n."""
    assert board.scores is not None
    rows = [board.scores.groups.find(group) for group in groups]
    if len(rows) == 1 and rows[0] is not None:
        return _listed(board, rows[0])
    size = board.catalog.size
    total, weighted, variance = (np.zeros(size) for _ in range(3))
    for there in rows:
        if there is not None:
            pool = _listed(board, there)
            total[pool.models] += pool.n
            weighted[pool.models] += pool.n * pool.quality
            variance[pool.models] += (pool.n * pool.se) ** 2
    models = np.flatnonzero(total)
    weight = total[models]
    return Pool(models, weighted[models] / weight, weight, np.sqrt(variance[models]) / weight)


def _listed(board: "Board", rows: slice) -> Pool:
    """The rows whose model is in the catalog."""
    assert board.scores is not None
    experience = board.scores.experience
    models = board.model_of[experience.model[rows]].astype(np.intp)
    listed = models >= 0
    return Pool(
        models[listed], experience.quality[rows][listed], experience.n[rows][listed], experience.se[rows][listed]
    )
