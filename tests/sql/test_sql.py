"""Runs every folder below `tests/sql/<target>/`: rows in, one SELECT with all it rests on, rows out.

A case is `test_<claim>/` with one YAML file per input table of the lake, `params.yaml` (as_of, is_simulated, a query's own
values) and `expect.yaml`: the rows in order, each with the columns that matter to the claim. The target is a file of
sql/scoring, sql/checks or sql/queries. Columns that a case does not mention come from `defaults.yaml`.
"""

import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from analytics import duck, sqlfiles
from analytics.lake import DIMENSIONS, EVENTS, schema, to_arrow
from analytics.queries import list_queries
from analytics.scoring.tables import compute, scoring_sql

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/test_*/expect.yaml"))
DEFAULTS = yaml.safe_load((HERE / "defaults.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_case(case: Path) -> None:
    """The rows that `expect.yaml` states, no more, no fewer, in that order."""
    rows = _run(case.parent.name, _inputs(case), _params(case)).to_pylist()
    expected = _load(case / "expect.yaml")
    seen = [{name: _plain(row[name]) for name in wanted} for row, wanted in zip(rows, expected, strict=False)]
    assert (seen, len(rows)) == ([_approximate(row) for row in expected], len(expected)), rows


def test_every_case_is_complete() -> None:
    """A folder without expect.yaml, or with a table nobody knows, would be skipped in silence."""
    folders = sorted(
        path for path in HERE.glob("*/*/") if path.name != "__pycache__" and path.parent.name != "__pycache__"
    )
    assert folders == CASES
    known = {"params", "expect", *EVENTS, *DIMENSIONS}
    assert {path.stem for case in CASES for path in case.iterdir()} <= known


def _run(target: str, inputs: dict[str, pa.Table], params: dict[str, Any]) -> pa.Table:
    queries = {query.name: query for query in list_queries()}
    if target in queries:
        since = None if queries[target].window is None else params["as_of"] - queries[target].window
        marts = compute(sorted(duck.tables_read(queries[target].sql) - set(inputs)), inputs, params)
        return _select(queries[target].sql, inputs | marts, {**params, "since": since})
    if target in scoring_sql():
        return compute([target], inputs, params)[target]
    sql = sqlfiles.files("checks")[target].read_text()
    return _select(sql, compute(sorted(duck.tables_read(sql)), inputs, params), params)


def _select(sql: str, tables: dict[str, pa.Table], params: dict[str, Any]) -> pa.Table:
    with duck.open_engine() as engine:
        for name, table in tables.items():
            engine.register(name, table)
        return duck.select(engine, sql, params)


def _inputs(case: Path) -> dict[str, pa.Table]:
    tables = {}
    for table in (*EVENTS, *DIMENSIONS):
        given = _load(case / f"{table}.yaml") if (case / f"{table}.yaml").exists() else []
        assert {name for row in given for name in row} <= set(schema(table).names), f"{case.name}/{table}.yaml"
        tables[table] = to_arrow(
            table,
            [{"id": f"{table}-{number:04}", **DEFAULTS.get(table, {}), **row} for number, row in enumerate(given)],
        )
    return tables


def _params(case: Path) -> dict[str, Any]:
    path = case / "params.yaml"
    given = yaml.safe_load(path.read_text()) if path.exists() else {}
    merged: dict[str, Any] = DEFAULTS["params"] | given
    return merged


def _load(path: Path) -> list[dict[str, Any]]:
    """Rows; `times: n` in a row repeats it."""
    rows = yaml.safe_load(path.read_text()) or []
    return [
        {key: value for key, value in row.items() if key != "times"} for row in rows for _ in range(row.get("times", 1))
    ]


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case _:
            return value


def _approximate(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers to six digits; `{within: [low, high]}` for what is only bounded."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, float):
            found[name] = pytest.approx(value, rel=1e-6, nan_ok=math.isnan(value))
        elif isinstance(value, dict):
            low, high = value["within"]
            found[name] = pytest.approx((low + high) / 2, abs=(high - low) / 2)
        else:
            found[name] = _plain(value)
    return found
