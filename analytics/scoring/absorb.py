"""Rows become sums: added where they belong, or taken away again.

`Fresh` builds a state from nothing and writes into its files as it goes; `Pending` collects what a refresh changes, and turns it into
new values for the places that it touches, roll-ups included.
"""

from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from analytics.scoring import moments as sums
from analytics.scoring.entries import BIN_BITS, LOT, Tally, begins, lengths, packed, summed, unpacked
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
        self.settled()
        for places, counts in self._tally.counted():
            self._add_lists(places, counts)
        blocks = self._moments.reshape(-1, SLOTS, sums.WIDTH)
        self._add_up(blocks, raw, rollup_of)
        self._moments[:, sums.CHECK] = sums.checks(self._moments, np.arange(len(self._moments)))
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
    """The sum of moments blocks [keys, SLOTS, WIDTH] over the keys, without checks; it speaks of no histograms."""
    made: Ints = blocks.sum(axis=0)
    made[:, sums.LAST] = blocks[:, :, sums.LAST].max(axis=0, initial=0)
    made[:, sums.AT :] = 0
    sums.settle(made)
    return made


class Pending:
    """What a refresh adds and takes away, until it is known what the places that it touches hold."""

    def __init__(self) -> None:
        self._moments: list[tuple[Ints, Ints, int]] = []
        self._places: dict[int, list[Ints]] = {1: [], -1: []}
        self._waiting = 0
        self._tally = (np.zeros(0, np.int64), np.zeros(0, np.int64))

    @property
    def is_empty(self) -> bool:
        return not self._moments

    def add_moments(self, at: Ints, table: Ints, sign: int) -> None:
        self._moments.append((at, table, sign))

    def add_places(self, places: Ints, sign: int) -> None:
        self._places[sign].append(places)
        self._waiting += len(places)
        if self._waiting > LOT:
            self._count()

    def _count(self) -> None:
        """Put counts in place of the places that wait."""
        for sign, parts in self._places.items():
            if parts:
                whole = np.concatenate(parts)
                parts.clear()
                places, counts = summed(whole, np.ones_like(whole))
                before, old = self._tally
                self._tally = summed(np.concatenate([before, places]), np.concatenate([old, sign * counts]))
        self._waiting = 0

    def counted(self) -> tuple[Ints, Ints]:
        """The places that are met more or less often than before, in order, and by how much."""
        self._count()
        places, counts = self._tally
        return places[counts != 0], counts[counts != 0]

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
        made.moments[:, sums.CHECK] = sums.checks(made.moments, made.rows)
        return made, made.rows[(taken >= last) & ~is_empty]

    def _change_lists(self, state: State, changes: Changes, rollup_of: Ints) -> None:
        """Write the histograms anew that have other counts now."""
        places, counts = self.counted()
        slot, bins = np.divmod(places, 1 << BIN_BITS)
        of_rollup = (rollup_of[slot // SLOTS] * SLOTS + slot % SLOTS) << BIN_BITS | bins
        places, counts = summed(np.concatenate([places, of_rollup]), np.concatenate([counts, counts]))
        places, counts = places[counts != 0], counts[counts != 0]
        of_place = places >> BIN_BITS
        starts = begins(of_place)
        at = np.searchsorted(changes.rows, of_place[starts])
        part = np.cumsum(changes.moments[at, sums.LENGTH] + lengths(starts, len(places))) // _AT_ONCE
        borders = [*begins(part).tolist(), len(at)]
        ends = np.append(starts, len(places))
        for first, last in pairwise(borders):
            its = slice(ends[first], ends[last])
            rows = changes.moments[at[first:last]]
            _add_to_lists(state, rows, changes.rows[at[first:last]], places[its], counts[its])
            changes.moments[at[first:last]] = rows


def _add_to_lists(state: State, rows: Ints, slots: Ints, places: Ints, counts: Ints) -> None:
    """Write the histograms of slots anew (`rows` are their moments), with these counts added to those of the places."""
    bins, before = unpacked(state.read_lists(rows))
    old = np.repeat(slots, rows[:, sums.LENGTH]) << BIN_BITS | bins
    places, counts = summed(np.concatenate([old, places]), np.concatenate([before, counts]))
    if np.any(counts < 0):
        raise StateDamaged("more was taken out of a histogram than it held")
    places, counts = places[counts > 0], counts[counts > 0]
    sizes = np.diff(np.searchsorted(places, np.append(slots, slots[-1] + 1) << BIN_BITS))
    state.add_lists(rows, packed(places, counts), sizes)
