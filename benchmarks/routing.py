"""How long one warm `route()` takes, by size of the catalog.

    python benchmarks/routing.py [--models 1000 11000] [--json]

Publishes a generated home in a temporary directory, opens the lookup and asks. `repeated` asks one plain question over
and over; `new` asks 5,000 different ones, each once (task, agent, capabilities, tier, price, latency, quality: a third of
each); `sparse` asks 2,000 different ones that nearly nothing fits. The collector of garbage runs as it does everywhere.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.routing import Lookup, RouteQuery

TASKS = ["code", "analysis", "summarization", "translation", "research"]
DOMAINS = {
    "code": "coding",
    "analysis": "general",
    "summarization": "general",
    "translation": "general",
    "research": "medical",
}
TIERS = ["free", "low", "standard", "premium"]
Rows = dict[str, list[Any]]


def publish(root: Path, name: str, tables: dict[str, pa.Table], **meta: Any) -> None:
    """The published format, as the lookup reads it."""
    directory = root / name
    directory.mkdir(parents=True)
    entries = {}
    for table_name, table in tables.items():
        path = directory / f"{table_name}.parquet"
        pq.write_table(table, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries[table_name] = {"file": path.name, "sha256": digest, "rows": table.num_rows}
    (directory / "manifest.json").write_text(json.dumps({"snapshot_id": name, **meta, "tables": entries}))
    (root / "CURRENT").write_text(name)


def make_home(home: Path, size: int, rng: random.Random) -> None:
    """A catalog of `size` models of 20 providers with seeded prices, speeds and qualities, and two agents."""
    keys = [f"p{index % 20:02}/model-{index:06}" for index in range(size)]
    every = ["vision", "code", "audio", "long_context", "function_calling"]
    models = {
        "id": keys,
        "provider_id": [key.partition("/")[0] for key in keys],
        "display_name": [key.partition("/")[2] for key in keys],
        "model_type": ["chat"] * size,
        "capabilities": [["text", *rng.sample(every, rng.randint(0, 4))] for _ in keys],
        "priority": [rng.randint(30, 70) for _ in keys],
        "cost_tier": [rng.choice(TIERS) for _ in keys],
        "domains": [["general"]] * size,
        "ctx_length": [rng.choice([8_000, 32_000, 128_000]) for _ in keys],
        "pricing_input": [rng.uniform(0.05, 5) for _ in keys],
        "pricing_output": [rng.uniform(0.1, 15) for _ in keys],
        "is_available": [rng.random() < 0.95 for _ in keys],
        "is_enabled": [True] * size,
        "is_simulated": [False] * size,
    }
    pairs = [
        (agent, key) for agent, share in (("scribe", 0.5), ("coder", 0.02)) for key in keys if rng.random() < share
    ]
    agents = {
        "agent": pa.array([agent for agent, _ in pairs], pa.string()),
        "tenant_id": pa.nulls(len(pairs), pa.string()),
        "model": pa.array([key for _, key in pairs], pa.string()),
        "is_enabled": pa.array([True] * len(pairs)),
        "priority_override": pa.nulls(len(pairs), pa.int64()),
    }
    tasks = {"task_type": list(DOMAINS), "domain": list(DOMAINS.values())}
    tables = {"models": pa.table(models), "agent_models": pa.table(agents), "task_domains": pa.table(tasks)}
    publish(home / "configuration", "c1", tables, default_model=keys[0], tie_delta=0.01, stale_after_s=86_400)
    scores = pa.Table.from_pylist(score_rows(keys, rng))
    publish(home / "scoring", "s1", {"routing_scores": scores}, is_simulated=False, as_of="2026-11-21T02:00:00.000000Z")


def score_rows(keys: Sequence[str], rng: random.Random) -> list[dict[str, Any]]:
    """Overall for every model, accuracy for nearly all, ratings for some."""
    rows = []
    for key in keys:
        skill = rng.betavariate(8, 3)
        named = [("overall", None, 0.9), *(("domain", domain, 0.8) for domain in sorted(set(DOMAINS.values())))]
        named += [("task", task, 0.3) for task in TASKS]
        for scope, name, share in named:
            if rng.random() > share:
                continue
            quality, n = min(1.0, max(0.0, rng.gauss(skill, 0.05))), int(rng.lognormvariate(5, 2)) + 1
            first = rng.lognormvariate(5.5, 0.6) if scope == "overall" else None
            rows.append(
                {
                    "model": key,
                    "task_type": name,
                    "scope": scope,
                    "agent": None,
                    "tenant_id": None,
                    "quality": quality,
                    "quality_n": n,
                    "quality_se": (quality * (1 - quality) / n + 1 / n**2) ** 0.5,
                    "quality_low": max(0.0, quality - 0.1),
                    "quality_high": min(1.0, quality + 0.1),
                    "evidence": "feedback" if scope == "task" else "benchmark",
                    "usage_count": n,
                    "window_days": 7,
                    "requests": n,
                    "failure_rate": 0.01,
                    "latency_p50_ms": first and first * 5,
                    "latency_p95_ms": first and first * 9,
                    "ttft_p50_ms": first,
                    "ttft_p95_ms": first and first * 2,
                    "tps_mean": first and 20_000 / first,
                    "cost_per_query": first and 0.001,
                    "last_seen": pa.scalar(1_795_226_400_000_000, pa.timestamp("us", tz="UTC")).as_py(),
                }
            )
    return rows


def varied(rng: random.Random) -> RouteQuery:
    """A question as an agent's framework may ask it."""
    fields: dict[str, Callable[[], Any]] = {
        "task": lambda: rng.choice(TASKS),
        "agent": lambda: rng.choice(["scribe", "coder"]),
        "need": lambda: (rng.choice(["vision", "code", "function_calling"]),),
        "max_tier": lambda: rng.choice(TIERS[1:]),
        "max_usd_per_query": lambda: rng.uniform(0.0005, 0.01),
        "max_ttft_p95_ms": lambda: rng.uniform(300, 2_000),
        "min_quality": lambda: rng.uniform(0.3, 0.7),
    }
    chosen = {name: make() for name, make in fields.items() if rng.random() < 1 / 3}
    return RouteQuery(**chosen, input_tokens=rng.randint(100, 4_000), output_tokens=rng.randint(50, 1_000))


def measure(lookup: Lookup, queries: Sequence[RouteQuery]) -> dict[str, float]:
    """Microseconds per call: median and 99th percentile."""
    taken = []
    for query in queries:
        start = time.perf_counter_ns()
        lookup.route(query)
        taken.append(time.perf_counter_ns() - start)
    p50, p99 = np.percentile(np.array(taken) / 1e3, [50, 99])
    return {"p50_us": round(float(p50), 1), "p99_us": round(float(p99), 1), "calls": len(taken)}


def machine() -> str:
    """What it ran on, for the reader of the figures."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")), platform.processor()
    )
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, numpy {np.__version__}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, nargs="+", default=[1_000, 11_000])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "sizes": {}}
    for size in options.models:
        with tempfile.TemporaryDirectory() as folder:
            rng = random.Random(1)
            make_home(Path(folder), size, rng)
            start = time.perf_counter()
            lookup = Lookup.open(folder, watch=False, clock=lambda: 1_795_226_500.0)
            load_s = round(time.perf_counter() - start, 3)
            assert not lookup.problems, lookup.problems
            for _ in range(200):  # warm: every ranking was asked for before
                lookup.route(varied(rng))
            results["sizes"][size] = {
                "load_s": load_s,
                "repeated": measure(lookup, [RouteQuery(task="code")] * 5_000),
                "new": measure(lookup, [varied(rng) for _ in range(5_000)]),
                "sparse": measure(
                    lookup,
                    [RouteQuery(task="code", min_quality=0.9 + n / 20_000, max_tier="low") for n in range(2_000)],
                ),
            }
    if options.json:
        print(json.dumps(results))
        return
    print(results["machine"])
    for size, figures in results["sizes"].items():
        print(f"{size:>9,} models, loaded in {figures.pop('load_s')} s")
        for name, figure in figures.items():
            print(
                f"{'':>10}{name:<9} p50 {figure['p50_us']:>7} us   p99 {figure['p99_us']:>7} us   ({figure['calls']:,} calls)"
            )


if __name__ == "__main__":
    main()
