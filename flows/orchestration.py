"""Running jobs under Prefect without depending on it: when its server goes away, the work goes on by itself.

Prefect stores parameters, results and exception texts in clear. So parameters are names and numbers, results are not
persisted, and keys are fetched inside the job that uses them.
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from flows.jobs.benchmark import BenchmarkReport
from flows.jobs.progress import Progress, Unwatched
from flows.logs import open_log
from flows.settings import Settings, load_settings

T = TypeVar("T")
Job = Callable[[], Awaitable[T]]
Tracked = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Session:
    """What a caller in this process and a flow hand each other beside what Prefect stores: settings and a watcher in, a report out.

    `has_begun` says that the flow's own body is running or has run: an error before that is Prefect's.
    """

    settings: Settings
    progress: Progress = field(default_factory=Unwatched)
    has_begun: bool = False
    report: BenchmarkReport | None = None


SESSION: ContextVar[Session | None] = ContextVar("session", default=None)


def session() -> Session:
    """The caller's session; a flow that a worker started reads the configuration itself."""
    return SESSION.get() or Session(load_settings())


def who_triggered() -> str:
    """Who started the current flow run: `cron-job` if its schedule did, else `manual`."""
    context = FlowRunContext.get()
    scheduled = context is not None and context.flow_run is not None and context.flow_run.auto_scheduled
    return "cron-job" if scheduled else "manual"


async def as_task(name: str, job: Job[T]) -> T:
    """Run `job` as a task of the current flow."""
    decorate = task(name=name, persist_result=False, cache_policy=NO_CACHE)
    return await _despite_prefect(decorate, name, job)


async def as_flow(name: str, job: Job[T]) -> T:
    """Run `job` as a flow, below the current one if there is one."""
    return await _despite_prefect(flow(name=name, persist_result=False), name, job)


async def _despite_prefect(decorate: Callable[[Tracked], Any], name: str, job: Job[T]) -> T:
    """The job's own result or error, whatever happens to Prefect before, while or after it runs."""
    done: list[T] = []
    began: list[bool] = []

    async def tracked() -> None:
        began.append(True)
        done.append(await job())

    try:
        await decorate(tracked)()
    except Exception as error:
        if began and not done:
            raise  # the job's own error
        open_log(session().settings.home.logs).error(
            "Prefect could not be told",
            job=name,
            error=type(error).__name__,
            ran="finished" if done else "runs without Prefect",
        )
    return done[0] if done else await job()
