"""How fast results land in a Supabase project through REST, and how fast they come out of it into the lake.

    python benchmarks/supabase_store.py [--land 100000] [--extract 1000000] [--pages 100000] [--json]

The project is the one of the tests: a real PostgreSQL, a real PostgREST before it with at most 1,000 rows an answer, and a proxy, all
on this machine. Landing: results of runs of 1,000 wait in a spool, as after an outage of days, and a new process
settles them as `scorehouse score` does. Extraction: a new process reads `benchmark_results` into an empty lake, by COPY (with
SUPABASE_DB_URL) and by pages of REST. Pages read `--pages` of the rows and are scaled to all of them: a page costs the same wherever it
is. Seconds and CPU are those of the job without the start of Python; the memory is the process's own peak (`ru_maxrss`), imports
included. The targets are 30 s and 300 MB for 100,000 results, and a tenth of the time of pages for a million rows.
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
A_RUN = 1_000
MODELS = 20
FILL = """
insert into public.benchmark_results (
    id, run_id, provider, model, is_simulated, workload_id, workload_version, domain, benchmark_id, repeat, outcome, success, status_code,
    finish_reason, finish_reason_raw, response_text, response_model, provider_request_id, input_tokens, output_tokens,
    reasoning_tokens, token_source, client_wait_ms, connection_reused, headers_ms, first_event_ms, ttft_ms, total_latency_ms,
    call_latency_ms, max_gap_ms, inter_token_p50_ms, timing_source, timing_uncertainty_ms, tps, cost_usd, cost_source, price_id, correct,
    confidence, created_at, rate_limits
)
select
    gen_random_uuid(), %(run)s, 'bench', 'bench/model-' || n %% 20, false, 'gold', '7', 'math', 'question-' || n %% 500, n %% 3, 'ok', true, 200,
    'stop', 'stop', repeat('The answer is ' || n || '. ', 15), 'model-' || n %% 20, 'req_' || md5(n::text), 120 + n %% 80, 60 + n %% 200,
    0, 'provider', random(), true, random() * 90, random() * 99, 100 + random() * 300, 900 + random() * 2000,
    901 + random() * 2000, random() * 50, random() * 20, 'kernel', random(), 20 + random() * 100, random() / 1e4, 'price',
    '01a20f5c-5f4e-7000-8000-00000000000' || n %% 10, n %% 4 > 0, 1, timestamptz '2026-10-22' + n * interval '2.6 seconds',
    '{"requests": {"limit": 500, "remaining": 499, "reset_s": 12.5}}'
from generate_series(%(first)s::bigint, %(last)s::bigint) as n
"""


def result(number: int, plan: Mapping[str, Any], dice: random.Random) -> dict[str, Any]:
    """What a call told: all that an answer of about 300 characters leaves in a row."""
    total_ms = 900 + dice.random() * 2000
    return {
        **plan,
        "outcome": "ok",
        "success": True,
        "status_code": 200,
        "finish_reason": "stop",
        "finish_reason_raw": "stop",
        "response_text": f"The answer is {number}. " * 15,
        "response_model": "model",
        "provider_request_id": f"req_{dice.randbytes(16).hex()}",
        "input_tokens": 120 + number % 80,
        "output_tokens": 60 + number % 200,
        "reasoning_tokens": 0,
        "token_source": "provider",
        "client_wait_ms": dice.random(),
        "connection_reused": True,
        "headers_ms": dice.random() * 90,
        "first_event_ms": dice.random() * 99,
        "ttft_ms": 100 + dice.random() * 300,
        "total_latency_ms": total_ms,
        "call_latency_ms": total_ms + 1,
        "max_gap_ms": dice.random() * 50,
        "inter_token_p50_ms": dice.random() * 20,
        "timing_source": "kernel",
        "timing_uncertainty_ms": dice.random(),
        "tps": 20 + dice.random() * 100,
        "cost_usd": dice.random() / 1e4,
        "cost_source": "price",
        "price_id": f"01a20f5c-5f4e-7000-8000-00000000000{number % 10}",
        "correct": number % 4 > 0,
        "confidence": 1.0,
        "created_at": f"2026-11-{1 + number % 28:02}T12:00:00.{number % 1_000_000:06}Z",
        "rate_limits": {"requests": {"limit": 500, "remaining": 499, "reset_s": 12.5}},
    }


def fill_spool(folder: Path, count: int) -> None:
    """Runs whose program ended and whose results never landed. Written in one go: what is measured is how they leave."""
    from analytics.store import new_id
    from analytics.store.journal import Journal

    dice = random.Random(7)
    for first in range(0, count, A_RUN):
        run = {
            "id": new_id(), "run_name": "outage", "triggered_by": "system", "workload_id": "gold", "is_simulated": False, "seed": 7,
            "planned": A_RUN, "started_at": "2026-11-21T02:00:00.000000Z", "finished_at": None,
        }  # fmt: skip
        plans = [
            {
                "id": new_id(), "run_id": run["id"], "provider_id": None, "model_id": None, "provider": "bench",
                "model": f"bench/model-{number % MODELS}", "is_simulated": False, "workload_id": "gold", "workload_version": "7",
                "domain": "math", "benchmark_id": f"question-{number % 500}", "repeat": 0,
            }
            for number in range(first, min(first + A_RUN, count))
        ]  # fmt: skip
        lines: list[dict[str, Any]] = [{"kind": "run", "row": run}, *({"kind": "plan", "row": plan} for plan in plans)]
        for number, plan in enumerate(plans, first):
            lines.append({"kind": "intent", "row": {**plan, "created_at": run["started_at"]}})
            lines.append({"kind": "result", "row": result(number, plan, dice)})
        lines.append({"kind": "finish", "at": "2026-11-21T03:00:00.000000Z"})
        Journal.create(folder / f"{run['id']}.jsonl", lines).close()


def measured(job: Callable[[], int]) -> dict[str, Any]:
    """Seconds, CPU seconds and memory of a job in this process, and the rows that it says it did."""
    start_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.perf_counter(), time.process_time()
    rows = job()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rows": rows,
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu_s, 2),
        "peak_mb": round(peak_kb / 1024),
        "start_mb": round(start_kb / 1024),
    }


def work(job: str, folder: Path, limit: int) -> None:
    """One job in this process, on the project that the environment names; its figures on stdout."""
    from analytics.lake import Lake
    from analytics.store import Batch, Spool
    from analytics.store.supabase import SupabaseStore

    class FirstPages(SupabaseStore):
        """A project that seems to end after so many rows."""

        given = 0

        def read(self, table: str, after: int | None = None, limit: int = 10_000) -> Batch:
            if self.given >= most:
                return Batch([], after)
            batch = super().read(table, after, min(limit, most - self.given))
            self.given += len(batch.rows)
            return batch

    most = limit
    db_url = os.environ["SUPABASE_DB_URL"] if job == "copy" else None
    kind = FirstPages if job == "pages" else SupabaseStore
    with kind(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"], db_url=db_url) as store:
        store.check()
        if job == "land":

            def land() -> int:
                done = Spool(folder).recover(store)
                assert (done.waiting, done.refused, done.alarms, done.aborted) == ((), (), (), 0), done
                return done.landed

            print(json.dumps(measured(land)))
        else:
            print(json.dumps(measured(lambda: Lake(folder).extract(store).rows["benchmark_results"])))


def run(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Landing and both extractions, each in a process of its own, on two fresh projects."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    import psycopg
    from supabase_project import Project, Projects
    from supabase_project.server import running

    def child(job: str, folder: Path, project: Project, limit: int = 0) -> dict[str, Any]:
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SUPABASE_URL": project.url,
            "SUPABASE_SERVICE_ROLE_KEY": project.service_key, "SUPABASE_DB_URL": project.db_url,
        }  # fmt: skip
        command = [sys.executable, __file__, "--work", job, str(folder), str(limit)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        return {"job": job, **json.loads(done.stdout), "load": round(os.getloadavg()[0], 1)}

    lines = []
    with running() as server, tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        projects = Projects(server)
        if given.land:
            with projects.fresh() as project:
                fill_spool(Path(scratch) / "spool", given.land)
                lines.append(child("land", Path(scratch) / "spool", project))
        if given.extract:
            with projects.fresh() as project:
                with psycopg.connect(project.db_url, autocommit=True) as connection:
                    run_id = "01a20f5c-5f4e-7000-8000-000000000000"
                    connection.execute(
                        "insert into public.runs (id, run_name, triggered_by, seed, planned, started_at) values (%s, 'bench', 'system', 7, 1, now())",
                        (run_id,),
                    )
                    step = 20_000  # rows of one transaction
                    for first in range(1, given.extract + 1, step):
                        last = min(first + step - 1, given.extract)
                        connection.execute(FILL, {"run": run_id, "first": first, "last": last})
                    connection.execute("vacuum analyze public.benchmark_results")
                pages = min(given.pages, given.extract)
                lines.append(child("pages", Path(scratch) / "pages", project, pages))
                lines.append(child("copy", Path(scratch) / "copy", project))
    return lines


def main() -> None:
    """Run what was asked and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--land", type=int, default=100_000, help="results; 0: none")
    parser.add_argument("--extract", type=int, default=1_000_000, help="rows in the table; 0: none")
    parser.add_argument("--pages", type=int, default=100_000, help="rows of those that are read by pages")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        job, folder, limit = given.work
        work(job, Path(folder), int(limit))
        return
    lines = run(given)
    if given.json:
        for line in lines:
            print(json.dumps(line))
        return
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors")
    print(f"{'job':7}  {'rows':>9}  {'s':>7}  {'CPU s':>6}  {'peak MB':>7}  {'start MB':>8}  {'load':>4}")
    for line in lines:
        print(
            f"{line['job']:7}  {line['rows']:9}  {line['seconds']:7.2f}  {line['cpu_s']:6.2f}  {line['peak_mb']:7}  {line['start_mb']:8}  {line['load']:4}"
        )
    by_job = {line["job"]: line for line in lines}
    if "copy" in by_job:
        a_row = {job: by_job[job]["seconds"] / by_job[job]["rows"] for job in ("pages", "copy")}
        scaled = a_row["pages"] * by_job["copy"]["rows"]
        print(
            f"pages, scaled to {by_job['copy']['rows']} rows: {scaled:.1f} s; COPY is {a_row['pages'] / a_row['copy']:.1f} times as fast"
        )


if __name__ == "__main__":
    main()
