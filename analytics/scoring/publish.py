"""Publication: an immutable directory of tables, whole and verified before a pointer names it.

Write into a draft directory, fsync each file and the directory, rename it, fsync its parent, read it back with the
lookup's own reader, then replace the pointer file. A reader that has opened the old snapshot keeps it for a grace period.

A table may be given in parts (a day each) that say what they are made of. A part that the snapshot in force already has is not made again:
its file gets another name in the new snapshot's directory. A few of these are hashed each time, in turn, so that one that is damaged is made
anew before long.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from analytics.durable import make_directory, replace_file, sync_directory, sync_file
from analytics.routing.published import MANIFEST, SnapshotUnreadable, decode, read_pointer, read_snapshot
from analytics.routing.seal import seal, unseal

KEPT = 3  # snapshots that stay whatever their age, and one that is younger than
GRACE = timedelta(hours=1)

_SNAPSHOT = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}(-\d+)?")
_DRAFT = ".draft-"
_HASHED = 4  # parts of a table that are hashed again when they are taken over
_PLAIN = 1 << 20  # bytes of a table above which compressing it takes longer than all that is computed


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a table: `of` changes whenever what it is made of does, `make` makes its rows."""

    name: str
    of: str
    make: Callable[[], pa.Table]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A file of a snapshot: its entry, and its bytes, or the path at which they are already."""

    entry: dict[str, Any]
    data: bytes | None = field(default=None, repr=False)
    path: Path | None = None


Given: TypeAlias = pa.Table | Sequence[Part]


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
        pieces = {name: _pieces(name, tables[name], before) for name in sorted(tables)}
        wanted = _snapshot_id(pieces, meta)
        snapshot_id = _unused_id(root, wanted)
        if not (root / snapshot_id).exists():
            if snapshot_id != wanted:  # what stood there is damaged: nothing is taken over
                pieces = {name: _pieces(name, tables[name], _Before(root, None)) for name in sorted(tables)}
            manifest = {
                **meta,
                "snapshot_id": snapshot_id,
                "created_at": datetime.now(UTC).isoformat(),
                "turn": before.turn + 1,
                "tables": {name: _entry(tables[name], found) for name, found in pieces.items()},
            }
            _write_whole(root, snapshot_id, [piece for found in pieces.values() for piece in found], manifest)
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

    def find(self, table: str, part: Part, parts: int) -> _Piece | None:
        """The file of that part, if it is there and of the right size, and whole if it is its turn to be looked at."""
        number, entry = self._parts.get((table, part.name, part.of), (0, {}))
        if not entry:
            return None
        path = self._directory / entry["file"]
        try:
            is_good = path.stat().st_size == entry["bytes"]
            if is_good and (number - self.turn * _HASHED) % parts < _HASHED:
                is_good = hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
        except OSError:
            return None
        return _Piece(entry, path=path) if is_good else None


def _pieces(name: str, given: Given, before: _Before) -> list[_Piece]:
    if isinstance(given, pa.Table):
        data = _parquet(given, is_packed=given.nbytes < _PLAIN)
        return [_Piece(_file_entry(f"{name}.parquet", data, given), data)]
    pieces = []
    for part in given:
        piece = before.find(name, part, len(given))
        if piece is None:
            table = part.make()
            data = _parquet(table, is_packed=True)
            own = {"name": part.name, "of": part.of, "bytes": len(data)}
            piece = _Piece({**own, **_file_entry(f"{name}.{part.name}.parquet", data, table)}, data)
        pieces.append(piece)
    return pieces


def _file_entry(file: str, data: bytes, table: pa.Table) -> dict[str, Any]:
    return {"file": file, "sha256": hashlib.sha256(data).hexdigest(), "rows": table.num_rows}


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


def _write_whole(root: Path, snapshot_id: str, pieces: Sequence[_Piece], manifest: Mapping[str, Any]) -> None:
    draft = root / f"{_DRAFT}{snapshot_id}"
    draft.mkdir()
    for piece in (*pieces, _Piece({"file": MANIFEST}, seal(manifest))):
        path = draft / piece.entry["file"]
        if piece.path is not None and _linked(piece.path, path):
            continue
        path.write_bytes(piece.data if piece.path is None else _whole(piece))
        sync_file(path)
    sync_directory(draft)
    draft.rename(root / snapshot_id)
    sync_directory(root)


def _linked(old: Path, new: Path) -> bool:
    try:
        os.link(old, new)
    except OSError:  # a file system without links, or with too many of this one
        return False
    return True


def _whole(piece: _Piece) -> bytes:
    assert piece.path is not None
    data = piece.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != piece.entry["sha256"]:
        raise SnapshotUnreadable("corrupt", piece.path, "its sha256 is not the published one")
    return data


def _verify(directory: Path, pieces: Mapping[str, list[_Piece]], manifest: Mapping[str, Any]) -> None:
    """Raise `SnapshotUnreadable` unless what was written can be read: every new file is what was to be written, and can be decoded."""
    path = directory / MANIFEST
    if path.read_bytes() != seal(manifest):
        raise SnapshotUnreadable("corrupt", path, "it is not what was written")
    for piece in (piece for found in pieces.values() for piece in found):
        if piece.data is not None:
            path = directory / piece.entry["file"]
            data = path.read_bytes()
            if data != piece.data:
                raise SnapshotUnreadable("corrupt", path, "it is not what was written")
            decode(path, data, piece.entry["rows"], verify=False)


def _parquet(table: pa.Table, *, is_packed: bool) -> bytes:
    """As a file, compressed or plain: then numbers are without dictionaries too, as they hardly repeat."""
    sink = pa.BufferOutputStream()
    if is_packed:
        pq.write_table(table.combine_chunks(), sink, compression="zstd", write_page_checksum=True)
    else:
        texts = [column.name for column in table.schema if pa.types.is_string(column.type)]
        pq.write_table(
            table,
            sink,
            compression="none",
            use_dictionary=texts or False,
            write_statistics=False,
            write_page_checksum=True,
        )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _created(directory: Path) -> datetime:
    return datetime.fromtimestamp(directory.stat().st_mtime, UTC)


def _remove_drafts(root: Path) -> None:
    """What a killed publisher left: the lock says nobody is writing now."""
    for path in root.glob(f"{_DRAFT}*"):
        shutil.rmtree(path)
    for path in root.glob(".CURRENT*.draft"):
        path.unlink()
