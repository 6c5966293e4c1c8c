"""The ready queries: `sql/queries/<name>.sql` over the lake and over the newest scores.

A file opens with what it answers (`-- mean latency by provider ...`); a second line `-- window: 24 hours` binds `$since` to that
long before `$as_of`. Rows of deleted runs are not in the tables, and costs are by corrected prices. A table of `sql/scoring` is read as it
was published, of real and of simulated evidence; one that rests on the lake's dimensions alone is computed from them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from analytics import duck, sqlfiles
from analytics.errors import BadRows, UnknownName
from analytics.lake import DIMENSIONS, EVENTS, Lake, Reading, schema, to_arrow
from analytics.results import read_results
from analytics.routing.published import SnapshotUnreadable, read_published
from analytics.scoring.tables import compute, scoring_sql, sources

_WINDOW = re.compile(r"^-- window: (\d+) (hours|days)$", re.MULTILINE)
_BOUND = frozenset({"as_of", "since"})  # by us; everything else is asked of the user


@dataclass(frozen=True, slots=True)
class Query:
    """A ready query; `parameters` are the names of the values its user must give, `window` how far back it looks."""

    name: str
    description: str
    parameters: tuple[str, ...]
    sql: str
    window: timedelta | None = None


def list_queries() -> list[Query]:
    """All ready queries by name."""
    return list(_queries().values())


def run_query(
    lake: Lake,
    name: str,
    as_of: datetime | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    scoring: Path | None = None,
) -> pa.Table:
    """The answer to a ready query as of a moment (with a time zone; by default now).

    `scoring` is the folder of the snapshots, by default the one beside the lake. Lake files that are corrupt are left out, and so is a
    snapshot that cannot be read; the table's schema metadata names them under `left_out`, a JSON list. Raises
    UnknownName for a query that is not there, BadRows for a value that is missing or not asked for.
    """
    if name not in _queries():
        raise UnknownName(f"there is no query {name!r}; there are: {', '.join(_queries())}")
    query, given = _queries()[name], dict(parameters or {})
    if set(given) != set(query.parameters):
        wanted = ", ".join(query.parameters) or "no values"
        raise BadRows(f"query {name} wants {wanted}; given were {', '.join(sorted(given)) or 'none'}")
    moment = as_of or datetime.now(UTC)
    since = None if query.window is None else moment - query.window
    left_out: list[str] = []
    with duck.open_engine() as engine:
        for table in sorted(duck.tables_read(query.sql)):
            if table not in scoring_sql():
                reading = _read(lake, table, query.sql, since)
            elif sources(table) <= frozenset(DIMENSIONS):
                reading = _computed(lake, table, moment)
            else:
                reading = _published(scoring or lake.directory.with_name("scoring"), table)
            left_out += reading.corrupt
            engine.register(table, reading.rows)
        answer = duck.select(engine, query.sql, {**given, "as_of": moment, "since": since})
    return answer.replace_schema_metadata({"left_out": json.dumps(left_out)})


def _read(lake: Lake, table: str, sql: str, since: datetime | None) -> Reading:
    """A table's rows, of those columns that the SQL could mean: a column that it reads is named in it."""
    words = set(re.findall(r"\w+", sql))
    columns = [name for name in schema(table).names if name in words]
    if table == "benchmark_results":
        return read_results(lake, since=since, columns=columns)
    return lake.read(table, since=since if table in EVENTS else None, columns=columns)


def _computed(lake: Lake, table: str, as_of: datetime) -> Reading:
    """A scoring table of both kinds as of that moment, out of the lake's dimensions."""
    found = {name: lake.read(name) for name in sorted(sources(table))}
    rows = {name: reading.rows for name, reading in found.items()}
    kinds = [compute([table], rows, {"is_simulated": kind, "as_of": as_of})[table] for kind in (False, True)]
    return Reading(pa.concat_tables(kinds), tuple(one for reading in found.values() for one in reading.corrupt))


def _published(folder: Path, table: str) -> Reading:
    """A scoring table of both kinds as it was published last; of none that was, no rows."""
    nothing = {name: to_arrow(name, ()) for name in sources(table)}
    parts = [compute([table], nothing, {"is_simulated": False, "as_of": datetime.now(UTC)})[table]]
    left_out = list[str]()
    for pointer in ("CURRENT", "CURRENT-simulated"):
        try:
            parts.append(read_published(folder, pointer, only=(table,)).tables[table])
        except SnapshotUnreadable as error:
            if error.cause == "corrupt":
                left_out.append(str(error))
        except KeyError:
            left_out.append(f"the snapshot of {pointer} is older than the table {table}: score again")
    return Reading(pa.concat_tables(parts), tuple(left_out))


@cache
def _queries() -> Mapping[str, Query]:
    queries = {}
    for name, path in sqlfiles.files("queries").items():
        sql = path.read_text(encoding="utf-8")
        window = _WINDOW.search(sql)
        queries[name] = Query(
            name,
            sql.partition("\n")[0].removeprefix("-- "),
            tuple(sorted(duck.parameters(sql) - _BOUND)),
            sql,
            timedelta(**{window[2]: int(window[1])}) if window else None,
        )
    return queries
