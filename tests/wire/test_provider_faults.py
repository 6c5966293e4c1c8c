"""Faults of a provider that concern one request: each ends in a typed row, in bounded time and memory."""

import asyncio
import resource
import socket
from dataclasses import replace
from typing import Any

import httpx
import pytest
from wire.loopback import CHAT, DONE, MESSAGES, SOON, Ask, Conversation, data, request, said, serving

from providers.measure import MAX_ERROR_BYTES, MAX_JSON_BYTES
from providers.transport import open_client

KEY = "canary-0123456789"
HEADERS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


# Broken off


@pytest.mark.parametrize("how", ["close", "reset", "end"])
@pytest.mark.parametrize("chunked", [True, False])
async def test_a_stream_that_breaks_off_is_incomplete(ask: Ask, how: str, chunked: bool) -> None:
    async def script(c: Conversation) -> None:
        if chunked:
            await c.start()
            await c.chunk(data(said("Hel")), b'data: {"cho')
            if how == "end":
                await c.end()
        else:
            await c.send(HEADERS + b"\r\n", data(said("Hel")), b'data: {"cho')
        if how == "reset":
            c.reset()
        else:
            c.writer.close()

    seen = await ask(script)
    assert (seen.outcome, seen.success, seen.error_type) == ("incomplete", False, "disconnected")
    assert seen.status_code == 200
    assert seen.tps is None
    if how != "reset":  # a reset may overtake what was sent before it
        assert seen.response_text == "Hel"
        assert (seen.token_source, seen.output_tokens) == ("estimated", 1)
        assert seen.ttft_ms is not None
        assert seen.total_latency_ms is not None


async def test_a_break_after_the_finish_reason_is_ok(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(data(said("a", "stop")))
        c.writer.close()

    assert (await ask(script)).outcome == "ok"


async def test_a_stream_of_nothing_is_incomplete(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.end()

    seen = await ask(script)
    assert (seen.outcome, seen.response_text, seen.first_event_ms) == ("incomplete", None, None)


async def test_a_json_document_that_breaks_off_is_incomplete(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
        c.writer.close()

    assert (await ask(script)).outcome == "incomplete"


@pytest.mark.parametrize("reset", [True, False])
async def test_a_connection_closed_before_the_answer_is_failed(ask: Ask, reset: bool) -> None:
    async def script(c: Conversation) -> None:
        c.reset() if reset else c.writer.close()

    seen = await ask(script)
    assert (seen.outcome, seen.error_type, seen.status_code) == ("failed", "disconnected", None)
    assert seen.total_latency_ms is None


async def test_a_connection_the_server_closed_while_idle_is_not_used_again() -> None:
    async def script(c: Conversation) -> None:
        await c.answer("200 OK", "text/event-stream", data(said("a", "stop")) + DONE)
        c.writer.close()

    async with serving(script) as provider, open_client(CHAT) as client:
        assert (await request(client, provider.spec())).outcome == "ok"
        await asyncio.sleep(0)
        while provider.connections < 2:
            seen = await request(client, provider.spec())
    assert (seen.outcome, seen.connection_reused) == ("ok", False)


@pytest.mark.parametrize("how", ["reset", "close", "flood"])
async def test_nothing_after_the_terminator_counts(ask: Ask, how: str) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(data(said("a", "stop")), DONE + data(said("late")))
        while how == "flood" and not c.writer.is_closing():
            await c.chunk(data(said("late")) * 100)
        c.reset() if how == "reset" else c.writer.close()

    seen = await ask(script)
    if how == "reset" and seen.outcome == "incomplete":
        return  # the reset overtook the answer
    assert (seen.outcome, seen.response_text) == ("ok", "a")


async def test_an_error_body_that_breaks_off_keeps_its_status(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.send(b"HTTP/1.1 500 Oh\r\ncontent-type: text/plain\r\ncontent-length: 99\r\n\r\nbroken")
        c.writer.close()

    seen = await ask(script)
    assert (seen.outcome, seen.error_type, seen.status_code, seen.error_message) == ("failed", "server", 500, "broken")


# Answers that are none


@pytest.mark.parametrize(
    ("content_type", "body", "error_type"),
    [
        ("text/event-stream", b"data: {oops\n\n", "malformed"),
        ("text/event-stream", b"data: [1]\n\n", "malformed"),
        ("application/json", b"{oops", "malformed"),
        ("application/json", b'{"ok": true}', "malformed"),
        ("text/html", b"<html>Sign in</html>", "content_type"),
        ("text/event-stream", b"<html>Sign in</html>", "content_type"),
        ("image/png", b"\x89PNG", "content_type"),
        ("application/json", b'{"error": {"message": "m", "code": "insufficient_quota"}}', "quota"),
        ("text/event-stream", b'{"error": {"message": "m", "type": "server_error"}}', "server"),
        (
            "text/event-stream",
            b'event: error\ndata: {"error": {"message": "m", "status_code": 400}}\n\n',
            "bad_request",
        ),
    ],
)
async def test_a_200_that_is_no_answer_is_failed(ask: Ask, content_type: str, body: bytes, error_type: str) -> None:
    async def script(c: Conversation) -> None:
        await c.answer("200 OK", content_type, body)

    seen = await ask(script)
    assert (seen.outcome, seen.error_type, seen.status_code) == ("failed", error_type, 200)
    assert (seen.response_text, seen.token_source) == (None, None)


async def test_an_excerpt_of_what_could_not_be_read_is_short_and_redacted(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.answer("200 OK", "text/html", f"<a href='https://x.example/?k=1'>{KEY}</a>".encode() + b"x" * 9999)

    seen = await ask(script, api_key=KEY)
    assert seen.error_message is not None
    assert "https://x.example/'" in seen.error_message
    assert KEY not in repr(seen)
    assert len(seen.error_message.encode()) <= 2048


async def test_an_error_in_the_stream_keeps_what_came_before_it(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(data(said("Hel")), data({"error": {"message": "m", "code": 503}}), data(said("lo")), DONE)
        await c.end()

    seen = await ask(script)
    assert (seen.outcome, seen.error_type, seen.error_code) == ("failed", "overloaded", "503")
    assert seen.response_text == "Hel"
    assert seen.ttft_ms is not None
    assert seen.total_latency_ms is not None
    assert seen.tps is None


async def test_an_error_event_of_the_messages_dialect_is_failed(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(data({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
        await c.end()

    seen = await ask(script, base=MESSAGES)
    assert (seen.outcome, seen.error_type, seen.error_code) == ("failed", "overloaded", "overloaded_error")


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "bad_request"),
        (401, "authentication"),
        (402, "payment"),
        (429, "rate_limit"),
        (500, "server"),
        (529, "overloaded"),
    ],
)
async def test_an_error_status_keeps_status_and_code_and_is_asked_once(status: int, error_type: str) -> None:
    async def script(c: Conversation) -> None:
        body = b'{"error": {"message": "wrong key canary-0123456789", "code": "c7"}}'
        await c.answer(f"{status} Oh", "application/json", body, "retry-after: 99999999999")

    async with serving(script) as provider, open_client(CHAT) as client:
        seen = await request(client, provider.spec(), api_key=KEY)
    assert (seen.outcome, seen.error_type, seen.status_code, seen.error_code) == ("failed", error_type, status, "c7")
    assert seen.error_message == "wrong key [redacted]"
    assert seen.total_latency_ms is not None
    assert len(provider.requests) == 1


@pytest.mark.parametrize("location", ["/v1/other", "http://localhost:{port}/x", "https://127.0.0.1:{port}/x"])
async def test_a_redirect_is_never_followed(location: str) -> None:
    async with serving(Conversation.stall) as other:

        async def script(c: Conversation) -> None:
            where = location.format(port=other.port)
            await c.answer("307 Temporary Redirect", "text/plain", b"", f"location: {where}")

        async with serving(script) as provider, open_client(CHAT) as client:
            seen = await request(client, provider.spec(), api_key=KEY)
    assert (seen.outcome, seen.error_type, seen.status_code) == ("failed", "provider", 307)
    assert "redirect" in (seen.error_message or "")
    assert len(provider.requests) == 1
    assert other.connections == 0


async def test_an_answer_in_an_encoding_nobody_asked_for_is_failed(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.answer("200 OK", "text/event-stream", b"\x1f\x8b" + b"\0" * 100, "content-encoding: gzip")

    seen = await ask(script)
    assert (seen.outcome, seen.error_type) == ("failed", "content_type")
    assert "gzip" in (seen.error_message or "")


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000]
)
async def test_what_is_no_http_is_malformed(ask: Ask, answer: bytes) -> None:
    async def script(c: Conversation) -> None:
        await c.send(answer)
        await c.stall()

    assert (await ask(script)).error_type == "malformed"


async def test_labels_from_a_provider_are_short_clean_and_keyless(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        choice = {"delta": {"content": f"{KEY}!"}, "finish_reason": f"{KEY}\x1b[2J"}
        await c.start("200 OK", "text/event-stream", f"x-request-id: {KEY}" + "x" * 999)
        await c.chunk(data({"id": KEY, "model": f"m\n{KEY}", "choices": [choice]}), DONE)
        await c.end()

    seen = await ask(script, api_key=KEY)
    assert KEY not in repr(seen)
    assert (seen.response_text, seen.response_model) == ("[redacted]!", "m [redacted]")
    assert (seen.finish_reason, seen.finish_reason_raw) == ("other", "[redacted] [2J")
    assert len(seen.provider_request_id or "") == 200


# Caps


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize(
    ("piece", "error_type"),
    [
        (b"x" * 65_536, "line_too_long"),
        ((b": " + b"x" * 1000 + b"\n") * 64, "response_too_large"),
        (data(said("word " * 2000)) * 6, "response_too_large"),
    ],
)
async def test_an_endless_answer_is_capped_in_bounded_memory(ask: Ask, piece: bytes, error_type: str) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        while not c.writer.is_closing():
            await c.chunk(piece)

    before = _peak_kib()
    seen = await ask(script)
    assert (seen.outcome, seen.error_type) == ("failed", error_type)
    assert seen.total_latency_ms is None
    assert _peak_kib() - before < 32 * 1024


async def test_an_endless_json_document_is_capped(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start("200 OK", "application/json")
        while not c.writer.is_closing():
            await c.chunk(b" " * (1 << 18))

    seen = await ask(script)
    assert (seen.outcome, seen.error_type) == ("failed", "response_too_large")
    assert str(MAX_JSON_BYTES) in (seen.error_message or "")


async def test_an_endless_error_body_is_cut(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.start("500 Oh", "text/plain")
        while not c.writer.is_closing():
            await c.chunk(b"y" * MAX_ERROR_BYTES)

    seen = await ask(script)
    assert (seen.outcome, seen.error_type, seen.status_code) == ("failed", "server", 500)
    assert len(seen.error_message or "") == 2048


# No connection


async def test_a_refused_connection_is_failed(unused_port: int) -> None:
    spec = replace(CHAT, base_url=f"http://127.0.0.1:{unused_port}")
    async with open_client(spec) as client:
        seen = await request(client, spec)
    assert (seen.outcome, seen.error_type, seen.error_message) == ("failed", "connect", "Connection refused")
    assert (seen.connect_ms, seen.connection_reused, seen.timing_source, seen.status_code) == (None, None, None, None)
    assert seen.call_latency_ms is not None


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".invalid"])
async def test_a_name_that_is_not_found_is_failed(host: str) -> None:
    spec = replace(CHAT, base_url=f"http://{host}")
    async with open_client(spec) as client:
        seen = await request(client, spec)
    assert (seen.outcome, seen.error_type) == ("failed", "dns")


async def test_a_connection_that_is_never_accepted_ends_at_the_deadline() -> None:
    # A listener whose queue is full: further connections hang, as behind a firewall that drops them.
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        spec = replace(CHAT, base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        async with open_client(spec) as client:
            seen = await request(client, spec, deadlines=replace(SOON, first_byte_ms=60))
    assert (seen.outcome, seen.error_type) == ("failed", "connect")
    assert seen.call_latency_ms is not None
    assert seen.call_latency_ms < 310


@pytest.mark.parametrize("base_url", ["ftp://127.0.0.1", "http://[::1", "http://127.0.0.1:99999"])
async def test_a_base_url_that_cannot_work_is_a_row_and_no_exception(base_url: str) -> None:
    async with open_client(CHAT) as client:
        seen = await request(client, replace(CHAT, base_url=base_url))
    assert (seen.outcome, seen.error_type) == ("failed", "connect")


# Another transport than ours


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            httpx.Response(200, headers={"content-type": "text/event-stream"}, content=data(said("a", "stop")) + DONE),
            "ok",
        ),
        (httpx.ConnectError("http://x/?k=1"), "failed"),
    ],
)
async def test_a_transport_without_stamps_gives_no_times(answer: Any, outcome: str) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        seen = await request(client, CHAT)
    assert seen.outcome == outcome
    assert (seen.ttft_ms, seen.headers_ms, seen.timing_source) == (None, None, None)
    assert "http" not in (seen.error_message or "")
