"""One provider's share of a run: its requests one after another (or a few at a time), each recorded before the next."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
from aiolimiter import AsyncLimiter
from pydantic import SecretStr
from structlog.typing import FilteringBoundLogger

from analytics.errors import AnalyticsError
from analytics.grading import grade
from analytics.store import RunSpool, Store, to_text
from flows.budget import Budget
from flows.errors import SecretUnavailable
from flows.jobs.progress import Progress
from flows.jobs.rejections import Rejections
from flows.keys import find_key
from flows.plan import PlannedRequest, cost_usd
from flows.settings import Settings
from flows.workloads import Workload
from providers.dialects.parameters import wording_of
from providers.measure import measure
from providers.records import BenchmarkResult, Deadlines, Measurement, ProviderSpec
from providers.transport import open_client

T = TypeVar("T")

# After these a model refuses everything else of the run as well. A gateway passes on what each model's upstream answers, so
# one refusal says nothing of its other models; so many without a single answer are the provider's own word.
_REFUSALS = frozenset({"authentication", "payment"})
_REFUSING_MODELS = 2
_MOST_REFUSED = 4  # parameters that one request may be refused for before its refusal is its result


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the shares of one run have in common. `turn` is held during a request when the run is strictly sequential."""

    run_id: str
    settings: Settings
    workload: Workload
    concurrency: int
    cold: bool
    budget: Budget
    recorder: RunSpool
    store: Store
    progress: Progress
    log: FilteringBoundLogger
    turn: asyncio.Lock | None


class ProviderRun:
    """Measures the requests of one provider; `results` grows as they are recorded."""

    def __init__(self, run: RunContext, spec: ProviderSpec, requests: tuple[PlannedRequest, ...]) -> None:
        self._run = run
        self._spec = spec
        self._waiting = deque(requests)
        self._refused: set[str] = set()  # models that did not take our key or want to be paid
        self._has_answered = False
        # One request every 60/rpm seconds: even spacing instead of a burst and a pause.
        self._pace = AsyncLimiter(1, 60 / spec.rate_limit_rpm) if spec.rate_limit_rpm else None
        self._rejections = Rejections(run.store, run.log)
        self._planned = len(requests)
        self.results: list[BenchmarkResult] = []

    @property
    def is_complete(self) -> bool:
        """Every planned request has its result."""
        return len(self.results) == self._planned

    async def __call__(self) -> None:
        """Measure everything, then land it. Raises SpoolFull (no call is made that could not be recorded)."""
        try:
            found = await asyncio.to_thread(find_key, self._run.settings, self._spec)
        except SecretUnavailable as error:
            self._run.log.error("no key, no request", provider=self._spec.key, message=str(error))
            await self._skip_all("secret_unavailable", str(error))
        else:
            if found.is_from_environment:
                self._run.log.warning(
                    "development mode: the key is not from Vault", provider=self._spec.key, source=found.source
                )
            workers = min(self._run.concurrency, len(self._waiting))
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(workers):
                        group.create_task(self._work(found.value))
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None  # the first worker that failed ended the others
        await land(self._run.recorder, self._run.store, self._run.log)

    async def _work(self, key: SecretStr | None) -> None:
        """One worker with a connection pool of its own, so that requests never queue inside the client."""
        async with open_client(self._spec) as warm:
            while self._waiting:
                planned = self._waiting.popleft()
                if stopped := self._stopped(planned):
                    await self._record(self._skipped(planned, *stopped))
                    continue
                if not self._run.budget.reserve(planned.most_usd):
                    message = f"The run's budget of {self._run.budget.max_usd} USD could be exceeded by this request."
                    await self._record(self._skipped(planned, "budget", message))
                    continue
                await self._request(warm, planned, key)

    @asynccontextmanager
    async def _client(self, warm: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
        if not self._run.cold:
            yield warm
            return
        async with open_client(self._spec) as cold:
            yield cold

    async def _request(self, warm: httpx.AsyncClient, planned: PlannedRequest, key: SecretStr | None) -> None:
        await self._keep_pace()
        if self._run.turn:
            async with self._run.turn:
                await self._measure(warm, planned, key)
        else:
            await self._measure(warm, planned, key)

    async def _keep_pace(self) -> None:
        if self._pace:
            await self._pace.acquire()

    async def _measure(self, warm: httpx.AsyncClient, planned: PlannedRequest, key: SecretStr | None) -> None:
        """One request, measured and recorded. An attempt that is refused for a parameter is no measurement of the model: it is
        logged, and the request goes out again without that parameter; the row is wholly that of the last attempt.
        """
        refused: dict[str, str] = {}  # parameter -> when this request was refused for it
        while True:
            if stopped := self._stopped(planned):  # while this request waited for its turn
                self._run.budget.settle(planned.most_usd, None, may_be_billed=False)
                await self._record(self._skipped(planned, *stopped))
                return
            if not refused:
                await _whole(self._run.recorder.intend, planned.id)  # on disk before the call: nothing is paid unseen
            created_at = datetime.now(UTC)
            parameters: list[str] = []
            measured = await self._attempt(warm, planned, key, refused, parameters.append)
            if not parameters or len(refused) == _MOST_REFUSED:
                break
            refused[parameters[0]] = to_text(created_at)
            self._run.log.warning(
                "a parameter was refused; the request goes out without it",
                id=planned.id,
                model=planned.model,
                parameter=parameters[0],
                status_code=measured.status_code,
                error_message=measured.error_message,
            )
            await self._keep_pace()
        if refused and _was_accepted(measured):
            await self._rejections.learn(planned, refused)
        result = self._result(planned, measured, created_at)
        self._run.budget.settle(planned.most_usd, result.cost_usd, may_be_billed=_may_be_billed(result))
        if planned.item.grader and planned.item.expected_answer is not None and result.outcome == "ok":
            result = await self._graded(result, planned.item.grader, planned.item.expected_answer)
        await self._record(result)
        self._has_answered |= result.success
        if result.error_type in _REFUSALS:
            self._refused.add(planned.model)

    async def _attempt(
        self,
        warm: httpx.AsyncClient,
        planned: PlannedRequest,
        key: SecretStr | None,
        refused: Collection[str],
        on_refused: Callable[[str], None],
    ) -> Measurement:
        """Send the request without the parameters that its model is known to refuse and those it has just `refused`."""
        limits = self._run.settings.benchmark
        rejected = self._rejections.known(planned) | frozenset(refused)
        async with self._client(warm) as client:
            return await measure(
                client,
                self._spec,
                planned.external_id,
                planned.item.prompt,
                api_key=key.get_secret_value() if key else None,
                deadlines=Deadlines(limits.first_byte_ms, limits.idle_ms, limits.total_ms),
                request_id=planned.id,
                wording=wording_of(self._spec, planned.external_id, raw=planned.entry, rejected=rejected),
                on_refused=on_refused,
            )

    def _stopped(self, planned: PlannedRequest) -> tuple[str, str] | None:
        """Why this request is not sent (error type and message), if an earlier refusal is about it too."""
        if planned.model in self._refused:
            return "model_stopped", "The model refused our key or payment; the rest of its requests were not sent."
        if len(self._refused) >= _REFUSING_MODELS and not self._has_answered:
            return (
                "provider_stopped",
                "The provider refuses our key or payment; the rest of its requests were not sent.",
            )
        return None

    def _result(self, planned: PlannedRequest, measured: Measurement, created_at: datetime) -> BenchmarkResult:
        columns = asdict(measured)
        if columns["cost_usd"] is not None:
            columns |= {"cost_source": "provider"}
        elif measured.token_source == "provider":  # noqa: S105  # tokens of text
            cost = cost_usd(
                columns["input_tokens"],
                columns["output_tokens"],
                planned.input_price_per_m,
                planned.output_price_per_m,
                columns["cached_input_tokens"],
                planned.cached_input_price_per_m,
            )
            if cost is not None:
                columns |= {"cost_usd": cost, "cost_source": "price", "price_id": planned.price_id}
        return BenchmarkResult(**planned.skeleton(self._run.run_id, self._run.workload, created_at) | columns)

    async def _graded(self, result: BenchmarkResult, grader: str, expected: str) -> BenchmarkResult:
        """The result with its grade, or without one when this machine could not grade it.

        In a thread: the other requests of the run are being timed meanwhile. An interrupted run keeps the result without its grade.
        """
        try:
            correct = await asyncio.to_thread(grade, grader, expected, result.response_text or "")
        except AnalyticsError as error:
            self._run.log.error("a reply was not graded", id=result.id, message=str(error))
            return result
        except asyncio.CancelledError:
            await self._record(result)  # what was paid for is kept
            raise
        return replace(result, correct=correct)

    def _skipped(self, planned: PlannedRequest, error_type: str, message: str) -> BenchmarkResult:
        known = planned.skeleton(self._run.run_id, self._run.workload, datetime.now(UTC))
        return BenchmarkResult(**known, outcome="skipped", success=False, error_type=error_type, error_message=message)

    async def _skip_all(self, error_type: str, message: str) -> None:
        while self._waiting:
            await self._record(self._skipped(self._waiting.popleft(), error_type, message))

    async def _record(self, result: BenchmarkResult) -> None:
        await _whole(self._run.recorder.record, asdict(result))
        self.results.append(result)
        if not result.success:
            self._run.log.warning(
                "request without a result" if result.outcome == "skipped" else "request failed", **_context(result)
            )
        self._run.progress.measured(result)


def _may_be_billed(result: BenchmarkResult) -> bool:
    """Whether the provider may have done the work: not if it refused by a status, nor if nothing was ever sent to it."""
    if result.status_code is not None:
        return result.status_code < httpx.codes.MULTIPLE_CHOICES
    return result.error_type not in {"connect", "dns", "tls"}


def _was_accepted(measured: Measurement) -> bool:
    """Whether the provider took the request: only then is it known that what was left out had been the trouble."""
    return measured.status_code is not None and httpx.codes.is_success(measured.status_code)


def _context(result: BenchmarkResult) -> dict[str, Any]:
    """What a reader of the log wants to know about a failed request; the answer's text stays in the row."""
    names = (
        "id",
        "run_id",
        "provider",
        "model",
        "workload_id",
        "outcome",
        "status_code",
        "error_type",
        "error_code",
        "error_message",
    )
    return {name: getattr(result, name) for name in names}


async def _whole(write: Callable[[T], None], what: T) -> None:
    """Run one write to the spool in a thread, to its end even when this task is cancelled meanwhile."""
    writing = asyncio.ensure_future(asyncio.to_thread(write, what))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await writing
        raise


async def land(recorder: RunSpool, store: Store, log: FilteringBoundLogger) -> None:
    """Move what is recorded into the store; when the store is out of reach the spool keeps it."""
    try:
        landing = await asyncio.to_thread(recorder.land, store)
    except AnalyticsError as error:
        log.error("the store took nothing; results wait in the spool", message=str(error))
        return
    for result_id in landing.alarms:
        log.error("a result in the store has the same id and other content", id=result_id)
    for result_id, why in landing.refused:
        log.error("the store refused a result; it is set aside in the spool", id=result_id, message=why)
