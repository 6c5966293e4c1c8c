"""A lake file's rows as arrays: what counts, in whole numbers, as `sql/scoring/events.sql` defines it.

`events.sql` is the rule. Here the plain case is decided by arrays: every measure present or absent, finite, and inside its bounds. A row
for which that is not so (or whose run was deleted) is handed to events.sql itself, which says whether it counts or why not;
so is a cost that was corrected, to `repriced_costs.sql`. What SQL and arrays make of the same rows is held equal by tests/scoring.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics.lake import Lake, LakeFile, schema, to_arrow
from analytics.lake.schema import conform
from analytics.scoring.rings import HOUR_US
from analytics.scoring.tables import compute

METRICS = (
    "latency",
    "ttft",
    "tps",
    "inter_token",
)  # what has moments and a histogram; `latency_ticks` and `latency_ms` are of the first
UNITS = {"latency": "latency_ms", "ttft": "ttft_ms", "tps": "tps", "inter_token": "inter_token_ms"}
OUTCOMES = ("ok", "incomplete", "failed")

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_BELOW_HALF = np.nextafter(0.5, 0.0)
_ROW_GROUPS = 2  # read at once: a quarter of a million rows of a lake file
_BOUNDS = {
    "latency_ms": 1e8,
    "ttft_ms": 1e8,
    "tps": 1e8,
    "inter_token_ms": 1e8,
    "cost_usd": 1e6,
    "confidence": 1.0,
    "tokens": 1e12,
}
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "benchmark_results": {
        "provider_name": "provider", "model_name": "model", "domain": "domain", "outcome": "outcome",
        "latency_ms": "total_latency_ms", "ttft_ms": "ttft_ms", "tps": "tps",
        "inter_token_ms": "inter_token_p50_ms", "token_source": "token_source",
        "input_tokens": "input_tokens", "output_tokens": "output_tokens", "cost_usd": "cost_usd",
        "confidence": "confidence", "correct": "correct", "benchmark_id": "benchmark_id", "error_type": "error_type",
        "status_code": "status_code", "is_simulated": "is_simulated", "created_at": "created_at", "run_id": "run_id",
        "price_id": "price_id", "cost_source": "cost_source",
    },
    "request_events": {
        "provider_name": "provider", "model_name": "model", "domain": "domain", "task_type": "task_type",
        "success": "success", "latency_ms": "latency_ms", "ttft_ms": "ttft_ms", "input_tokens": "tokens_input",
        "output_tokens": "tokens_output", "cost_usd": "cost", "confidence": "confidence", "cache_hit": "cache_hit",
        "error_type": "error_type", "tenant_id": "tenant_id", "is_simulated": "is_simulated", "created_at": "created_at",
    },
}  # fmt: skip
_SOURCES = {"benchmark_results": "benchmark", "request_events": "live"}
_TEXTS = (
    "provider_name", "model_name", "domain", "task_type", "outcome", "token_source", "benchmark_id", "error_type",
    "tenant_id", "run_id", "price_id", "cost_source",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """What changes how rows count: the runs that were deleted, and the rows of `repricings`."""

    deleted: frozenset[str]
    repricings: pa.Table


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A column of texts: `values[codes]`, code -1 where there is none."""

    codes: Codes
    values: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A column of numbers, and where there is one; `known` None: everywhere. Where there is none the value is 0.

    Columns may share arrays: nobody writes into them.
    """

    values: npt.NDArray[Any]
    known: Bools | None

    def where(self, mask: Bools | None) -> "Numbers":
        """Known only where `mask` is set too (None: everywhere)."""
        if mask is None or (mask.all() if self.known is None else not (self.known > mask).any()):
            return self  # nothing is taken away
        known = mask if self.known is None else self.known & mask
        return Numbers(np.where(known, self.values, 0), known)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows that count. `outcome` indexes OUTCOMES (3: another), `created_at` is in microseconds since the epoch.

    `numbers` are of events.sql's names: `latency_ms`, `latency_ticks`, `input_tokens`, `cost_nanos`, `correct`, ...
    """

    source: str
    texts: Mapping[str, Texts]
    is_simulated: Bools
    outcome: npt.NDArray[np.int8]
    created_at: Ints
    numbers: Mapping[str, Numbers]

    def __len__(self) -> int:
        return len(self.created_at)

    @property
    def hour(self) -> Ints:
        """The hour of each row since the epoch."""
        return np.floor_divide(self.created_at, HOUR_US)


@dataclass(frozen=True, slots=True, eq=False)
class Portion:
    """A part of a file: its rows that count, and those that do not: (source, is_simulated, reason) -> (rows, least id)."""

    rows: Rows
    left_out: Mapping[tuple[str, bool | None, str], tuple[int, str]]


def read_rows(lake: Lake, table: str, file: LakeFile, corrections: Corrections) -> Iterator[Portion]:
    """The rows of one file, at most a million at a time; raises `Corrupt` before the first."""
    texts = [_COLUMNS[table][name] for name in _TEXTS if name in _COLUMNS[table]]
    parquet = lake.open_file(file, dictionaries=texts)
    deleted = corrections.deleted.intersection(file.runs)
    for first in range(0, parquet.num_row_groups, _ROW_GROUPS):
        groups = range(first, min(first + _ROW_GROUPS, parquet.num_row_groups))
        yield _portion(_Piece(parquet, table, list(groups)), deleted, corrections.repricings)


class _Piece:
    """Some row groups of a file; columns are decoded when they are asked for."""

    def __init__(self, parquet: pq.ParquetFile, table: str, groups: list[int]) -> None:
        self.table = table
        self._parquet, self._groups = parquet, groups
        self._names = _COLUMNS[table]
        present = set(parquet.schema_arrow.names)
        plain = {name for name in self._names if name not in {"run_id", "price_id", "cost_source"}}
        wanted = [self._names[name] for name in self._names if name in plain and self._names[name] in present]
        self._columns = parquet.read_row_groups(groups, columns=wanted)
        self._known: dict[tuple[int, bytes], tuple[Bools, Ints]] = {}
        self.size: int = self._columns.num_rows

    def read(self, columns: list[str]) -> pa.Table:
        """Columns by the lake's names, in its schema."""
        present = [name for name in columns if name in self._parquet.schema_arrow.names]
        return conform(self._parquet.read_row_groups(self._groups, columns=present), self.table, columns)

    def column(self, name: str) -> pa.ChunkedArray | None:
        """A column by the name that events.sql gives it; None if the file has it not, or holds nothing in it."""
        lake_name = self._names.get(name)
        if lake_name not in self._columns.column_names:
            return None
        column = self._columns.column(lake_name)
        return None if column.null_count == len(column) else column

    def texts(self, name: str) -> Texts:
        column = self.column(name)
        if column is None:
            return Texts(np.broadcast_to(np.int32(-1), self.size), [])
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        whole = _whole(column.unify_dictionaries())
        codes = whole.indices.fill_null(-1) if whole.null_count else whole.indices
        return Texts(codes.to_numpy(zero_copy_only=False), whole.dictionary.to_pylist())

    def numbers(self, name: str) -> Numbers:
        column = self.column(name)
        if column is None:
            return Numbers(np.broadcast_to(0.0, self.size), np.broadcast_to(np.False_, self.size))
        whole = _whole(column)
        if pa.types.is_timestamp(whole.type):
            whole = whole.cast(pa.int64())
        if not whole.null_count:
            return Numbers(whole.to_numpy(zero_copy_only=False), None)
        known, holes = self._known_of(whole)
        bare = pa.Array.from_buffers(whole.type, len(whole), [None, whole.buffers()[1]], offset=whole.offset)
        values = bare.to_numpy(zero_copy_only=False).copy()
        values[holes] = 0  # what lies there is not said
        return Numbers(values, known)

    def _known_of(self, column: pa.Array) -> tuple[Bools, Ints]:
        """Where a column has values, and where not: the same arrays for columns that have them at the same places, as most do."""
        bitmap = column.buffers()[0].to_pybytes()
        if (column.offset, bitmap) not in self._known:
            bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=column.offset + self.size, bitorder="little")
            known = bits[column.offset :].view(np.bool_)
            self._known[column.offset, bitmap] = known, np.flatnonzero(~known)
        return self._known[column.offset, bitmap]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _portion(piece: _Piece, deleted: frozenset[str], repricings: pa.Table) -> Portion:
    texts = {name: piece.texts(name) for name in ("provider_name", "model_name", "domain", "task_type")}
    texts |= {name: piece.texts(name) for name in ("error_type", "tenant_id")}
    simulated, created = piece.numbers("is_simulated"), piece.numbers("created_at")
    outcome, is_plain = _outcomes(piece)
    measures = ("latency_ms", "ttft_ms", "inter_token_ms", "input_tokens", "output_tokens", "confidence")
    raw = {name: piece.numbers(name) for name in measures}
    raw["tps"] = _measured_tps(piece)
    raw["cost_usd"] = _costs(piece, repricings)
    is_plain &= texts["model_name"].codes >= 0
    for column in (simulated, created):
        if column.known is not None:
            is_plain &= column.known
    for name, column in raw.items():
        bound = _BOUNDS.get(name, _BOUNDS["tokens"])
        least, greatest = column.values.min(initial=0), column.values.max(initial=0)
        if not (least >= 0 and greatest <= bound):  # a NaN is neither, and makes both NaN
            is_plain &= (column.values >= 0) & (column.values <= bound)
    if deleted:
        runs = pa.chunked_array([piece.read(["run_id"]).column("run_id").combine_chunks()])
        is_plain &= ~pc.is_in(runs, pa.array(sorted(deleted))).to_numpy()
    counts, left_out = is_plain, dict[tuple[str, bool | None, str], tuple[int, str]]()
    if not is_plain.all():
        counts, left_out = _judged(piece, is_plain, deleted, repricings)
    rows = _rows(piece, texts, simulated, created, outcome, raw)
    return Portion(rows if counts.all() else filtered(rows, np.flatnonzero(counts)), left_out)


def _outcomes(piece: _Piece) -> tuple[npt.NDArray[np.int8], Bools]:
    """The outcome of each row, and whether it is one that needs no second look."""
    if piece.table == "request_events":
        success = piece.numbers("success")
        known = np.ones(piece.size, np.bool_) if success.known is None else success.known.copy()
        return np.where(success.values.astype(np.bool_), 0, 2).astype(np.int8), known
    texts = piece.texts("outcome")
    codes = np.array([*(OUTCOMES.index(value) if value in OUTCOMES else 3 for value in texts.values), 3], np.int8)
    outcome = codes[texts.codes]
    return outcome, outcome < len(OUTCOMES)


def _measured_tps(piece: _Piece) -> Numbers:
    tps = piece.numbers("tps")
    if piece.table == "request_events":
        return tps
    counted_by = piece.texts("token_source")
    by_provider = np.array([*(value == "provider" for value in counted_by.values), False])
    return tps if by_provider[:-1].all() and (counted_by.codes >= 0).all() else tps.where(by_provider[counted_by.codes])


def _costs(piece: _Piece, repricings: pa.Table) -> Numbers:
    """What each row cost in USD, by the newest correction of its price."""
    costs = piece.numbers("cost_usd")
    if piece.table == "request_events" or not repricings.num_rows:
        return costs
    prices = piece.read(["price_id"]).column("price_id").combine_chunks()
    found = np.flatnonzero(pc.is_in(prices, value_set=pc.unique(repricings.column("price_id"))).to_numpy(False))
    if not len(found):
        return costs
    priced = _numbered(piece, found)
    corrected = compute(["repriced_costs"], {"benchmark_results": priced, "repricings": repricings}, {})[
        "repriced_costs"
    ]
    at = np.array([int(number) for number in corrected.column("id").to_pylist()], np.int64)
    values, known = costs.values.astype(np.float64, copy=True), costs.known
    known = np.ones(piece.size, np.bool_) if known is None else known.copy()
    column = corrected.column("cost_usd").combine_chunks()
    values[at], known[at] = column.fill_null(0.0).to_numpy(), column.is_valid().to_numpy(False)
    return Numbers(values, known)


def _numbered(piece: _Piece, rows: Ints) -> pa.Table:
    """Those rows with all that events.sql reads; their id is their number in the piece."""
    numbers = pa.array([f"{number:09}" for number in rows.tolist()], pa.string())
    table = piece.read([name for name in schema(piece.table).names if name in _read_by_sql(piece.table)]).take(
        pa.array(rows)
    )
    whole = conform(table, piece.table)
    return whole.set_column(whole.schema.get_field_index("id"), "id", numbers)


def _read_by_sql(table: str) -> set[str]:
    return set(_COLUMNS[table].values()) | {"cached_input_tokens"}


def _judged(
    piece: _Piece, is_plain: Bools, deleted: frozenset[str], repricings: pa.Table
) -> tuple[Bools, dict[tuple[str, bool | None, str], tuple[int, str]]]:
    """What events.sql says of the rows that are not plain: which of all rows count, and why the others do not."""
    odd = np.flatnonzero(~is_plain)
    tables = {name: to_arrow(name, ()) for name in _COLUMNS}
    tables[piece.table] = _numbered(piece, odd)
    tables["tombstones"] = to_arrow("tombstones", [{"run_id": run} for run in sorted(deleted)])
    tables["repricings"] = repricings
    events = compute(["events"], tables, {})["events"].select(["id", "source", "is_simulated", "left_out"])
    counts = is_plain.copy()
    ids = piece.read(["id"]).column("id")
    left_out = dict[tuple[str, bool | None, str], tuple[int, str]]()
    for row in events.to_pylist():
        at = int(row["id"])
        if row["left_out"] is None:
            counts[at] = True
            continue
        key, row_id = (row["source"], row["is_simulated"], row["left_out"]), ids[at].as_py()
        times, least = left_out.get(key, (0, row_id))
        left_out[key] = (times + 1, min(least, row_id))
    return counts, left_out


def _rows(
    piece: _Piece,
    texts: dict[str, Texts],
    simulated: Numbers,
    created: Numbers,
    outcome: npt.NDArray[np.int8],
    raw: dict[str, Numbers],
) -> Rows:
    is_ok = outcome == 0
    hit = piece.numbers("cache_hit")
    is_timed = is_ok & ~hit.values.astype(np.bool_)
    numbers: dict[str, Numbers] = {name: raw[name] for name in ("input_tokens", "output_tokens")}
    for metric in METRICS:
        measure = raw[UNITS[metric]].where(is_timed)
        numbers[UNITS[metric]] = measure
        numbers[f"{metric}_ticks"] = _whole_units(measure, 100)
    numbers["cost_nanos"] = _whole_units(raw["cost_usd"], 1e9)
    numbers["confidence_micros"] = _whole_units(raw["confidence"], 1e6)
    numbers["cache_hit"] = hit
    asked = piece.texts("benchmark_id").codes >= 0
    numbers["correct"] = piece.numbers("correct").where(is_ok & asked)
    numbers["status_code"] = piece.numbers("status_code")
    moments = created.values.astype(np.int64, copy=False)
    return Rows(
        _SOURCES[piece.table],
        texts,
        simulated.values.astype(np.bool_, copy=False),
        outcome,
        moments,
        numbers,
    )


def _whole_units(column: Numbers, factor: float) -> Numbers:
    if column.known is not None and not column.known.any():
        return column
    return Numbers(rounded(column.values, factor), column.known)


def rounded(values: npt.NDArray[Any], factor: float) -> Ints:
    """Half upwards, as SQL rounds what is not below 0 (numpy rounds half to even). What is out of range does not count anyway.

    The greatest double below a half is added: a half itself would lift 0.49999999999999994 to 1, and odd numbers above 2^52 to the next.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = values * float(factor)
        scaled += _BELOW_HALF
        return scaled.astype(np.int64)


def filtered(rows: Rows, at: Ints) -> Rows:
    """The rows at those places."""
    return Rows(
        rows.source,
        {name: Texts(column.codes[at], column.values) for name, column in rows.texts.items()},
        rows.is_simulated[at],
        rows.outcome[at],
        rows.created_at[at],
        {
            name: Numbers(column.values[at], None if column.known is None else column.known[at])
            for name, column in rows.numbers.items()
        },
    )
