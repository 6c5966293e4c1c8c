"""Rows become sums: added where they belong, or taken away again.

`Fresh` builds a state from nothing and writes into its files as it goes; `Pending` collects what a refresh changes, and turns it into
new values for the places that it touches, roll-ups included.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from analytics.scoring import moments as sums
from analytics.scoring.histograms import CELLS, cells
from analytics.scoring.keys import Groups, Keys, group
from analytics.scoring.reading import METRICS, Rows
from analytics.scoring.rings import LATER, RINGS
from analytics.scoring.state import SLOTS, Changes, State, sparse_code, sparse_parts

Ints = npt.NDArray[np.int64]

_COUNT_AT = 12_000_000  # cells that are collected before they are counted: 48 MB
_ROLLUPS = 2_048  # whose histograms are added up at once: 22 MB
_READ = 256  # keys whose histograms are read at once: 3 MB


class Sink(Protocol):
    """Where contributions go. Moments rows are by key * SLOTS + ring, each once; cells by key * CELLS + cell, one for each row."""

    def add_moments(self, at: Ints, table: Ints, sign: int) -> None: ...
    def add_cells(self, ring: int, at: Ints, sign: int) -> None: ...
    def add_sparse(self, codes: Ints, sign: int) -> None: ...


def contribute(rows: Rows, rings: Ints, keys: Keys, sink: Sink, sign: int = 1) -> None:
    """Add rows (sign -1: take them away) to the ring that `rings` names of each."""
    if not len(rows):
        return
    groups, at = contribute_moments(rows, rings, keys, sink, sign)
    of_row = np.repeat(at // SLOTS, np.diff(groups.starts, append=len(rows)))
    key = of_row
    if groups.order is not None:
        key = np.empty_like(of_row)
        key[groups.order] = of_row
    present = [ring for ring in range(RINGS) if (groups.rings == ring).any()]
    is_alone = len(present) == 1 and not (groups.rings == LATER).any()
    for metric in range(len(METRICS)):
        known, cell, bucket = cells(rows, metric)
        key_of, ring_of = (key, rings) if known is None else (key[known], rings[known])
        if not len(cell):
            continue
        for ring in present:
            mine = cell >= 0 if is_alone else (ring_of == ring) & (cell >= 0)
            if is_alone and mine.all():
                sink.add_cells(ring, key_of * CELLS + cell, sign)
            elif mine.any():
                sink.add_cells(ring, key_of[mine] * CELLS + cell[mine], sign)
        outside = np.flatnonzero((cell < 0) & (ring_of != LATER))
        if len(outside):
            metrics = np.full(len(outside), metric)
            sink.add_sparse(sparse_code(key_of[outside], ring_of[outside], metrics, bucket[outside]), sign)


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


def tallied(codes: Sequence[tuple[Ints, int]]) -> tuple[Ints, Ints]:
    """How often each number stands there, those of sign -1 taken away; the numbers in order."""
    if not codes:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    whole = np.concatenate([part for part, _ in codes])
    if all(sign == 1 for _, sign in codes):
        return np.unique(whole, return_counts=True)
    signs = np.concatenate([np.full(len(part), sign) for part, sign in codes])
    order = np.argsort(whole, kind="stable")
    ordered = whole[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    return ordered[starts], np.add.reduceat(signs[order], starts) if len(starts) else starts


class Fresh:
    """Builds the files of a new era. Moments are held in memory, histograms are counted in the files themselves."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._moments = np.zeros((0, sums.WIDTH), np.int64)
        self._cells: dict[int, list[Ints]] = {}
        self._waiting = 0
        self._sparse: list[tuple[Ints, int]] = []
        self._room = 0

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

    def add_cells(self, ring: int, at: Ints, sign: int) -> None:
        assert sign == 1
        if not len(at):  # rows of which nothing was timed
            return
        # half the memory, and sorted in half the time
        is_short = len(self._state.keys) * CELLS < 1 << 32
        self._cells.setdefault(ring, []).append(at.astype(np.uint32) if is_short else at)
        self._waiting += len(at)
        if self._waiting > _COUNT_AT:
            self.rest()

    def add_sparse(self, codes: Ints, sign: int) -> None:
        self._sparse.append((codes, sign))

    def rest(self) -> None:
        """Count in the files what waits in memory."""
        for ring, parts in self._cells.items():
            self._state.add_cells(ring, *np.unique(np.concatenate(parts), return_counts=True))
        self._cells, self._waiting = {}, 0

    def finish(self, raw: Ints, rollup_of: Ints) -> None:
        """Add up the roll-ups (`rollup_of` each of the raw keys) and write what is in memory."""
        state = self._state
        self.rest()
        self._grow()
        state.sparse = tallied(self._sparse)
        self._sparse = []
        self.settled()
        order = np.argsort(rollup_of, kind="stable")
        rollups, starts = np.unique(rollup_of[order], return_index=True)
        blocks = self._moments.reshape(-1, SLOTS, sums.WIDTH)
        ends = np.append(starts, len(order))[1:]
        for rollup, first, last in zip(rollups.tolist(), starts.tolist(), ends.tolist(), strict=True):
            blocks[rollup] = add_blocks(blocks[raw[order[first:last]]])
        self._moments[:, sums.CHECK] = sums.checks(self._moments)
        state.make_room()
        with state.moments_path.open("r+b") as file:
            file.write(blocks[: len(state.keys)].tobytes())
        for ring in range(RINGS):
            members = raw[blocks[raw, ring, 0] > 0]
            self._add_up_cells(ring, members, rollup_of[blocks[raw, ring, 0] > 0])
        state.sparse = _with_rollups(state.sparse, raw, rollup_of)
        self._moments = np.zeros((0, sums.WIDTH), np.int64)

    def _add_up_cells(self, ring: int, members: Ints, rollup_of: Ints) -> None:
        """Write the histograms of the roll-ups of one ring; keys are read in the order in which they lie in the file."""
        rollups = np.unique(rollup_of)
        for first in range(0, len(rollups), _ROLLUPS):
            here = rollups[first : first + _ROLLUPS]
            is_of = (rollup_of >= here[0]) & (rollup_of <= here[-1])
            order = np.argsort(members[is_of])
            keys, places = members[is_of][order], np.searchsorted(here, rollup_of[is_of][order])
            whole = np.zeros((len(here), CELLS), np.uint32)
            for begin in range(0, len(keys), _READ):
                found = self._state.read_cells(ring, keys[begin : begin + _READ])
                for place, cells_of in zip(places[begin : begin + _READ].tolist(), found, strict=True):
                    whole[place] += cells_of
            self._state.write_cells(ring, here, whole)


def add_blocks(blocks: Ints) -> Ints:
    """The sum of moments blocks [keys, SLOTS, WIDTH] over the keys, with its checks."""
    made: Ints = blocks.sum(axis=0)
    made[:, sums.LAST] = blocks[:, :, sums.LAST].max(axis=0, initial=0)
    sums.settle(made)
    made[:, sums.CHECK] = sums.checks(made)
    return made


def _with_rollups(sparse: tuple[Ints, Ints], raw: Ints, rollup_of: Ints) -> tuple[Ints, Ints]:
    codes, counts = sparse
    if not len(codes):
        return sparse
    key, ring, metric, bucket = sparse_parts(codes)
    table = np.zeros(int(max(raw.max(), key.max())) + 1, np.int64)
    table[raw] = rollup_of
    return merged(codes, counts, sparse_code(table[key], ring, metric, bucket), counts)


def merged(codes: Ints, counts: Ints, more: Ints, more_counts: Ints) -> tuple[Ints, Ints]:
    """Two tables of numbers and counts as one, in order; what adds up to nothing is dropped."""
    whole, values = np.concatenate([codes, more]), np.concatenate([counts, more_counts])
    order = np.argsort(whole, kind="stable")
    ordered = whole[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    if not len(starts):
        return whole, values
    total = np.add.reduceat(values[order], starts)
    return ordered[starts][total != 0], total[total != 0]


class Pending:
    """What a refresh adds and takes away, until it is known what the places that it touches hold."""

    def __init__(self) -> None:
        self._moments: list[tuple[Ints, Ints, int]] = []
        self._cells: dict[int, list[tuple[Ints, int]]] = {}
        self._sparse: list[tuple[Ints, int]] = []

    @property
    def is_empty(self) -> bool:
        return not self._moments

    def add_moments(self, at: Ints, table: Ints, sign: int) -> None:
        self._moments.append((at, table, sign))

    def add_cells(self, ring: int, at: Ints, sign: int) -> None:
        self._cells.setdefault(ring, []).append((at, sign))

    def add_sparse(self, codes: Ints, sign: int) -> None:
        self._sparse.append((codes, sign))

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
        made.moments[:, sums.CHECK] = sums.checks(made.moments)
        for ring, parts in self._cells.items():
            made.cells[ring] = _new_cells(state, ring, parts, rollup_of)
        codes, counts = tallied(self._sparse)
        key, ring_of, metric, bucket = sparse_parts(codes)
        state.sparse = merged(*state.sparse, codes, counts)
        state.sparse = merged(*state.sparse, sparse_code(rollup_of[key], ring_of, metric, bucket), counts)
        return made, made.rows[(taken >= last) & ~is_empty]


def _new_cells(
    state: State, ring: int, parts: list[tuple[Ints, int]], rollup_of: Ints
) -> tuple[Ints, npt.NDArray[np.uint32]]:
    further = [(rollup_of[at // CELLS] * CELLS + at % CELLS, sign) for at, sign in parts]
    at, counts = tallied([*parts, *further])
    changed = counts != 0
    at, counts = at[changed], counts[changed]
    return at, (state.cells_at(ring, at) + counts).astype(np.uint32)
