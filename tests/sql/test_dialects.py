"""The warehouse is one: PostgreSQL has the tables, views and columns of SQLite, and they hold the same kinds of values."""

import psycopg
import pytest
from supabase_project import Projects

from analytics.store import schema

# What a PostgreSQL type is in the words of analytics.store.schema; a day is text in every row.
KINDS = {
    "uuid": "text",
    "text": "text",
    "date": "text",
    "int8": "integer",
    "int4": "integer",
    "float8": "real",
    "numeric": "real",
    "bool": "boolean",
    "jsonb": "json",
    "timestamptz": "time",
    "xid8": "text",
}
POSTGRES_ALONE = {"txid"}  # SQLite has one writer at a time, and needs no horizon
COLUMNS = """
select c.relname, a.attname, coalesce(base.typname, t.typname), a.attnotnull, a.atthasdef or a.attidentity <> '', c.relkind = 'v'
from pg_class as c
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
inner join pg_type as t on a.atttypid = t.oid
left join pg_type as base on t.typbasetype = base.oid and t.typtype = 'd'
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
"""

Shape = dict[str, dict[str, tuple[str, bool, bool, bool]]]


@pytest.fixture(scope="module")
def postgres(projects: Projects) -> Shape:
    """Table -> column -> (kind, not null, has a default, is a view's)."""
    shape: Shape = {}
    with projects.database() as db_url, psycopg.connect(db_url) as connection:
        for table, column, kind, *rest in connection.execute(COLUMNS):
            shape.setdefault(table, {})[column] = (KINDS[kind], *rest)
    return shape


def test_both_dialects_have_the_same_tables_and_views(postgres: Shape) -> None:
    ours = {name: table.is_view for name, table in schema.warehouse().items()}
    assert {name: any(column[3] for column in columns.values()) for name, columns in postgres.items()} == ours


@pytest.mark.parametrize("name", sorted(schema.warehouse()))
def test_both_dialects_have_the_same_columns_of_the_same_kinds(postgres: Shape, name: str) -> None:
    theirs = {column: kind for column, (kind, *_) in postgres[name].items() if column not in POSTGRES_ALONE}
    assert theirs == {column.name: column.kind for column in schema.table(name).columns.values()}


@pytest.mark.parametrize("name", sorted(name for name, table in schema.warehouse().items() if not table.is_view))
def test_what_one_dialect_insists_on_the_other_gets(postgres: Shape, name: str) -> None:
    """PostgreSQL may fill in more by itself, but asks for no more than SQLite does, and allows no more nulls."""
    for column in schema.table(name).columns.values():
        _, not_null, has_default, _ = postgres[name][column.name]
        if not_null and not has_default:
            assert column.is_required or column.name == schema.table(name).key, column.name
        if column.is_required:
            assert not_null, column.name


def test_an_event_table_of_one_is_an_event_table_of_the_other(postgres: Shape) -> None:
    events = {name for name, table in schema.warehouse().items() if table.is_event}
    assert {name for name, columns in postgres.items() if "txid" in columns} == events
    assert {name for name, columns in postgres.items() if "commit_seq" in columns} == events
