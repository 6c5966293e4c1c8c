"""SQLite passes the contract, and keeps what is its own: the file, the schema in it, and other processes at it."""

import multiprocessing
import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from store.base import StoreContract
from store.changing import correction
from store.samples import T0, entry, provider, request, result, run
from store.spending import at, budget, spend_in_a_process

from analytics.errors import BadRows, SchemaMismatch, StoreUnavailable
from analytics.store import Actor, PolicyOwner, SqliteStore, new_id, schema


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(path, busy_timeout_s=5) as opened:
        opened.migrate()
        yield opened


class TestSqliteStore(StoreContract):
    """The contract, unchanged."""


def test_a_new_database_is_migrated_and_has_an_epoch(path: Path) -> None:
    with SqliteStore(path) as store:
        assert store.migrate() == list(schema.migrations())
        store.check()
        assert store.epoch()


def test_a_database_without_tables_says_what_to_do(path: Path) -> None:
    with SqliteStore(path) as store:
        for call in (store.check, store.epoch, lambda: store.write("providers", []), lambda: store.read("tombstones")):
            with pytest.raises(SchemaMismatch, match="scorehouse db migrate"):
                call()


def test_a_database_of_a_newer_program_is_left_alone(store: SqliteStore, path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("insert into schema_migrations values ('9999_future', '2030')")
    other.close()
    measured = run()
    for call in (store.check, store.migrate, lambda: store.land_results([measured], [result(measured)])):
        with pytest.raises(SchemaMismatch, match="9999_future by a newer Scorehouse"):
            call()


def test_a_database_of_an_older_program_takes_no_rows(store: SqliteStore, path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("delete from schema_migrations")
    other.close()
    with pytest.raises(SchemaMismatch, match="lacks the migration 0001_warehouse"):
        store.write("request_events", [request()])


def test_a_column_that_was_dropped_by_hand_is_named(store: SqliteStore, path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("alter table feedback_events drop column conversation_id")
    other.close()
    with pytest.raises(SchemaMismatch, match="feedback_events lacks conversation_id"):
        store.check()


def test_a_column_that_was_added_by_hand_does_no_harm(store: SqliteStore, path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("alter table request_events add column note text")
    other.close()
    store.check()
    store.write("request_events", [request()])
    assert store.read("request_events").rows[0]["note"] is None


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("create table runs (id text)")  # in the way of the migration's own
    other.close()
    with SqliteStore(path) as store, pytest.raises(StoreUnavailable, match="already exists"):
        store.migrate()
    with sqlite3.connect(path) as other:
        assert other.execute("select name from sqlite_master").fetchall() == [("runs",)]
    other.close()


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, but it is long enough to be read as one" * 100)
    with SqliteStore(path) as store, pytest.raises(StoreUnavailable, match=r"store\.sqlite: file is not a database"):
        store.migrate()


def test_a_path_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with SqliteStore(tmp_path / "file" / "store.sqlite") as store, pytest.raises(StoreUnavailable):
        store.migrate()


def test_a_writer_who_waits_too_long_gives_up_unharmed(store: SqliteStore, path: Path) -> None:
    with SqliteStore(path, busy_timeout_s=0) as hasty:
        hasty.read_all("providers")
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("begin immediate")
        with pytest.raises(StoreUnavailable, match="locked"):
            hasty.write("providers", [provider()])
        assert hasty.read_all("providers") == [], "readers do not wait"
        holder.execute("rollback")
        holder.close()
        assert hasty.write("providers", [provider()]) == 1


def test_a_commit_survives_in_wal_with_full_sync(store: SqliteStore) -> None:
    connection = store._connected()
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    assert connection.execute("pragma synchronous").fetchone() == (2,)
    assert connection.execute("pragma foreign_keys").fetchone() == (1,)


def test_a_database_made_anew_has_another_epoch(store: SqliteStore, path: Path) -> None:
    before = store.epoch()
    for file in path.parent.glob("store.sqlite*"):
        file.unlink()
    with pytest.raises(SchemaMismatch, match="no such table"):
        store.epoch()
    store.migrate()
    assert store.epoch() != before
    assert store.read_all("providers") == []


def test_a_database_that_was_put_back_gives_a_lower_watermark(store: SqliteStore, path: Path) -> None:
    store.write("request_events", [request()])
    assert store.read("request_events", after=5).watermark == 1


def test_boolean_columns_are_those_with_the_check_and_json_ones_those_with_a_json_default() -> None:
    ddl = "\n".join(schema.migrations().values())
    columns = [
        column for table in schema.warehouse().values() if not table.is_view for column in table.columns.values()
    ]
    assert {column.name for column in columns if column.kind == "boolean"} == {
        line.split()[0] for line in ddl.splitlines() if " in (0, 1))" in line
    }
    assert {column.name for column in columns if column.kind == "json"} >= {
        line.split()[0] for line in ddl.splitlines() if "default '{}'" in line or "default '[]'" in line
    }


def _migrate_and_write(path: Path, count: int) -> None:
    with SqliteStore(path) as store:
        store.migrate()
        for _ in range(count):
            store.write("request_events", [request()])


def test_processes_that_start_at_once_share_one_database(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_migrate_and_write, args=(path, 10)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with SqliteStore(path) as store:
        assert len(store.read("request_events").rows) == 30


def test_eight_connections_that_activate_at_once_leave_exactly_one_active(store: SqliteStore, path: Path) -> None:
    owner, anna = PolicyOwner(tenant="acme"), Actor("tenant_admin", "anna")
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small")], T0)

    def change(number: int) -> None:
        with SqliteStore(path) as own:
            version = own.add_policy("house", {"fades_k": number}, owner=owner, actor=anna)["version"]
            own.activate_policy("house", version=version, owner=owner, actor=anna)
            own.set_agent_models("writer", [{"model": "aurora/small", "priority_override": number}], actor=anna)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(8)))
    rows = store.read_all("routing_configs")
    assert sorted(row["version"] for row in rows) == list(range(1, 9))
    assert sum(row["is_active"] for row in rows) == 1
    assert len(store.read_all("agents")) == len(store.read_all("agent_models")) == 1
    assert len(store.read("audit_log").rows) == 3 * 8


def _change_and_die(path: Path, rows: dict[str, dict[str, Any]]) -> None:
    with SqliteStore(path) as store:
        for table, row in rows.items():
            store.change_rows(table, [row], action="change", actor=Actor("platform_admin", "anna"))
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_switch_or_a_budget_whose_reply_is_lost_is_made_and_audited_once(store: SqliteStore, path: Path) -> None:
    """Who made the changes died before it could say so: they are made again."""
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small")], T0)
    rows = {
        "providers": {"id": provider()["id"], "is_active": False},
        "model_overrides": {"model_id": store.read_all("models")[0]["id"], "is_enabled": False},
        "budgets": budget(limit_usd=5.0),
    }
    dying = multiprocessing.get_context("spawn").Process(target=_change_and_die, args=(path, rows))
    dying.start()
    dying.join()
    assert dying.exitcode == -signal.SIGKILL
    for table, row in rows.items():
        assert store.change_rows(table, [row], action="change", actor=Actor("platform_admin", "anna")) == 0
    assert [row["object_type"] for row in store.read("audit_log").rows] == list(rows)
    assert store.read_all("providers")[0]["is_active"] is False


def test_what_cannot_be_audited_is_not_changed(store: SqliteStore, path: Path) -> None:
    store.write("providers", [provider()])
    store.write("budgets", [limited := budget(limit_usd=5.0)])
    with sqlite3.connect(path) as other:
        other.execute("create trigger closed before insert on audit_log begin select raise(abort, 'closed'); end")
    other.close()
    anna = Actor("platform_admin", "anna")
    with pytest.raises(BadRows, match="closed"):
        store.change_rows("providers", [{"id": provider()["id"], "is_active": False}], action="change", actor=anna)
    with pytest.raises(BadRows, match="closed"):
        store.remove_rows("budgets", [limited["id"]], action="remove", actor=anna)
    with pytest.raises(BadRows, match="closed"):
        store.add_events("repricings", [correction()], action="reprice", actor=anna)
    assert store.read("repricings").rows == []
    assert store.read_all("providers")[0]["is_active"] is True
    assert len(store.read_all("budgets")) == 1


def test_eight_processes_never_overspend_and_what_a_killed_one_reserved_comes_back(
    store: SqliteStore, path: Path
) -> None:
    store.write("budgets", [budget(limit_usd=1.5), *(budget(user_id=f"u{n}", limit_usd=0.7) for n in range(3))])
    store.close()
    context, rng = multiprocessing.get_context("spawn"), random.Random(1)
    shares = [[rng.random() / 4 for _ in range(8)] for _ in range(8)]
    workers = [context.Process(target=spend_in_a_process, args=(path, n, shares[n], n == 0)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [-9, *[0] * 7]
    with SqliteStore(path) as again:
        rows = again.read_all("budgets")
        assert all(0 <= row["spent_usd"] + row["reserved_usd"] <= row["limit_usd"] + 1e-6 for row in rows)
        assert max(row["spent_usd"] / row["limit_usd"] for row in rows) > 0.2, "there was something to overspend"
        assert again.select("budget_reservations", {"state": "reserved"}).items
        again.reserve_budget(new_id(), 0.0, tenant="acme", at=at(13))
        assert all(row["reserved_usd"] < 1e-9 for row in again.read_all("budgets"))
