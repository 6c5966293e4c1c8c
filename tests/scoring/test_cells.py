"""Single cells of histograms: what was put or added is there again, wherever it lies, and nothing beside it changed."""

import resource
from pathlib import Path

import numpy as np
import pytest

from analytics.scoring.histograms import CELLS
from analytics.scoring.keys import Keys
from analytics.scoring.state import State

KEYS = 700  # more than are read at once


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path, "", keys=Keys(codes=np.arange(KEYS)))
    made.make_room()
    return made


def some_cells(seed: int, number: int) -> np.ndarray:
    """Different cells in no order: the first, the last, neighbours over the end of a key, and any."""
    edges = [0, CELLS - 1, CELLS, 300 * CELLS - 1, 300 * CELLS, KEYS * CELLS - 1]
    dice = np.random.default_rng(seed)
    drawn = np.setdiff1d(dice.choice(KEYS * CELLS, number, replace=False), edges)
    return dice.permutation(np.concatenate([edges, drawn]))


def test_cells_that_are_put_in_any_order_stand_where_they_belong(state: State) -> None:
    at = some_cells(1, 5_000)
    values = np.arange(1, len(at) + 1, dtype=np.uint32)
    state.put_cells(2, at, values)
    whole = np.zeros(KEYS * CELLS, np.uint32)
    whole[at] = values
    assert np.array_equal(state.read_cells(2, np.arange(KEYS)).reshape(-1), whole)
    order = np.argsort(at)
    assert np.array_equal(state.cells_at(2, at[order]), values[order])
    assert not state.read_cells(1, np.arange(KEYS)).any(), "the other rings"


def test_counts_add_up_in_cells(state: State) -> None:
    whole = np.zeros(KEYS * CELLS, np.uint32)
    for seed in range(3):
        at = np.sort(some_cells(seed, 2_000)).astype(np.uint32)  # as a rebuild collects them
        state.add_cells(0, at, np.full(len(at), seed + 1))
        whole[at] += np.uint32(seed + 1)
    assert np.array_equal(state.read_cells(0, np.arange(KEYS)).reshape(-1), whole)


def test_nothing_put_or_added_changes_nothing(state: State) -> None:
    none = np.zeros(0, np.int64)
    state.put_cells(0, none, none.astype(np.uint32))
    state.add_cells(0, none, none)
    assert not len(state.cells_at(0, none))
    assert not state.read_cells(0, np.arange(KEYS)).any()


def test_a_histogram_that_is_written_in_part_is_an_error(state: State) -> None:
    """A file may grow to the middle of a histogram and no further: the system takes the first part, and says so in no error."""
    path = state.histogram_path(0)
    with path.open("r+b") as file:
        file.truncate(0)
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (CELLS * 4 * 3 // 2, most))
        with pytest.raises(OSError, match="File too large"):
            state.put_cells(0, np.array([5, CELLS + 5]), np.array([1, 2], np.uint32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert path.stat().st_size == CELLS * 4 * 3 // 2, "a part was written"
