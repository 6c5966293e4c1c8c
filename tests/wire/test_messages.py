"""The messages dialect: provider-wire-notes 1.4, rule by rule."""

import json
from typing import Any

import pytest
from wire.decoding import Said, add_up, decode

from providers.dialects import messages
from providers.dialects.deltas import Delta, Text, ToolCall
from providers.records import Usage
from providers.sse import Event


def event(kind: str, **payload: Any) -> tuple[str, Any]:
    return kind, {"type": kind, **payload}


def start(**usage: int) -> tuple[str, Any]:
    return event("message_start", message={"id": "msg_1", "model": "m-1", "role": "assistant", "usage": usage})


def block(index: int, kind: str, **fields: Any) -> tuple[str, Any]:
    return event("content_block_start", index=index, content_block={"type": kind, **fields})


def delta(index: int, kind: str, **fields: Any) -> tuple[str, Any]:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def finish(reason: str | None = "end_turn", **usage: int) -> tuple[str, Any]:
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


STOP = event("message_stop")


def feed(*events: tuple[str, Any]) -> list[list[Delta]]:
    decoder = messages.Decoder()
    return [decoder.feed(Event(name, json.dumps(payload))) for name, payload in events]


def test_a_plain_stream_gives_text_finish_usage_and_end() -> None:
    said = decode(
        "messages",
        start(input_tokens=5, output_tokens=1),
        event("ping"),
        block(0, "text", text=""),
        delta(0, "text_delta", text="Hel"),
        event("ping"),
        delta(0, "text_delta", text="lo"),
        event("content_block_stop", index=0),
        finish(output_tokens=7),
        STOP,
    )
    assert said.text == "Hello"
    assert said.usage == Usage(5, 7)
    assert said.finish == ("stop", "end_turn")
    assert (said.response_id, said.model, said.ended, said.error) == ("msg_1", "m-1", True, None)


def test_payloads_padded_with_spaces_are_read() -> None:
    padded = b'event: message_stop\ndata: {"type":"message_stop"          }\n\n'
    assert decode("messages", padded).ended


def test_thinking_is_reasoning_and_a_signature_is_nothing() -> None:
    said = decode(
        "messages",
        block(0, "text", text="\n\n"),
        block(1, "thinking", thinking=""),
        delta(1, "thinking_delta", thinking="hm"),
        delta(1, "signature_delta", signature="abc"),
        block(2, "redacted_thinking", data="xxx"),
        block(3, "text", text="8"),
    )
    assert (said.reasoning, said.text) == ("hm", "\n\n8")


@pytest.mark.parametrize(
    "unknown",
    [
        event("content_block_paused", index=0),
        block(0, "compaction", content="secret"),
        block(0, "web_search_tool_result", content=[{"text": "x"}]),
        delta(0, "citations_delta", citation={"cited_text": "x"}),
        delta(0, "compaction_delta", content="x"),
        delta(0, "text_delta"),
        delta(0, "text_delta", text=None),
        event("content_block_delta", index=0, delta=None),
        event("content_block_start", index=0, content_block="text"),
        event("message_start", message=None),
        ("ping", None),
        event("ping"),
    ],
)
def test_what_is_unknown_says_nothing(unknown: tuple[str, Any]) -> None:
    assert feed(unknown) == [[]]
    assert decode("messages", unknown) == Said()


def test_text_inside_an_unknown_block_is_never_printed() -> None:
    assert decode("messages", block(0, "hologram"), delta(0, "text_delta", text="x")) == Said()
    assert feed(delta(4, "text_delta", text="no start came")) == [[Text("no start came")]]


def test_tool_calls_are_joined_and_empty_arguments_stay_empty() -> None:
    said = decode(
        "messages",
        block(1, "tool_use", id="t", name="f", input={}),
        delta(1, "input_json_delta", partial_json=""),
        delta(1, "input_json_delta", partial_json='{"a":'),
        delta(1, "input_json_delta", partial_json="1}"),
        block(2, "server_tool_use", id="u", name="search", input={"q": 1}),
        finish("tool_use"),
    )
    assert said.tools == {1: ["t", "f", '{"a":1}'], 2: ["u", "search", '{"q":1}']}
    assert said.finish == ("tool_calls", "tool_use")
    assert feed(delta(1, "input_json_delta", partial_json="{")) == [[ToolCall(1, None, None, "{")]]


USAGES: dict[str, tuple[list[tuple[str, Any]], Usage]] = {
    "input is all input, cached or not": (
        [start(input_tokens=5, cache_creation_input_tokens=20, cache_read_input_tokens=300), finish(output_tokens=7)],
        Usage(325, 7, None, 300),
    ),
    "later figures replace earlier ones field by field": (
        [
            start(input_tokens=10, cache_read_input_tokens=55_096),
            finish(input_tokens=800, cache_read_input_tokens=0, output_tokens=7),
        ],
        Usage(800, 7, None, 0),
    ),
    "zeros at the start are placeholders": (
        [start(input_tokens=0, output_tokens=0), finish(input_tokens=12, output_tokens=7)],
        Usage(12, 7),
    ),
    "an input of 0 to the end is unknown": ([start(input_tokens=0), finish(output_tokens=7)], Usage(None, 7)),
    "the early output count is not the answer's": ([start(input_tokens=5, output_tokens=2)], Usage(5)),
    "cumulative output, not added up": ([finish(None, output_tokens=3), finish(output_tokens=7)], Usage(None, 7)),
    "two starts merge": ([start(input_tokens=5), start(input_tokens=6, output_tokens=1)], Usage(6)),
    "nonsense is unknown": (
        [event("message_delta", delta={}, usage={"output_tokens": "7", "input_tokens": -3, "iterations": []})],
        Usage(),
    ),
}


@pytest.mark.parametrize("case", USAGES)
def test_usage_is_normalised(case: str) -> None:
    events, expected = USAGES[case]
    assert decode("messages", *events).usage == expected


def test_a_cost_a_gateway_reports_is_kept() -> None:
    payload = event("message_delta", delta={}, usage={"output_tokens": 3, "cost": 0.25})
    assert decode("messages", payload).usage == Usage(None, 3, cost_usd=0.25)


def test_reasoning_tokens_are_at_most_the_output() -> None:
    payload = event(
        "message_delta", delta={}, usage={"output_tokens": 3, "output_tokens_details": {"thinking_tokens": 9}}
    )
    assert decode("messages", payload).usage == Usage(None, 3, 3)


@pytest.mark.parametrize(
    ("raw", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("compaction", "other"),
    ],
)
def test_stop_reasons_map_to_five_words_and_keep_their_own(raw: str, ours: str) -> None:
    assert decode("messages", finish(raw)).finish == (ours, raw)


def test_a_null_stop_reason_is_none() -> None:
    assert decode("messages", finish(None, output_tokens=1)).finish is None


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [
        ("overloaded_error", "overloaded"),
        ("rate_limit_error", "rate_limit"),
        ("api_error", "server"),
        ("authentication_error", "authentication"),
        ("permission_error", "permission"),
        ("billing_error", "payment"),
        ("invalid_request_error", "bad_request"),
        ("new_error", "provider"),
    ],
)
def test_an_error_event_is_a_failure(kind: str, error_type: str) -> None:
    said = decode("messages", start(input_tokens=5), event("error", error={"type": kind, "message": "Overloaded"}))
    assert said.error is not None
    assert (said.error.error_type, said.error.error_code, said.error.message) == (error_type, kind, "Overloaded")


def test_a_type_missing_from_the_payload_is_taken_from_the_event() -> None:
    assert feed(("message_stop", {})) == feed(STOP)


def test_a_gateways_done_is_an_end() -> None:
    assert decode("messages", "[DONE]").ended


@pytest.mark.parametrize("body", ["{", "[1]", "7"])
def test_an_event_that_is_no_object_is_malformed(body: str) -> None:
    said = add_up(messages.Decoder().feed(Event("ping", body)))
    assert said.error is not None
    assert said.error.error_type == "malformed"


def test_a_whole_answer_in_one_document() -> None:
    body = json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "model": "m-1",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "8"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
                None,
            ],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 2095, "output_tokens": 503},
        }
    ).encode()
    said = add_up(messages.decode_json(body))
    assert (said.text, said.reasoning, said.ended, said.finish) == ("8", "hm", True, ("stop", "end_turn"))
    assert said.tools == {2: ["t", "f", '{"a":1}']}
    assert said.usage == Usage(2095, 503)


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        (b"{", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "malformed"),
        (b'{"type": "error", "error": {"type": "not_found_error", "message": "m"}}', "not_found"),
    ],
)
def test_a_document_that_is_no_answer_fails(body: bytes, error_type: str) -> None:
    said = add_up(messages.decode_json(body))
    assert said.error is not None
    assert (said.error.error_type, said.ended) == (error_type, False)
