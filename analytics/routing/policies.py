"""Policies: what makes one model better than another, as data.

A score is a weighted sum of values on 0..1, higher being better:

- `priority`: the base priority / 100 (an agent's own where set)
- `quality`: the experience; without any, the priority stands in for it ("priority alone without experience")
- `latency`: half / (half + median latency), half = 2,000 ms;  `cost`: half / (half + price), half = 1 USD per 1M tokens,
  three of input to one of output; `reliability`: 1 - failure rate. What is unknown of these earns nothing.

Weights are divided by their sum. `default` is 0.3 x base priority + 0.7 x experience. With `fades_k` = k the priority's
weight w fades to w k / (k + n) as evidence (n, what the quality is worth in ratings) grows, and the quality's grows by as much:
`learned` is the default that fades so. A policy that fades reads the shrunk experience, all others the plain means. Limits of all policies that are active for a question hold together; the most specific one's weights rank.
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
_RULES = {"weights", "fades_k", "sort", "limits", "tie_delta", "kept_within"}
_REMEMBERED = 65_536
KEPT_WITHIN = 5.0
"""How many times the quality that a tie may lose is given up to stay with a session's model, where a policy does not say."""

HALF_LATENCY_MS = 2_000.0
HALF_USD_PER_M = 1.0


class Owner(NamedTuple):
    """Whose a policy is: a user's, an agent's, a tenant's, or everyone's."""

    tenant: str | None = None
    agent: str | None = None
    user: str | None = None


_EVERYONE = Owner()


@dataclass(frozen=True)
class Policy:
    """One version of a policy: `weights` that sum to 1, or `sort` by one figure; `limits` are (field, value) pairs.

    `problem` says what is wrong with one that makes no sense; nothing is answered by it.
    """

    name: str
    owner: Owner = _EVERYONE
    weights: Weights = _DEFAULT
    fades_k: float | None = None
    sort: Sort | None = None
    limits: tuple[tuple[str, Any], ...] = ()
    tie_delta: float | None = None
    kept_within: float = KEPT_WITHIN
    problem: str | None = None

    @property
    def is_learned(self) -> bool:
        """Whether it reads the shrunk experience: what fades by evidence does; the others read the plain means."""
        return self.fades_k is not None

    @cached_property
    def key(self) -> tuple[str | None, ...]:
        """Name and owner, by which two policies of the same name are told apart."""
        return (self.name, *self.owner)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"weights": {"priority": 0.3, "quality": 0.7}},
    "learned": {"weights": {"priority": 0.3, "quality": 0.7}, "fades_k": 1.0},
    "cheapest": {"sort": "price"},
    "fastest": {"sort": "latency"},
    "best": {"weights": {"quality": 1.0}},
    "balanced": {"weights": {"priority": 0.1, "quality": 0.45, "latency": 0.15, "cost": 0.15, "reliability": 0.15}},
}


class Active(NamedTuple):
    """What holds for one question: the policy that ranks, and all limits by field; or `problem`, and then nothing does."""

    policy: Policy
    limits: Mapping[str, Any]
    problem: tuple[str, str] | None = None


class Policies:
    """The stored policies by owner and name, and which of each owner's is active.

    A question sees the policies of its user, agent and tenant and those of everyone; of the same name the most specific.
    """

    def __init__(self, policies: Iterable[Policy], active: Iterable[tuple[Owner, str]] = ()) -> None:
        self.stored = {policy.key: policy for policy in policies}
        self._active = dict(active)
        self._known: dict[tuple[str | None, ...], Active] = {}

    def active(self, query: RouteQuery) -> Active:
        """What holds for `query`."""
        key = (
            (query.policy, query.tenant, query.agent, query.user)
            if len(self.stored) > len(PRESETS)
            else (query.policy,)
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._stack(query)
        return found

    def _stack(self, query: RouteQuery) -> Active:
        """From broad to specific: everyone, tenant, agent, user, and what the query names."""
        owners = [_EVERYONE]
        if query.tenant is not None:
            owners.append(Owner(query.tenant))
        for tenant in dict.fromkeys((None, query.tenant)):
            owners += [] if query.agent is None else [Owner(tenant, agent=query.agent)]
        for tenant in dict.fromkeys((None, query.tenant)):
            owners += [] if query.user is None else [Owner(tenant, user=query.user)]
        named = [self._find(self._active[owner], owners) for owner in owners if owner in self._active]
        if query.policy is not None:
            named.append(self._find(query.policy, owners))
        stack = named or [self._find("default", owners)]
        limits: dict[str, Any] = {}
        for policy in stack:
            if policy.problem is not None:
                return Active(policy, {}, ("policy_unusable", f'The policy "{policy.name}" {policy.problem}.'))
            limits = both(limits, dict(policy.limits))
        return Active(stack[-1], limits)

    def _find(self, name: str, owners: Sequence[Owner]) -> Policy:
        for owner in reversed(owners):
            policy = self.stored.get((name, *owner))
            if policy is not None:
                return policy
        there = ", ".join(sorted({policy.name for policy in self.stored.values() if policy.owner in owners}))
        return Policy(name, problem=f"is not there; there are: {there}")


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


def decode_policies(named: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] = ()) -> Policies:
    """Policies of the configuration: weights of everyone's by name, and the table's rows.

    A row has its owner (`tenant_id`, `agent`, `user_id`, each null: any), `name`, `version` (of those of one owner and name the
    active one counts, else the newest), `is_active`, and `rules`, a JSON object of `weights`, `fades_k`, `sort`, `limits`,
    `tie_delta`, `kept_within` (sticky); without rules it is the preset of that name. Presets that nobody replaces are everyone's. Raises `ValueError`
    for `named` that make no sense; a row that makes none is kept with its problem, and stops its owner's questions alone.
    """
    everyones = {name: policy_of(name, rules) for name, rules in PRESETS.items()}
    everyones |= {name: policy_of(name, {"weights": weights}) for name, weights in named.items()}
    kept: dict[tuple[Owner, str], Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (bool(row["is_active"]), row["version"] or 0)):
        kept[Owner(row["tenant_id"], row["agent"], row["user_id"]), str(row["name"])] = row
    policies = {policy.key: policy for policy in everyones.values()}
    for (owner, name), row in kept.items():
        try:
            rules = _object(row["rules"]) or PRESETS.get(name, {})
            policy = policy_of(name, rules, owner)
        except (ValueError, TypeError) as error:
            policy = Policy(name, owner, problem=f"makes no sense: {error}")
        policies[policy.key] = policy
    active = [(owner, name) for (owner, name), row in kept.items() if row["is_active"]]
    return Policies(policies.values(), active)


def policy_of(name: str, rules: Mapping[str, Any], owner: Owner = _EVERYONE) -> Policy:
    """One policy of its rules; raises `ValueError` that names it."""
    try:
        odd = sorted(set(rules) - _RULES)
        odd += sorted(set(_object(rules.get("limits"))) - set(LIMIT_FIELDS))
        weights, limits = (_object(rules.get(field)) for field in ("weights", "limits"))
        checked = RouteQuery(**{} if odd else limits, weights=weights or None, sort=rules.get("sort"))
        fades_k, tie_delta, kept_within = (
            _amount(field, rules.get(field)) for field in ("fades_k", "tie_delta", "kept_within")
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"policy {name!r}: {error}") from None
    if odd:
        raise ValueError(f"policy {name!r}: there is no rule or limit {odd[0]}")
    return Policy(
        name=name,
        owner=owner,
        weights=normalised(Weights(*(checked.weights or _DEFAULT))),
        fades_k=fades_k,
        sort=checked.sort,
        limits=checked.limits,
        tie_delta=tie_delta,
        kept_within=KEPT_WITHIN if kept_within is None else kept_within,
    )


def weighted(policy: Policy, weights: Weights) -> Policy:
    """The policy with a query's own weights: they replace its weights, its fading and its sorting."""
    return replace(policy, weights=normalised(weights), fades_k=None, sort=None)


def normalised(weights: Weights) -> Weights:
    """Weights that sum to 1; those that nearly do stay as they are, to the letter."""
    total = sum(weights)
    return weights if abs(total - 1) < 1e-9 else Weights(*(weight / total for weight in weights))


class Values(NamedTuple):
    """What is scored, one array each: `priority`, `quality` and `n`, what that is worth in ratings (NaN: no experience), and the other three values."""

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


def score(policy: Policy, priority: float, quality: float, n: float) -> float:
    """What `scores` says of one model by its priority and experience alone."""
    weights = policy.weights
    if quality != quality:  # noqa: PLR0124  # NaN
        return (weights.priority + weights.quality) * priority
    if policy.fades_k is None:
        return weights.priority * priority + weights.quality * quality
    share: float = faded(policy, n) * priority + quality_weight(policy, n) * quality
    return share


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
    """Latencies (ms) as values on 0..1: 1 at 0 ms, a half at 2,000 ms, 0 where it is unknown."""
    return _earned(HALF_LATENCY_MS / (HALF_LATENCY_MS + latency_ms))


def cost_value(usd_per_m: Floats) -> Floats:
    """Prices (USD per 1M tokens) as values on 0..1: 1 for nothing, a half at 1 USD, 0 where it is unknown."""
    return _earned(HALF_USD_PER_M / (HALF_USD_PER_M + usd_per_m))


def reliability_value(failure_rate: Floats) -> Floats:
    """Shares of requests that fail (0..1) as values on 0..1: 1 where none fails, 0 where it is unknown."""
    return _earned(1 - failure_rate)


def _earned(value: Floats) -> Floats:
    return np.nan_to_num(value, nan=0.0)


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
