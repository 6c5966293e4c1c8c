"""For the first models of a stored order, one small table of sets: who passes a bound, has a capability, is of a provider.

A set of them is one Python integer, the lowest bit the best model; joining two takes 50 ns, ten times less than the smallest step
over an array. A column has a set for each of some checkpoints, and a bound is taken for the next laxer one; what lies between is
for whoever draws a candidate to check. So the table of an order stays small enough to be near the processor.
"""

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

from . import bits
from .records import TIERS

if TYPE_CHECKING:
    from .bits import Mask
    from .board import Board
    from .few import Few

_CHECKPOINTS = 32
_SAMPLE = 20_000  # values of a column to choose checkpoints by
_NAMES = 64  # so many capabilities or providers have sets of their own

# The columns that have bounds, and whether a bound is the most that passes.
IS_MOST = {
    "tier": True,
    "price_in": True,
    "price_out": True,
    "cost_per_query": True,
    "context": False,
    "ttft_p95_ms": True,
    "latency_p95_ms": True,
    "tps_mean": False,
    "failure_rate": True,
    "quality": False,
    "n": False,
    "last_seen": False,
}
_GRIDS = {
    "tier": [float(place) for place in range(len(TIERS))],
    "quality": [place / _CHECKPOINTS for place in range(_CHECKPOINTS)],
    "n": [float(2**power) for power in range(_CHECKPOINTS)],
}


class Layout:
    """Where what stands in such a table; the same for all orders of a board."""

    __slots__ = ("_words", "checkpoints", "row_of")

    def __init__(self, board: "Board") -> None:
        catalog, row = board.catalog, 0
        self.row_of: dict[Any, int] = {}
        self.checkpoints: dict[str, list[float]] = {}
        for name in IS_MOST:
            points = _GRIDS.get(name) or _spread(board.column(name))
            self.checkpoints[name], self.row_of[name] = points, row
            row += len(points) + 2  # before them those of which nothing is known, and on the lax side all others
        self._words = [catalog.no_capabilities]
        self.row_of["need", None] = row
        for name, words in list(catalog.capabilities.items())[:_NAMES]:
            self.row_of["need", name] = row + len(self._words)
            self._words.append(words)
        row += len(self._words)
        for name, code in catalog.provider_codes.items():
            if code < _NAMES:
                self.row_of["provider", name] = row + code

    def table(self, board: "Board", few: "Few") -> bytes:
        """The sets of some models, one after the other."""
        rows = []
        for name, is_most in IS_MOST.items():
            column, points = few.figures(name), np.array(self.checkpoints[name])[:, None]
            known = ~np.isnan(column)
            passing = (column <= points, known[None]) if is_most else (known[None], column >= points)
            rows += [~known[None], *passing]
        rows += [bits.among(words, few.models)[None] for words in self._words]
        rows.append(few.provider == np.arange(min(len(board.catalog.provider_codes), _NAMES))[:, None])
        return np.packbits(np.concatenate(rows), axis=1, bitorder="little").tobytes()

    def within(self, name: str, bound: float) -> int:
        """The row of those that pass a bound, and perhaps of some others."""
        find = bisect_left if IS_MOST[name] else bisect_right
        return self.row_of[name] + 1 + find(self.checkpoints[name], bound)


def _spread(column: Any) -> list[float]:
    """Checkpoints that have about as many models between them."""
    known = column[:: max(1, len(column) // _SAMPLE)]
    known = known[~np.isnan(known)]
    if not len(known):
        return [0.0]
    found: list[float] = np.unique(np.quantile(known, np.linspace(0, 1, _CHECKPOINTS), method="nearest")).tolist()
    return found


def as_number(mask: "Mask") -> int:
    """The set of the places where `mask` is true."""
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")
