"""A tiny publisher, written from the description of the format alone, so that the reader is tested against the
format and not against the program's own publisher.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def publish(
    root: Path,
    snapshot_id: str,
    tables: Mapping[str, pa.Table],
    *,
    pointer: str = "CURRENT",
    suffix: str = "parquet",
    **meta: Any,
) -> Path:
    """Write `root/snapshot_id` and point `root/pointer` at it; returns the snapshot's directory."""
    directory = root / snapshot_id
    directory.mkdir(parents=True)
    entries = {}
    for name, table in tables.items():
        path = directory / f"{name}.{suffix}"
        if suffix == "arrow":
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
        else:
            pq.write_table(table, path, write_page_checksum=True)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries[name] = {"file": path.name, "sha256": digest, "rows": table.num_rows}
    manifest = {"snapshot_id": snapshot_id, **meta, "tables": entries}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    point(root, snapshot_id, pointer)
    return directory


def point(root: Path, snapshot_id: str, pointer: str = "CURRENT") -> None:
    """Move the pointer in one step."""
    draft = root / f".{pointer}.draft"
    draft.write_text(snapshot_id + "\n")
    draft.replace(root / pointer)
