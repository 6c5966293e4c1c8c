"""Migrations of a Supabase project's database, by its PostgreSQL address.

What was applied is recorded where the Supabase CLI records it (`supabase_migrations.schema_migrations`: version, name,
statements), so that either tool sees what the other did. Each migration runs in a transaction of its own together with its
record; a kill leaves whole migrations only. Two programs that migrate at once wait for each other.

Every function takes a libpq address, which holds a password: no message of ours repeats it. They raise StoreUnavailable if the
database cannot be reached, and SchemaMismatch if it is not this program's, naming the migration, table or column.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from analytics import sqlfiles
from analytics.errors import SchemaMismatch, StoreUnavailable
from analytics.store import schema

_CONNECT_S = 10
_OLDEST = 150_000  # views with security_invoker came with PostgreSQL 15
_RECORD = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""  # word for word what the Supabase CLI makes
_UNGUARDED = """
select c.relname from pg_catalog.pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relname = any(%s)
and c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity)
order by c.relname
"""
_COLUMNS = """
select c.relname, array_agg(a.attname) from pg_catalog.pg_class as c
inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
group by c.relname
"""

Connection = psycopg.Connection[TupleRow]


@cache
def migrations() -> Mapping[str, str]:
    """SQL text of each PostgreSQL migration by name (`20261121050100_catalog`), in the order in which they apply."""
    found = {name: path.read_text(encoding="utf-8") for name, path in sqlfiles.files("migrations/postgres").items()}
    return MappingProxyType(found)


def migrate(db_url: str, *, adopt: bool = False) -> list[str]:
    """Apply what is missing; the names applied now, [] if it was up to date.

    With `adopt` nothing is run: migrations that were pasted by hand are recorded as applied, provided that every table
    and column is there.
    """
    with _connected(db_url) as connection:
        _require_fit(connection)
        if adopt:
            return _adopt(connection)
        with connection.transaction():
            _lock(connection)
            connection.execute(_RECORD)
            done = _applied(connection)
            if not done and connection.execute("select to_regclass('public.store_epoch')").fetchone() != (None,):
                raise SchemaMismatch(
                    "the database has Scorehouse's tables but no record of its migrations: they were pasted by hand; "
                    "`scorehouse db migrate --adopt` records them"
                )
        now = [name for name, script in migrations().items() if _apply(connection, name, script)]
        if now:
            connection.execute("notify pgrst, 'reload schema'")
        _refuse_edited(_applied(connection))
        return now


def check(db_url: str) -> None:
    """Return if every migration was applied as it is here, every column is there, and row-level security is forced."""
    with _connected(db_url) as connection:
        recorded = connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone()
        applied = _applied(connection) if recorded != (None,) else {}
        for name in migrations():
            if _version(name) not in applied:
                raise SchemaMismatch(f"the database lacks the migration {name}; run `scorehouse db migrate`")
        _refuse_edited(applied)
        _require_columns(connection)
        tables = [table.name for table in schema.warehouse().values() if not table.is_view]
        for (name,) in connection.execute(_UNGUARDED, (tables,)):
            raise SchemaMismatch(
                f"row-level security of {name} is off, so any account could read it; "
                f"run `alter table {name} enable row level security, force row level security`"
            )


@contextmanager
def _connected(db_url: str) -> Iterator[Connection]:
    try:
        connection = psycopg.connect(
            db_url,
            autocommit=True,  # transactions are ours to open: one for each migration
            connect_timeout=_CONNECT_S,
            application_name="scorehouse db",
            prepare_threshold=None,  # a pooler may hand each transaction to another server process
        )
    except psycopg.ProgrammingError:
        # The driver's own words may repeat a part of the address, hence of the password.
        raise StoreUnavailable(
            "the database address is none: it looks like postgresql://postgres:PASSWORD@HOST:5432/postgres, with special "
            "characters of the password as %XX"
        ) from None
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"the database cannot be reached: {_first_line(error)}") from None
    try:
        with connection:
            yield connection
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreUnavailable(
            f"the database role may not do this ({_first_line(error)}); use Supabase's role postgres"
        ) from None
    except (psycopg.errors.LockNotAvailable, psycopg.OperationalError) as error:
        raise StoreUnavailable(f"the database broke off: {_first_line(error)}; run the command again") from None


def _require_fit(connection: Connection) -> None:
    """Refuse what the first migration would fail on with words that nobody understands."""
    if connection.info.server_version < _OLDEST:
        raise SchemaMismatch(
            f"the database is PostgreSQL {connection.info.server_version // 10_000}; 15 or newer is needed"
        )
    bypasses, has_auth = _one(
        connection,
        "select r.rolbypassrls or r.rolsuper, exists (select 1 from pg_catalog.pg_proc as p inner join pg_catalog.pg_namespace as n "
        "on p.pronamespace = n.oid where n.nspname = 'auth' and p.proname = 'jwt') "
        "from pg_catalog.pg_roles as r where r.rolname = current_user",
    )
    if not has_auth:
        raise SchemaMismatch("the database has no function auth.jwt(): it is not that of a Supabase project")
    if not bypasses:
        raise SchemaMismatch(
            f"the role {connection.info.user} is bound by row-level security; migrate as Supabase's role postgres"
        )


def _apply(connection: Connection, name: str, script: str) -> bool:
    """Run one migration and record it, in one transaction; False if it was there already."""
    version, _, title = name.partition("_")
    with connection.transaction():
        _lock(connection)
        if version in _applied(connection):
            return False
        try:
            connection.execute(script.encode())
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            raise SchemaMismatch(
                f"the migration {name} fails, and nothing of it was kept: {_first_line(error)}"
            ) from None
        _record(connection, version, title, script)
    return True


def _adopt(connection: Connection) -> list[str]:
    with connection.transaction():
        _lock(connection)
        connection.execute(_RECORD)
        done = _applied(connection)
        _require_columns(connection)
        adopted = [name for name in migrations() if _version(name) not in done]
        for name in adopted:
            version, _, title = name.partition("_")
            _record(connection, version, title, migrations()[name])
    return adopted


def _record(connection: Connection, version: str, title: str, script: str) -> None:
    connection.execute(
        "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
        (version, title, [script]),
    )


def _lock(connection: Connection) -> None:
    """Wait for other migrating programs until this transaction ends."""
    connection.execute("set local lock_timeout = '60s'")
    connection.execute("select pg_advisory_xact_lock(hashtext('scorehouse.migrate'))")


def _applied(connection: Connection) -> dict[str, str | None]:
    """Version -> the text that was run, None where the Supabase CLI recorded it in pieces."""
    found = connection.execute("select version, statements from supabase_migrations.schema_migrations").fetchall()
    return {version: texts[0] if texts and len(texts) == 1 else None for version, texts in found}


def _refuse_edited(applied: Mapping[str, str | None]) -> None:
    for name, script in migrations().items():
        if applied.get(_version(name)) not in {None, script}:
            raise SchemaMismatch(
                f"the migration {name} was applied with another text than it has here; a migration is never edited once it "
                "was applied: put its file back and write a new one"
            )


def _require_columns(connection: Connection) -> None:
    found: dict[str, list[str]] = dict(connection.execute(_COLUMNS).fetchall())
    for name, table in schema.warehouse().items():
        if name not in found:
            raise SchemaMismatch(f"the database has no {name}, though every migration was applied: somebody dropped it")
        if missing := sorted(set(table.columns) - set(found[name])):
            raise SchemaMismatch(
                f"{name} lacks {', '.join(missing)}, though every migration was applied: somebody changed the database by "
                "hand; put the column back"
            )


def _one(connection: Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def _version(name: str) -> str:
    return name.partition("_")[0]


def _first_line(error: psycopg.Error) -> str:
    said = (error.diag.message_primary or str(error)).strip()
    return said.splitlines()[0] if said else type(error).__name__
