"""The slow, obvious second implementation of routing: plain rows, plain loops, one model at a time.

It shares no code with the lookup. Given the rows that were published, it says which model is right, which fallbacks,
and how many models each reason rejected.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import NormalDist
from typing import Any

from routing.full_scan_world import FIELDS, NAMES, TIERS, Row, Rules, World, rules_of

from analytics.routing import RouteQuery


@dataclass
class Expected:
    model: str | None
    score: float | None
    fallbacks: list[str]
    rejected: dict[str, int]
    relax: dict[str, int]


Known = tuple[float, float, float, float]  # quality, what it is worth in ratings, its standard error, and its exact n


def learned(world: World, query: RouteQuery, key: str) -> Known | None:
    """The same as it was shrunk: an agent's or a tenant's row, everyone's, or for an unheard-of task the whole record."""
    found = None
    if query.task is not None:
        who = [(query.agent, query.tenant), (query.agent, None)] if query.agent else []
        who += [(None, query.tenant)] if query.tenant else []
        for agent, tenant in [*who, (None, None)]:
            found = found or shrunk(world.row(key, "task", query.task, agent, tenant))
    return found or shrunk(world.row(key, "overall", None))


def shrunk(row: Row | None) -> Known | None:
    if row is None or row["learned_quality"] is None:
        return None
    return row["learned_quality"], row["learned_n"], row["learned_se"], float(row["quality_n"] or 0)


def experience(world: World, query: RouteQuery, key: str, *, fades: bool) -> Known | None:
    """What is known of a model: shrunk for policies that fade, else the narrowest plain mean there is."""
    if fades and world.is_learned and query.domain is None:
        return learned(world, query, key)
    known = plain(world, query, key)
    return None if known is None else (*known, known[1])


def plain(world: World, query: RouteQuery, key: str) -> tuple[float, float, float] | None:
    """Quality, n and standard error of the narrowest evidence there is."""
    if query.task is None and query.domain is None:
        return rated(world.row(key, "overall", None))
    if query.task is not None:
        who = [(query.agent, query.tenant), (query.agent, None)] if query.agent else []
        who += [(None, query.tenant)] if query.tenant else []
        for agent, tenant in who:
            if own := rated(world.row(key, "task", query.task, agent, tenant), feedback=True):
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


def tests(
    world: World, query: RouteQuery, limits: Mapping[str, Any], model: Row, *, fades: bool
) -> list[tuple[str, bool]]:
    """Every limit that is set, in order, and whether the model passes it."""
    key, provider = model["id"], model["provider_id"]
    whole = world.row(key, "overall", None) or {}
    known = experience(world, query, key, fades=fades)
    usd = cost(model, query) if query.input_tokens is not None else whole.get("cost_per_query")
    tier = None if model["cost_tier"] is None else TIERS.index(model["cost_tier"])

    def low_enough(value: float | None, bound: float) -> bool:
        return query.allow_unknown if value is None else value <= bound

    def high_enough(value: float | None, bound: float) -> bool:
        return query.allow_unknown if value is None else value >= bound

    def cheap_enough(prices: Any) -> bool:
        pairs = zip((model["pricing_input"], model["pricing_output"]), prices, strict=True)
        return all(bound is None or low_enough(price, bound) for price, bound in pairs)

    capabilities = model["capabilities"]
    passes: dict[str, Callable[[Any], bool]] = {
        "allow": lambda keys: key in keys,
        "deny": lambda keys: key not in keys,
        "only": lambda names: provider in names,
        "ignore": lambda names: provider not in names,
        "need": lambda names: set(names) <= set(capabilities) if capabilities else query.allow_unknown,
        "max_tier": lambda name: low_enough(tier, TIERS.index(name)),
        "max_price": cheap_enough,
        "max_usd_per_query": lambda bound: low_enough(usd, bound),
        "min_context": lambda bound: high_enough(model["ctx_length"], bound),
        "max_ttft_p95_ms": lambda bound: low_enough(whole.get("ttft_p95_ms"), bound),
        "max_latency_p95_ms": lambda bound: low_enough(whole.get("latency_p95_ms"), bound),
        "min_tps": lambda bound: high_enough(whole.get("tps_mean"), bound),
        "max_failure_rate": lambda bound: low_enough(whole.get("failure_rate"), bound),
        "min_quality": lambda bound: high_enough(known[0] if known else None, bound),
        "min_samples": lambda bound: high_enough(known[3] if known else None, bound),
        "max_age_s": lambda bound: high_enough(world.seen.get(key), world.now - bound),
    }
    return [(field, passes[field](limits[field])) for field in FIELDS if field in limits]


def unusable(world: World, query: RouteQuery, model: Row) -> str | None:
    """The first reason in order that is no limit of the query."""
    key, whole = model["id"], world.row(model["id"], "overall", None) or {}
    row = agent_row(world, query, key) or {}
    of_tenant, of_role = world.of_tenant.get(query.tenant, set()), set()
    for tenant in {None, query.tenant}:
        of_role |= world.of_role.get((tenant, query.role), set())
    reasons = {
        "unavailable": not model["is_available"],
        "disabled": not model["is_enabled"],
        "model_type": model["model_type"] != query.model_type,
        "agent": query.agent is not None and not row.get("is_enabled"),
        "tenant": bool(of_tenant) and key not in of_tenant,
        "role": query.role is not None and key not in of_role,
        "failing": whole.get("failure_rate") == 1 and (whole["requests"] or 0) >= 3,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def expected_loss(gap: float, se: float) -> float:
    if se == 0:
        return max(gap, 0.0)
    normal = NormalDist()
    return gap * normal.cdf(gap / se) + se * normal.pdf(gap / se)


@dataclass
class Rated:
    model: Row
    score: float
    known: Known | None
    cost: float | None
    sorting: float


def rate(world: World, query: RouteQuery, rules: Rules, model: Row) -> Rated:
    known = experience(world, query, model["id"], fades=rules.fades_k is not None)
    override = None
    if query.agent is not None:
        override = (agent_row(world, query, model["id"]) or {}).get("priority_override")
    base = (model["priority"] if override is None else override) / 100
    whole = world.row(model["id"], "overall", None) or {}
    weight = {name: rules.weights.get(name, 0.0) for name in NAMES}
    if known is None:
        score = (weight["priority"] + weight["quality"]) * base
    else:
        share = faded(rules, known[1])
        score = share * base + (weight["quality"] + (weight["priority"] - share)) * known[0]
    slow, price, failures = whole.get("latency_p50_ms"), blended(model), whole.get("failure_rate")
    score += weight["latency"] * (0 if slow is None else 2_000 / (2_000 + slow))
    score += weight["cost"] * (0 if price is None else 1 / (1 + price))
    score += weight["reliability"] * (0 if failures is None else 1 - failures)
    figures = {
        "price": cost(model, query),
        "latency": slow,
        "throughput": None if whole.get("tps_mean") is None else -whole["tps_mean"],
        "quality": -known[0] if known else None,
        None: 0,
    }
    figure = figures[rules.sort]
    return Rated(model, score, known, cost(model, query), inf if figure is None else figure)


def faded(rules: Rules, n: float) -> float:
    weight = rules.weights.get("priority", 0.0)
    return weight if rules.fades_k is None else weight * rules.fades_k / (rules.fades_k + n)


def ties(rules: Rules, best: Rated, other: Rated) -> bool:
    if other.score == best.score:
        return True
    if best.known is None or other.known is None:
        return False
    weight = rules.weights.get("quality", 0.0) + (rules.weights.get("priority", 0.0) - faded(rules, best.known[1]))
    if weight <= 0:
        return False
    gap = max(best.known[0] - other.known[0], (best.score - other.score) / weight)
    return expected_loss(gap, sqrt(best.known[2] ** 2 + other.known[2] ** 2)) < rules.tie_delta


def place_of(session: str, key: str) -> bytes:
    """A model's place in a session's own order: the highest is the session's."""
    return hashlib.blake2b(f"{len(session)}:{session}{key}".encode(), digest_size=16).digest()


def kept(rules: Rules, best: Rated, own: Rated) -> bool:
    """Whether a session stays with the model that it had."""
    if rules.sort is not None:
        return own.sorting == best.sorting
    lost = best.score - own.score
    if best.known is not None and own.known is not None and lost > 0:
        weight = rules.weights.get("quality", 0.0) + (rules.weights.get("priority", 0.0) - faded(rules, best.known[1]))
        if weight > 0:
            gap = max(best.known[0] - own.known[0], lost / weight)
            lost = expected_loss(gap, sqrt(best.known[2] ** 2 + own.known[2] ** 2))
    return lost < 5 * rules.tie_delta or (lost <= 0)


def of_session(query: RouteQuery, rules: Rules, fitting: Sequence[Rated]) -> Rated:
    """The session's own model where it may stay, else the first in the session's order of those as good as the best and no dearer."""
    best, rest = fitting[0], fitting[1:]
    alike = [best]
    if rules.sort is None and best.cost is not None:
        alike += [e for e in rest if e.cost is not None and e.cost <= best.cost and ties(rules, best, e)]
    own = [entry for entry in fitting if entry.model["id"] == query.session_model]
    if own and (own[0] is best or kept(rules, best, own[0]) or any(own[0] is entry for entry in alike)):
        return own[0]
    return max(alike, key=lambda entry: place_of(query.session or "", entry.model["id"]))


def route(world: World, query: RouteQuery) -> Expected:
    rules = rules_of(world, query)
    rejected: dict[str, int] = {}
    fitting, failing = [], []
    for model in world.models:
        reason = unusable(world, query, model)
        if reason is None:
            failed = [
                name
                for name, passed in tests(world, query, rules.limits, model, fades=rules.fades_k is not None)
                if not passed
            ]
            reason = failed[0] if failed else None
            if len(failed) == 1:
                failing.append(failed[0])
        if reason is None:
            fitting.append(rate(world, query, rules, model))
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
    if query.session is not None:
        winner = of_session(query, rules, fitting)
    elif rules.sort is None and winner.cost is not None:
        tied = [e for e in fitting[1:] if e.cost is not None and e.cost < winner.cost and ties(rules, winner, e)]
        if tied:
            winner = min(tied, key=lambda entry: entry.cost or 0.0)
    others = [entry for entry in fitting if entry is not winner]
    others.sort(key=lambda entry: entry.model["provider_id"] == winner.model["provider_id"])
    fallbacks = [entry.model["id"] for entry in others[: query.top - 1]]
    return Expected(winner.model["id"], winner.score, fallbacks, rejected, {})
