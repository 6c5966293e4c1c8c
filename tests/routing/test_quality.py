"""A small run of `benchmarks/routing_quality.py`: what `learned` is worth, by the real SQL and the real lookup."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

# By its path: beside it there is a benchmark whose name is that of this folder.
_SPEC = importlib.util.spec_from_file_location(
    "routing_quality", Path(__file__).parents[2] / "benchmarks" / "routing_quality.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
quality = importlib.util.module_from_spec(_SPEC)
sys.modules["routing_quality"] = quality
_SPEC.loader.exec_module(quality)
compare, generated, read_outcomes = quality.compare, quality.generated, quality.read_outcomes


@pytest.mark.parametrize("shape", ["binary", "noisy", "ties", "specialists"])
def test_learned_loses_less_than_raw_means_and_any_single_model(shape: str) -> None:
    runs = [compare(generated(shape, 10, seed), seed) for seed in (100, 101, 102)]
    lost = {name: np.mean([run[name]["regret"] for run in runs]) for name in runs[0]}
    assert min(lost, key=lambda name: lost[name]) == "learned", lost


def test_every_policy_is_swept_from_quality_to_price() -> None:
    found = compare(generated("specialists", 30, 100))
    assert found["single"]["area"] == pytest.approx(0, abs=0.01)
    assert found["learned"]["area"] > found["default"]["area"] > found["single"]["area"]
    assert found["cheapest"]["area"] < 0
    assert 0 < found["learned"]["saving"] < 1


def test_a_shuffled_base_washes_out_as_outcomes_grow() -> None:
    few, many = (compare(generated("binary", per_cell, 1, base="shuffled")) for per_cell in (3, 100))
    none = compare(generated("binary", 100, 1, base="none"))
    assert many["learned"]["regret"] < few["learned"]["regret"] / 2
    assert many["learned"]["regret"] < none["learned"]["regret"] + 0.005
    assert many["default"]["regret"] > 2 * many["learned"]["regret"]


def test_a_table_of_outcomes_is_judged_by_what_was_held_back(tmp_path: Path) -> None:
    lines = ["task,model,score,cost,split"]
    for split in ("train", "test"):
        lines += [f"code,a/one,{score},0.01,{split}" for score in (1, 1, 0, 1, 1)]
        lines += [f"code,b/two,{score},0.001,{split}" for score in (0, 0, 0, 1, 0)]
    path = tmp_path / "outcomes.csv"
    path.write_text("\n".join(lines) + "\n")
    found = compare(read_outcomes(path, seed=1))
    assert (found["learned"]["regret"], found["cheapest"]["regret"]) == (0, pytest.approx(0.6))


def test_a_table_without_its_columns_says_which(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_text("task,model\ncode,a/one\n")
    with pytest.raises(ValueError, match="no column cost, score"):
        read_outcomes(path, seed=1)
