"""What a misbehaving provider does to a whole house: a typed row with what was timed, in bounded time and memory, and the last known
catalog stays in use, called stale. Each test names its row of the table of faults; refusals by status are in
`test_provider_refusals`, one run per slot in `tests/flows/test_slots.py`, redirects and URLs in `tests/security/test_addresses.py`.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
import pytest
from house import House
from wire.loopback import CHAT, DONE, SOON, Conversation, Provider, data, request, said, serving
from wire.test_transport import certificate, hello, server_side

from analytics.lake import Lake
from analytics.queries import run_query
from analytics.store import Row, from_text
from flows.freshness import freshness
from flows.jobs.score import run_score
from providers import tls
from providers.records import Deadlines, Measurement
from providers.simulated.faults import FAULTS
from providers.transport import open_client

KEY = "sk-canary-of-provider-rows"
HALTING = ("stall_headers", "stall_stream", "drip")
MEMORY_MB = 32
LATE_MS = 250


# connection refused, name not found, TLS self-signed/expired/wrong host, network unreachable


@contextmanager
def tls_server(folder: Path, patch: pytest.MonkeyPatch, *, is_trusted: bool, **made: Any) -> Iterator[str]:
    """The base URL of a provider whose certificate is `made` so; trusted as one of the usual authorities, if it is."""
    pem = certificate(folder, **made)
    if is_trusted:
        patch.setattr(certifi, "where", lambda: str(pem))
    tls.default_context.cache_clear()
    loop, running, over = asyncio.new_event_loop(), Future[Provider](), asyncio.Event()

    async def serve() -> None:
        async with serving(hello, server_side(pem)) as provider:
            running.set_result(provider)
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        provider = running.result(30)
        yield f"https://127.0.0.1:{provider.port}/v1"
        assert provider.requests == [], "nothing was said to it"
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
        tls.default_context.cache_clear()


@contextmanager
def plain(url: str) -> Iterator[str]:
    yield url


UNREACHABLE: dict[str, tuple[Callable[..., Any], str, str]] = {
    "connection refused": (lambda *_, port: plain(f"http://127.0.0.1:{port}/v1"), "connect", "Connection refused"),
    "name not found": (lambda *_, port: plain("https://nowhere.invalid/v1"), "dns", ""),
    # Multicast: the kernel has no way there for TCP, whatever the network is like.
    "network unreachable": (lambda *_, port: plain("https://224.0.0.1/v1"), "connect", "Network is unreachable"),
    "TLS, self-signed": (lambda *given, port: tls_server(*given, is_trusted=False), "tls", "self-signed certificate"),
    "TLS, expired": (lambda *given, port: tls_server(*given, is_trusted=True, days=-1), "tls", "certificate has expired"),
    "TLS, wrong host": (
        lambda *given, port: tls_server(*given, is_trusted=True, address="10.9.8.7"),
        "tls",
        "IP address mismatch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", UNREACHABLE)
def test_a_provider_that_cannot_be_reached_is_a_row_and_its_catalog_stays(
    house: House, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    made, error_type, words = UNREACHABLE[fault]
    house.add_gateway("gateway", provider_type="custom")
    house.sync()
    before = house.rows("catalog", "id")
    assert len(before) == 3
    (synced,) = house.rows("providers", key="gateway")
    house.sections["catalog"] = {"attempts": 1}
    with made(tmp_path, monkeypatch, port=unused_port) as url:
        with house.store() as store:
            store.write("providers", [synced | {"base_url": url, "is_private_allowed": True}])
        (result,) = house.bench(models=("gateway/aurora-mini",)).results
        (report,) = house.sync()
    assert (result.outcome, result.error_type, result.status_code) == ("failed", error_type, None)
    assert words in (result.error_message or "")
    assert result.error_message
    (row,) = house.rows("benchmark_results")
    assert row["call_latency_ms"] > 0, "what was timed"
    assert row["ttft_ms"] is row["total_latency_ms"] is row["headers_ms"] is row["tps"] is row["output_tokens"] is None
    assert (report.error or "").startswith(f"No connection to {url}")
    assert house.rows("catalog", "id") == before
    (stale,) = house.rows("providers", key="gateway")
    known = freshness(stale, datetime.now(UTC))
    assert known.is_stale
    assert known.age_s is not None
    assert known.age_s >= (from_text(row["created_at"]) - from_text(synced["last_synced"])).total_seconds()


# headers never come; stall mid-stream; one byte per second


async def timed(script: Callable[[Conversation], Any], deadlines: Deadlines, limit_ms: float) -> Measurement:
    """A measurement that was over `limit_ms` plus a quarter of a second; the best of three, for a machine may starve once."""
    late = []
    for _ in range(3):
        async with serving(script) as provider, open_client(CHAT) as client:
            seen = await request(client, provider.spec(), deadlines=deadlines)
        assert seen.call_latency_ms is not None
        if seen.call_latency_ms <= limit_ms + LATE_MS:
            return seen
        late.append(seen.call_latency_ms)
    raise AssertionError(f"over after {late} ms instead of {limit_ms} + {LATE_MS}")


async def once_a_second(c: Conversation, answer: bytes) -> None:
    for byte in answer:
        await c.send(bytes([byte]))
        await asyncio.wait({asyncio.ensure_future(c.never.wait())}, timeout=1)
        if c.writer.is_closing():
            return


@pytest.mark.parametrize("where", ["in the stream", "in the headers", "in the status line"])
async def test_one_byte_per_second_ends_with_the_total(where: str) -> None:
    """Each byte comes well within the deadline between two; only a clock of its own ends this."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    sent = {"in the stream": head + b"\r\n", "in the headers": head, "in the status line": b""}[where]

    async def script(c: Conversation) -> None:
        await c.send(sent)
        await once_a_second(c, data(said("a")) * 9 if where == "in the stream" else head + b"x-more: " + b"y" * 99)

    deadlines = Deadlines(first_byte_ms=20_000, idle_ms=20_000, total_ms=2_300)
    seen = await timed(script, deadlines, deadlines.total_ms)
    assert (seen.outcome, seen.error_type) == ("failed", "timeout_total")
    assert (seen.call_latency_ms or 0) >= deadlines.total_ms


@pytest.mark.parametrize("fault", HALTING)
def test_what_halts_ends_at_its_deadline_and_the_others_are_measured(house: House, fault: str) -> None:
    house.ready("sim-cascade")
    house.add_gateway("halting", f"fault/{fault}", provider_type="custom", is_simulated=True)
    house.sections["benchmark"] = {"first_byte_ms": 900.0, "idle_ms": 900.0, "total_ms": 1_500.0}
    house.bench()
    (row,) = house.rows("benchmark_results", provider="halting")
    expected = {"stall_headers": "timeout_first_byte", "stall_stream": "timeout_idle", "drip": "timeout_total"}
    assert (row["outcome"], row["error_type"]) == ("failed", expected[fault])
    assert row["total_latency_ms"] is row["tps"] is None
    assert {one["outcome"] for one in house.rows("benchmark_results", provider="sim-cascade")} == {"ok"}


# reset or clean close mid-stream; answers that are none; answers that lack something: (outcome, error_type, status)

BAD_ANSWERS: dict[str, tuple[str, str | None, int | None]] = {
    "cut_stream": ("incomplete", "disconnected", 200),
    "cut_chunked": ("incomplete", "disconnected", 200),
    "reset_stream": ("incomplete", "disconnected", 200),
    "close_unanswered": ("failed", "disconnected", None),
    "garbage_json": ("failed", "malformed", 200),
    "garbage_bytes": ("failed", "malformed", 200),
    "html_200": ("failed", "content_type", 200),
    "html_502": ("failed", "server", 502),
    "error_200": ("failed", "server", 200),
    "error_event": ("failed", "overloaded", 200),
    "endless_line": ("failed", "line_too_long", 200),
    "endless_stream": ("failed", "response_too_large", 200),
    "gzip_bomb": ("failed", "content_type", 200),
    **dict.fromkeys(
        ("no_usage", "no_done", "no_finish", "empty", "reasoning_only", "thinking", "tool_call", "unicode", "whole_200",
         "double_done", "crlf", "comments", "no_space"),
        ("ok", None, 200),
    ),
}  # fmt: skip


def gateways(house: House, path: str, provider_type: str) -> dict[str, Row]:
    """The row of one request to each bad answer, after a run that asked for one after another."""
    house.sections["benchmark"] = {"sequential": True}
    base_url = f"http://127.0.0.1:{house.simulated.port}/{path}/v1"
    for name in BAD_ANSWERS:  # each its own provider, so that none stops another
        house.add_gateway(name.replace("_", "-"), f"fault/{name}", provider_type=provider_type, base_url=base_url)
    house.add_gateway(
        "good", f"{path}-{'mini' if path == 'aurora' else 'swift'}", provider_type=provider_type, base_url=base_url
    )
    house.bench()
    return {row["model"].partition("/")[2].removeprefix("fault/"): row for row in house.rows("benchmark_results")}


@pytest.mark.parametrize(("path", "provider_type"), [("aurora", "custom"), ("cascade", "anthropic")])
def test_every_bad_answer_is_one_typed_row(
    house: House, path: str, provider_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    for name in (*BAD_ANSWERS, "good"):
        monkeypatch.setenv(f"{name.upper()}_API_KEY", KEY)
    assert set(BAD_ANSWERS) | set(HALTING) == set(FAULTS)
    house.home.mkdir(exist_ok=True)
    rows = gateways(house, path, provider_type)
    found = {
        name: (row["outcome"], row["error_type"], row["status_code"])
        for name, row in rows.items()
        if name in BAD_ANSWERS
    }
    assert found == BAD_ANSWERS
    for name, row in rows.items():
        assert row["success"] is (row["outcome"] == "ok")
        assert (row["error_message"] is None) == row["success"], name
        assert len((row["error_message"] or "").encode()) <= 2048
        assert KEY not in json.dumps(row)
        assert row["call_latency_ms"] > 0
        if not row["success"]:
            assert row["tps"] is None, name
        for figure in ("output_tokens", "ttft_ms", "tps", "total_latency_ms", "cost_usd"):
            assert row[figure] is None or row[figure] >= 0
    # Zero tokens, empty content, usage missing, a doubled terminator, reasoning only: null where unknown, never 0.
    empty, thinking = rows["empty"], rows["reasoning_only"]
    assert (empty["response_text"], empty["output_tokens"], empty["token_source"]) == ("", 0, "provider"), "so it said"
    assert (empty["ttft_ms"], empty["tps"], empty["inter_token_p50_ms"]) == (None, None, None)
    assert (thinking["response_text"], thinking["ttft_ms"]) == ("", None)
    assert thinking["first_reasoning_ms"] > 0
    assert (rows["no_usage"]["token_source"], rows["no_usage"]["output_tokens"] > 0) == ("estimated", True)
    assert rows["double_done"]["response_text"] == rows["double_done"]["response_text"].strip()
    unanswered = rows["close_unanswered"]
    assert unanswered["output_tokens"] is unanswered["input_tokens"] is unanswered["token_source"] is None

    # Counted in the error rate, left out of latency and TPS statistics.
    run_score(house.settings)
    lake = Lake(house.settings.home.lake)
    errors = {row["provider"]: row for row in run_query(lake, "error_rate_24h").to_pylist()}
    speeds = {row["provider"] for row in run_query(lake, "provider_performance_24h").to_pylist()}
    assert {name for name in BAD_ANSWERS if errors[name.replace("_", "-")]["error_rate"] == 1.0} == {
        name for name, (outcome, *_) in BAD_ANSWERS.items() if outcome != "ok"
    }
    assert speeds == {"good"} | {
        name.replace("_", "-") for name, (outcome, *_) in BAD_ANSWERS.items() if outcome == "ok"
    }


# endless line, endless stream, gzip bomb: memory


def grown(url: str, model: str) -> dict[str, Any]:
    """What a request in a process of its own ended with, and by how many MB its memory's peak grew."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join((str(tests.parent), str(tests)))
    command = [sys.executable, "-m", "faults.provider_memory", url, model]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path})
    figures: dict[str, Any] = json.loads(done.stdout)
    print(f"{model}: {figures['error_type']}, {figures['grown_mb']:.1f} MB")
    return figures


linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel's own peak is Linux's")


@linux
@pytest.mark.parametrize(
    ("fault", "error_type"),
    [("endless_line", "line_too_long"), ("endless_stream", "response_too_large"), ("gzip_bomb", "content_type")],
)
def test_an_answer_without_end_takes_little_memory(house: House, fault: str, error_type: str) -> None:
    figures = grown(f"http://127.0.0.1:{house.simulated.port}/aurora/v1", f"fault/{fault}")
    assert figures["error_type"] == error_type
    assert figures["grown_mb"] < MEMORY_MB


@linux
@pytest.mark.parametrize(
    ("head", "piece", "error_type"),
    [
        (b'application/json\r\n\r\n{"data":[{"id":"', b"x" * 65_536, "response_too_large"),
        (b'application/json\r\n\r\n{"data":[', b"0," * 32_768, "response_too_large"),
        (b"application/json\r\n\r\n", b" " * 65_536, "response_too_large"),
        (b"application/json\r\n\r\n", b"[" * 65_536, "malformed"),
        (b"application/json\r\ncontent-encoding: gzip\r\n\r\n", zlib.compress(bytes(1 << 24), 9), "content_type"),
        (b"text/html\r\n\r\n<html>", b"<p>" * 20_000, "malformed"),
    ],
    ids=["an endless entry", "endless entries", "endless space", "endless depth", "a gzip bomb", "an endless page"],
)
async def test_a_listing_without_end_takes_little_memory(head: bytes, piece: bytes, error_type: str) -> None:
    async def script(c: Conversation) -> None:
        await c.send(b"HTTP/1.1 200 OK\r\ncontent-type: " + head)
        while not c.writer.is_closing():
            await c.send(piece)

    async with serving(script) as provider:
        figures = await asyncio.to_thread(grown, f"http://127.0.0.1:{provider.port}/v1", "listing")
    assert figures["error_type"] == error_type
    assert figures["grown_mb"] < MEMORY_MB


# redirect to the same host, another host, http


@pytest.mark.parametrize(
    "location", ["/v1/other", "http://localhost:{port}/x", "https://127.0.0.1:{port}/x", "//localhost:{port}/x"]
)
async def test_a_redirect_brings_no_key_anywhere(location: str) -> None:
    async with serving(Conversation.stall) as other:

        async def script(c: Conversation) -> None:
            await c.answer("308 Permanent Redirect", "text/plain", b"", f"location: {location.format(port=other.port)}")

        async with serving(script) as provider, open_client(CHAT) as client:
            seen = await request(client, provider.spec(), api_key=KEY)
    assert (seen.outcome, seen.error_type, seen.status_code) == ("failed", "provider", 308)
    assert (len(provider.requests), other.connections) == (1, 0)


# wall clock jumps, DST


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 0.02, -0.02, 86_400.0 * 365])
async def test_a_wall_clock_that_jumps_changes_no_duration(jump_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is set in mid-stream and set back; the kernel's stamps are of the wall clock, what is stored is not."""
    wall_ns, set_by = time.time_ns, 0.0
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + int(set_by * 1e9))
    monkeypatch.setattr(time, "time", lambda: time.time_ns() / 1e9)

    async def script(c: Conversation) -> None:
        nonlocal set_by
        await c.start()
        for number in range(8):
            await c.chunk(data(said("word ")))
            set_by = jump_s if number % 2 == 0 else 0.0
            await asyncio.sleep(0.02)
        await c.chunk(data(said(None, "stop")), DONE)
        await c.end()

    async with serving(script) as provider, open_client(CHAT) as client:
        for _ in range(3):
            began = time.monotonic()
            seen = await request(client, provider.spec(), deadlines=SOON)
            lasted_ms = (time.monotonic() - began) * 1000
            assert seen.outcome == "ok"
            times = (seen.headers_ms, seen.first_event_ms, seen.ttft_ms, seen.total_latency_ms, seen.call_latency_ms)
            assert all(one is not None for one in times)
            known = [one for one in times if one is not None]
            assert known == sorted(known)
            assert known[0] >= 0
            assert known[-1] <= lasted_ms
            assert known[3] >= 8 * 20, "the stream lasted that long"
            assert 0 <= (seen.timing_uncertainty_ms or 0) <= lasted_ms
            assert seen.tps is None or seen.tps > 0


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "UTC"])
def test_a_rows_moment_is_utc_wherever_it_is_measured(house: House, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        house.ready("sim-cascade")
        before = datetime.now(UTC)
        house.bench(models=("sim-cascade/cascade-swift",))
        (row,) = house.rows("benchmark_results")
        assert row["created_at"].endswith("Z")
        assert before <= from_text(row["created_at"]) <= datetime.now(UTC)
        assert 0 <= row["ttft_ms"] <= row["total_latency_ms"] <= row["call_latency_ms"]
    finally:
        monkeypatch.undo()
        time.tzset()


# the catalog: what it does with the same answers


@pytest.mark.parametrize("fault", ["stall_headers", "stall_stream", "cut_stream", "cut_chunked", "reset_stream", "html_200", "garbage_json", "empty"])  # fmt: skip
def test_a_listing_that_misbehaves_leaves_the_last_known_catalog(house: House, fault: str) -> None:
    house.ready("sim-aurora")
    before = house.rows("catalog", "id")
    house.misbehave("sim-aurora", fault)
    house.sections["catalog"] = {"timeout_ms": 1_000.0, "attempts": 1}
    began = time.monotonic()
    (report,) = house.sync()
    assert time.monotonic() - began < 1 + 9, "the time of a sync is limited as a whole"
    assert report.error
    assert "\n" not in report.error
    assert len(report.error.encode()) < 4096
    after = house.rows("catalog", "id")
    assert [{**row, "updated_at": None} for row in after] == [{**row, "updated_at": None} for row in before]
    (provider,) = house.rows("providers")
    assert freshness(provider, datetime.now(UTC)).is_stale


async def test_a_listing_that_drips_ends_with_the_time_of_its_sync(house: House) -> None:
    async def script(c: Conversation) -> None:
        await c.start("200 OK", "application/json")
        while not c.writer.is_closing():
            await c.chunk(b" ")
            await asyncio.wait({asyncio.ensure_future(c.never.wait())}, timeout=0.05)

    house.add_gateway("dripping", provider_type="custom")
    house.sections["catalog"] = {"timeout_ms": 700.0, "attempts": 1}
    late = []
    async with serving(script) as provider:
        (row,) = house.rows("providers")
        with house.store() as store:
            store.write("providers", [row | {"base_url": f"http://127.0.0.1:{provider.port}/v1"}])
        for _ in range(3):
            began = time.monotonic()
            (report,) = await asyncio.to_thread(house.sync)
            late.append((time.monotonic() - began) * 1000)
    assert report.error == "The models endpoint did not answer within 700 ms."
    assert min(late) < 700 + LATE_MS + 500, "with opening the store and publishing"


async def test_an_answer_from_a_provider_that_was_replaced_is_asked_anew() -> None:
    """A provider that closes after each answer is connected to again, and that time is its own column."""

    async def script(c: Conversation) -> None:
        await c.answer("200 OK", "text/event-stream", data(said("a", "stop")) + DONE, "connection: close")
        c.writer.close()

    async with serving(script) as provider, open_client(CHAT) as client:
        seen = [await request(client, replace(provider.spec())) for _ in range(2)]
    assert [one.connection_reused for one in seen] == [False, False]
    assert all(one.connect_ms is not None for one in seen)
