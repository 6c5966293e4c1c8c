"""How far our time to first token and total latency lie from the truth, one request at a time.

    python benchmarks/ttft_error.py [--requests 200]

The truth is the simulated provider's own log: the same monotonic clock in another process, stamped when it had the
whole request, just after it wrote the first text, and when it had written the end.
"""

import argparse
import asyncio
import platform
import time
import uuid
from collections.abc import Sequence
from os import cpu_count
from typing import Any

from flows.workloads import gold_files, gold_questions
from providers.measure import measure
from providers.records import Deadlines, Measurement, Prompt
from providers.simulated import Simulated, running
from providers.simulated.world import providers
from providers.transport import open_client


async def measure_all(simulated: Simulated, requests: int) -> dict[str, Measurement]:
    """Ask each model in turn, warm, one request after another."""
    questions = gold_questions()
    specs = {provider["key"]: simulated.spec(provider["key"]) for provider in simulated.providers}
    clients = {key: open_client(spec) for key, spec in specs.items()}
    every = [(provider.key, model) for provider in providers() for model in provider.models]
    measured = {}
    for number in range(requests):
        provider, model = every[number % len(every)]
        request_id = str(uuid.uuid4())
        measured[request_id] = await measure(
            clients[provider],
            specs[provider],
            model,
            Prompt(questions[number % len(questions)].prompt, max_output_tokens=64),
            api_key=None,
            deadlines=Deadlines(),
            request_id=request_id,
        )
    for client in clients.values():
        await client.aclose()
    return measured


def errors(measured: dict[str, Measurement], log: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """|measured - true| in ms of every request that went well."""
    truth = {entry["request_id"]: entry for entry in log if entry["event"] == "done"}
    found: dict[str, list[float]] = {"ttft_ms": [], "total_latency_ms": []}
    for request_id, one in measured.items():
        true = truth[request_id]
        if one.outcome != "ok" or one.ttft_ms is None or one.total_latency_ms is None:
            continue
        found["ttft_ms"].append(abs(one.ttft_ms - (true["first_token_ns"] - true["received_ns"]) / 1e6))
        found["total_latency_ms"].append(abs(one.total_latency_ms - (true["end_ns"] - true["received_ns"]) / 1e6))
    return found


def main() -> None:
    """Print the median, the 99th percentile and the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    requests = parser.parse_args().requests
    with running(seed=3, gold=gold_files()) as simulated:
        measured = asyncio.run(measure_all(simulated, requests))
        time.sleep(0.1)  # the last line of the log follows the last byte
        found = errors(measured, simulated.log())
    print(f"{platform.processor() or platform.machine()}, {cpu_count()} cores, Python {platform.python_version()}")
    for name, values in found.items():
        values.sort()
        middle, rare, worst = values[len(values) // 2], values[int(len(values) * 0.99)], values[-1]
        print(
            f"|{name} error|  median {middle:.3f} ms   p99 {rare:.3f} ms   worst {worst:.3f} ms   ({len(values)} requests)"
        )


if __name__ == "__main__":
    main()
