"""What the engine remembers: sums and histograms by key and ring, and the ledger of what is in them, all of one moment.

::

    state/STATE                      generation, hour of as_of, names and sha256 of the files below, and a checksum: replaced in one step
    state/keys-<g>.npz               the keys
    state/ledger-<g>.json            the absorbed files, the corrections that were applied
    state/journal-<g>.npz            what generation g changes in the moments: new values, not differences
    state/moments-<base>.bin         int64[key, ring, WIDTH], each row with a check of itself
    state/histograms-<base>.bin      int64: lists of entries (entries.py), where the moments say

The moments are changed in place, and only where they change: that is what makes a refresh cost what the new rows cost. They are
changed after STATE names the journal, and whoever opens the state writes the journal's values again, which does no harm. A histogram
that changes is written anew behind the last one, before STATE says how far the file goes. So a killed refresh has either happened or
not. What the journal of the last generation wrote is synced before the next one is committed. When most of the histograms' file is
lists that no moments speak of any more, both files are written anew, under another base.
Damage is noticed: a moments row has a check, which is another in every slot, and holds one of its list of entries, which also must add up
to its counts.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.durable import make_directory, replace_file
from analytics.lake import schema
from analytics.routing.seal import seal, unseal
from analytics.scoring import ledger as ledgers
from analytics.scoring import moments as sums
from analytics.scoring.entries import prints
from analytics.scoring.keys import Keys
from analytics.scoring.ledger import Ledger
from analytics.scoring.rings import RINGS

SLOTS = RINGS + 1  # a key's rings, and what is later than as_of
_BLOCK = SLOTS * sums.WIDTH * 8
_LARGE = ("moments-", "histogram", "tally-")
_LOOSE = 1_000_000  # entries that may be left behind before the files are written anew: 8 MB
_AT_ONCE = 1_024  # keys that are copied at once

Ints = npt.NDArray[np.int64]


class StateDamaged(Exception):
    """The state is not what was written: it has to be built again from the lake."""


@dataclass(slots=True, eq=False)
class Changes:
    """New values of moments rows, by slot (key * SLOTS + ring)."""

    rows: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    moments: Ints = field(default_factory=lambda: np.zeros((0, sums.WIDTH), np.int64))

    def to_bytes(self) -> bytes:
        buffer = BytesIO()
        np.savez(buffer, rows=self.rows, moments=self.moments)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Changes":
        with np.load(BytesIO(data), allow_pickle=False) as found:
            return cls(found["rows"], found["moments"])


@dataclass(slots=True, eq=False)
class State:
    """One generation. `entries` of the histograms' file are written, `live` of them are spoken of by moments; `base` names the large files,
    `era` the building of the sums.

    `program` is a digest of the rules it was made by; `deleted` and `repricings` are the corrections that were applied: run ids, and
    by price the digest of its newest correction. `tables` are the day tables: table -> day -> file. `mapping` is the generation since which
    no name that was seen changed its model or domain.
    """

    directory: Path
    program: str
    era: int = 0
    base: int = 0
    generation: int = 0
    hour: int = 0
    keys: Keys = field(default_factory=Keys)
    ledger: Ledger = field(default_factory=dict)
    entries: int = 0
    live: int = 0
    deleted: frozenset[str] = frozenset()
    repricings: bytes = b""
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    mapping: int = 0

    @classmethod
    def open(cls, directory: Path, program: str) -> "State":
        """The state in force; raises `StateDamaged` if there is none, it was made by other rules, or it is not whole."""
        try:
            document = unseal((directory / "STATE").read_bytes())
            if document["program"] != program:
                raise StateDamaged("it was made by other rules")
            files = {name: _checked(directory / file, sha) for name, (file, sha) in document["files"].items()}
            state = cls(directory, program, **document["numbers"], keys=Keys.from_bytes(files["keys"]))
            book = json.loads(files["ledger"])
            state.ledger = ledgers.from_bytes(book["files"].encode())
            state.deleted, state.repricings = frozenset(book["deleted"]), bytes.fromhex(book["repricings"])
            state.tables, state.mapping = book["tables"], book["mapping"]
            state._check_sizes()
            if "journal" in files:
                state._apply(Changes.from_bytes(files["journal"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateDamaged(f"{type(error).__name__}: {error}") from error
        return state

    def commit(self, changes: Changes | None) -> None:
        """Make what is in memory, and the changes, the generation in force; None: the large files are new and whole already."""
        self.generation += 1
        self.make_room()
        self.sync()
        book = {
            "files": ledgers.to_bytes(self.ledger).decode(),
            "deleted": sorted(self.deleted),
            "repricings": self.repricings.hex(),
            "tables": self.tables,
            "mapping": self.mapping,
        }
        contents = {"keys": (".npz", self.keys.to_bytes()), "ledger": (".json", json.dumps(book).encode())}
        if changes is not None:
            contents["journal"] = (".npz", changes.to_bytes())
        files = {}
        for name, (suffix, data) in contents.items():
            file = f"{name}-{self.generation}{suffix}"
            replace_file(self.directory / file, data)
            files[name] = (file, hashlib.sha256(data).hexdigest())
        numbers = {name: getattr(self, name) for name in ("era", "base", "generation", "hour", "entries", "live")}
        document = {"program": self.program, "numbers": numbers, "files": files}
        replace_file(self.directory / "STATE", seal(document))
        if changes is not None:
            self._apply(changes)
        self._forget(file for file, _ in files.values())

    def read_moments(self, keys: Ints) -> Ints:
        """int64[len(keys), SLOTS, WIDTH]; raises `StateDamaged` where a row's check fails."""
        made = np.empty((len(keys), SLOTS, sums.WIDTH), np.int64)
        _read(self.moments_path, keys, made.reshape(len(keys), SLOTS * sums.WIDTH).view(np.uint8))
        if np.any(sums.checks(made, slots_of(keys)) != made[..., sums.CHECK]):
            raise StateDamaged(f"{self.moments_path} holds a row that does not match its check")
        return made

    def read_lists(self, rows: Ints) -> Ints:
        """The entries of the histograms that moments rows [n, WIDTH] speak of, one list behind the other; raises `StateDamaged`."""
        at, lengths = rows[:, sums.AT], rows[:, sums.LENGTH]
        made = np.empty(int(lengths.sum()), np.int64)
        with self.lists_path.open("rb", buffering=0) as file:
            for first, last, begin in _runs(at, lengths):
                _read_whole(file.fileno(), made[first:last].data.cast("B"), begin * 8)
        if np.any(prints(made, lengths) != rows[:, sums.PRINT]):
            raise StateDamaged(f"{self.lists_path} holds a histogram that does not match its check")
        return made

    def add_lists(self, rows: Ints, entries: Ints, lengths: Ints) -> None:
        """Write lists of entries, one behind the other, and let moments rows [n, WIDTH] speak of them, in place of what they spoke of."""
        self.live += len(entries) - int(rows[:, sums.LENGTH].sum())
        rows[:, sums.AT] = self.entries + np.cumsum(lengths) - lengths
        rows[:, sums.LENGTH], rows[:, sums.PRINT] = lengths, prints(entries, lengths)
        with self.lists_path.open("r+b", buffering=0) as file:
            _write_whole(file.fileno(), entries.data.cast("B"), self.entries * 8)
        self.entries += len(entries)

    @property
    def moments_path(self) -> Path:
        return self.directory / f"moments-{self.base}.bin"

    @property
    def lists_path(self) -> Path:
        return self.directory / f"histograms-{self.base}.bin"

    def sync(self) -> None:
        """Let what was written into the large files be durable."""
        for path in (self.moments_path, self.lists_path):
            if path.exists():
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)

    def tighten(self) -> None:
        """Write the large files anew where most of the histograms' entries are of no use any more; what they say stays the same."""
        if self.entries <= 2 * self.live + _LOOSE:
            return
        made = replace(self, base=self.generation + 1, entries=0, live=0)
        try:
            self._copy(made)
        except OSError:  # no room for a while: what is in force serves as it is, and the next refresh tries again
            made.discard()
            return
        self.base, self.entries, self.live = made.base, made.entries, made.live
        self.commit(None)

    def _copy(self, made: "State") -> None:
        """Write the large files of another base."""
        for path in (made.moments_path, made.lists_path):
            path.touch()
        for first in range(0, len(self.keys), _AT_ONCE):
            keys = np.arange(first, min(first + _AT_ONCE, len(self.keys)))
            blocks = self.read_moments(keys)
            rows = blocks.reshape(-1, sums.WIDTH)
            entries, lengths = self.read_lists(rows), rows[:, sums.LENGTH].copy()
            rows[:, sums.LENGTH] = 0
            made.add_lists(rows, entries, lengths)
            blocks[..., sums.CHECK] = sums.checks(blocks, slots_of(keys))
            made.write_moments(keys, blocks)

    def discard(self) -> None:
        """Remove the large files: they were never in force."""
        for path in self._sizes():
            path.unlink(missing_ok=True)

    def write_moments(self, keys: Ints, blocks: Ints) -> None:
        """Let the moments of keys, int64[len(keys), SLOTS, WIDTH], be these."""
        _write(self.moments_path, keys, blocks.reshape(len(keys), SLOTS * sums.WIDTH).view(np.uint8))

    def _apply(self, changes: Changes) -> None:
        """Write new values where they belong. Doing it again changes nothing."""
        _write(self.moments_path, changes.rows, np.ascontiguousarray(changes.moments).view(np.uint8))

    def make_room(self) -> None:
        """Let the large files be there, with moments of every key: those of a new one are zeros, and their checks."""
        make_directory(self.directory)
        self.lists_path.touch()
        with self.moments_path.open("ab") as file:
            for first in range(file.tell() // _BLOCK, max(1, len(self.keys)), _AT_ONCE):
                keys = np.arange(first, min(first + _AT_ONCE, max(1, len(self.keys))))
                empty = np.zeros((len(keys), SLOTS, sums.WIDTH), np.int64)
                empty[..., sums.CHECK] = sums.checks(empty, slots_of(keys))
                file.truncate(first * _BLOCK)  # what a kill left of a key is none
                file.write(empty.data.cast("B"))

    def _sizes(self) -> Mapping[Path, int]:
        return {self.moments_path: max(1, len(self.keys)) * _BLOCK, self.lists_path: self.entries * 8}

    def _check_sizes(self) -> None:
        for path, size in self._sizes().items():
            if path.stat().st_size < size:
                raise StateDamaged(f"{path} is too short")

    def _forget(self, kept: Iterable[str]) -> None:
        """Remove what generations before this one were made of, and what was left half-made."""
        current = {"STATE", *kept, *(path.name for path in self._sizes())}
        current |= {file for days in self.tables.values() for file in days.values()}
        for path in self.directory.iterdir():
            if path.name not in current and not path.name.startswith("cache-"):
                path.unlink()


def sweep(directory: Path) -> None:
    """Remove the large files that no state in force speaks of: a building that failed left them."""
    try:
        base = unseal((directory / "STATE").read_bytes())["numbers"]["base"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    for path in directory.iterdir():
        if path.name.startswith(_LARGE) and path.stem.rpartition("-")[2] != str(base):
            path.unlink()


def repricings_of(state: State) -> pa.Table:
    """The rows of `repricings` that were applied."""
    if not state.repricings:
        return schema("repricings").empty_table()
    return pa.ipc.open_stream(state.repricings).read_all()


def _checked(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StateDamaged(f"{path} does not match its recorded sha256")
    return data


def slots_of(keys: Ints) -> Ints:
    """The slots of keys: [len(keys), SLOTS]."""
    return keys[:, None] * SLOTS + np.arange(SLOTS)


def _read(path: Path, at: Ints, rows: npt.NDArray[np.uint8]) -> None:
    """Fill each of `rows` with that row of the file; raises `StateDamaged` where the file ends before."""
    with path.open("rb", buffering=0) as file:
        for first, last, begin in _runs(at, np.ones_like(at)):
            _read_whole(file.fileno(), rows[first:last].data.cast("B"), begin * rows.shape[1])


def _write(path: Path, at: Ints, rows: npt.NDArray[np.uint8]) -> None:
    """Write each of `rows` as that row of the file; raises OSError unless all of them are."""
    with path.open("r+b", buffering=0) as file:
        for first, last, begin in _runs(at, np.ones_like(at)):
            _write_whole(file.fileno(), rows[first:last].data.cast("B"), begin * rows.shape[1])


def _read_whole(descriptor: int, data: memoryview, offset: int) -> None:
    """Fill all of it: one call of the system reads 2 GiB at most."""
    while data:
        read = os.preadv(descriptor, [data], offset)
        if not read:
            raise StateDamaged("a file ends before what it holds")
        data, offset = data[read:], offset + read


def _write_whole(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of it; the end of a disk or of a quota takes a part of it, and the next try raises OSError."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _runs(at: Ints, lengths: Ints) -> Iterator[tuple[int, int, int]]:
    """What lies together both in the file and here: where it begins and ends here, and where it begins in the file."""
    is_there = lengths > 0
    begins, sizes = at[is_there], lengths[is_there]
    first = np.flatnonzero(begins != np.append(-1, begins[:-1] + sizes[:-1])) if len(begins) else begins
    here = np.append((np.cumsum(sizes) - sizes)[first], sizes.sum()).tolist()
    return zip(here, here[1:], begins[first].tolist(), strict=False)
