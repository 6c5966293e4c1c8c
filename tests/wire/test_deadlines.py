"""Three deadlines: to the first byte, between two bytes, and in all, on a clock of our own."""

import asyncio
import time
from dataclasses import replace

import pytest
from wire.loopback import CHAT, DONE, SOON, Ask, Conversation, Script, data, request, said, serving

from providers.records import Deadlines, Measurement
from providers.transport import open_client


async def in_time(ask: Ask, script: Script, deadlines: Deadlines, within_ms: float) -> Measurement:
    """A measurement that was over `within_ms`: the best of three, as a starved machine may be late once, but a broken
    clock always is.
    """
    late = []
    for _ in range(3):
        seen = await ask(script, deadlines=deadlines)
        assert seen.call_latency_ms is not None
        if seen.call_latency_ms < within_ms:
            return seen
        late.append(seen.call_latency_ms)
    raise AssertionError(f"over after {late} ms instead of {within_ms}")


async def test_headers_that_never_come_end_at_the_first_byte_deadline(ask: Ask) -> None:
    seen = await in_time(ask, Conversation.stall, replace(SOON, first_byte_ms=40), 290)
    assert (seen.outcome, seen.error_type, seen.status_code) == ("failed", "timeout_first_byte", None)
    assert seen.connect_ms is not None
    assert (seen.headers_ms, seen.total_latency_ms, seen.response_text) == (None, None, None)
    assert seen.call_latency_ms is not None
    assert seen.call_latency_ms >= 40


@pytest.mark.parametrize("before", [(), (data(said("a")),)])
async def test_a_stall_in_the_stream_ends_at_the_idle_deadline(ask: Ask, before: tuple[bytes, ...]) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(*before)
        await c.stall()

    seen = await ask(script, deadlines=replace(SOON, idle_ms=40))
    assert (seen.outcome, seen.error_type, seen.status_code) == ("failed", "timeout_idle", 200)
    assert (seen.ttft_ms is not None, seen.response_text) == ((True, "a") if before else (False, None))
    assert (seen.total_latency_ms, seen.tps) == (None, None)
    assert seen.headers_ms is not None


@pytest.mark.parametrize("which", ["idle_ms", "total_ms"])
@pytest.mark.parametrize("finish", [None, "stop"])
async def test_what_came_before_a_deadline_counts_though_nobody_has_read_it_yet(which: str, finish: str | None) -> None:
    """A stream is read in batches: the last one is not whole when the deadline passes."""
    read = asyncio.Event()

    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(data(said("a")))
        asyncio.get_running_loop().call_later(0.005, read.set)
        await read.wait()
        await c.chunk(data(said("b", finish)))
        await c.stall()

    async with serving(script) as provider, open_client(CHAT) as client:
        seen = await request(client, provider.spec(), deadlines=replace(SOON, **{which: 40}))
    assert seen.response_text == "ab"
    assert seen.outcome == ("ok" if finish else "failed")


async def test_bytes_hold_off_the_idle_deadline_though_nobody_has_read_them_yet(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        for _ in range(20):
            await c.chunk(data(said("a")))
            await asyncio.wait({asyncio.ensure_future(c.never.wait())}, timeout=0.01)
        await c.chunk(data(said("b", "stop")))
        await c.end()

    seen = await ask(script, deadlines=replace(SOON, idle_ms=150))  # of which 50 may be a batch's
    assert (seen.outcome, seen.response_text) == ("ok", "a" * 20 + "b")


@pytest.mark.parametrize("drop", [b"a", data(said("a")), b": still here\n\n"])
async def test_a_drip_that_outlives_every_idle_deadline_ends_at_the_total(ask: Ask, drop: bytes) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        while not c.writer.is_closing():
            await c.chunk(drop)
            try:
                await asyncio.wait_for(c.never.wait(), 0.005)
            except TimeoutError:
                continue

    seen = await in_time(ask, script, Deadlines(first_byte_ms=300, idle_ms=300, total_ms=400), 650)
    assert (seen.outcome, seen.error_type) == ("failed", "timeout_total")
    assert seen.call_latency_ms is not None
    assert seen.call_latency_ms >= 400


async def test_a_flood_does_not_hold_off_the_total_deadline(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        while not c.writer.is_closing():
            await c.chunk(data(said("a")) * 20)

    seen = await in_time(ask, script, replace(SOON, total_ms=100), 350)
    assert seen.error_type == "timeout_total"


async def test_an_error_body_that_never_ends_keeps_its_status(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start("429 Too Many Requests", "application/json")
        await c.chunk(b'{"error":')
        await c.stall()

    seen = await ask(script, deadlines=replace(SOON, idle_ms=40))
    assert (seen.outcome, seen.error_type, seen.status_code) == ("failed", "timeout_idle", 429)


async def test_a_finished_answer_is_ok_though_its_stream_is_never_closed(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(data(said("a", "stop")))
        await c.stall()

    seen = await ask(script, deadlines=replace(SOON, idle_ms=40))
    assert (seen.outcome, seen.response_text) == ("ok", "a")
    assert seen.total_latency_ms == seen.ttft_ms


@pytest.mark.parametrize("junk", [b"", b": x\n\n"])
async def test_what_follows_the_terminator_costs_no_time(ask: Ask, junk: bytes) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(data(said("a", "stop")), DONE)
        while junk and not c.writer.is_closing():
            await c.chunk(junk)
            await asyncio.wait({asyncio.ensure_future(c.never.wait())}, timeout=0.005)
        await c.stall()

    start = time.monotonic()
    seen = await in_time(ask, script, SOON, 90)
    assert seen.outcome == "ok"
    assert time.monotonic() - start < 3


async def test_a_queue_for_a_connection_ends_at_the_deadline() -> None:
    arrived = asyncio.Event()

    async def script(c: Conversation) -> None:
        arrived.set()
        await c.stall()

    async with serving(script) as provider, open_client(CHAT, connections=1) as client:
        busy = asyncio.create_task(request(client, provider.spec(), deadlines=replace(SOON, first_byte_ms=200)))
        await arrived.wait()
        seen = await request(client, provider.spec(), deadlines=replace(SOON, first_byte_ms=20))
        busy.cancel()
    assert seen.error_type == "timeout_first_byte"
    assert "free connection" in (seen.error_message or "")
    assert (seen.connection_reused, seen.client_wait_ms, seen.timing_source) == (None, None, None)
