"""An interval of 95 % holds the truth in 95 of 100 cases, or there is none (benchmarks/intervals.py, with fewer models)."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "intervals.py"


@pytest.fixture(scope="module")
def intervals() -> ModuleType:
    spec = importlib.util.spec_from_file_location("intervals", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["intervals"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("n", "models"), [(5, 1200), (30, 1200), (100, 600), (1000, 160)])
def test_intervals_of_rates_and_means_hold_the_truth(intervals: ModuleType, n: int, models: int) -> None:
    found = intervals.coverage(n, models, seed=7)
    slack = 0.01 if models < 500 else 0.0  # so few models tell no better
    for name in ("accuracy", "failure_rate", *(["mean"] if n >= 30 else [])):
        held, there = found[name]
        assert 0.93 - slack <= held <= 0.97 + slack, name
        assert there == 1


@pytest.mark.soak
@pytest.mark.parametrize("n", [5, 10, 20, 30, 50, 100, 300, 1000])
def test_intervals_hold_the_truth_of_2000_models(intervals: ModuleType, n: int) -> None:
    found = intervals.coverage(n, 2000, seed=11)
    for name in ("accuracy", "failure_rate", *(["mean"] if n >= 30 else [])):
        assert 0.93 <= found[name][0] <= 0.97, name


def test_a_percentile_has_no_interval_where_the_sample_carries_none(intervals: ModuleType) -> None:
    """The 95th percentile needs a rank above it: from 5 rows none is 95 % sure."""
    few, some = intervals.coverage(5, 90, seed=7), intervals.coverage(200, 90, seed=7)
    assert [few[name][1] for name in ("p50", "p95", "p99")] == [0, 0, 0]
    assert [some[name][1] for name in ("p50", "p95", "p99")] == [1, 1, 0]
    assert min(some["p50"][0], some["p95"][0]) > 0.9
