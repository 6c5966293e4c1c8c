"""The models that fit, best first, in growing blocks: most questions are settled by the first few of them.

Which way is taken depends on the question: the head of a stored order, and beyond it the models that fit by themselves; the cheapest zones for a price that depends on the query's tokens; an estimate of all scores for weights
that come with the query. An agent's own patch of models is scored by itself and merged in.
"""

from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import bits, policies
from .asked import Asked
from .bits import Floats, Positions, Words
from .few import Ranked

_FEW = 1_024  # so many are put in order at once
_PART = 64  # so many of more than that come first
_ONE_BY_ONE = 16
_CHEAPEST = 16
_MARGINS = (0.02, 0.1, 2.0)  # of scores, for an estimate: how far below the best to look
_ESTIMATED = 1e-5  # an estimate in single precision is nearer than that


class Block(NamedTuple):
    """Some models with their scores and providers, best first."""

    models: Positions
    scores: Floats
    providers: NDArray[np.int32]

    def __add__(self, other: "Block") -> "Block":  # type: ignore[override]  # two blocks are one, not a tuple of six
        return Block(
            np.concatenate((self.models, other.models)),
            np.concatenate((self.scores, other.scores)),
            np.concatenate((self.providers, other.providers)),
        )

    def ranked(self) -> Iterator[Ranked]:
        """One by one; most are never asked for."""
        for part in (slice(_ONE_BY_ONE), slice(_ONE_BY_ONE, None)):
            columns = (self.models[part].tolist(), self.scores[part].tolist(), self.providers[part].tolist())
            yield from zip(*columns, repeat(None))  # the last one is endless


def best_first(asked: Asked, words: Words, number: int) -> Iterator[Block]:
    """The `number` models of `words` by the figure to sort by, then score, price, failure rate and key.

    Unknown figures come last. No block is empty.
    """
    own, mine = asked.patch, None
    if own is not None:
        mine = own.models[bits.among(words, own.models)]
        if len(mine):
            words = words & ~own.words
    blocks = _blocks(asked, words, number)
    if mine is None or not len(mine):
        return (block for block in blocks if len(block.models))
    return _merged(asked, blocks, mine)


def _blocks(asked: Asked, words: Words, number: int) -> Iterator[Block]:
    if asked.is_by_tokens:
        return _by_cost(asked, words)
    if not asked.is_stored:
        return _by_weights(asked, words, number)
    return _by_place(asked, words)


def _by_place(asked: Asked, words: Words) -> Iterator[Block]:
    """Those that fit of the models at the head of the order, then the others."""
    ranking = asked.ranking
    order = ranking.order
    fitting = bits.among(words, order)
    places = fitting.nonzero()[0]
    if len(places):
        models = order[places].astype(np.intp)
        yield Block(models, ranking.score[places], asked.board.catalog.provider_code[models])
    if ranking.is_whole:
        return
    if len(places):
        words = words & ~bits.of(models, asked.board.catalog.size)
    yield from _by_parts(asked, bits.members(words))


def _by_parts(asked: Asked, models: Positions) -> Iterator[Block]:
    """Of many models first the best few, then all the others."""
    if len(models) > _FEW:
        score, figure = _scores_and_figures(asked, models)
        by = -score if figure is None else figure
        near = by <= np.partition(by, _PART - 1).item(_PART - 1)
        first = models[near]
        if len(first) < len(models) // 2:
            yield in_order(asked, first)
            models = models[~near]
    yield in_order(asked, models)


def _by_cost(asked: Asked, words: Words) -> Iterator[Block]:
    query = asked.query
    assert query.input_tokens is not None
    assert query.output_tokens is not None
    near, bound = asked.board.zones.cheapest(words, query.input_tokens, query.output_tokens, query.top + _CHEAPEST)
    models = bits.members(near)
    if bound < np.inf:
        first = models[asked.costs(models) <= bound]
        yield in_order(asked, first)
        models = bits.members(words & ~bits.of(first, asked.board.catalog.size))
    yield in_order(asked, models)


def _by_weights(asked: Asked, words: Words, number: int) -> Iterator[Block]:
    if asked.sort is not None or number <= _FEW:
        yield in_order(asked, bits.members(words))
        return
    estimate = _estimated(asked, words)
    best, upper = float(estimate.max()), np.inf
    for margin in _MARGINS:
        models = (estimate >= max(best - margin - _ESTIMATED, -0.5)).nonzero()[0]
        block = in_order(asked, models)
        lower = best - margin if margin < 1 else -np.inf
        start, end = (int(np.count_nonzero(block.scores >= bound)) for bound in (upper, lower))
        yield _cut(block, start, end)
        upper = lower


def _estimated(asked: Asked, words: Words) -> Floats:
    """About the score of each model, -1 of those that do not fit."""
    board, weights = asked.board, asked.policy.weights
    size = board.catalog.size
    columns = board.singles(asked.task, asked.query.domain)
    total = np.zeros(size, dtype=np.float32)
    for weight, column in zip(weights, columns, strict=True):
        if weight:
            total += np.float32(weight) * column
    fitting = np.unpackbits(words.view(np.uint8), count=size, bitorder="little").view(np.bool_)
    estimate: Floats = np.where(fitting, total, np.float32(-1))
    return estimate


def _merged(asked: Asked, blocks: Iterator[Block], mine: Positions) -> Iterator[Block]:
    """The blocks with the agent's own models among them."""
    waiting = mine
    for block in blocks:
        if not len(block.models):
            continue
        if not len(waiting):
            yield block
            continue
        joined = in_order(asked, np.concatenate((block.models, waiting)))
        end = 1 + int(np.flatnonzero(joined.models == block.models[-1])[0])
        yield _cut(joined, 0, end)
        waiting = joined.models[end:]
    if len(waiting):
        yield in_order(asked, waiting)


def in_order(asked: Asked, models: Positions) -> Block:
    """Some models in order, by their exact scores."""
    scores, figure = _scores_and_figures(asked, models)
    keys: list[NDArray[Any]] = [asked.board.tie_rank[models], -scores]
    if figure is not None:
        keys.append(figure)
    order = np.lexsort(keys)
    models = models[order]
    return Block(models, scores[order], asked.board.catalog.provider_code[models])


def one_by_one(asked: Asked, models: Positions) -> Iterator[Ranked]:
    """The same of so few that they are scored one by one, where nothing is sorted by."""
    score, tie_rank, provider = asked.score, asked.board.tie_rank.item, asked.board.catalog.provider_code.item
    for lower, _, model in sorted([(-score(model), tie_rank(model), model) for model in models.tolist()]):
        yield model, -lower, provider(model), None


def _scores_and_figures(asked: Asked, models: Positions) -> tuple[Floats, Floats | None]:
    values = asked.values(models)
    scores = policies.scores(asked.policy, values)
    if asked.sort is None:
        return scores, None
    return scores, asked.board.figures(asked.sort, models, values.quality, asked.costs(models))


def _cut(block: Block, start: int, end: int) -> Block:
    return Block(block.models[start:end], block.scores[start:end], block.providers[start:end])
