"""Tables for others: what the lake and the newest snapshot hold, written as Parquet, CSV or JSON Lines."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from analytics.errors import UnknownName
from analytics.lake import Lake, Reading
from analytics.results import read_results
from analytics.routing.published import SnapshotUnreadable, read_published

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def exportable(lake_folder: Path, scoring_folder: Path) -> dict[str, Callable[[], Reading]]:
    """Every table that can be exported by name, each as a function that reads it.

    Results are those that count now, at corrected prices. A snapshot's tables come from real evidence where there is any, else
    from simulated evidence.
    """
    lake = Lake(lake_folder)
    tables: dict[str, Callable[[], Reading]] = {name: partial(lake.read, name) for name in lake.manifest().tables}
    if "benchmark_results" in tables:
        tables["benchmark_results"] = partial(read_results, lake)
    for pointer in ("CURRENT", "CURRENT-simulated"):
        try:
            published = read_published(scoring_folder, pointer)
        except SnapshotUnreadable:
            continue
        return tables | {name: partial(Reading, rows) for name, rows in published.tables.items()}
    return tables


def write_table(rows: pa.Table, path: Path) -> None:
    """Write `rows` to `path` in the format its name ends in; the file appears whole or not at all.

    In CSV, text that a spreadsheet would run as a formula gets a quote in front. Raises UnknownName for another ending.
    """
    writers = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_json_lines}
    if path.suffix not in writers:
        raise UnknownName(f"{path}: the name must end in .parquet, .csv or .jsonl")
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        draft.touch()  # Arrow's own words for what is wrong name the draft
        writers[path.suffix](rows, draft)
        draft.replace(path)
    except OSError as error:
        raise UnknownName(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # there is none if it could not be made, or is what was asked for now
            draft.unlink()


def _write_parquet(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, write_page_checksum=True)


def _write_json_lines(rows: pa.Table, path: Path) -> None:
    with path.open("wb") as file:
        for batch in rows.to_batches(max_chunksize=10_000):
            file.writelines(orjson.dumps(row, default=str) + b"\n" for row in batch.to_pylist())


def _write_csv(rows: pa.Table, path: Path) -> None:
    columns = {}
    for name in rows.column_names:
        values = rows[name]
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_nested(values.type):
            values = pa.array(
                [None if value is None else orjson.dumps(value, default=str).decode() for value in values.to_pylist()],
                pa.string(),
            )
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            values = pa.array([_harmless(value) for value in values.to_pylist()], pa.string())
        columns[name] = values
    pa.csv.write_csv(pa.table(columns), path)


def _harmless(value: str | None) -> str | None:
    return f"'{value}" if value and value.startswith(_FORMULA) else value
