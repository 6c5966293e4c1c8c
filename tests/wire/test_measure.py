"""A measurement over a real socket: what it times, what it counts, what it says."""

import asyncio
import gc
import json
from typing import Any

import pytest
from wire.loopback import CHAT, DONE, MESSAGES, PROMPT, USAGE, Ask, Conversation, data, request, said, serving

from providers.http1 import Marks
from providers.records import Prompt
from providers.transport import open_client


async def hello(c: Conversation) -> None:
    await c.start()
    await c.chunk(data(said("", role="assistant")), data(said("Hel")), data(said("lo")), data(said(None, "stop")))
    await c.chunk(data(USAGE), DONE)
    await c.end()


def speak(*bodies: bytes, content_type: str = "text/event-stream", headers: tuple[str, ...] = ()) -> Any:
    """A script that answers with these bodies, one chunk each, and ends well."""

    async def script(c: Conversation) -> None:
        await c.start("200 OK", content_type, *headers)
        await c.chunk(*bodies)
        await c.end()

    return script


async def test_a_whole_answer_is_ok(ask: Ask) -> None:
    seen = await ask(hello)
    assert (seen.outcome, seen.success, seen.status_code) == ("ok", True, 200)
    assert (seen.error_type, seen.error_code, seen.error_message) == (None, None, None)
    assert (seen.response_text, seen.finish_reason, seen.finish_reason_raw) == ("Hello", "stop", "stop")
    assert (seen.input_tokens, seen.output_tokens, seen.token_source) == (9, 3, "provider")
    assert (seen.response_model, seen.provider_request_id) == ("tiny-1", "c1")
    assert seen.timing_source in {"kernel", "socket"}


async def test_times_follow_each_other(ask: Ask) -> None:
    seen = await ask(hello)
    times = [seen.headers_ms, seen.first_event_ms, seen.ttft_ms, seen.total_latency_ms, seen.call_latency_ms]
    assert all(time is not None and time >= 0 for time in times)
    assert times == sorted(time or 0 for time in times)
    assert seen.call_latency_ms is not None
    assert seen.client_wait_ms is not None
    assert seen.connect_ms is not None
    assert seen.call_latency_ms >= seen.client_wait_ms + seen.connect_ms + (seen.total_latency_ms or 0)


async def test_a_warm_connection_has_no_connect_time() -> None:
    async with serving(hello) as provider, open_client(CHAT) as client:
        first = await request(client, provider.spec())
        second = await request(client, provider.spec())
        third = await request(client, provider.spec())
    assert (first.connection_reused, second.connection_reused, third.connection_reused) == (False, True, True)
    assert first.connect_ms is not None
    assert (second.connect_ms, third.connect_ms) == (None, None)
    assert second.client_wait_ms is not None
    assert provider.connections == 1


async def test_a_connection_is_reused_though_the_terminator_came_before_the_end_of_the_message() -> None:
    after = asyncio.Event()

    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(data(said("a", "stop")), DONE)
        await after.wait()
        await c.end()

    async with serving(script) as provider, open_client(CHAT) as client:
        asyncio.get_running_loop().call_later(0.01, after.set)
        await request(client, provider.spec())
        assert (await request(client, provider.spec())).connection_reused


async def test_what_a_request_read_is_freed_with_it_and_not_by_a_collection() -> None:
    async with serving(hello) as provider, open_client(CHAT) as client:
        await request(client, provider.spec())
        gc.collect()
        gc.disable()
        try:
            await request(client, provider.spec())
            await request(client, provider.spec())  # the connection holds no more of the one before
            kept = [held for held in gc.get_objects() if isinstance(held, Marks) and held.pieces]
        finally:
            gc.enable()
    assert kept == []


async def test_waiting_for_a_free_connection_is_our_own_waiting() -> None:
    first_is_in, go_on = asyncio.Event(), asyncio.Event()

    async def script(c: Conversation) -> None:
        first_is_in.set()
        await go_on.wait()
        await hello(c)

    async with serving(script) as provider, open_client(CHAT, connections=1) as client:
        one = asyncio.create_task(request(client, provider.spec()))
        await first_is_in.wait()
        two = asyncio.create_task(request(client, provider.spec()))
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        busy, queued = await one, await two
    assert queued.client_wait_ms is not None
    assert queued.client_wait_ms > 10
    assert queued.total_latency_ms is not None
    assert queued.total_latency_ms < queued.client_wait_ms
    assert busy.client_wait_ms is not None
    assert busy.client_wait_ms < queued.client_wait_ms


async def test_what_is_sent_carries_the_key_the_id_and_no_wish_for_encoding() -> None:
    async with serving(hello) as provider, open_client(CHAT) as client:
        await request(client, provider.spec(), api_key=" key-1234 \n")
        await request(client, provider.spec(), api_key=None)
        await request(client, provider.spec(), api_key="")
        await request(client, provider.spec(MESSAGES), api_key="key-1234")
    (line, headers, body), bare, empty, other = provider.requests
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == "Bearer key-1234"
    assert headers["x-request-id"] == "r-1"
    assert headers["accept-encoding"] == "identity"
    assert headers["content-type"] == "application/json"
    assert body["model"] == "tiny-1"
    assert "authorization" not in bare[1]
    assert "authorization" not in empty[1]
    assert (other[1]["x-api-key"], "authorization" in other[1]) == ("key-1234", False)


async def test_a_query_and_headers_of_the_spec_go_along() -> None:
    from dataclasses import replace

    spec = replace(CHAT, query={"api-version": "2024-10-21"}, headers={"X-Title": "t"}, chat_path="chat")
    async with serving(hello) as provider, open_client(CHAT) as client:
        base = provider.spec(spec)
        await request(client, replace(base, base_url=base.base_url + "/deep/"))
    line, headers, _ = provider.requests[0]
    assert line == "POST /deep/chat?api-version=2024-10-21 HTTP/1.1"
    assert headers["x-title"] == "t"


@pytest.mark.parametrize("key", ["clé-1234", "a\nb-1234", "a\x00b-1234"])
async def test_a_key_no_header_can_carry_is_not_sent(key: str) -> None:
    async with serving(hello) as provider, open_client(CHAT) as client:
        seen = await request(client, provider.spec(), api_key=key)
    assert (seen.outcome, seen.error_type) == ("failed", "authentication")
    assert provider.requests == []
    assert "1234" not in repr(seen)


async def test_cookies_are_not_kept() -> None:
    async with serving(speak(data(said("a", "stop")), DONE, headers=("set-cookie: s=1",))) as provider:  # noqa: SIM117
        async with open_client(CHAT) as client:
            await request(client, provider.spec())
            await request(client, provider.spec())
    assert "cookie" not in provider.requests[1][1]


async def test_the_first_token_is_the_first_visible_text() -> None:
    """Role, comments, usage, white space and reasoning come first and do not count."""
    go_on = asyncio.Event()

    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(b": PROCESSING\n\n", data(said("", role="assistant")), data(USAGE), data(said("\n\n")))
        await c.chunk(data(said(reasoning="hm")))
        asyncio.get_running_loop().call_later(0.06, go_on.set)
        await go_on.wait()
        await c.chunk(data(said("8")), DONE)
        await c.end()

    async with serving(script) as provider, open_client(CHAT) as client:
        seen = await request(client, provider.spec())
    assert seen.ttft_ms is not None
    assert seen.first_reasoning_ms is not None
    assert seen.first_event_ms is not None
    assert seen.ttft_ms - seen.first_reasoning_ms > 20
    assert seen.first_event_ms <= seen.first_reasoning_ms


async def test_reasoning_only_has_no_first_token(ask: Ask) -> None:
    seen = await ask(speak(data(said(reasoning="hm")), data(said(None, "length")), DONE))
    assert (seen.outcome, seen.response_text, seen.ttft_ms) == ("ok", "", None)
    assert seen.first_reasoning_ms is not None


async def test_reasoning_without_its_opening_tag_is_no_first_token(ask: Ask) -> None:
    seen = await ask(speak(data(said("hm")), data(said("</think>")), data(said(None, "stop")), DONE))
    assert (seen.response_text, seen.ttft_ms) == ("", None)
    assert seen.first_reasoning_ms == seen.first_event_ms


async def test_empty_content_is_an_empty_answer(ask: Ask) -> None:
    seen = await ask(speak(data(said("", "stop")), DONE, DONE))
    assert (seen.outcome, seen.response_text, seen.ttft_ms, seen.tps) == ("ok", "", None, None)
    assert (seen.output_tokens, seen.token_source) == (None, "estimated")
    assert (seen.max_gap_ms, seen.inter_token_p50_ms) == (None, None)


async def test_missing_usage_is_estimated_and_flagged(ask: Ask) -> None:
    seen = await ask(speak(data(said("漢字です", "stop")), DONE), prompt=Prompt("12345", system="1234"))
    assert (seen.input_tokens, seen.output_tokens, seen.token_source) == (3, 3, "estimated")
    assert seen.cost_usd is None


async def test_a_count_of_zero_beside_text_is_a_placeholder(ask: Ask) -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}
    seen = await ask(speak(data(said("12345", "stop")), data(usage), DONE))
    assert (seen.output_tokens, seen.token_source) == (2, "estimated")


async def test_a_count_of_zero_without_text_is_zero(ask: Ask) -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 0}}
    seen = await ask(speak(data(said("", "stop")), data(usage), DONE))
    assert (seen.input_tokens, seen.output_tokens, seen.token_source, seen.tps) == (4, 0, "provider", None)


async def test_reported_cost_and_time_are_kept(ask: Ask) -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 1, "cost": 0.002, "total_time": 0.5}}
    seen = await ask(speak(data(said("a", "stop")), data(usage), DONE))
    assert (seen.cost_usd, seen.provider_time_ms) == (0.002, 500.0)


@pytest.mark.parametrize(("value", "expected"), [("123", 123.0), ("nan", None), ("-4", None), ("soon", None)])
async def test_processing_time_of_the_headers_is_kept(ask: Ask, value: str, expected: float | None) -> None:
    seen = await ask(speak(data(said("a", "stop")), DONE, headers=(f"openai-processing-ms: {value}",)))
    assert seen.provider_time_ms == expected


async def test_the_providers_request_id_comes_from_its_headers(ask: Ask) -> None:
    seen = await ask(speak(data(said("a", "stop")), DONE, headers=("request-id: req_7",)))
    assert seen.provider_request_id == "req_7"


async def test_the_messages_dialect_is_measured_alike(ask: Ask) -> None:
    events = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 5}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "8"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    seen = await ask(speak(*(data(event) for event in events)), base=MESSAGES)
    assert (seen.outcome, seen.response_text, seen.input_tokens, seen.output_tokens) == ("ok", "8", 5, 2)
    assert seen.ttft_ms is not None


@pytest.mark.parametrize("content_type", ["application/json", "application/problem+json", "text/event-stream", ""])
async def test_a_json_answer_to_a_streaming_request_is_read(ask: Ask, content_type: str) -> None:
    body = json.dumps({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}).encode()
    seen = await ask(speak(body[:30], body[30:], content_type=content_type))
    assert (seen.outcome, seen.response_text, seen.tps) == ("ok", "Hello", None)
    assert (seen.first_event_ms, seen.ttft_ms) == (None, seen.total_latency_ms)


@pytest.mark.parametrize("content_type", ["text/event-stream; charset=utf-8", "", "application/json", "text/plain"])
async def test_a_stream_is_known_by_its_beginning_where_its_type_is_wrong(ask: Ask, content_type: str) -> None:
    assert (await ask(speak(data(said("a", "stop")), DONE, content_type=content_type))).outcome == "ok"


@pytest.mark.parametrize("at", [1, 3, 5, 7, 12])
@pytest.mark.parametrize("content_type", ["text/plain", "application/json", ""])
async def test_a_stream_is_known_however_its_beginning_is_cut(content_type: str, at: int) -> None:
    body = b"\xef\xbb\xbf\n \n" + data(said("a", "stop")) + DONE
    read = asyncio.Event()

    async def script(c: Conversation) -> None:
        await c.start("200 OK", content_type)
        await c.chunk(body[:at])
        asyncio.get_running_loop().call_later(0.005, read.set)
        await read.wait()
        await c.chunk(body[at:])
        await c.end()

    async with serving(script) as provider, open_client(CHAT) as client:
        seen = await request(client, provider.spec())
    assert (seen.outcome, seen.response_text) == ("ok", "a")


@pytest.mark.parametrize(("size", "outcome"), [(5_000, "failed"), (2_000, "ok")])
async def test_what_an_answer_is_is_not_waited_for_without_end(ask: Ask, size: int, outcome: str) -> None:
    blank = b"\n" * size
    assert (await ask(speak(blank, data(said("a", "stop")), DONE, content_type="text/plain"))).outcome == outcome


async def test_no_terminator_but_a_finish_reason_is_ok(ask: Ask) -> None:
    seen = await ask(speak(data(said("a", "stop")), data(USAGE)))
    assert (seen.outcome, seen.output_tokens) == ("ok", 3)
    assert seen.total_latency_ms is not None


async def test_no_finish_reason_but_a_terminator_is_ok(ask: Ask) -> None:
    seen = await ask(speak(data(said("a")), DONE))
    assert (seen.outcome, seen.finish_reason) == ("ok", None)


async def test_a_last_event_without_its_newline_counts(ask: Ask) -> None:
    assert (await ask(speak(data(said("a")), DONE.strip()))).outcome == "ok"


async def test_a_stream_that_ends_with_its_connection_is_read(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        await c.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", data(said("a", "stop")), DONE)
        c.writer.close()

    assert (await ask(script)).outcome == "ok"


async def test_a_null_character_and_half_a_pair_are_replaced_and_a_parted_pair_is_joined(ask: Ask) -> None:
    seen = await ask(speak(data(said("a\x00\ud83d")), data(said("\ude00\ud83d", "stop")), DONE))
    assert seen.response_text == "a\ufffd\U0001f600\ufffd"


async def test_text_with_characters_near_the_surrogates_is_left_alone(ask: Ask) -> None:
    assert (await ask(speak(data(said("힣\ud7fb", "stop")), DONE))).response_text == "힣\ud7fb"


async def test_a_cancelled_measurement_is_cancelled_and_leaves_no_connection() -> None:
    arrived = asyncio.Event()

    async def script(c: Conversation) -> None:
        arrived.set()
        await c.stall()

    async with serving(script) as provider, open_client(CHAT) as client:
        task = asyncio.create_task(request(client, provider.spec(), prompt=PROMPT))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
