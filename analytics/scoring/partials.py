"""Opinions of one day, kept under the digest of everything they were computed from.

::

    partials/dt=YYYY-MM-DD/<digest>-<table>.parquet
    partials/dt=YYYY-MM-DD/<digest>.json        written last: sha256 of each table

Which opinion is the newest is no sum, so feedback is not absorbed like requests: a day whose files did not change is read back, any other is
computed anew. They are a cache: a partial that is damaged or gone is computed again.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analytics.durable import make_directory, replace_file
from analytics.lake import EVENTS, Lake, LakeFile, Manifest, to_arrow
from analytics.scoring.tables import compute, needed, scoring_sql

_TABLES = ("day_votes", "day_left_out")
_DIGITS = 32
_NO_DAY = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Feedback:
    """The tables of all days together; `corrupt` are the sentences about files that were left out of them."""

    tables: dict[str, pa.Table]
    corrupt: tuple[str, ...]


class Partials:
    """The partials below one directory. Only the holder of the lake's lease may use it."""

    def __init__(self, directory: Path) -> None:
        self._directory = Path(directory)

    def all_days(self, lake: Lake, manifest: Manifest) -> Feedback:
        """Every day's tables, read back where nothing they rest on changed, else computed."""
        parts: dict[str, list[pa.Table]] = {name: [] for name in _TABLES}
        digests, corrupt = dict[str, str](), tuple[str, ...]()
        days: dict[str, list[LakeFile]] = {_NO_DAY: []}  # so that there is always one
        for file in manifest.table("feedback_events").files:
            days.setdefault(file.day, []).append(file)
        for day, files in sorted(days.items()):
            digests[day] = digest = _digest(files)
            tables = self._read(day, digest)
            if tables is None:
                reading = lake.load_all("feedback_events", files)
                tables, corrupt = _computed(reading.rows), corrupt + reading.corrupt
                if not reading.corrupt:  # what rests on a part of a day is never kept under the digest of all of it
                    self._write(day, digest, tables)
            for name, table in tables.items():
                parts[name].append(table)
        self._forget_all_but(digests)
        return Feedback({name: pa.concat_tables(found) for name, found in parts.items()}, corrupt)

    def _forget_all_but(self, kept: dict[str, str]) -> None:
        for path in self._directory.glob("dt=*/*"):
            if not path.name.startswith(kept.get(path.parent.name.removeprefix("dt="), "-")):
                path.unlink()

    def _folder(self, day: str) -> Path:
        return self._directory / f"dt={day}"

    def _read(self, day: str, digest: str) -> dict[str, pa.Table] | None:
        """What was kept, whole and unchanged, or None."""
        try:
            record = json.loads((self._folder(day) / f"{digest}.json").read_bytes())
            tables = {}
            for name in _TABLES:
                data = (self._folder(day) / f"{digest}-{name}.parquet").read_bytes()
                if hashlib.sha256(data).hexdigest() != record[name]:
                    return None
                tables[name] = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return tables

    def _write(self, day: str, digest: str, tables: dict[str, pa.Table]) -> None:
        make_directory(self._folder(day))
        sums = {}
        for name, table in tables.items():
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
            data = sink.getvalue().to_pybytes()
            replace_file(self._folder(day) / f"{digest}-{name}.parquet", data)
            sums[name] = hashlib.sha256(data).hexdigest()
        replace_file(self._folder(day) / f"{digest}.json", json.dumps(sums, sort_keys=True).encode())


def _computed(feedback: pa.Table) -> dict[str, pa.Table]:
    """Votes of these rows, and which of them are left out; requests have no part in it."""
    return compute(_TABLES, {**{name: to_arrow(name, ()) for name in EVENTS}, "feedback_events": feedback}, {})


def _digest(files: list[LakeFile]) -> str:
    program = {name: scoring_sql()[name] for name in needed(_TABLES, EVENTS)}
    document = json.dumps([program, sorted(file.sha256 for file in files)], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:_DIGITS]
