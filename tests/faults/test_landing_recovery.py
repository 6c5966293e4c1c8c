"""Recovery: never of a run that is alive, by one process only, and of files that are torn or damaged."""

import os
import threading
from pathlib import Path

import pytest
from faults.landing import begin, die, measure, migrated, outcomes, refused
from store.samples import T1, T2

from analytics.store import Recovery, Spool, SqliteStore


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_a_run_that_is_alive_is_left_alone(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool)
    with migrated(tmp_path / "store.sqlite") as store:
        opened.intend(ids[0])
        recovery = Spool(tmp_path / "spool").recover(store, T1)
        assert (recovery.alive, recovery.runs, recovery.landed) == ((opened.run_id,), (), 0)
        assert outcomes(store) == {}
        opened.record({"id": ids[0], "outcome": "ok", "success": True, "created_at": T1})
        measure(opened, ids[1])
        measure(opened, ids[2])
        opened.finish(T1)
        opened.land(store)
        opened.close()
        assert outcomes(store) == dict.fromkeys(ids, "ok")


def test_two_recoveries_at_once_share_the_work(spool: Spool, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    migrated(path).close()
    begun = [begin(spool) for _ in range(6)]
    for opened, ids in begun:
        measure(opened, ids[0])
        opened.intend(ids[1])
        die(opened)
    found: list[Recovery] = []
    start = threading.Barrier(3)

    def recover() -> None:
        with SqliteStore(path) as store:
            start.wait()
            found.append(Spool(tmp_path / "spool").recover(store, T1))

    threads = [threading.Thread(target=recover) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [run_id for recovery in found for run_id in recovery.runs]
    assert sorted(done) == sorted(opened.run_id for opened, _ in begun), "each run by one of them"
    assert [recovery.waiting for recovery in found] == [()] * 3
    assert sum(recovery.landed for recovery in found) == 18
    with SqliteStore(path) as store:
        assert sorted(outcomes(store).values()) == ["aborted"] * 6 + ["ok"] * 6 + ["skipped"] * 6
    assert spool.run_ids() == []


def test_recovering_again_after_a_lost_acknowledgement_raises_no_alarm(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool)
    measure(opened, ids[0])
    opened.intend(ids[1])
    die(opened)
    file = tmp_path / "spool" / f"{opened.run_id}.jsonl"
    before = file.read_bytes()
    with migrated(tmp_path / "store.sqlite") as store:
        assert spool.recover(store, T1).landed == 3
        rows = store.read("benchmark_results").rows
        file.write_bytes(before)  # as if nothing of the first recovery had reached the disk but the commit
        recovery = spool.recover(store, T2)
        assert (recovery.landed, recovery.alarms) == (0, ())
        assert store.read("benchmark_results").rows == rows
        assert store.read_all("runs")[0]["finished_at"] == T1


def test_a_file_torn_anywhere_behind_the_plan_recovers(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool)
    file = tmp_path / "spool" / f"{opened.run_id}.jsonl"
    begun = file.stat().st_size
    measure(opened, ids[0])
    opened.intend(ids[1])
    die(opened)
    data = file.read_bytes().rstrip(b"\0")
    for cut in {*range(begun, len(data), 97), *(place for place in range(begun, len(data)) if data[place - 1] == 10)}:
        file.write_bytes(data[:cut])
        with migrated(tmp_path / f"store-{cut}.sqlite") as store:
            recovery = spool.recover(store, T1)
            assert (recovery.landed, recovery.damaged, recovery.waiting) == (3, 0, ())
            whole = data[:cut].count(b"\n") - 4
            assert outcomes(store)[ids[0]] == ("skipped", "aborted", "ok")[min(whole, 2)]


def test_a_damaged_result_is_kept_aside_and_becomes_aborted(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool)
    with migrated(tmp_path / "store.sqlite") as store:
        measure(opened, ids[0], response_text="the-answer")
        measure(opened, ids[1])
        opened.land(store)
        measure(opened, ids[2], response_text="the-last-answer")
        die(opened)
        file = tmp_path / "spool" / f"{opened.run_id}.jsonl"
        file.write_bytes(file.read_bytes().replace(b"the-answer", b"the_answer").replace(b"last", b"lost"))
        recovery = spool.recover(store, T1)
        assert (recovery.damaged, recovery.aborted) == (2, 2)
        assert recovery.alarms == (ids[0],), "it had landed, and stays as it was"
        assert outcomes(store) == {ids[0]: "ok", ids[1]: "ok", ids[2]: "aborted"}
    assert sum("the-lost-answer" in line.get("line", "") for line in refused(tmp_path / "spool")) == 1


def test_a_result_damaged_under_a_live_run_is_set_aside_alone(spool: Spool, tmp_path: Path) -> None:
    opened, ids = begin(spool, 2)
    with migrated(tmp_path / "store.sqlite") as store:
        measure(opened, ids[0], response_text="the-answer")
        measure(opened, ids[1])
        opened.finish(T1)
        file = tmp_path / "spool" / f"{opened.run_id}.jsonl"
        with file.open("r+b") as handle:
            handle.seek(file.read_bytes().index(b"the-answer"))
            handle.write(b"?")
        landing = opened.land(store)
        assert (landing.landed, [result_id for result_id, _ in landing.refused]) == (1, [ids[0]])
        opened.close()
    assert [line["row"] for line in refused(tmp_path / "spool")] == [{"id": ids[0]}]


def test_a_file_without_its_run_is_reported_and_kept_and_stops_no_other(spool: Spool, tmp_path: Path) -> None:
    broken, _ = begin(spool)
    sound, ids = begin(spool)
    die(broken)
    measure(sound, ids[0])
    die(sound)
    file = tmp_path / "spool" / f"{broken.run_id}.jsonl"
    file.write_bytes(b"x" + file.read_bytes()[1:])
    with migrated(tmp_path / "store.sqlite") as store:
        recovery = spool.recover(store, T1)
        assert recovery.runs == (sound.run_id,)
        ((run_id, why),) = recovery.waiting
        assert (run_id, "describes the run is damaged" in why) == (broken.run_id, True)
    assert spool.run_ids() == [broken.run_id]


def test_an_empty_file_is_reported_and_stops_no_other(spool: Spool, tmp_path: Path) -> None:
    opened, _ = begin(spool)
    die(opened)
    (tmp_path / "spool" / "00000000-0000-7000-8000-000000000000.jsonl").touch()
    with migrated(tmp_path / "store.sqlite") as store:
        recovery = spool.recover(store, T1)
        assert (recovery.runs, len(recovery.waiting)) == ((opened.run_id,), 1)


def test_what_a_kill_left_of_a_run_that_never_began_goes_after_an_hour(spool: Spool, tmp_path: Path) -> None:
    fresh, old = tmp_path / "spool" / ".a.jsonl.draft", tmp_path / "spool" / ".b.jsonl.draft"
    fresh.parent.mkdir()
    fresh.touch()
    old.touch()
    os.utime(old, (1, 1))
    with migrated(tmp_path / "store.sqlite") as store:
        spool.recover(store)
    assert (fresh.exists(), old.exists()) == (True, False)
