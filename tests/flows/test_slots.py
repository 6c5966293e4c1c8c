"""One effective run per slot of a schedule: twice, overlapping, late, in a burst or as a backfill, nothing is paid twice."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock
from flows_prefect import PrefectServer
from house import AURORA, House

from analytics.errors import BadRows, StoreUnavailable
from analytics.store import SqliteStore, new_id
from flows.errors import AlreadyMeasuring, SlotTaken
from flows.jobs.benchmark import BenchmarkRequest, run_benchmark
from flows.jobs.slots import Slot
from flows.warehouse import open_spool

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def slot(at: datetime = NOON, deployment: str = "benchmark") -> Slot:
    return Slot(deployment, at)


def slots(house: House) -> list[str | None]:
    return [row["slot"] for row in house.rows("runs", "started_at")]


# -- a slot ---------------------------------------------------------------------------------------------------------------


def test_a_slot_is_written_as_deployment_and_utc_time_and_read_back() -> None:
    written = str(slot(datetime.fromisoformat("2026-11-21T05:15:00+01:00"), "bench@home"))
    assert written == "bench@home@2026-11-21T04:15:00.000000Z"
    assert Slot.of(written) == slot(datetime(2026, 11, 21, 4, 15, tzinfo=UTC), "bench@home")


@pytest.mark.parametrize("text", ["", "benchmark", "@2026-11-21T04:15:00.000000Z", "benchmark@noon", "benchmark@"])
def test_what_is_no_slot_is_none(text: str) -> None:
    assert Slot.of(text) is None


# -- the job --------------------------------------------------------------------------------------------------------------


def test_a_run_carries_its_slot_and_a_run_by_hand_has_none(house: House) -> None:
    house.ready(AURORA).bench(slot=slot())
    house.bench()
    assert slots(house) == ["benchmark@2026-01-15T12:00:00.000000Z", None]


def test_the_same_slot_twice_is_measured_once(house: House) -> None:
    house.ready(AURORA).bench(slot=slot())
    mark = house.mark
    with pytest.raises(SlotTaken, match=r"benchmark@2026-01-15T12:00:00\.000000Z has its run already"):
        house.bench(slot=slot())
    assert house.mark == mark
    assert len(house.rows("runs")) == 1
    assert not list(house.settings.home.spool.glob("*.jsonl"))


def test_an_older_slot_after_a_newer_one_is_over(house: House) -> None:
    house.ready(AURORA).bench(slot=slot())
    mark = house.mark
    for late in (NOON - QUARTER, NOON - timedelta(days=40)):
        with pytest.raises(
            SlotTaken, match=r"is over: a run of the later slot benchmark@2026-01-15T12:00:00\.000000Z was made"
        ):
            house.bench(slot=slot(late))
    assert house.mark == mark


def test_the_next_slot_and_other_deployments_and_runs_by_hand_are_free(house: House) -> None:
    house.ready(AURORA).bench(slot=slot())
    for request in ({"slot": slot(NOON + QUARTER)}, {"slot": slot(NOON, "benchmark-quality")}, {}, {}):
        assert house.bench(**request).results
    assert len(slots(house)) == 5


def test_a_burst_in_any_order_is_at_most_one_run_for_each_slot_and_ends_with_the_newest(house: House) -> None:
    house.ready(AURORA)
    made = []
    for minutes in (30, 0, 45, 15, 45, 30):
        try:
            house.bench(slot=slot(NOON + timedelta(minutes=minutes)))
        except SlotTaken:
            continue
        made.append(minutes)
    assert made == [30, 45]
    assert slots(house) == [str(slot(NOON + timedelta(minutes=minutes))) for minutes in made]


def test_a_slot_that_is_being_measured_is_not_measured_beside_it(house: House) -> None:
    house.ready(AURORA)
    with FileLock(house.home / ".measuring"), pytest.raises(AlreadyMeasuring):
        house.bench(slot=slot())
    assert house.rows("runs") == []


def test_two_at_once_make_one_run(house: House) -> None:
    house.ready(AURORA)

    async def both() -> list[Any]:
        asked = BenchmarkRequest(workload="short", slot=slot())
        return await asyncio.gather(*(run_benchmark(house.settings, asked) for _ in range(2)), return_exceptions=True)

    ended = asyncio.run(both())
    assert sum(isinstance(one, AlreadyMeasuring | SlotTaken) for one in ended) == 1
    assert len(house.rows("runs")) == 1
    assert len(house.rows("benchmark_results")) == 3


def test_a_killed_runs_slot_is_not_measured_again(house: House) -> None:
    house.ready(AURORA)
    began = {
        "id": new_id(),
        "run_name": "killed",
        "triggered_by": "cron-job",
        "seed": 1,
        "planned": 0,
        "slot": str(slot()),
        "started_at": NOON,
    }
    open_spool(house.settings).open_run(began, []).close()  # as a kill leaves it: no end, not landed
    with pytest.raises(SlotTaken):
        house.bench(slot=slot())
    assert slots(house) == [str(slot())]


def test_with_the_store_down_the_spools_own_runs_count(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.ready(AURORA)

    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("the disk is read-only")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "land_results", down)
        patch.setattr(SqliteStore, "write", down)
        first = house.bench(slot=slot())
        assert first.waiting == 3
        assert open_spool(house.settings).slots() == {str(slot()): first.run_id}
        mark = house.mark
        for late in (NOON, NOON - QUARTER):
            with pytest.raises(SlotTaken):
                house.bench(slot=slot(late))
        assert house.mark == mark
        assert house.rows("runs") == []
    house.bench(slot=slot(NOON + QUARTER))
    assert slots(house) == [str(slot()), str(slot(NOON + QUARTER))]


def test_a_run_that_lost_its_slot_to_another_machine_makes_no_call_and_leaves_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.ready(AURORA)
    mark = house.mark
    write = SqliteStore.write

    def raced(self: SqliteStore, table: str, rows: Sequence[dict[str, Any]]) -> int:
        if table == "runs":  # the other machine's run arrives in the moment before ours
            write(self, table, [{**rows[0], "id": new_id(), "run_name": "theirs"}])
        return write(self, table, rows)

    monkeypatch.setattr(SqliteStore, "write", raced)
    with pytest.raises(SlotTaken):
        house.bench(slot=slot())
    assert house.mark == mark
    assert [row["run_name"] for row in house.rows("runs")] == ["theirs"]
    assert house.rows("benchmark_results") == []
    assert not list(house.settings.home.spool.glob("*.jsonl"))


def test_what_was_measured_for_a_slot_that_another_run_fills_lands_without_it(house: House) -> None:
    house.ready(AURORA).bench(slot=slot())
    (ours,) = house.rows("runs")
    with house.store() as store:
        landing = store.land_results([{**ours, "id": new_id()}], [])
    assert landing.alarms == ()
    assert sorted(slots(house), key=str) == sorted([str(slot()), None], key=str)


def test_a_run_that_has_begun_cannot_be_withdrawn(house: House) -> None:
    spool = open_spool(house.settings)
    run = {
        "id": new_id(),
        "run_name": "r",
        "triggered_by": "manual",
        "seed": 1,
        "planned": 1,
        "is_simulated": True,
        "started_at": NOON,
    }
    planned = {
        "id": new_id(),
        "run_id": run["id"],
        "provider": "a",
        "model": "a/b",
        "is_simulated": True,
        "workload_id": "w",
        "workload_version": "1",
    }
    opened = spool.open_run(run, [planned])
    opened.intend(planned["id"])
    with pytest.raises(BadRows, match="cannot be withdrawn"):
        opened.withdraw()
    opened.close()
    untouched = spool.open_run({**run, "id": new_id()}, [])
    untouched.withdraw()
    assert spool.run_ids() == [run["id"]]


# -- under Prefect --------------------------------------------------------------------------------------------------------


DEPLOY = """
import asyncio, json, sys
from datetime import datetime, timedelta, timezone
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule

async def deploy():
    async with get_client() as client:
        flow = await client.create_flow_from_name("benchmark")
        schedule = DeploymentScheduleCreate(schedule=CronSchedule(cron="*/15 * * * *", timezone="UTC"), active=False)
        print(await client.create_deployment(
            flow_id=flow, name="slots", entrypoint="flows/benchmark.py:benchmark", path=sys.argv[1], work_pool_name=None,
            parameters={"workload": "short", "then_score": False}, schedules=[schedule], enforce_parameter_schema=False,
        ))

asyncio.run(deploy())
"""


def call(server: PrefectServer, path: str, **body: Any) -> Any:
    answer = httpx.post(f"{server.url}/{path}", json=body, timeout=30, trust_env=False)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def late_runs(server: PrefectServer, deployment: str, count: int) -> list[dict[str, Any]]:
    """The runs of the deployment's last `count` slots, which nobody has started: as an outage or a backfill leaves them."""
    now = datetime.now(UTC)
    schedule = server.ask("deployments", deployments={"id": {"any_": [deployment]}})[0]["schedules"][0]
    update = httpx.patch(
        f"{server.url}/deployments/{deployment}/schedules/{schedule['id']}",
        json={"active": True},
        timeout=30,
        trust_env=False,
    )
    update.raise_for_status()
    call(
        server,
        f"deployments/{deployment}/schedule",
        start_time=(now - count * QUARTER).isoformat(),
        end_time=now.isoformat(),
        min_runs=count,
    )
    deadline = time.monotonic() + 60
    while True:
        runs = server.ask("flow_runs", deployments={"id": {"any_": [deployment]}}, sort="EXPECTED_START_TIME_ASC")
        due = [run for run in runs if datetime.fromisoformat(run["expected_start_time"]) <= now]
        if len(due) >= count or time.monotonic() > deadline:
            return due
        time.sleep(0.2)


def execute(server: PrefectServer, house: House, runs: Sequence[dict[str, Any]]) -> None:
    """Start all of them at once, as a worker does that comes back; return when they have ended."""
    environment = server.environment(SCOREHOUSE_HOME=str(house.home))
    words = [sys.executable, "-m", "prefect", "flow-run", "execute"]
    processes = [
        subprocess.Popen(
            [*words, run["id"]], env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for run in runs
    ]
    for process in processes:
        out, _ = process.communicate(timeout=180)
        assert process.returncode == 0, out


def test_of_a_late_burst_only_the_newest_slot_is_measured_and_the_others_end_completed(
    server: PrefectServer, house: House
) -> None:
    house.ready(AURORA)
    environment = server.environment(SCOREHOUSE_HOME=str(house.home))
    made = subprocess.run(
        [sys.executable, "-c", DEPLOY, str(ROOT)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    deployment = made.stdout.strip()
    burst = late_runs(server, deployment, 3)
    assert len(burst) == 3
    mark = house.mark
    execute(server, house, burst)
    newest = datetime.fromisoformat(burst[-1]["expected_start_time"])
    assert slots(house) == [str(Slot("slots", newest))]
    assert len(house.asked(mark)) == 3
    ended = {
        run["id"]: run["state_type"] for run in server.ask("flow_runs", deployments={"id": {"any_": [deployment]}})
    }
    assert {ended[run["id"]] for run in burst} == {"COMPLETED"}
    (run,) = house.rows("runs")
    assert run["triggered_by"] == "cron-job"
    lines = [json.loads(line) for path in house.settings.home.logs.iterdir() for line in path.read_text().splitlines()]
    assert len([line for line in lines if line["event"] == "a benchmark was not begun"]) == 2
