"""The ready queries: `sql/queries/<name>.sql` over the lake.

A file opens with what it answers (`-- mean latency by provider ...`); a second line `-- window: 24 hours` binds `$since` to that
long before `$as_of`. Rows of deleted runs are not in the tables, and costs are by corrected prices.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pyarrow as pa

from analytics import duck, sqlfiles
from analytics.errors import BadRows, UnknownName
from analytics.lake import EVENTS, Lake, Reading, schema
from analytics.results import read_results

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
    lake: Lake, name: str, as_of: datetime | None = None, parameters: Mapping[str, Any] | None = None
) -> pa.Table:
    """The answer to a ready query as of a moment (with a time zone; by default now).

    Lake files that are corrupt are left out; the table's schema metadata names them under `left_out`, a JSON list. Raises
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
            reading = _read(lake, table, query.sql, since)
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
