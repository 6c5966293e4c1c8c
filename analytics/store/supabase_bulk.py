"""Event tables of a Supabase project in bulk: COPY over the PostgreSQL protocol, where `SUPABASE_DB_URL` is given.

What is read is what `read_events` gives: rows behind a place in the order (transaction, number), up to the horizon before which no
transaction is under way. The bytes are CSV as COPY writes it: an unquoted nothing is null, a quoted one is an empty text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import psycopg
from psycopg import pq, sql

from analytics.errors import SchemaMismatch, StoreUnavailable
from analytics.store.supabase_rows import place, watermark
from analytics.store.supabase_wire import remedy

_CONNECT_S = 15
_SESSION = "set timezone = 'UTC'; set datestyle = 'ISO'; set extra_float_digits = 1; set statement_timeout = '10min'"
_END = """
select t.txid::text, t.commit_seq from {table} as t
where (t.txid, t.commit_seq) > (%s::xid8, %s) and t.txid < pg_snapshot_xmin(pg_current_snapshot())
order by t.txid {direction}, t.commit_seq {direction} offset %s limit 1
"""
_ROWS = """
copy (
    select {columns} from {table} as t
    where (t.txid, t.commit_seq) > ({txid}::xid8, {seq}) and (t.txid, t.commit_seq) <= ({last_txid}::xid8, {last_seq})
) to stdout (format csv)
"""


@dataclass(frozen=True, slots=True)
class Copied:
    """Rows of an event table as CSV without a header, and the watermark to read on from."""

    csv: bytes
    watermark: int


def copy(db_url: str, table: str, columns: Sequence[str], after: int | None, limit: int) -> Copied | None:
    """At most `limit` rows that `read` would give after the watermark `after`; None if there are none.

    Raises StoreUnavailable, which never repeats the address, and SchemaMismatch.
    """
    try:
        with psycopg.connect(
            db_url, connect_timeout=_CONNECT_S, application_name="scorehouse", prepare_threshold=None
        ) as connection:
            connection.execute(_SESSION)
            connection.commit()
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # one horizon for both statements
            connection.read_only = True
            return _copied(connection, table, columns, after, limit)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise SchemaMismatch(f"{error.diag.message_primary}; {remedy(f'public.{table}')}") from None
    except psycopg.Error as error:
        why = error.diag.message_primary or type(error).__name__  # the driver's own words may hold the address
        raise StoreUnavailable(f"the database of SUPABASE_DB_URL cannot be read ({why})") from None


def _copied(
    connection: psycopg.Connection, table: str, columns: Sequence[str], after: int | None, limit: int
) -> Copied | None:
    named = sql.Identifier("public", table)
    txid, seq = place(after)
    last = None
    for direction, offset in (("asc", limit - 1), ("desc", 0)):  # the last of a full portion, else the last there is
        query = sql.SQL(_END).format(table=named, direction=sql.SQL(direction))
        last = connection.execute(query, (txid, seq, offset)).fetchone()
        if last is not None:
            break
    if last is None:
        return None
    query = sql.SQL(_ROWS).format(
        columns=sql.SQL(", ").join(sql.Identifier("t", name) for name in columns),
        table=named,
        txid=sql.Literal(txid),
        seq=sql.Literal(seq),
        last_txid=sql.Literal(last[0]),
        last_seq=sql.Literal(last[1]),
    )
    return Copied(_stream(connection, query.as_bytes(connection)), watermark(int(last[0]), last[1]))


def _stream(connection: psycopg.Connection, query: bytes) -> bytes:
    """What a COPY TO STDOUT sends. The server sends row by row: libpq's own loop takes a twentieth of the driver's time for each."""
    raw = connection.pgconn
    began = raw.exec_(query)
    if began.status != pq.ExecStatus.COPY_OUT:
        raise psycopg.errors.error_from_result(began)
    data = BytesIO()
    while True:
        size, line = raw.get_copy_data(0)
        if size < 0:
            break
        data.write(line)
    while (ended := raw.get_result()) is not None:
        if ended.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(ended)
    return data.getvalue()
