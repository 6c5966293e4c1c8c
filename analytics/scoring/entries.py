"""How often each bin of each histogram was met: counted, added up, and written as lists of entries.

A *bin* (18 bits) is a bucket of a metric. A *place* is where one measurement counts: `slot << BIN_BITS | bin`, the slot being the row of
moments (key * SLOTS + ring) that the histogram belongs to. A list of entries is what a file holds of one slot: int64, `bin << 40 | count`,
ascending, none of them 0. What was never met has no entry, so a histogram takes what it holds, and any value has a bin.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

BIN_BITS = 18
BIN_MASK = (1 << BIN_BITS) - 1
_COUNT_BITS = 40
_BUCKET_BITS = 16
_LOWEST = -(1 << (_BUCKET_BITS - 1))

LOT = 6_000_000  # places that are collected before they are counted: 48 MB
_AT_ONCE = 4_000_000  # entries of a draft that are added up at once: 32 MB
_STRETCH_BITS = 30  # a place within its stretch and its count are one number
_STRETCH_MASK = (1 << _STRETCH_BITS) - 1
_TALLY_BITS = 63 - _STRETCH_BITS
_SLICE_BITS = 24  # a stretch is added up in slices, as many at once as there is room for: nine keys each
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio

Ints = npt.NDArray[np.int64]


def bins(metric: Ints | int, bucket: Ints) -> Ints:
    """The bin of each bucket (-32768 to 32767) of a metric (its number)."""
    found: Ints = (np.asarray(metric, np.int64) << _BUCKET_BITS) | (bucket - _LOWEST)
    return found


def metric_and_bucket(of_bins: Ints) -> tuple[Ints, Ints]:
    """What `bins` was made of. Of `number << BIN_BITS | bin`, too: then it is number * 4 + metric, and the bucket."""
    return of_bins >> _BUCKET_BITS, (of_bins & ((1 << _BUCKET_BITS) - 1)) + _LOWEST


def packed(places: Ints, counts: Ints) -> Ints:
    """The entries of those places."""
    found: Ints = ((places & BIN_MASK) << _COUNT_BITS) | counts
    return found


def unpacked(entries: Ints) -> tuple[Ints, Ints]:
    """Bins and counts of entries."""
    return entries >> _COUNT_BITS, entries & ((1 << _COUNT_BITS) - 1)


def prints(entries: Ints, sizes: Ints) -> Ints:
    """A number for each list (`sizes` are theirs, one lies behind the other) that is another when one entry is; 0 for an empty list."""
    mixed = entries.view(np.uint64) * _ODD
    mixed ^= mixed >> np.uint64(32)  # either step can be undone, so no two entries come to the same
    made = np.zeros(len(sizes), np.int64)
    is_there = sizes > 0
    if len(entries):
        made[is_there] = np.add.reduceat(mixed, (np.cumsum(sizes) - sizes)[is_there]).view(np.int64)
    return made


def begins(ordered: Ints) -> Ints:
    """Where the runs of equal numbers begin."""
    is_first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return np.flatnonzero(is_first)


def lengths(starts: Ints, end: int) -> Ints:
    """The lengths of runs that begin at `starts`, the last one up to `end`."""
    made = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=made[:-1])
    made[-1:] = end - starts[-1:]
    return made


def summed(places: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Places in order, each once, and what their counts (some may be negative) add up to."""
    if not len(places):
        return places, counts
    base = int(places.min())
    bits = 63 - (int(places.max()) - base).bit_length()
    is_signed = counts.min() < 0
    coded = np.abs(counts) << 1 | (counts < 0) if is_signed else counts
    if int(coded.max()).bit_length() <= bits:
        whole = (places - base) << bits | coded
        whole.sort()  # numbers alone are sorted in an eighth of the time that an order of them takes
        numbers, coded = whole >> bits, whole & ((1 << bits) - 1)
        starts = begins(numbers)
        if is_signed:
            coded = np.where(coded & 1, -(coded >> 1), coded >> 1)
        return numbers[starts] + base, np.add.reduceat(coded, starts)
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    starts = begins(ordered)
    return ordered[starts], np.add.reduceat(counts[order], starts)


class Tally:
    """Counts places, of any number, in the memory of some millions: what was counted waits in a draft file, lot behind lot."""

    def __init__(self, draft: Path, lot: int = LOT) -> None:
        self._draft = draft
        self._lot = np.empty(lot, np.int64)
        self._filled = 0
        # of each lot in the file, where its stretches begin, and where the last one ends
        self._written: list[Ints] = []

    def add(self, places: Ints) -> None:
        """Count each of them once."""
        done = 0
        while done < len(places):
            some = places[done : done + len(self._lot) - self._filled]
            self._lot[self._filled : self._filled + len(some)] = some
            self._filled, done = self._filled + len(some), done + len(some)
            if self._filled == len(self._lot):
                self._put_aside()

    def _put_aside(self) -> None:
        counted, borders = self._counted()
        with self._draft.open("ab" if self._written else "wb") as file:
            self._written.append(borders + file.tell() // 8)
            file.write(counted.data.cast("B"))

    def _counted(self) -> tuple[Ints, Ints]:
        """What waits in memory, place within its stretch and count in one number, and the borders of the slices."""
        lot = self._lot[: self._filled]
        self._filled = 0
        lot.sort()
        starts = begins(lot)
        places, counts = lot[starts], lengths(starts, len(lot))
        slices = int(places[-1] >> _SLICE_BITS) + 1 if len(places) else 0
        borders = np.searchsorted(places, np.arange(slices + 1) << _SLICE_BITS)
        return ((places & _STRETCH_MASK) << _TALLY_BITS) | counts, borders

    def counted(self) -> Iterator[tuple[Ints, Ints]]:
        """All places in order, each once, and their counts; some at a time. It ends the tally. Raises OSError if the draft lost something."""
        rest, of_rest = self._counted()
        slices = max(map(len, (of_rest, *self._written))) - 1
        lots = [
            np.append(borders, np.full(slices + 1 - len(borders), borders[-1])) for borders in (of_rest, *self._written)
        ]
        sizes: Ints = np.sum([np.diff(borders) for borders in lots], axis=0)
        part = (np.cumsum(sizes) - sizes) // _AT_ONCE
        stretch = np.arange(slices) >> (_STRETCH_BITS - _SLICE_BITS)
        firsts = begins(part << 32 | stretch)
        for first, size in zip(firsts.tolist(), lengths(firsts, slices).tolist(), strict=True):
            spans = [(int(borders[first]), int(borders[first + size])) for borders in lots]
            whole = np.concatenate([rest[slice(*spans[0])], *(self._read(*span) for span in spans[1:])])
            whole.sort()
            places = whole >> _TALLY_BITS
            starts = begins(places)
            if len(starts):
                counts = np.add.reduceat(whole & ((1 << _TALLY_BITS) - 1), starts)
                yield places[starts] + (int(stretch[first]) << _STRETCH_BITS), counts
        self._draft.unlink(missing_ok=True)

    def _read(self, begin: int, end: int) -> Ints:
        found = np.fromfile(self._draft, np.int64, end - begin, offset=begin * 8)
        if len(found) < end - begin:
            raise OSError(f"{self._draft} is shorter than what was written into it")
        return found
