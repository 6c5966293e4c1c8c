"""Feedback that the snapshot does not hold yet, laid over its experience in the process that heard it.

An opinion counts until a snapshot is in use that is younger than it. What others said is capped as `score` will cap it (`caps`, by the
configuration): a tenant hears all of its own. What is known already weighs as much as it rests on; broader experience, or the
base priority, as `PRIOR` ratings at most.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .caps import VoteCaps, counted
from .experience import Known, Patch, known
from .scores import EVIDENCE, Group
from .views import OF_AGENT, OF_TENANT, OVERALL, RATINGS

if TYPE_CHECKING:
    from .board import Board

FRESH = "fresh"  # the scope of experience that holds such opinions
MOST = 1_000
PRIOR = 10.0
_Z = 1.959963984540054  # two-sided 95 %


class Opinion(NamedTuple):
    """One rating, 0..1, of a model by its key; `at` is seconds since 1970."""

    model: str
    rating: float
    task: str | None
    agent: str | None
    tenant: str | None
    user: str | None
    message_id: str | None
    at: float


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """Opinions, oldest first, never changed; `by_task` holds those of each task by model, under None all of them."""

    opinions: tuple[Opinion, ...] = ()
    by_task: Mapping[str | None, Mapping[str, tuple[Opinion, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, opinions: Iterable[Opinion]) -> "Fresh":
        """One opinion of each user and message, the newest, and of all of them the newest `MOST`."""
        kept: dict[object, Opinion] = {}
        for number, opinion in enumerate(opinions):
            key = number if opinion.message_id is None else (opinion.message_id, opinion.user)
            kept.pop(key, None)  # so that the newest stands last
            kept[key] = opinion
        newest = tuple(kept.values())[-MOST:]
        grouped: dict[str | None, dict[str, list[Opinion]]] = {}
        for opinion in newest:
            for task in dict.fromkeys((None, opinion.task)):
                grouped.setdefault(task, {}).setdefault(opinion.model, []).append(opinion)
        return cls(newest, {task: {key: tuple(of) for key, of in found.items()} for task, found in grouped.items()})

    def since(self, as_of_s: float) -> "Fresh":
        """Those that a snapshot as of then does not hold."""
        if not self.opinions or self.opinions[0].at > as_of_s:
            return self
        return Fresh.of(opinion for opinion in self.opinions if opinion.at > as_of_s)

    def at(self, task: str | None, domain: str | None) -> Mapping[str, tuple[Opinion, ...]]:
        """The opinions that speak to a question, by model: those of its task, or of all where none is asked."""
        return {} if task is None and domain is not None else self.by_task.get(task, {})


class _Merged(NamedTuple):
    quality: float
    n: float
    se: float
    basis: int
    group: Group
    worth: float


@dataclass(frozen=True, slots=True)
class _Voices:
    """Who ever rated: whether there is but one user or one tenant, whom there is nobody to be protected from."""

    caps: VoteCaps
    only_user: bool
    only_tenant: bool

    @classmethod
    def of(cls, board: "Board") -> "_Voices":
        """Among everyone: those of the snapshot, whose users have no names there, and the fresh ones."""
        is_rated, told = False, frozenset[str | None]()
        if board.scores is not None:
            rows = board.scores.experience
            is_rated = bool((rows.evidence == EVIDENCE.index("feedback")).any())
            told = rows.groups.tenants or frozenset({None} if is_rated else ())
        return cls.among(board.fresh.opinions, board.catalog.caps, is_rated=is_rated, tenants=told)

    @classmethod
    def among(
        cls,
        opinions: Iterable[Opinion],
        caps: VoteCaps,
        *,
        is_rated: bool,
        tenants: frozenset[str | None] = frozenset(),
    ) -> "_Voices":
        raters = {(opinion.tenant, opinion.user) for opinion in opinions}
        of_tenants = tenants | {tenant for tenant, _ in raters}
        return cls(caps, not is_rated and len(raters) == 1, len(of_tenants) == 1 and (bool(tenants) or not is_rated))

    def counted(self, opinions: list[Opinion], others: float) -> list[Opinion]:
        """The opinions that count beside `others` of the snapshot, the newest first."""
        return counted(self.caps, opinions[::-1], others, only_user=self.only_user, only_tenant=self.only_tenant)


def overlaid(
    board: "Board",
    task: str | None,
    domain: str | None,
    agent: str | None,
    tenant: str | None,
    own: Patch | None,
    *,
    is_learned: bool = False,
) -> Patch | None:
    """`own` (what stands otherwise for this agent and tenant) with the opinions merged in; `own` itself where none speaks."""
    seen, merged = board.view(task, domain, is_learned=is_learned), dict[int, _Merged]()
    voices = _Voices.of(board)
    for key, opinions in board.fresh.at(task, domain).items():
        model = board.catalog.position.get(key)
        if model is None:
            continue
        found = _merge(voices, known(board, seen, own, model), opinions, task, agent, tenant)
        if found is not None:
            merged[model] = found
    if not merged:
        return own
    changed = np.array(sorted(merged), dtype=np.intp)
    models = changed if own is None else np.union1d(own.models, changed)
    row, basis = seen.find_many(models)
    columns: dict[str, Any] = {name: getattr(seen, name)[row] for name in ("quality", "n", "se", "worth")}
    columns["basis"] = basis
    columns["priority"] = board.catalog.priority[models]
    columns["of_agent"] = np.zeros(len(models), dtype=np.bool_)
    columns["group"] = np.full(len(models), -1, dtype=np.int8)
    groups = [] if own is None else list(own.groups)
    if own is not None:
        at = models.searchsorted(own.models)
        for name, column in columns.items():
            column[at] = getattr(own, name)
    for model, one in merged.items():
        place = int(models.searchsorted(model))
        if one.group not in groups:
            groups.append(one.group)
        for name in ("quality", "n", "se", "basis", "worth"):
            columns[name][place] = getattr(one, name)
        columns["group"][place] = groups.index(one.group)
    return Patch(
        models=models,
        size=board.catalog.size,
        groups=tuple(groups),
        **columns,
    )


def _merge(
    voices: "_Voices",
    knows: Known,
    opinions: tuple[Opinion, ...],
    task: str | None,
    agent: str | None,
    tenant: str | None,
) -> _Merged | None:
    """What is known of a model with the opinions of the narrowest circle that has any; None if narrower is known already."""
    mine = [opinion for opinion in opinions if tenant is None or opinion.tenant in (None, tenant)]
    circles = []
    if task is not None and agent is not None:
        circles.append((OF_AGENT, [opinion for opinion in mine if opinion.agent == agent]))
    if task is not None and tenant is not None:
        circles.append((OF_TENANT, [opinion for opinion in mine if opinion.tenant == tenant]))
    circles.append((OVERALL if task is None else RATINGS, list(opinions)))
    for basis, said in circles:
        heard = said
        if basis in (OVERALL, RATINGS) or (basis == OF_AGENT and tenant is None):
            others = knows.n if knows.basis == basis else 0.0
            own = voices if basis != OF_AGENT else _Voices.among(said, voices.caps, is_rated=others > 0)
            heard = own.counted(said, others)
        if heard and knows.basis <= basis:
            return _weighed(knows, [opinion.rating for opinion in heard], basis, task, agent, tenant)
        if knows.basis >= basis:
            return None
    return None


def _weighed(
    knows: Known, ratings: list[float], basis: int, task: str | None, agent: str | None, tenant: str | None
) -> _Merged:
    new = float(len(ratings))
    if knows.basis == basis:
        before, weight = knows.quality, knows.worth
    elif knows.basis:
        before, weight = knows.quality, min(knows.worth, PRIOR)
    else:
        before, weight = knows.priority / 100, PRIOR
    worth = weight + new if knows.basis else new
    n = knows.n + new if knows.basis == basis else worth
    quality = min(1.0, (before * weight + sum(ratings)) / (weight + new))
    se = knows.se * math.sqrt(weight / (weight + new)) if knows.basis == basis else 0.5 / math.sqrt(weight + new)
    whose = (agent if basis == OF_AGENT else None, tenant if basis in (OF_AGENT, OF_TENANT) else None)
    return _Merged(quality, n, se, basis, Group(FRESH, task, *whose), worth)


def interval(quality: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a mean on 0..1 over `n`."""
    middle, half = quality + _Z * _Z / (2 * n), _Z * math.sqrt(quality * (1 - quality) / n + _Z * _Z / (4 * n * n))
    scale = 1 + _Z * _Z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
