"""Whole streams as a measurement ends with them: provider-wire-notes 1.1 to 1.4, in every form of the bytes."""

import pytest
from wire.decoding import measured
from wire.vendors import VENDORS, Reply

HELLO = b'data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"no engine","type":"server_error"}}\n\n'
START = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m1","usage":{"input_tokens":9}}}\n\n'
TEXT = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
END_TURN = b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}\n\n'
MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
COMMENT = b": OPENROUTER PROCESSING\n\n"

# what it is: dialect, bytes, outcome, error type, text, output tokens
ENDINGS: dict[str, tuple[str, bytes, str, str | None, str | None, int | None]] = {
    "a terminator and a finish reason": ("chat", HELLO + STOP + USAGE + DONE, "ok", None, "Hi", 3),
    "a terminator without a finish reason": ("chat", HELLO + USAGE + DONE, "ok", None, "Hi", 3),
    "a finish reason without a terminator": ("chat", HELLO + STOP, "ok", None, "Hi", 1),
    "usage after the finish reason, no terminator": ("chat", HELLO + STOP + USAGE, "ok", None, "Hi", 3),
    "a finish reason in a last event without its blank line": ("chat", HELLO + STOP.rstrip(), "ok", None, "Hi", 1),
    "a terminator without its blank line": ("chat", HELLO + DONE.rstrip(), "ok", None, "Hi", 1),
    "a finish reason in half an event": ("chat", HELLO + STOP[:-9], "incomplete", "disconnected", "Hi", 1),
    "neither": ("chat", HELLO + USAGE, "incomplete", "disconnected", "Hi", 3),
    "comments alone": ("chat", COMMENT * 17, "incomplete", "disconnected", None, None),
    "comments before the first chunk and between": ("chat", COMMENT * 17 + HELLO + COMMENT + STOP + USAGE + DONE, "ok", None, "Hi", 3),
    "an error frame": ("chat", HELLO + ERROR, "failed", "server", "Hi", 1),
    "an error frame and a terminator": ("chat", HELLO + ERROR + DONE, "failed", "server", "Hi", 1),
    "an error frame after the finish reason": ("chat", HELLO + STOP + ERROR, "failed", "server", "Hi", 1),
    "text after the terminator": ("chat", HELLO + STOP + USAGE + DONE + HELLO + ERROR, "ok", None, "Hi", 3),
    "two terminators": ("chat", HELLO + STOP + USAGE + DONE + DONE, "ok", None, "Hi", 3),
    "messages": ("messages", START + TEXT + END_TURN + MESSAGE_STOP, "ok", None, "Hi", 3),
    "messages, a stop reason without a terminator": ("messages", START + TEXT + END_TURN, "ok", None, "Hi", 3),
    "messages, a terminator without a stop reason": ("messages", START + TEXT + MESSAGE_STOP, "ok", None, "Hi", 1),
    "messages, a terminator without its blank line": ("messages", START + TEXT + MESSAGE_STOP.rstrip(), "ok", None, "Hi", 1),
    "messages, neither": ("messages", START + TEXT, "incomplete", "disconnected", "Hi", 1),
    "messages, an error event": ("messages", START + TEXT + OVERLOADED, "failed", "overloaded", "Hi", 1),
    "messages, text after the error event": ("messages", START + TEXT + OVERLOADED + TEXT + MESSAGE_STOP, "failed", "overloaded", "Hi", 1),
    "messages, text after the terminator": ("messages", START + TEXT + END_TURN + MESSAGE_STOP + TEXT, "ok", None, "Hi", 3),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDINGS)
async def test_an_answer_is_whole_by_terminator_or_finish_reason_and_an_error_fails_it(case: str) -> None:
    dialect, whole, *expected = ENDINGS[case]
    seen = await measured(dialect, whole)
    assert [seen.outcome, seen.error_type, seen.response_text, seen.output_tokens] == expected


REPLIES = [
    pytest.param("messages" if vendor.provider_type == "anthropic" else "chat", reply, id=f"{vendor.name} {model}")
    for vendor in VENDORS
    for model, reply in vendor.replies.items()
    if reply.status == 200 and reply.content_type.startswith("text/event-stream")
]
_OF_THE_STREAM = (
    "outcome", "error_type", "error_code", "response_text", "response_model", "finish_reason", "finish_reason_raw", "input_tokens", "output_tokens",
    "reasoning_tokens", "cached_input_tokens", "token_source",
)  # fmt: skip


@pytest.mark.parametrize(("dialect", "reply"), REPLIES)
async def test_a_vendors_stream_says_the_same_in_every_form(dialect: str, reply: Reply) -> None:
    seen = await measured(dialect, reply.body)
    expected = {name: reply.row[name] for name in _OF_THE_STREAM if name in reply.row}
    assert {name: getattr(seen, name) for name in expected} == expected
