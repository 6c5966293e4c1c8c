"""Made worlds: stores of rows that no real one would take, scored as rows come in, and compared with the second implementation."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from proof import plain, plain_learned, plain_marts, plain_votes
from proof.plain import Row, World
from proof.plain_beliefs import Add, in_steps

from analytics.lake import DIMENSIONS, EVENTS, Lake
from analytics.scoring import ScoreReport, VoteCaps, score
from analytics.scoring.tables import compute

AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
CATALOG = [
    {"id": f"{provider}/{name}", "provider_id": provider, "external_id": name, "is_simulated": is_simulated, "priority": priority}
    for provider, name, is_simulated, priority in (
        ("acme", "small", False, 90), ("acme", "big", False, None), ("globex", "big", False, 20), ("sim", "small", True, 70),
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

    def __init__(
        self,
        folder: Path,
        as_of: datetime = AS_OF,
        caps: VoteCaps = USUAL,
        half_life: float = 60.0,
        catalog: Sequence[Row] = CATALOG,
        tasks: Sequence[tuple[str, str]] = TASKS,
    ) -> None:
        mapped = [{"id": f"{task}-{domain}", "task_type": task, "domain": domain} for task, domain in tasks]
        self.half_life = half_life
        self.store = Made(
            dimensions={
                "catalog": catalog, "task_domains": mapped, "providers": PROVIDERS, "models": MODELS, "prices": prices(random.Random(3), as_of)
            }
        )  # fmt: skip
        self.lake, self.scoring, self.as_of, self.caps = Lake(folder / "lake"), folder / "scoring", as_of, caps

    def feed(self, **came: Sequence[Row]) -> ScoreReport:
        for table, rows in came.items():
            self.store.rows.setdefault(table, []).extend(rows)
        self.lake.extract(self.store)
        return score(self.lake, self.scoring, self.as_of, half_life_days=self.half_life, caps=self.caps)

    @property
    def world(self) -> World:
        return World({**self.store.rows, **self.store.dimensions}, self.as_of)

    @property
    def plain_caps(self) -> plain_votes.Caps:
        shares = (Fraction(str(share)) for share in (self.caps.user_share, self.caps.tenant_share))
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
            )
            known = plain_learned.learned_experience(self.learning(kind))
            routed = plain_marts.routing_scores(self.world, kind, self.plain_caps, metrics, known)
            same(tables["routing_scores"], ("model", "scope", "task_type", "tenant_id", "agent"), routed)
            same(self.learned(kind), ("model", "task_type", "tenant_id", "agent"), known)

    def learning(self, kind: bool, add: Add = in_steps) -> plain_learned.Learning:
        """What the second implementation makes of the ratings."""
        return plain_learned.Learning(self.world, kind, self.plain_caps, self.half_life, add)

    def learned(self, kind: bool) -> list[Row]:
        """`learned_experience`, which is published as columns of `routing_scores` alone."""
        values = {"is_simulated": kind, "as_of": self.as_of, "half_life_days": self.half_life, **asdict(self.caps)}
        given = {name: self.lake.read(name).rows for name in (*EVENTS, *DIMENSIONS)}
        rows: list[Row] = compute(["learned_experience"], given, values)["learned_experience"].to_pylist()
        return rows


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


def same(found: Sequence[Row], keys: Sequence[str], expected: Mapping[Any, Row]) -> None:
    """The same rows with the same columns."""
    by_key = {tuple(row[key] for key in keys) if len(keys) > 1 else row[keys[0]]: row for row in found}
    assert len(by_key) == len(found)
    assert set(by_key) == set(expected)
    for key, wanted in expected.items():
        row = by_key[key]
        assert set(row) - {*keys, "is_simulated"} == set(wanted)
        for name, value in wanted.items():
            assert row[name] == _about(name, value), (key, name, row[name], value)


def _about(name: str, value: Any) -> Any:
    if value is None or not isinstance(value, (float, Fraction)):
        return value
    if "_p50" in name or "_p95" in name or "_p99" in name:
        return pytest.approx(float(value), rel=0.010001, abs=1e-12)
    # ends of a mean's interval come from the skewness of a histogram: floating point, summed in another order
    is_end = ("_mean_low" in name or "_mean_high" in name) and not name.startswith("rating")
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
