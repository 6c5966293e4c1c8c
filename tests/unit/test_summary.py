"""What the mystery shopper saw, a row per model."""

from datetime import UTC, datetime
from typing import Any

from flows.summary import summarize
from providers.records import BenchmarkResult


def result(**more: Any) -> BenchmarkResult:
    known = {"id": "1", "run_id": "r", "provider_id": None, "model_id": None, "provider": "p", "model": "p/m", "is_simulated": False,
             "workload_id": "w", "workload_version": "1", "outcome": "ok", "created_at": datetime(2026, 1, 1, tzinfo=UTC)} | more  # fmt: skip
    return BenchmarkResult(**{"success": known["outcome"] == "ok"} | known)


def test_times_are_medians_over_successes_and_counts_are_over_everything() -> None:
    (one,) = summarize([
        result(ttft_ms=10.0, total_latency_ms=100.0, tps=5.0, input_tokens=3, output_tokens=4, cost_usd=0.1, status_code=200),
        result(ttft_ms=30.0, total_latency_ms=300.0, tps=7.0, input_tokens=3, output_tokens=4, cost_usd=0.2, status_code=200),
        result(outcome="failed", ttft_ms=9999.0, total_latency_ms=9999.0, cost_usd=0.4, status_code=503),
    ])  # fmt: skip
    assert (one.requests, one.ok) == (3, 2)
    assert (one.ttft_ms, one.total_latency_ms, one.tps) == (20.0, 200.0, 6.0)
    assert (one.input_tokens, one.output_tokens) == (6, 8)
    assert round(one.cost_usd or 0, 9) == 0.7
    assert one.status == {"200": 2, "503": 1}


def test_what_nobody_knows_is_none_and_not_zero() -> None:
    (one,) = summarize([result(outcome="skipped", error_type="budget")])
    assert (one.ttft_ms, one.tps, one.input_tokens, one.cost_usd, one.accuracy) == (None, None, None, None, None)
    assert one.status == {"budget": 1}


def test_a_200_that_was_no_success_says_so() -> None:
    (one,) = summarize([result(outcome="incomplete", status_code=200), result(status_code=200)])
    assert one.status == {"200": 1, "200 incomplete": 1}


def test_accuracy_is_over_graded_answers_alone() -> None:
    (one,) = summarize(
        [result(correct=True), result(correct=False), result(correct=True), result(), result(outcome="failed")]
    )
    assert (one.graded, one.correct, one.accuracy) == (3, 2, 2 / 3)


def test_models_come_in_name_order() -> None:
    assert [one.model for one in summarize([result(model="p/z"), result(model="p/a")])] == ["p/a", "p/z"]
