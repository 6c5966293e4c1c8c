"""Running jobs under Prefect without depending on it: when its server goes away, the work goes on by itself.

Prefect stores parameters, results and exception texts in clear. So parameters are names and numbers, results are not
persisted, and keys are fetched inside the job that uses them.
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
from prefect import flow, get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from structlog.typing import FilteringBoundLogger

from flows.errors import SlotTaken
from flows.jobs.benchmark import BenchmarkReport
from flows.jobs.progress import Progress, Unwatched
from flows.jobs.slots import Slot
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


_UNREACHABLE = (PrefectException, httpx.HTTPError, OSError)
_COUNTING = (StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.COMPLETED)
_MOST_DUE = 200  # newest first; runs by hand are among them

SESSION: ContextVar[Session | None] = ContextVar("session", default=None)


def session() -> Session:
    """The caller's session; a flow that a worker started reads the configuration itself."""
    return SESSION.get() or Session(load_settings())


def who_triggered() -> str:
    """Who started the current flow run: `cron-job` if its schedule did, else `manual`."""
    return "manual" if _scheduled_run() is None else "cron-job"


async def schedule_slot(log: FilteringBoundLogger) -> Slot | None:
    """The slot of a schedule that the current flow run fills; None if no schedule started it.

    A deployment whose name cannot be asked for now goes by its id.
    """
    run = _scheduled_run()
    if run is None or run.deployment_id is None or run.expected_start_time is None:
        return None
    try:
        async with get_client() as client:
            name = (await client.read_deployment(run.deployment_id)).name
    except _UNREACHABLE as error:
        log.error("Prefect could not be asked", about="the deployment's name", error=type(error).__name__)
        name = str(run.deployment_id)
    return Slot(name, run.expected_start_time)


async def require_newest(slot: Slot, log: FilteringBoundLogger) -> None:
    """Return if the current flow run is that of the newest slot of its deployment that is due; raises SlotTaken.

    After an outage a worker starts all that is late at once: the older ones would measure the same minutes again. A run that
    failed or was cancelled counts for nothing. When Prefect cannot be asked, what the store knows has to do.
    """
    mine = _scheduled_run()
    if mine is None or mine.deployment_id is None:
        return
    due = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[mine.deployment_id]),
        expected_start_time=FlowRunFilterExpectedStartTime.model_validate(
            {"after_": slot.scheduled_at, "before_": datetime.now(UTC)}
        ),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_COUNTING))),
    )
    try:
        async with get_client() as client:
            runs = await client.read_flow_runs(
                flow_run_filter=due, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=_MOST_DUE
            )
    except _UNREACHABLE as error:
        log.error("Prefect could not be asked", about="later slots", error=type(error).__name__)
        return
    for run in runs:
        if run.auto_scheduled and run.expected_start_time and run.expected_start_time > slot.scheduled_at:
            later = Slot(slot.deployment, run.expected_start_time)
            raise SlotTaken(f"The slot {slot} is over: the later slot {later} is due as well.")


def _scheduled_run() -> FlowRun | None:
    """The current flow run, if a schedule started it."""
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    return run if run is not None and run.auto_scheduled else None


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
