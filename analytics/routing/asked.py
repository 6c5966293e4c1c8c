"""One question at one moment, with everything that a limit, an order or a sentence may want to know about it."""

from typing import Any

import numpy as np

from . import board as boards
from . import policies
from .bits import Floats, Positions
from .board import Board, Kind, Ranking
from .catalog import Members
from .experience import Known, Patch, known
from .few import Few
from .policies import Active, Policy, Values
from .records import LIMIT_FIELDS, RouteQuery, Sort, TaskGuess

NO_SCORES = np.zeros(0)


class Asked:
    """`now` is seconds since 1970; `policy` ranks, with the query's own weights if it has any (`is_stored` says that not); `limits` are those of the query
    and of the active policies together, in order; `task` is what was asked or detected.
    """

    def __init__(self, board: Board, query: RouteQuery, now: float, active: Active, task: TaskGuess | None) -> None:
        self.board = board
        self.query = query
        self.now = now
        self.guess = task
        self.task = None if task is None else task.task
        self.is_stored = query.weights is None
        self.policy: Policy = active.policy
        if query.weights is not None:
            self.policy = policies.weighted(active.policy, query.weights)  # type: ignore[arg-type]  # checked by the query
        self.sort: Sort | None = query.sort or self.policy.sort
        self.is_by_tokens = self.sort == "price" and query.input_tokens is not None
        self.limits: tuple[tuple[str, Any], ...] = query.limits
        if active.limits:
            joined = policies.both(active.limits, dict(query.limits))
            self.limits = tuple((field, joined[field]) for field in LIMIT_FIELDS if field in joined)
        self.further = [(place, weight) for place, weight in enumerate(self.policy.weights[2:], 1) if weight]
        self.is_timeless = query.max_age_s is None and "max_age_s" not in active.limits
        self.patch: Patch | None = board.patch(query, self.task, is_learned=self.policy.is_learned)
        self.view = board.view(self.task, query.domain, is_learned=self.policy.is_learned)
        self.kind: Kind = board.kind(active.policy, self.task, query.domain)

    @property
    def tie_delta(self) -> float:
        """The quality that may be lost to a lower price."""
        own = self.policy.tie_delta
        return self.board.catalog.tie_delta if own is None else own

    def side_by_side(self, members: Members) -> Few:
        """The models that the asking agent may use, in no order."""
        return Few(self.board, self.view, members.models, NO_SCORES, is_whole=True, own=self.patch)

    def later_side_by_side(self) -> Few:
        """The rest of the order, as far as it is kept."""
        ranking = self.ranking
        later = slice(len(ranking.first.models), None)
        return Few(self.board, self.view, ranking.order[later].astype(np.intp), ranking.score[later], is_whole=False)

    @property
    def ranking(self) -> Ranking:
        """The order by the stored policy."""
        ranking = self.kind.rankings.get(self.sort)
        return self.board.ranking(self.policy, self.sort, self.task, self.query.domain) if ranking is None else ranking

    def known(self, model: int) -> Known:
        """What is known of one model for this question."""
        return known(self.board, self.view, self.patch, model)

    def cost(self, model: int) -> float:
        """USD per query by its token counts, else per 1M tokens."""
        return boards.cost(self.board, self.query, model)

    def costs(self, models: Positions) -> Floats:
        """USD per query of some models by its token counts, else per 1M tokens; NaN where a price is unknown."""
        return boards.costs(self.board, self.query, models)

    def values(self, models: Positions) -> Values:
        """What is scored of some models, the agent's own experience and priorities included."""
        view, own, values = self.view, self.patch, self.board.values
        row, _ = view.find_many(models)
        priority, quality, n = values[0][models], view.quality[row], view.worth[row]
        others = [NO_SCORES] * 3  # what weighs nothing is not fetched
        for place, _ in self.further:
            others[place - 1] = values[place][models]
        if own is not None:
            mine, at = own.among(models)
            if len(at):
                priority[mine], quality[mine], n[mine] = own.priority[at] / 100, own.quality[at], own.worth[at]
        return Values(priority, quality, n, *others)

    def score(self, model: int) -> float:
        """The score of one model."""
        view, own, values = self.view, self.patch, self.board.values
        at = None if own is None else own.index.get(model)
        if own is None or at is None:
            row, _ = view.find(model)
            total = policies.score(self.policy, values[0].item(model), view.quality.item(row), view.worth.item(row))
        else:
            priority = own.priority.item(at) / 100
            total = policies.score(self.policy, priority, own.quality.item(at), own.worth.item(at))
        for place, weight in self.further:
            total += weight * values[place].item(model)
        return total

    def is_alike(self, model: int) -> bool:
        """Whether all that is to say of a model in itself is the same for every question of this kind."""
        return self.is_stored and (self.patch is None or model not in self.patch.index)

    def quality_and_se(self, models: Positions) -> tuple[Floats, Floats]:
        """The experience with some models, the agent's own included."""
        view, own = self.view, self.patch
        row, _ = view.find_many(models)
        quality, se = view.quality[row], view.se[row]
        if own is not None:
            mine, at = own.among(models)
            quality[mine], se[mine] = own.quality[at], own.se[at]
        return quality, se
