"""The job `benchmark`, without Prefect: what it measures becomes rows, whatever a provider does."""

import asyncio
import resource
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from filelock import FileLock
from house import AURORA, BOREALIS, CASCADE, House, files_of

from analytics.errors import BadRows, SpoolFull, UnknownName
from analytics.store import from_text
from flows.errors import AlreadyMeasuring, NothingToMeasure, UsageError
from flows.jobs.benchmark import BenchmarkRequest, plan_benchmark, run_benchmark
from flows.plan import Plan
from flows.workloads import gold_questions
from providers.records import BenchmarkResult

AURORAS = tuple(f"{AURORA}/aurora-{name}" for name in ("mini", "plus", "code"))
QUICK = f"{AURORA}/aurora-mini"
SWIFT = f"{CASCADE}/cascade-swift"


class Recorder:
    """A `Progress` that keeps what it was told, and can do something at the first result."""

    def __init__(self, at_first: Any = None) -> None:
        self.told: list[str] = []
        self._at_first = at_first

    def begin(self, run_name: str, plan: Plan) -> None:
        self.told.append(f"begin {plan.size}")

    def measured(self, result: BenchmarkResult) -> None:
        self.told.append(result.outcome)
        if self._at_first and len(self.told) == 2:
            self._at_first()

    def end(self) -> None:
        self.told.append("end")


def test_every_planned_request_lands_once_with_its_columns(house: House) -> None:
    report = house.ready(AURORA, CASCADE).bench(workload="gold", sample=1, repeats=2, concurrency=4)
    rows = house.rows("benchmark_results")
    assert len(rows) == len(report.results) == 5 * 4 * 2
    assert {row["id"] for row in rows} == {result.id for result in report.results}
    assert set(Counter(row["model"] for row in rows).values()) == {4 * 2}
    assert {row["domain"] for row in rows} == {"math", "coding", "medical", "general"}
    assert {row["repeat"] for row in rows} == {0, 1}
    for row in rows:
        assert row["is_simulated"] is True
        assert row["success"] == (row["outcome"] == "ok")
        assert row["provider_id"]
        assert row["model_id"]
        assert row["workload_id"] == "gold"
        assert 0 < row["ttft_ms"] <= row["total_latency_ms"] <= row["call_latency_ms"]
        assert row["correct"] in {True, False}


def test_a_run_says_who_asked_what_was_planned_and_when_it_ended(house: House) -> None:
    before = datetime.now(UTC)
    report = house.ready(AURORA).bench(run_name="first", triggered_by="system", seed=5, max_usd=0.5)
    (run,) = house.rows("runs")
    assert (run["id"], run["run_name"], run["triggered_by"]) == (report.run_id, "first", "system")
    assert (run["seed"], run["planned"], run["max_usd"], run["is_simulated"]) == (5, 3, 0.5, True)
    assert before <= from_text(run["started_at"]) <= from_text(run["finished_at"]) <= datetime.now(UTC)
    assert house.settings.home.spool.is_dir()
    assert list(house.settings.home.spool.glob("*.jsonl")) == []


def test_cost_is_the_price_in_force_times_the_usage_and_names_the_price(house: House) -> None:
    house.ready(AURORA).bench()
    prices = {price["id"]: price for price in house.rows("prices")}
    rows = house.rows("benchmark_results")
    assert len(rows) == 3
    for row in rows:
        price = prices[row["price_id"]]
        assert price["model_id"] == row["model_id"]
        assert row["cost_source"] == "price"
        paid = row["input_tokens"] * price["input_price_per_m"] + row["output_tokens"] * price["output_price_per_m"]
        assert row["cost_usd"] == pytest.approx(paid / 1e6)


def test_cost_stays_unknown_without_a_price(house: House) -> None:
    house.add_gateway("local", "aurora-mini", provider_type="custom")
    report = house.bench()
    (row,) = house.rows("benchmark_results")
    assert (row["outcome"], row["cost_usd"], row["cost_source"], row["price_id"]) == ("ok", None, None, None)
    assert row["is_simulated"] is False
    assert report.cost_usd is None


def test_answers_are_graded_as_the_provider_meant_them(house: House) -> None:
    mark = house.mark
    house.ready(AURORA).bench(workload="gold", sample=2, concurrency=6)
    meant = {entry["request_id"]: entry["correct"] for entry in house.asked(mark)}
    rows = [row for row in house.rows("benchmark_results") if row["outcome"] == "ok"]
    assert {row["correct"] for row in rows} == {True, False}
    assert {row["id"]: row["correct"] for row in rows} == meant


def test_an_answer_to_a_prompt_without_a_right_answer_is_not_graded(house: House) -> None:
    house.ready(AURORA).bench()
    assert {row["correct"] for row in house.rows("benchmark_results")} == {None}


def test_the_same_seed_repeats_the_order_in_which_requests_go_out(house: House) -> None:
    house.ready(AURORA)

    def planned(seed: int) -> list[str]:
        plan = plan_benchmark(house.settings, BenchmarkRequest(workload="gold", sample=1, seed=seed))
        return [request.external_id for request in plan.requests[AURORA]]

    mark = house.mark
    house.bench(workload="gold", sample=1, seed=3)
    assert [entry["model"] for entry in house.asked(mark)] == planned(3)
    assert planned(3) == planned(3) != planned(4)


def test_named_models_are_measured_whether_active_or_not(house: House) -> None:
    house.ready(AURORA)
    with house.store() as store:
        store.write("model_overrides", [
            {"model_id": row["model_id"], "is_active": False, "updated_at": row["updated_at"]} for row in store.read_all("catalog")
        ])  # fmt: skip
    with pytest.raises(NothingToMeasure, match="no active model"):
        house.bench()
    report = house.bench(models=(QUICK,))
    assert [result.model for result in report.results] == [QUICK]


def test_a_dry_run_asks_nobody_and_writes_nothing(house: House) -> None:
    house.ready(AURORA)
    before, mark = files_of(house.home), house.mark
    plan = plan_benchmark(house.settings, BenchmarkRequest(workload="gold"))
    assert plan.size == 3 * len(gold_questions())
    assert plan.most_usd > 0
    assert plan.unpriced_models == ()
    after = files_of(house.home)
    assert {name for name in after if not name.startswith("store.sqlite")} == {
        name for name in before if not name.startswith("store.sqlite")
    }
    assert house.rows("runs") == house.rows("benchmark_results") == []
    assert house.mark == mark


# -- money --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_budget_is_never_exceeded_and_what_it_stops_is_a_row(house: House, concurrency: int) -> None:
    house.ready(AURORA, CASCADE)
    mark = house.mark  # one request to the dearest model could cost more than this budget
    report = house.bench(workload="gold", sample=1, max_usd=0.006, concurrency=concurrency)
    skipped = [row for row in house.rows("benchmark_results") if row["outcome"] == "skipped"]
    assert 0 < len(skipped) < 20
    assert {(row["error_type"], row["success"], row["total_latency_ms"]) for row in skipped} == {
        ("budget", False, None)
    }
    assert "budget" in skipped[0]["error_message"]
    assert report.cost_usd is not None
    assert report.cost_usd <= 0.006
    assert len(house.asked(mark)) == 20 - len(skipped)


def test_a_budget_of_nothing_asks_nobody_who_has_a_price(house: House) -> None:
    house.ready(BOREALIS)
    house.bench(max_usd=0)
    outcomes = {row["model"]: row["error_type"] for row in house.rows("benchmark_results")}
    assert outcomes[f"{BOREALIS}/borealis-large"] == "budget"
    assert outcomes[f"{BOREALIS}/borealis-mini-free"] != "budget"


@pytest.mark.parametrize("max_usd", [float("nan"), float("inf")])
def test_a_budget_that_limits_nothing_is_refused(house: House, max_usd: float) -> None:
    house.ready(AURORA)
    mark = house.mark
    with pytest.raises(BadRows, match="max_usd"):
        house.bench(max_usd=max_usd)
    assert house.rows("runs") == []
    assert house.mark == mark


def test_a_request_that_timed_out_may_be_billed_so_its_share_stays_spent(house: House) -> None:
    house.ready(AURORA)
    house.misbehave(AURORA, "stall_headers")
    house.sections["benchmark"] = {"first_byte_ms": 50.0}
    request = {"models": (QUICK,), "repeats": 4}
    most = plan_benchmark(house.settings, BenchmarkRequest(workload="short", **request)).most_usd
    mark = house.mark
    report = house.bench(max_usd=most / 2, **request)
    assert Counter(result.error_type for result in report.results) == {"timeout_first_byte": 2, "budget": 2}
    assert len(house.simulated.log()) - mark >= 2


# -- providers that misbehave ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "status"), [("refuse_401", 401), ("pay_402", 402)])
def test_a_provider_that_wants_a_key_or_money_is_left_alone_for_the_run(house: House, fault: str, status: int) -> None:
    house.ready(AURORA, CASCADE)
    house.misbehave(AURORA, fault)
    mark = house.mark
    house.bench(models=(*AURORAS, SWIFT), repeats=3)
    rows = house.rows("benchmark_results", provider=AURORA)
    refused = [row["status_code"] for row in rows if row["outcome"] == "failed"]
    assert refused == [status, status], "two models refuse and none answers: it is the provider that refuses"
    skipped = {row["error_type"] for row in rows if row["outcome"] == "skipped"}
    assert skipped <= {"model_stopped", "provider_stopped"}
    assert len(rows) == 9
    assert Counter(entry["provider"] for entry in house.asked(mark)) == {AURORA: 2, CASCADE: 3}
    assert {row["outcome"] for row in house.rows("benchmark_results", provider=CASCADE)} == {"ok"}


def test_requests_that_wait_for_their_turn_are_not_sent_once_their_model_is_stopped(house: House) -> None:
    house.ready(AURORA)
    house.misbehave(AURORA, "pay_402")
    mark = house.mark
    house.bench(repeats=3, concurrency=9, sequential=True)
    assert len(house.asked(mark)) == 2
    assert Counter(row["outcome"] for row in house.rows("benchmark_results")) == {"failed": 2, "skipped": 7}


def test_a_gateways_bad_upstream_key_stops_one_model_and_not_the_gateway(house: House) -> None:
    house.ready(AURORA)
    house.add_gateway("gateway", "aurora-mini", "fault/refuse_401", provider_type="custom")
    house.bench(models=("gateway/aurora-mini", "gateway/fault/refuse_401"), repeats=4)
    rows = house.rows("benchmark_results")
    assert Counter((row["model"], row["outcome"]) for row in rows) == {
        ("gateway/aurora-mini", "ok"): 4,
        ("gateway/fault/refuse_401", "failed"): 1,
        ("gateway/fault/refuse_401", "skipped"): 3,
    }


@pytest.mark.parametrize(
    ("fault", "outcome", "error_type"),
    [
        ("stall_headers", "failed", "timeout_first_byte"),
        ("stall_stream", "failed", "timeout_idle"),
        ("cut_stream", "incomplete", None),
        ("reset_stream", "incomplete", None),
        ("error_503", "failed", "overloaded"),
        ("rate_429", "failed", "rate_limit"),
        ("garbage_json", "failed", "malformed"),
    ],
)
def test_a_provider_that_misbehaves_leaves_rows_and_the_others_finish(
    house: House, fault: str, outcome: str, error_type: str | None
) -> None:
    house.ready(AURORA, CASCADE)
    house.misbehave(AURORA, fault)
    house.sections["benchmark"] = {"first_byte_ms": 400.0, "idle_ms": 400.0}
    house.bench(models=(QUICK, SWIFT))
    (bad,) = house.rows("benchmark_results", provider=AURORA)
    assert bad["outcome"] == outcome
    assert error_type is None or bad["error_type"] == error_type
    assert bad["success"] is False
    (good,) = house.rows("benchmark_results", provider=CASCADE)
    assert good["outcome"] == "ok"


def test_a_provider_that_refuses_the_connection_leaves_failed_rows_and_the_others_finish(
    house: House, unused_port: int
) -> None:
    house.ready(AURORA, CASCADE)
    house.register(AURORA, base_url=f"http://127.0.0.1:{unused_port}/v1")
    house.bench()
    bad = house.rows("benchmark_results", provider=AURORA)
    assert {(row["outcome"], row["error_type"], row["status_code"], row["cost_usd"]) for row in bad} == {
        ("failed", "connect", None, None)
    }
    assert {row["outcome"] for row in house.rows("benchmark_results", provider=CASCADE)} == {"ok"}
    assert house.rows("runs")[0]["finished_at"]


def test_failures_are_in_the_log_of_the_day_with_their_context(house: House) -> None:
    house.ready(AURORA)
    house.misbehave(AURORA, "error_503")
    (result,) = house.bench(models=(QUICK,)).results
    (log,) = house.settings.home.logs.iterdir()
    assert log.name == f"scorehouse-{datetime.now(UTC):%Y-%m-%d}.log"
    text = log.read_text()
    assert all(word in text for word in (result.id, AURORA, "overloaded", "503"))


# -- order in time --------------------------------------------------------------------------------------------------------


def overlaps(entries: list[dict[str, Any]]) -> int:
    """How many requests were received before the one before them had ended, by the provider's own clock."""
    ordered = sorted(entries, key=lambda entry: entry["received_ns"])
    return sum(after["received_ns"] < before["last_token_ns"] for before, after in pairwise(ordered))


def test_providers_are_measured_side_by_side_and_each_one_after_another(house: House) -> None:
    mark = house.ready(AURORA, CASCADE).mark
    house.bench(models=(QUICK, SWIFT), repeats=4)
    asked = house.asked(mark)
    assert overlaps(asked) > 0
    assert [overlaps([entry for entry in asked if entry["provider"] == key]) for key in (AURORA, CASCADE)] == [0, 0]


def test_a_sequential_run_has_one_request_at_a_time_over_all_providers(house: House) -> None:
    mark = house.ready(AURORA, CASCADE).mark
    house.bench(models=(QUICK, SWIFT), repeats=3, sequential=True, concurrency=3)
    asked = house.asked(mark)
    assert len(asked) == 6
    assert overlaps(asked) == 0


def test_concurrency_lets_that_many_requests_go_out_at_once(house: House) -> None:
    mark = house.ready(AURORA).mark
    house.bench(repeats=2, concurrency=3)
    times = [(entry["received_ns"], 1) for entry in house.asked(mark)]
    times += [(entry["last_token_ns"], -1) for entry in house.asked(mark)]
    under_way, most = 0, 0
    for _, step in sorted(times):
        under_way += step
        most = max(most, under_way)
    assert most == 3


def test_a_rate_limit_spaces_the_requests(house: House) -> None:
    house.register(AURORA, rate_limit_rpm=300)
    house.sync()
    mark = house.mark
    house.bench(models=(QUICK,), repeats=4, concurrency=4)
    received = sorted(entry["received_ns"] for entry in house.asked(mark))
    gaps_ms = [(after - before) / 1e6 for before, after in pairwise(received)]
    assert len(gaps_ms) == 3
    assert min(gaps_ms) > 0.8 * 200
    assert (received[-1] - received[0]) / 1e6 > 0.95 * 3 * 200


def test_a_cold_run_makes_a_connection_for_each_request(house: House) -> None:
    house.ready(AURORA)
    model = (QUICK,)
    assert [result.connection_reused for result in house.bench(models=model, repeats=3).results] == [False, True, True]
    cold = house.bench(models=model, repeats=3, cold=True).results
    assert [result.connection_reused for result in cold] == [False, False, False]
    assert all(result.connect_ms is not None for result in cold)


# -- what is refused before anything happens --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        ({"providers": ("nobody",)}, UsageError, "no provider 'nobody'"),
        ({"models": ("sim-aurora/nothing",)}, UsageError, "no available chat model 'sim-aurora/nothing'"),
        ({"workload": "nothing"}, UnknownName, "workload 'nothing' does not exist"),
        ({"providers": (CASCADE,), "models": (QUICK,)}, UsageError, "aurora-mini"),
    ],
)
def test_names_that_do_not_exist_are_refused_before_anything_is_written(
    house: House, request_: dict[str, Any], error: type[Exception], words: str
) -> None:
    house.ready(AURORA, CASCADE)
    mark = house.mark
    with pytest.raises(error, match=words):
        house.bench(**request_)
    assert house.rows("runs") == []
    assert not house.settings.home.spool.exists()
    assert house.mark == mark


def test_a_disabled_provider_is_not_measured(house: House) -> None:
    house.ready(AURORA, CASCADE)
    house.register(AURORA, is_active=False)
    assert {result.provider for result in house.bench().results} == {CASCADE}
    with pytest.raises(UsageError, match="disabled"):
        house.bench(providers=(AURORA,))


def test_a_provider_whose_row_is_unusable_is_named_before_anything_is_written(house: House) -> None:
    house.ready(AURORA)
    house.register(AURORA, base_url="http://example.org/v1")
    with pytest.raises(ValueError, match=r"base_url 'http://example\.org'"):
        house.bench()
    assert house.rows("runs") == []
    assert list(house.settings.home.spool.glob("*")) == []


# -- interrupted --------------------------------------------------------------------------------------------------------------


def test_an_interrupted_run_keeps_what_it_measured_and_settles_the_rest(house: House) -> None:
    house.ready(AURORA, CASCADE)

    async def interrupted() -> Recorder:
        recorder = Recorder(at_first=lambda: task.cancel())  # noqa: PLW0108  # the task is made below
        request = BenchmarkRequest(workload="gold", sample=2)
        task = asyncio.create_task(run_benchmark(house.settings, request, recorder))
        with pytest.raises(asyncio.CancelledError):
            await task
        return recorder

    recorder = asyncio.run(interrupted())
    assert recorder.told[0] == "begin 40"
    assert recorder.told[-1] == "end"
    outcomes = Counter((row["outcome"], row["error_type"]) for row in house.rows("benchmark_results"))
    assert sum(outcomes.values()) == 40
    assert outcomes["ok", None] >= 1
    assert outcomes["aborted", "interrupted"] >= 1
    assert outcomes["skipped", "run_interrupted"] >= 30
    assert house.rows("runs")[0]["finished_at"]
    assert list(house.settings.home.spool.glob("*.jsonl")) == []


def test_a_second_benchmark_in_the_same_house_is_turned_away(house: House) -> None:
    house.ready(CASCADE)
    mark = house.mark
    with FileLock(house.home / ".measuring"), pytest.raises(AlreadyMeasuring, match="under way"):
        house.bench()
    assert house.rows("runs") == []
    assert house.asked(mark) == []
    house.bench(workload="short")
    assert len(house.rows("runs")) == 1


def test_without_room_on_the_disk_a_run_does_not_begin(house: House) -> None:
    house.ready(AURORA, CASCADE)
    house.sections["spool"] = {"free_floor_mb": 10**9}
    with pytest.raises(SpoolFull, match="no call is made"):
        house.bench()
    assert house.rows("runs") == []


def test_a_disk_that_fills_during_the_run_ends_it_before_the_next_call(house: House) -> None:
    house.ready(AURORA)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    class FillsTheDisk(Recorder):
        def end(self) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            super().end()

    filling = FillsTheDisk(at_first=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard)))
    try:
        with pytest.raises(SpoolFull, match="no call is made"):
            house.bench(filling, repeats=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    outcomes = Counter(row["outcome"] for row in house.rows("benchmark_results"))
    assert outcomes == {"ok": 1, "skipped": 8}
