"""Under Prefect: a task per provider, artifacts, no key anywhere, and results that land whatever becomes of the server."""

import base64
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from flows_prefect import PrefectServer, Wire
from house import AURORA, BOREALIS, CASCADE, House

from analytics.routing.published import read_published
from flows.workloads import load_workload

ROOT = Path(__file__).parents[2]
CANARY = "sk-canary-under-prefect-51d2e84b06"
SCHEDULES = {
    "sync-models": "0 2 * * 0",
    "benchmark": "*/15 * * * *",
    "benchmark-quality": "20 4 * * *",
    "score": "5 * * * *",
    "prune": "30 3 * * *",
}


def program(
    *words: str, server: PrefectServer, house: House, cwd: Path | None = None, **more: str
) -> "subprocess.Popen[str]":
    environment = server.environment(SCOREHOUSE_HOME=str(house.home), **more)
    return subprocess.Popen(
        words, env=environment, cwd=cwd or house.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def scorehouse() -> str:
    return str(Path(sys.executable).with_name("scorehouse"))


# -- prefect.yaml -----------------------------------------------------------------------------------------------------------


def deployments() -> list[dict[str, Any]]:
    """Prefect ignores a key that it does not know without a word, so the keys are checked here."""
    described = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    assert set(described) <= {"name", "prefect-version", "build", "push", "pull", "deployments"}
    found: list[dict[str, Any]] = described["deployments"]
    return found


def test_every_key_of_a_deployment_is_one_that_prefect_knows() -> None:
    known = {"name", "version", "tags", "description", "schedules", "paused", "entrypoint", "parameters",
             "enforce_parameter_schema", "triggers", "work_pool"}  # fmt: skip
    for deployment in deployments():
        assert set(deployment) <= known
        assert set(deployment["work_pool"]) <= {"name", "work_queue_name", "job_variables"}
        for schedule in deployment["schedules"]:
            assert set(schedule) <= {"cron", "timezone", "day_or", "active", "parameters", "slug"}


def test_the_deployments_run_on_their_utc_schedules_and_hold_no_slot_that_could_be_orphaned() -> None:
    assert {deployment["name"]: deployment["schedules"] for deployment in deployments()} == {
        name: [{"cron": cron, "timezone": "UTC"}] for name, cron in SCHEDULES.items()
    }
    assert not any("concurrency_limit" in deployment for deployment in deployments())


def test_the_gold_questions_are_asked_once_a_day_within_a_budget() -> None:
    (quality,) = (one for one in deployments() if one["name"] == "benchmark-quality")
    assert load_workload(quality["parameters"]["workload"]).kind == "gold"
    assert quality["parameters"]["max_usd"] > 0


def test_no_module_of_flows_takes_a_name_of_the_standard_library() -> None:
    # Prefect puts the folder of a flow's file on the import path.
    names = {path.stem for path in (ROOT / "flows").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not (names - {"__init__", "__pycache__"}) & set(sys.stdlib_module_names)


FLOWS = """
import asyncio, json
from flows.benchmark import benchmark
from flows.prune import prune
from flows.sync_models import sync_models

async def flows():
    return [await sync_models(), await benchmark(workload="short", seed=3), await prune(dry_run=True)]

print(json.dumps(asyncio.run(flows())))
"""


# -- with a server ------------------------------------------------------------------------------------------------------------


def test_the_flow_lands_scores_publishes_and_leaves_artifacts_but_no_key(server: PrefectServer, house: House) -> None:
    house.ready()
    house.add_gateway("my-gateway", "aurora-mini")
    code = FLOWS
    process = program(
        sys.executable, "-c", code, server=server, house=house, SCOREHOUSE_DEV="1", MY_GATEWAY_API_KEY=CANARY
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    synced, answer, pruned = json.loads(out)
    assert {report["provider"]: report["error"] for report in synced} == dict.fromkeys(
        (AURORA, BOREALIS, CASCADE, "my-gateway")
    )
    assert (pruned["dry_run"], set(pruned["removed"].values())) == (True, {0})
    assert (answer["requests"], answer["waiting"]) == (9, 0)

    rows = house.rows("benchmark_results", run_id=answer["run_id"])
    assert len(rows) == 9
    assert [row["outcome"] for row in rows if row["provider"] == "my-gateway"] == ["ok"]
    for kind, pointer in (("real", "CURRENT"), ("simulated", "CURRENT-simulated")):
        assert read_published(house.settings.home.scoring, pointer).snapshot_id == answer["score"]["snapshots"][kind]

    runs = server.ask("flow_runs")
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
    assert runs_of(runs, "workload") == ["short"]
    tasks = Counter(run["name"].rpartition("-")[0] for run in _measured_tasks(server))
    assert tasks == {f"measure {key}": 1 for key in (AURORA, BOREALIS, CASCADE, "my-gateway")}
    artifacts = {one["key"]: one for one in server.ask("artifacts")}
    assert set(artifacts) == {"benchmark-progress", "benchmark-results"}
    assert float(artifacts["benchmark-progress"]["data"]) == 100.0
    table = artifacts["benchmark-results"]["data"]
    assert {row["model"] for row in (json.loads(table) if isinstance(table, str) else table)} == {
        row["model"] for row in rows
    }

    needles = [CANARY.encode(), *(base64.b64encode(b"x" * pad + CANARY.encode())[4:-4] for pad in range(3))]
    for folder in (server.home, house.home):
        for path in folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert not any(needle in data for needle in needles), path


def runs_of(runs: list[dict[str, Any]], parameter: str) -> list[Any]:
    return [run["parameters"][parameter] for run in runs if run["parameters"].get(parameter)]


def _measured_tasks(server: PrefectServer, patience_s: float = 20) -> list[dict[str, Any]]:
    """The task runs of providers; the server learns of them by events, a moment after the flow has ended."""
    deadline = time.monotonic() + patience_s
    while True:
        tasks = [run for run in server.ask("task_runs") if run["name"].startswith("measure ")]
        if len(tasks) >= 4 or time.monotonic() > deadline:
            return tasks
        time.sleep(0.2)


def test_deploy_registers_the_deployments_with_their_schedules(server: PrefectServer, house: House) -> None:
    house.home.mkdir()
    before = (ROOT / "prefect.yaml").read_bytes()
    process = program(scorehouse(), "deploy", server=server, house=house, cwd=ROOT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, ""), err
    found = {one["name"]: one for one in server.ask("deployments")}
    assert set(found) == set(SCHEDULES)
    for name, deployment in found.items():
        (schedule,) = deployment["schedules"]
        assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"], schedule["active"]) == (
            SCHEDULES[name],
            "UTC",
            True,
        )
        assert deployment["work_pool_name"] == "local"
        assert deployment["entrypoint"].startswith("flows/")
    # The server itself must make runs of the schedules: it has failed at that silently with another SQLAlchemy.
    deadline = time.monotonic() + 90
    while not (planned := [run for run in server.ask("flow_runs") if run["auto_scheduled"]]):
        assert time.monotonic() < deadline, "no run was scheduled"
        time.sleep(0.5)
    assert {run["state_type"] for run in planned} <= {"SCHEDULED"}
    assert "max_usd" in found["benchmark"]["parameter_openapi_schema"]["properties"]
    assert (ROOT / "prefect.yaml").read_bytes() == before
    assert house.settings.home.store.is_file()


@pytest.mark.soak
def test_a_server_that_dies_midway_costs_no_result_and_no_snapshot(server: PrefectServer, house: House) -> None:
    house.ready()
    wire = Wire(server.port)
    mark = house.mark
    code = "import asyncio; from flows.benchmark import benchmark; asyncio.run(benchmark(workload='gold', sample=4))"
    process = program(
        sys.executable, "-c", code, server=server, house=house, PREFECT_API_URL=f"http://127.0.0.1:{wire.port}/api"
    )
    try:
        while len(house.asked(mark)) < 5 and process.poll() is None:
            time.sleep(0.02)
    finally:
        wire.close()
    process.communicate(timeout=150)
    rows = house.rows("benchmark_results")
    assert len(rows) == house.rows("runs")[0]["planned"] == 8 * 16
    assert {row["outcome"] for row in rows} <= {"ok", "failed", "incomplete"}
    assert house.rows("runs")[0]["finished_at"]
    assert len(read_published(house.settings.home.scoring, "CURRENT-simulated").tables["routing_scores"]) > 0
    (log,) = house.settings.home.logs.iterdir()
    assert "Prefect could not be told" in log.read_text()


def test_a_server_that_is_not_there_costs_nothing_but_time(
    server: PrefectServer, house: House, unused_port: int
) -> None:
    house.ready(AURORA)
    url = f"http://127.0.0.1:{unused_port}/api"
    process = program(
        scorehouse(), "bench", "--workload", "short", "--json", server=server, house=house, PREFECT_API_URL=url
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["ok"] == 3
    assert "Traceback" not in err
    assert len(house.rows("benchmark_results")) == 3
