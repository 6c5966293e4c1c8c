"""Checks between computing and publishing: each is a SELECT of offending rows that opens with `-- fail` or `-- warn`."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from analytics import duck, sqlfiles
from analytics.errors import CheckFailed

_SHOWN = 3  # offending rows in a message


def run_checks(tables: Mapping[str, pa.Table], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Run every check over `tables`; the warnings, a sentence each. Raises `CheckFailed` with all the failures."""
    found: dict[str, list[str]] = {"fail": [], "warn": []}
    with duck.open_engine() as engine:
        for name, table in tables.items():
            engine.register(name, table)
        for name, path in sqlfiles.files("checks").items():
            sql = path.read_text(encoding="utf-8")
            severity, claim = _opening(sql)
            offending = duck.select(engine, sql, values)
            if offending.num_rows:
                rows = "; ".join(str(row) for row in offending.slice(0, _SHOWN).to_pylist())
                found[severity].append(f"{name} ({claim}): {offending.num_rows} rows, such as {rows}")
    if found["fail"]:
        raise CheckFailed("nothing was published: " + " | ".join(found["fail"]))
    return tuple(found["warn"])


def _opening(sql: str) -> tuple[str, str]:
    """Severity and claim of a check, from its first line: `-- fail: every rate lies between 0 and 1`."""
    severity, _, claim = sql.partition("\n")[0].removeprefix("-- ").partition(": ")
    return severity, claim
