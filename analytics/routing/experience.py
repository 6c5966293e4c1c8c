"""What the published experience says to one question: everyone's as a `View` of all models, and an agent's or a tenant's own
as a `Patch` of the few models that it covers. A narrower experience replaces a broader one.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import bits
from .bits import Floats, Mask, Positions, Words
from .scores import EVIDENCE, Experience, Group

if TYPE_CHECKING:
    from .board import Board

# What an experience rests on, from broad to narrow.
BASES = ("none", "overall", "domain_benchmarks", "ratings", "tenant_ratings", "agent_ratings")
_OVERALL, _BENCHMARKS, _RATINGS, _OF_TENANT, _OF_AGENT = range(1, 6)
_Z = 1.959963984540054  # two-sided 95 %

_NOBODY, _NO_PRIORITY = np.zeros(0, dtype=np.intp), np.zeros(0)

Sources = Mapping[int, tuple[Group, ...]]  # by place in BASES
Rows = slice | Positions


class Known(NamedTuple):
    """What is known of one model for a question; NaN without experience. `groups` are what its experience was made of, `n` an
    exact count, `worth` what the quality is worth in ratings.
    """

    priority: float
    of_agent: bool
    quality: float
    n: float
    se: float
    basis: int
    groups: tuple[Group, ...]
    worth: float


class Pool(NamedTuple):
    """Experience of some models: parallel columns."""

    models: Positions
    quality: Floats
    n: Floats
    se: Floats
    worth: Floats


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Everyone's experience, its plain means or what was learned of them.

    `row` of each model points into the columns, mostly those of the snapshot itself: their last entry, -1, is of nothing known.
    `basis` is each model's. `parts` are the models and rows of each source, the narrower later.
    """

    row: NDArray[np.int32]
    basis: NDArray[np.int8]
    parts: Sequence[tuple[NDArray[np.int32], Rows]]
    quality: Floats
    n: Floats
    se: Floats
    worth: Floats
    sources: Sources
    task_is_known: bool
    is_learned: bool = False

    def at_least(self, what: str, bound: float, *, allow_unknown: bool) -> Words:
        """The models with `quality` (0..1) or `n` of `bound` or more."""
        column, passing = getattr(self, what), np.full(len(self.row), allow_unknown)
        for models, rows in self.parts:
            passing[models] = column[rows] >= bound
        return bits.pack(passing)


@dataclass(eq=False)  # not frozen: most questions of agents make one
class Patch:
    """The models (ascending), out of `size`, that stand otherwise for one agent or tenant: parallel columns.

    `group` is a place in `groups`, or -1 where the experience is everyone's.
    """

    models: Positions
    size: int
    priority: Floats
    of_agent: Mask
    quality: Floats
    n: Floats
    se: Floats
    basis: NDArray[np.int8]
    group: NDArray[np.int8]
    groups: tuple[Group, ...]
    worth: Floats

    @cached_property
    def words(self) -> Words:
        """The same models as a set."""
        return bits.of(self.models, self.size)

    @cached_property
    def index(self) -> Mapping[int, int]:
        """Where each model stands in the columns."""
        return {model: place for place, model in enumerate(self.models.tolist())}

    def among(self, models: Positions) -> tuple[Mask, Positions]:
        """Which of `models` it has, and where these stand in its columns."""
        at = self.models.searchsorted(models)
        at[at == len(self.models)] = 0
        there: Mask = self.models[at] == models
        return there, at[there]


def record(board: "Board", *, is_learned: bool) -> Experience | None:
    """The published rows: of plain means, or of what was learned of them."""
    if board.scores is None:
        return None
    return board.scores.learned if is_learned else board.scores.experience


def view(board: "Board", task: str | None, domain: str | None, is_learned: bool = False) -> View:
    """The experience of everyone at `task`, in `domain`, or at all."""
    if domain is not None:
        is_learned = False  # a domain's graded answers stand as they are
    rows = record(board, is_learned=is_learned)
    sources = _sources(board, rows, task, domain)
    columns: Sequence[Floats] = [np.full(1, np.nan)] * 4
    if rows is not None and all(len(groups) == 1 for groups in sources.values()):
        columns = (rows.quality, rows.n, rows.se, rows.worth)
        parts = [_listed(board, rows, group) for (group,) in sources.values()]
    else:
        pools = [_pooled(board, rows, groups) for groups in sources.values()]
        ends = np.cumsum([len(pool.models) for pool in pools]).tolist()
        parts = [
            (pool.models.astype(np.int32), slice(end - len(pool.models), end))
            for pool, end in zip(pools, ends, strict=True)
        ]
        if pools:
            columns = [
                np.concatenate([*values, [np.nan]]) for values in zip(*(pool[1:] for pool in pools), strict=True)
            ]
    row, basis_of = np.full(board.catalog.size, -1, dtype=np.int32), np.zeros(board.catalog.size, dtype=np.int8)
    for basis, (models, there) in zip(sources, parts, strict=True):
        row[models] = np.arange(there.start, there.stop, dtype=np.int32) if isinstance(there, slice) else there
        basis_of[models] = basis
    quality, n, se, worth = columns
    return View(
        row=row,
        basis=basis_of,
        parts=parts,
        quality=quality,
        n=n,
        se=se,
        worth=worth,
        sources=sources,
        task_is_known=task is None or any(basis > _OVERALL for basis in sources),
        is_learned=is_learned,
    )


def patch(
    board: "Board",
    task: str | None,
    domain: str | None,
    agent: str | None,
    tenant: str | None,
    is_learned: bool = False,
) -> Patch | None:
    """What stands otherwise for this agent of this tenant; None if nothing does.

    The tenant's own ratings replace everyone's, the agent's own those of its tenant.
    """
    wanted: list[tuple[int, Group]] = []
    if task is not None:
        if tenant is not None:
            wanted.append((_OF_TENANT, Group("task", task, None, tenant)))
        if agent is not None:
            wanted += [(_OF_AGENT, Group("task", task, agent, who)) for who in dict.fromkeys((None, tenant))]
    seen = board.view(task, domain, is_learned=is_learned)
    rows = record(board, is_learned=seen.is_learned)
    found = [(basis, group, pool) for basis, group in wanted if (pool := _own(board, rows, group)) is not None]
    overridden, priority = _NOBODY, _NO_PRIORITY
    if agent is not None:
        members = board.members_of(agent, tenant)
        overridden, priority = members.overridden, members.priority
    if not found and not len(overridden):
        return None
    models = overridden
    if found:
        models = np.unique(np.concatenate([overridden, *(pool.models for _, _, pool in found)]))
    row = seen.row[models]
    columns = [column[row] for column in (seen.quality, seen.n, seen.se, seen.worth)]
    basis_of, group_of = seen.basis[models], np.full(len(models), -1, dtype=np.int8)
    for place, (basis, _, pool) in enumerate(found):
        at = models.searchsorted(pool.models)
        for column, values in zip(columns, pool[1:], strict=True):
            column[at] = values
        basis_of[at], group_of[at] = basis, place
    base, of_agent = priority, np.ones(len(models), dtype=np.bool_)
    if found:
        base, of_agent = board.catalog.priority[models], np.zeros(len(models), dtype=np.bool_)
        at = models.searchsorted(overridden)
        base[at], of_agent[at] = priority, True
    return Patch(
        models=models,
        size=board.catalog.size,
        priority=base,
        of_agent=of_agent,
        quality=columns[0],
        n=columns[1],
        se=columns[2],
        basis=basis_of,
        group=group_of,
        groups=tuple(group for _, group, _ in found),
        worth=columns[3],
    )


def known(board: "Board", seen: View, own: Patch | None, model: int) -> Known:
    """What is known of one model."""
    at = None if own is None else own.index.get(model)
    if own is None or at is None:
        row = seen.row.item(model)
        basis = seen.basis.item(model)
        return Known(
            board.catalog.priority.item(model),
            False,
            seen.quality.item(row),
            seen.n.item(row),
            seen.se.item(row),
            basis,
            seen.sources.get(basis, ()),
            seen.worth.item(row),
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
        own.worth.item(at),
    )


class Found(NamedTuple):
    """What an answer's evidence is: `own_share` and `basis` of learned quality alone."""

    kind: str
    n: int
    low: float | None
    high: float | None
    own_share: float | None = None
    basis: str | None = None


def evidence(board: "Board", groups: Iterable[Group], model: int, *, is_learned: bool = False) -> Found | None:
    """Kind, n and 95 % interval: the published one of a single row, Wilson's of several together; None without rows."""
    experience, place = record(board, is_learned=is_learned), board.place_of.item(model)
    assert experience is not None
    rows: list[int] = []
    models = experience.model.data
    for group in groups:
        there = experience.groups.find(group)
        if there is not None:
            row = bisect_left(models, place, there.start, there.stop)
            if row < there.stop and models[row] == place:
                rows.append(row)
    if not rows:
        return None
    if len(rows) == 1:
        row = rows[0]
        kind, low, high = (
            EVIDENCE[experience.evidence.item(row)],
            _or_none(experience.low, row),
            _or_none(experience.high, row),
        )
        if experience.basis is None or experience.own_share is None:
            return Found(kind, int(experience.n.item(row)), low, high)
        own_share = _or_none(experience.own_share, row)
        return Found(kind, int(experience.n.item(row)), low, high, own_share, experience.basis[row].as_py())
    kinds = {EVIDENCE[experience.evidence.item(row)] for row in rows}
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    n = sum(experience.n.item(row) for row in rows)
    mean = sum(experience.n.item(row) * experience.quality.item(row) for row in rows) / n
    middle, half = mean + _Z * _Z / (2 * n), _Z * math.sqrt(mean * (1 - mean) / n + _Z * _Z / (4 * n * n))
    scale = 1 + _Z * _Z / n
    return Found(kind, int(n), max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


def _or_none(column: Floats, row: int) -> float | None:
    value = column.item(row)
    return None if math.isnan(value) else value


def _sources(
    board: "Board", rows: Experience | None, task: str | None, domain: str | None
) -> dict[int, tuple[Group, ...]]:
    """The groups that speak to the question, from broad to narrow."""
    wanted: dict[int, tuple[Group, ...]]
    if task is None and domain is None:
        wanted = {_OVERALL: (Group("overall"),)}
    else:
        if rows is not None and rows.basis is not None and task is not None and domain is None:
            # What was learned of a task has all broader evidence in it; of an unheard-of task the whole record speaks.
            wanted = {_OVERALL: (Group("overall"),), _RATINGS: (Group("task", task),)}
            return {basis: groups for basis, groups in wanted.items() if _has(board, rows, groups[0])}
        domains = (domain,) if domain is not None else board.catalog.task_domains.get(str(task), ())
        wanted = {_BENCHMARKS: tuple(Group("domain", name) for name in domains)}
        if task is not None:
            if domain is None and not any(_has(board, rows, group) for group in wanted[_BENCHMARKS]):
                wanted[_BENCHMARKS] = (Group("task_benchmarks", task),)
            wanted[_RATINGS] = (Group("task", task),)
    there = {basis: tuple(group for group in groups if _has(board, rows, group)) for basis, groups in wanted.items()}
    return {basis: groups for basis, groups in there.items() if groups}


def _has(board: "Board", rows: Experience | None, group: Group) -> bool:
    """Whether a group has experience with any model of the catalog."""
    there = None if rows is None else rows.groups.find(group)
    return rows is not None and there is not None and bool((board.model_of[rows.model[there]] >= 0).any())


def _own(board: "Board", rows: Experience | None, group: Group) -> Pool | None:
    """One group's rows, by position; None if it has none."""
    if rows is None or rows.groups.find(group) is None:
        return None
    models, there = _listed(board, rows, group)
    return (
        Pool(models.astype(np.intp), rows.quality[there], rows.n[there], rows.se[there], rows.worth[there])
        if len(models)
        else None
    )


def _pooled(board: "Board", rows: Experience | None, groups: tuple[Group, ...]) -> Pool:
    """The mean of the groups' rows for each model, each weighing as much as its n."""
    size = board.catalog.size
    total, weighted, variance = (np.zeros(size) for _ in range(3))
    for group in groups:
        pool = _own(board, rows, group)
        if pool is not None:
            total[pool.models] += pool.n
            weighted[pool.models] += pool.n * pool.quality
            variance[pool.models] += (pool.n * pool.se) ** 2
    models = np.flatnonzero(total)
    weight = total[models]
    return Pool(models, weighted[models] / weight, weight, np.sqrt(variance[models]) / weight, weight)


def _listed(board: "Board", rows: Experience, group: Group) -> tuple[NDArray[np.int32], Rows]:
    """The models of a group's rows that are in the catalog, and where these rows are."""
    there = rows.groups.find(group)
    assert there is not None
    models = board.model_of[rows.model[there]]
    at = (models >= 0).nonzero()[0]
    return (models, there) if len(at) == len(models) else (models[at], at + there.start)
