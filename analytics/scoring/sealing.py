"""What raw files added up to, put aside in the lake before they leave it, so that adding everything up anew does not lose it.

::

    lake/partials/SEALED                                   what is sealed: replaced in one step, with a checksum of itself
    lake/partials/<table>/dt=YYYY-MM-DD/seal-<sha256>.<what>.parquet    `moments`, `buckets`, and the day tables

A day can be sealed when all of it is in the sums and lies behind the oldest border between rings. Sealed rows count in the oldest ring
whatever as_of is, and no correction reaches them any more. What both the manifest and SEALED name counts once: by its raw rows.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.durable import replace_file
from analytics.errors import Corrupt
from analytics.lake import UNKNOWN_DAY, Lake, LakeFile, Manifest
from analytics.routing.seal import seal as sealed_document
from analytics.routing.seal import unseal
from analytics.scoring import moments as sums
from analytics.scoring.absorb import Sink, contribute
from analytics.scoring.days import DayTables, program
from analytics.scoring.entries import BIN_BITS, BIN_MASK, bins, metric_and_bucket
from analytics.scoring.keys import Keys
from analytics.scoring.ledger import ABSORBED, Entry, LeftOut, tallied_reasons
from analytics.scoring.reading import METRICS, Corrections, read_rows
from analytics.scoring.rings import RINGS, hour_of, is_of_the_oldest_ring
from analytics.scoring.state import SLOTS, State, StateDamaged, repricings_of

_PARTIALS = "partials"
_SEALED = "SEALED"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prunable:
    """All files that the manifest names of one table and day, none of which is needed for the sums any more once it is sealed."""

    table: str
    day: str
    files: tuple[LakeFile, ...]

    @property
    def rows(self) -> int:
        """How many rows they hold."""
        return sum(file.rows for file in self.files)


def prunable(lake: Lake, scoring_dir: Path, before: date) -> tuple[Prunable, ...]:
    """The days before `before` (UTC) whose raw files may leave the lake once they are sealed, oldest first.

    Every file of such a day is in the sums, and all its hours lie more than 90 days before the as_of of the last refresh. Empty if there
    is no usable state. Only for the holder of the lake's lease; raises `Corrupt` for an unreadable manifest.
    """
    try:
        state = State.open(Path(scoring_dir) / "state", program())
    except StateDamaged:
        return ()
    found = []
    manifest = lake.manifest()
    for table in ABSORBED:
        by_day: dict[str, list[LakeFile]] = {}
        for file in manifest.table(table).files:
            by_day.setdefault(file.day, []).append(file)
        found += [
            Prunable(table, day, tuple(files))
            for day, files in by_day.items()
            if day < before.isoformat() and day != UNKNOWN_DAY and all(_is_settled(state, file) for file in files)
        ]
    return tuple(sorted(found, key=lambda one: (one.day, one.table)))


def seal(lake: Lake, scoring_dir: Path, days: Sequence[Prunable]) -> tuple[Prunable, ...]:
    """Put what those days add up to aside, durably; those that are sealed now, whose files may be taken out of the manifest.

    Safe to repeat; killed half-way, or without room on the disk, nothing more is sealed than before. Only for the holder of the lake's lease.
    Raises `Corrupt` (a raw file, SEALED) and OSError.
    """
    try:
        state = State.open(Path(scoring_dir) / "state", program())
    except StateDamaged:
        return ()
    sealable = [day for day in days if all(_is_settled(state, file) for file in day.files)]
    records = _records(lake)
    for day in sealable:
        leaves = _leaves(day.table, day.files)
        if any(leaves == record.leaves for record in records):
            continue
        made = _sealed(lake, state, day)
        records = [*(record for record in records if not record.leaves <= leaves), made]
    document = {"seals": [asdict(record) for record in sorted(records, key=lambda one: (one.table, one.day))]}
    if sealable:
        replace_file(lake.directory / _PARTIALS / _SEALED, sealed_document(document))
    return tuple(sealable)


def sealed_files(lake: Lake) -> dict[str, tuple[LakeFile, ...]]:
    """The raw files that were sealed, by table; some may be in the manifest still. Raises `Corrupt`."""
    found: dict[str, list[LakeFile]] = {}
    for record in _records(lake):
        found.setdefault(record.table, []).extend(record.lake_files())
    return {table: tuple(files) for table, files in found.items()}


def unsealed(
    lake: Lake, manifest: Manifest, keys: Keys, sink: Sink, days: DayTables, corrupt: list[str]
) -> Iterable[Entry]:
    """Add what is sealed and no longer in the manifest to the oldest ring; entries for the ledger. What is damaged is named in `corrupt`."""
    present = {leaf for table in ABSORBED for leaf in _leaves(table, manifest.table(table).files)}
    for record in _records(lake):
        if record.leaves <= present:
            continue
        try:
            tables = {name: _table(lake, *where) for name, where in record.tables.items()}
        except Corrupt as error:
            corrupt.append(str(error))
            continue
        _add(tables.pop("moments"), tables.pop("buckets"), keys, sink)
        days.add_tables(tables)
        for number, file in enumerate(record.lake_files()):
            yield Entry(record.table, file, record.reasons() if number == 0 else (), is_kept=True)


@dataclass(frozen=True, slots=True)
class _Record:
    """One sealed day: its raw files, what of them did not count, and the path and sha256 of each table."""

    table: str
    day: str
    files: Sequence[Mapping[str, Any]]
    left_out: Sequence[Sequence[Any]]
    tables: Mapping[str, Sequence[str]]

    @property
    def leaves(self) -> frozenset[tuple[str, str]]:
        return _leaves(self.table, self.lake_files())

    def lake_files(self) -> list[LakeFile]:
        return [LakeFile(**{**file, "runs": tuple(file["runs"]), "of": tuple(file["of"])}) for file in self.files]

    def reasons(self) -> tuple[LeftOut, ...]:
        return tuple((source, kind, reason, rows, example) for source, kind, reason, rows, example in self.left_out)


def _leaves(table: str, files: Iterable[LakeFile]) -> frozenset[tuple[str, str]]:
    return frozenset((table, leaf) for file in files for leaf in file.leaves)


def _is_settled(state: State, file: LakeFile) -> bool:
    entry = state.ledger.get(file.path)
    if entry is None or entry.is_kept or entry.file.sha256 != file.sha256 or file.max_created_at is None:
        return False
    return is_of_the_oldest_ring(hour_of(datetime.fromisoformat(file.max_created_at)), state.hour)


def _records(lake: Lake) -> list[_Record]:
    path = lake.directory / _PARTIALS / _SEALED
    try:
        return [_Record(**record) for record in unseal(path.read_bytes())["seals"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{path} does not say what is sealed ({type(error).__name__}: {error})") from error


class _Collected:
    """A sink: what the rows of one day add up to, whatever ring they are in."""

    def __init__(self) -> None:
        self.moments: list[tuple[Ints, Ints]] = []
        self.places: list[Ints] = []

    def add_moments(self, at: Ints, table: Ints, sign: int) -> None:
        assert sign == 1
        self.moments.append((at // SLOTS, table))

    def add_places(self, places: Ints, sign: int) -> None:
        assert sign == 1
        self.places.append(places)


def _sealed(lake: Lake, state: State, day: Prunable) -> _Record:
    keys, sink, tables = Keys(), _Collected(), DayTables()
    corrections = Corrections(state.deleted, repricings_of(state))
    left_out: list[LeftOut] = []
    for file in day.files:
        for portion in read_rows(lake, day.table, file, corrections):
            contribute(portion.rows, np.zeros(len(portion.rows), np.int64), keys, sink)
            tables.add(portion.rows, state.hour)
        left_out += state.ledger[file.path].left_out
    made = {"moments": _moments(keys, sink), "buckets": _buckets(sink), **tables.folded()}
    written = {name: _write(lake, day, name, table) for name, table in made.items()}
    return _Record(day.table, day.day, [asdict(file) for file in day.files], tallied_reasons(left_out), written)


def _moments(keys: Keys, sink: _Collected) -> pa.Table:
    whole = np.zeros((len(keys), sums.WIDTH), np.int64)
    for key, table in sink.moments:
        last = np.maximum(whole[key, sums.LAST], table[:, sums.LAST])
        whole[key] += table
        whole[key, sums.LAST] = last
    sums.settle(whole)
    seen = keys.seen()  # every key has rows, so they are in the order of their numbers
    columns = {name: seen.column(name) for name in seen.column_names if name not in {"requests", "later"}}
    columns |= sums.integers(whole) | {name: sums.decimals(whole, name) for name in sums.SUMS}
    return pa.table({**columns, "last_seen": pa.array(np.ascontiguousarray(whole[:, sums.LAST]))})


def _buckets(sink: _Collected) -> pa.Table:
    places, counts = np.unique(np.concatenate([np.zeros(0, np.int64), *sink.places]), return_counts=True)
    metric, bucket = metric_and_bucket(places & BIN_MASK)
    return pa.table(
        {
            "key": pa.array((places >> BIN_BITS) // SLOTS),
            "metric": pa.array(METRICS).take(pa.array(metric)),
            "bucket": pa.array(bucket),
            "requests": pa.array(counts),
        }
    )


def _add(moments: pa.Table, buckets: pa.Table, keys: Keys, sink: Sink) -> None:
    """Everything into the oldest ring."""
    ring = RINGS - 1
    number = keys.numbers(keys.coded(moments))
    table = sums.from_columns(moments)
    order = np.argsort(number)
    np.add.at(keys.requests, number, table[:, 0])
    sink.add_moments(number[order] * SLOTS + ring, table[order], 1)
    key = number[buckets.column("key").to_numpy()]
    metric = np.array([METRICS.index(name) for name in buckets.column("metric").to_pylist()], np.int64)
    places = (key * SLOTS + ring) << BIN_BITS | bins(metric, buckets.column("bucket").to_numpy())
    sink.add_places(np.repeat(places, buckets.column("requests").to_numpy()), 1)


def _write(lake: Lake, day: Prunable, name: str, table: pa.Table) -> tuple[str, str]:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    data = sink.getvalue().to_pybytes()
    sha256 = hashlib.sha256(data).hexdigest()
    path = Path(_PARTIALS) / day.table / f"dt={day.day}" / f"seal-{sha256}.{name}.parquet"
    replace_file(lake.directory / path, data)
    return path.as_posix(), sha256


def _table(lake: Lake, path: str, sha256: str) -> pa.Table:
    try:
        data = (lake.directory / path).read_bytes()
    except OSError as error:
        raise Corrupt(f"{path} cannot be read ({error.strerror}), and the rows it stood for are gone") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Corrupt(f"{path} does not match its recorded sha256, and the rows it stood for are gone")
    return pq.ParquetFile(pa.BufferReader(data)).read()
