"""DuckDB as this program uses it: in memory, in UTC, over Arrow tables that are handed in, without reach beyond them."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

_PARAMETER = re.compile(r"\$([a-z_]+)")
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def open_engine() -> duckdb.DuckDBPyConnection:
    """A connection of its own in memory: what is registered on it is seen on no other.

    Files, extensions and settings are out of reach of what runs on it.
    """
    return _database(os.getpid()).cursor()


@cache
def _database(_: int) -> duckdb.DuckDBPyConnection:
    """The one empty database that a process's connections are of: making a database takes longer than most of what is asked of it."""
    connection = duckdb.connect(":memory:", config=_CONFIG)
    connection.execute("set TimeZone = 'UTC'; set enable_external_access = false; set lock_configuration = true")
    return connection


def select(connection: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any]) -> pa.Table:
    """The rows of one SELECT; of `values` those are bound that it names as `$name`. Raises KeyError for one not given."""
    bound = {name: values[name] for name in sorted(parameters(sql))}
    return connection.sql(sql, params=bound).to_arrow_table()


@cache
def parameters(sql: str) -> frozenset[str]:
    """The names of the values that a SELECT wants bound."""
    code = re.sub(r"--[^\n]*", "", sql)
    return frozenset(_PARAMETER.findall(code))


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """One engine that only parses: making an engine takes longer than reading all the SQL there is."""
    return duckdb.connect(":memory:", config=_CONFIG)


@cache
def tables_read(sql: str) -> frozenset[str]:
    """The tables that a SELECT reads, as DuckDB's own parser sees it; raises ValueError if it does not parse."""
    with _parser().cursor() as connection:
        row = connection.execute("select json_serialize_sql($sql)", {"sql": sql}).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    if tree["error"]:
        raise ValueError(f"this SQL does not parse: {tree.get('error_message')}")
    named = {node["table_name"] for node in _nodes(tree) if node.get("type") == "BASE_TABLE"}
    return frozenset(named - {entry["key"] for node in _nodes(tree) for entry in _local_names(node)})


def _local_names(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (node.get("cte_map") or {}).get("map", [])
    return entries


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)
