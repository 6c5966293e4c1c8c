"""The hard limits for the first models of a stored order, each set of them one Python integer, the lowest bit the best model.

Joining two such sets takes 50 ns, ten times less than the smallest step over an array, and a bound on a column costs one
search by halves: what passes it was worked out beforehand for every figure that it may fall behind. They must say what
the sets of `limits` say.
"""

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

from . import bits
from .limits import groups, ready
from .passing import COLUMNS, TESTS

if TYPE_CHECKING:
    from .asked import Asked
    from .bits import Floats, Mask
    from .few import Few

# Of a list of these, a model has to pass each entry by itself.
_OF_FEW_VALUES = {"need", "ignore", "max_tier"}


class Steps:
    """One column of some models: the sets of those that are at most, or at least, so much."""

    __slots__ = ("_known", "_sets", "_unknown", "_values", "_width")

    def __init__(self, column: "Floats") -> None:
        known = ~np.isnan(column)
        rows = known.nonzero()[0]
        rows = rows[column[rows].argsort()]
        self._values = array("d", column[rows].tobytes())
        self._width = max(1, -(-len(column) // 8))
        sets = np.zeros((len(rows) + 1, self._width), dtype=np.uint8)
        sets[np.arange(1, len(rows) + 1), rows >> 3] = np.left_shift(1, rows & 7)
        self._sets = np.bitwise_or.accumulate(sets, axis=0).tobytes()
        self._known = self._lowest(len(rows))
        self._unknown = as_number(~known)

    def at_most(self, bound: float, *, unknown: bool) -> int:
        """Those known to be `bound` or less, and with `unknown` those of which nothing is known."""
        found = self._lowest(bisect_right(self._values, bound))
        return found | self._unknown if unknown else found

    def at_least(self, bound: float, *, unknown: bool) -> int:
        """Those known to be `bound` or more, and with `unknown` those of which nothing is known."""
        found = self._known ^ self._lowest(bisect_left(self._values, bound))
        return found | self._unknown if unknown else found

    def _lowest(self, number: int) -> int:
        start = number * self._width
        return int.from_bytes(self._sets[start : start + self._width], "little")


def as_number(mask: "Mask") -> int:
    """The set of the places where `mask` is true."""
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")


def fitting(asked: "Asked", few: "Few") -> int:
    """Which of the models pass everything."""
    query = asked.query
    sets, unknown = few.sets, query.allow_unknown
    left = sets.get(query.model_type)
    if left is None:
        left = few.keep_set(query.model_type, as_number(bits.among(ready(asked.board, query.model_type), few.models)))
    if query.agent is not None or query.tenant is not None or query.role is not None:
        for _, words in groups(asked):
            left &= as_number(bits.among(words, few.models))
    for field, value in asked.limits:
        way = COLUMNS.get(field)
        if way is None:
            left &= _passing(asked, few, field, value)
            continue
        name, is_most = way
        steps = few.steps.get(name)
        if steps is None:
            steps = few.steps[name] = Steps(few.column(name))
        left &= steps.at_most(value, unknown=unknown) if is_most else steps.at_least(value, unknown=unknown)
    return left


def _passing(asked: "Asked", few: "Few", field: str, value: Any) -> int:
    """Those that pass a limit that is no bound on a column; what has few values is remembered."""
    if field not in _OF_FEW_VALUES:
        return as_number(TESTS[field](asked, few, value))
    passing = -1
    for one in (value,) if field == "max_tier" else value:
        key = (field, one, asked.query.allow_unknown)
        found = few.sets.get(key)
        if found is None:
            found = few.keep_set(key, as_number(TESTS[field](asked, few, one if field == "max_tier" else (one,))))
        passing &= found
    return passing
