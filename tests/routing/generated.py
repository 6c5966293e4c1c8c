"""Random worlds and questions: every field, frequent ties, much that is unknown."""

import random
from datetime import timedelta
from typing import Any

from routing.full_scan_world import World
from routing.worlds import NOW, NOW_S, accuracy, enabled, learned, model, policy, rating, score

from analytics.routing import RouteQuery
from analytics.routing.records import SORTS, TIERS

CAPABILITIES = ["text", "vision", "code", "audio"]
TASKS = ["code", "analysis", "summarization", "unmapped"]
DOMAINS = ["coding", "general", "math"]
MAPPED = [("code", "coding"), ("analysis", "general"), ("analysis", "math"), ("summarization", "general")]
AGENTS = ["scribe", "coder", "idle"]
PROVIDERS = ["a", "b", "c", "d"]


def known(rng: random.Random) -> dict[str, Any]:
    """Quality on a grid of 1/64 and few distinct n, so that sums are exact and ties frequent."""
    n = rng.choice([0, 1, 4, 64, 4096, 65_536])
    more = {}
    if rng.random() < 0.8:
        worth = rng.choice([0.5, 4.0, 64.0, 4096.0])
        more = learned(rng.choice([k / 64 for k in range(40, 65)]), worth, rng.choice([0.25, 0.05, 0.001]))
    return more | {
        "quality": rng.choice([None, *(k / 64 for k in range(40, 65))]),
        "n": n,
        "quality_se": rng.choice([None, 0.5 / (n + 1) ** 0.5, 0.001]),
    }


def some(rng: random.Random, low: float, high: float) -> float | None:
    return None if rng.random() < 0.15 else round(rng.uniform(low, high), rng.choice([0, 2]))


def make_world(rng: random.Random, size: int) -> World:
    models = [
        model(
            f"{rng.choice(PROVIDERS)}/m{index:04}",
            model_type=rng.choices(["chat", "embedding"], [9, 1])[0],
            capabilities=rng.choice([None, [], *[rng.sample(CAPABILITIES, rng.randint(1, 4)) for _ in range(4)]]),
            priority=rng.choice([0, 50, 50, 50, 51, 80, 100]),
            cost_tier=rng.choice([None, *TIERS]),
            ctx_length=rng.choice([None, 4_000, 8_000, 128_000]),
            pricing_input=rng.choice([None, 0.0, 0.1, 0.5, 2.5]),
            pricing_output=rng.choice([None, 0.0, 0.1, 2.0, 10.0]),
            is_available=rng.random() < 0.9,
            is_enabled=rng.random() < 0.9,
        )
        for index in range(size)
    ]
    keys = [row["id"] for row in models]
    agents = [
        enabled(
            agent,
            key,
            tenant_id=rng.choice([None, "acme", "other"]),
            is_enabled=rng.random() < 0.8,
            priority_override=rng.choice([None, None, 10, 90]),
        )
        for agent in AGENTS[:2]
        for key in rng.sample(keys, size * 2 // 3)
    ]
    rows = []
    for key in [*keys, "gone/model"]:
        times: dict[str, Any] = {
            "last_seen": rng.choice([None, NOW - timedelta(seconds=rng.choice([0, 3600, 86_400]))])
        }
        speed: dict[str, Any] = {
            name: some(rng, 100, 3_000) for name in ("latency_p50_ms", "latency_p95_ms", "ttft_p95_ms", "tps_mean")
        }
        asked: dict[str, Any] = {
            "window_days": 7,
            "requests": rng.choice([1, 2, 3, 40]),
            "failure_rate": rng.choice([None, 0.0, 0.0, 0.25, 0.5, 1.0]),
        }
        if rng.random() < 0.9:
            rows.append(score(key, **known(rng), **speed, **times, **asked, cost_per_query=some(rng, 0, 1)))
        rows += [accuracy(key, domain, **known(rng)) for domain in DOMAINS if rng.random() < 0.7]
        for agent, tenant in WHO:
            kinds = ["feedback", "mixed"] if agent is None else ["feedback", "mixed", "benchmark"]
            chance = 0.4 if agent is None and tenant is None else 0.2
            rows += [
                rating(key, task, agent=agent, tenant_id=tenant, evidence=rng.choice(kinds), **known(rng))
                for task in TASKS
                if rng.random() < chance
            ]
    allowed = [
        (tenant, role, key)
        for tenant, role in (("acme", None), (None, "clerk"), ("acme", "clerk"), ("other", "guest"))
        for key in rng.sample([*keys, "gone/model"], size * 2 // 3)
    ]
    return World(models, agents, MAPPED, rows, NOW_S, allowed=allowed, policies=POLICIES)


POLICIES = [
    policy("careful", {"weights": {"quality": 1, "reliability": 1}, "limits": {"max_failure_rate": 0.5}}),
    policy(
        "cheapest",
        {"sort": "price", "limits": {"min_quality": 0.7, "deny": ["a/m0001"]}},
        tenant_id="acme",
        is_active=True,
    ),
    policy(
        "mine", {"weights": {"cost": 3, "latency": 1, "quality": 0.5}, "tie_delta": 0.05}, user_id="ann", is_active=True
    ),
    policy(
        "slow",
        {"weights": {"priority": 0.6, "quality": 0.4}, "fades_k": 100.0},
        agent="coder",
        tenant_id="other",
        is_active=True,
    ),
    policy("learned", is_active=True, user_id="bob", tenant_id="acme"),
    policy(
        "tight", {"limits": {"max_tier": "standard", "ignore": ["d"], "need": ["text"]}}, agent="scribe", is_active=True
    ),
]
WHO = [(None, None), ("scribe", None), ("coder", None), (None, "acme"), ("scribe", "acme"), ("coder", "other")]
WEIGHTS = ("priority", "quality", "latency", "cost", "reliability")


def make_query(rng: random.Random, world: World) -> RouteQuery:
    keys = [row["id"] for row in world.models]
    fields: dict[str, Any] = {
        "task": lambda: rng.choice([*TASKS, "unheard-of"]),
        "domain": lambda: rng.choice([*DOMAINS, "law"]),
        "agent": lambda: rng.choice([*AGENTS, "nobody"]),
        "tenant": lambda: rng.choice(["acme", "other", "third"]),
        "role": lambda: rng.choice(["clerk", "guest", "nobody"]),
        "user": lambda: rng.choice(["ann", "bob", "eve"]),
        "policy": lambda: rng.choice(["default", "learned", "cheapest", "fastest", "best", "balanced", "careful"]),
        "weights": lambda: {
            name: rng.choice([0.1, 0.5, rng.random()]) for name in rng.sample(WEIGHTS, rng.randint(1, 5))
        },
        "max_price": lambda: {
            name: rng.choice([0.1, 0.5, 2.5]) for name in rng.sample(["prompt", "completion"], rng.randint(1, 2))
        },
        "need": lambda: rng.sample([*CAPABILITIES, "flight"], rng.choice([1, 1, 2])),
        "allow": lambda: rng.sample([*keys, "no/such"], min(len(keys), rng.choice([0, 5, len(keys) // 2]))),
        "deny": lambda: rng.sample([*keys, "no/such"], rng.choice([1, len(keys) // 2])),
        "only": lambda: rng.sample([*PROVIDERS, "x"], 2),
        "ignore": lambda: rng.sample([*PROVIDERS, "x"], 1),
        "max_tier": lambda: rng.choice(TIERS),
        "max_usd_per_query": lambda: rng.choice([0, 0.001, 0.5]),
        "min_context": lambda: rng.choice([4_000, 100_000]),
        "max_ttft_p95_ms": lambda: rng.choice([500, 2_500]),
        "max_latency_p95_ms": lambda: rng.choice([500, 2_500]),
        "min_tps": lambda: rng.choice([300, 2_000]),
        "max_failure_rate": lambda: rng.choice([0, 0.25, 0.6, 1]),
        "min_quality": lambda: rng.choice([0.0, 0.75, 1.0]),
        "min_samples": lambda: rng.choice([0, 1, 64, 5_000]),
        "max_age_s": lambda: rng.choice([60, 3600, 7_200]),
        "sort": lambda: rng.choice(SORTS),
        "model_type": lambda: "embedding",
        "session": lambda: rng.choice(["s1", "s2", "Ünïcode", str(rng.random())]),
    }
    often = {"task": 0.6, "agent": 0.3, "sort": 0.2, "model_type": 0.05, "session": 0.2}
    chosen = {name: make() for name, make in fields.items() if rng.random() < often.get(name, 0.1)}
    if rng.random() < 0.4:
        chosen |= {"input_tokens": rng.choice([0, 500, 8_000]), "output_tokens": rng.choice([0, 200, 4_000])}
    if "session" in chosen and rng.random() < 0.6:
        chosen["session_model"] = rng.choice([*keys, "no/such"])
    return RouteQuery(**chosen, allow_unknown=rng.random() < 0.2, top=rng.choice([1, 2, 3, 5, 10]))
