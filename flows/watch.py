"""Watching a run from a terminal: a table per model that fills while requests come back; elsewhere a line per finished model."""

from collections import Counter
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from flows import render
from flows.plan import Plan
from flows.summary import ModelSummary, summarize
from providers.records import BenchmarkResult

COLUMNS = (
    "model", "done", "ok", "latency p50 ms", "TTFT p50 ms", "tokens/s p50", "in", "out", "cost USD", "right", "status",
)  # fmt: skip


def summary_rows(summaries: list[ModelSummary], planned: dict[str, int] | None = None) -> list[tuple[Any, ...]]:
    """What was measured, a row of `COLUMNS` per model; medians over successes."""
    rows = []
    for one in summaries:
        of = f"{one.requests}/{planned[one.model]}" if planned else one.requests
        right = f"{one.correct}/{one.graded}" if one.graded else None
        cost = None if one.cost_usd is None else f"{one.cost_usd:.6f}"
        rows.append(
            (one.model, of, one.ok, one.total_latency_ms, one.ttft_ms, one.tps, one.input_tokens, one.output_tokens, cost, right, one.status)
        )  # fmt: skip
    return rows


class Watch:
    """The `Progress` of the command line, on stderr."""

    def __init__(self) -> None:
        self._results: list[BenchmarkResult] = []
        self._planned: dict[str, int] = {}
        self._left: Counter[str] = Counter()
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=render.err,
        )
        self._task: TaskID | None = None
        self._live: Live | None = None
        self._is_heard = True

    def begin(self, run_name: str, plan: Plan) -> None:
        """Show the frame: how many requests, of which models."""
        requests = [request for share in plan.requests.values() for request in share]
        self._planned = dict(Counter(request.model for request in requests))
        self._left = Counter(self._planned)
        self._task = self._bar.add_task(render.plain(run_name).plain, total=plan.size)
        if render.err.is_terminal:
            # Drawn four times a second by rich's own thread: the loop that measures only counts.
            self._live = Live(get_renderable=self._picture, console=render.err, refresh_per_second=4, transient=True)
            self._live.start()
        else:
            self._say(f"{run_name}: {plan.size} requests, {len(plan.models)} models, {len(plan.requests)} providers")

    def measured(self, result: BenchmarkResult) -> None:
        """Add one result to the picture."""
        self._results.append(result)
        self._left[result.model] -= 1
        if self._live and self._task is not None:
            self._bar.advance(self._task)
        elif not self._left[result.model]:
            self._say_finished(result.model)

    def end(self) -> None:
        """Leave the terminal as it was; the command prints the table that stays."""
        if self._live:
            self._live.stop()
            self._live = None

    @property
    def seen(self) -> int:
        """How many results came."""
        return len(self._results)

    def _say(self, line: str) -> None:
        """Progress is a courtesy: a run that is paid for goes on when its reader has left."""
        if not self._is_heard:
            return
        try:
            render.say(line)
        except OSError:
            self._is_heard = False

    def _picture(self) -> Group:
        return Group(
            render.table(None, COLUMNS, summary_rows(summarize(list(self._results)), self._planned)), self._bar
        )

    def _say_finished(self, model: str) -> None:
        done = sum(count == 0 for count in self._left.values())
        (one,) = summarize(result for result in self._results if result.model == model)
        seen = {"latency": (one.total_latency_ms, " ms"), "TTFT": (one.ttft_ms, " ms"), "pace": (one.tps, " tokens/s")}
        known = ", ".join(
            f"{name} {render.cell(value)}{unit}" for name, (value, unit) in seen.items() if value is not None
        )
        medians = f", medians: {known}" if known else ""
        self._say(f"  [{done}/{len(self._planned)}] {model}: {one.ok} of {one.requests} ok{medians}")
