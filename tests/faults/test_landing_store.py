"""The store down, slow, refusing, made anew, older or newer: the spool keeps every result and replays without harm."""

import sqlite3
from pathlib import Path

import pytest
from faults.landing import ReplyLost, begin, die, measure, migrated, outcomes, refused
from store.samples import T1, T2

from analytics.errors import SchemaMismatch, StoreUnavailable
from analytics.store import Spool, SqliteStore


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.sqlite"


def test_a_store_that_is_down_for_the_whole_run_gets_everything_later(spool: Spool, path: Path) -> None:
    path.parent.touch()  # a file where the folder should be: nothing can be opened there
    opened, ids = begin(spool)
    with SqliteStore(path) as down:
        for result_id in ids:
            measure(opened, result_id)
            with pytest.raises(StoreUnavailable):
                opened.land(down)
        opened.finish(T1)
        opened.close()
        ((run_id, why),) = spool.recover(down).waiting
    assert run_id == opened.run_id
    assert str(path.parent) in why
    path.parent.unlink()
    with migrated(path) as up:
        recovery = spool.recover(up, T2)
        assert (recovery.landed, recovery.aborted, recovery.skipped) == (3, 0, 0)
        assert outcomes(up) == dict.fromkeys(ids, "ok")
        assert up.read_all("runs")[0]["finished_at"] == T1
    assert spool.run_ids() == []


def test_a_store_that_comes_back_during_the_run_gets_everything(spool: Spool, path: Path) -> None:
    opened, ids = begin(spool)
    with SqliteStore(path) as store, opened:
        measure(opened, ids[0])
        with pytest.raises(SchemaMismatch, match="scorehouse db migrate"):
            opened.land(store)
        store.migrate()
        measure(opened, ids[1])
        assert opened.land(store).landed == 2
        measure(opened, ids[2])
        opened.finish(T1)
        assert opened.land(store).landed == 1
        assert outcomes(store) == dict.fromkeys(ids, "ok")
    assert spool.run_ids() == []


def test_a_store_locked_by_another_writer_loses_nothing(spool: Spool, path: Path) -> None:
    migrated(path).close()
    opened, ids = begin(spool, 1)
    with SqliteStore(path, busy_timeout_s=0.05) as store, opened:
        measure(opened, ids[0])
        opened.finish(T1)
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("begin immediate")
        with pytest.raises(StoreUnavailable, match="locked"):
            opened.land(store)
        writer.execute("rollback")
        writer.close()
        assert opened.land(store).landed == 1


def test_a_reply_lost_after_the_commit_lands_nothing_twice(spool: Spool, path: Path) -> None:
    migrated(path).close()
    opened, ids = begin(spool)
    with ReplyLost(path) as store:
        for result_id in ids:
            measure(opened, result_id)
        opened.finish(T1)
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                opened.land(store)
        landing = opened.land(store)
        assert (landing.landed, landing.already, landing.alarms) == (0, 3, ())
        opened.close()
        assert outcomes(store) == dict.fromkeys(ids, "ok")
    assert spool.run_ids() == []


@pytest.mark.parametrize("name", ["older", "newer"])
def test_a_store_of_another_schema_takes_nothing_and_refuses_nothing(spool: Spool, path: Path, name: str) -> None:
    store = migrated(path)
    with sqlite3.connect(path) as other:
        if name == "older":
            other.execute("delete from schema_migrations")
        else:
            other.execute("insert into schema_migrations values ('9999_future', '2030')")
    other.close()
    opened, ids = begin(spool, 1)
    measure(opened, ids[0])
    opened.finish(T1)
    with pytest.raises(SchemaMismatch):
        opened.land(store)
    opened.close()
    assert [run_id for run_id, _ in spool.recover(store).waiting] == [opened.run_id] == spool.run_ids()
    assert outcomes(store) == {}
    store.close()


def test_a_column_dropped_under_us_is_no_poison(spool: Spool, path: Path, tmp_path: Path) -> None:
    store = migrated(path)
    with sqlite3.connect(path) as other:
        other.execute("alter table benchmark_results drop column max_gap_ms")
    opened, ids = begin(spool, 1)
    measure(opened, ids[0], max_gap_ms=0.5)
    opened.finish(T1)
    with pytest.raises(SchemaMismatch, match="max_gap_ms"):
        opened.land(store)
    with other:
        other.execute("alter table benchmark_results add column max_gap_ms real")
    other.close()
    assert opened.land(store).landed == 1
    opened.close()
    assert refused(tmp_path / "spool") == []
    store.close()


def test_a_poison_row_is_set_aside_alone_and_reported(spool: Spool, path: Path, tmp_path: Path) -> None:
    opened, ids = begin(spool)
    with migrated(path) as store:
        measure(opened, ids[0])
        measure(opened, ids[1], outcome="splendid")
        measure(opened, ids[2])
        die(opened)
        recovery = spool.recover(store, T1)
        assert (recovery.landed, [result_id for result_id, _ in recovery.refused]) == (2, [ids[1]])
        assert outcomes(store) == {ids[0]: "ok", ids[2]: "ok"}
    ((aside),) = refused(tmp_path / "spool")
    assert (aside["row"]["id"], aside["row"]["outcome"]) == (ids[1], "splendid")
    assert spool.run_ids() == []


def test_other_content_under_an_id_is_an_alarm_and_kept_aside(spool: Spool, path: Path, tmp_path: Path) -> None:
    opened, ids = begin(spool, 1)
    with migrated(path) as store:
        measure(opened, ids[0], response_text="first")
        opened.land(store)
        opened.record({"id": ids[0], "outcome": "ok", "success": True, "created_at": T1, "response_text": "second"})
        opened.finish(T1)
        assert opened.land(store).alarms == (ids[0],)
        assert store.read("benchmark_results").rows[0]["response_text"] == "first"
    opened.close()
    assert [line["row"]["response_text"] for line in refused(tmp_path / "spool")] == ["second"]
    assert spool.run_ids() == []


def test_a_run_deleted_while_it_goes_drops_its_results(spool: Spool, path: Path) -> None:
    opened, ids = begin(spool)
    with migrated(path) as store:
        measure(opened, ids[0])
        opened.land(store)
        store.delete("runs", [opened.run_id])
        measure(opened, ids[1])
        measure(opened, ids[2])
        opened.finish(T1)
        assert opened.land(store).dropped == 2
        assert outcomes(store) == {}
    opened.close()
    assert spool.run_ids() == []


# -- a database made anew has another epoch: what the old one acknowledged means nothing to it ---------------------


def made_anew(path: Path) -> None:
    for file in path.parent.glob("store.sqlite*"):
        file.unlink()
    migrated(path).close()


def test_a_database_made_anew_between_runs_gets_what_the_old_one_had(spool: Spool, path: Path) -> None:
    opened, ids = begin(spool)
    with migrated(path) as store:
        measure(opened, ids[0])
        measure(opened, ids[1])
        opened.land(store)
        die(opened)
    made_anew(path)
    with SqliteStore(path) as store:
        assert spool.recover(store, T1).landed == 3
        assert outcomes(store) == {ids[0]: "ok", ids[1]: "ok", ids[2]: "skipped"}


def test_a_database_made_anew_during_the_run_gets_the_whole_run(spool: Spool, path: Path) -> None:
    opened, ids = begin(spool)
    with migrated(path) as store, opened:
        measure(opened, ids[0])
        opened.land(store)
        made_anew(path)
        measure(opened, ids[1])
        opened.land(store)
        measure(opened, ids[2])
        opened.finish(T1)
        opened.land(store)
        assert outcomes(store) == dict.fromkeys(ids, "ok")
    assert spool.run_ids() == []


def test_a_database_made_anew_during_a_landing_gets_the_whole_run(spool: Spool, path: Path) -> None:
    class Replaced(SqliteStore):
        """A store that is replaced between the question for its epoch and the landing."""

        def epoch(self) -> str:
            found = super().epoch()
            if self.read("benchmark_results").rows:
                made_anew(path)
            return found

    migrated(path).close()
    opened, ids = begin(spool, 2)
    with Replaced(path) as store, opened:
        measure(opened, ids[0])
        opened.land(store)
        measure(opened, ids[1])
        opened.finish(T1)
        opened.land(store)
        assert outcomes(store) == dict.fromkeys(ids, "ok")


def test_a_finished_run_is_not_forgotten_while_the_new_database_has_no_tables(spool: Spool, path: Path) -> None:
    opened, ids = begin(spool, 1)
    with migrated(path) as store:
        measure(opened, ids[0])
        opened.finish(T1)
        opened.land(store)
        die(opened)  # after the last acknowledgement, before the file went
    for file in path.parent.glob("store.sqlite*"):
        file.unlink()
    with SqliteStore(path) as store:
        assert len(spool.recover(store).waiting) == 1
        store.migrate()
        assert spool.recover(store).landed == 1
        assert outcomes(store) == {ids[0]: "ok"}


def test_a_commit_into_a_removed_file_does_not_count(spool: Spool, path: Path) -> None:
    class Removed(SqliteStore):
        """A store whose file goes while its transaction is open."""

        def _require_schema(self, connection: sqlite3.Connection) -> None:
            super()._require_schema(connection)
            for file in path.parent.glob("store.sqlite*"):
                file.unlink()

    migrated(path).close()
    opened, ids = begin(spool, 1)
    measure(opened, ids[0])
    opened.finish(T1)
    with Removed(path) as store, pytest.raises(StoreUnavailable, match="was removed while it was being written"):
        opened.land(store)
    opened.close()
    with migrated(path) as mended:
        assert spool.recover(mended).landed == 1
