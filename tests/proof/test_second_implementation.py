"""Scoring says what a slow, obvious second implementation says, for good rows and bad ones (tests/proof/plain.py).

Counts are the same, means and rates to 1e-9, percentiles within the 1 % of their histogram.
"""

import math
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proof import plain, plain_marts, plain_votes
from proof.plain import Row, World

from analytics.lake import Lake
from analytics.scoring import ScoreReport, VoteCaps, score

AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
CATALOG = [
    {"id": f"{provider}/{name}", "provider_id": provider, "external_id": name, "is_simulated": is_simulated}
    for provider, name, is_simulated in (
        ("acme", "small", False), ("acme", "big", False), ("globex", "big", False), ("sim", "small", True),
    )
]  # fmt: skip
PROVIDERS = [{"id": f"of-{key}", "key": key, "is_simulated": key == "sim"} for key in ("acme", "globex", "sim")]
MODELS = [
    {"id": f"is-{row['id']}", "key": row["id"], "provider_id": f"of-{row['provider_id']}", "name": row["external_id"]}
    for row in CATALOG
]
TASKS = [("code", "coding"), ("proof", "math"), ("chat", "coding"), ("chat", "math")]
USUAL = VoteCaps()
MARTS = {
    "hourly_trends": ("hour", "source", "provider"),
    "error_breakdown": ("date", "source", "provider", "model", "outcome", "error_type", "status_code"),
    "organization_daily": ("date", "tenant_id"),
    "price_history": ("price_id",),
    "model_totals": ("model",),
    "model_performance_history": ("model", "domain", "date"),
}
STRANGE: tuple[float, ...] = (math.nan, math.inf, -math.inf, -1.0, -0.0, 1e308, 5e-324, 0.0)


@dataclass
class Made:
    """A store of rows that no real one would take, read in commit order."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    dimensions: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    age: int = 0

    @dataclass
    class Batch:
        """Some rows and the number of the last."""

        rows: list[Row]
        watermark: int | None

    def epoch(self) -> str:
        return str(self.age)

    def read(self, table: str, after: int | None, limit: int = 10_000) -> "Made.Batch":
        start = after or 0
        rows = self.rows.get(table, [])[start : start + limit]
        return self.Batch(rows, start + len(rows))

    def read_all(self, table: str) -> Sequence[Row]:
        return self.dimensions.get(table, ())


class House:
    """A made store, its lake and its scores; `feed` brings the scores up to what came."""

    def __init__(self, folder: Path, as_of: datetime = AS_OF, caps: VoteCaps = USUAL) -> None:
        mapped = [{"id": f"{task}-{domain}", "task_type": task, "domain": domain} for task, domain in TASKS]
        self.store = Made(
            dimensions={
                "catalog": CATALOG, "task_domains": mapped, "providers": PROVIDERS, "models": MODELS, "prices": prices(random.Random(3), as_of)
            }
        )  # fmt: skip
        self.lake, self.scoring, self.as_of, self.caps = Lake(folder / "lake"), folder / "scoring", as_of, caps

    def feed(self, **came: Sequence[Row]) -> ScoreReport:
        for table, rows in came.items():
            self.store.rows.setdefault(table, []).extend(rows)
        self.lake.extract(self.store)
        return score(self.lake, self.scoring, self.as_of, caps=self.caps)

    @property
    def world(self) -> World:
        return World({**self.store.rows, **self.store.dimensions}, self.as_of)

    @property
    def plain_caps(self) -> plain_votes.Caps:
        shares = (plain.Fraction(str(share)) for share in (self.caps.user_share, self.caps.tenant_share))
        of_user, of_tenant = shares
        return plain_votes.Caps(of_user, self.caps.user_votes, of_tenant, self.caps.tenant_votes)

    def agree(self, report: ScoreReport) -> None:
        """Every published figure is that of the second implementation, and none is missing."""
        for kind in (False, True):
            metrics = plain.window_metrics(self.world, kind)
            if kind not in report.tables:
                assert not metrics
                continue
            tables = {name: table.to_pylist() for name, table in report.tables[kind].items()}
            by_window = {key: row for key, row in metrics.items() if key[2] != "all"}
            same(tables["model_metrics_by_window"], ("model", "domain", "window_name"), by_window)
            same(tables["model_metrics"], ("model", "domain"), _all_time(metrics))
            same(tables["daily_aggregates"], ("date",), plain.daily_aggregates(self.world, kind))
            for name, keys in MARTS.items():
                same(tables[name], keys, getattr(plain_marts, name)(self.world, kind))
            same(tables["left_out"], ("source", "reason"), plain.rejects(self.world, kind))
            same(tables["unknown_models"], ("provider_name", "model_name"), plain.unknown_models(self.world, kind))
            same(
                tables["experience"],
                ("model", "task_type", "tenant_id", "agent"),
                plain_votes.experience(self.world, kind, self.plain_caps),
                partly=True,
            )


def _all_time(metrics: Mapping[Any, Row]) -> dict[Any, Row]:
    renamed = {"latency_ms": "latency_mean_ms", "variance": "latency_variance_ms2"}
    names = (
        "usage_count", "accuracy", "latency_ms", "variance", "failure_rate", "cost_per_query", "confidence", "avg_output_length",
        "tokens_per_query", "last_updated",
    )  # fmt: skip
    return {
        (model, domain): {name: row[renamed.get(name, name)] for name in names}
        for (model, domain, window), row in metrics.items()
        if window == "all" and domain is not None
    }


def same(found: Sequence[Row], keys: Sequence[str], expected: Mapping[Any, Row], *, partly: bool = False) -> None:
    """The same rows with the same columns (`partly`: it may have more of them)."""
    by_key = {tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row for row in found}
    assert len(by_key) == len(found)
    assert set(by_key) == set(expected)
    for key, wanted in expected.items():
        row = by_key[key]
        assert partly or set(row) - {*keys, "is_simulated"} == set(wanted)
        for name, value in wanted.items():
            assert row[name] == _about(name, value), (key, name)


def _about(name: str, value: Any) -> Any:
    if value is None or not isinstance(value, (float, plain.Fraction)):
        return value
    if "_p50" in name or "_p95" in name or "_p99" in name:
        return pytest.approx(float(value), rel=0.010001, abs=1e-12)
    # ends of a mean's interval come from the skewness of a histogram: floating point, summed in another order
    is_end = name.endswith(("_low", "_high", "_low_ms", "_high_ms"))
    return pytest.approx(float(value), rel=1e-7 if is_end else 1e-9, abs=1e-7 if is_end else 1e-12)


# --- rows


def result(number: int, **given: Any) -> Row:
    return {
        "id": f"r{number:05}", "run_id": "run", "provider": "acme", "model": "acme/small", "is_simulated": False, "domain": "math",
        "outcome": "ok", "success": True, "token_source": "provider", "total_latency_ms": 100.0, "created_at": at(AS_OF),
    } | given  # fmt: skip


def live(number: int, **given: Any) -> Row:
    return {
        "id": f"e{number:05}",
        "model": "acme/small",
        "is_simulated": False,
        "success": True,
        "created_at": at(AS_OF),
    } | given


def vote(number: int, **given: Any) -> Row:
    return {
        "id": f"v{number:05}", "message_id": f"m{number}", "user_id": "u", "model": "acme/small", "is_simulated": False,
        "feedback_type": "explicit", "rating": 0.5, "created_at": at(AS_OF - timedelta(days=1)),
    } | given  # fmt: skip


def at(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def measure(dice: random.Random) -> float | None:
    """Mostly a plausible number; at times none, at times one that no clock gives."""
    what = dice.random()
    return (
        None
        if what < 0.1
        else dice.choice(STRANGE)
        if what < 0.12
        else dice.lognormvariate(5, dice.choice((0.2, 1, 2.5)))
    )


def moment(dice: random.Random, as_of: datetime) -> str | None:
    """Young and old, a few to come, a few unreadable; some told in another zone."""
    if dice.random() < 0.01:
        return "soon"
    age = timedelta(
        days=dice.choice((0, 0, 0, 1, 7, 30, 90)), hours=dice.choice((0, 0, 1)), minutes=dice.choice((0, 0, 31, -61))
    )
    made = as_of - age - timedelta(minutes=dice.randrange(30), microseconds=dice.randrange(3))
    return at(made.astimezone(datetime.strptime(dice.choice(("+0000", "+0530", "-0330")), "%z").tzinfo))


def results(dice: random.Random, count: int, first: int, as_of: datetime) -> list[Row]:
    return [
        result(
            first + number, run_id=f"run-{dice.randrange(8)}", provider=dice.choice(("acme", "globex", None)),
            model=dice.choice(("acme/small", "big", "small", "nobody/knows", "sim/small", None if dice.random() < 0.05 else "globex/big")),
            is_simulated=dice.choice((False, False, False, True, None if dice.random() < 0.05 else False)),
            domain=dice.choice((None, "math", "coding")), created_at=moment(dice, as_of), benchmark_id=dice.choice((None, "q")),
            outcome=dice.choice(("ok", "ok", "ok", "ok", "failed", "incomplete", "aborted", "skipped")), tps=measure(dice),
            total_latency_ms=measure(dice), ttft_ms=measure(dice), inter_token_p50_ms=measure(dice),
            token_source=dice.choice(("provider", "provider", "estimated", None)), correct=dice.choice((None, True, False)),
            input_tokens=dice.choice((None, 0, -1 if dice.random() < 0.05 else 7, dice.randrange(10**6))),
            output_tokens=dice.choice((None, 0, dice.randrange(10**4))), cached_input_tokens=dice.choice((None, 3, 10**7)),
            cost_usd=dice.choice((None, 0.0, dice.random() ** 5)), cost_source=dice.choice(("price", "provider", None)),
            price_id=dice.choice((None, "p1", "p2")), confidence=dice.choice((None, dice.random(), 1.5 if dice.random() < 0.1 else 1.0)),
            error_type=dice.choice((None, "server", "tls")), status_code=dice.choice((None, 429, 500)),
        )
        for number in range(count)
    ]  # fmt: skip


def requests(dice: random.Random, count: int, first: int, as_of: datetime) -> list[Row]:
    return [
        live(
            first + number, provider=dice.choice(("acme", None)), model=dice.choice(("acme/big", "small", "big", "who")),
            domain=dice.choice((None, None, "math")), task_type=dice.choice((None, "code", "chat", "dance")),
            success=dice.choice((True, True, True, False, None)), latency_ms=measure(dice), ttft_ms=measure(dice),
            tokens_input=dice.choice((None, 5, 10**13)), tokens_output=dice.choice((None, 50)), cost=dice.choice((None, 0.25, measure(dice))),
            confidence=dice.choice((None, dice.random())), cache_hit=dice.choice((None, True, False)), created_at=moment(dice, as_of),
            tenant_id=dice.choice((None, "north", "south")), error_type=dice.choice((None, "timeout")),
        )
        for number in range(count)
    ]  # fmt: skip


def opinions(dice: random.Random, count: int, first: int, as_of: datetime) -> list[Row]:
    """Of users and tenants, and of nobody; said, told by what was done, and of models on themselves; some of them still to come."""
    return [
        vote(
            first + number, message_id=f"m{dice.randrange(9)}", user_id=dice.choice(("u", "v", None)), tenant_id=dice.choice(("north", "south", None)),
            feedback_type=dice.choice(("explicit", "implicit", "self_eval")),
            model=dice.choice(("acme/small", "big", "small")), rating=dice.choice((0.0, 1.0, dice.random(), dice.choice(STRANGE), None)),
            task_type=dice.choice((None, "code")), agent_id=dice.choice((None, "helper")), is_simulated=dice.random() < 0.1,
            created_at=at(as_of - timedelta(hours=dice.choice((-1, 0, 1, 30, 30, 80, 900)), microseconds=dice.randrange(2))),
        )
        for number in range(count)
    ]  # fmt: skip


def prices(dice: random.Random, as_of: datetime) -> list[Row]:
    """Of every source, some at the same moment, some in quarantine, some to come; some that are no price."""
    return [
        {"id": f"p-{number:03}", "model_id": dice.choice(MODELS)["id"], "input_price_per_m": dice.choice((None, dice.random(), dice.choice(STRANGE[1:]))),
         "output_price_per_m": dice.choice((None, 0.0, 3.5)), "cached_input_price_per_m": dice.choice((None, 0.01)),
         "source": dice.choice(("provider_api", "genai-prices", "admin")), "quarantine_reason": dice.choice((None, None, "a leap")),
         "timestamp": at(as_of - timedelta(hours=dice.choice((-1, 0, 0, 5, 500))))}
        for number in range(30)
    ]  # fmt: skip


def corrections(dice: random.Random, first: int) -> list[Row]:
    return [
        {
            "id": f"f{first + number}", "price_id": dice.choice(("p1", "p3")), "input_price_per_m": dice.random(),
            "output_price_per_m": dice.random(), "cached_input_price_per_m": dice.choice((None, 0.01)),
            "created_at": at(AS_OF - timedelta(days=dice.randrange(3))),
        }
        for number in range(2)
    ]  # fmt: skip


# --- claims


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
