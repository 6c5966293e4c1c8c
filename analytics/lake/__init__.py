"""Immutable Parquet files by table and day, extracted from a store by watermark.

::

    lake/manifest.json                               epoch, watermarks, files with sha256: replaced in one step
    lake/<event table>/dt=YYYY-MM-DD/part-<uuid7>.parquet   the day is that of created_at, UTC
    lake/<dimension>/part-<uuid7>.parquet            whole, written anew when it changed

A file counts only when the manifest names it. Bytes are checked against their sha256 whenever they are read, and a file that
fails is named and left out.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import uuid_utils
from filelock import FileLock, Timeout

from analytics.durable import make_directory, sync_directory, sync_file
from analytics.errors import Corrupt, LeaseHeld
from analytics.lake.manifest import UNKNOWN_DAY, LakeFile, Manifest, TableFiles, read_manifest, write_manifest
from analytics.lake.schema import CORRECTIONS, DIMENSIONS, EVENTS, TIME, by_day, conform, in_order, schema, to_arrow
from analytics.lake.sources import Source, portions

__all__ = [
    "CORRECTIONS",
    "DIMENSIONS",
    "EVENTS",
    "UNKNOWN_DAY",
    "Extraction",
    "Lake",
    "LakeFile",
    "Manifest",
    "Reading",
    "schema",
    "to_arrow",
]

_ROW_GROUP = 122_880
# No two alike: a dictionary of them is work and bytes for nothing.
_UNLIKE = frozenset({"id", "message_id", "provider_request_id"})
_FLUSH_ROWS = 100_000  # rows held in memory before they become files, beside as many that are being written
_COMPACT_AT = 16  # files of one table and day: a day of 96 files reads 11 times slower than one


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one extraction did: rows added per event table, watermarks after it, and what it cleared away.

    `restored` says that the store had another epoch than the lake: everything was read again, rows the lake had were not doubled.
    """

    rows: Mapping[str, int]
    watermark: Mapping[str, int | None]
    orphans: tuple[str, ...] = ()
    compacted: tuple[str, ...] = ()
    restored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Rows of a table, and the files that were left out because their bytes are not the recorded ones."""

    rows: pa.Table
    corrupt: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """The manifest in the making."""

    manifest: Manifest
    rows: dict[str, int] = field(default_factory=dict)
    compacted: list[str] = field(default_factory=list)


class Lake:
    """A directory of event and dimension files; `grace_s` is how long a replaced file stays for those who read it."""

    def __init__(self, directory: Path, *, grace_s: float = 3600.0) -> None:
        self.directory = Path(directory)
        self._grace_s = grace_s

    @property
    def _manifest_path(self) -> Path:
        return self.directory / "manifest.json"

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Be the only extractor or scorer of this lake; raises `LeaseHeld` at once. The kernel frees a killed holder's lease."""
        make_directory(self.directory)
        lock = FileLock(self.directory / ".lease")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise LeaseHeld(f"another process is extracting into or scoring {self.directory}") from None
        try:
            yield
        finally:
            lock.release()

    def manifest(self) -> Manifest:
        """What the lake holds now; raises `Corrupt` for an unreadable manifest."""
        return read_manifest(self._manifest_path)

    def files(self, table: str) -> tuple[LakeFile, ...]:
        """The files of one table, in the order they were added."""
        schema(table)
        return self.manifest().table(table).files

    def extract(self, store: Source) -> Extraction:
        """Bring the lake up to the store: new events since the watermark, and each dimension that changed.

        All of it is committed by one manifest; killed before that, nothing has happened. Raises `LeaseHeld` and
        what the store raises.
        """
        with self.lease():
            before = self.manifest()
            orphans = self._remove_orphans(before)
            epoch = store.epoch()
            restored = before.epoch not in {None, epoch}
            draft = _Draft(replace(before, epoch=epoch, retired=self._drop_retired(before)))
            for table in EVENTS:
                # Without its tombstones a deleted run would count again, without its repricings a wrong price; the store keeps
                # them all.
                lost = table in CORRECTIONS and not self._is_intact(table, before.table(table))
                self._compact(
                    table, draft
                )  # of what scoring has seen: new rows are for it to find in files of their own
                self._extract_events(store, table, draft, restored=restored or lost)
            for table in DIMENSIONS:
                self._extract_dimension(store, table, draft)
            if draft.manifest != before:
                write_manifest(self._manifest_path, draft.manifest)
            marks = {table: draft.manifest.table(table).watermark for table in EVENTS}
            return Extraction(draft.rows, marks, orphans, tuple(draft.compacted), restored)

    def forget(self, files: Mapping[str, Sequence[LakeFile]]) -> None:
        """Take raw files out of the lake, by table, in one commit; on disk they stay for their grace.

        Only for the holder of the lease, and only for files that are sealed: nothing else remembers what they held. Raises ValueError for
        a file that the manifest does not name just so.
        """
        manifest = self.manifest()
        for table, gone in files.items():
            manifest = manifest.without(table, gone, time.time())
        write_manifest(self._manifest_path, manifest)

    def load(self, table: str, file: LakeFile, columns: Sequence[str] | None = None) -> pa.Table:
        """One file's rows in today's schema; raises `Corrupt`."""
        parquet = self.open_file(file)
        try:
            present = None if columns is None else [name for name in columns if name in parquet.schema_arrow.names]
            rows = parquet.read(columns=present)
        except (OSError, pa.ArrowException) as error:
            raise Corrupt(f"{file.path} is no Parquet file ({error})") from error
        return conform(rows, table, columns)

    def open_file(self, file: LakeFile, *, dictionaries: Sequence[str] = ()) -> pq.ParquetFile:
        """A file to be read piece by piece: its bytes in memory, and these are the bytes that were hashed.

        Columns named in `dictionaries` come dictionary-encoded. Raises `Corrupt`.
        """
        path = self.directory / file.path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Corrupt(f"{file.path} cannot be read ({error.strerror})") from error
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise Corrupt(f"{file.path} does not match its recorded sha256")
        try:
            source = pa.BufferReader(data)
            metadata = pq.read_metadata(source)
            encoded = [name for name in dictionaries if name in metadata.schema.names]
            parquet = pq.ParquetFile(
                source, metadata=metadata, page_checksum_verification=True, read_dictionary=encoded
            )
        except (OSError, pa.ArrowException) as error:
            raise Corrupt(f"{file.path} is no Parquet file ({error})") from error
        if parquet.metadata.num_rows != file.rows:
            raise Corrupt(f"{file.path} has {parquet.metadata.num_rows} rows, recorded are {file.rows}")
        return parquet

    def load_all(self, table: str, files: Sequence[LakeFile], columns: Sequence[str] | None = None) -> Reading:
        """The rows of some files together, corrupt ones left out and named."""
        parts, corrupt = [], []
        for file in files:
            try:
                parts.append(self.load(table, file, columns))
            except Corrupt as error:
                corrupt.append(str(error))
        empty = conform(schema(table).empty_table(), table, columns)
        return Reading(pa.concat_tables([empty, *parts]), tuple(corrupt))

    def read(self, table: str, *, since: datetime | None = None, columns: Sequence[str] | None = None) -> Reading:
        """A table's rows; with `since`, files whose newest row is older are not opened (those opened are not cut)."""
        files = self.files(table)
        if since is not None:
            text = _text(since)
            files = tuple(file for file in files if file.max_created_at is None or file.max_created_at >= text)
        return self.load_all(table, files, columns)

    def verify(self) -> tuple[str, ...]:
        """Read every file and say which are corrupt, a sentence each."""
        manifest = self.manifest()
        readings = (self.load_all(table, manifest.table(table).files) for table in (*EVENTS, *DIMENSIONS))
        return tuple(sentence for reading in readings for sentence in reading.corrupt)

    def _extract_events(self, store: Source, table: str, draft: _Draft, *, restored: bool) -> None:
        entry = draft.manifest.table(table)
        known = self._ids(table, entry.files) if restored else None
        watermark = None if restored else entry.watermark
        held, written, added = list[pa.Table](), list[Future[list[LakeFile]]](), 0
        with ThreadPoolExecutor(1, thread_name_prefix="lake") as writer:
            for portion in portions(store, table, watermark):
                if watermark is not None and portion.watermark is not None and portion.watermark < watermark:
                    # The store was put back to an older state under the same epoch: its numbers are being given out again.
                    self._extract_events(store, table, draft, restored=True)
                    return
                watermark, rows = portion.watermark, portion.rows
                if known is not None:
                    rows = rows.filter(pc.invert(pc.is_in(rows.column("id"), known)))
                    rows = _without_days(rows, draft.manifest.pruned.get(table, ()))
                held.append(rows)
                if _count(held) >= _FLUSH_ROWS:
                    if written:
                        written[-1].result()  # one lot is written while the next is read: no more is ever held
                    added += _count(held)
                    written.append(writer.submit(self._write_days, table, pa.concat_tables(held)))
                    held = []
            if held:
                added += _count(held)
                written.append(writer.submit(self._write_days, table, pa.concat_tables(held)))
            files = (*entry.files, *(file for lot in written for file in lot.result()))
        draft.rows[table] = added
        draft.manifest = draft.manifest.with_table(table, TableFiles(watermark, files))

    def _ids(self, table: str, files: Sequence[LakeFile]) -> pa.ChunkedArray:
        """The ids in those files that can still be read: rows of a corrupt one may come again, and heal it."""
        return self.load_all(table, files, ["id"]).rows.column("id")

    def _extract_dimension(self, store: Source, table: str, draft: _Draft) -> None:
        entry = draft.manifest.table(table)
        data = _parquet(in_order(to_arrow(table, store.read_all(table))))
        if [file.sha256 for file in entry.files] == [hashlib.sha256(data).hexdigest()] and self._is_intact(
            table, entry
        ):
            return
        file = self._write(Path(table), data)
        retired = {old.path: time.time() for old in entry.files}
        draft.manifest = draft.manifest.with_table(table, TableFiles(None, (file,)), retired)

    def _is_intact(self, table: str, entry: TableFiles) -> bool:
        return not self.load_all(table, entry.files).corrupt

    def _compact(self, table: str, draft: _Draft) -> None:
        """Make one file of a day's many. A day with a corrupt file stays as it is: what was lost must stay visible."""
        entry = draft.manifest.table(table)
        by_day: dict[str, list[LakeFile]] = defaultdict(list)
        for file in entry.files:
            by_day[file.day].append(file)
        for day, files in by_day.items():
            if len(files) < _COMPACT_AT or (reading := self.load_all(table, files)).corrupt:
                continue
            entry = TableFiles(
                entry.watermark,
                (
                    *(file for file in entry.files if file.day != day),
                    *(
                        replace(made, of=tuple(sorted(leaf for file in files for leaf in file.leaves)))
                        for made in self._write_days(table, reading.rows)
                    ),
                ),
            )
            draft.manifest = draft.manifest.with_table(table, entry, {file.path: time.time() for file in files})
            draft.compacted.append(f"{table} {day}")

    def _write_days(self, table: str, rows: pa.Table) -> list[LakeFile]:
        if not rows.num_rows:
            return []
        files = []
        for day, part in by_day(rows):
            span = pc.min_max(part.column("created_at")).as_py()
            runs = sorted(pc.unique(part.column("run_id")).to_pylist()) if table == "benchmark_results" else ()
            file = self._write(Path(table) / f"dt={UNKNOWN_DAY if day is None else day}", _parquet(part))
            oldest, newest = (None if span[end] is None else _text(span[end]) for end in ("min", "max"))
            files.append(replace(file, min_created_at=oldest, max_created_at=newest, runs=tuple(runs)))
        return files

    def _write(self, folder: Path, data: bytes) -> LakeFile:
        path = folder / f"part-{uuid_utils.uuid7()}.parquet"
        make_directory(self.directory / folder)
        (self.directory / path).write_bytes(data)
        sync_file(self.directory / path)
        sync_directory(self.directory / folder)
        rows = pq.read_metadata(pa.BufferReader(data)).num_rows
        return LakeFile(path.as_posix(), hashlib.sha256(data).hexdigest(), rows)

    def _remove_orphans(self, manifest: Manifest) -> tuple[str, ...]:
        """Remove what a killed extraction wrote and never committed: the lease says nobody is writing now."""
        known = manifest.paths()
        found = (path.relative_to(self.directory).as_posix() for path in self.directory.glob("*/**/part-*.parquet"))
        orphans = tuple(sorted(path for path in found if path not in known))
        for path in orphans:
            (self.directory / path).unlink()
        for draft in self.directory.glob(".manifest.json.*.draft"):
            draft.unlink()
        return orphans

    def _drop_retired(self, manifest: Manifest) -> dict[str, float]:
        """Forget the replaced files whose grace is over: the next extraction removes them as orphans."""
        return {path: at for path, at in manifest.retired.items() if time.time() - at < self._grace_s}


def _without_days(rows: pa.Table, pruned: Collection[str]) -> pa.Table:
    """Those of other days: a store that is read again may still have rows that were pruned here, and are in the scores already."""
    if not pruned:
        return rows
    days = pc.fill_null(pc.strftime(rows.column("created_at"), "%Y-%m-%d"), UNKNOWN_DAY)
    return rows.filter(pc.invert(pc.is_in(days, pa.array(sorted(pruned), pa.string()))))


def _parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    coded = [
        field.name for field in rows.schema if field.name not in _UNLIKE and field.type not in {pa.float64(), TIME}
    ]
    pq.write_table(
        rows, sink, row_group_size=_ROW_GROUP, compression="zstd", write_page_checksum=True, use_dictionary=coded
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _count(tables: Sequence[pa.Table]) -> int:
    return sum(table.num_rows for table in tables)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
