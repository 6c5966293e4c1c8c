"""How far measured times lie from the truth, and what measuring costs, side by side with what people use otherwise.

    python benchmarks/measure_accuracy.py [--streams 1 10 50 100] [--clients ...] [--rounds 3] [--load 0] [--json]

The truth is `truth_server.py` in a process of its own: the first token after 50 ms, 100 tokens, one every 5 ms (at 100 streams
also one every 25 ms). Clients take turns; each keeps `--streams` requests going, warm, and asks `--rounds` times a stream.

|error|: how far a figure lies outside of what the server knows: it knows when a request came (kernel stamp), and of each
write the moments before and after. *inside*: the share of truths within the sample's own interval, from the figure minus its
`timing_uncertainty_ms` up to the figure. CPU: of this process, per 1,000 tokens. `--load N` runs N busy processes beside it.

Clients: ours; ours without kernel stamps; plain httpx `aiter_lines` with one pool for all; the openai SDK, aiperf and guidellm
where they are installed. All but the last two, which are programs of their own, run in this process, on the same kind of event
loop. Last, one request at a time, ours against the log of the simulated provider.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import accuracy_peers
import httpx
import orjson
from accuracy_peers import Sample

from flows.workloads import gold_files, gold_questions
from providers.loop import run, without_long_pauses
from providers.measure import measure
from providers.records import Deadlines, Prompt, ProviderSpec
from providers.simulated import running
from providers.simulated.world import providers
from providers.transport import open_client

TOKENS = 100
FEWEST = 60  # requests of a row: of fewer, a 99th percentile says nothing
BODY = {"model": "truth", "messages": [{"role": "user", "content": "Count."}], "stream": True}


Ask = Callable[[str], Awaitable[Sample]]  # asks once, under this request id
Open = Callable[[str, int, float], contextlib.AbstractAsyncContextManager[list[Ask]]]  # base URL, streams, gap in ms


@asynccontextmanager
async def ours(url: str, streams: int, gap_ms: float, *, kernel: bool = True) -> AsyncIterator[list[Ask]]:
    """`measure`, with a small pool per worker."""
    spec = ProviderSpec(
        "truth", "custom", "chat", url, "/v1/chat/completions", "/v1/models", query={"gap_ms": str(gap_ms)}
    )

    def worker(client: httpx.AsyncClient) -> Ask:
        async def ask(request_id: str) -> Sample:
            seen = await measure(
                client, spec, "truth", Prompt("Count."), api_key=None, deadlines=Deadlines(), request_id=request_id
            )
            assert seen.ttft_ms is not None, seen
            assert seen.total_latency_ms is not None
            return Sample(seen.ttft_ms, seen.total_latency_ms, seen.tps, seen.timing_uncertainty_ms, seen.timing_source)

        return ask

    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(open_client(spec, connections=1, kernel_stamps=kernel))
            for _ in range(streams)
        ]
        yield [worker(client) for client in clients]


@asynccontextmanager
async def socket_stamps(url: str, streams: int, gap_ms: float) -> AsyncIterator[list[Ask]]:
    """The same without kernel stamps."""
    async with ours(url, streams, gap_ms, kernel=False) as asks:
        yield asks


class Watch:
    """A stopwatch as one writes it around a stream."""

    def __init__(self) -> None:
        self.start = self.first = self.last = time.monotonic()
        self.tokens = 0

    def token(self) -> None:
        self.last = time.monotonic()
        if not self.tokens:
            self.first = self.last
        self.tokens += 1

    def stop(self) -> Sample:
        total = time.monotonic() - self.start
        return Sample(
            (self.first - self.start) * 1e3, total * 1e3, (self.tokens - 1) / max(self.last - self.first, 1e-9)
        )


@asynccontextmanager
async def plain_httpx(url: str, streams: int, gap_ms: float) -> AsyncIterator[list[Ask]]:
    """`httpx.aiter_lines`, one client for all."""
    limits = httpx.Limits(max_connections=streams, max_keepalive_connections=streams)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:

        async def ask(request_id: str) -> Sample:
            watch = Watch()
            path = f"{url}/v1/chat/completions?gap_ms={gap_ms}"
            async with client.stream("POST", path, json=BODY, headers={"X-Request-ID": request_id}) as response:
                async for line in response.aiter_lines():
                    if not line.startswith("data: ") or line == "data: [DONE]":
                        continue
                    choices = orjson.loads(line[6:])["choices"]
                    if choices and choices[0]["delta"].get("content"):
                        watch.token()
            return watch.stop()

        yield [ask] * streams


@asynccontextmanager
async def openai_sdk(url: str, streams: int, gap_ms: float) -> AsyncIterator[list[Ask]]:
    """The openai SDK, one client for all."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:

        async def ask(request_id: str) -> Sample:
            watch = Watch()
            stream = await client.chat.completions.create(
                model="truth",
                messages=[{"role": "user", "content": "Count."}],
                stream=True,
                extra_query={"gap_ms": gap_ms},
                extra_headers={"X-Request-ID": request_id},
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    watch.token()
            return watch.stop()

        yield [ask] * streams


CLIENTS: dict[str, Open] = {"ours": ours, "ours, socket": socket_stamps, "httpx": plain_httpx, "openai": openai_sdk}


async def rounds_of(
    opened: Open, url: str, streams: int, gap_ms: float, rounds: int
) -> tuple[dict[str, Sample], float]:
    """The samples by request id, and the CPU seconds of measuring them; a first round warms up and does not count."""
    async with opened(url, streams, gap_ms) as asks:
        await asyncio.gather(*(ask(str(uuid.uuid4())) for ask in asks))
        samples: dict[str, Sample] = {}

        async def work(ask: Ask, delay_s: float) -> None:
            await asyncio.sleep(delay_s)  # streams that begin at once would also end at once
            for _ in range(rounds):
                request_id = str(uuid.uuid4())
                samples[request_id] = await ask(request_id)

        spread = random.Random(streams)  # the same for every client
        before = time.process_time()
        await asyncio.gather(*(work(ask, spread.random() * TOKENS * gap_ms / 1e3) for ask in asks))
        return samples, time.process_time() - before


def taken(name: str, url: str, streams: int, gap_ms: float, rounds: int) -> tuple[dict[str, Sample], float | None]:
    """The samples of a client by request id, and its CPU seconds where it runs in this process."""
    if name in CLIENTS:
        with without_long_pauses():  # not to be billed for what the client before it imported and left behind
            return run(rounds_of(CLIENTS[name], url, streams, gap_ms, rounds))
    return accuracy_peers.samples(name, url, streams, gap_ms, streams * rounds), None


def outside(low: float, high: float, low_truth: float, high_truth: float) -> float:
    """The distance of two intervals; 0 where they meet."""
    return max(0.0, low - high_truth, low_truth - high)


def judge(samples: dict[str, Sample], truths: dict[str, dict[str, Any]], cpu_s: float | None) -> dict[str, Any]:
    """The errors of all samples: median and 99th percentile."""
    errors: dict[str, list[float]] = {"ttft_ms": [], "total_ms": [], "tps_percent": []}
    inside, told, width = 0, 0, []
    for request_id, sample in samples.items():
        truth = truths[request_id]
        if truth["received_ns"] is None:
            continue
        ttft, total = (
            tuple((moment - truth["received_ns"]) / 1e6 for moment in truth[name]) for name in ("first_ns", "end_ns")
        )
        (first_low, first_high), (last_low, last_high) = truth["first_ns"], truth["last_ns"]
        tps = (TOKENS - 1) * 1e9 / (last_high - first_low), (TOKENS - 1) * 1e9 / (last_low - first_high)
        errors["ttft_ms"].append(outside(sample.ttft_ms, sample.ttft_ms, *ttft))
        errors["total_ms"].append(outside(sample.total_ms, sample.total_ms, *total))
        if sample.tps is not None:
            errors["tps_percent"].append(outside(sample.tps, sample.tps, *tps) / tps[0] * 100)
        if sample.uncertainty_ms is not None:
            width.append(sample.uncertainty_ms)
            for value, known in ((sample.ttft_ms, ttft), (sample.total_ms, total)):
                told += 1
                inside += outside(value - sample.uncertainty_ms, value, *known) == 0
    return {
        "requests": len(errors["ttft_ms"]),
        **{name: quantiles(values) for name, values in errors.items()},
        "uncertainty_ms": quantiles(width) if width else None,
        "inside": inside / told if told else None,
        "kernel": sum(sample.source == "kernel" for sample in samples.values()) / len(samples),
        "cpu_s": None if cpu_s is None else cpu_s / (len(samples) * TOKENS / 1000),
    }


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile (the next value up)."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


@contextmanager
def truth() -> Iterator[tuple[str, Path]]:
    """The server in its process: its URL and its log."""
    with tempfile.TemporaryDirectory(prefix="truth-") as folder:
        log = Path(folder) / "log.jsonl"
        command = [sys.executable, str(Path(__file__).with_name("truth_server.py")), str(log), "--tokens", str(TOKENS)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}", log
            server.kill()


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many processes that want a core each."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def entries(log: Path) -> dict[str, dict[str, Any]]:
    return {entry["request_id"]: entry for entry in map(orjson.loads, log.read_bytes().splitlines())}


async def against_simulated(requests: int) -> dict[str, Any]:
    """Ours against the simulated provider's own log (issue of its first text, of its end), one request at a time."""
    questions = gold_questions()
    every = [(provider.key, model) for provider in providers() for model in provider.models]
    errors: dict[str, list[float]] = {"ttft_ms": [], "total_ms": []}
    with running(seed=3, gold=gold_files()) as simulated:
        specs = {provider["key"]: simulated.spec(provider["key"]) for provider in simulated.providers}
        measured = {}
        async with AsyncExitStack() as stack:
            clients = {key: await stack.enter_async_context(open_client(spec)) for key, spec in specs.items()}
            for number in range(requests):
                provider, model = every[number % len(every)]
                prompt = Prompt(questions[number % len(questions)].prompt, max_output_tokens=64)
                request_id = str(uuid.uuid4())
                measured[request_id] = await measure(
                    clients[provider], specs[provider], model, prompt,
                    api_key=None, deadlines=Deadlines(), request_id=request_id,
                )  # fmt: skip
        await asyncio.sleep(0.1)  # the last line of the log follows the last byte
        done = {entry["request_id"]: entry for entry in simulated.log() if entry["event"] == "done"}
    for request_id, one in measured.items():
        if one.outcome != "ok" or one.ttft_ms is None or one.total_latency_ms is None:
            continue
        true = done[request_id]
        errors["ttft_ms"].append(abs(one.ttft_ms - (true["first_token_ns"] - true["received_ns"]) / 1e6))
        errors["total_ms"].append(abs(one.total_latency_ms - (true["end_ns"] - true["received_ns"]) / 1e6))
    return {"requests": len(errors["ttft_ms"]), **{name: quantiles(values) for name, values in errors.items()}}


def show(name: str, streams: int, rate: float, found: dict[str, Any]) -> None:
    """One row of the table."""
    pairs = [f"{found[key][0]:.3f}/{found[key][1]:.3f}" for key in ("ttft_ms", "total_ms", "tps_percent")]
    sure = "-/-" if found["uncertainty_ms"] is None else "{:.2f}/{:.2f}".format(*found["uncertainty_ms"])
    inside = "-" if found["inside"] is None else f"{found['inside']:.2%}"
    cpu = "-" if found["cpu_s"] is None else f"{found['cpu_s']:.3f}"
    cells = [name, str(streams), f"{rate:g}", *pairs, sure, inside, f"{found['kernel']:.0%}", cpu]
    print("| " + " | ".join(cells) + f" |  {found['requests']} requests", flush=True)


def main() -> None:
    """Print a table, or with `--json` one document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [*CLIENTS, *accuracy_peers.PEERS]
    available = [name for name in CLIENTS if name != "openai" or find_spec("openai")] + accuracy_peers.installed()
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 10, 50, 100])
    parser.add_argument("--clients", nargs="*", choices=available, default=available)
    parser.add_argument("--rounds", type=int, default=3, help=f"requests per stream; {FEWEST} in all at least")
    parser.add_argument("--load", type=int, default=0, help="busy processes beside")
    parser.add_argument("--simulated", type=int, default=100, help="requests against the simulated provider")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    rows: list[dict[str, Any]] = []
    if not given.json:
        if missing := [name for name in every if name not in available]:
            print(f"not installed, and so not in the table: {', '.join(missing)}\n")
        print(f"{machine}, load {os.getloadavg()[0]:.1f} before, {given.load} busy processes\n")
        print("|error| is median/p99\n")
        print(
            "| client | streams | tokens/s | TTFT ms | total ms | TPS % | uncertainty ms | inside | kernel | CPU s per 1,000 tokens |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
    shapes = [(streams, 5.0) for streams in given.streams] + ([(100, 25.0)] if 100 in given.streams else [])
    with truth() as (url, log), load(given.load):
        for streams, gap_ms in shapes:
            for name in given.clients:
                rounds = max(given.rounds, -(-FEWEST // streams))
                samples, cpu_s = taken(name, url, streams, gap_ms, rounds)
                time.sleep(0.1)  # the last line of the log follows the last byte
                found = judge(samples, entries(log), cpu_s)
                rows.append({"client": name, "streams": streams, "tokens_per_s": 1000 / gap_ms, **found})
                if not given.json:
                    show(name, streams, 1000 / gap_ms, found)
    simulated = run(against_simulated(given.simulated)) if given.simulated else None
    if given.json:
        print(json.dumps({"machine": machine, "load": given.load, "rows": rows, "simulated": simulated}))
    elif simulated:
        ttft, total = ("{:.3f}/{:.3f}".format(*simulated[name]) for name in ("ttft_ms", "total_ms"))
        print(
            f"\nthe simulated provider's log, one at a time: TTFT {ttft} ms, total {total} ms ({simulated['requests']} requests)"
        )


if __name__ == "__main__":
    main()
