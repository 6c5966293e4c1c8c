"""What windows say of histograms that are written straight into a state, against plain Python."""

from pathlib import Path

import numpy as np
import pytest

from analytics.scoring import moments as sums
from analytics.scoring.entries import BIN_BITS, bins, packed
from analytics.scoring.histograms import FIGURES, LOWEST, ZERO, middles
from analytics.scoring.reading import METRICS
from analytics.scoring.rings import RINGS
from analytics.scoring.state import SLOTS, State
from analytics.scoring.windows import batches

MODELS = 200  # more than are looked at at once

Counts = dict[tuple[int, int, int, int], int]  # model, ring, metric, bucket -> how many


def state_of(directory: Path, counts: Counts) -> State:
    """A state of models over all domains with these histograms."""
    state = State(directory, "rules")
    numbers = np.array([state.keys.models.number((None, f"model-{at}")) for at in range(MODELS)])
    key = state.keys.rollups(np.zeros(MODELS, np.int64), numbers)
    moments = np.zeros((MODELS, SLOTS, sums.WIDTH), np.int64)
    places: dict[int, int] = {}
    for (model, ring, metric, bucket), count in counts.items():
        moments[key[model], ring, sums.COUNTS.index(f"{METRICS[metric]}_n")] += count
        moments[key[model], ring, 0] += count
        places[int((key[model] * SLOTS + ring) << BIN_BITS | bins(metric, np.int64(bucket)))] = count
    state.make_room()
    rows, ordered = moments.reshape(-1, sums.WIDTH), np.array(sorted(places))
    sizes = np.bincount(ordered >> BIN_BITS, minlength=len(rows))
    state.add_lists(rows, packed(ordered, np.array([places[place] for place in ordered.tolist()])), sizes)
    rows[:, sums.CHECK] = sums.checks(rows, np.arange(len(rows)))
    state.write_moments(np.arange(MODELS), moments)
    state.commit(None)
    return state


def figures_of(state: State) -> dict[tuple[int, int], np.ndarray]:
    return {
        (model, window): figures
        for batch in batches(state, 0, None)
        for model, window, figures in zip(batch.model.tolist(), batch.window.tolist(), batch.figures, strict=True)
    }


def at_rank(entries: list[tuple[float, int]], rank: int) -> float:
    for value, count in entries:
        if rank < count:
            return value
        rank -= count
    raise AssertionError("no such rank")


def test_quantiles_of_every_window_are_those_of_its_rings_added_up(tmp_path: Path) -> None:
    """Zeros, and values far from all others on both sides, are among them."""
    chance = np.random.default_rng(5)
    counts: Counts = {}
    for model in range(MODELS):
        rings = chance.choice(RINGS, chance.integers(1, RINGS + 1), replace=False)
        for ring in rings.tolist():
            for _ in range(int(chance.integers(1, 12))):
                metric = int(chance.integers(len(METRICS)))
                bucket = int(chance.choice([ZERO, LOWEST, 3, 950, 1200, *range(230, 260), 600, 691]))
                counts[model, ring, metric, bucket] = int(chance.integers(1, 40))
    found = figures_of(state_of(tmp_path, counts))
    looked_at = 0
    for (model, window), figures in found.items():
        for metric in range(len(METRICS)):
            whole: dict[int, int] = {}
            for (of, ring, its, bucket), count in counts.items():
                if (of, its) == (model, metric) and ring <= window:
                    whole[bucket] = whole.get(bucket, 0) + count
            entries = [(float(middles(np.array([bucket]))[0]), whole[bucket]) for bucket in sorted(whole)]
            n = sum(whole.values())
            assert figures[metric, FIGURES.index("n")] == n
            for percent in (50, 95, 99) if n else ():
                below, part = divmod(percent * (n - 1), 100)
                low, high = at_rank(entries, below), at_rank(entries, min(below + 1, n - 1))
                wanted = low + part / 100 * (high - low)
                assert figures[metric, FIGURES.index(f"p{percent}")] == pytest.approx(wanted, rel=1e-12)
                looked_at += 1
    assert looked_at > MODELS


def test_a_bucket_may_be_met_more_often_than_32_bits_can_count(tmp_path: Path) -> None:
    many = 3_000_000_000
    found = figures_of(state_of(tmp_path, {(7, 0, 0, 400): many, (7, 1, 0, 400): many, (7, 1, 0, 500): 1}))
    assert found[7, 0][0, 0] == many
    figures = found[7, RINGS - 1][0]
    assert figures[0] == 2 * many + 1
    assert figures[FIGURES.index("p50")] == middles(np.array([400]))[0]
    assert figures[FIGURES.index("p99_high")] == middles(np.array([400]))[0]
