"""Choosing among the models that fit: the best, unless a cheaper one ties with it; then the fallbacks."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .columns import Positions
from .limits import Asked, Fitting, fitting_order
from .ties import ROUNDING, SQRT_TAU, expected_loss

_FIRST_BLOCK = 64
_NEAR = 16  # among the first so many there are nearly always enough fallbacks
_FEW = 8  # of these many, each is looked at by itself


class Choice(NamedTuple):
    """Positions of the model chosen and its fallbacks. `instead_of` is the higher score that it tied with, `loss` the
    quality expected to be lost by not taking that one.
    """

    model: int
    fallbacks: list[int]
    instead_of: int | None = None
    loss: float = 0.0


def choose(asked: Asked, fitting: Fitting) -> Choice:
    """The best of the models that fit (there is at least one) and up to `top` - 1 fallbacks, other providers first."""
    blocks = _blocks(fitting_order(asked, fitting), fitting)
    hits = next(blocks)
    best = hits.item(0)
    model, loss = best, 0.0
    if asked.query.sort is None:
        score, floor = asked.ranking.score, asked.ranking.tie_floor.item(best)
        while score.item(hits.item(-1)) >= floor and (more := next(blocks, None)) is not None:
            hits = np.concatenate((hits, more))
        if len(hits) > 1 and score.item(hits.item(1)) >= floor:
            model, loss = _settle(asked, hits, floor)
    return Choice(model, _fallbacks(asked, hits, blocks, model), best if best != model else None, loss)


def _blocks(order: Positions, fitting: Fitting) -> Iterator[Positions]:
    """The models that fit, best first, in growing blocks: most questions are settled by the first few models."""
    start, size = 0, _FIRST_BLOCK
    while start < len(order):
        block = order[start : start + size]
        start, size = start + size, size * 4
        if fitting.mask is not None:
            block = block[fitting.mask[block]]
        if len(block):
            yield block


def _settle(asked: Asked, hits: Positions, floor: float) -> tuple[int, float]:
    """The cheapest of those that tie with the best, and the expected loss of taking it."""
    ranking, board, query = asked.ranking, asked.board, asked.query
    best, scores = hits.item(0), ranking.score[hits]
    paid = board.cost(query, best)
    band = hits[1 : np.count_nonzero(scores >= floor)]
    if len(band) > _FEW:
        # A loss is at least 0.4 standard errors, which rules most of a wide band out at once.
        widest = (board.catalog.tie_delta * SQRT_TAU) ** 2 - ranking.se.item(best) ** 2
        can_tie = ranking.se[band] ** 2 <= widest + ROUNDING
        can_tie |= ranking.score[band] == scores.item(0)
        band = band[can_tie & (board.costs(query, band) < paid)]
    costs = {model: board.cost(query, model) for model in band.tolist()}
    for model in sorted((model for model in costs if costs[model] < paid), key=costs.__getitem__):
        loss = _loss(asked, best, model)
        if loss is not None:
            return model, loss
    return best, 0.0


def _loss(asked: Asked, best: int, other: int) -> float | None:
    """The expected loss of quality if `other` is a tie with `best`, else None.

    A lower priority counts as the quality that would make up for it, so that a tie is a tie in the policy's eyes too.
    """
    ranking, catalog = asked.ranking, asked.board.catalog
    behind = ranking.score.item(best) - ranking.score.item(other)
    if behind == 0:
        return 0.0
    if not (ranking.basis.item(best) and ranking.basis.item(other) and catalog.weight_quality > 0):
        return None
    gap = max(ranking.quality.item(best) - ranking.quality.item(other), behind / catalog.weight_quality)
    loss = expected_loss(gap, math.hypot(ranking.se.item(best), ranking.se.item(other)))
    return loss if loss < catalog.tie_delta else None


def _fallbacks(asked: Asked, hits: Positions, blocks: Iterator[Positions], model: int) -> list[int]:
    wanted = asked.query.top - 1
    providers = asked.board.catalog.providers
    own = providers[model]
    near: list[int] = [other for other in hits[:_NEAR].tolist() if providers[other] != own]
    if len(near) >= wanted:
        return near[:wanted]
    codes = asked.board.catalog.provider_code
    elsewhere = codes[hits] != codes[model]
    while np.count_nonzero(elsewhere) < wanted and (more := next(blocks, None)) is not None:
        hits = np.concatenate((hits, more))
        elsewhere = codes[hits] != codes[model]
    chosen: list[int] = hits[elsewhere][:wanted].tolist()
    if len(chosen) < wanted:
        same = hits[~elsewhere]
        chosen += same[same != model][: wanted - len(chosen)].tolist()
    return chosen
