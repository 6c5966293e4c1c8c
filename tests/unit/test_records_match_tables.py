"""What joins the wire and the warehouse is a table: its columns are the record's fields, and nothing else."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

from analytics.store import schema
from providers.records import BenchmarkResult

_KINDS = {"str": "text", "int": "integer", "float": "real", "bool": "boolean", "datetime": "time"}


def test_the_fields_of_a_result_are_the_columns_of_its_table() -> None:
    columns = schema.table("benchmark_results").columns
    assert sorted(field.name for field in fields(BenchmarkResult)) == sorted(set(columns) - {"commit_seq"})


def test_a_field_that_may_be_none_is_a_column_that_may_be_null() -> None:
    columns = schema.table("benchmark_results").columns
    hints = get_type_hints(BenchmarkResult)
    required = {field.name for field in fields(BenchmarkResult) if type(None) not in get_args(hints[field.name])}
    with_default = {"repeat", "dropped_parameters"}
    assert {name for name, column in columns.items() if column.is_required} == required - with_default


def kinds_of(hint: Any) -> set[str]:
    """The kinds of column that a field's type may go into."""
    if get_origin(hint) in {Mapping, tuple}:
        return {"json"}
    if inner := [kind for kind in get_args(hint) if kind is not type(None)]:
        return {found for kind in inner for found in kinds_of(kind)}
    return {_KINDS[hint.__name__ if isinstance(hint, type) else type(hint).__name__]}


def test_the_type_of_a_field_is_the_kind_of_its_column() -> None:
    columns = schema.table("benchmark_results").columns
    for name, hint in get_type_hints(BenchmarkResult).items():
        assert kinds_of(hint) == {columns[name].kind}, name
