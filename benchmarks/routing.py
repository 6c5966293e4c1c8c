"""How long one warm `route()` takes, by size of the catalog: CPU time of the calling thread, and memory.

    python benchmarks/routing.py [--models 1000 11000 100000] [--questions 20000] [--json]

Publishes a generated home in a temporary directory: 50 task types, 10,000 agents with allow-lists of 5 to 200 models (a
third of the agents with ratings of their own), 20 providers, 6 capabilities. Opens the lookup, asks warm-up questions, then
different questions, each once, and reads the whole answer but for `rejected`: model, fallbacks, parts, evidence, reasons and their codes.

    mixed       task, agent, capabilities, tier, price, latency, quality, context: a third of each
    weights     the same, with random weights of their own for each question
    infeasible  hardly anything fits, mostly nothing: the answer says what to relax
    repeated    one plain question over and over
    whole       `mixed`, with `to_dict()`, so with `rejected`
    litellm     LiteLLM's Router strategies over as many deployments, where it is installed

Each size has a process of its own. A snapshot's reload is measured as the longest call (by the wall clock) while the watching thread swaps boards, less the longest
call of as long a time without a swap. The collector of garbage runs as it does everywhere.
"""

import argparse
import gc
import hashlib
import importlib.util
import json
import os
import platform
import random
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.routing import Lookup, RouteAnswer, RouteQuery
from analytics.scoring.configuration import FURTHER

TASKS = [f"task-{number:02}" for number in range(50)]
DOMAINS = [f"domain-{number}" for number in range(8)]
AGENTS = 10_000
TIERS = ["free", "low", "standard", "premium"]
CAPABILITIES = ["vision", "code", "audio", "long_context", "function_calling"]
NOW = 1_795_226_500.0
SEEN = pa.scalar(1_795_226_400_000_000, pa.timestamp("us", tz="UTC"))
_TARGETS = {11_000: (30, 150), 100_000: (40, 300)}


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
    (root / "CURRENT.draft").write_text(name)
    (root / "CURRENT.draft").replace(root / "CURRENT")


def make_home(home: Path, size: int, rng: np.random.Generator) -> None:
    """A catalog with seeded prices, speeds and qualities, and agents that may use some of it."""
    keys = np.array([f"p{index % 20:02}/model-{index:07}" for index in range(size)])
    capable = rng.random((size, len(CAPABILITIES))) < 0.4
    models = {
        "id": keys,
        "provider_id": [f"p{index % 20:02}" for index in range(size)],
        "display_name": [f"Model {index}" for index in range(size)],
        "model_type": ["chat"] * size,
        "capabilities": [["text", *np.array(CAPABILITIES)[row].tolist()] for row in capable],
        "priority": rng.integers(30, 71, size),
        "cost_tier": np.array(TIERS)[rng.integers(0, 4, size)],
        "domains": [["general"]] * size,
        "ctx_length": np.array([8_000, 32_000, 128_000, 1_000_000])[rng.integers(0, 4, size)],
        "pricing_input": rng.uniform(0.05, 5, size),
        "pricing_output": rng.uniform(0.1, 15, size),
        "is_available": rng.random(size) < 0.95,
        "is_enabled": [True] * size,
        "is_simulated": [False] * size,
    }
    lists = np.minimum(size // 2, (5 * 40 ** rng.random(AGENTS)).astype(int) + 1)
    owner = np.repeat(np.arange(AGENTS), lists)
    used = rng.integers(0, size, len(owner))
    agents = {
        "agent": pa.array(owner).cast(pa.string()),
        "tenant_id": pa.array(owner % 100).cast(pa.string()),
        "model": keys[used],
        "is_enabled": np.ones(len(owner), dtype=bool),
        "priority_override": pa.array([90] * len(owner), pa.int64(), mask=rng.random(len(owner)) > 0.02),
    }
    tasks = {"task_type": TASKS, "domain": [DOMAINS[number % len(DOMAINS)] for number in range(len(TASKS))]}
    tables = {"models": pa.table(models), "agent_models": pa.table(agents), "task_domains": pa.table(tasks)}
    tables |= {name: schema.empty_table() for name, schema in FURTHER.items()}
    publish(home / "configuration", "c1", tables, default_model=str(keys[0]), tie_delta=0.01, stale_after_s=86_400)
    publish_scores(home, "s1", keys, (owner, used), rng)


def publish_scores(
    home: Path, name: str, keys: Any, agents: tuple[Any, Any], rng: np.random.Generator, share: float = 0.1
) -> None:
    """Overall for every model, accuracy for most, ratings of a task for a tenth, and agents' own for some of theirs."""
    size = len(keys)
    skill = rng.beta(8, 3, size)
    parts = [(np.arange(size), "overall", None, None)]
    parts += [(np.flatnonzero(rng.random(size) < 0.5), "domain", domain, None) for domain in DOMAINS]
    parts += [(np.flatnonzero(rng.random(size) < share), "task", task, None) for task in TASKS]
    owner, used = agents
    own = np.flatnonzero((owner % 3 == 0) & (rng.random(len(owner)) < 0.1))
    pairs = np.unique(np.stack((owner[own], used[own])), axis=1)
    tables = [_rows(keys, skill, *part, rng) for part in parts]
    task_of = np.array(TASKS)[rng.integers(0, len(TASKS), pairs.shape[1])]
    mine = _rows(keys, skill, pairs[1], "task", None, None, rng)
    mine = mine.set_column(mine.column_names.index("task_type"), "task_type", pa.array(task_of, pa.string()))
    tables.append(mine.set_column(mine.column_names.index("agent"), "agent", pa.array(pairs[0]).cast(pa.string())))
    scores = pa.concat_tables(tables)
    publish(home / "scoring", name, {"routing_scores": scores}, is_simulated=False, as_of="2026-11-21T02:00:00.000000Z")


def _rows(
    keys: Any, skill: Any, models: Any, scope: str, name: str | None, agent: str | None, rng: np.random.Generator
) -> pa.Table:
    count = len(models)
    quality = np.clip(rng.normal(skill[models], 0.05), 0, 1)
    n = rng.lognormal(5, 2, count).astype(np.int64) + 1
    first = rng.lognormal(5.5, 0.6, count)
    speeds = {
        "window_days": np.full(count, 7), "requests": n, "failure_rate": rng.random(count) * 0.05, "latency_p50_ms": first * 5, "latency_p95_ms": first * 9,
        "ttft_p50_ms": first, "ttft_p95_ms": first * 2, "tps_mean": 20_000 / first, "cost_per_query": first * 1e-5,
    }  # fmt: skip
    types = {speed: pa.int64() if speed in {"window_days", "requests"} else pa.float64() for speed in speeds}
    return pa.table(
        {
            "model": keys[models],
            "task_type": pa.array([name] * count, pa.string()),
            "scope": pa.array([scope] * count, pa.string()),
            "agent": pa.array([agent] * count, pa.string()),
            "tenant_id": pa.nulls(count, pa.string()),
            "quality": quality,
            "quality_n": n,
            "quality_se": np.sqrt(quality * (1 - quality) / n + 1 / n**2),
            "quality_low": np.maximum(0.0, quality - 0.1),
            "quality_high": np.minimum(1.0, quality + 0.1),
            "evidence": pa.array(["feedback" if scope == "task" else "benchmark"] * count, pa.string()),
            "usage_count": n,
            **{k: pa.array(v) if scope == "overall" else pa.nulls(count, types[k]) for k, v in speeds.items()},
            "last_seen": pa.array([SEEN.as_py()] * count, SEEN.type),
        }
    )


def mixed(rng: random.Random, **more: Any) -> RouteQuery:
    """A question as an agent's framework may ask it."""
    agent = rng.randrange(AGENTS)
    fields: dict[str, Callable[[], Any]] = {
        "need": lambda: tuple(rng.sample(CAPABILITIES, rng.randint(1, 2))),
        "max_tier": lambda: rng.choice(TIERS[1:]),
        "max_usd_per_query": lambda: rng.uniform(0.0005, 0.01),
        "max_ttft_p95_ms": lambda: rng.uniform(300, 2_000),
        "min_quality": lambda: rng.uniform(0.3, 0.7),
        "min_context": lambda: rng.choice([4_000, 32_000, 100_000]),
        "min_tps": lambda: rng.uniform(20, 100),
        "ignore": lambda: (f"p{rng.randrange(20):02}",),
    }
    chosen = {name: make() for name, make in fields.items() if rng.random() < 1 / 3}
    if rng.random() < 1 / 3:
        chosen |= {"agent": str(agent), "tenant": str(agent % 100)}
    if rng.random() < 0.1:
        chosen["policy"] = rng.choice(["learned", "cheapest", "fastest", "best", "balanced"])
    tokens = {"input_tokens": rng.randint(100, 4_000), "output_tokens": rng.randint(50, 1_000)}
    return RouteQuery(task=rng.choice(TASKS), **chosen, **tokens, **more)


def weights(rng: random.Random) -> RouteQuery:
    names = ["priority", "quality", "latency", "cost", "reliability"]
    return mixed(rng, weights={name: rng.random() for name in names})


def infeasible(rng: random.Random) -> RouteQuery:
    """Limits that pull apart: good, fast, cheap, with everything, for a few."""
    return RouteQuery(
        task=rng.choice(TASKS),
        min_quality=rng.uniform(0.9, 1),
        max_tier="free",
        need=tuple(rng.sample(CAPABILITIES, 4)),
        max_ttft_p95_ms=rng.uniform(10, 200),
        max_usd_per_query=rng.uniform(1e-6, 2e-4),
        input_tokens=rng.randint(100, 4_000),
        output_tokens=rng.randint(50, 1_000),
        agent=str(rng.randrange(AGENTS)) if rng.random() < 0.3 else None,
    )


def read(answer: RouteAnswer) -> tuple[Any, ...]:
    return answer.model, answer.fallbacks, answer.parts, answer.evidence, answer.reasons, answer.reason_codes


def measure(lookup: Lookup, queries: Iterable[RouteQuery], use: Callable[[RouteAnswer], Any] = read) -> dict[str, Any]:
    """Microseconds of CPU time per call and reading of its answer: median, 99th percentile and worst."""
    taken, answered = [], 0
    clock = time.thread_time_ns
    for query in queries:
        start = clock()
        answer = lookup.route(query)
        use(answer)
        taken.append(clock() - start)
        answered += answer.model is not None
    p50, p99 = np.percentile(np.array(taken) / 1e3, [50, 99])
    figures = {"p50_us": p50, "p99_us": p99, "worst_us": max(taken) / 1e3}
    return {name: round(float(value), 1) for name, value in figures.items()} | {
        "calls": len(taken),
        "answered": answered,
    }


def longest_call_ms(lookup: Lookup, rng: random.Random, until: Callable[[], bool]) -> float:
    worst = 0.0
    while not until():
        queries = [mixed(rng) for _ in range(50)]
        for query in queries:
            start = time.perf_counter()
            lookup.route(query)
            worst = max(worst, time.perf_counter() - start)
    return worst * 1e3


def reload_ms(lookup: Lookup, home: Path, agents: tuple[Any, Any], rng: random.Random) -> dict[str, float]:
    """The longest call with and without a swap beside it."""
    board = lookup._state.board
    assert board is not None
    keys = np.array(sorted(board.catalog.keys))
    quiet_until = time.perf_counter() + 2
    quiet = longest_call_ms(lookup, rng, lambda: time.perf_counter() > quiet_until)
    worst = []
    for number in range(3):
        publish_scores(home, f"r{number}", keys, agents, np.random.default_rng(number))
        swapping = threading.Thread(target=lookup.reload)
        swapping.start()
        worst.append(longest_call_ms(lookup, rng, lambda thread=swapping: not thread.is_alive()))  # type: ignore[misc]
    return {"quiet_ms": round(quiet, 2), "while_reloading_ms": round(max(worst), 2)}


def litellm_us(size: int) -> dict[str, Any] | str:
    """Microseconds per choice of LiteLLM's Router, by strategy."""
    if importlib.util.find_spec("litellm") is None:
        return "not installed: skipped"
    from litellm import Router

    found = {}
    deployments = [
        {"model_name": "any", "litellm_params": {"model": f"openai/m{index}", "api_key": "none"}}
        for index in range(size)
    ]
    for strategy in ("simple-shuffle", "least-busy", "latency-based-routing", "usage-based-routing-v2"):
        router = Router(model_list=deployments, routing_strategy=strategy)
        taken = []
        for _ in range(20):
            start = time.thread_time_ns()
            router.get_available_deployment(model="any", messages=[{"role": "user", "content": "hello"}])
            taken.append((time.thread_time_ns() - start) / 1e3)
        found[strategy] = round(float(np.median(taken)), 1)
    return found


def machine() -> str:
    """What it ran on, for the reader of the figures."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    cpu = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, numpy {np.__version__}"


def memory_mb() -> float:
    """What this process holds now."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(size: int, questions: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        make_home_apart(Path(folder), size)
        before = memory_mb()
        opening = []
        for _ in range(3 if size <= 100_000 else 1):
            lookup = None
            start = time.perf_counter()
            lookup = Lookup.open(folder, watch=False, clock=lambda: NOW)
            opening.append((time.perf_counter() - start) * 1e3)
        assert lookup is not None
        assert not lookup.problems, lookup.problems
        figures: dict[str, Any] = {"open_ms": round(min(opening), 1), "open_mb": round(memory_mb() - before, 1)}
        rng = random.Random(1)
        warm(lookup, rng)
        figures["mixed"] = measure(lookup, [mixed(rng) for _ in range(questions)])
        figures["warm_mb"] = round(memory_mb() - before, 1)
        figures["weights"] = measure(lookup, [weights(rng) for _ in range(questions // 4)])
        figures["infeasible"] = measure(lookup, [infeasible(rng) for _ in range(questions // 4)])
        figures["repeated"] = measure(lookup, [RouteQuery(task=TASKS[0])] * questions)
        figures["whole"] = measure(lookup, [mixed(rng) for _ in range(questions // 4)], RouteAnswer.to_dict)
        if size <= 100_000:
            figures["reload"] = reload_ms(lookup, Path(folder), (np.zeros(0, int), np.zeros(0, int)), rng)
        figures["litellm_us"] = litellm_us(size) if size <= 1_000 else "quadratic: 1,000 deployments only"
        return figures


def warm(lookup: Lookup, rng: random.Random) -> None:
    """Every order and index was asked for before."""
    for task in TASKS:
        for policy in (None, "learned", "cheapest", "fastest", "best", "balanced"):
            lookup.route(RouteQuery(task=task, policy=policy, min_quality=0.1))
    for _ in range(500):
        read(lookup.route(mixed(rng)))
    read(lookup.route(infeasible(rng)))


def make_home_apart(home: Path, size: int) -> None:
    """In a process of its own, so that its memory is not taken for the lookup's."""
    child = os.fork()
    if not child:
        make_home(home, size, np.random.default_rng(1))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, nargs="+", default=[1_000, 11_000, 100_000])
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {"machine": machine(), "sizes": {}}
    # What one size leaves behind is not the next one's memory.
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as apart:
        for size in options.models:
            results["sizes"][size] = apart.submit(run, size, options.questions).result()
            if not options.json:
                show(size, results["sizes"][size])
    print(json.dumps(results) if options.json else results["machine"])


def show(size: int, figures: dict[str, Any]) -> None:
    print(f"{size:>9,} models: " + ", ".join(f"{k} {v}" for k, v in figures.items() if not isinstance(v, dict)))
    for name, figure in figures.items():
        if isinstance(figure, dict):
            print(f"{'':>10}{name:<11}" + "   ".join(f"{k} {v:,}" for k, v in figure.items()))
    if size in _TARGETS:
        print(f"{'':>10}targets    mixed p50 < {_TARGETS[size][0]} us, p99 < {_TARGETS[size][1]} us")


if __name__ == "__main__":
    main()
