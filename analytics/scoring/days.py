"""Additive tables by day: what the marts by hour and day are made of.

A table is a file of `sql/scoring`: a SELECT over `events` whose first line names its grain; all its other columns are whole numbers that add up,
`requests` among them. Of a day (or of all days, where they are few rows) there is one immutable file; only those of new rows are written.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics import duck
from analytics.durable import replace_file
from analytics.lake.schema import TIME
from analytics.scoring.reading import METRICS, OUTCOMES, Numbers, Rows, Texts
from analytics.scoring.rings import HOUR_US, moment_of
from analytics.scoring.state import StateDamaged
from analytics.scoring.tables import compute, needed, scoring_sql

DAY_TABLES = ("hourly_usage", "daily_totals", "hourly_totals", "daily_errors", "daily_organizations")
WHOLE = frozenset({"hourly_usage"})  # so small that all its days are one file, `all`
MONTHLY = frozenset({"daily_organizations"})  # small enough that a month is one file
RECENT = {"hourly_totals": 7, "daily_errors": 7, "daily_organizations": 90}  # days before today that marts read of them
_NUMBERS = (
    *(f"{metric}_ticks" for metric in METRICS), "input_tokens", "output_tokens", "cost_nanos", "confidence_micros", "status_code",
)  # fmt: skip
_ENGINE = 2  # raised when arrays come to mean something else
_ADD_AT = 200_000  # rows that are collected: 25 MB
_FOLD_AT = 150_000  # rows of contributions that are held before they are added up

Files = dict[str, dict[str, str]]  # table -> day -> name of the file, which begins with the sha256 of its content


def program() -> str:
    """A digest of the rules by which rows become sums."""
    files = scoring_sql()
    rules = [files[name] for name in needed(["events", *DAY_TABLES], ())]
    return hashlib.sha256("".join([str(_ENGINE), *rules]).encode()).hexdigest()


def grain(table: str) -> list[str]:
    """The columns that tell the rows of a table apart."""
    first = scoring_sql()[table].partition("\n")[0]
    return re.split(r", ", first.removeprefix("-- one row per "))


class DayTables:
    """What a refresh adds to the day tables, and takes away. Rows are collected, and added up when they are many: SQL costs by the statement."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pa.Table]] = {name: [] for name in DAY_TABLES}
        self._events: dict[tuple[int, int], list[pa.Table]] = {}
        self._waiting = 0
        self._engine = duck.open_engine()

    def add(self, rows: Rows, hour: int, sign: int = 1) -> None:
        """Add rows to their days (sign -1: take them away), seen from `hour`, the hour of as_of."""
        if not len(rows):
            return
        self._events.setdefault((hour, sign), []).append(to_events(rows))
        self._waiting += len(rows)
        if self._waiting > _ADD_AT:
            self._add_up()

    def _add_up(self) -> None:
        for (hour, sign), tables in self._events.items():
            self._engine.register("events", pa.concat_tables(tables))
            for name, parts in self._parts.items():
                made = duck.select(self._engine, scoring_sql()[name], {"as_of": moment_of(hour)})
                if made.num_rows:
                    parts.append(made if sign == 1 else self._negated(name, made))
                if sum(part.num_rows for part in parts[1:]) > _FOLD_AT:
                    self._parts[name] = [self._folded(name, parts)]
            self._engine.unregister("events")
        self._events, self._waiting = {}, 0

    def add_tables(self, tables: Mapping[str, pa.Table]) -> None:
        """Add what `folded` gave; of a table or column that there was not yet, nothing."""
        for name, table in tables.items():
            if name in self._parts:
                self._parts[name].append(_conformed(name, table))

    def folded(self) -> dict[str, pa.Table]:
        """What was added so far, by table."""
        self._add_up()
        return {name: self._folded(name, parts) for name, parts in self._parts.items() if parts}

    def write(self, directory: Path, old: Files) -> tuple[Files, dict[str, list[str]]]:
        """The files of all days as they are now, and the days of each table that changed; raises `StateDamaged`."""
        self._add_up()
        files, changed = {name: dict(old.get(name, {})) for name in DAY_TABLES}, dict[str, list[str]]()
        for name, parts in self._parts.items():
            changed[name] = []
            for day, part in self._by_day(name, self._folded(name, parts)) if parts else ():
                held = [read(directory, files[name][day])] if day in files[name] else []
                # a difference may well have none
                whole = self._folded(name, [*held, part]) if held else part
                whole = whole.filter(pc.not_equal(whole.column("requests"), 0))
                changed[name].append(day)
                files[name].pop(day, None)
                if whole.num_rows:
                    files[name][day] = _write(directory, name, day, whole)
            self._parts[name] = []
        return files, changed

    @property
    def is_full(self) -> bool:
        """Whether so much is held that a rebuild does well to write it."""
        return any(sum(part.num_rows for part in parts) > _FOLD_AT for parts in self._parts.values())

    def _folded(self, name: str, parts: list[pa.Table]) -> pa.Table:
        if len(parts) == 1:
            return parts[0]  # in order, and each key once
        keys = ", ".join(grain(name))
        sums = ", ".join(
            f"cast(sum({field.name}) as {_sql_type(field.type)}) as {field.name}"
            for field in parts[0].schema
            if field.name not in grain(name)
        )
        self._engine.register("parts", pa.concat_tables(parts))
        sql = f"select {keys}, {sums} from parts group by {keys} order by {keys}"  # noqa: S608  # names are of our own SQL files
        return duck.select(self._engine, sql, {})

    def _negated(self, name: str, table: pa.Table) -> pa.Table:
        self._engine.register("parts", table)
        columns = (
            field.name
            if field.name in grain(name)
            else f"cast(-{field.name} as {_sql_type(field.type)}) as {field.name}"
            for field in table.schema
        )
        return duck.select(self._engine, f"select {', '.join(columns)} from parts", {})  # noqa: S608  # names are of our own SQL files

    def _by_day(self, name: str, table: pa.Table) -> list[tuple[str, pa.Table]]:
        if name in WHOLE:
            return [("all", table)]
        # what is folded is in order of its first column, the time
        days = pc.strftime(table.column(grain(name)[0]), "%Y-%m" if name in MONTHLY else "%Y-%m-%d")
        coded = days.combine_chunks().dictionary_encode()
        starts = np.flatnonzero(np.diff(coded.indices.to_numpy(), prepend=-1)).tolist()
        ends = [*starts[1:], table.num_rows]
        return [
            (days[first].as_py(), table.slice(first, end - first)) for first, end in zip(starts, ends, strict=False)
        ]


def _conformed(name: str, table: pa.Table) -> pa.Table:
    columns = []
    for field in empty(name).schema:
        if field.name in table.column_names:
            columns.append(table.column(field.name).cast(field.type))
        elif field.name in grain(name):
            columns.append(pa.nulls(table.num_rows, field.type))
        else:
            columns.append(pa.repeat(pa.scalar(0), table.num_rows).cast(field.type))
    return pa.Table.from_arrays(columns, schema=empty(name).schema)


def read(directory: Path, file: str) -> pa.Table:
    """One day of a table; raises `StateDamaged`."""
    try:
        data = (directory / file).read_bytes()
    except OSError as error:
        raise StateDamaged(f"{file} cannot be read ({error.strerror})") from error
    if not file.startswith(hashlib.sha256(data).hexdigest()):
        raise StateDamaged(f"{file} does not match its recorded sha256")
    return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)


@cache
def empty(name: str) -> pa.Table:
    """A day table without rows."""
    return compute([name], {"events": no_events()}, {"as_of": moment_of(0)})[name]


def no_events() -> pa.Table:
    """The table `events` without rows."""
    nobody, nothing = Texts(np.zeros(0, np.int32), []), Numbers(np.zeros(0, np.int64), None)
    names = ("provider_name", "model_name", "domain", "task_type", "error_type", "tenant_id")
    numbers = (*_NUMBERS, "correct", "cache_hit")
    none = np.zeros(0, np.int64)
    flags = np.zeros(0, np.bool_)
    rows = Rows(
        "live", dict.fromkeys(names, nobody), flags, none.astype(np.int8), none,
        {name: Numbers(flags, None) if name in {"correct", "cache_hit"} else nothing for name in numbers},
    )  # fmt: skip
    return to_events(rows)


def to_events(rows: Rows) -> pa.Table:
    """Rows as the table that events.sql makes, without their ids."""
    hours = rows.hour * HOUR_US
    columns = {
        "source": _repeated(rows.source, len(rows)),
        "is_simulated": pa.array(rows.is_simulated),
        "left_out": pa.nulls(len(rows), pa.string()),
        "outcome": _texts(
            Texts(np.where(rows.outcome < len(OUTCOMES), rows.outcome, -1).astype(np.int32), list(OUTCOMES))
        ),
        "created_at": pa.array(rows.created_at).cast(TIME),
        "hour": pa.array(hours).cast(TIME),
        "correct": _numbers(rows.numbers["correct"]).cast(pa.bool_()),
        "cache_hit": _numbers(rows.numbers["cache_hit"]).cast(pa.bool_()),
    }
    columns |= {name: _texts(column) for name, column in rows.texts.items()}
    for name in _NUMBERS:
        columns[name] = _numbers(rows.numbers[name]).cast(pa.int64())
    return pa.table(columns)


def _repeated(value: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, np.int32)), pa.array([value]))


def _texts(column: Texts) -> pa.Array:
    codes = pa.array(column.codes, mask=column.codes < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(column.values, pa.string()))


def _numbers(column: Numbers) -> pa.Array:
    return pa.array(column.values, mask=None if column.known is None else ~column.known)


def _sql_type(kind: pa.DataType) -> str:
    return "decimal(38, 0)" if pa.types.is_decimal(kind) else "bigint"


def _write(directory: Path, name: str, day: str, table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    # Numbers hardly repeat, nobody asks for statistics, and zstd takes three times as long as all else that is done here.
    pq.write_table(table, sink, compression="lz4", use_dictionary=texts or False, write_statistics=False)
    data = sink.getvalue().to_pybytes()
    file = f"{hashlib.sha256(data).hexdigest()}.{name}.{day}.parquet"
    replace_file(directory / file, data)
    return file
