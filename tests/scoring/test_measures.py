"""The columns of window_metrics from arrays: exact where numbers are large, the same as SQL's, null where nobody measured."""

import random
from pathlib import Path

import numpy as np
import pytest

from analytics.scoring import moments as sums
from analytics.scoring.histograms import FIGURES
from analytics.scoring.measures import COLUMNS, measures
from analytics.scoring.reading import METRICS
from analytics.scoring.state import State
from analytics.scoring.tables import compute
from analytics.scoring.windows import windows


def _row(ticks: list[int], *, graded: int = 0, correct: int = 0) -> np.ndarray:
    made = np.zeros(sums.WIDTH, np.int64)
    n = len(ticks)
    for name, value in (("requests", max(n, 1)), ("latency_n", n), ("graded", graded), ("correct", correct)):
        made[sums.COUNTS.index(name)] = value
    for name, value in (("latency_sum", sum(ticks)), ("latency_squares", sum(tick * tick for tick in ticks))):
        made[sums.HIGH + sums.SUMS.index(name)] = value >> 40
        made[sums.LOW + sums.SUMS.index(name)] = value & ((1 << 40) - 1)
    return made


def _columns(rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    figures = np.full((len(rows), len(METRICS), len(FIGURES)), np.nan)
    found = [column.copy() for column in measures(np.stack(rows), figures)]
    assert len(found) == len(COLUMNS)
    return {
        field.name: column.view(np.float64) if field.type == "double" else column
        for field, column in zip(COLUMNS, found, strict=True)
    }


def test_variance_is_exact_however_large_the_numbers_and_however_small_their_spread() -> None:
    chance = random.Random(5)
    samples = []
    for _ in range(400):
        middle = 10 ** chance.uniform(0, 13.5)
        spread = middle * 10 ** chance.uniform(-15, 0)
        n = chance.choice([2, 3, 5, 40, 1000])
        samples.append([max(0, round(chance.gauss(middle, spread))) for _ in range(n)])
    found = _columns([_row(ticks) for ticks in samples])
    for at, ticks in enumerate(samples):
        n, total = len(ticks), sum(ticks)
        exact = (n * sum(tick * tick for tick in ticks) - total**2) / (n * (n - 1)) / 10_000
        assert found["latency_variance_ms2"][at] == pytest.approx(exact, rel=1e-14, abs=0.0)
        assert found["latency_mean_ms"][at] == pytest.approx(total / n / 100, rel=1e-14)


@pytest.mark.parametrize("tick", [0, 1, 123_457, 10**10 + 1, 10**13 + 7])
def test_equal_measures_have_no_variance_and_their_mean_is_its_own_interval(tick: int) -> None:
    found = _columns([_row([tick] * 999)])
    assert found["latency_variance_ms2"][0] == 0
    assert found["latency_mean_low_ms"][0] == found["latency_mean_ms"][0] == found["latency_mean_high_ms"][0]


def test_what_nobody_measured_is_null_and_one_measure_has_no_spread() -> None:
    found = _columns([_row([]), _row([500])])
    for name in ("latency_mean_ms", "latency_variance_ms2", "latency_mean_low_ms", "accuracy", "cost_per_query"):
        assert np.isnan(found[name][0]), name
    assert found["latency_mean_ms"][1] == 5
    for name in ("latency_variance_ms2", "latency_mean_low_ms", "latency_mean_high_ms"):
        assert np.isnan(found[name][1]), name


def test_a_rate_of_nothing_or_of_all_ends_its_interval() -> None:
    tries = range(1, 2000)
    found = _columns([_row([], graded=n, correct=hits) for n in tries for hits in (0, n)])
    assert (found["accuracy_low"][0::2] == 0).all()
    assert (found["accuracy_high"][1::2] == 1).all()
    assert (found["accuracy_low"] <= found["accuracy"]).all()
    assert (found["accuracy"] <= found["accuracy_high"]).all()


def test_columns_are_those_of_sql_in_its_order_and_of_its_types(tmp_path: Path) -> None:
    """SQL says what the arrays come to; `test_rings.py` compares the values."""
    state = State(tmp_path, "")
    state.make_room()
    empty = windows(state, 0, None)
    expected = compute(["window_metrics"], empty, {})["window_metrics"]
    assert list(expected.schema)[3:] == list(COLUMNS)
