"""What is known of a model for one question: everyone's experience (a `View`), or an agent's or a tenant's own, a `Patch` of the
few models that it covers. A narrower experience replaces a broader one.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import bits
from .bits import Floats, Mask, Positions, Words
from .scores import EVIDENCE, Group
from .views import OF_AGENT, OF_TENANT, View, pool_of, record

if TYPE_CHECKING:
    from .board import Board

_Z = 1.959963984540054  # two-sided 95 %

_NOBODY, _NO_PRIORITY = np.zeros(0, dtype=np.intp), np.zeros(0)


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
            wanted.append((OF_TENANT, Group("task", task, None, tenant)))
        if agent is not None:
            wanted += [(OF_AGENT, Group("task", task, agent, who)) for who in dict.fromkeys((None, tenant))]
    seen = board.view(task, domain, is_learned=is_learned)
    rows = record(board, is_learned=seen.is_learned)
    found = [(basis, group, pool) for basis, group in wanted if (pool := pool_of(board, rows, group)) is not None]
    overridden, priority = _NOBODY, _NO_PRIORITY
    if agent is not None:
        members = board.members_of(agent, tenant)
        overridden, priority = members.overridden, members.priority
    if not found and not len(overridden):
        return None
    models = overridden
    if found:
        models = np.unique(np.concatenate([overridden, *(pool.models for _, _, pool in found)]))
    row, basis_of = seen.find_many(models)
    columns = [column[row] for column in (seen.quality, seen.n, seen.se, seen.worth)]
    group_of = np.full(len(models), -1, dtype=np.int8)
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
        row, basis = seen.find(model)
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
