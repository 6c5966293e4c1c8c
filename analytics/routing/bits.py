"""Sets of models as packed bits, 64 models a word, and the indexes that turn a bound into such a set.

A set costs an eighth of a byte for each model, and joining two of them or counting one reads just that: 1.4 KB at 11,000
models. What lies behind a bound is found by sorted order (`Thresholds`) or by zones of similar prices (`PriceZones`), so
that hardly any model's own figure is read.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Positions = NDArray[np.intp]
Places = Positions | NDArray[np.int32]
Words = NDArray[np.uint64]

_BIT = np.uint64(1) << np.arange(64, dtype=np.uint64)
ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_NONE = np.uint64(0)
_BEYOND = 1e290  # a price that no bound reaches, and that no number of tokens makes infinite
_CHECKPOINTS = 32  # sets kept per index


def words_for(size: int) -> int:
    """How many words hold `size` bits; at least one, so that no set is empty of words."""
    return max(1, -(-size // 64))


def pack(mask: Mask) -> Words:
    """The set of the positions where `mask` is true."""
    words = np.zeros(words_for(len(mask)), dtype=np.uint64)
    packed = np.packbits(mask, bitorder="little")
    words.view(np.uint8)[: len(packed)] = packed
    return words


def of(positions: Positions, size: int) -> Words:
    """The set of `positions`, each named at most once."""
    words = np.zeros(words_for(size), dtype=np.uint64)
    np.add.at(words, positions >> 6, _BIT[positions & 63])
    return words


def count(words: Words) -> int:
    """How many are in the set."""
    return int(np.add.reduce(np.bitwise_count(words), dtype=np.intp))


def has(words: Words, position: int) -> bool:
    """Whether one position is in the set."""
    return bool(words.item(position >> 6) >> (position & 63) & 1)


def among(words: Words, positions: Places) -> Mask:
    """Which of `positions` are in the set."""
    mask: Mask = (words[positions >> 6] & _BIT[positions & 63]) != 0
    return mask


def places(positions: Places) -> tuple[Places, Words]:
    """The word of each position, and its bit in there."""
    return positions >> 6, _BIT[positions & 63]


def members(words: Words) -> Positions:
    """The positions in the set, ascending."""
    there = words.nonzero()[0]
    found = np.unpackbits(words[there].view(np.uint8), bitorder="little").view(np.bool_).nonzero()[0]
    positions: Positions = (there[found >> 6] << 6) + (found & 63)
    return positions


class Thresholds:
    """An index over one column (NaN: unknown, in no set) for sets like "at most 800"."""

    __slots__ = ("_checkpoints", "_order", "_step", "_values", "known")

    def __init__(self, column: Floats) -> None:
        """Of a column of all models."""
        order = np.flatnonzero(~np.isnan(column))
        order = order[np.argsort(column[order], kind="stable")]
        self._values: Floats = column[order]
        self._order = order.astype(np.int32)
        self._step = max(1, -(-len(order) // _CHECKPOINTS))
        words = np.zeros(words_for(len(column)), dtype=np.uint64)
        self._checkpoints = [words]
        for start in range(0, len(order), self._step):
            words = words.copy()
            np.add.at(words, *self._places(start, start + self._step))
            self._checkpoints.append(words)
        self.known: Words = words

    def at_most(self, bound: float) -> Words:
        """Those known to be `bound` or less."""
        return self._first(int(self._values.searchsorted(bound, "right")))

    def at_least(self, bound: float) -> Words:
        """Those known to be `bound` or more."""
        return self._first(int(self._values.searchsorted(bound, "left"))) ^ self.known

    def _first(self, number: int) -> Words:
        """The `number` lowest: the nearest checkpoint, and what lies between."""
        step = self._step
        nearest = (number + step // 2) // step
        reached = min(nearest * step, len(self._order))
        words = self._checkpoints[nearest]
        if number > reached:
            words = words.copy()
            np.add.at(words, *self._places(reached, number))
        elif number < reached:
            words = words.copy()
            np.subtract.at(words, *self._places(number, reached))
        return words

    def _places(self, start: int, end: int) -> tuple[Places, Words]:
        return places(self._order[start:end])


class PriceZones:
    """The cost of a query by two prices, over models numbered by price (`by_price`): each word of a set is a zone of 64
    models with similar prices, so that nearly every zone is wholly within a bound or wholly beyond it.

    Rounding is monotone, so that the corners of a zone bound the cost of each of its models exactly.
    """

    __slots__ = ("_corner_in", "_corner_out", "_is_known", "_price_in", "_price_out")

    def __init__(self, price_in: Floats, price_out: Floats) -> None:
        padded = np.full((2, words_for(len(price_in)) * 64), np.nan)
        padded[0, : len(price_in)], padded[1, : len(price_in)] = price_in, price_out
        unknown = np.isnan(padded).any(axis=0)
        padded[:, unknown] = np.nan
        self._price_in, self._price_out = padded.reshape(2, -1, 64)
        self._is_known: Mask = ~unknown.reshape(-1, 64).any(axis=1)
        low, high = (np.where(unknown, other, padded).reshape(2, -1, 64) for other in (_BEYOND, 0.0))
        self._corner_in, self._corner_out = np.stack((low.min(axis=2), high.max(axis=2)), axis=1)  # rows: low, high

    def at_most(self, input_tokens: int, output_tokens: int, bound: float) -> Words:
        """The models known to cost `bound` USD or less for so many tokens."""
        most = _before_division(bound)
        lowest, highest = input_tokens * self._corner_in + output_tokens * self._corner_out <= most
        highest &= self._is_known
        lowest ^= highest  # what is wholly within the bound is so at its lowest corner too; what remains is mixed
        words: Words = highest * ALL
        mixed = lowest.nonzero()[0]
        total = input_tokens * self._price_in[mixed]
        total += output_tokens * self._price_out[mixed]
        words[mixed] = np.packbits(total <= most, bitorder="little").view(np.uint64)
        return words

    def cheapest(self, words: Words, input_tokens: int, output_tokens: int, wanted: int) -> tuple[Words, float]:
        """The part of `words` that holds its `wanted` cheapest models at least, and a cost that all others exceed."""
        low = (input_tokens * self._corner_in[0] + output_tokens * self._corner_out[0]) / 1e6
        low[words == 0] = np.inf
        first = min(max(8, wanted // 8), len(low))
        near = np.argpartition(low, first - 1)[:first]
        costs = (input_tokens * self._price_in[near] + output_tokens * self._price_out[near]) / 1e6
        inside = np.unpackbits(words[near].view(np.uint8), bitorder="little").view(np.bool_).reshape(-1, 64)
        found = np.sort(costs[inside & ~np.isnan(costs)])
        bound = float(found[wanted - 1]) if len(found) >= wanted else np.inf
        return np.where(low <= bound, words, _NONE), bound


def _before_division(bound: float) -> float:
    """The largest number that is `bound` or less when it is divided by a million."""
    most = bound * 1e6
    while most / 1e6 > bound:
        most = math.nextafter(most, -math.inf)
    while (further := math.nextafter(most, math.inf)) / 1e6 <= bound and further < math.inf:
        most = further
    return most


def by_price(price_in: Floats, price_out: Floats) -> Positions:
    """An order of the models in which each 64 in a row have similar prices: strips of input price, sorted by output price."""
    size = len(price_in)
    strips = max(1, round((size / 64) ** 0.5))
    ranked = np.lexsort((price_out, price_in))
    strip = np.empty(size, dtype=np.intp)
    strip[ranked] = np.arange(size) * strips // max(size, 1)
    order: Positions = np.lexsort((price_out, strip))
    return order
