"""The columns of `sql/scoring/window_metrics.sql` from arrays of moments and figures; that file says what they must come to, and whence."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.scoring import moments as sums
from analytics.scoring.histograms import FIGURES, Z
from analytics.scoring.reading import METRICS

VERSION = 1  # raised when the columns come to mean something else

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_COUNTED = ("usage_count", "succeeded", "incomplete", "failed", "graded", "correct")
_RATES = tuple(f"{rate}{end}" for rate in ("accuracy", "failure_rate") for end in ("", "_low", "_high"))
_QUANTILES = tuple(f"p{percent}{end}" for percent in (50, 95, 99) for end in ("", "_low", "_high"))
_SHOWN = {  # metric -> its unit, and what is published of it besides n
    "latency": ("_ms", ("mean", "mean_low", "mean_high", "variance", *_QUANTILES)),
    "ttft": ("_ms", ("mean", "mean_low", "mean_high", "variance", *_QUANTILES)),
    "tps": ("", ("mean", "mean_low", "mean_high", "variance", "p50", "p50_low", "p50_high", "p95")),
    "inter_token": ("_ms", ("mean", "variance", "p50", "p95", "p99")),
}
_MEANS = {"cost": ("cost_per_query", 1e9), "tokens": ("tokens_per_query", 1.0), "output": ("avg_output_length", 1.0), "confidence": ("confidence", 1e6)}  # fmt: skip
_T = (np.nan, np.nan, 12.706204736, 4.302652730, 3.182446305)  # Student's quantile of 95 % by n, up to 4
_EXACT = 2.0**104  # whole numbers below it are told apart by a pair of doubles
_LIMB = 2.0**40


def _unit(metric: str, shown: str) -> str:
    unit = _SHOWN[metric][0]
    return f"{unit}2" if unit and shown == "variance" else unit


def _columns() -> Iterator[tuple[str, pa.DataType]]:
    yield from ((name, pa.int64()) for name in _COUNTED)
    yield from ((name, pa.float64()) for name in _RATES)
    for metric, (_, names) in _SHOWN.items():
        yield f"{metric}_n", pa.int64()
        yield from ((f"{metric}_{name}{_unit(metric, name)}", pa.float64()) for name in names)
    for measure, (name, _) in _MEANS.items():
        yield f"{measure}_n", pa.int64()
        yield name, pa.float64()
    yield "last_updated", pa.timestamp("us", tz="Etc/UTC")  # as DuckDB calls it


COLUMNS = pa.schema(list(_columns()))


def measures(moments: Ints, figures: Floats) -> Iterator[Ints]:
    """COLUMNS as 64 bits each (those of doubles: NaN is null) from moments [rows, WIDTH] and FIGURES [rows, METRICS, FIGURES].

    Every row has requests.
    """
    count = {name: moments[:, at] for at, name in enumerate(sums.COUNTS)}
    yield count["requests"]
    yield from (count[name] for name in _COUNTED[1:])
    wrong = count["failed"] + count["incomplete"]
    with np.errstate(divide="ignore", invalid="ignore"):
        for floats in (*_rate(count["correct"], count["graded"]), *_rate(wrong, count["requests"])):
            yield floats.view(np.int64)
        for metric, (_, names) in _SHOWN.items():
            n, of = count[f"{metric}_n"], figures[:, METRICS.index(metric)]
            yield n
            found = _spread(moments, metric, n.astype(np.float64), of[:, FIGURES.index("skewness")])
            found |= {name: of[:, FIGURES.index(name)] for name in _QUANTILES}
            yield from (np.ascontiguousarray(found[name]).view(np.int64) for name in names)
        for measure, (_, unit) in _MEANS.items():
            n = count[f"{measure}_n"]
            yield n
            yield (_whole(moments, f"{measure}_sum") / np.where(n > 0, n, np.nan) / unit).view(np.int64)
    yield moments[:, sums.LAST]


def _limbs(moments: Ints, name: str) -> tuple[Ints, Ints]:
    at = sums.SUMS.index(name)
    return moments[:, sums.HIGH + at], moments[:, sums.LOW + at]


def _whole(moments: Ints, name: str) -> Floats:
    near, _ = _pair(_limbs(moments, name))
    return near


def _rate(hits: Ints, tries: Ints) -> tuple[Floats, Floats, Floats]:
    """A rate and its Wilson interval; all null without a try."""
    n = np.where(tries > 0, tries, np.nan)
    rate = hits / n
    middle = (rate + Z * Z / (2 * n)) / (1 + Z * Z / n)
    reach = Z * np.sqrt(rate * (1 - rate) / n + Z * Z / (4.0 * n * n)) / (1 + Z * Z / n)
    # a rate of 0 or 1 is itself the end of its interval, whatever rounding makes of it
    low = np.where(hits == 0, rate, np.maximum(0.0, middle - reach))
    return rate, low, np.where(hits == tries, rate, np.minimum(1.0, middle + reach))


def _spread(moments: Ints, metric: str, n: Floats, skewness: Floats) -> dict[str, Floats]:
    """Mean and variance, and the mean's interval by Hall's transformation."""
    several = np.where(n > 1, n, np.nan)
    mean = _whole(moments, f"{metric}_sum") / np.where(n > 0, n, np.nan) / 100
    variance = _squared_ticks(moments, metric, n) / (several * (several - 1)) / 10_000
    skewed = skewness * np.sqrt(n * (n - 1)) / (n - 2)
    bend = np.where(np.isnan(skewed), 0.0, skewed) / np.sqrt(several) / 3
    error = np.sqrt(variance / several)
    t = _student(several)
    is_straight = np.abs(bend) < 1e-6
    down = np.where(is_straight, t - bend / 2, (np.cbrt(1 + 3 * bend * (t - bend / 2)) - 1) / bend)
    up = np.where(is_straight, t + bend / 2, (1 - np.cbrt(1 - 3 * bend * (t + bend / 2))) / bend)
    return {
        "mean": mean,
        "variance": variance,
        "mean_low": np.maximum(0.0, mean - error * down),
        "mean_high": mean + error * up,
    }


def _student(n: Floats) -> Floats:
    """Student's quantile for 95 %; null below 2."""
    per = 1.0 / (n - 1)
    found = (
        Z
        + (Z**3 + Z) / 4 * per
        + (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96 * per**2
        + (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384 * per**3
    )
    few = n < len(_T)
    found[few] = np.array(_T)[n[few].astype(np.int64)]
    return found


def _squared_ticks(moments: Ints, metric: str, n: Floats) -> Floats:
    """N * sum of squares - square of the sum, of ticks: exact in a pair of doubles, or, where numbers are too large for that, in Python's own."""
    total, squares = _limbs(moments, f"{metric}_sum"), _limbs(moments, f"{metric}_squares")
    upper, upper_rest = _product(n, *_pair(squares))
    first, _ = _pair(total)  # a double holds it: its square is no more than `upper`
    lower, lower_rest = _product(first, first, np.zeros_like(first))
    found = (upper - lower) + (upper_rest - lower_rest)
    for row in np.flatnonzero((upper >= _EXACT) | (squares[0] >= 1 << 53)).tolist():
        whole = [(int(high[row]) << 40) + int(low[row]) for high, low in (total, squares)]
        found[row] = float(int(n[row]) * whole[1] - whole[0] ** 2)
    return found


def _pair(limbs: tuple[Ints, Ints]) -> tuple[Floats, Floats]:
    """A whole number as a double and what it leaves over."""
    high, low = limbs[0] * _LIMB, limbs[1].astype(np.float64)
    near = high + low
    return near, low - (near - high)


def _product(one: Floats, other: Floats, other_rest: Floats) -> tuple[Floats, Floats]:
    """The product of a double and a pair, as a pair (T. J. Dekker, Numer. Math. 18, 1971, 224-242)."""
    near = one * other
    (a, b), (c, d) = _halves(one), _halves(other)
    return near, ((a * c - near) + a * d + b * c) + b * d + one * other_rest


def _halves(value: Floats) -> tuple[Floats, Floats]:
    """26 bits of a double, and the rest."""
    upper = value * 134_217_729.0
    upper = upper - (upper - value)
    return upper, value - upper
