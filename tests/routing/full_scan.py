"""The slow, obvious second implementation of routing: plain rows, plain loops, one model at a time.

It shares no code with the lookup. Given the rows that were published, it says which model is right, which fallbacks,
and how many models each reason rejected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, sqrt
from statistics import NormalDist
from typing import Any

from analytics.routing import RouteQuery

Row = Mapping[str, Any]
TIERS = ["free", "low", "standard", "premium"]


@dataclass
class World:
    models: Sequence[Row]
    agents: Sequence[Row]
    tasks: Sequence[tuple[str, str]]
    scores: Sequence[Row]
    now: float
    priority_weight: float = 0.3
    quality_weight: float = 0.7
    tie_delta: float = 0.01

    def row(self, model: str, scope: str, name: str | None, agent: str | None = None) -> Row | None:
        return self.by_key.get((model, scope, name, agent))

    @cached_property
    def by_key(self) -> dict[tuple[Any, ...], Row]:
        return {(row["model"], row["scope"], row["task_type"], row["agent"]): row for row in self.scores}

    @cached_property
    def seen(self) -> dict[str, float]:
        latest: dict[str, float] = {}
        for row in self.scores:
            if row["last_seen"]:
                latest[row["model"]] = max(latest.get(row["model"], 0), row["last_seen"].timestamp())
        return latest

    @cached_property
    def of_agent(self) -> dict[tuple[str, str], Row]:
        return {(row["agent"], row["model"]): row for row in self.agents}


@dataclass
class Expected:
    model: str | None
    score: float | None
    fallbacks: list[str]
    rejected: dict[str, int]
    relax: dict[str, int]


def experience(world: World, query: RouteQuery, key: str) -> tuple[float, float, float] | None:
    """Quality, n and standard error of the narrowest evidence there is."""
    if query.task is None and query.domain is None:
        return rated(world.row(key, "overall", None))
    if query.task is not None:
        if query.agent is not None and (own := rated(world.row(key, "task", query.task, query.agent), feedback=True)):
            return own
        if everyone := rated(world.row(key, "task", query.task), feedback=True):
            return everyone
    domains = [query.domain] if query.domain is not None else sorted(d for t, d in world.tasks if t == query.task)
    rows = [found for domain in domains if (found := rated(world.row(key, "domain", domain)))]
    if not rows:
        return None
    if len(rows) == 1:
        return rows[0]
    n = sum(row[1] for row in rows)
    return sum(row[1] * row[0] for row in rows) / n, n, sqrt(sum((row[1] * row[2]) ** 2 for row in rows)) / n


def rated(row: Row | None, *, feedback: bool = False) -> tuple[float, float, float] | None:
    if row is None or row["quality"] is None or not row["quality_n"]:
        return None
    if feedback and row["evidence"] == "benchmark":
        return None
    se = row["quality_se"]
    return row["quality"], float(row["quality_n"]), 0.5 / sqrt(row["quality_n"]) if se is None else se


def blended(model: Row) -> float | None:
    low, high = model["pricing_input"], model["pricing_output"]
    return None if low is None or high is None else (3 * low + high) / 4


def cost(model: Row, query: RouteQuery) -> float | None:
    if query.input_tokens is None or query.output_tokens is None:
        return blended(model)
    low, high = model["pricing_input"], model["pricing_output"]
    return None if low is None or high is None else (query.input_tokens * low + query.output_tokens * high) / 1e6


def agent_row(world: World, query: RouteQuery, key: str) -> Row | None:
    row = world.of_agent.get((query.agent or "", key))
    return row if row is not None and (query.tenant is None or row["tenant_id"] in (None, query.tenant)) else None


def tests(world: World, query: RouteQuery, model: Row) -> list[tuple[str, bool]]:
    """Every limit that is set, in order, and whether the model passes it."""
    key, provider = model["id"], model["provider_id"]
    whole = world.row(key, "overall", None) or {}
    known = experience(world, query, key)
    usd = cost(model, query) if query.input_tokens is not None else whole.get("cost_per_query")
    tier = None if model["cost_tier"] is None else TIERS.index(model["cost_tier"])

    def low_enough(value: float | None, bound: float) -> bool:
        return query.allow_unknown if value is None else value <= bound

    def high_enough(value: float | None, bound: float) -> bool:
        return query.allow_unknown if value is None else value >= bound

    found: list[tuple[str, bool]] = []
    if query.allow is not None:
        found.append(("allow", key in query.allow))
    if query.deny:
        found.append(("deny", key not in query.deny))
    if query.only is not None:
        found.append(("only", provider in query.only))
    if query.ignore:
        found.append(("ignore", provider not in query.ignore))
    if query.need:
        capabilities = model["capabilities"]
        found.append(("need", set(query.need) <= set(capabilities) if capabilities else query.allow_unknown))
    if query.max_tier is not None:
        found.append(("max_tier", low_enough(tier, TIERS.index(query.max_tier))))
    if query.max_usd_per_query is not None:
        found.append(("max_usd_per_query", low_enough(usd, query.max_usd_per_query)))
    if query.min_context is not None:
        found.append(("min_context", high_enough(model["ctx_length"], query.min_context)))
    if query.max_ttft_p95_ms is not None:
        found.append(("max_ttft_p95_ms", low_enough(whole.get("ttft_p95_ms"), query.max_ttft_p95_ms)))
    if query.max_latency_p95_ms is not None:
        found.append(("max_latency_p95_ms", low_enough(whole.get("latency_p95_ms"), query.max_latency_p95_ms)))
    if query.min_tps is not None:
        found.append(("min_tps", high_enough(whole.get("tps_mean"), query.min_tps)))
    if query.max_failure_rate is not None:
        found.append(("max_failure_rate", low_enough(whole.get("failure_rate"), query.max_failure_rate)))
    if query.min_quality is not None:
        found.append(("min_quality", high_enough(known[0] if known else None, query.min_quality)))
    if query.min_samples is not None:
        found.append(("min_samples", high_enough(known[1] if known else None, query.min_samples)))
    if query.max_age_s is not None:
        found.append(("max_age_s", high_enough(world.seen.get(key), world.now - query.max_age_s)))
    return found


def unusable(world: World, query: RouteQuery, model: Row) -> str | None:
    if not model["is_available"]:
        return "unavailable"
    if not model["is_enabled"]:
        return "disabled"
    if model["model_type"] != query.model_type:
        return "model_type"
    if query.agent is not None:
        row = agent_row(world, query, model["id"])
        if row is None or not row["is_enabled"]:
            return "agent"
    whole = world.row(model["id"], "overall", None) or {}
    if whole.get("failure_rate") == 1 and (whole["requests"] or 0) >= 3:
        return "failing"
    return None


def expected_loss(gap: float, se: float) -> float:
    if se == 0:
        return max(gap, 0.0)
    normal = NormalDist()
    return gap * normal.cdf(gap / se) + se * normal.pdf(gap / se)


@dataclass
class Rated:
    model: Row
    score: float
    known: tuple[float, float, float] | None
    cost: float | None
    sorting: float


def rate(world: World, query: RouteQuery, model: Row) -> Rated:
    known = experience(world, query, model["id"])
    override = None
    if query.agent is not None:
        override = (agent_row(world, query, model["id"]) or {}).get("priority_override")
    base = (model["priority"] if override is None else override) / 100
    score = world.priority_weight * base + world.quality_weight * known[0] if known else base
    whole = world.row(model["id"], "overall", None) or {}
    figures = {
        "price": cost(model, query),
        "latency": whole.get("latency_p50_ms"),
        "throughput": None if whole.get("tps_mean") is None else -whole["tps_mean"],
        "quality": -known[0] if known else None,
        None: 0,
    }
    figure = figures[query.sort]
    return Rated(model, score, known, cost(model, query), inf if figure is None else figure)


def ties(world: World, best: Rated, other: Rated) -> bool:
    if other.score == best.score:
        return True
    if best.known is None or other.known is None:
        return False
    gap = max(best.known[0] - other.known[0], (best.score - other.score) / world.quality_weight)
    return expected_loss(gap, sqrt(best.known[2] ** 2 + other.known[2] ** 2)) < world.tie_delta


def route(world: World, query: RouteQuery) -> Expected:
    rejected: dict[str, int] = {}
    fitting, failing = [], []
    for model in world.models:
        reason = unusable(world, query, model)
        if reason is None:
            failed = [name for name, passed in tests(world, query, model) if not passed]
            reason = failed[0] if failed else None
            if len(failed) == 1:
                failing.append(failed[0])
        if reason is None:
            fitting.append(rate(world, query, model))
        else:
            rejected[reason] = rejected.get(reason, 0) + 1
    if not fitting:
        return Expected(None, None, [], rejected, {name: failing.count(name) for name in failing})

    def rank(entry: Rated) -> tuple[float, float, float, float, str]:
        price = blended(entry.model)
        failures = (world.row(entry.model["id"], "overall", None) or {}).get("failure_rate")
        return (
            entry.sorting,
            -entry.score,
            inf if price is None else price,
            inf if failures is None else failures,
            entry.model["id"],
        )

    fitting.sort(key=rank)
    winner = fitting[0]
    if query.sort is None and winner.cost is not None:
        tied = [e for e in fitting[1:] if e.cost is not None and e.cost < winner.cost and ties(world, winner, e)]
        if tied:
            winner = min(tied, key=lambda entry: entry.cost or 0.0)
    others = [entry for entry in fitting if entry is not winner]
    others.sort(key=lambda entry: entry.model["provider_id"] == winner.model["provider_id"])
    fallbacks = [entry.model["id"] for entry in others[: query.top - 1]]
    return Expected(winner.model["id"], winner.score, fallbacks, rejected, {})
