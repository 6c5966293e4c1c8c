"""Which lake files are in the sums, and what a refresh has to do so that they are those of the manifest.

A file is absorbed once. Its entry remembers its sha256, the extracted files whose rows it holds, and what of it did not count.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from analytics.lake import LakeFile, Manifest

ABSORBED = ("benchmark_results", "request_events")


LeftOut = tuple[str, bool | None, str, int, str]  # source, is_simulated, reason, rows, least id


@dataclass(frozen=True, slots=True)
class Entry:
    """An absorbed file, and what of it did not count. `is_kept` says that only its sums are left."""

    table: str
    file: LakeFile
    left_out: tuple[LeftOut, ...] = ()
    is_kept: bool = False


Ledger = dict[str, Entry]  # by the file's path


@dataclass(slots=True)
class Plan:
    """What is new, what is gone, and what a compacted file took the place of: its path -> those of the entries it replaces."""

    new: list[tuple[str, LakeFile]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    swapped: dict[str, tuple[str, LakeFile, list[str]]] = field(default_factory=dict)


def plan(ledger: Mapping[str, Entry], manifest: Manifest) -> Plan:
    """Compare what was absorbed with what there is."""
    made = Plan()
    present = {file.path: (table, file) for table in ABSORBED for file in manifest.table(table).files}
    gone = {
        path
        for path, entry in ledger.items()
        if not entry.is_kept and (path not in present or present[path][1].sha256 != entry.file.sha256)
    }
    holder = {(ledger[path].table, leaf): path for path in sorted(gone) for leaf in ledger[path].file.leaves}
    for path, (table, file) in present.items():
        if path in ledger and path not in gone:
            continue
        old = {holder.get((table, leaf), "") for leaf in file.leaves}
        is_whole = (
            file.of and "" not in old and {leaf for one in old for leaf in ledger[one].file.leaves} == set(file.leaves)
        )
        if is_whole:
            made.swapped[path] = (table, file, sorted(old))
            gone -= old
        else:
            made.new.append((table, file))
    made.gone = sorted(gone)
    return made


def tallied_reasons(left_out: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """One row of each source, kind and reason."""
    found: dict[tuple[str, bool | None, str], tuple[int, str]] = {}
    for source, kind, reason, rows, example in left_out:
        before, least = found.get((source, kind, reason), (0, example))
        found[source, kind, reason] = (before + rows, min(least, example))
    return tuple((*key, *value) for key, value in sorted(found.items(), key=str))


def to_bytes(ledger: Mapping[str, Entry]) -> bytes:
    """For `from_bytes`."""
    return json.dumps([asdict(entry) for entry in ledger.values()], separators=(",", ":")).encode()


def from_bytes(data: bytes) -> Ledger:
    entries = [_entry(document) for document in json.loads(data)]
    return {entry.file.path: entry for entry in entries}


def _entry(document: dict[str, Any]) -> Entry:
    file = document["file"]
    made = LakeFile(**{**file, "runs": tuple(file["runs"]), "of": tuple(file["of"])})
    left_out = tuple(
        (source, kind, reason, rows, example) for source, kind, reason, rows, example in document["left_out"]
    )
    return Entry(document["table"], made, left_out, document["is_kept"])
