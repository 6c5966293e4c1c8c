"""The tables by hour and day once more, slowly and obviously, over raw rows."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from proof.plain import Row, World, Z, both, counted, grouped, hour_of, mean, rounded, time_of, wilson
from proof.plain_votes import Caps, experience, votes


def errors_of(group: Sequence[Row]) -> int:
    return sum(row["outcome"] in {"failed", "incomplete"} for row in group)


def timings(group: Sequence[Row], measure: str) -> list[int]:
    """Hundredths, of answers that came whole and from the model."""
    return [
        rounded(row[measure], 100)
        for row in group
        if row["outcome"] == "ok" and not row["cache_hit"] and row[measure] is not None
    ]


def costs_of(group: Sequence[Row]) -> list[int]:
    return [rounded(row["cost"], 10**9) for row in group if row["cost"] is not None]


def total(steps: Sequence[int], of: int) -> Fraction | None:
    return Fraction(sum(steps), of) if steps else None


def tokens_of(group: Sequence[Row]) -> list[int]:
    return [sums for row in group if (sums := both(row)) is not None]


def hourly_trends(world: World, kind: bool) -> dict[tuple[datetime, str, str | None], Row]:
    first = world.last_hour - timedelta(days=7)
    recent = [row for row in counted(world, kind) if hour_of(row["at"]) >= first]
    found = {}
    for key, group in grouped(recent, lambda row: (hour_of(row["at"]), row["source"], row["provider"])).items():
        latency, ttft, tps = (timings(group, measure) for measure in ("latency", "ttft", "tps"))
        found[key] = {
            "requests": len(group), "succeeded": sum(row["outcome"] == "ok" for row in group), "errors": errors_of(group),
            "error_rate": Fraction(errors_of(group), len(group)), "latency_n": len(latency), "latency_ms": mean(latency, 100),
            "ttft_n": len(ttft), "ttft_ms": mean(ttft, 100), "tps_n": len(tps), "tps": mean(tps, 100),
            "requests_without_cost": sum(row["cost"] is None for row in group), "total_cost": total(costs_of(group), 10**9),
        }  # fmt: skip
    return found


def error_breakdown(world: World, kind: bool) -> dict[tuple[Any, ...], Row]:
    first = world.as_of.date() - timedelta(days=7)
    requests = counted(world, kind)
    of_provider = grouped(requests, lambda row: (row["at"].date(), row["source"], row["provider"]))
    bad = [row for row in requests if row["outcome"] in {"failed", "incomplete"} and row["at"].date() >= first]

    def named(row: Row) -> tuple[Any, ...]:
        told = (row["key"], row["outcome"], row["error_type"], row["status_code"])
        return row["at"].date(), row["source"], row["provider"], *told

    return {
        key: {
            "errors": len(group),
            "provider_requests": len(of_provider[key[:3]]),
            "error_rate": Fraction(len(group), len(of_provider[key[:3]])),
        }
        for key, group in grouped(bad, named).items()
    }


def organization_daily(world: World, kind: bool) -> dict[tuple[date, str | None], Row]:
    first = world.as_of.date() - timedelta(days=90)
    live = [row for row in counted(world, kind) if row["source"] == "live" and row["at"].date() >= first]
    return {
        key: {
            "requests": len(group),
            "errors": errors_of(group),
            "error_rate": Fraction(errors_of(group), len(group)),
            "requests_without_cost": sum(row["cost"] is None for row in group),
            "total_cost": total(costs_of(group), 10**9),
            "total_tokens": sum(tokens_of(group)) if tokens_of(group) else None,
            "latency_ms": mean(timings(group, "latency"), 100),
        }
        for key, group in grouped(live, lambda row: (row["at"].date(), row["tenant"])).items()
    }


def price_history(world: World, kind: bool) -> dict[str, Row]:
    found: dict[str, Row] = {}
    owner = {row["id"]: row for row in world["providers"]}
    models = {row["id"]: row for row in world["models"] if owner[row["provider_id"]]["is_simulated"] == kind}
    known = [row for row in world["prices"] if row["model_id"] in models and moment_of(row) <= world.as_of]
    for row in known:
        held = row.get("quarantine_reason") is None
        rivals = [other for other in known if other["model_id"] == row["model_id"] and held]
        later = [
            moment_of(other)
            for other in rivals
            if other.get("quarantine_reason") is None and (moment_of(other), other["id"]) > (moment_of(row), row["id"])
        ]
        model = models[row["model_id"]]
        found[row["id"]] = {
            "model": model["key"], "provider": owner[model["provider_id"]]["key"], "timestamp": moment_of(row),
            "input_price_per_m": row.get("input_price_per_m"), "output_price_per_m": row.get("output_price_per_m"),
            "cached_input_price_per_m": row.get("cached_input_price_per_m"), "source": row["source"],
            "is_estimated": row["source"] == "genai-prices", "quarantine_reason": row.get("quarantine_reason"),
            "valid_until": min(later) if later else None,
        }  # fmt: skip
    return found


def moment_of(row: Row) -> datetime:
    moment = time_of(row["timestamp"])
    assert moment is not None
    return moment


def model_totals(world: World, kind: bool) -> dict[str, Row]:
    return {
        model: {
            "total_requests": len(group),
            "total_tokens": sum(tokens_of(group)) if tokens_of(group) else None,
            "total_cost": total(costs_of(group), 10**9),
            "avg_latency": mean(timings(group, "latency"), 100),
            "last_updated": max(row["at"] for row in group),
        }
        for model, group in grouped(counted(world, kind), lambda row: row["key"]).items()
    }


def model_performance_history(world: World, kind: bool) -> dict[tuple[str, str | None, date], Row]:
    requests = counted(world, kind)
    days = grouped(requests, lambda row: (row["key"], row["in_domain"], row["at"].date()))
    days |= grouped(requests, lambda row: (row["key"], None, row["at"].date()))
    rated = grouped(votes(world, kind), lambda row: (row["key"], None, row["at"].date()))
    found: dict[Any, Row] = {}
    for key in {*days, *rated}:
        group, said = days.get(key, []), [rounded(row["rating"], 10**6) for row in rated.get(key, [])]
        marks = [int(row["correct"]) for row in group if row["correct"] is not None]
        found[key] = {
            "usage_count": len(group), "accuracy": mean(marks), "failure_rate": Fraction(errors_of(group), len(group)) if group else None,
            "latency_ms": mean(timings(group, "latency"), 100), "ttft_ms": mean(timings(group, "ttft"), 100),
            "tps": mean(timings(group, "tps"), 100), "cost_per_query": mean(costs_of(group), 10**9),
            "tokens_per_query": mean(tokens_of(group)), "avg_rating": mean(said, 10**6),
            "rating_count": len(said) if key[1] is None else None,
        }  # fmt: skip
    return found


OPERATIONAL = (
    "failure_rate",
    "latency_p50_ms",
    "latency_p95_ms",
    "ttft_p50_ms",
    "ttft_p95_ms",
    "tps_mean",
    "cost_per_query",
)
LEARNED = {name: name for name in ("learned_quality", "learned_se", "learned_n", "own_share")} | {
    "learned_basis": "basis"
}


def routing_scores(
    world: World, kind: bool, caps: Caps, metrics: Mapping[Any, Row], learned: Mapping[Any, Row]
) -> dict[tuple[Any, ...], Row]:
    """By model, scope, task, tenant and agent, out of what is known by window (`metrics`) and what was learned."""
    found: dict[Any, Row] = {}
    for (model, task, *who), row in experience(world, kind, caps).items():
        said, marked = row["rating_n"], row["graded"]
        if task is None:
            quality, n = ((row["rating_mean"] or 0) * said + row["correct"]) / (said + marked), said + marked
            evidence = "mixed" if said and marked else "feedback" if said else "benchmark"
        else:
            quality, n, evidence = (
                (row["rating_mean"], said, "feedback") if said else (row["accuracy"], marked, "benchmark")
            )
        scope = "overall" if task is None else "task"
        used = 0 if scope == "overall" and who == [None, None] else None
        found[model, scope, task, *who] = scored(quality, n, evidence, used, row["last_seen"])
    for (model, domain, window), row in metrics.items():
        if window == "all" and domain is not None and row["graded"]:
            figures = scored(row["accuracy"], row["graded"], "benchmark", row["usage_count"], row["last_updated"])
            found[model, "domain", domain, None, None] = figures
        elif window == "all" and domain is None:
            of_model = found.setdefault((model, "overall", None, None, None), scored(None, 0, None, None, None))
            seen = {row["last_updated"], of_model["last_seen"]} - {None}
            of_model |= {"usage_count": row["usage_count"], "last_seen": max(seen)}
            days = next((days for days in (7, 30, 90) if (model, None, f"{days}d") in metrics), None)
            recent = metrics.get((model, None, f"{days}d"))
            if recent is not None:
                of_model |= {"window_days": days, "requests": recent["usage_count"]} | {
                    name: recent[name] for name in OPERATIONAL
                }
    for (model, task, *who), row in learned.items():
        key = (model, "overall" if task is None else "task", task, *who)
        reach = Z * row["learned_se"]
        found.setdefault(key, scored(None, 0, None, None, None)).update(
            {name: row[told] for name, told in LEARNED.items()},
            learned_low=max(0.0, row["learned_quality"] - reach), learned_high=min(1.0, row["learned_quality"] + reach),
        )  # fmt: skip
    return found


def scored(quality: Any, n: int, evidence: str | None, usage_count: int | None, last_seen: datetime | None) -> Row:
    """The columns of a mean of n shares; the others empty."""
    low, high = wilson(quality, n)
    return {
        **dict.fromkeys((*LEARNED, "learned_low", "learned_high", "window_days", "requests", *OPERATIONAL)),
        "quality": quality, "quality_n": n, "quality_se": None if low is None or high is None else (high - low) / 2 / Z,
        "quality_low": low, "quality_high": high, "evidence": evidence, "usage_count": usage_count, "last_seen": last_seen,
    }  # fmt: skip
