"""Histograms as lists of entries: counted in any amount, found again whatever was written after, and damage shows."""

import resource
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from analytics.scoring import moments as sums
from analytics.scoring.absorb import Pending
from analytics.scoring.entries import BIN_BITS, Tally, bins, metric_and_bucket, packed, prints, summed, unpacked
from analytics.scoring.keys import Keys
from analytics.scoring.state import SLOTS, State, StateDamaged, slots_of

KEYS = 40
ROOT = Path(__file__).parents[2]
KILLED = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from analytics.scoring.state import State

    def watch(event, args):
        if event == sys.argv[3] and any(sys.argv[2] in str(arg) for arg in args):
            os.kill(os.getpid(), signal.SIGKILL)

    state = State.open(Path(sys.argv[1]), "")
    sys.addaudithook(watch)
    state.tighten()
""")


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path, "", keys=Keys(codes=np.arange(KEYS)))
    made.make_room()
    return made


def some_lists(seed: int, number: int, most: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Entries of so many lists of fewer than `most`, one behind the other, some of them empty, and their lengths."""
    dice = np.random.default_rng(seed)
    lengths = dice.integers(0, most, number)
    return packed(dice.integers(0, 1 << BIN_BITS, lengths.sum()), dice.integers(1, 1000, lengths.sum())), lengths


def test_a_bin_tells_its_metric_and_bucket() -> None:
    bucket = np.array([-32768, -32767, -1, 0, 930, 32767])
    for metric in range(4):
        found = bins(metric, bucket)
        assert found.min() >= 0
        assert found.max() < 1 << BIN_BITS
        assert np.array_equal(metric_and_bucket(found)[0], np.full(6, metric))
        assert np.array_equal(metric_and_bucket(found)[1], bucket)


def test_an_entry_holds_a_bin_and_a_trillion() -> None:
    of_bins, counts = np.array([0, (1 << BIN_BITS) - 1]), np.array([(1 << 40) - 1, 1])
    assert [list(part) for part in unpacked(packed(of_bins, counts))] == [list(of_bins), list(counts)]


@pytest.mark.parametrize("number", [0, 1, 4_999, 5_000, 5_001, 23_456])
def test_places_of_any_number_are_counted(tmp_path: Path, number: int) -> None:
    """In lots of 5,000, over stretches of which some have nothing."""
    dice = np.random.default_rng(number)
    slots = dice.choice([0, 1, 4_095, 4_096, 30_000], number)
    places = (slots << BIN_BITS) | dice.integers(0, 500, number)
    tally = Tally(tmp_path / "draft", 5_000)
    for part in np.array_split(places, 7):
        tally.add(part)
    counted = [(place, count) for found in tally.counted() for place, count in zip(*map(list, found), strict=True)]
    assert counted == sorted(Counter(places.tolist()).items())
    assert not (tmp_path / "draft").exists()


def test_a_tally_of_few_slots_is_added_up_in_parts(tmp_path: Path) -> None:
    """Slots that lie in one stretch, of which so much was put aside that it is not read at once."""
    dice = np.random.default_rng(8)
    tally, wanted = Tally(tmp_path / "draft", 1_000_000), np.zeros(300 << 18, np.int32)
    for _ in range(6):
        places = dice.choice(300, 1_000_000) << BIN_BITS | dice.integers(0, 1 << BIN_BITS, 1_000_000)
        tally.add(places)
        np.add.at(wanted, places, np.int32(1))
    found = list(tally.counted())
    assert len(found) > 1
    places, counts = (np.concatenate(part) for part in zip(*found, strict=True))
    assert np.array_equal(places, np.flatnonzero(wanted))
    assert np.array_equal(counts, wanted[places])


def test_a_draft_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    """Also where only the last bytes of a lot do not."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    tally = Tally(tmp_path / "draft", 10_000)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (79_700, most))
        with pytest.raises(OSError, match="File too large"):
            tally.add(np.arange(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_a_draft_that_lost_something_is_an_error(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "draft", 1_000)
    tally.add(np.arange(1_500))
    (tmp_path / "draft").write_bytes((tmp_path / "draft").read_bytes()[:-8])
    with pytest.raises(OSError, match="shorter than what was written"):
        list(tally.counted())


def test_places_that_were_added_and_taken_away_in_any_number_are_counted() -> None:
    """More than wait at once, so that they are counted on the way."""
    pending, dice = Pending(), np.random.default_rng(9)
    wanted = np.zeros(50_000, np.int64)
    for sign in (1, -1, 1, 1, -1) * 2:
        places = dice.integers(0, 50_000, 1_500_000)
        pending.add_places(places, sign)
        np.add.at(wanted, places, sign)
    places, counts = pending.counted()
    assert np.array_equal(places, np.flatnonzero(wanted))
    assert np.array_equal(counts, wanted[places])


@pytest.mark.parametrize("counts", [[1, 2, 3, 4], [1, -2, 3, -4], [1 << 40, 1, 1, 1 << 39]])
@pytest.mark.parametrize("places", [[5, 3, 5, 4], [1 << 60, 0, 1 << 60, 7]])
def test_counts_of_the_same_place_are_added_up(places: list[int], counts: list[int]) -> None:
    wanted: Counter[int] = Counter()
    for place, count in zip(places, counts, strict=True):
        wanted[place] += count
    found = summed(np.array(places), np.array(counts))
    assert list(zip(*map(list, found), strict=True)) == sorted(wanted.items())


def test_lists_are_read_back_in_any_order(state: State) -> None:
    found, lengths = some_lists(1, KEYS)
    rows = np.zeros((KEYS, sums.WIDTH), np.int64)
    state.add_lists(rows, found, lengths)
    assert np.array_equal(state.read_lists(rows), found)
    order = np.random.default_rng(2).permutation(KEYS)
    single = np.split(found, np.cumsum(lengths))[:-1]
    wanted = np.concatenate([single[at] for at in order])
    assert np.array_equal(state.read_lists(rows[order]), wanted)
    assert (state.entries, state.live) == (len(found), len(found))


def test_what_is_written_anew_leaves_the_old_list_where_it_was(state: State) -> None:
    """A kill before the commit leaves the state as it was."""
    found, lengths = some_lists(3, KEYS)
    rows = np.zeros((KEYS, sums.WIDTH), np.int64)
    state.add_lists(rows, found, lengths)
    before = rows.copy()
    other, other_lengths = some_lists(4, KEYS)
    state.add_lists(rows, other, other_lengths)
    assert np.array_equal(state.read_lists(rows), other)
    assert np.array_equal(state.read_lists(before), found)
    assert (state.entries, state.live) == (len(found) + len(other), len(other))


def test_any_bit_of_an_entry_is_noticed(state: State) -> None:
    found, lengths = some_lists(5, 3, 6)
    rows = np.zeros((3, sums.WIDTH), np.int64)
    state.add_lists(rows, found, lengths)
    whole = state.lists_path.read_bytes()
    for bit in range(len(found) * 64):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        state.lists_path.write_bytes(damaged)
        with pytest.raises(StateDamaged, match="does not match its check"):
            state.read_lists(rows)
    state.lists_path.write_bytes(whole[:-8])
    with pytest.raises(StateDamaged, match="ends before"):
        state.read_lists(rows)


def test_any_byte_of_what_is_in_force_is_noticed(state: State) -> None:
    state.commit(None)
    path = state.directory / "STATE"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 7]) + whole[at + 1 :])
        with pytest.raises(StateDamaged):
            State.open(state.directory, "")
    path.write_bytes(whole)
    assert State.open(state.directory, "").generation == 1


def test_lists_of_the_same_entries_have_the_same_print() -> None:
    one = packed(np.array([3, 9]), np.array([1, 2]))
    both = prints(np.concatenate([one, one]), np.array([2, 0, 2]))
    assert both[0] == both[2] != 0
    assert both[1] == 0


def loose(state: State) -> tuple[np.ndarray, np.ndarray]:
    """Let the state be committed with most of its entries left behind; its moments by key, and the entries that they speak of."""
    blocks = np.zeros((KEYS, SLOTS, sums.WIDTH), np.int64)
    rows = blocks.reshape(-1, sums.WIDTH)
    blocks[..., 0] = np.arange(KEYS)[:, None]
    for seed in range(3):
        found, lengths = some_lists(seed, len(rows), 9_000)
        state.add_lists(rows, found, lengths)
    blocks[..., sums.CHECK] = sums.checks(blocks, slots_of(np.arange(KEYS)))
    state.write_moments(np.arange(KEYS), blocks)
    state.commit(None)
    return blocks, found


def same(directory: Path, blocks: np.ndarray, found: np.ndarray) -> State:
    """The state in force, which must say what it said before."""
    state = State.open(directory, "")
    kept = state.read_moments(np.arange(KEYS))
    assert np.array_equal(kept[..., : sums.AT], blocks[..., : sums.AT])
    assert np.array_equal(state.read_lists(kept.reshape(-1, sums.WIDTH)), found)
    return state


def test_files_that_are_mostly_left_behind_are_written_anew(state: State) -> None:
    blocks, found = loose(state)
    assert state.entries > 3_000_000
    state.tighten()
    again = same(state.directory, blocks, found)
    assert (again.base, again.generation, again.entries, again.live) == (2, 2, len(found), len(found))
    assert sorted(path.name.partition("-")[0] for path in state.directory.iterdir()) == [
        "STATE", "histograms", "keys", "ledger", "moments",
    ]  # fmt: skip
    again.tighten()
    assert again.base == 2, "nothing is left behind now"


@pytest.mark.parametrize(("name", "event"), [("histograms-2", "open"), ("moments-2", "open"), ("/STATE", "os.rename")])
def test_a_kill_while_files_are_written_anew_leaves_the_old_ones(state: State, name: str, event: str) -> None:
    blocks, found = loose(state)
    done = subprocess.run([sys.executable, "-c", KILLED, str(state.directory), name, event], check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    again = same(state.directory, blocks, found)
    assert (again.base, again.generation) == (0, 1)
    again.tighten()
    assert same(state.directory, blocks, found).base == 2


def test_a_histogram_that_is_written_in_part_is_an_error(state: State) -> None:
    """A file may grow to the middle of a list and no further: the system takes the first part, and says so in no error."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    rows = np.zeros((1, sums.WIDTH), np.int64)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12, most))
        with pytest.raises(OSError, match="File too large"):
            state.add_lists(rows, packed(np.array([1, 2]), np.array([1, 1])), np.array([2]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert state.lists_path.stat().st_size == 12, "a part was written"
