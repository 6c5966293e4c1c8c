"""Publication: an immutable directory of tables, whole and verified before a pointer names it.

Write into a draft directory, fsync each file and the directory, rename it, fsync its parent, read it back with the
lookup's own reader, then replace the pointer file. A reader that has opened the old snapshot keeps it for a grace period.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from analytics.durable import make_directory, replace_file, sync_directory, sync_file
from analytics.routing.published import MANIFEST, SnapshotUnreadable, read_pointer, read_snapshot
from analytics.routing.seal import seal

KEPT = 3  # snapshots that stay whatever their age, and one that is younger than
GRACE = timedelta(hours=1)

_SNAPSHOT = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}(-\d+)?")
_DRAFT = ".draft-"


def publish(root: Path, tables: Mapping[str, pa.Table], meta: Mapping[str, Any], pointer: str = "CURRENT") -> str:
    """Publish `tables` below `root` and let `pointer` name them; the snapshot's id.

    `meta` needs `as_of` (ISO 8601 text) and goes into the manifest. The id is made of as_of and the content, so that the
    same tables as of the same time are one snapshot, whoever publishes them. Raises OSError (disk full) or
    SnapshotUnreadable, and then the old snapshot stays.
    """
    root = make_directory(Path(root))
    with FileLock(root / ".publish.lock"):
        _remove_drafts(root)
        data = {name: _parquet(table) for name, table in sorted(tables.items())}
        snapshot_id = _unused_id(root, _snapshot_id(data, meta))
        if not (root / snapshot_id).exists():
            entries = {name: _entry(name, data[name], tables[name]) for name in data}
            manifest = {
                **meta,
                "snapshot_id": snapshot_id,
                "created_at": datetime.now(UTC).isoformat(),
                "tables": entries,
            }
            _write_whole(root, snapshot_id, data, manifest)
            read_snapshot(root / snapshot_id)
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


def _snapshot_id(data: Mapping[str, bytes], meta: Mapping[str, Any]) -> str:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in data.items()}
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


def _write_whole(root: Path, snapshot_id: str, data: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    draft = root / f"{_DRAFT}{snapshot_id}"
    draft.mkdir()
    document = seal(manifest)
    for name, content in {**{f"{name}.parquet": content for name, content in data.items()}, MANIFEST: document}.items():
        (draft / name).write_bytes(content)
        sync_file(draft / name)
    sync_directory(draft)
    draft.rename(root / snapshot_id)
    sync_directory(root)


def _entry(name: str, data: bytes, table: pa.Table) -> dict[str, Any]:
    return {"file": f"{name}.parquet", "sha256": hashlib.sha256(data).hexdigest(), "rows": table.num_rows}


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, compression="zstd", write_page_checksum=True)
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
