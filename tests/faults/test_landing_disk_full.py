"""Disk full: no paid call is made whose result could be lost, and a result that is there is not lost."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults.landing import MEASURED, begin, die, full_disk, measure, migrated, outcomes
from store.samples import T1, plan, run

from analytics.errors import SpoolFull
from analytics.store import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The kernel refuses to let any file grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_run_that_finds_no_room_does_not_begin(spool: Spool, tmp_path: Path) -> None:
    measured = run()
    plans = [plan(measured) for _ in range(100)]
    with no_file_beyond(4096), pytest.raises(SpoolFull, match="no run can begin"):
        spool.open_run(measured, plans)
    assert spool.run_ids() == []
    spool.open_run(measured, plans).close()
    assert spool.run_ids() == [measured["id"]]


def test_a_call_whose_intent_finds_no_room_is_not_made(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool)
    with migrated(tmp_path / "store.sqlite") as store:
        with full_disk(opened), pytest.raises(SpoolFull, match="no call is made"):
            opened.intend(ids[0])
        measure(opened, ids[0])
        die(opened)
        assert spool.recover(store, T1).aborted == 0
        assert outcomes(store) == {ids[0]: "ok", ids[1]: "skipped", ids[2]: "skipped"}


def test_a_call_whose_answer_would_find_no_room_is_not_made(spool: Spool) -> None:
    opened, ids = begin(spool)
    with opened, no_file_beyond(64 * 1024), pytest.raises(SpoolFull):
        opened.intend(ids[0])


def test_less_free_disk_than_the_floor_stops_new_calls(spool: Spool) -> None:
    opened, ids = begin(spool)
    with opened:
        measure(opened, ids[0])
        opened._floor_bytes = 2**62
        with pytest.raises(SpoolFull, match="bytes are free"):
            opened.intend(ids[1])


def test_a_disk_that_fills_up_during_a_call_does_not_lose_its_result(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool)
    with migrated(tmp_path / "store.sqlite") as store:
        opened.intend(ids[0])
        with full_disk(opened):
            opened.record({"id": ids[0], **MEASURED})
            with pytest.raises(SpoolFull):
                opened.intend(ids[1])
            assert opened.land(store).landed == 1, "the row lands from memory"
        die(opened)
        assert spool.recover(store, T1).alarms == (ids[0],), "as aborted it is other content, and the first stays"
        assert outcomes(store)[ids[0]] == "ok"


def test_what_waited_in_memory_is_written_as_soon_as_there_is_room(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool)
    with migrated(tmp_path / "store.sqlite") as store:
        opened.intend(ids[0])
        opened.intend(ids[1])
        with full_disk(opened):
            opened.record({"id": ids[0], **MEASURED})
            opened.record({"id": ids[1], **MEASURED})
        opened.intend(ids[2])
        die(opened)
        spool.recover(store, T1)
        assert outcomes(store) == {ids[0]: "ok", ids[1]: "ok", ids[2]: "aborted"}


def test_a_run_that_landed_from_memory_is_done(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool, 1)
    with migrated(tmp_path / "store.sqlite") as store, full_disk(opened):
        opened.record({"id": ids[0], **MEASURED})
        opened.finish(T1)
        opened.land(store)
        opened.close()
        assert outcomes(store) == {ids[0]: "ok"}
        assert store.read_all("runs")[0]["finished_at"] == T1
    assert spool.run_ids() == []


def test_results_that_neither_disk_nor_store_took_are_named(spool: Spool) -> None:
    opened, ids = begin(spool, 1)
    opened.intend(ids[0])
    with full_disk(opened):
        opened.record({"id": ids[0], **MEASURED})
        with pytest.raises(SpoolFull, match=ids[0]):
            opened.close()


def test_a_full_disk_while_setting_poison_aside_keeps_the_run(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool, 1)
    with migrated(tmp_path / "store.sqlite") as store:
        measure(opened, ids[0], ttft_ms=-1)
        opened.finish(T1)
        (tmp_path / "spool" / "refused").touch()  # no folder can be made there
        with pytest.raises(SpoolFull, match="refused"):
            opened.land(store)
        die(opened)
        assert len(spool.recover(store).waiting) == 1
        (tmp_path / "spool" / "refused").unlink()
        assert [result_id for result_id, _ in spool.recover(store).refused] == [ids[0]]
    assert spool.run_ids() == []
