"""Reading what was published: an immutable directory of tables, named by a pointer file.

::

    <root>/CURRENT                    the name of the snapshot in force, one line
    <root>/<snapshot_id>/manifest.json    {"snapshot_id", ..., "tables": {name: {"file", "sha256", "rows"}}, "sha256"}
    <root>/<snapshot_id>/<table>.parquet | .arrow

A table may lie in parts, a file each: {"rows", "parts": [{"file", "sha256", "rows"}, ...]}, one behind the other.
Publishers read back what they wrote with this same reader before they move the pointer.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from .seal import unseal

MANIFEST = "manifest.json"
_ATTEMPTS = 3  # a pointer that moves under each of three reads is a broken publisher, not a race

Cause = Literal["missing", "dangling", "corrupt"]


class SnapshotUnreadable(Exception):  # it says what is wrong better than SnapshotError would
    """A published directory cannot be used: `path` is the file at fault, `detail` says in words what is wrong with it.

    `cause` is `missing` (nothing was ever published), `dangling` (the pointer names what is not there) or
    `corrupt` (bytes, row counts or the manifest are not what was published).
    """

    def __init__(self, cause: Cause, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.cause = cause
        self.path = path
        self.detail = detail


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """One snapshot in memory: its manifest without the file list, and its tables by name."""

    meta: Mapping[str, Any]
    tables: Mapping[str, pa.Table]

    @property
    def snapshot_id(self) -> str:
        """The name of its directory."""
        return str(self.meta["snapshot_id"])


def read_pointer(root: Path, pointer: str = "CURRENT") -> str:
    """The name of the snapshot that `root/pointer` points to; raises `SnapshotUnreadable`."""
    path = Path(root) / pointer
    try:
        name = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise SnapshotUnreadable(
            "missing", path, "there is no such pointer file, so nothing has been published"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotUnreadable("corrupt", path, f"the pointer cannot be read ({_brief(error)})") from error
    if not _is_plain_name(name):
        raise SnapshotUnreadable("corrupt", path, f"{name[:80]!r} is not the name of a snapshot")
    return name


def read_published(
    root: Path,
    pointer: str = "CURRENT",
    *,
    verify: bool = True,
    dictionaries: Sequence[str] = (),
    only: Collection[str] | None = None,
) -> Published:
    """Read the snapshot in force.

    If the publisher moves the pointer and removes the old snapshot while it is being read, the new one is read
    instead. Raises `SnapshotUnreadable`, which names the file and the cause.
    """
    name = read_pointer(root, pointer)
    for _ in range(_ATTEMPTS):
        try:
            return read_snapshot(Path(root) / name, verify=verify, dictionaries=dictionaries, only=only)
        except SnapshotUnreadable:
            previous, name = name, read_pointer(root, pointer)
            if name == previous:
                raise
    return read_snapshot(Path(root) / name, verify=verify, dictionaries=dictionaries, only=only)


def read_snapshot(
    directory: Path,
    *,
    verify: bool = True,
    dictionaries: Sequence[str] = (),
    only: Collection[str] | None = None,
) -> Published:
    """Read one snapshot directory whole, whether or not a pointer names it.

    With `verify`, each file's sha256 must be the recorded one; row counts are compared always. The bytes that were
    hashed are the bytes that are decoded: no path is opened twice. Columns named in `dictionaries` come dictionary-encoded
    out of Parquet, which is quicker and smaller where texts repeat. `only` names the tables that are wanted, None: all. Raises
    `SnapshotUnreadable`.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    meta = {name: value for name, value in manifest.items() if name != "tables"}
    path, encoded = directory / MANIFEST, list(dictionaries)
    entries = {name: entry for name, entry in manifest["tables"].items() if only is None or name in only}
    return Published(meta, {name: _read_table(path, name, entry, verify, encoded) for name, entry in entries.items()})


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of one snapshot, its `tables` by name; raises `SnapshotUnreadable`."""
    path = directory / MANIFEST
    try:
        manifest = unseal(_bytes_of(path))
    except ValueError as error:
        raise SnapshotUnreadable(
            "corrupt", path, f"the manifest is not what was published ({_brief(error)})"
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("tables"), dict):
        raise SnapshotUnreadable("corrupt", path, "the manifest has no `tables` object")
    if manifest.get("snapshot_id") != directory.name:
        detail = f"the manifest is of snapshot {manifest.get('snapshot_id')!r}, not of {directory.name!r}"
        raise SnapshotUnreadable("corrupt", path, detail)
    return manifest


def _read_table(manifest: Path, name: str, entry: Any, verify: bool, dictionaries: list[str]) -> pa.Table:
    match entry:
        case {"parts": [_, *_] as parts, "rows": int(rows)}:
            table = pa.concat_tables(_read_table(manifest, name, part, verify, dictionaries) for part in parts)
            if table.num_rows != rows:
                detail = f"the parts of table {name!r} have {table.num_rows} rows, published were {rows}"
                raise SnapshotUnreadable("corrupt", manifest, detail)
            return table
        case {"file": str(file), "sha256": str(sha256), "rows": int(rows)} if _is_plain_name(file):
            path = manifest.parent / file
        case _:
            detail = f"table {name!r} needs a `file` beside the manifest, a `sha256` and a number of `rows`"
            raise SnapshotUnreadable("corrupt", manifest, detail)
    data = _bytes_of(path)
    if verify and hashlib.sha256(data).hexdigest() != sha256:
        raise SnapshotUnreadable("corrupt", path, "its sha256 is not the published one")
    return decode(path, data, rows, verify=verify, dictionaries=dictionaries)


def decode(path: Path, data: bytes, rows: int, *, verify: bool = True, dictionaries: Sequence[str] = ()) -> pa.Table:
    """The table that the bytes of the file at `path` hold; raises `SnapshotUnreadable` unless it has so many rows."""
    try:
        source = pa.BufferReader(data)
        if path.suffix == ".arrow":
            table = pa.ipc.open_file(source).read_all()
        else:
            metadata = pq.read_metadata(source)
            there = [name for name in dictionaries if name in metadata.schema.names]
            file = pq.ParquetFile(source, metadata=metadata, page_checksum_verification=verify, read_dictionary=there)
            table = file.read(use_threads=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SnapshotUnreadable("corrupt", path, f"it cannot be decoded ({_brief(error)})") from error
    if table.num_rows != rows:
        raise SnapshotUnreadable("corrupt", path, f"it has {table.num_rows} rows, published were {rows}")
    return table


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SnapshotUnreadable(
            "dangling", path, "the snapshot is named as published, but this file is not there"
        ) from None
    except OSError as error:
        raise SnapshotUnreadable("corrupt", path, f"it cannot be read ({_brief(error)})") from error


def _is_plain_name(name: str) -> bool:
    """Whether `name` stays inside its directory."""
    return bool(name) and len(name) <= 200 and not name.startswith(".") and not set(name) & set("/\\\0\n\r")


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
