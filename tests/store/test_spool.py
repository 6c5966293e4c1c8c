"""A run through the spool on good days; the bad ones are in tests/faults/test_landing_*.py."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from store.samples import T0, T1, plan, result, run

from analytics.errors import BadRows, SpoolFull, UnknownName
from analytics.store import Spool, SqliteStore

MEASURED = {"outcome": "ok", "success": True, "ttft_ms": 12.5, "created_at": T0}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "store.sqlite") as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def outcomes(store: SqliteStore) -> dict[str, str]:
    return {row["id"]: row["outcome"] for row in store.read("benchmark_results").rows}


def test_a_run_lands_and_leaves_nothing_in_the_spool(store: SqliteStore, spool: Spool) -> None:
    measured = run()
    plans = [plan(measured), plan(measured)]
    with spool.open_run(measured, plans) as opened:
        assert opened.land(store).landed == 0
        assert store.read_all("runs")[0]["finished_at"] is None, "a run is seen while it is going"
        for planned in plans:
            opened.intend(planned["id"])
            opened.record({"id": planned["id"], **MEASURED})
            assert opened.land(store).landed == 1
        opened.finish(datetime(2026, 11, 21, 3, tzinfo=UTC))
        assert spool.run_ids() == [measured["id"]]
        opened.land(store)
    assert store.read_all("runs")[0]["finished_at"] == T1
    assert outcomes(store) == {planned["id"]: "ok" for planned in plans}
    assert spool.run_ids() == []


def test_landing_what_was_landed_asks_for_nothing(store: SqliteStore, spool: Spool) -> None:
    measured = run()
    planned = plan(measured)
    with spool.open_run(measured, [planned]) as opened:
        opened.record({"id": planned["id"], **MEASURED})
        assert opened.land(store).landed == 1
        again = opened.land(store)
        assert (again.landed, again.already) == (0, 0)


def test_a_whole_result_may_be_recorded_as_it_is(store: SqliteStore, spool: Spool) -> None:
    measured = run()
    row = result(measured)
    with spool.open_run(measured, [plan(measured, id=row["id"])]) as opened:
        opened.record(row)
        opened.land(store)
    (found,) = store.read("benchmark_results").rows
    assert {name: found[name] for name in row} == row


def test_a_call_is_made_once(spool: Spool) -> None:
    measured = run()
    planned, other = plan(measured), plan(measured)
    with spool.open_run(measured, [planned, other]) as opened:
        opened.intend(planned["id"])
        opened.record({"id": other["id"], **MEASURED})
        for row in (planned, other):
            with pytest.raises(BadRows, match="already made"):
                opened.intend(row["id"])
        with pytest.raises(UnknownName, match="not planned"):
            opened.intend(measured["id"])


@pytest.mark.parametrize(
    ("run_change", "plan_change", "said"),
    [
        ({"id": "../../etc"}, {}, "is no UUID"),
        ({"id": "01A1FBD1-0000-7000-8000-000000000000"}, {}, "canonical"),
        ({"seed": None}, {}, "seed is missing"),
        ({"max_usd": -1}, {}, "run: CHECK constraint failed"),
        ({}, {"model": None}, "row 0: model is missing"),
        ({}, {"ttft": 1}, "row 0: benchmark_results has no column 'ttft'"),
        ({}, {"repeat": "x"}, "row 0: repeat: a whole number"),
        ({}, {"run_id": "01a1fbd1-0000-7000-8000-000000000000"}, "there is no run"),
    ],
)
def test_a_run_that_no_store_would_take_does_not_begin(
    spool: Spool, run_change: dict[str, Any], plan_change: dict[str, Any], said: str
) -> None:
    measured = run() | run_change
    with pytest.raises(BadRows, match=said):
        spool.open_run(measured, [plan(measured) | plan_change])
    assert spool.run_ids() == []


def test_a_result_is_planned_once(spool: Spool) -> None:
    measured = run()
    planned = plan(measured)
    with pytest.raises(BadRows, match="planned twice"):
        spool.open_run(measured, [planned, planned])


def test_a_run_begins_once(spool: Spool) -> None:
    measured = run()
    with spool.open_run(measured, []), pytest.raises(BadRows, match="already begun"):
        spool.open_run(measured, [])


def test_a_closed_run_takes_nothing_more(spool: Spool, store: SqliteStore) -> None:
    measured = run()
    planned = plan(measured)
    opened = spool.open_run(measured, [planned])
    opened.close()
    opened.close()
    for call in (
        lambda: opened.intend(planned["id"]),
        lambda: opened.record({"id": planned["id"], **MEASURED}),
        lambda: opened.finish(T1),
        lambda: opened.land(store),
    ):
        with pytest.raises(BadRows, match="was closed"):
            call()


def test_threads_record_while_another_lands(store: SqliteStore, spool: Spool) -> None:
    measured = run()
    plans = [plan(measured) for _ in range(60)]
    with spool.open_run(measured, plans) as opened:

        def work(part: list[dict[str, Any]]) -> None:
            for planned in part:
                opened.intend(planned["id"])
                opened.record({"id": planned["id"], **MEASURED})

        threads = [threading.Thread(target=work, args=(plans[start::3],)) for start in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            opened.land(store)
        opened.finish(T1)
        opened.land(store)
    assert outcomes(store) == {planned["id"]: "ok" for planned in plans}
    assert spool.run_ids() == []


def test_a_big_run_lands_in_parts(store: SqliteStore, spool: Spool) -> None:
    measured = run()
    plans = [plan(measured) for _ in range(5)]
    with spool.open_run(measured, plans) as opened:
        for planned in plans:
            opened.record({"id": planned["id"], **MEASURED, "response_text": "x" * 3_000_000})
        opened.finish(T1)
        assert opened.land(store).landed == 5
    assert spool.run_ids() == []


def test_recovery_of_an_empty_spool_is_empty(store: SqliteStore, spool: Spool) -> None:
    recovery = spool.recover(store)
    assert (recovery.runs, recovery.alive, recovery.waiting) == ((), (), ())


def test_recovery_settles_what_a_program_left(store: SqliteStore, spool: Spool) -> None:
    measured = run()
    done, begun, never = plan(measured), plan(measured), plan(measured)
    with spool.open_run(measured, [done, begun, never]) as opened:
        opened.intend(done["id"])
        opened.record({"id": done["id"], **MEASURED})
        opened.intend(begun["id"])
    recovery = spool.recover(store, T1)
    assert (recovery.runs, recovery.landed, recovery.aborted, recovery.skipped) == ((measured["id"],), 3, 1, 1)
    rows = {row["id"]: row for row in store.read("benchmark_results").rows}
    assert [(rows[row["id"]]["outcome"], rows[row["id"]]["error_type"]) for row in (done, begun, never)] == [
        ("ok", None),
        ("aborted", "interrupted"),
        ("skipped", "run_interrupted"),
    ]
    assert not rows[begun["id"]]["success"]
    assert store.read_all("runs")[0]["finished_at"] == T1
    assert spool.run_ids() == []


def test_recovery_keeps_the_end_that_a_run_recorded(store: SqliteStore, spool: Spool) -> None:
    measured = run()
    with spool.open_run(measured, []) as opened:
        opened.finish(T0)
    spool.recover(store, T1)
    assert store.read_all("runs")[0]["finished_at"] == T0


def test_a_run_may_not_begin_below_the_floor(tmp_path: Path) -> None:
    measured = run()
    with pytest.raises(SpoolFull, match="are needed"):
        Spool(tmp_path / "spool", floor_bytes=2**62).open_run(measured, [plan(measured)])


def test_refused_rows_are_readable_by_people(store: SqliteStore, spool: Spool, tmp_path: Path) -> None:
    measured = run()
    planned = plan(measured)
    with spool.open_run(measured, [planned]) as opened:
        opened.record({"id": planned["id"], **MEASURED, "ttft_ms": float("nan")})
        opened.finish(T1)
        ((refused, _),) = opened.land(store).refused
    assert refused == planned["id"]
    (line,) = (tmp_path / "spool" / "refused" / f"{measured['id']}.jsonl").read_text().splitlines()
    assert "ttft_ms: nan is not a finite number" in json.loads(line)["why"]
    assert json.loads(line)["row"]["id"] == planned["id"]
