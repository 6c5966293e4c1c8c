"""The lake's manifest: which files there are, with their checksums, and up to where each table has been read.

Files and watermark stand in one document that is replaced in one step, so a killed extraction has either happened or not. It carries
a checksum of itself; one from before there was one still reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from analytics.durable import replace_file
from analytics.errors import Corrupt
from analytics.routing.seal import seal, unseal

UNKNOWN_DAY = "unknown"  # of rows whose created_at could not be read: kept, and left out of scores with that reason


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One immutable Parquet file: `path` is relative to the lake, times are text, `runs` the run ids it holds rows of.

    `of` are the sha256 of the files that it was compacted from, those that were extracted and not what lay between: it holds their
    rows and no others.
    """

    path: str
    sha256: str
    rows: int
    min_created_at: str | None = None
    max_created_at: str | None = None
    runs: tuple[str, ...] = ()
    of: tuple[str, ...] = ()

    @property
    def leaves(self) -> tuple[str, ...]:
        """The sha256 of the extracted files whose rows it holds: its own, unless it was compacted."""
        return self.of or (self.sha256,)

    @property
    def day(self) -> str:
        """`YYYY-MM-DD` of an event file, `unknown`, or '' of a dimension."""
        folder = Path(self.path).parent.name
        return folder.removeprefix("dt=") if folder.startswith("dt=") else ""


@dataclass(frozen=True, slots=True)
class TableFiles:
    """The files of one table; `watermark` is the store's number of the last row in them (null: nothing read, or a dimension)."""

    watermark: int | None = None
    files: tuple[LakeFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """`epoch` is the store's; `retired` maps files that a later one replaced to the second (Unix time) this happened; `pruned` says
    how many rows of which day of a table were taken out of the lake on purpose.
    """

    epoch: str | None = None
    tables: Mapping[str, TableFiles] = field(default_factory=dict)
    retired: Mapping[str, float] = field(default_factory=dict)
    pruned: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def table(self, name: str) -> TableFiles:
        """The files of one table; none of a table that was never extracted."""
        return self.tables.get(name, TableFiles())

    def with_table(self, name: str, entry: TableFiles, retired: Mapping[str, float] | None = None) -> "Manifest":
        """The manifest with one table replaced and some files retired."""
        return replace(self, tables={**self.tables, name: entry}, retired={**self.retired, **(retired or {})})

    def without(self, table: str, files: Sequence[LakeFile], at: float) -> "Manifest":
        """The manifest with files pruned at that second. Raises ValueError for a file that it does not name just so."""
        entry = self.table(table)
        if strangers := [file.path for file in files if file not in entry.files]:
            raise ValueError(f"the lake has no such file of {table}: {', '.join(strangers)}")
        rows = dict(self.pruned.get(table, {}))
        for file in files:
            rows[file.day] = rows.get(file.day, 0) + file.rows
        kept = TableFiles(entry.watermark, tuple(file for file in entry.files if file not in files))
        made = self.with_table(table, kept, {file.path: at for file in files})
        return replace(made, pruned={**self.pruned, table: rows})

    def days(self) -> list[str]:
        """The days that have events, in order."""
        return sorted({file.day for entry in self.tables.values() for file in entry.files if file.day})

    def paths(self) -> set[str]:
        """Every file that is still somebody's."""
        return {file.path for entry in self.tables.values() for file in entry.files} | set(self.retired)


def read_manifest(path: Path) -> Manifest:
    """The manifest at `path`, empty if there is none yet; raises `Corrupt`."""
    try:
        document: dict[str, Any] = unseal(path.read_bytes())
        tables = {
            name: TableFiles(
                entry["watermark"],
                tuple(_file(file) for file in entry["files"]),
            )
            for name, entry in document["tables"].items()
        }
        return Manifest(document["epoch"], tables, document.get("retired", {}), document.get("pruned", {}))
    except FileNotFoundError:
        return Manifest()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{path} is no manifest of a lake ({type(error).__name__}: {error})") from error


def _file(entry: dict[str, Any]) -> LakeFile:
    return LakeFile(**{**entry, "runs": tuple(entry.get("runs", ())), "of": tuple(entry.get("of", ()))})


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Commit: from here on the files and watermarks in `manifest` are the lake's."""
    replace_file(path, seal(asdict(manifest)))
