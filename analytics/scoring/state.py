"""What the engine remembers: sums and histograms by key and ring, and the ledger of what is in them, all of one moment.

::

    state/STATE                      generation, hour of as_of, and the names and sha256 of the files below: replaced in one step
    state/keys-<g>.npz               the keys, and histogram entries outside the dense cells
    state/ledger-<g>.json            the absorbed files, the corrections that were applied
    state/journal-<g>.npz            what generation g changes in the two files below: new values, not differences
    state/moments-<era>.bin          int64[key, ring, WIDTH], each row with a check of itself
    state/histogram-<ring>-<era>.bin uint32[key, CELLS]

The large files are changed in place, and only where they change: that is what makes a refresh cost what the new rows cost. They are
changed after STATE names the journal, and whoever opens the state writes the journal's values again, which does no harm. So
a killed refresh has either happened or not. What the journal of the last generation wrote is synced before the next one is committed.
A damaged byte is noticed: a moments row has a check, and a histogram must add up to the count in its moments.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.durable import make_directory, replace_file
from analytics.lake import schema
from analytics.scoring import ledger as ledgers
from analytics.scoring import moments as sums
from analytics.scoring.histograms import CELLS
from analytics.scoring.keys import Keys
from analytics.scoring.ledger import Ledger
from analytics.scoring.rings import RINGS

SLOTS = RINGS + 1  # a key's rings, and what is later than as_of
_BLOCK = SLOTS * sums.WIDTH * 8
_ROW = CELLS * 4
_AT_ONCE = 256  # keys whose histograms are read at once: 2.5 MB

Ints = npt.NDArray[np.int64]
Cells = npt.NDArray[np.uint32]


class StateDamaged(Exception):
    """The state is not what was written: it has to be built again from the lake."""


@dataclass(slots=True, eq=False)
class Changes:
    """New values: moments rows by key * SLOTS + ring, and per ring histogram cells by key * CELLS + cell."""

    rows: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    moments: Ints = field(default_factory=lambda: np.zeros((0, sums.WIDTH), np.int64))
    cells: dict[int, tuple[Ints, Cells]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        arrays: dict[str, npt.NDArray[Any]] = {"rows": self.rows, "moments": self.moments}
        for ring, (at, values) in self.cells.items():
            arrays |= {f"at{ring}": at, f"values{ring}": values}
        buffer = BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes its own keywords for arrays
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Changes":
        with np.load(BytesIO(data), allow_pickle=False) as found:
            cells = {
                ring: (found[f"at{ring}"], found[f"values{ring}"]) for ring in range(RINGS) if f"at{ring}" in found
            }
            return cls(found["rows"], found["moments"], cells)


@dataclass(slots=True, eq=False)
class State:
    """One generation. `sparse` maps histogram entries outside the dense cells (see `sparse_code`) to counts, in order.

    `program` is a digest of the rules it was made by; `deleted` and `repricings` are the corrections that were applied: run ids, and
    by price the digest of its newest correction. `tables` are the day tables: table -> day -> file. `mapping` is the generation since which
    no name that was seen changed its model or domain.
    """

    directory: Path
    program: str
    era: int = 0
    generation: int = 0
    hour: int = 0
    keys: Keys = field(default_factory=Keys)
    ledger: Ledger = field(default_factory=dict)
    sparse: tuple[Ints, Ints] = field(default_factory=lambda: (np.zeros(0, np.int64), np.zeros(0, np.int64)))
    deleted: frozenset[str] = frozenset()
    repricings: bytes = b""
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    mapping: int = 0

    @classmethod
    def open(cls, directory: Path, program: str) -> "State":
        """The state in force; raises `StateDamaged` if there is none, it was made by other rules, or it is not whole."""
        try:
            document = json.loads((directory / "STATE").read_bytes())
            if document["program"] != program:
                raise StateDamaged("it was made by other rules")
            files = {name: _checked(directory / file, sha) for name, (file, sha) in document["files"].items()}
            state = cls(directory, program, document["era"], document["generation"], document["hour"])
            with np.load(BytesIO(files["keys"]), allow_pickle=False) as found:
                state.keys = Keys.from_bytes(found["keys"].tobytes())
                state.sparse = found["sparse"], found["counts"]
            book = json.loads(files["ledger"])
            state.ledger = ledgers.from_bytes(book["files"].encode())
            state.deleted, state.repricings = frozenset(book["deleted"]), bytes.fromhex(book["repricings"])
            state.tables, state.mapping = book["tables"], book["mapping"]
            if "journal" in files:
                state._apply(Changes.from_bytes(files["journal"]))
            state._check_sizes()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateDamaged(f"{type(error).__name__}: {error}") from error
        return state

    def commit(self, changes: Changes | None) -> None:
        """Make what is in memory, and the changes, the generation in force; None: the files of this era are new and whole already."""
        self.generation += 1
        self.sync()
        buffer = BytesIO()
        keys = np.frombuffer(self.keys.to_bytes(), np.uint8)
        np.savez(buffer, keys=keys, sparse=self.sparse[0], counts=self.sparse[1])
        book = {
            "files": ledgers.to_bytes(self.ledger).decode(),
            "deleted": sorted(self.deleted),
            "repricings": self.repricings.hex(),
            "tables": self.tables,
            "mapping": self.mapping,
        }
        contents = {"keys": (".npz", buffer.getvalue()), "ledger": (".json", json.dumps(book).encode())}
        if changes is not None:
            contents["journal"] = (".npz", changes.to_bytes())
        files = {}
        for name, (suffix, data) in contents.items():
            file = f"{name}-{self.generation}{suffix}"
            replace_file(self.directory / file, data)
            files[name] = (file, hashlib.sha256(data).hexdigest())
        document = {
            "program": self.program,
            "era": self.era,
            "generation": self.generation,
            "hour": self.hour,
            "files": files,
        }
        replace_file(self.directory / "STATE", json.dumps(document, sort_keys=True).encode())
        if changes is not None:
            self._apply(changes)
        self._forget(file for file, _ in files.values())

    def read_moments(self, keys: Ints) -> Ints:
        """int64[len(keys), SLOTS, WIDTH]; raises `StateDamaged` where a row's check fails."""
        made = np.zeros((len(keys), SLOTS, sums.WIDTH), np.int64)
        _read(self.moments_path, keys, made.reshape(len(keys), SLOTS * sums.WIDTH).view(np.uint8))
        if np.any(sums.checks(made) != made[..., sums.CHECK]):
            raise StateDamaged(f"{self.moments_path} holds a row that does not match its check")
        return made

    def read_cells(self, ring: int, keys: Ints) -> Cells:
        """uint32[len(keys), CELLS] of one ring."""
        made = np.zeros((len(keys), CELLS), np.uint32)
        _read(self.histogram_path(ring), keys, made.view(np.uint8))
        return made

    def write_cells(self, ring: int, keys: Ints, rows: Cells) -> None:
        """Let whole histograms, uint32[len(keys), CELLS], be these."""
        _write(self.histogram_path(ring), keys, rows.view(np.uint8))

    def cells_at(self, ring: int, at: Ints) -> Cells:
        """The counts of single cells, key * CELLS + cell, ascending."""
        found = np.zeros(len(at), np.uint32)
        for _, rows, places, here in self._around(ring, at):
            found[here] = rows[places]
        return found

    def put_cells(self, ring: int, at: Ints, values: Cells) -> None:
        """Let single cells have these counts."""
        order = slice(None) if np.all(at[1:] > at[:-1]) else np.argsort(at)
        at, values = at[order], values[order]
        for keys, rows, places, here in self._around(ring, at):
            rows[places] = values[here]
            self.write_cells(ring, keys, rows.reshape(-1, CELLS))

    def add_cells(self, ring: int, at: Ints, counts: Ints) -> None:
        """Add counts to single cells, ascending."""
        for keys, rows, places, here in self._around(ring, at):
            rows[places] += counts[here].astype(np.uint32)
            self.write_cells(ring, keys, rows.reshape(-1, CELLS))

    def _around(self, ring: int, at: Ints) -> Iterator[tuple[Ints, Cells, Ints, slice]]:
        """The histograms that ascending cells lie in, some at a time: their keys, their cells behind each other, and the places of those cells
        in these; the slice says which they are. To read and write whole histograms costs less than mapping their pages.
        """
        key = at // CELLS
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        keys, ends = key[starts].astype(np.int64), np.append(starts, len(at))
        for first in range(0, len(keys), _AT_ONCE):
            some = keys[first : first + _AT_ONCE]
            here = slice(int(ends[first]), int(ends[first + len(some)]))
            row = np.repeat(np.arange(len(some)), np.diff(ends[first : first + len(some) + 1]))
            yield some, self.read_cells(ring, some).reshape(-1), row * CELLS + at[here] % CELLS, here

    @property
    def moments_path(self) -> Path:
        return self.directory / f"moments-{self.era}.bin"

    def histogram_path(self, ring: int) -> Path:
        return self.directory / f"histogram-{ring}-{self.era}.bin"

    def sync(self) -> None:
        """Let what was written into the large files be durable."""
        for path in (self.moments_path, *map(self.histogram_path, range(RINGS))):
            if path.exists():
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)

    def _apply(self, changes: Changes) -> None:
        """Write new values where they belong. Doing it again changes nothing."""
        self.make_room()
        _write(self.moments_path, changes.rows, np.ascontiguousarray(changes.moments).view(np.uint8))
        for ring, (at, values) in changes.cells.items():
            self.put_cells(ring, at, values)

    def make_room(self) -> None:
        """Let the large files have a place for every key; what was never written takes no space on disk."""
        make_directory(self.directory)
        for path, size in self._sizes().items():
            with path.open("ab") as file:
                if file.tell() < size:
                    file.truncate(size)

    def _sizes(self) -> Mapping[Path, int]:
        room = max(1, len(self.keys))
        return {self.moments_path: room * _BLOCK, **{self.histogram_path(ring): room * _ROW for ring in range(RINGS)}}

    def _check_sizes(self) -> None:
        for path, size in self._sizes().items():
            if path.stat().st_size < size:
                raise StateDamaged(f"{path} is too short")

    def _forget(self, kept: Iterable[str]) -> None:
        """Remove what generations before this one were made of."""
        current = {"STATE", *kept, *(path.name for path in self._sizes())}
        current |= {file for days in self.tables.values() for file in days.values()}
        for path in self.directory.iterdir():
            if path.name not in current and not path.name.startswith("cache-"):
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


def _read(path: Path, at: Ints, rows: npt.NDArray[np.uint8]) -> None:
    """Fill each of `rows` with that row of the file: those that lie one behind the other in one read. Beyond its end it is as it was."""
    with path.open("rb", buffering=0) as file:
        for first, last, offset in _runs(at, rows):
            os.preadv(file.fileno(), [rows[first:last].data.cast("B")], offset)


def _write(path: Path, at: Ints, rows: npt.NDArray[np.uint8]) -> None:
    """Write each of `rows` as that row of the file; raises OSError unless all of them are."""
    with path.open("r+b", buffering=0) as file:
        for first, last, begin in _runs(at, rows):
            left, offset = rows[first:last].data.cast("B"), begin
            while left:  # the end of a disk or of a quota takes a part of it, and the next try raises
                written = os.pwrite(file.fileno(), left, offset)
                left, offset = left[written:], offset + written


def _runs(at: Ints, rows: npt.NDArray[np.uint8]) -> Iterator[tuple[int, int, int]]:
    """Which of the rows lie one behind the other in a file, from one to before another, and where the first of them lies."""
    breaks = [0, *(np.flatnonzero(np.diff(at) != 1) + 1).tolist(), len(at)]
    numbers, width = at.tolist(), rows.shape[1]
    return ((first, last, numbers[first] * width) for first, last in pairwise(breaks) if first < last)


def sparse_code(key: Ints, ring: Ints, metric: Ints, bucket: Ints) -> Ints:
    """One number for an entry outside the dense cells."""
    return (((key * 8 + ring) * 8 + metric) << 16) | (bucket + 32768)


def sparse_parts(codes: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Key, ring, metric and bucket of such a number."""
    return codes >> 22, (codes >> 19) & 7, (codes >> 16) & 7, (codes & 0xFFFF) - 32768
