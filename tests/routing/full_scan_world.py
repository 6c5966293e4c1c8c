"""What was published, as plain rows, and what holds for one question: its policy and its limits. For `full_scan`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    tie_delta: float = 0.01
    allowed: Sequence[tuple[str | None, str | None, str]] = ()  # tenant, role, model
    policies: Sequence[Row] = ()  # as published, one version each

    @cached_property
    def is_learned(self) -> bool:
        return any(row["learned_quality"] is not None for row in self.scores)

    def row(self, model: str, scope: str, name: str | None, *who: str | None) -> Row | None:
        return self.by_key.get((model, scope, name, *(who or (None, None))))

    @cached_property
    def by_key(self) -> dict[tuple[Any, ...], Row]:
        keys = ("model", "scope", "task_type", "agent", "tenant_id")
        return {tuple(row[key] for key in keys): row for row in self.scores}

    @cached_property
    def by_group(self) -> dict[tuple[Any, ...], dict[str, Row]]:
        groups: dict[tuple[Any, ...], dict[str, Row]] = {}
        for (model, *group), row in self.by_key.items():
            groups.setdefault(tuple(group), {})[model] = row
        return groups

    @cached_property
    def models_of_agent(self) -> dict[str, list[str]]:
        keys: dict[str, list[str]] = {}
        for row in self.agents:
            keys.setdefault(row["agent"], []).append(row["model"])
        return keys

    @cached_property
    def by_id(self) -> dict[str, Row]:
        return {row["id"]: row for row in self.models}

    @cached_property
    def seen(self) -> dict[str, float]:
        latest: dict[str, float] = {}
        for row in self.scores:
            if row["last_seen"]:
                latest[row["model"]] = max(latest.get(row["model"], 0), row["last_seen"].timestamp())
        return latest

    @cached_property
    def of_tenant(self) -> dict[str | None, set[str]]:
        keys: dict[str | None, set[str]] = {}
        for tenant, role, key in self.allowed:
            if tenant is not None and role is None:
                keys.setdefault(tenant, set()).add(key)
        return keys

    @cached_property
    def of_role(self) -> dict[tuple[str | None, str | None], set[str]]:
        keys: dict[tuple[str | None, str | None], set[str]] = {}
        for tenant, role, key in self.allowed:
            if role is not None:
                keys.setdefault((tenant, role), set()).add(key)
        return keys

    @cached_property
    def of_agent(self) -> dict[tuple[str, str], Row]:
        return {(row["agent"], row["model"]): row for row in self.agents}


@dataclass
class Rules:
    """What ranks, and which limits hold."""

    weights: dict[str, float]
    fades_k: float | None
    sort: str | None
    limits: dict[str, Any]
    tie_delta: float


PRESETS: dict[str, dict[str, Any]] = {
    "default": {"weights": {"priority": 0.3, "quality": 0.7}},
    "learned": {"weights": {"priority": 0.3, "quality": 0.7}, "fades_k": 1},
    "cheapest": {"sort": "price"},
    "fastest": {"sort": "latency"},
    "best": {"weights": {"quality": 1}},
    "balanced": {"weights": {"priority": 0.1, "quality": 0.45, "latency": 0.15, "cost": 0.15, "reliability": 0.15}},
}
NAMES = ("priority", "quality", "latency", "cost", "reliability")
FIELDS = [
    "allow",
    "deny",
    "only",
    "ignore",
    "need",
    "max_tier",
    "max_price",
    "max_usd_per_query",
    "min_context",
    "max_ttft_p95_ms",
    "max_latency_p95_ms",
    "min_tps",
    "max_failure_rate",
    "min_quality",
    "min_samples",
    "max_age_s",
]


def rules_of(world: World, query: RouteQuery) -> Rules:
    """The active policies from everyone's to the user's, then the one that is named; limits add up, the last one ranks."""
    owners = [(None, None, None)]
    owners += [(query.tenant, None, None)] if query.tenant else []
    tenants = [None, query.tenant] if query.tenant else [None]
    owners += [(tenant, query.agent, None) for tenant in tenants] if query.agent else []
    owners += [(tenant, None, query.user) for tenant in tenants] if query.user else []
    mine = {
        owner: [row for row in world.policies if (row["tenant_id"], row["agent"], row["user_id"]) == owner]
        for owner in owners
    }

    def named(name: str) -> dict[str, Any]:
        for owner in reversed(owners):
            for row in mine[owner]:
                if row["name"] == name:
                    return json.loads(row["rules"]) or PRESETS.get(name, {})
        return PRESETS[name]

    stack = [named(row["name"]) for owner in owners for row in mine[owner] if row["is_active"]]
    if query.policy:
        stack.append(named(query.policy))
    last = (stack or [PRESETS["default"]])[-1]
    limits = dict(query.limits)
    for rules in stack:
        for field, value in rules.get("limits", {}).items():
            limits[field] = stricter(field, limits.get(field), value)
    weights = last.get("weights", {"priority": 0.3, "quality": 0.7})
    fades_k, sort = last.get("fades_k"), last.get("sort")
    if query.weights is not None:
        weights, fades_k, sort = dict(zip(NAMES, query.weights, strict=True)), None, None
    total = 0.0
    for name in NAMES:
        total += weights.get(name, 0.0)
    if abs(total - 1) >= 1e-9:
        weights = {name: weight / total for name, weight in weights.items()}
    return Rules(weights, fades_k, query.sort or sort, limits, last.get("tie_delta", world.tie_delta))


def stricter(field: str, one: Any, other: Any) -> Any:
    if one is None:
        return other
    if field in ("allow", "only"):
        return [name for name in one if name in other]
    if field in ("deny", "ignore", "need"):
        return [*one, *other]
    if field == "max_tier":
        return TIERS[min(TIERS.index(one), TIERS.index(other))]
    return min(one, other) if field.startswith("max") else max(one, other)
