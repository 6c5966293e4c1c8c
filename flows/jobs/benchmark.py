"""Run a benchmark: plan it, write the plan to the spool, measure, grade, price, land.

Providers are measured side by side, requests within one provider one after another (or `concurrency` at a time). A request
that fails is a row; nothing that a provider does ends a run.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import uuid_utils
from filelock import FileLock, Timeout
from structlog.typing import FilteringBoundLogger

from analytics.store import Recovery, Spool, Store, to_text
from flows.budget import Budget
from flows.errors import AlreadyMeasuring, NothingToMeasure, UsageError
from flows.jobs.prices import check_prices
from flows.jobs.progress import Progress, Unwatched
from flows.jobs.provider import ProviderRun, RunContext, land
from flows.jobs.slots import Slot, claim, require_free
from flows.logs import open_log
from flows.plan import Plan, make_plan, sample
from flows.settings import Settings
from flows.warehouse import open_spool, open_store
from flows.workloads import Workload, load_workload
from providers.loop import without_long_pauses
from providers.records import BenchmarkResult, ProviderSpec
from providers.specs import make_spec

T = TypeVar("T")
Each = Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRequest:
    """What a caller asks to be measured; None means "as configured".

    `providers` and `models` are keys; empty means all active ones. `sample` keeps that many questions of each domain. `slot` is
    that of the schedule that asks; None for everybody else.
    """

    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    workload: str | None = None
    sample: int | None = None
    repeats: int | None = None
    concurrency: int | None = None
    sequential: bool | None = None
    cold: bool | None = None
    max_usd: float | None = None
    run_name: str | None = None
    triggered_by: str = "manual"
    seed: int | None = None
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """What a run came to. `waiting` results are safe in the spool and land when the store takes them again.

    The costs of `estimated_models` rest on a price library, not on their providers' own word.
    """

    run_id: str
    run_name: str
    seed: int
    results: tuple[BenchmarkResult, ...]
    waiting: int
    seconds: float
    estimated_models: tuple[str, ...] = ()

    @property
    def cost_usd(self) -> float | None:
        """The sum of all known costs; None if none is known."""
        costs = [result.cost_usd for result in self.results if result.cost_usd is not None]
        return sum(costs) if costs else None


async def _alone(_: str, job: Callable[[], Awaitable[None]]) -> None:
    await job()


def plan_benchmark(settings: Settings, request: BenchmarkRequest) -> Plan:
    """What `request` would measure and at most cost, without a call or a row.

    Raises UsageError for a provider, model or workload that does not exist, NothingToMeasure when none is active.
    """
    with open_store(settings) as store:
        return _plan(store, settings, request)[0]


async def run_benchmark(
    settings: Settings, request: BenchmarkRequest, progress: Progress | None = None, *, each: Each = _alone
) -> BenchmarkReport:
    """Measure what `request` asks for and land it.

    `each(provider, job)` runs one provider's job: under Prefect as a task of its own. Raises UsageError,
    NothingToMeasure, AlreadyMeasuring, SlotTaken, and BadProvider for a row that cannot be used, before anything is written;
    SpoolFull when results could not be recorded. A run that is interrupted keeps what it measured, and the requests that were under
    way become `aborted` rows.
    """
    began = time.monotonic()
    log = open_log(settings.home.logs)
    spool = open_spool(settings)
    watcher = progress or Unwatched()
    with open_store(settings) as store, _alone_in(settings), without_long_pauses():
        await asyncio.to_thread(settle, spool, store, log)
        if request.slot:
            await asyncio.to_thread(require_free, request.slot, store, spool)
        plan, workload = await asyncio.to_thread(_plan, store, settings, request, log)
        specs = _specs(store, plan)
        run = _run_row(settings, request, plan, workload)
        planned = [
            one.skeleton(run["id"], workload, run["started_at"]) for share in plan.requests.values() for one in share
        ]
        recorder = await asyncio.to_thread(spool.open_run, run, planned)
        try:
            await asyncio.to_thread(claim, run, store, log)
        except BaseException:
            recorder.withdraw()
            raise
        context = RunContext(
            run_id=run["id"],
            settings=settings,
            workload=workload,
            concurrency=request.concurrency or settings.benchmark.concurrency,
            cold=_chosen(request.cold, settings.benchmark.cold),
            budget=Budget(run["max_usd"]),
            recorder=recorder,
            store=store,
            progress=watcher,
            log=log,
            turn=asyncio.Lock() if _chosen(request.sequential, settings.benchmark.sequential) else None,
        )
        shares = {key: ProviderRun(context, specs[key], requests) for key, requests in plan.requests.items()}
        try:
            watcher.begin(run["run_name"], plan)
            ended = await asyncio.gather(*(each(key, share) for key, share in shares.items()), return_exceptions=True)
            await asyncio.to_thread(recorder.finish, datetime.now(UTC))
            await land(recorder, store, log)
        finally:
            watcher.end()
            recorder.close()
            # An interrupted run is settled here and now: what was under way becomes `aborted`, what is measured lands.
            recovery = settle(spool, store, log)
        _raise_first(ended, shares, log)
        results = tuple(result for share in shares.values() for result in share.results)
        waiting = len(results) if run["id"] in dict(recovery.waiting) else 0
        estimated = tuple(
            sorted({one.model for one in results if one.cost_source == "price"} & {*plan.estimated_models})
        )
        return BenchmarkReport(
            run["id"], run["run_name"], plan.seed, results, waiting, time.monotonic() - began, estimated
        )


@contextmanager
def _alone_in(settings: Settings) -> Iterator[None]:
    """Be the only benchmark of this house; the kernel gives a killed one's place away."""
    lock = FileLock(settings.home.path / ".measuring")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyMeasuring(
            f"Another benchmark is under way in {settings.home.path}; two at once would disturb each other's latencies. "
            "Try again when it has ended."
        ) from None
    try:
        yield
    finally:
        lock.release()


def settle(spool: Spool, store: Store, log: FilteringBoundLogger) -> Recovery:
    """Land what runs whose program has ended left in the spool, and log what could not land and why."""
    recovery = spool.recover(store, datetime.now(UTC))
    for run_id, why in recovery.waiting:
        log.error("a run waits in the spool", run_id=run_id, message=why)
    for result_id in recovery.alarms:
        log.error("a result in the store has the same id and other content", id=result_id)
    for result_id, why in recovery.refused:
        log.error("the store refused a result; it is set aside in the spool", id=result_id, message=why)
    if recovery.damaged:
        log.error("unreadable lines in the spool were set aside", lines=recovery.damaged)
    return recovery


def _raise_first(ended: list[BaseException | None], shares: dict[str, ProviderRun], log: FilteringBoundLogger) -> None:
    """A share that ended by an error is a bug, a full disk or a lost orchestrator: logged by name, then raised.

    When the orchestrator alone failed, every request of the share is already recorded: that run is complete.
    """
    failures = [
        (key, failure)
        for (key, share), failure in zip(shares.items(), ended, strict=True)
        if isinstance(failure, BaseException)
    ]
    for key, failure in failures:
        log.error(
            "a provider's share ended by an error", provider=key, error=type(failure).__name__, message=str(failure)
        )
    unfinished = [failure for key, failure in failures if not shares[key].is_complete]
    if unfinished:
        raise unfinished[0]


def _specs(store: Store, plan: Plan) -> dict[str, ProviderSpec]:
    rows = store.select("providers", {"key": list(plan.requests)}).items
    return {row["key"]: make_spec(row) for row in rows}


def _plan(
    store: Store, settings: Settings, request: BenchmarkRequest, log: FilteringBoundLogger | None = None
) -> tuple[Plan, Workload]:
    """The plan at the prices of now; with `log` those that changed are written and logged."""
    workload = load_workload(request.workload or settings.benchmark.workload, settings.home.workloads)
    if request.sample is not None:
        workload = sample(workload, request.sample)
    providers = {row["key"]: row for row in store.read_all("providers")}
    for key in request.providers:
        if key not in providers:
            raise UsageError(f"There is no provider '{key}'; 'scorehouse providers list' shows those that are there.")
        if not providers[key]["is_active"]:
            raise UsageError(f"Provider '{key}' is disabled; 'scorehouse providers enable {key}' switches it on.")
    catalog = store.select("catalog", {"model_type": "chat", "is_available": True}).items
    known = {row["id"]: row["provider_id"] for row in catalog}
    for model in request.models:
        if model not in known:
            meant = sorted(key for key in known if key.partition("/")[2] == model)
            way_out = (
                f"did you mean {' or '.join(meant)}?" if meant else "'scorehouse models list' shows those that are."
            )
            raise UsageError(f"There is no available chat model '{model}'; {way_out}")
        if request.providers and known[model] not in request.providers:
            raise UsageError(
                f"Model '{model}' is not served by {' or '.join(request.providers)}; name its provider or none."
            )
    # A model that is named is measured; without names it is the active ones.
    chosen = [
        row
        for row in catalog
        if (row["id"] in request.models if request.models else row["is_active"])
        and (not request.providers or row["provider_id"] in request.providers)
    ]
    if not chosen:
        raise NothingToMeasure(
            "There is no active model to measure: add a provider ('scorehouse providers add'), sync its models "
            "('scorehouse models sync') and activate some ('scorehouse models set MODEL --active')."
        )
    check_prices(settings, store, chosen, to_text(datetime.now(UTC)), log)
    plan = make_plan(
        chosen,
        {key: row["id"] for key, row in providers.items()},
        workload,
        repeats=request.repeats or settings.benchmark.repeats,
        seed=request.seed if request.seed is not None else secrets.randbelow(2**31),
        new_id=lambda: str(uuid_utils.uuid7()),
    )
    return plan, workload


def _run_row(settings: Settings, request: BenchmarkRequest, plan: Plan, workload: Workload) -> dict[str, Any]:
    started_at = datetime.now(UTC)
    simulated = {planned.is_simulated for requests in plan.requests.values() for planned in requests}
    return {
        "id": str(uuid_utils.uuid7()),
        "run_name": request.run_name or f"{workload.id}-{started_at:%Y%m%d-%H%M%S}",
        "triggered_by": request.triggered_by,
        "workload_id": workload.id,
        "is_simulated": simulated == {True},
        "seed": plan.seed,
        "planned": plan.size,
        "max_usd": _chosen(request.max_usd, settings.benchmark.max_usd),
        "slot": str(request.slot) if request.slot else None,
        "started_at": started_at,
        "finished_at": None,
    }


def _chosen(asked: T | None, configured: T) -> T:
    return configured if asked is None else asked
