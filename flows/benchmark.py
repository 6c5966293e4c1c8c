"""The flow `benchmark`: measure the active models, one task per provider, then `score`."""

import asyncio
from dataclasses import asdict
from typing import Any

from prefect import flow, get_run_logger

from flows.artifacts import ProgressArtifact, leave_table
from flows.errors import NotMyTurn
from flows.jobs.benchmark import BenchmarkReport, BenchmarkRequest, run_benchmark
from flows.jobs.progress import Progress
from flows.jobs.score import run_score
from flows.logs import open_log
from flows.orchestration import (
    SESSION,
    Session,
    as_flow,
    as_task,
    require_newest,
    schedule_slot,
    session,
    who_triggered,
)
from flows.settings import Settings
from flows.summary import summarize
from providers.loop import run


@flow(name="benchmark", persist_result=False)
async def benchmark(
    providers: list[str] | None = None,
    models: list[str] | None = None,
    workload: str | None = None,
    sample: int | None = None,
    repeats: int | None = None,
    concurrency: int | None = None,
    sequential: bool | None = None,
    cold: bool | None = None,
    max_usd: float | None = None,
    run_name: str | None = None,
    triggered_by: str | None = None,
    seed: int | None = None,
    then_score: bool = True,
) -> dict[str, Any]:
    """Measure, land and score. What is left out is as configured; without providers and models, all active ones.

    Nothing is measured while another benchmark is under way in this house, and once for each slot of a schedule: a late burst,
    a backfill and a repeated slot are one run, that of the newest slot.
    `triggered_by` is by default `cron-job` when a schedule started this run, else `manual`.
    """
    mine = session()
    mine.has_begun = True
    log = open_log(mine.settings.home.logs)
    slot = await schedule_slot(log)
    request = BenchmarkRequest(
        providers=tuple(providers or ()), models=tuple(models or ()), workload=workload, sample=sample, repeats=repeats, concurrency=concurrency,
        sequential=sequential, cold=cold, max_usd=max_usd, run_name=run_name, triggered_by=triggered_by or who_triggered(), seed=seed, slot=slot,
    )  # fmt: skip
    try:
        if slot:
            await require_newest(slot, log)
        async with ProgressArtifact(log, mine.progress) as progress:
            report = await run_benchmark(
                mine.settings, request, progress, each=lambda key, job: as_task(f"measure {key}", job)
            )
    except NotMyTurn as other:
        log.warning("a benchmark was not begun", message=str(other))
        get_run_logger().warning("Not begun: %s", other)
        return {"not_begun": str(other)}
    await leave_table(summarize(report.results), report.run_name, log)
    mine.report = report
    answer: dict[str, Any] = {
        "run_id": report.run_id,
        "run_name": report.run_name,
        "requests": len(report.results),
        "waiting": report.waiting,
    }
    if then_score:
        scored = await as_flow("score", lambda: asyncio.to_thread(run_score, mine.settings))
        answer["score"] = scored.to_dict()
    return answer


def watched_benchmark(settings: Settings, request: BenchmarkRequest, progress: Progress) -> BenchmarkReport:
    """Run the flow in this process, watched, and give its whole report (the flow's own answer is small: Prefect stores it).

    A Prefect server that cannot be reached is logged; then the job runs without it, or has already run.
    """
    mine = Session(settings, progress)
    SESSION.set(mine)
    parameters = asdict(request) | {"providers": list(request.providers), "models": list(request.models)}
    del parameters["slot"]  # a person's run fills none
    try:
        asyncio.run(benchmark(**parameters, then_score=False))
    except Exception as error:
        if mine.has_begun and mine.report is None:
            raise  # the job's own error
        open_log(settings.home.logs).error("Prefect could not be told", job="benchmark", error=type(error).__name__)
    return mine.report or run(run_benchmark(settings, request, progress))
