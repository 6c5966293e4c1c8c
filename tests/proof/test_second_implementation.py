"""Scoring says what a slow, obvious second implementation says, for good rows and bad ones (tests/proof/plain.py).

Counts are the same, means and rates to 1e-9, percentiles within the 1 % of their histogram.
"""

import math
import random
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proof.plain import Row
from proof.worlds import AS_OF, STRANGE, House, at, corrections, live, opinions, requests, result, results, vote

from analytics.scoring import VoteCaps, score


@pytest.mark.parametrize(
    ("seed", "as_of"),
    [
        (1, AS_OF),
        pytest.param(
            2, datetime(2026, 3, 29, 22, 59, 59, tzinfo=UTC), marks=pytest.mark.soak
        ),  # a day of 23 hours in Berlin
        pytest.param(3, datetime(2026, 10, 25, 23, 0, tzinfo=UTC), marks=pytest.mark.soak),  # a day of 25
        *(pytest.param(seed, AS_OF + timedelta(hours=7 * seed), marks=pytest.mark.soak) for seed in range(4, 60)),
    ],
)
def test_both_implementations_agree_as_rows_come_in(tmp_path: Path, seed: int, as_of: datetime) -> None:
    """Two portions, with late rows in both; then runs are deleted and prices corrected; then the store is another and gives all again."""
    dice = random.Random(seed)
    house = House(tmp_path, as_of)
    for portion in range(2):
        first = portion * 1000
        report = house.feed(
            benchmark_results=results(dice, 120, first, as_of),
            request_events=requests(dice, 60, first, as_of),
            feedback_events=opinions(dice, 25, first, as_of),
        )
    house.agree(report)
    deleted = [{"id": f"t{number}", "run_id": f"run-{number}", "created_at": at(as_of)} for number in range(2)]
    house.agree(house.feed(tombstones=deleted, repricings=corrections(dice, 0)))
    house.store.age += 1
    house.agree(house.feed())


@pytest.mark.parametrize(
    "caps", [VoteCaps(), VoteCaps(user_votes=1, tenant_votes=2), VoteCaps(user_share=1, tenant_share=1)]
)
def test_what_one_user_and_one_tenant_may_say_agrees(tmp_path: Path, caps: VoteCaps) -> None:
    """Loud ones and quiet ones, with and without a tenant, an agent and a name."""
    dice, house = random.Random(9), House(tmp_path, caps=caps)
    loud = [("u", "north")] * 20 + [("v", "north")] * 9 + [("w", "south")] * 9 + [(None, None)] * 5 + [("x", None)]
    given = [
        vote(number, user_id=user, tenant_id=tenant, rating=dice.random(), model=dice.choice(("acme/small", "acme/big")),
             task_type=dice.choice(("code", "code", "chat", None)), agent_id=dice.choice(("helper", "helper", None)),
             created_at=at(AS_OF - timedelta(minutes=dice.randrange(4000))))
        for number, (user, tenant) in enumerate(loud * 4)
    ]  # fmt: skip
    report = house.feed(feedback_events=given)
    house.agree(report)
    rows = report.tables[False]["experience"].to_pylist()
    everyone = sum(row["rating_n"] for row in rows if row["task_type"] is row["tenant_id"] is row["agent"] is None)
    assert (everyone < len(given)) == (caps.user_share < 1)


def test_a_share_of_the_votes_is_exact(tmp_path: Path) -> None:
    """Beside 172 of others a fifth is 43; 0.2 * 172 / 0.8 is 42.99999999999999 in floating point."""
    house = House(tmp_path)
    users = [f"u{number}" for number in range(172)] + ["loud"] * 60
    report = house.feed(feedback_events=[vote(number, user_id=user) for number, user in enumerate(users)])
    (row,) = report.tables[False]["experience"].to_pylist()
    assert row["rating_n"] == 172 + 43
    house.agree(report)


def test_many_rows_of_one_model_agree(tmp_path: Path) -> None:
    """Enough of them that every percentile has an interval."""
    dice = random.Random(5)
    house = House(tmp_path)
    rows = [
        result(number, total_latency_ms=dice.lognormvariate(6, 1), ttft_ms=dice.lognormvariate(4, 0.3), tps=dice.uniform(20, 90),
               inter_token_p50_ms=dice.expovariate(0.1), created_at=at(AS_OF - timedelta(minutes=number % 200)))
        for number in range(1500)
    ]  # fmt: skip
    report = house.feed(benchmark_results=rows)
    house.agree(report)
    row = next(row for row in report.tables[False]["model_metrics_by_window"].to_pylist() if row["window_name"] == "1h")
    assert row["usage_count"] < 1500
    assert None not in (row["latency_p99_low_ms"], row["latency_p99_high_ms"], row["tps_p50_low"])


BAD_DAYS: dict[str, dict[str, list[Row]]] = {
    "no data": {},
    "one sample": {"benchmark_results": [result(1, ttft_ms=3.0)]},
    "two samples": {"benchmark_results": [result(1), result(2, total_latency_ms=300.0)]},
    "all failed": {"benchmark_results": [result(n, outcome="failed", total_latency_ms=None) for n in range(3)]},
    "all of the same value": {"benchmark_results": [result(n, total_latency_ms=0.1) for n in range(40)]},
    "only zeros": {"benchmark_results": [result(n, total_latency_ms=0.0, tps=0.0) for n in range(40)]},
    "NaN": {"benchmark_results": [result(1), result(2, total_latency_ms=math.nan), result(3, confidence=math.nan)]},
    "infinity": {"benchmark_results": [result(1), result(2, ttft_ms=math.inf), result(3, tps=-math.inf)]},
    "negative": {"benchmark_results": [result(1), result(2, cost_usd=-1e-12), result(3, input_tokens=-1)]},
    "1e308": {"benchmark_results": [result(1), result(2, inter_token_p50_ms=1e308), result(3, cost_usd=1e308)]},
    "the largest that counts": {"benchmark_results": [result(n, total_latency_ms=1e8, cost_usd=1e6) for n in range(3)]},
    "a day of 23 hours": {
        "benchmark_results": [
            result(1, created_at="2026-03-29T01:59:59+01:00"), result(2, created_at="2026-03-29T03:00:00+02:00"),
            result(3, created_at="2026-03-29T02:30:00+01:00"),  # a time that no clock there showed
        ]
    },
    "a day of 25 hours": {
        "benchmark_results": [
            result(1, created_at="2026-10-25T02:30:00+02:00"), result(2, created_at="2026-10-25T02:30:00+01:00"),
            result(3, created_at="2026-10-25T23:59:59.999999+01:00"),
        ]
    },
    "late rows": {"benchmark_results": [result(n, created_at=at(AS_OF - timedelta(days=89 * n))) for n in range(3)]},
    "rows to come": {"benchmark_results": [result(1), result(2, created_at=at(AS_OF + timedelta(hours=1)))]},
    "unknown model": {"request_events": [live(1, model="who", provider="x"), live(2, model="who")]},
    "graded and never rated": {
        "benchmark_results": [
            result(n, benchmark_id="q", correct=n > 0, domain=("coding", "sports", "math")[n % 3], model=("acme/small", "acme/big")[n % 2])
            for n in range(9)
        ]
    },
    "duplicates": {"feedback_events": [vote(n, message_id="m", rating=n / 3) for n in range(3)]},
    "ratings that are none": {"feedback_events": [vote(n, rating=rating) for n, rating in enumerate(STRANGE)]},
    "a deleted run": {
        "benchmark_results": [result(1), result(2, run_id="gone")],
        "tombstones": [{"id": "t", "run_id": "gone", "created_at": at(AS_OF)}],
    },
}  # fmt: skip


@pytest.mark.parametrize("day", BAD_DAYS, ids=lambda day: str(day).replace(" ", "_"))
def test_a_bad_day_has_defined_results_and_the_same_bytes(tmp_path: Path, day: str) -> None:
    """faults.md, scoring: what it counts, what it rejects, and the same snapshot whoever computes it."""
    house = House(tmp_path)
    report = house.feed(**BAD_DAYS[day])
    house.agree(report)
    assert score(house.lake, tmp_path / "again", AS_OF).snapshots == report.snapshots


def test_what_a_store_put_back_gives_again_counts_once(tmp_path: Path) -> None:
    """It lost the last half of what it had, which the lake keeps, has the first half still, and more that is new."""
    dice, house = random.Random(6), House(tmp_path)
    came = {
        "benchmark_results": results(dice, 30, 0, AS_OF),
        "request_events": requests(dice, 20, 0, AS_OF),
        "feedback_events": opinions(dice, 20, 0, AS_OF),
    }
    house.feed(**came)
    new = {
        "benchmark_results": results(dice, 10, 1000, AS_OF),
        "request_events": requests(dice, 10, 1000, AS_OF),
        "feedback_events": opinions(dice, 10, 1000, AS_OF),
    }
    house.store.rows = {table: rows[: len(rows) // 2] for table, rows in came.items()}
    house.store.age += 1
    report = house.feed(**new)
    assert report.rows_absorbed == 20  # requests of both sorts; the lake has the others
    house.store.rows = {table: [*rows, *new[table]] for table, rows in came.items()}
    house.agree(report)


def test_a_refresh_of_late_and_reordered_rows_is_a_rebuild(tmp_path: Path) -> None:
    dice = random.Random(8)
    rows = results(dice, 40, 0, AS_OF)
    stepwise, at_once = House(tmp_path / "stepwise"), House(tmp_path / "at_once")
    shuffled = dice.sample(rows, len(rows))
    for start in range(0, len(rows), 20):
        report = stepwise.feed(benchmark_results=shuffled[start : start + 20])
    assert at_once.feed(benchmark_results=rows).snapshots == report.snapshots


NUMBERS = st.one_of(st.none(), st.floats(), st.floats(0, 1e8), st.sampled_from(STRANGE))
SMALL = st.lists(
    st.fixed_dictionaries(
        {
            "total_latency_ms": NUMBERS.map(lambda value: value if value is None or not 0 < value < 0.1 else 0.1),
            "cost_usd": st.one_of(st.none(), st.floats(0, 1e6).map(lambda value: round(value, 6))),
            "outcome": st.sampled_from(["ok", "ok", "failed", "incomplete", "skipped"]),
            "input_tokens": st.one_of(st.none(), st.integers(-1, 2**40)),
            "output_tokens": st.one_of(st.none(), st.integers(-1, 2**40)),
            "domain": st.sampled_from([None, "math"]),
        }
    ),
    max_size=6,
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SMALL)
def test_both_implementations_agree_on_whatever_is_thought_up(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder))
        house.agree(house.feed(benchmark_results=[result(number, **row) for number, row in enumerate(rows)]))
