"""A PostgreSQL database by its own protocol, where its address is known: migrations, and event tables in bulk."""

import psycopg

from analytics import sqlfiles
from analytics.errors import SchemaMismatch, StoreUnavailable

_CONNECT_TIMEOUT_S = 15
# The Supabase CLI keeps its record here: whoever of the two migrates, the other knows of it.
_RECORD = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key, statements text[], name text)
"""


def connect(db_url: str) -> psycopg.Connection:
    """A connection to the database at `db_url`; StoreUnavailable, which never repeats the address."""
    try:
        return psycopg.connect(db_url, connect_timeout=_CONNECT_TIMEOUT_S, application_name="scorehouse")
    except psycopg.Error as error:
        raise StoreUnavailable(f"the database of SUPABASE_DB_URL cannot be reached ({_reason(error)})") from None


def migrate(db_url: str) -> list[str]:
    """Apply the migrations that are not recorded there, all in one transaction; their names.

    Raises StoreUnavailable, and SchemaMismatch for one that fails: then none was applied.
    """
    applied = list[str]()
    with connect(db_url) as connection:
        stem = "the record of migrations"
        try:
            connection.execute("select pg_advisory_xact_lock(hashtext('scorehouse.migrate'))")
            connection.execute(_RECORD.encode())
            found = connection.execute("select version from supabase_migrations.schema_migrations").fetchall()
            for stem, path in sqlfiles.files("migrations/postgres").items():
                version, _, name = stem.partition("_")
                if (version,) in found:
                    continue
                connection.execute(path.read_bytes())
                connection.execute(
                    "insert into supabase_migrations.schema_migrations (version, name) values (%s, %s)", (version, name)
                )
                applied.append(stem)
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"the database of SUPABASE_DB_URL went away at {stem} ({_reason(error)})") from None
        except psycopg.Error as error:
            connection.rollback()
            raise SchemaMismatch(
                f"{stem} cannot be applied: {_reason(error)}. If the migrations before it were pasted by hand, record them: "
                f"`supabase migration repair --status applied VERSION`"
            ) from None
    return applied


def _reason(error: psycopg.Error) -> str:
    """What the server said, in one line; of an address that is wrong, nothing: it may hold the password."""
    return error.diag.message_primary or type(error).__name__
