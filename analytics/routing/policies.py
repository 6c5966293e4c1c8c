"""Policies: what makes one model better than another, as data.

A score is a weighted sum of values on 0..1, higher being better:

- `priority`: the base priority / 100 (an agent's own where set)
- `quality`: the experience; without any, the priority stands in for it ("priority alone without experience")
- `latency`: half / (half + median latency), half = 2,000 ms;  `cost`: half / (half + price), half = 1 USD per 1M tokens,
  three of input to one of output; `reliability`: 1 - failure rate. What is unknown of these earns nothing.

Weights are divided by their sum. `default` is 0.3 x base priority + 0.7 x experience. With `fades_k` = k the priority's
weight w fades to w k / (k + n) as evidence (n) grows, and the quality's grows by as much: `learned` is the default that
fades so. Limits of all policies that are active for a question hold together; the most specific one's weights rank.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .bits import Floats
from .records import LIMIT_FIELDS, TIERS, MaxPrice, RouteQuery, Sort, Weights
from .ties import ROUNDING, widest_gap

_DEFAULT = Weights(0.3, 0.7)
HALF_LATENCY_MS = 2_000.0
HALF_USD_PER_M = 1.0


@dataclass(frozen=True)
class Policy:
    """One version of a policy: `weights` that sum to 1, or `sort` by one figure; `limits` are (field, value) pairs."""

    name: str
    version: int = 1
    weights: Weights = _DEFAULT
    fades_k: float | None = None
    sort: Sort | None = None
    limits: tuple[tuple[str, Any], ...] = ()
    tie_delta: float | None = None

    @cached_property
    def known_limits(self) -> Mapping[str, Any]:
        return dict(self.limits)


PRESETS: tuple[Mapping[str, Any], ...] = (
    {"name": "default", "weights": {"priority": 0.3, "quality": 0.7}},
    {"name": "learned", "weights": {"priority": 0.3, "quality": 0.7}, "fades_k": 10.0},
    {"name": "cheapest", "sort": "price"},
    {"name": "fastest", "sort": "latency"},
    {"name": "best", "weights": {"quality": 1.0}},
    {
        "name": "balanced",
        "weights": {"priority": 0.1, "quality": 0.45, "latency": 0.15, "cost": 0.15, "reliability": 0.15},
    },
)


class Activation(NamedTuple):
    """For whom a policy is active: one of `user`, `agent` and `tenant` at least, or everyone."""

    policy: str
    tenant: str | None = None
    agent: str | None = None
    user: str | None = None


class Active(NamedTuple):
    """What holds for one question: the policy that ranks, and all limits by field."""

    policy: Policy
    limits: Mapping[str, Any]


class Policies:
    """The stored policies by name, their newest versions, and for whom each is active."""

    def __init__(self, policies: Iterable[Policy], activations: Iterable[Activation] = ()) -> None:
        self.by_name = {policy.name: policy for policy in sorted(policies, key=lambda policy: policy.version)}
        self._active: dict[tuple[str, str | None, str | None], str] = {}
        for policy, tenant, agent, user in activations:
            if user is not None:
                self._active["user", tenant, user] = policy
            elif agent is not None:
                self._active["agent", tenant, agent] = policy
            else:
                self._active["tenant", tenant, None] = policy
        self._known: dict[tuple[Any, ...], Active | None] = {}

    def active(self, query: RouteQuery) -> Active | None:
        """What holds for `query`; None if it names a policy that is not there."""
        key = (query.policy, query.tenant, query.agent, query.user) if self._active else (query.policy,)
        if key not in self._known:
            if len(self._known) >= 65_536:
                self._known.clear()
            self._known[key] = self._stack(query)
        return self._known[key]

    def _stack(self, query: RouteQuery) -> Active | None:
        """From broad to specific: everyone, tenant, agent, user, and what the query names."""
        names = [self._active.get(("tenant", None, None))]
        if query.tenant is not None:
            names.append(self._active.get(("tenant", query.tenant, None)))
        for kind, who in (("agent", query.agent), ("user", query.user)):
            if who is not None:
                mine = self._active.get((kind, query.tenant, who))
                names.append(self._active.get((kind, None, who)) if mine is None else mine)
        stack = [self.by_name["default"], *(self.by_name[name] for name in names if name is not None)]
        if query.policy is not None:
            if query.policy not in self.by_name:
                return None
            stack.append(self.by_name[query.policy])
        limits: dict[str, Any] = {}
        for policy in stack if len(stack) == 1 else stack[1:]:
            limits = both(limits, policy.known_limits)
        return Active(stack[-1], limits)


def both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Limits that hold when both do: the stricter of two bounds, what either denies or needs, what both allow."""
    joined = dict(one)
    for field, value in other.items():
        joined[field] = _stricter(field, joined[field], value) if field in joined else value
    return joined


def _stricter(field: str, one: Any, other: Any) -> Any:
    if field in {"allow", "only"}:
        return tuple(sorted(set(one) & set(other)))
    if field in {"deny", "ignore", "need"}:
        return tuple(sorted({*one, *other}))
    if field == "max_tier":
        return min(one, other, key=TIERS.index)
    if field == "max_price":
        pairs = zip(one, other, strict=True)
        return MaxPrice(*(min((x for x in pair if x is not None), default=None) for pair in pairs))
    return min(one, other) if field.startswith("max_") else max(one, other)


def decode_policies(rows: Sequence[Mapping[str, Any]], activations: Sequence[Mapping[str, Any]]) -> Policies:
    """Policies of the configuration's rows; raises `ValueError` that names the policy and what is wrong with it.

    A row has `name`, `version`, `weights` and `limits` (JSON objects or mappings; null: none), `sort`, `fades_k`,
    `tie_delta`. What it does not name of the presets stays as they are. An activation has `policy` and `tenant_id`,
    `agent`, `user_id` (each null: any).
    """
    policies = [policy_of(row) for row in (*PRESETS, *rows)]
    active = []
    for row in activations:
        if row["policy"] not in {policy.name for policy in policies}:
            raise ValueError(f"policy {row['policy']!r} is active, but there is no such policy")
        active.append(Activation(row["policy"], row["tenant_id"], row["agent"], row["user_id"]))
    return Policies(policies, active)


def policy_of(row: Mapping[str, Any]) -> Policy:
    """One policy of one row; raises `ValueError` that names it."""
    name = row.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError("a policy has no name")
    try:
        weights, limits = (_object(row.get(field)) for field in ("weights", "limits"))
        checked = RouteQuery(**_only_limits(limits), weights=weights or None, sort=row.get("sort"))
        fades_k, tie_delta = (_amount(field, row.get(field)) for field in ("fades_k", "tie_delta"))
        return Policy(
            name=name,
            version=int(row.get("version") or 1),
            weights=normalised(Weights(*(checked.weights or _DEFAULT))),
            fades_k=fades_k,
            sort=checked.sort,
            limits=checked.limits,
            tie_delta=tie_delta,
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"policy {name!r}: {error}") from None


def weighted(policy: Policy, weights: Weights) -> Policy:
    """The policy with a query's own weights: they replace its weights, its fading and its sorting."""
    return replace(policy, weights=normalised(weights), fades_k=None, sort=None)


def normalised(weights: Weights) -> Weights:
    """Weights that sum to 1; those that nearly do stay as they are, to the letter."""
    total = sum(weights)
    return weights if abs(total - 1) < 1e-9 else Weights(*(weight / total for weight in weights))


class Values(NamedTuple):
    """What is scored, one array each: `priority`, `quality` and `n` (NaN: no experience), and the other three values."""

    priority: Floats
    quality: Floats
    n: Floats
    latency: Floats
    cost: Floats
    reliability: Floats


def scores(policy: Policy, values: Values) -> Floats:
    """The score of each model, on 0..1, by the formula in the module's docstring."""
    weights = policy.weights
    known = ~np.isnan(values.quality)
    quality = np.where(known, values.quality, values.priority)
    if policy.fades_k is None:
        total: Floats = np.where(
            known,
            weights.priority * values.priority + weights.quality * quality,
            (weights.priority + weights.quality) * values.priority,
        )
    else:
        share = faded(policy, values.n)
        total = np.where(
            known,
            share * values.priority + quality_weight(policy, values.n) * quality,
            (weights.priority + weights.quality) * values.priority,
        )
    for weight, value in zip(weights[2:], values[3:], strict=True):
        if weight:
            total = total + weight * value
    return total


def faded(policy: Policy, n: Any) -> Any:
    """The priority's weight when the evidence is `n` large (a number or an array)."""
    k = policy.fades_k
    return policy.weights.priority if k is None else policy.weights.priority * k / (k + n)


def quality_weight(policy: Policy, n: Any) -> Any:
    """The quality's weight when the evidence is `n` large (a number or an array)."""
    return policy.weights.quality + (policy.weights.priority - faded(policy, n))


def reach(policy: Policy, n: Floats, se: Floats, delta: float) -> Floats:
    """How far below a model's score something may still tie with it: what the widest gap of quality weighs, nothing
    without experience.
    """
    apart = quality_weight(policy, n) * widest_gap(se, delta) + ROUNDING
    return np.where(np.isnan(se), 0.0, apart)


def latency_value(latency_ms: Floats) -> Floats:
    return _earned(HALF_LATENCY_MS / (HALF_LATENCY_MS + latency_ms))


def cost_value(usd_per_m: Floats) -> Floats:
    return _earned(HALF_USD_PER_M / (HALF_USD_PER_M + usd_per_m))


def reliability_value(failure_rate: Floats) -> Floats:
    return _earned(1 - failure_rate)


def _earned(value: Floats) -> Floats:
    return np.nan_to_num(value, nan=0.0)


def _only_limits(limits: Mapping[str, Any]) -> Mapping[str, Any]:
    odd = sorted(set(limits) - set(LIMIT_FIELDS))
    if odd:
        raise ValueError(f"{odd[0]} is not a limit")
    return limits


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        value = json.loads(value)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is not an object of names and values")
    return {name: entry for name, entry in value.items() if entry is not None}


def _amount(field: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < np.inf:
        raise ValueError(f"{field} must be a finite number, 0 or more, not {value!r}")
    return float(value)
