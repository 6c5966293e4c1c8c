"""How often the 95 % intervals of the scores hold the truth: made-up models whose true figures are known, scored by the SQL itself.

    python benchmarks/intervals.py [--models 2000] [--sizes 5 10 20 30 50 100 300 1000] [--seed 7]

Each model has n requests; its latencies come from one of `FAMILIES`, its right answers and its failures from coins of
every bias. Printed is, by n, the share of models whose interval holds the true rate, mean or percentile, and the share of those that
have an interval at all. `rare` is apart: 5 % of its answers take ten times as long, and 30 rows often hold none of them, so that
no method could know. It is printed, and not in the average.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.lake import schema
from analytics.scoring.tables import compute

AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_TRUTH_ROWS = 200_000  # of which true percentiles are read

Draw = tuple[
    float, float, float, float
]  # sigma of a log-normal, share of slow answers, how much slower, 0 or 1: exponential
FAMILIES: Mapping[str, Draw] = {
    "log-normal 0.1": (0.1, 0, 1, 0),
    "log-normal 0.25": (0.25, 0, 1, 0),
    "log-normal 0.5": (0.5, 0, 1, 0),
    "log-normal 0.75": (0.75, 0, 1, 0),
    "log-normal 1": (1.0, 0, 1, 0),
    "10 % are 5 times slower": (0.3, 0.1, 5, 0),
    "30 % are 3 times slower": (0.5, 0.3, 3, 0),
    "exponential": (0, 0, 1, 1),
}
RARE: Mapping[str, Draw] = {"rare": (0.3, 0.05, 10, 0)}


def draw(family: Draw, shape: tuple[int, ...], dice: np.random.Generator) -> np.ndarray:
    """Latencies in ms around 400."""
    sigma, share, slower, is_exponential = family
    if is_exponential:
        return dice.exponential(400.0, shape)
    return dice.lognormal(6.0, sigma, shape) * np.where(dice.random(shape) < share, slower, 1.0)


def true_mean(family: Draw) -> float:
    sigma, share, slower, is_exponential = family
    return 400.0 if is_exponential else float(np.exp(6 + sigma**2 / 2) * (1 + share * (slower - 1)))


def scored(
    latencies: np.ndarray, right: np.ndarray, failed: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Metrics of models by the scoring SQL over raw rows: those that were timed and graded, and those that failed or not.

    Each array is models by requests; so the columns come back, a figure a model in the same order.
    """
    models, n = latencies.shape
    size = models * n
    names = np.repeat([f"m{number:06}" for number in range(models)], n)
    timed = {
        "model": names, "total_latency_ms": latencies.ravel(), "outcome": ["ok"] * size, "benchmark_id": ["q"] * size,
        "correct": right.ravel(),
    }  # fmt: skip
    coins = {"model": np.char.add("x", names), "outcome": np.where(failed.ravel(), "failed", "ok")}
    rows = pa.concat_tables([_rows(timed, size), _rows(coins, size)])
    inputs = {
        name: schema(name).empty_table() for name in ("request_events", "feedback_events", "tombstones", "repricings")
    }
    inputs |= {name: schema(name).empty_table() for name in ("catalog", "task_domains")}
    window = {
        "window_name": ["all"],
        "first_hour": [datetime(2026, 1, 1, tzinfo=UTC)],
        "last_hour": [AS_OF.replace(minute=0)],
    }
    tables = compute(
        ["window_metrics"],
        inputs | {"benchmark_results": rows, "windows": pa.table(window)},
        {"is_simulated": False, "as_of": AS_OF},
    )
    metrics = tables["window_metrics"]
    metrics = metrics.filter(pc.is_null(metrics["domain"])).sort_by("model")
    columns = {
        name: metrics[name].to_numpy() for name in metrics.column_names if pa.types.is_floating(metrics[name].type)
    }
    parts = [
        {name: values[part] for name, values in columns.items()} for part in (slice(0, models), slice(models, None))
    ]
    return parts[0], parts[1]


def _rows(columns: Mapping[str, Sequence[object] | np.ndarray], size: int) -> pa.Table:
    shape = schema("benchmark_results")
    given = {
        **columns,
        "id": [str(number) for number in range(size)],
        "is_simulated": [False] * size,
        "created_at": [AS_OF] * size,
    }
    return pa.Table.from_arrays(
        [
            pa.array(given[field.name], field.type) if field.name in given else pa.nulls(size, field.type)
            for field in shape
        ],
        schema=shape,
    )


def coverage(n: int, models: int, seed: int) -> dict[str, tuple[float, float]]:
    """By figure: the share of intervals that hold the truth (NaN: there are none), and the share of models that have one."""
    dice = np.random.default_rng([seed, n])
    families = {**FAMILIES, **RARE}
    each = models // len(FAMILIES)
    latencies = np.concatenate([draw(family, (each, n), dice) for family in families.values()])
    bias, risk = dice.random((len(latencies), 1)), dice.random((len(latencies), 1))
    timed, coins = scored(latencies, dice.random(latencies.shape) < bias, dice.random(latencies.shape) < risk)
    means = np.repeat([true_mean(family) for family in families.values()], each)
    usual = slice(0, each * len(FAMILIES))
    found = {
        "accuracy": _held(timed["accuracy_low"], timed["accuracy_high"], bias[:, 0]),
        "failure_rate": _held(coins["failure_rate_low"], coins["failure_rate_high"], risk[:, 0]),
        "mean": _held(timed["latency_mean_low_ms"][usual], timed["latency_mean_high_ms"][usual], means[usual]),
    }
    truths = {name: draw(family, (_TRUTH_ROWS,), np.random.default_rng(1)) for name, family in families.items()}
    for name, share in SHARES.items():
        exact = np.repeat([np.quantile(truths[family], share) for family in families], each)
        found[name] = _held(timed[f"latency_{name}_low_ms"], timed[f"latency_{name}_high_ms"], exact)
    for number, family in enumerate(families):
        part = slice(number * each, (number + 1) * each)
        found[f"mean, {family}"] = _held(
            timed["latency_mean_low_ms"][part], timed["latency_mean_high_ms"][part], means[part]
        )
    return found


def _held(low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    there = ~np.isnan(low)
    holds = (low <= truth) & (truth <= high)
    return (float(holds[there].mean()) if there.any() else float("nan")), float(there.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 10, 20, 30, 50, 100, 300, 1000])
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    by_size = {n: coverage(n, asked.models, asked.seed) for n in asked.sizes}
    print(
        f"share of {asked.models} models whose 95 % interval holds the truth, by n (in brackets: share that has one, if not all)"
    )
    print(f"{'':32}" + "".join(f"{n:>15}" for n in by_size))
    for name in by_size[asked.sizes[0]]:
        cells = (by_size[n][name] for n in by_size)
        print(f"{name:32}" + "".join(f"{_cell(held, there):>15}" for held, there in cells))


def _cell(held: float, there: float) -> str:
    if there == 0:
        return "none"
    return f"{held:.1%}" if there == 1 else f"{held:.1%} ({there:.0%})"


if __name__ == "__main__":
    main()
