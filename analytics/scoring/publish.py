"""Publication: an immutable directory of tables, whole and verified before a pointer names it.

Write into a draft directory, fsync each file and the directory, rename it, fsync its parent, read it back, then replace the
pointer file. A reader that has opened the old snapshot keeps it for a grace period.

A table may be given in parts (a day each) that say what they are made of. A part that the snapshot in force already has is not made again:
its file gets another name in the new snapshot's directory. A few of these are hashed each time, in turn, so that one that is damaged is made
anew before long.
"""

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from analytics.durable import make_directory, replace_file, sync_directory, sync_file
from analytics.routing.published import MANIFEST, SnapshotUnreadable, read_pointer, read_snapshot
from analytics.routing.seal import seal, unseal

KEPT = 3  # snapshots that stay whatever their age, and one that is younger than
GRACE = timedelta(hours=1)

_SNAPSHOT = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}(-\d+)?")
_DRAFT = ".draft-"
_HASHED = 4  # parts of a table that are hashed again when they are taken over
_PLAIN = 1 << 20  # bytes of a table above which compressing it takes longer than all that is computed
_ROW_GROUP = 16_384  # rows of such a table that are decoded at once


@dataclass(frozen=True, slots=True)
class Parts:
    """A table in parts: `of` changes for a part whenever what it is made of does, `make` makes the rows of those named, in their order."""

    of: Mapping[str, str]
    make: Callable[[Sequence[str]], Iterable[pa.Table]]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A file of the draft: its entry in the manifest, and whether it was written just now."""

    entry: dict[str, Any]
    is_new: bool = True


Given: TypeAlias = pa.Table | Parts


def publish(root: Path, tables: Mapping[str, Given], meta: Mapping[str, Any], pointer: str = "CURRENT") -> str:
    """Publish `tables` below `root` and let `pointer` name them; the snapshot's id.

    `meta` needs `as_of` (ISO 8601 text) and goes into the manifest. A table in parts has one at least. The id is made of as_of and the
    content, so that the same tables as of the same time are one snapshot, whoever publishes them. Raises OSError (disk full) or
    SnapshotUnreadable, and then the old snapshot stays.
    """
    root = make_directory(Path(root))
    with FileLock(root / ".publish.lock"):
        _remove_drafts(root)
        before = _Before(root, current(root, pointer))
        draft = root / f"{_DRAFT}next"
        pieces = _drafted(draft, tables, before)
        wanted = _snapshot_id(pieces, meta)
        snapshot_id = _unused_id(root, wanted)
        if (root / snapshot_id).exists():
            shutil.rmtree(draft)
        else:
            if snapshot_id != wanted:  # what stood there is damaged: nothing is taken over
                shutil.rmtree(draft)
                pieces = _drafted(draft, tables, _Before(root, None))
            manifest = {
                **meta,
                "snapshot_id": snapshot_id,
                "created_at": datetime.now(UTC).isoformat(),
                "turn": before.turn + 1,
                "tables": {name: _entry(tables[name], found) for name, found in pieces.items()},
            }
            _write(draft / MANIFEST, seal(manifest))
            sync_directory(draft)
            draft.rename(root / snapshot_id)
            sync_directory(root)
            _verify(root / snapshot_id, pieces, manifest)
        replace_file(root / pointer, f"{snapshot_id}\n".encode())
        remove_old(root)
    return snapshot_id


def remove_old(root: Path, *, now: datetime | None = None) -> list[str]:
    """Remove snapshots that no pointer names, that are not among the last three, and whose grace is over; their ids."""
    now = now or datetime.now(UTC)
    named = {path.read_text(encoding="utf-8").strip() for path in root.glob("CURRENT*") if path.is_file()}
    made = {path.name: _created(path) for path in root.iterdir() if _SNAPSHOT.fullmatch(path.name)}
    newest = sorted(made, key=lambda name: (made[name], name), reverse=True)[:KEPT]
    old = sorted(name for name in made if name not in {*named, *newest} and now - made[name] > GRACE)
    for name in old:
        # Renamed first, so that a removal that is cut short leaves a draft and not half a snapshot.
        (root / name).rename(root / f"{_DRAFT}{name}")
        shutil.rmtree(root / f"{_DRAFT}{name}")
    return old


def current(root: Path, pointer: str = "CURRENT") -> str | None:
    """The id that `pointer` names, or None if nothing was published or the pointer is unreadable."""
    try:
        return read_pointer(Path(root), pointer)
    except SnapshotUnreadable:
        return None


class _Before:
    """The parts of the snapshot in force, as far as its manifest can be read. `turn` says whose turn it is to be hashed again."""

    def __init__(self, root: Path, snapshot_id: str | None) -> None:
        self.turn = 0
        self._directory = root / (snapshot_id or "")
        self._parts: dict[tuple[str, str, str], tuple[int, dict[str, Any]]] = {}
        if snapshot_id is None:
            return
        try:
            manifest = unseal((self._directory / MANIFEST).read_bytes())
            self.turn = int(manifest.get("turn", 0))
            for table, entry in manifest["tables"].items():
                for number, part in enumerate(entry.get("parts", ())):
                    self._parts[table, part["name"], part["of"]] = (number, part)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._parts = {}

    def take_over(self, draft: Path, table: str, name: str, of: str, parts: int) -> _Piece | None:
        """Give the file of that part another name in `draft`, if it is there and of the right size, and whole if it is its turn to be
        looked at; None where it is not.
        """
        number, entry = self._parts.get((table, name, of), (0, {}))
        if not entry:
            return None
        path = self._directory / entry["file"]
        try:
            if path.stat().st_size != entry["bytes"]:
                return None
            if (number - self.turn * _HASHED) % parts < _HASHED and _sha256(path) != entry["sha256"]:
                return None
        except OSError:
            return None
        return _Piece(entry, is_new=False) if _linked(path, draft / entry["file"], entry["sha256"]) else None


def _drafted(draft: Path, tables: Mapping[str, Given], before: _Before) -> dict[str, list[_Piece]]:
    """Write the files of all tables into a new directory."""
    draft.mkdir()
    return {name: _pieces(draft, name, tables[name], before) for name in sorted(tables)}


def _pieces(draft: Path, name: str, given: Given, before: _Before) -> list[_Piece]:
    if isinstance(given, pa.Table):
        return [_Piece(_write_table(draft / f"{name}.parquet", given, is_packed=given.nbytes < _PLAIN))]
    found = {part: before.take_over(draft, name, part, of, len(given.of)) for part, of in given.of.items()}
    missing = [part for part, piece in found.items() if piece is None]
    for part, table in zip(missing, given.make(missing), strict=True):
        path = draft / f"{name}.{part}.parquet"
        entry = _write_table(path, table, is_packed=True)
        found[part] = _Piece({"name": part, "of": given.of[part], "bytes": path.stat().st_size, **entry})
    return [piece for piece in found.values() if piece is not None]


def _entry(given: Given, pieces: list[_Piece]) -> dict[str, Any]:
    if isinstance(given, pa.Table):
        return pieces[0].entry
    return {"rows": sum(piece.entry["rows"] for piece in pieces), "parts": [piece.entry for piece in pieces]}


def _snapshot_id(pieces: Mapping[str, list[_Piece]], meta: Mapping[str, Any]) -> str:
    sums = {name: [piece.entry["sha256"] for piece in found] for name, found in pieces.items()}
    content = json.dumps([sums, {key: value for key, value in meta.items() if key != "inputs"}], sort_keys=True)
    moment = datetime.fromisoformat(meta["as_of"]).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _unused_id(root: Path, snapshot_id: str) -> str:
    """That id, or one with a number behind it where a directory of that name is there and damaged: none is written to again."""
    candidate, number = snapshot_id, 1
    while (root / candidate).exists():
        try:
            read_snapshot(root / candidate)
        except SnapshotUnreadable:
            number += 1
            candidate = f"{snapshot_id}-{number}"
        else:
            break
    return candidate


def _linked(old: Path, new: Path, sha256: str) -> bool:
    """Give a file another name, or where that cannot be, copy it if it is whole."""
    try:
        os.link(old, new)
    except OSError:  # a file system without links, or with too many of this one
        data = old.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            return False
        _write(new, data)
    return True


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    sync_file(path)


def _verify(directory: Path, pieces: Mapping[str, list[_Piece]], manifest: Mapping[str, Any]) -> None:
    """Raise `SnapshotUnreadable` unless what was written can be read: every new file is what was to be written, and can be decoded."""
    path = directory / MANIFEST
    if path.read_bytes() != seal(manifest):
        raise SnapshotUnreadable("corrupt", path, "it is not what was written")
    for piece in (piece for found in pieces.values() for piece in found):
        if piece.is_new:
            path = directory / piece.entry["file"]
            if _sha256(path) != piece.entry["sha256"]:
                raise SnapshotUnreadable("corrupt", path, "it is not what was written")
            _decode(path, piece.entry["rows"])


def _decode(path: Path, rows: int) -> None:
    """Decode a file some rows at a time: fresh memory for all of it would cost more than the decoding."""
    try:
        with pq.ParquetFile(path) as file:
            found = sum(file.read_row_group(at, use_threads=False).num_rows for at in range(file.num_row_groups))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SnapshotUnreadable("corrupt", path, f"it cannot be decoded ({error})") from error
    if found != rows:
        raise SnapshotUnreadable("corrupt", path, f"it has {found} rows, published were {rows}")


class _Hashed(io.RawIOBase):
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._sha256 = file, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: Any) -> int:
        self._sha256.update(data)
        return self._file.write(data)

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def _write_table(path: Path, table: pa.Table, *, is_packed: bool) -> dict[str, Any]:
    """Write a table, compressed or plain, and sync it; its entry. Of numbers only whole ones of a large table repeat enough for dictionaries.

    It goes to the file as it is encoded: to hold all of it in memory would cost more than the encoding.
    """
    repeating = [
        column.name
        for column in table.schema
        if pa.types.is_string(column.type) or (pa.types.is_integer(column.type) and not is_packed)
    ]
    with path.open("wb") as file:
        hashed = _Hashed(file)
        pq.write_table(
            table.combine_chunks() if is_packed else table,
            hashed,
            compression="zstd" if is_packed else "none",
            use_dictionary=repeating or False,
            write_statistics=is_packed,
            write_page_checksum=True,
            row_group_size=None if is_packed else _ROW_GROUP,
        )
        file.flush()
        os.fsync(file.fileno())
    return {"file": path.name, "sha256": hashed.hexdigest(), "rows": table.num_rows}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _created(directory: Path) -> datetime:
    return datetime.fromtimestamp(directory.stat().st_mtime, UTC)


def _remove_drafts(root: Path) -> None:
    """What a killed publisher left: the lock says nobody is writing now."""
    for path in root.glob(f"{_DRAFT}*"):
        shutil.rmtree(path)
    for path in root.glob(".CURRENT*.draft"):
        path.unlink()
