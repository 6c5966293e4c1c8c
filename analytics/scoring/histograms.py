"""Log-bucketed histograms of what has quantiles: the bucket of each measure, and what a histogram says.

A bucket b holds the values up to g^b hundredths, g = 1.01 / 0.99, as `sql/scoring/hourly_buckets.sql` says. Nothing is clipped.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from analytics.scoring.entries import bins
from analytics.scoring.reading import METRICS, UNITS, Rows

ZERO, LOWEST = -32768, -32767  # the bucket of a measure of 0, and of the smallest above it

_GROWTH = 1.01 / 0.99
Z = 1.959963984540054
PERCENTS = (50, 95, 99)
FIGURES = ("n", *(f"p{percent}{end}" for percent in PERCENTS for end in ("", "_low", "_high")), "skewness")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def buckets(values: Floats) -> Ints:
    """The bucket of each measure."""
    with np.errstate(divide="ignore", over="ignore"):
        logs = np.ceil(np.log(values * 100) / np.log(_GROWTH))
    return np.where(values == 0, ZERO, np.maximum(LOWEST, logs)).astype(np.int64)


def middles(of_buckets: Ints) -> Floats:
    """The middle of each bucket: within 1 % of every value in it."""
    found: Floats = _MIDDLES[of_buckets - ZERO]
    return found


def _middles() -> Floats:
    exponents = np.arange(ZERO, 32768, dtype=np.float64)
    with np.errstate(over="ignore"):
        made = 2 * np.power(_GROWTH, exponents) / (_GROWTH + 1) / 100
    made[0] = 0.0
    return made


_MIDDLES = _middles()


def measured(rows: Rows, metric: int) -> tuple[npt.NDArray[np.bool_] | None, Ints]:
    """Which rows have that metric (None: all), and the bins that theirs are in."""
    measure = rows.numbers[UNITS[METRICS[metric]]]
    values = measure.values if measure.known is None else measure.values[measure.known]
    return measure.known, bins(metric, buckets(values.astype(np.float64, copy=False)))


def quantiles(segment: Ints, count: Ints, middle: Floats) -> tuple[Ints, Floats]:
    """The histograms that there are, and their FIGURES, one row each: NaN where n cannot carry one.

    Given are the entries of all of them, in order of histogram (`segment`) and then of value (`middle`). A quantile lies at rank
    q * (n - 1), between the middles of the buckets of the ranks beside it. Its interval (95 %) is by order statistics: from rank
    floor(q n - z sqrt(n q (1 - q))) to ceil(q n + z sqrt(n q (1 - q))) + 1, counted from 1.
    """
    starts = np.flatnonzero(np.diff(segment, prepend=-1))
    made = np.empty((len(starts), len(FIGURES)))
    if not len(starts):
        return segment, made
    upward = np.cumsum(count)
    before = np.where(starts > 0, upward[starts - 1], 0)
    made[:, 0] = n = np.add.reduceat(count, starts)

    def at(rank: Ints) -> Floats:
        """The middle at a rank, counted from 0, of each segment."""
        return middle[np.searchsorted(upward, before + rank, side="right")]

    for number, percent in enumerate(PERCENTS):
        below, part = np.divmod(percent * (n - 1), 100)
        lower = at(below)
        made[:, 1 + 3 * number] = lower + part / 100 * (at(np.minimum(below + (part > 0), n - 1)) - lower)
        made[:, 2 + 3 * number], made[:, 3 + 3 * number] = _interval(percent, n, at)
    made[:, -1] = _skewness(n, count, middle, starts)
    return segment[starts], made


def _interval(percent: int, n: Ints, at: Callable[[Ints], Floats]) -> tuple[Floats, Floats]:
    expected, reach = percent * n / 100, Z * np.sqrt(percent * (100 - percent) * n / 10_000)
    first = np.floor(expected - reach).astype(np.int64)
    last = np.ceil(expected + reach).astype(np.int64) + 1
    carries = (first >= 1) & (last <= n)
    low, high = at(np.where(carries, first - 1, 0)), at(np.where(carries, last - 1, 0))
    return np.where(carries, low, np.nan), np.where(carries, high, np.nan)


def _skewness(n: Ints, count: Ints, middle: Floats, starts: Ints) -> Floats:
    lengths = np.diff(starts, append=len(count))
    away = middle - np.repeat(np.add.reduceat(count * middle, starts) / n, lengths)
    square = count * away * away
    second, third = np.add.reduceat(square, starts) / n, np.add.reduceat(square * away, starts) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = third / second**1.5
    return np.where((n < 3) | (second <= 0) | (lengths < 2), np.nan, skewness)
