"""The main job on simulated providers: sync, measure, score under Prefect, then one routing question."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from analytics.routing import Lookup, RouteAnswer, RouteQuery
from analytics.store import now_text, stable_id
from flows.benchmark import benchmark
from flows.jobs.benchmark import BenchmarkReport
from flows.jobs.progress import Progress
from flows.orchestration import SESSION, Session
from flows.settings import Settings
from flows.summary import ModelSummary, summarize
from flows.sync_models import sync_models
from flows.warehouse import open_store
from flows.workloads import gold_files
from providers.simulated import Simulated, running

_TASK = "code"


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo shows at its end."""

    report: BenchmarkReport
    summaries: list[ModelSummary]
    task: str
    answer: RouteAnswer


def run_demo(
    settings: Settings,
    progress: Progress,
    *,
    seed: int,
    sample: int,
    say: Callable[[str], None],
    show: Callable[[DemoReport], None],
) -> None:
    """Run everything in `settings.home`; `sample` questions of each domain go to each simulated model.

    `show` is called at the end, while the simulated providers still answer.
    """
    mine = Session(settings, progress)
    SESSION.set(mine)
    with running(seed=seed, gold=gold_files()) as simulated:
        _register(settings, simulated)
        say(
            f"{len(simulated.providers)} simulated providers answer on loopback port {simulated.port}; nothing leaves this machine."
        )
        say("Starting Prefect's local server (the slowest part) ...")
        asyncio.run(_flows(sample, say))
        assert mine.report is not None
        with Lookup.open(settings.home.path, watch=False, log=True) as lookup:
            answer = lookup.route(RouteQuery(task=_TASK))
        show(DemoReport(mine.report, summarize(mine.report.results), _TASK, answer))


async def _flows(sample: int, say: Callable[[str], None]) -> None:
    reports = await sync_models()
    say(f"Synced {sum(report['models_discovered'] for report in reports)} models; measuring them ...")
    await benchmark(workload="gold", sample=sample, triggered_by="demo", max_usd=1.0)
    say("Measured, scored and published.")


def _register(settings: Settings, simulated: Simulated) -> None:
    """Each start listens on another port, so the providers' rows are written anew."""
    now = now_text()
    rows = [
        {
            "id": stable_id("provider", described["key"]),
            **described,
            "created_by": "demo",
            "created_at": now,
            "updated_at": now,
        }
        for described in simulated.providers
    ]
    with open_store(settings) as store:
        store.write("providers", rows)
