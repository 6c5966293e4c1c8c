"""Log-bucketed histograms of what has quantiles, dense enough to be read at once, exact at any value.

A bucket b holds the values up to g^b hundredths, g = 1.01 / 0.99, as `sql/scoring/hourly_buckets.sql` says. Of a key and a ring the
buckets that measurements usually fall in lie in one row of uint32 cells; what falls outside (a time of zero, an hour's latency) is
kept beside them as entries of a sparse table, so nothing is clipped.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.scoring.reading import METRICS, UNITS, Rows

ZERO, LOWEST = -32768, -32767  # the bucket of a measure of 0, and of the smallest above it

_GROWTH = 1.01 / 0.99
_DENSE = {  # first and last bucket of the dense cells: 1 ms to 20 min, 1 ms to 5 min, 0.5/s to 20,000/s, 0.1 ms to 10 s
    "latency": (230, 930),
    "ttft": (230, 861),
    "tps": (195, 726),
    "inter_token": (115, 691),
}
_SIZES = [_DENSE[metric][1] - _DENSE[metric][0] + 1 for metric in METRICS]
_OFFSETS = np.concatenate([[0], np.cumsum(_SIZES)]).astype(np.int64)
CELLS = int(_OFFSETS[-1])
CELL_METRIC = np.repeat(np.arange(len(METRICS)), _SIZES)
CELL_BUCKET = np.concatenate([np.arange(_DENSE[metric][0], _DENSE[metric][1] + 1) for metric in METRICS])

Z = 1.959963984540054
PERCENTS = (50, 95, 99)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def buckets(values: Floats) -> Ints:
    """The bucket of each measure."""
    with np.errstate(divide="ignore", over="ignore"):
        logs = np.ceil(np.log(values * 100) / np.log(_GROWTH))
    return np.where(values == 0, ZERO, np.maximum(LOWEST, logs)).astype(np.int64)


def middles(of_buckets: Ints) -> Floats:
    """The middle of each bucket: within 1 % of every value in it."""
    exponents = of_buckets.astype(np.float64)
    return np.where(of_buckets == ZERO, 0.0, 2 * np.power(_GROWTH, exponents) / (_GROWTH + 1) / 100)


CELL_MIDDLE = middles(CELL_BUCKET)


def cells(rows: Rows, metric: int) -> tuple[npt.NDArray[np.bool_] | None, Ints, Ints]:
    """Of one metric: which rows have it (None: all), their cells (-1: outside the dense ones), and their buckets."""
    measure = rows.numbers[UNITS[METRICS[metric]]]
    values = measure.values if measure.known is None else measure.values[measure.known]
    found = buckets(values.astype(np.float64, copy=False))
    first, last = _DENSE[METRICS[metric]]
    inside = (found >= first) & (found <= last)
    cell = found + (int(_OFFSETS[metric]) - first)
    return measure.known, cell if inside.all() else np.where(inside, cell, -1), found


@dataclass(frozen=True, slots=True, eq=False)
class Quantiles:
    """One entry per row and metric that has measurements; `low` and `high` are NaN where n cannot carry an interval."""

    row: Ints
    metric: Ints
    n: Ints
    value: dict[int, Floats]
    low: dict[int, Floats]
    high: dict[int, Floats]
    skewness: Floats


def quantiles(counts: npt.NDArray[np.uint32], sparse: tuple[Ints, Ints, Ints, Ints]) -> Quantiles:
    """Quantiles of histograms: `counts` is [rows, CELLS], `sparse` (row, metric, bucket, count) is what lies outside them.

    A quantile lies at rank q * (n - 1), between the middles of the buckets of the ranks beside it. Its interval (95 %) is by order
    statistics: from rank floor(q n - z sqrt(n q (1 - q))) to ceil(q n + z sqrt(n q (1 - q))) + 1, counted from 1.
    """
    flat = np.flatnonzero(counts)
    row, cell = np.divmod(flat, CELLS)
    segment, count, middle = (
        row * len(METRICS) + CELL_METRIC[cell],
        counts.reshape(-1)[flat].astype(np.int64),
        CELL_MIDDLE[cell],
    )
    if len(sparse[0]):
        further = sparse[0] * len(METRICS) + sparse[1]
        segment, count = np.concatenate([segment, further]), np.concatenate([count, sparse[3]])
        middle = np.concatenate([middle, middles(sparse[2])])
        order = np.lexsort((middle, segment))
        segment, count, middle = segment[order], count[order], middle[order]
    if not len(segment):
        none, nothing = np.zeros(0, np.int64), np.zeros(0)
        empty = dict.fromkeys(PERCENTS, nothing)
        return Quantiles(none, none, none, empty, empty, empty, nothing)
    starts = np.flatnonzero(np.diff(segment, prepend=-1))
    upward = np.cumsum(count)
    before = np.where(starts > 0, upward[starts - 1], 0)
    n = np.add.reduceat(count, starts)

    def at(rank: Ints) -> Floats:
        """The middle at a rank, counted from 0, of each segment."""
        return middle[np.searchsorted(upward, before + rank, side="right")]

    value, low, high = dict[int, Floats](), dict[int, Floats](), dict[int, Floats]()
    for percent in PERCENTS:
        below, part = np.divmod(percent * (n - 1), 100)
        lower = at(below)
        value[percent] = lower + part / 100 * (at(np.minimum(below + (part > 0), n - 1)) - lower)
        low[percent], high[percent] = _interval(percent, n, at)
    found = segment[starts]
    return Quantiles(
        found // len(METRICS), found % len(METRICS), n, value, low, high, _skewness(n, count, middle, starts)
    )


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
