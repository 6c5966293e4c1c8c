"""Event tables of a Supabase project in bulk: COPY over the PostgreSQL protocol, where `SUPABASE_DB_URL` is given.

What is read is what `read_events` gives: rows behind a place in the order (transaction, number), up to the horizon before which no
transaction is under way. ADBC makes Arrow of PostgreSQL's binary COPY; no row passes through Python.
"""

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
from adbc_driver_postgresql import dbapi
from psycopg.conninfo import make_conninfo

from analytics.errors import SchemaMismatch, StoreUnavailable
from analytics.store import schema
from analytics.store.schema import Column, Kind
from analytics.store.supabase_rows import place, watermark
from analytics.store.supabase_wire import remedy

_CONNECT_S = 15
_SESSION = "set statement_timeout = '10min'"
_END = """
select t.txid::text, t.commit_seq from public."{table}" as t
where (t.txid, t.commit_seq) > ('{txid}'::xid8, {seq}) and t.txid < pg_snapshot_xmin(pg_current_snapshot())
order by t.txid {direction}, t.commit_seq {direction} offset {offset} limit 1
"""
# Between these ends every transaction is over, so that a later look finds the same rows.
_ROWS = """
select {columns} from public."{table}" as t
where (t.txid, t.commit_seq) > ('{txid}'::xid8, {seq}) and (t.txid, t.commit_seq) <= ('{last_txid}'::xid8, {last_seq})
"""
_CASTS: dict[Kind, str] = {
    "text": 't."{name}"::text',
    "json": 't."{name}"::text',
    "integer": 't."{name}"::int8',
    "real": 't."{name}"::float8',
    "boolean": 't."{name}"::boolean',
    # Infinity and years that Python does not know are no time.
    "time": 'case when t."{name}" >= \'0001-01-01 00:00+00\' and t."{name}" < \'9999-12-31 24:00+00\' then t."{name}" end',
}
_MISSING = {"42P01", "42703"}  # undefined_table, undefined_column
_SERVERS_WORD = re.compile(r"ERROR:\s+([^\n]+)")  # of all that a driver says, what cannot hold the address


@dataclass(frozen=True, slots=True, eq=False)
class Copied:
    """Rows of an event table, and the watermark to read on from. JSON values are text as PostgreSQL writes it."""

    rows: pa.Table
    watermark: int


def copy(db_url: str, table: str, columns: Sequence[str], after: int | None, limit: int) -> Copied | None:
    """At most `limit` rows that `read` would give after the watermark `after`; None if there are none.

    Raises StoreUnavailable, which never repeats the address, and SchemaMismatch.
    """
    shape = [schema.events(table).columns[name] for name in columns]
    address = make_conninfo(db_url, connect_timeout=_CONNECT_S, application_name="scorehouse")
    try:
        with dbapi.connect(address, autocommit=True) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(_SESSION)
            return _copied(cursor, table, shape, after, limit)
    except dbapi.Error as error:
        said = _SERVERS_WORD.search(str(error))
        why = said[1] if said else type(error).__name__
        if error.sqlstate in _MISSING:
            raise SchemaMismatch(f"{why}; {remedy(f'public.{table}')}") from None
        raise StoreUnavailable(f"the database of SUPABASE_DB_URL cannot be read ({why})") from None


def _copied(
    cursor: dbapi.Cursor, table: str, columns: Sequence[Column], after: int | None, limit: int
) -> Copied | None:
    txid, seq = place(after)
    last = None
    for direction, offset in (("asc", limit - 1), ("desc", 0)):  # the last of a full portion, else the last there is
        cursor.execute(_END.format(table=table, txid=txid, seq=seq, direction=direction, offset=offset))
        last = cursor.fetchone()
        if last is not None:
            break
    if last is None:
        return None
    named = ", ".join(f'{_CASTS[column.kind].format(name=column.name)} as "{column.name}"' for column in columns)
    cursor.execute(_ROWS.format(columns=named, table=table, txid=txid, seq=seq, last_txid=last[0], last_seq=last[1]))
    return Copied(cursor.fetch_arrow_table(), watermark(int(last[0]), last[1]))
