"""The full scan once more, whole columns at a time, so that large catalogs can be scanned for many questions.

It has the rules of `full_scan`, from which it takes the policies' and against which it is tested; of the lookup it shares
nothing: no order, no index, no set that outlives a question.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from routing.full_scan import Expected, agent_row, expected_loss, place_of
from routing.full_scan_world import FIELDS, NAMES, TIERS, World, rules_of

from analytics.routing import RouteQuery


class Columns:
    """A world's rows as columns in the order of the models' keys, NaN for unknown."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.models = sorted(world.models, key=lambda row: row["id"])
        self.keys = np.array([row["id"] for row in self.models])
        whole = [world.row(key, "overall", None) or {} for key in self.keys.tolist()]
        self.providers = np.array([row["provider_id"] for row in self.models])
        self.available = np.array([bool(row["is_available"]) for row in self.models])
        self.enabled = np.array([bool(row["is_enabled"]) for row in self.models])
        self.model_type = np.array([row["model_type"] for row in self.models])
        self.base = self.of(self.models, "priority")
        self.price_in, self.price_out = self.of(self.models, "pricing_input"), self.of(self.models, "pricing_output")
        self.blended = (3 * self.price_in + self.price_out) / 4
        self.context = self.of(self.models, "ctx_length")
        self.tier = np.array(
            [np.nan if row["cost_tier"] is None else TIERS.index(row["cost_tier"]) for row in self.models]
        )
        names = [
            "requests",
            "failure_rate",
            "latency_p50_ms",
            "latency_p95_ms",
            "ttft_p95_ms",
            "tps_mean",
            "cost_per_query",
        ]
        self.measured = {name: self.of(whole, name) for name in names}
        self.seen = np.array([world.seen.get(key, np.nan) for key in self.keys.tolist()])
        self.capable = {
            name: np.array([name in (row["capabilities"] or ()) for row in self.models])
            for name in {name for row in self.models for name in row["capabilities"] or ()}
        }
        self.incapable = np.array([not row["capabilities"] for row in self.models])
        self.place = {key: place for place, key in enumerate(self.keys.tolist())}
        self.everyones = lru_cache(maxsize=None)(self._everyones)

    @staticmethod
    def of(rows: Any, name: str) -> Any:
        return np.array([np.nan if row.get(name) is None else row[name] for row in rows], dtype=float)

    def named(self, keys: Any) -> Any:
        mask = np.zeros(len(self.keys), dtype=bool)
        mask[[self.place[key] for key in keys if key in self.place]] = True
        return mask

    def rows(self, scope: str, name: str | None, agent: str | None, tenant: str | None, *, feedback: bool) -> Any:
        """Quality, n and standard error of one kind of rows."""
        found = np.full((3, len(self.keys)), np.nan)
        for key, row in self.world.by_group.get((scope, name, agent, tenant), {}).items():
            at = self.place.get(key)
            if (
                at is None
                or row["quality"] is None
                or not row["quality_n"]
                or (feedback and row["evidence"] == "benchmark")
            ):
                continue
            n, se = row["quality_n"], row["quality_se"]
            found[:, at] = row["quality"], n, 0.5 / n**0.5 if se is None else se
        return found

    def _everyones(self, task: str | None, domain: str | None) -> Any:
        if task is None and domain is None:
            return self.rows("overall", None, None, None, feedback=False)
        domains = [domain] if domain is not None else sorted(name for of, name in self.world.tasks if of == task)
        parts = [self.rows("domain", name, None, None, feedback=False) for name in domains]
        found = np.full((3, len(self.keys)), np.nan)
        if len(parts) == 1:
            found = parts[0]
        elif parts:
            quality, n, se = (np.array([part[row] for part in parts]) for row in range(3))
            total = np.nansum(n, axis=0)
            several = np.count_nonzero(~np.isnan(n), axis=0) > 1
            with np.errstate(invalid="ignore", divide="ignore"):
                found[0], found[1] = np.nansum(n * quality, axis=0) / total, np.where(total > 0, total, np.nan)
                found[2] = np.sqrt(np.nansum((n * se) ** 2, axis=0)) / total
            alone = ~several & (total > 0)
            for part in parts:
                mine = alone & ~np.isnan(part[1])
                found[:, mine] = part[:, mine]
        if task is not None:
            self.replace(found, self.rows("task", task, None, None, feedback=True))
        return found

    @staticmethod
    def replace(found: Any, narrower: Any) -> None:
        known = ~np.isnan(narrower[0])
        found[:, known] = narrower[:, known]

    def shrunk(self, scope: str, name: str | None, agent: str | None, tenant: str | None) -> Any:
        found = np.full((4, len(self.keys)), np.nan)
        for key, row in self.world.by_group.get((scope, name, agent, tenant), {}).items():
            if key in self.place and row["learned_quality"] is not None:
                values = row["learned_quality"], row["learned_n"], row["learned_se"], row["quality_n"] or 0
                found[:, self.place[key]] = values
        return found

    def learned(self, query: RouteQuery) -> Any:
        found = self.shrunk("overall", None, None, None)
        if query.task is not None:
            who = [(None, None)] + ([(None, query.tenant)] if query.tenant else [])
            who += [(query.agent, None)] if query.agent else []
            who += [(query.agent, query.tenant)] if query.agent and query.tenant else []
            for agent, tenant in who:
                self.replace(found, self.shrunk("task", query.task, agent, tenant))
        return found

    def experience(self, query: RouteQuery, *, fades: bool) -> Any:
        """Quality, what it is worth in ratings, its standard error, and its exact n."""
        if fades and self.world.is_learned and query.domain is None:
            return self.learned(query)
        known = self.plain(query)
        return np.vstack((known, known[1]))

    def plain(self, query: RouteQuery) -> Any:
        found = self.everyones(query.task, query.domain).copy()
        if query.task is not None:
            who = [(None, query.tenant)] if query.tenant else []
            who += [(query.agent, None)] if query.agent else []
            who += [(query.agent, query.tenant)] if query.agent and query.tenant else []
            for agent, tenant in who:
                self.replace(found, self.rows("task", query.task, agent, tenant, feedback=True))
        return found


def route(columns: Columns, query: RouteQuery) -> Expected:
    rules = rules_of(columns.world, query)
    known = columns.experience(query, fades=rules.fades_k is not None)
    priority = columns.base.copy()
    passing = usable(columns, query, priority)
    passing += limits(columns, query, rules.limits, known)
    left, rejected = np.ones(len(columns.keys), dtype=bool), {}
    for field, passed in passing:
        now = left & passed
        if now.sum() < left.sum():
            rejected[field] = int(left.sum() - now.sum())
        left = now
    if not left.any():
        relax = {}
        for field, _ in passing:
            others = np.logical_and.reduce([passed for other, passed in passing if other != field])
            if field in FIELDS and others.any():
                relax[field] = int(others.sum())
        return Expected(None, None, [], rejected, relax)
    base, weight = priority / 100, {name: rules.weights.get(name, 0.0) for name in NAMES}
    quality, n, _, _ = known
    share = (
        weight["priority"] * np.ones(len(n))
        if rules.fades_k is None
        else weight["priority"] * rules.fades_k / (rules.fades_k + n)
    )
    lasting = weight["quality"] + (weight["priority"] - share)
    score = np.where(
        np.isnan(quality), (weight["priority"] + weight["quality"]) * base, share * base + lasting * quality
    )
    slow, failures = columns.measured["latency_p50_ms"], columns.measured["failure_rate"]
    for name, value in (
        ("latency", 2_000 / (2_000 + slow)),
        ("cost", 1 / (1 + columns.blended)),
        ("reliability", 1 - failures),
    ):
        score = score + weight[name] * np.where(np.isnan(value), 0, value)
    cost = costs(columns, query)
    figures = {
        "price": cost,
        "latency": slow,
        "throughput": -columns.measured["tps_mean"],
        "quality": -quality,
        None: cost * 0,
    }
    fitting = np.flatnonzero(left)
    known_last = [np.where(np.isnan(column), np.inf, column)[fitting] for column in (failures, columns.blended)]
    figure = np.where(np.isnan(figures[rules.sort]), 0 if rules.sort is None else np.inf, figures[rules.sort])[fitting]
    ranks = np.lexsort((columns.keys[fitting], *known_last, -score[fitting], figure))
    order, figure = fitting[ranks], figure[ranks]
    best = winner = int(order[0])
    if query.session is not None:
        winner = of_session(columns, query, rules, (order, figure, cost, score, known, lasting))
    elif rules.sort is None:
        cheaper = order[(cost[order] < cost[best]) & (score[best] - score[order] <= rules.tie_delta + 1e-9)]
        for other in cheaper[np.argsort(cost[cheaper], kind="stable")].tolist():
            if ties(rules, lasting[best], known, score, best, other):
                winner = other
                break
    rest = order[order != winner]
    same = columns.providers[rest] == columns.providers[winner]
    fallbacks = np.concatenate((rest[~same], rest[same]))[: query.top - 1]
    return Expected(str(columns.keys[winner]), float(score[winner]), columns.keys[fallbacks].tolist(), rejected, {})


def of_session(columns: Columns, query: RouteQuery, rules: Any, found: Any) -> int:
    order, figure, cost, score, known, lasting = found
    best, alike = int(order[0]), [int(order[0])]
    if rules.sort is None:
        near = order[1:][(cost[order[1:]] <= cost[best]) & (score[best] - score[order[1:]] <= rules.tie_delta + 1e-9)]
        alike += [other for other in near.tolist() if ties(rules, lasting[best], known, score, best, other)]
    own = columns.place.get(query.session_model or "")
    if own is not None and own in order:
        if own in alike:
            return own
        figures = dict(zip(order.tolist(), figure.tolist(), strict=True))
        lost = score[best] - score[own]
        if not np.isnan(known[0, [best, own]]).any() and lasting[best] > 0 and lost > 0:
            gap = max(known[0, best] - known[0, own], lost / lasting[best])
            lost = expected_loss(gap, (known[2, best] ** 2 + known[2, own] ** 2) ** 0.5)
        if figures[own] == figures[best] if rules.sort is not None else lost < 5 * rules.tie_delta or lost <= 0:
            return own
    keys = columns.keys.tolist()
    return max(alike, key=lambda place: place_of(query.session or "", keys[place]))


def ties(rules: Any, weight: float, known: Any, score: Any, best: int, other: int) -> bool:
    if score[best] == score[other]:
        return True
    if np.isnan(known[0, [best, other]]).any() or not weight > 0:
        return False
    gap = max(known[0, best] - known[0, other], (score[best] - score[other]) / weight)
    return expected_loss(gap, (known[2, best] ** 2 + known[2, other] ** 2) ** 0.5) < rules.tie_delta


def costs(columns: Columns, query: RouteQuery) -> Any:
    if query.input_tokens is None or query.output_tokens is None:
        return columns.blended
    return (query.input_tokens * columns.price_in + query.output_tokens * columns.price_out) / 1e6


def usable(columns: Columns, query: RouteQuery, priority: Any) -> list[tuple[str, Any]]:
    """The reasons that are no limits; `priority` gets the agent's own."""
    world, everyone = columns.world, np.ones(len(columns.keys), dtype=bool)
    found = [
        ("unavailable", columns.available),
        ("disabled", columns.enabled),
        ("model_type", columns.model_type == query.model_type),
    ]
    if query.agent is not None:
        rows = {key: agent_row(world, query, key) for key in world.models_of_agent.get(query.agent, ())}
        found.append(("agent", columns.named([key for key, row in rows.items() if row and row["is_enabled"]])))
        for key, row in rows.items():
            if row and row["priority_override"] is not None and key in columns.place:
                priority[columns.place[key]] = row["priority_override"]
    mine = world.of_tenant.get(query.tenant)
    found.append(("tenant", everyone if mine is None else columns.named(mine)))
    if query.role is not None:
        found.append(
            (
                "role",
                columns.named(
                    {key for who in {None, query.tenant} for key in world.of_role.get((who, query.role), ())}
                ),
            )
        )
    broken = (columns.measured["failure_rate"] == 1) & (columns.measured["requests"] >= 3)
    return [*found, ("failing", ~broken)]


def limits(columns: Columns, query: RouteQuery, asked: Any, known: Any) -> list[tuple[str, Any]]:
    unknown, measured = query.allow_unknown, columns.measured

    def low(column: Any, bound: float) -> Any:
        return (column <= bound) | (np.isnan(column) & unknown)

    def high(column: Any, bound: float) -> Any:
        return (column >= bound) | (np.isnan(column) & unknown)

    nobody = np.zeros(len(columns.keys), dtype=bool)
    passes: dict[str, Any] = {
        "allow": columns.named,
        "deny": lambda keys: ~columns.named(keys),
        "only": lambda names: np.isin(columns.providers, list(names)),
        "ignore": lambda names: ~np.isin(columns.providers, list(names)),
        "need": lambda names: np.logical_and.reduce([columns.capable.get(name, nobody) for name in names])
        | (columns.incapable & unknown),
        "max_tier": lambda name: low(columns.tier, TIERS.index(name)),
        "max_price": lambda prices: np.logical_and.reduce(
            [~nobody, *(low(column, bound) for column, bound in zip((columns.price_in, columns.price_out), prices, strict=True) if bound is not None)]
        ),
        "max_usd_per_query": lambda bound: low(costs(columns, query) if query.input_tokens is not None else measured["cost_per_query"], bound),
        "min_context": lambda bound: high(columns.context, bound),
        "max_ttft_p95_ms": lambda bound: low(measured["ttft_p95_ms"], bound),
        "max_latency_p95_ms": lambda bound: low(measured["latency_p95_ms"], bound),
        "min_tps": lambda bound: high(measured["tps_mean"], bound),
        "max_failure_rate": lambda bound: low(measured["failure_rate"], bound),
        "min_quality": lambda bound: high(known[0], bound),
        "min_samples": lambda bound: high(known[3], bound),
        "max_age_s": lambda bound: high(columns.seen, columns.world.now - bound),
    }  # fmt: skip
    return [(field, passes[field](asked[field])) for field in FIELDS if field in asked]
