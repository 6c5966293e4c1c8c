"""What the mystery shopper saw, one row per model: medians over successes, counts over everything."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from providers.records import BenchmarkResult


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model's share of a run. Times are medians in ms, `tps` tokens per second, tokens and cost are sums; None is unknown.

    `status` counts HTTP statuses, or outcomes where no answer came: `{"200": 19, "skipped": 1}`.
    """

    provider: str
    model: str
    requests: int
    ok: int
    total_latency_ms: float | None
    ttft_ms: float | None
    tps: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    graded: int
    correct: int
    status: dict[str, int]
    is_simulated: bool

    @property
    def accuracy(self) -> float | None:
        """Share of the graded answers that were right."""
        return self.correct / self.graded if self.graded else None

    def to_dict(self) -> dict[str, Any]:
        """For --json and artifacts."""
        return asdict(self) | {"accuracy": self.accuracy}


def summarize(results: Iterable[BenchmarkResult]) -> list[ModelSummary]:
    """One summary per model, in name order."""
    by_model: dict[str, list[BenchmarkResult]] = {}
    for result in results:
        by_model.setdefault(result.model, []).append(result)
    return [_summary(model, mine) for model, mine in sorted(by_model.items())]


def _summary(model: str, results: list[BenchmarkResult]) -> ModelSummary:
    good = [result for result in results if result.success]
    graded = [result.correct for result in results if result.correct is not None]
    return ModelSummary(
        provider=results[0].provider,
        model=model,
        requests=len(results),
        ok=len(good),
        total_latency_ms=_median(result.total_latency_ms for result in good),
        ttft_ms=_median(result.ttft_ms for result in good),
        tps=_median(result.tps for result in good),
        input_tokens=_total(result.input_tokens for result in results),
        output_tokens=_total(result.output_tokens for result in results),
        cost_usd=_total(result.cost_usd for result in results),
        graded=len(graded),
        correct=sum(graded),
        status=dict(sorted(Counter(_status(result) for result in results).items())),
        is_simulated=results[0].is_simulated,
    )


def _status(result: BenchmarkResult) -> str:
    """`200`, `429`; with the outcome where a 200 was no success; the error's type where no status came."""
    if result.status_code is None:
        return result.error_type or result.outcome
    return (
        f"{result.status_code}"
        if result.success or result.status_code >= 300
        else f"{result.status_code} {result.outcome}"
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _total(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
