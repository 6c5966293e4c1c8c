"""Rows become sums: added where they belong, or taken away again.

`Fresh` builds a state from nothing and writes into its files as it goes; `Pending` collects what a refresh changes, and turns it into
new values for the places that it touches, roll-ups included.
"""

from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from analytics.scoring import moments as sums
from analytics.scoring.entries import BIN_BITS, Tally, begins, lengths, packed, summed, unpacked
from analytics.scoring.histograms import measured
from analytics.scoring.keys import Groups, Keys, group
from analytics.scoring.reading import METRICS, Rows
from analytics.scoring.rings import LATER
from analytics.scoring.state import SLOTS, Changes, State, StateDamaged

Ints = npt.NDArray[np.int64]

_AT_ONCE = 2_000_000  # entries that are added up at once: 16 MB


class Sink(Protocol):
    """Where contributions go: moments rows by slot (key * SLOTS + ring), each once, and the place of each single measurement."""

    def add_moments(self, at: Ints, table: Ints, sign: int) -> None: ...
    def add_places(self, places: Ints, sign: int) -> None: ...


def contribute(rows: Rows, rings: Ints, keys: Keys, sink: Sink, sign: int = 1) -> None:
    """Add rows (sign -1: take them away) to the ring that `rings` names of each."""
    if not len(rows):
        return
    groups, at = contribute_moments(rows, rings, keys, sink, sign)
    of_run = np.where(groups.rings == LATER, -1, at << BIN_BITS)
    slot = np.repeat(of_run, lengths(groups.starts, len(rows)))
    if groups.order is not None:
        ordered, slot = slot, np.empty_like(slot)
        slot[groups.order] = ordered
    counts_later = bool((of_run < 0).any())
    for metric in range(len(METRICS)):
        known, of_metric = measured(rows, metric)
        of_rows = slot if known is None else slot[known]
        places = of_rows | of_metric
        sink.add_places(places[of_rows >= 0] if counts_later else places, sign)


def contribute_moments(rows: Rows, rings: Ints, keys: Keys, sink: Sink, sign: int = 1) -> tuple[Groups, Ints]:
    """Add the moments of rows, of which there is one at least; returns their groups, and the moments row of each."""
    groups = group(rows, rings, keys)
    table = sums.moments(rows, groups.starts, groups.order)
    key = keys.numbers(groups.codes)
    at = key * SLOTS + groups.rings
    np.add.at(keys.requests, key, sign * table[:, 0])
    is_later = groups.rings == LATER
    np.add.at(keys.later, key[is_later], sign * table[is_later, 0])
    sink.add_moments(at, table, sign)
    return groups, at


class Fresh:
    """Builds the files of a new era. Moments are held in memory, places are counted by a `Tally`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._moments = np.zeros((0, sums.WIDTH), np.int64)
        self._room = 0
        self._tally = Tally(state.directory / f"tally-{state.era}.draft")

    def _grow(self) -> None:
        if len(self._state.keys) <= self._room:
            return
        self._room = max(self._room * 5 // 4, len(self._state.keys) + 1024)
        # where it lies, if it can: nothing else refers to it
        self._moments.resize((self._room * SLOTS, sums.WIDTH), refcheck=False)

    def add_moments(self, at: Ints, table: Ints, sign: int) -> None:
        assert sign == 1
        self._grow()
        held = self._moments.take(at, axis=0)
        last = np.maximum(held[:, sums.LAST], table[:, sums.LAST])
        held += table
        held[:, sums.LAST] = last
        self._moments[at] = held

    def settled(self) -> Ints:
        """The moments that were added, by key * SLOTS + ring, as they are held."""
        sums.settle(self._moments)
        return self._moments

    def add_places(self, places: Ints, sign: int) -> None:
        assert sign == 1
        self._tally.add(places)

    def finish(self, raw: Ints, rollup_of: Ints) -> None:
        """Add up the roll-ups (`rollup_of` each of the raw keys) and write what is in memory."""
        state = self._state
        self._grow()
        state.make_room()
        self.settled()
        for places, counts in self._tally.counted():
            self._add_lists(places, counts)
        blocks = self._moments.reshape(-1, SLOTS, sums.WIDTH)
        self._add_up(blocks, raw, rollup_of)
        self._moments[:, sums.CHECK] = sums.checks(self._moments)
        state.write_moments(np.arange(len(state.keys)), blocks[: len(state.keys)])
        self._moments = np.zeros((0, sums.WIDTH), np.int64)

    def _add_up(self, blocks: Ints, raw: Ints, rollup_of: Ints) -> None:
        """The roll-ups: moments of all, then histograms of so many that their members have some million entries."""
        order = np.argsort(rollup_of, kind="stable")
        of = rollup_of[order]
        starts = begins(of)
        sizes = lengths(starts, len(of))
        for rollup, first, size in zip(of[starts].tolist(), starts.tolist(), sizes.tolist(), strict=True):
            blocks[rollup] = add_blocks(blocks[raw[order[first : first + size]]])
        part = np.cumsum(blocks[raw[order], :, sums.LENGTH].sum(axis=1))[starts] // _AT_ONCE
        borders = np.append(starts[begins(part)], len(of)).tolist()
        for first, last in pairwise(borders):
            its = order[first:last]
            self._add_lists(*added_lists(self._state, blocks[raw[its]], rollup_of[its]))

    def _add_lists(self, places: Ints, counts: Ints) -> None:
        """Write the histograms of all slots that these places are of."""
        slots = places >> BIN_BITS
        starts = begins(slots)
        rows = self._moments[slots[starts]]
        self._state.add_lists(rows, packed(places, counts), lengths(starts, len(slots)))
        self._moments[slots[starts]] = rows


def added_lists(state: State, blocks: Ints, of: Ints) -> tuple[Ints, Ints]:
    """Places and counts of the histograms of blocks [keys, SLOTS, WIDTH], those of the same ring and `of` (a key of each) added up."""
    rows = blocks.reshape(-1, sums.WIDTH)
    bins, counts = unpacked(state.read_lists(rows))
    slots = (of[:, None] * SLOTS + np.arange(SLOTS)).reshape(-1)
    return summed(np.repeat(slots, rows[:, sums.LENGTH]) << BIN_BITS | bins, counts)


def add_blocks(blocks: Ints) -> Ints:
    """The sum of moments blocks [keys, SLOTS, WIDTH] over the keys, with its checks; it speaks of no histograms."""
    made: Ints = blocks.sum(axis=0)
    made[:, sums.LAST] = blocks[:, :, sums.LAST].max(axis=0, initial=0)
    made[:, sums.LIST] = 0
    sums.settle(made)
    made[:, sums.CHECK] = sums.checks(made)
    return made


class Pending:
    """What a refresh adds and takes away, until it is known what the places that it touches hold."""

    def __init__(self) -> None:
        self._moments: list[tuple[Ints, Ints, int]] = []
        self._places: list[tuple[Ints, int]] = []

    @property
    def is_empty(self) -> bool:
        return not self._moments

    def add_moments(self, at: Ints, table: Ints, sign: int) -> None:
        self._moments.append((at, table, sign))

    def add_places(self, places: Ints, sign: int) -> None:
        self._places.append((places, sign))

    def changes(self, state: State, rollup_of: Ints) -> tuple[Changes, Ints]:
        """The new values of all that is touched (`rollup_of` is by raw key), and the moments rows whose newest row may be gone."""
        made = Changes()
        if not self._moments:
            return made, made.rows
        at = np.concatenate([part for part, _, _ in self._moments])
        table = np.concatenate([part * sign for _, part, sign in self._moments])
        at, table = np.concatenate([at, rollup_of[at // SLOTS] * SLOTS + at % SLOTS]), np.concatenate([table, table])
        order = np.argsort(at, kind="stable")
        made.rows, starts = np.unique(at[order], return_index=True)
        table = table[order]
        keys, which = np.unique(made.rows // SLOTS, return_inverse=True)
        old = state.read_moments(keys)[which, made.rows % SLOTS]
        made.moments = old + np.add.reduceat(table, starts, axis=0)
        added = np.maximum.reduceat(np.maximum(table[:, sums.LAST], 0), starts)
        taken = np.maximum.reduceat(np.maximum(-table[:, sums.LAST], 0), starts)
        last = np.maximum(old[:, sums.LAST], added)
        is_empty = made.moments[:, 0] == 0
        made.moments[:, sums.LAST] = np.where(is_empty, 0, last)
        sums.settle(made.moments)
        self._change_lists(state, made, rollup_of)
        made.moments[:, sums.CHECK] = sums.checks(made.moments)
        return made, made.rows[(taken >= last) & ~is_empty]

    def _change_lists(self, state: State, changes: Changes, rollup_of: Ints) -> None:
        """Write the histograms anew that have other counts now."""
        none = np.zeros(0, np.int64)
        places = np.concatenate([none, *(places for places, _ in self._places)])
        signs = np.concatenate([none, *(np.full_like(places, sign) for places, sign in self._places)])
        slot, bins = np.divmod(places, 1 << BIN_BITS)
        of_rollup = (rollup_of[slot // SLOTS] * SLOTS + slot % SLOTS) << BIN_BITS | bins
        places, counts = summed(np.concatenate([places, of_rollup]), np.concatenate([signs, signs]))
        places, counts = places[counts != 0], counts[counts != 0]
        slots = np.unique(places >> BIN_BITS)
        at = np.searchsorted(changes.rows, slots)
        rows = changes.moments[at]
        bins, before = unpacked(state.read_lists(rows))
        old = np.repeat(slots, rows[:, sums.LENGTH]) << BIN_BITS | bins
        places, counts = summed(np.concatenate([old, places]), np.concatenate([before, counts]))
        if np.any(counts < 0):
            raise StateDamaged("more was taken out of a histogram than it held")
        places, counts = places[counts > 0], counts[counts > 0]
        sizes = np.diff(np.searchsorted(places, np.append(slots, slots[-1:] + 1) << BIN_BITS))
        state.add_lists(rows, packed(places, counts), sizes)
        changes.moments[at] = rows
