"""Log-bucketed histograms of what has quantiles: the bucket of each measure, and what a histogram says.

A bucket b holds the values up to g^b hundredths, g = 1.01 / 0.99, as `sql/scoring/hourly_buckets.sql` says. Nothing that can be
measured is clipped.
"""

import numpy as np
import numpy.typing as npt

from analytics.scoring.entries import BIN_BITS, bins, lengths
from analytics.scoring.reading import METRICS, UNITS, Rows

ZERO, LOWEST = -32768, -32767  # the bucket of a measure of 0, and of the smallest above it

_GROWTH = 1.01 / 0.99
assert len(METRICS) << 16 == 1 << BIN_BITS, "a bin has room for these metrics"

Z = 1.959963984540054
PERCENTS = (50, 95, 99)
_PERCENTS = np.array(PERCENTS)[:, None]
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


def quantiles(starts: Ints, count: Ints, middle: Floats) -> Floats:
    """The FIGURES of histograms, one row each: NaN where n cannot carry one.

    Given are the entries of all of them, none empty, in order of histogram and then of value (`middle`); `starts` are where each begins.
    A quantile lies at rank q * (n - 1), between the middles of the buckets of the ranks beside it. Its interval (95 %) is by order
    statistics: from rank floor(q n - z sqrt(n q (1 - q))) to ceil(q n + z sqrt(n q (1 - q))) + 1, counted from 1.
    """
    made = np.empty((len(starts), len(FIGURES)))
    if not len(starts):
        return made
    upward = np.cumsum(count, dtype=np.int64)
    before = upward[starts] - count[starts]
    made[:, 0] = n = np.append(before[1:], upward[-1]) - before
    below = _PERCENTS * (n - 1) // 100
    part = _PERCENTS * (n - 1) - 100 * below
    expected, reach = _PERCENTS * n / 100, Z * np.sqrt(_PERCENTS * (100 - _PERCENTS) * n / 10_000)
    first = np.floor(expected - reach).astype(np.int64)
    last = np.ceil(expected + reach).astype(np.int64) + 1
    carries = (first >= 1) & (last <= n)
    ranks = np.stack([below, np.where(carries, first - 1, 0), np.where(carries, last - 1, 0)], 1)  # counted from 0
    entry, low, high = np.moveaxis(np.searchsorted(upward, before + ranks, side="right"), 1, 0)
    lower = middle[entry]
    is_last = before + np.minimum(below + (part > 0), n - 1) >= upward[entry]  # the rank above is in the entry above
    made[:, 1:-1:3] = (lower + part / 100 * (middle[entry + is_last] - lower)).T
    made[:, 2:-1:3], made[:, 3:-1:3] = (
        np.where(carries, middle[low], np.nan).T,
        np.where(carries, middle[high], np.nan).T,
    )
    made[:, -1] = _skewness(n, count, middle, starts)
    return made


def _skewness(n: Ints, count: Ints, middle: Floats, starts: Ints) -> Floats:
    sizes = lengths(starts, len(count))
    weight = count.astype(np.float64)
    work = weight * middle
    away = np.repeat(np.add.reduceat(work, starts) / n, sizes)
    np.subtract(middle, away, out=away)
    np.multiply(weight, away, out=work)
    work *= away
    second = np.add.reduceat(work, starts) / n
    work *= away
    third = np.add.reduceat(work, starts) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = third / second**1.5
    return np.where((n < 3) | (second <= 0) | (sizes < 2), np.nan, skewness)
