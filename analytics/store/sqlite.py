"""The store of an unconfigured Scorehouse: one SQLite file.

WAL with synchronous=FULL: a commit that returned survives a power cut. Every write takes the write lock at its beginning
(`begin immediate`), so that writers wait for each other instead of failing half way.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import uuid_utils

from analytics.durable import make_directory, sync_directory
from analytics.errors import BadRows, SchemaMismatch, StoreUnavailable, UnknownName
from analytics.store import agents, budgets, catalog_sync, changes, feedback, landing, policies, schema, sessions
from analytics.store.budgets import RESERVED_S, Reservation
from analytics.store.pricing import PriceLimits
from analytics.store.protocol import Actor, Batch, CatalogChange, Landing, Page, PolicyOwner, Tally
from analytics.store.rows import Row, clean, id_number, mended, now_text, to_sqlite
from analytics.store.sessions import SESSION_S
from analytics.store.sqlite_rows import condition, fetch, ordering, upsert

_LAST = 2**63 - 1
_EXPIRED_AT_ONCE = 10_000  # rows a transaction: landings need not wait long


class SqliteStore:
    """A `Store` in one SQLite file. It is made on the first `migrate()`; opening it costs nothing.

    `busy_timeout_s` is how long a call waits for other writers before StoreUnavailable.
    """

    def __init__(self, path: Path | str, *, busy_timeout_s: float = 30.0) -> None:
        self._path = Path(path)
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._is_closed = False

    # -- life --------------------------------------------------------------------------------------------------

    def migrate(self) -> list[str]:
        """Apply what is missing, all in one transaction, so that a kill leaves the old schema."""
        known = schema.migrations()
        with self._transaction(any_schema=True) as connection:
            connection.execute(
                "create table if not exists schema_migrations (name text not null primary key, applied_at text not null) strict"
            )
            applied = _applied(connection)
            _refuse_newer(self._path, applied)
            pending = [name for name in known if name not in applied]
            for name in pending:
                for statement in schema.statements(known[name]):
                    connection.execute(statement)
                connection.execute("insert into schema_migrations values (?, ?)", (name, now_text()))
            if not connection.execute("select 1 from store_epoch").fetchone():
                connection.execute("insert into store_epoch values (?, ?)", (str(uuid_utils.uuid4()), now_text()))
        sync_directory(self._path.parent)
        return pending

    def check(self) -> None:
        """Compare the migrations applied, and then column by column what they made."""
        with self._reading() as connection:
            self._require_schema(connection)
            found = schema.describe(connection)
        for name, table in schema.warehouse().items():
            missing = sorted(set(table.columns) - set(found[name].columns)) if name in found else ["every column"]
            if missing:
                raise SchemaMismatch(
                    f"{self._path}: {name} lacks {', '.join(missing)}, though every migration was applied: somebody changed the "
                    "database by hand; put the column back, or move the file away and run `scorehouse db migrate`"
                )

    def epoch(self) -> str:
        with self._reading() as connection:
            return _epoch(connection)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- generic verbs -----------------------------------------------------------------------------------------

    def write(self, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
        shape = schema.writable(table)
        cleaned = [to_sqlite(clean(shape, row, f"{table}, row {index}")) for index, row in enumerate(rows)]
        written = 0
        with self._transaction() as connection:
            for index, row in enumerate(cleaned):
                try:
                    written += connection.execute(upsert(shape, tuple(row)), row).rowcount
                except sqlite3.IntegrityError as error:
                    raise BadRows(f"{table}, row {index}: {error}") from None
        return written if shape.is_event else len(cleaned)

    def delete(self, table: str, ids: Sequence[str]) -> int:
        shape = schema.holds_no_events(table)
        with self._transaction() as connection:
            statement = f"delete from {table} where {shape.key} = ?"  # noqa: S608  # both names come from the migrations
            return sum(connection.execute(statement, (mended(row_id),)).rowcount for row_id in ids)

    def read(self, table: str, after: int | None = None, limit: int = 10_000) -> Batch:
        shape = schema.events(table)
        start = after or 0
        with self._reading() as connection:
            rows = fetch(
                shape,
                connection.execute(
                    f"select * from {table} where commit_seq > ? order by commit_seq limit ?",  # noqa: S608  # a known table
                    (start, limit),
                ),
            )
            if rows:
                return Batch(rows, rows[-1]["commit_seq"])
            last = connection.execute("select seq from sqlite_sequence where name = ?", (table,)).fetchone()
        return Batch([], min(start, last[0] if last else 0))

    def tally(self, table: str, after: int | None = None, until: int | None = None) -> list[Tally]:
        schema.events(table)
        days: dict[str, tuple[int, int]] = {}
        with self._reading() as connection:
            found = connection.execute(
                f"select substr(created_at, 1, 10), id from {table} where commit_seq > ? and commit_seq <= ?",  # noqa: S608  # a known table
                (after or 0, _LAST if until is None else until),
            )
            for day, row_id in found:
                rows, ids = days.get(day, (0, 0))
                days[day] = rows + 1, ids + id_number(row_id)
        return [Tally(day, *days[day]) for day in sorted(days)]

    def read_all(self, table: str) -> list[Row]:
        return self.select(table).items

    def select(
        self,
        table: str,
        filters: Mapping[str, Any] | None = None,
        order: str | None = None,
        page: int = 1,
        per_page: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Page:
        shape = schema.table(table)
        where, values = condition(shape, filters or {})
        source = f"from {table} where {where} "
        selected = "*" if columns is None else ", ".join(schema.column(shape, name) for name in columns)
        # Of all rows, sorting (the plus) takes half the time of following an index to and fro in a wide table.
        order_by = f"order by {ordering(shape, order, '+' if per_page is None else '')} limit ? offset ?"
        window = (-1, 0) if per_page is None else (per_page, (page - 1) * per_page)
        if page < 1 or (per_page is not None and per_page < 1):
            raise UnknownName(f"there is no page {page} of {per_page} rows; both count from 1")
        with self._reading() as connection:
            items = fetch(shape, connection.execute(f"select {selected} {source}{order_by}", (*values, *window)))
            if per_page is None:
                return Page(items, len(items))
            total = connection.execute(f"select count(*) {source}", values).fetchone()[0]
        return Page(items, total)

    # -- commands: each is one transaction ---------------------------------------------------------------------

    def land_results(self, runs: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> Landing:
        with self._transaction() as connection:
            return landing.land(connection, runs, results, _epoch(connection))

    def apply_catalog(
        self,
        provider_key: str,
        models: Sequence[Mapping[str, Any]],
        synced_at: str,
        *,
        active: Collection[str] | Literal["all"] = (),
        price_source: str | None = None,
        price_limits: PriceLimits | None = None,
    ) -> CatalogChange:
        with self._transaction() as connection:
            return catalog_sync.apply(connection, provider_key, models, synced_at, active, price_source, price_limits)

    def catalog_failed(self, provider_key: str, error: str, at: str) -> None:
        with self._transaction() as connection:
            catalog_sync.fail(connection, provider_key, error, at)

    def note_rejected_parameters(self, model_id: str, changes: Mapping[str, str | None]) -> None:
        times = {name: at for name, at in changes.items() if at is not None}
        wanted = clean(schema.table("models"), {"rejected_parameters": times}, f"model {model_id}", whole=False)
        patch = mended(dict.fromkeys(changes)) | wanted["rejected_parameters"]
        with self._transaction() as connection:
            connection.execute(
                "update models set rejected_parameters = json_patch(rejected_parameters, ?), updated_at = ? where id = ?",
                (json.dumps(patch, sort_keys=True), now_text(), model_id),
            )

    def submit_feedback(self, row: Mapping[str, Any]) -> Row:
        with self._transaction() as connection:
            return feedback.submit(connection, row)

    def change_rows(
        self, table: str, rows: Sequence[Mapping[str, Any]], *, action: str, actor: Actor, at: str | None = None
    ) -> int:
        shape, wanted, moment = changes.prepared(table, rows, actor, at)
        with self._transaction() as connection:
            return changes.change(connection, shape, wanted, action, actor, moment)

    def remove_rows(self, table: str, ids: Sequence[str], *, action: str, actor: Actor, at: str | None = None) -> int:
        shape, moment = schema.holds_no_events(table), changes.moment_of(at)
        with self._transaction() as connection:
            return changes.remove(connection, shape, ids, action, actor, moment)

    def add_events(
        self, table: str, rows: Sequence[Mapping[str, Any]], *, action: str, actor: Actor, at: str | None = None
    ) -> None:
        found = changes.added(table, rows, action, actor, at)
        with self._transaction() as connection:
            for shape, wanted in found:
                for index, row in enumerate(map(to_sqlite, wanted)):
                    try:
                        connection.execute(upsert(shape, tuple(row)), row)
                    except sqlite3.IntegrityError as error:
                        raise BadRows(f"{table}, row {index}: {error}") from None

    def set_agent_models(
        self,
        agent: str,
        changes: Sequence[Mapping[str, Any]],
        *,
        tenant: str | None = None,
        actor: Actor,
        at: str | None = None,
    ) -> list[Row]:
        with self._transaction() as connection:
            return agents.set_models(connection, agent, changes, tenant, actor, at)

    def add_policy(
        self,
        name: str,
        rules: Mapping[str, Any],
        *,
        owner: PolicyOwner,
        description: str | None = None,
        actor: Actor,
        at: str | None = None,
    ) -> Row:
        row = policies.prepared(name, rules, owner, description, actor, at)
        with self._transaction() as connection:
            return policies.add(connection, row, actor)

    def activate_policy(
        self, name: str, *, version: int | None = None, owner: PolicyOwner, actor: Actor, at: str | None = None
    ) -> Row:
        with self._transaction() as connection:
            return policies.activate(connection, name, version, owner, actor, at)

    def reserve_budget(
        self, reservation_id: str, cost_usd: float, *, tenant: str, user: str | None = None, agent: str | None = None,
        session: str | None = None, model: str | None = None, at: str | None = None, ttl_s: float = RESERVED_S,
    ) -> Reservation:  # fmt: skip
        asked = budgets.prepared(
            {"id": reservation_id, "tenant_id": tenant, "user_id": user, "agent_id": agent, "session_id": session, "model": model,
             "cost_usd": cost_usd, "created_at": at},
            ttl_s,
        )  # fmt: skip
        moment = asked.pop("created_at")
        with self._transaction() as connection:
            return budgets.reserve(connection, asked, moment, ttl_s)

    def settle_budget(self, reservation_id: str, cost_usd: float | None, *, at: str | None = None) -> Reservation:
        asked = budgets.settlement(reservation_id, cost_usd, at)
        with self._transaction() as connection:
            return budgets.settle(connection, asked)

    def touch_session(
        self, session_id: str, *, tenant: str | None = None, user: str | None = None, agent: str | None = None,
        model: str | None = None, policy: str | None = None, preferences: Mapping[str, Any] | None = None,
        budget_usd: float | None = None, at: str | None = None, ttl_s: float = SESSION_S,
    ) -> Row:  # fmt: skip
        asked = sessions.prepared(
            {"session_id": session_id, "tenant_id": tenant, "user_id": user, "agent_id": agent, "model": model, "policy": policy,
             "preferences": preferences, "budget_usd": budget_usd, "last_activity_at": at},
            ttl_s,
        )  # fmt: skip
        with self._transaction() as connection:
            return sessions.touch(connection, asked, ttl_s)

    def expire(self, table: str, before: str, watermark: int | None, *, dry_run: bool = False) -> int:
        moment = clean(schema.expirable(table), {"created_at": before}, "expire", whole=False)["created_at"]
        due = (moment, watermark or 0)
        source = f"from {table} where created_at < ? and commit_seq <= ?"
        if dry_run:
            with self._reading() as connection:
                return int(connection.execute(f"select count(*) {source}", due).fetchone()[0])
        expired = 0
        while True:
            with self._transaction() as connection:
                gone = connection.execute(
                    f"delete from {table} where commit_seq in (select commit_seq {source} limit ?)",  # noqa: S608  # a known table
                    (*due, _EXPIRED_AT_ONCE),
                ).rowcount
            expired += gone
            if gone < _EXPIRED_AT_ONCE:
                return expired

    def make_partitions(self) -> list[str]:
        return []  # one table holds all months

    # -- connection --------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, *, any_schema: bool = False) -> Iterator[sqlite3.Connection]:
        """The write lock from here to the commit; an error rolls everything back."""
        with self._reading() as connection:
            connection.execute("begin immediate")
            try:
                if not any_schema:
                    self._require_schema(connection)
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
            if self._is_replaced():
                # The commit went to a file that no path leads to any more: whoever counts on it must not.
                raise StoreUnavailable(f"{self._path} was removed while it was being written; nothing was kept")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connected()
            except sqlite3.ProgrammingError:
                raise  # a mistake of ours, not the database's state
            except sqlite3.IntegrityError as error:
                raise BadRows(str(error)) from error
            except sqlite3.OperationalError as error:
                if "no such" in str(error) or "has no column" in str(error):
                    raise SchemaMismatch(f"{self._path}: {error}; run `scorehouse db migrate`") from error
                raise StoreUnavailable(f"{self._path}: {error}") from error
            except FileExistsError as error:
                raise StoreUnavailable(f"{self._path}: {error.filename} is no folder") from error
            except (sqlite3.DatabaseError, OSError) as error:
                raise StoreUnavailable(f"{self._path}: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._is_closed:
            raise StoreUnavailable(f"{self._path}: this store was closed")
        if self._connection is not None and self._is_replaced():
            self._disconnect()
        if self._connection is None:
            make_directory(self._path.parent)
            connection = sqlite3.connect(
                self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
            )
            try:
                _use_wal(connection, self._busy_timeout_s)
                connection.execute("pragma synchronous = full")
                connection.execute("pragma foreign_keys = on")
                found = self._path.stat()
            except BaseException:
                connection.close()
                raise
            self._connection, self._file = connection, (found.st_dev, found.st_ino)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._file = None

    def _is_replaced(self) -> bool:
        """Whether the path leads to another file than the open one, or to none."""
        try:
            found = os.stat(self._path)  # noqa: PTH116  # one system call
        except FileNotFoundError:
            return True
        return (found.st_dev, found.st_ino) != self._file

    def _require_schema(self, connection: sqlite3.Connection) -> None:
        try:
            applied = _applied(connection)
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            raise SchemaMismatch(f"{self._path} has no tables yet; run `scorehouse db migrate`") from None
        _refuse_newer(self._path, applied)
        missing = [name for name in schema.migrations() if name not in applied]
        if missing:
            raise SchemaMismatch(f"{self._path} lacks the migration {missing[0]}; run `scorehouse db migrate`")


def _use_wal(connection: sqlite3.Connection, patience_s: float) -> None:
    """Turn a new file to WAL. SQLite itself does not wait when several processes do that at once."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _applied(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("select name from schema_migrations")}


def _refuse_newer(path: Path, applied: set[str]) -> None:
    newer = sorted(applied - set(schema.migrations()))
    if newer:
        raise SchemaMismatch(f"{path} was migrated to {newer[-1]} by a newer Scorehouse; upgrade this one")


def _epoch(connection: sqlite3.Connection) -> str:
    found = connection.execute("select epoch from store_epoch order by created_at desc, rowid desc limit 1").fetchone()
    return str(found[0])
