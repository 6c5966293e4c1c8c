"""Choosing among the models that fit: the best, unless a cheaper one ties with it; then the fallbacks."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import policies
from .asked import Asked
from .bits import Floats, Mask, Positions, Words
from .experience import Known
from .orders import Block, best_first
from .ties import ROUNDING, SQRT_TAU, expected_loss

_NEAR = 16  # among the first so many there are nearly always enough fallbacks
_FEW = 8  # of these many, each is looked at by itself


class Choice(NamedTuple):
    """Positions of the model chosen and its fallbacks, with their scores. `instead_of` is the higher one that it tied with,
    `loss` the quality expected to be lost by not taking that one.
    """

    model: int
    score: float
    fallbacks: list[tuple[int, float]]
    instead_of: int | None = None
    against: float = 0.0
    loss: float = 0.0
    is_alone: bool = False


def choose(asked: Asked, words: Words, number: int) -> Choice:
    """The best of the `number` models that fit (at least one) and up to `top` - 1 fallbacks, other providers first."""
    blocks = best_first(asked, words, number)
    hits = next(blocks)
    at, lost = 0, 0.0
    if asked.sort is None:
        score, floor = hits.scores, _floor(asked, hits)
        while score.item(-1) >= floor and (more := next(blocks, None)) is not None:
            hits += more
            score = hits.scores
        if len(score) > 1 and score.item(1) >= floor:
            at, lost = _settle(asked, hits, floor)
    fallbacks = _fallbacks(asked, hits, blocks, at)
    instead_of = hits.models.item(0) if at else None
    return Choice(
        hits.models.item(at), hits.scores.item(at), fallbacks, instead_of, hits.scores.item(0), lost, number == 1
    )


def _floor(asked: Asked, hits: Block) -> float:
    """The score below which nothing can tie with the best."""
    best = asked.known(hits.models.item(0))
    if not best.basis:
        return hits.scores.item(0)
    reach = policies.reach(asked.policy, np.array([best.worth]), np.array([best.se]), asked.tie_delta)
    return hits.scores.item(0) - reach.item(0)


def _settle(asked: Asked, hits: Block, floor: float) -> tuple[int, float]:
    """Where the cheapest of those stands that tie with the best, and the expected loss of taking it."""
    best, score = asked.known(hits.models.item(0)), hits.scores.item(0)
    paid = asked.cost(hits.models.item(0))
    end = int(np.count_nonzero(hits.scores >= floor))
    if end - 1 > _FEW:
        models = hits.models[1:end]
        costs = asked.costs(models)
        can_tie = (costs < paid) & _can_tie(asked, best, models, score - hits.scores[1:end])
        places = (1 + can_tie.nonzero()[0][np.argsort(costs[can_tie], kind="stable")]).tolist()
    else:
        costs_of = {place: asked.cost(hits.models.item(place)) for place in range(1, end)}
        places = sorted((place for place in costs_of if costs_of[place] < paid), key=costs_of.__getitem__)
    for place in places:
        lost = loss(asked, best, hits.models.item(place), score - hits.scores.item(place))
        if lost is not None:
            return place, lost
    return 0, 0.0


def _can_tie(asked: Asked, best: Known, models: Positions, behind: Floats) -> Mask:
    """Which models may tie: a loss is more than the gap, and more than half of it and 0.4 standard errors."""
    weight, delta = policies.quality_weight(asked.policy, best.worth), asked.tie_delta
    same: Mask = behind == 0
    if not best.basis or weight <= 0:
        return same
    quality, se = asked.quality_and_se(models)
    gap = np.maximum(best.quality - quality, behind / weight)
    least = np.maximum(gap, gap / 2 + np.hypot(best.se, se) / SQRT_TAU)
    near: Mask = least < delta + ROUNDING
    return same | near


def tied(asked: Asked, words: Words, number: int) -> list[tuple[int, float]]:
    """The best of the `number` models that fit (at least one), and those that tie with it and are no dearer, with their scores."""
    blocks = best_first(asked, words, number)
    hits = next(blocks)
    best = hits.models.item(0)
    found = [(best, hits.scores.item(0))]
    if asked.sort is not None:
        return found
    floor = _floor(asked, hits)
    while hits.scores.item(-1) >= floor and (more := next(blocks, None)) is not None:
        hits += more
    paid, known = asked.cost(best), asked.known(best)
    models = hits.models[1 : int(np.count_nonzero(hits.scores >= floor))]
    for place, cost in enumerate(asked.costs(models).tolist(), 1):
        model, score = hits.models.item(place), hits.scores.item(place)
        if cost <= paid and loss(asked, known, model, found[0][1] - score) is not None:
            found.append((model, score))
    return found


def fallbacks_of(asked: Asked, words: Words, number: int, model: int) -> list[tuple[int, float]]:
    """Up to `top` - 1 of the other models that fit, best first, those of other providers than the model's before the rest."""
    wanted, own = asked.query.top - 1, asked.board.catalog.provider_code.item(model)
    elsewhere, same = list[tuple[int, float]](), list[tuple[int, float]]()
    for block in best_first(asked, words, number) if wanted else ():
        for other, score, provider in zip(
            block.models.tolist(), block.scores.tolist(), block.providers.tolist(), strict=True
        ):
            if provider != own:
                elsewhere.append((other, score))
            elif other != model and len(same) < wanted:
                same.append((other, score))
        if len(elsewhere) >= wanted:
            break
    return [*elsewhere, *same][:wanted]


def loss(asked: Asked, best: Known, other: int, behind: float) -> float | None:
    """The expected loss of quality if `other` is a tie with `best`, else None.

    A lower score counts as the quality that would make up for it, so that a tie is a tie in the policy's eyes too.
    """
    if behind == 0:
        return 0.0
    known, weight = asked.known(other), policies.quality_weight(asked.policy, best.worth)
    if not (best.basis and known.basis and weight > 0):
        return None
    gap = max(best.quality - known.quality, behind / weight)
    lost = expected_loss(gap, math.hypot(best.se, known.se))
    return lost if lost < asked.tie_delta else None


def _fallbacks(asked: Asked, hits: Block, blocks: Iterator[Block], at: int) -> list[tuple[int, float]]:
    wanted, own, chosen = asked.query.top - 1, hits.providers.item(at), hits.models.item(at)
    near = [place for place, code in enumerate(hits.providers[:_NEAR].tolist()) if code != own][:wanted]
    if len(near) < wanted:
        elsewhere = hits.providers != own
        while np.count_nonzero(elsewhere) < wanted and (more := next(blocks, None)) is not None:
            hits += more
            elsewhere = hits.providers != own
        near = elsewhere.nonzero()[0][:wanted].tolist()
        same = (~elsewhere & (hits.models != chosen)).nonzero()[0]
        near += same[: wanted - len(near)].tolist()
    return [(hits.models.item(place), hits.scores.item(place)) for place in near]
