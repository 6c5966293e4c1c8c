"""Everyone's experience with all models, for one kind of question: which row of the published experience speaks of each. A
narrower experience replaces a broader one.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import bits
from .bits import Floats, Positions, Words
from .scores import Experience, Group

if TYPE_CHECKING:
    from .board import Board

# What an experience rests on, from broad to narrow.
BASES = ("none", "overall", "domain_benchmarks", "ratings", "tenant_ratings", "agent_ratings")
OVERALL, BENCHMARKS, RATINGS, OF_TENANT, OF_AGENT = range(1, 6)

_SEARCH = 64  # looking for one model costs as much as writing down the rows of so many
Sources = Mapping[int, tuple[Group, ...]]  # by place in BASES
Rows = NDArray[np.int32]
Bases = NDArray[np.int8]


class Pool(NamedTuple):
    """Experience of some models: parallel columns."""

    models: Positions
    quality: Floats
    n: Floats
    se: Floats
    worth: Floats


class Part(NamedTuple):
    """The rows of one source (a place in BASES): one for each of `models`, ascending numbers, from row `first` on."""

    basis: int
    models: NDArray[np.int32]
    first: int


class Whole(NamedTuple):
    """The row and the basis of every model, and the `positions` of the models of each part (-1: not in the catalog)."""

    rows: Rows
    bases: Bases
    positions: Sequence[NDArray[np.int32]]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Everyone's experience, its plain means or what was learned of them.

    A model's row points into the columns, mostly those of the snapshot itself: their last entry, -1, is of nothing known. Rows are
    found in `parts`, the narrowest first, by the model's number: its place among the `room` models of the snapshot
    (`numbers`, -1: none), or where `numbers` is None its position. `whole` is what saves looking for them, where there is room for it.
    """

    parts: Sequence[Part]
    numbers: NDArray[np.int32] | None
    room: int
    quality: Floats
    n: Floats
    se: Floats
    worth: Floats
    sources: Sources
    task_is_known: bool
    is_learned: bool = False
    whole: Whole | None = None

    @property
    def nbytes(self) -> int:
        """About what it holds beside the snapshot's own columns."""
        held = 0 if self.whole is None else 5 * len(self.whole.rows) + 4 * sum(map(len, self.whole.positions))
        return 1_000 + held + (36 * len(self.quality) if self.numbers is None else 0)

    def find(self, model: int) -> tuple[int, int]:
        """The row and the basis of one model."""
        if self.whole is not None:
            return self.whole.rows.item(model), self.whole.bases.item(model)
        number = model if self.numbers is None else self.numbers.item(model)
        for basis, models, first in self.parts:
            at = bisect_left(models.data, number)
            if at < len(models) and models.item(at) == number:
                return first + at, basis
        return -1, 0

    def find_many(self, models: Positions) -> tuple[Rows, Bases]:
        """The rows and bases of some models."""
        if self.whole is not None:
            return self.whole.rows[models], self.whole.bases[models]
        if len(models) * _SEARCH > self.room:
            every_row, every_basis = self.find_all()
            return every_row[models], every_basis[models]
        numbers = models if self.numbers is None else self.numbers[models]
        rows, bases = np.full(len(numbers), -1, dtype=np.int32), np.zeros(len(numbers), dtype=np.int8)
        for basis, those, first in reversed(self.parts):
            at = those.searchsorted(numbers)
            at[at == len(those)] = 0
            there = (those[at] == numbers).nonzero()[0]
            rows[there], bases[there] = first + at[there], basis
        return rows, bases

    def find_all(self) -> tuple[Rows, Bases]:
        """The rows and bases of all models, by position."""
        if self.whole is not None:
            return self.whole.rows, self.whole.bases
        rows, bases = np.full(self.room + 1, -1, dtype=np.int32), np.zeros(self.room + 1, dtype=np.int8)
        for basis, models, first in reversed(self.parts):
            rows[models], bases[models] = np.arange(first, first + len(models), dtype=np.int32), basis
        return (rows[:-1], bases[:-1]) if self.numbers is None else (rows[self.numbers], bases[self.numbers])

    def at_least(self, what: str, bound: float, *, allow_unknown: bool) -> Words:
        """The models with `quality` (0..1) or `n` of `bound` or more."""
        column = getattr(self, what)
        passing = np.full((self.room if self.whole is None else len(self.whole.rows)) + 1, allow_unknown)
        for place in reversed(range(len(self.parts))):
            _, models, first = self.parts[place]
            positions = models if self.whole is None else self.whole.positions[place]
            passing[positions] = column[first : first + len(models)] >= bound
        return bits.pack(passing[:-1] if self.numbers is None or self.whole is not None else passing[self.numbers])


def record(board: "Board", *, is_learned: bool) -> Experience | None:
    """The published rows: of plain means, or of what was learned of them."""
    if board.scores is None:
        return None
    return board.scores.learned if is_learned else board.scores.experience


def view(board: "Board", task: str | None, domain: str | None, is_learned: bool, is_whole: bool) -> View:
    """The experience of everyone at `task`, in `domain`, or at all; with the rows of all models at hand if `is_whole`."""
    if domain is not None:
        is_learned = False  # a domain's graded answers stand as they are
    rows = record(board, is_learned=is_learned)
    sources = _sources(board, rows, task, domain)
    numbers: NDArray[np.int32] | None = None
    columns: Sequence[Floats] = [np.full(1, np.nan)] * 4
    parts: list[Part] = []
    if rows is not None and all(len(groups) == 1 for groups in sources.values()):
        numbers, columns = board.place_of, (rows.quality, rows.n, rows.se, rows.worth)
        for basis, (group,) in sources.items():
            there = rows.groups.find(group)
            assert there is not None
            parts.append(Part(basis, rows.model[there], there.start))
    elif rows is not None:
        pools, first = [_pooled(board, rows, groups) for groups in sources.values()], 0
        for basis, pool in zip(sources, pools, strict=True):
            parts.append(Part(basis, pool.models.astype(np.int32), first))
            first += len(pool.models)
        columns = [np.concatenate([*values, [np.nan]]) for values in zip(*(pool[1:] for pool in pools), strict=True)]
    made = View(
        parts=parts[::-1],
        numbers=numbers,
        room=board.catalog.size if numbers is None else len(board.model_of),
        quality=columns[0],
        n=columns[1],
        se=columns[2],
        worth=columns[3],
        sources=sources,
        task_is_known=task is None or any(basis > OVERALL for basis in sources),
        is_learned=is_learned,
    )
    if not is_whole:
        return made
    positions = [part.models if numbers is None else board.model_of[part.models] for part in made.parts]
    return replace(made, whole=Whole(*made.find_all(), positions))


def _sources(
    board: "Board", rows: Experience | None, task: str | None, domain: str | None
) -> dict[int, tuple[Group, ...]]:
    """The groups that speak to the question, from broad to narrow."""
    wanted: dict[int, tuple[Group, ...]]
    if task is None and domain is None:
        wanted = {OVERALL: (Group("overall"),)}
    else:
        if rows is not None and rows.basis is not None and task is not None and domain is None:
            # What was learned of a task has all broader evidence in it; of an unheard-of task the whole record speaks.
            wanted = {OVERALL: (Group("overall"),), RATINGS: (Group("task", task),)}
            return {basis: groups for basis, groups in wanted.items() if _has(board, rows, groups[0])}
        domains = (domain,) if domain is not None else board.catalog.task_domains.get(str(task), ())
        wanted = {BENCHMARKS: tuple(Group("domain", name) for name in domains)}
        if task is not None:
            if domain is None and not any(_has(board, rows, group) for group in wanted[BENCHMARKS]):
                wanted[BENCHMARKS] = (Group("task_benchmarks", task),)
            wanted[RATINGS] = (Group("task", task),)
    there = {basis: tuple(group for group in groups if _has(board, rows, group)) for basis, groups in wanted.items()}
    return {basis: groups for basis, groups in there.items() if groups}


def _has(board: "Board", rows: Experience | None, group: Group) -> bool:
    """Whether a group has experience with any model of the catalog."""
    there = None if rows is None else rows.groups.find(group)
    return rows is not None and there is not None and bool((board.model_of[rows.model[there]] >= 0).any())


def pool_of(board: "Board", rows: Experience | None, group: Group) -> Pool | None:
    """One group's rows, by position; None if it has none of the catalog's models."""
    there = None if rows is None else rows.groups.find(group)
    if rows is None or there is None:
        return None
    models = board.model_of[rows.model[there]]
    listed = (models >= 0).nonzero()[0]
    if not len(listed):
        return None
    at = there if len(listed) == len(models) else listed + there.start
    own = models if len(listed) == len(models) else models[listed]
    return Pool(own.astype(np.intp), rows.quality[at], rows.n[at], rows.se[at], rows.worth[at])


def _pooled(board: "Board", rows: Experience | None, groups: tuple[Group, ...]) -> Pool:
    """The mean of the groups' rows for each model, each weighing as much as its n."""
    size = board.catalog.size
    total, weighted, variance = (np.zeros(size) for _ in range(3))
    for group in groups:
        pool = pool_of(board, rows, group)
        if pool is not None:
            total[pool.models] += pool.n
            weighted[pool.models] += pool.n * pool.quality
            variance[pool.models] += (pool.n * pool.se) ** 2
    models = np.flatnonzero(total)
    weight = total[models]
    return Pool(models, weighted[models] / weight, weight, np.sqrt(variance[models]) / weight, weight)
