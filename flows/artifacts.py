"""What a run leaves in Prefect: a progress bar while it measures, a table of what it measured.

Artifacts are a courtesy: when Prefect cannot be reached the run goes on without them, and the log says so.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact
from structlog.typing import FilteringBoundLogger

from flows.jobs.progress import Progress
from flows.plan import Plan
from flows.render import cell, plain
from flows.summary import ModelSummary
from providers.records import BenchmarkResult

_EVERY_S = 3.0
_PATIENCE_S = 10.0


class ProgressArtifact:
    """A `Progress` that counts, and a background task that tells Prefect every few seconds; `beside` watches too."""

    def __init__(self, log: FilteringBoundLogger, beside: Progress) -> None:
        self._log = log
        self._beside = beside
        self._planned = 0
        self._done = 0
        self._over = asyncio.Event()
        self._teller: asyncio.Task[None] | None = None

    def begin(self, run_name: str, plan: Plan) -> None:
        """Start telling."""
        self._planned = plan.size
        self._teller = asyncio.get_running_loop().create_task(self._tell(run_name))
        self._beside.begin(run_name, plan)

    def measured(self, result: BenchmarkResult) -> None:
        """Count; a request to Prefect here would disturb the next measurement's start."""
        self._done += 1
        self._beside.measured(result)

    def end(self) -> None:
        """Everything was measured; the last figure is told on leaving."""
        self._beside.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if self._teller:
            await self._teller  # it tells the last figure and ends

    async def _tell(self, run_name: str) -> None:
        made = await courtesy(
            acreate_progress_artifact(progress=0.0, key="benchmark-progress", description=f"Run {plain(run_name)}"),
            self._log,
        )
        told = 0
        while made is not None and not self._over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), _EVERY_S)
            if self._done > told:
                told = self._done
                await courtesy(
                    aupdate_progress_artifact(artifact_id=made, progress=100.0 * told / self._planned), self._log
                )


async def leave_table(summaries: Sequence[ModelSummary], run_name: str, log: FilteringBoundLogger) -> None:
    """The table artifact `benchmark-results`: a row per model, texts stripped of control characters."""
    columns = (
        "model",
        "requests",
        "ok",
        "total_latency_ms",
        "ttft_ms",
        "tps",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "accuracy",
        "status",
    )
    rows: list[dict[str, Any]] = [
        {name: str(plain(cell(one.to_dict()[name]))) for name in columns} | {"is_simulated": one.is_simulated}
        for one in summaries
    ]
    await courtesy(
        acreate_table_artifact(
            table=rows, key="benchmark-results", description=f"Run {plain(run_name)}; medians over successes"
        ),
        log,
    )


async def courtesy(call: Awaitable[Any], log: FilteringBoundLogger) -> Any:
    """The call's answer; None, and a line in the log, when Prefect cannot be reached or takes too long."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await call
    except Exception as error:  # noqa: BLE001  # whatever Prefect's client raises must not end a run
        log.warning("an artifact was not stored", error=type(error).__name__)
        return None
