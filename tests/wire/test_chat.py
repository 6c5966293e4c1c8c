"""The chat dialect: provider-wire-notes 1.2 and 1.3, rule by rule."""

import json
from typing import Any

import pytest
from wire.decoding import Said, add_up, decode, stream

from providers.dialects import chat
from providers.dialects.deltas import Delta, Reasoning, Reclassified, Text
from providers.records import Usage
from providers.sse import Event


def chunk(finish: str | None = None, *, index: int = 0, choice: dict[str, Any] | None = None, **delta: Any) -> Any:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish, **(choice or {})}]}


def feed(*payloads: Any) -> list[list[Delta]]:
    decoder = chat.Decoder()
    return [decoder.feed(Event(None, json.dumps(payload))) for payload in payloads]


def test_a_plain_stream_gives_text_finish_usage_and_end() -> None:
    said = decode(
        "chat",
        {**chunk(role="assistant", content=""), "id": "c1", "model": "m-1"},
        chunk(content="Hel"),
        chunk(content="lo \u2028 漢"),
        chunk("stop"),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}},
        "[DONE]",
    )
    assert said.text == "Hello \u2028 漢"
    assert said.finish == ("stop", "stop")
    assert said.usage == Usage(input_tokens=3, output_tokens=2)
    assert (said.response_id, said.model, said.ended, said.error) == ("c1", "m-1", True, None)


@pytest.mark.parametrize(
    "payload",
    [
        chunk(role="assistant", content=""),
        chunk(role="assistant"),
        chunk(role=None, content=None, tool_calls=None, reasoning_content=None),
        {"choices": [{"index": 0, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": []},
        {"choices": None, "usage": None},
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "id": "", "model": ""},
        {"choices": [], "usage": None, "moderation": {"flagged": False}},
        {"obfuscation": "x8f", "service_tier": "default", "system_fingerprint": "", "p": [1]},
        chunk(content=7, reasoning=[], tool_calls="none"),
        chunk(content="second", index=1),
        None,
        {},
    ],
)
def test_a_chunk_without_output_says_nothing(payload: Any) -> None:
    assert feed(payload) == [[]]
    assert decode("chat", payload) == Said()


def test_an_empty_finish_reason_is_none() -> None:
    said = decode("chat", chunk("", content="a"))
    assert (said.text, said.finish) == ("a", None)


def test_of_several_choices_the_first_is_read() -> None:
    both = {
        "choices": [
            {"index": 1, "delta": {"content": "b"}, "finish_reason": "length"},
            *chunk("stop", content="a")["choices"],
        ]
    }
    said = decode("chat", chunk(content="c", index=1), both)
    assert (said.text, said.finish) == ("a", ("stop", "stop"))


def test_usage_once_known_is_not_erased_by_null() -> None:
    said = decode(
        "chat", chunk("stop", content="a"), {"usage": {"prompt_tokens": 5, "completion_tokens": 1}}, {"usage": None}
    )
    assert said.usage == Usage(input_tokens=5, output_tokens=1)


def test_a_finish_reason_once_known_is_not_erased_by_null() -> None:
    said = decode("chat", chunk("length", content="a"), {**chunk(None), "usage": {"prompt_tokens": 5}})
    assert said.finish == ("length", "length")


@pytest.mark.parametrize(
    ("raw", "ours"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("abort", "other"),
    ],
)
def test_finish_reasons_map_to_five_words_and_keep_their_own(raw: str, ours: str) -> None:
    assert decode("chat", chunk(raw)).finish == (ours, raw)


def test_the_vendors_own_finish_reason_is_kept_where_a_router_hands_it_on() -> None:
    assert decode("chat", chunk("stop", choice={"native_finish_reason": "end_turn"})).finish == ("stop", "end_turn")


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {"reasoning": "hm", "reasoning_content": "hm", "reasoning_details": [{"text": "hm"}]},
        {"reasoning": None, "reasoning_content": "hm"},
    ],
)
def test_reasoning_is_read_in_all_spellings_and_mirrors_are_not_added(delta: dict[str, Any]) -> None:
    said = decode("chat", chunk(**delta, content=None), chunk(content="8"))
    assert (said.reasoning, said.text) == ("hm", "8")


def test_encrypted_reasoning_says_nothing() -> None:
    assert decode("chat", chunk(reasoning_details=[{"type": "reasoning.encrypted", "data": "xx"}])) == Said()


@pytest.mark.parametrize(
    "fragments",
    [
        ["<think>", "hm", "</think>", "8"],
        ["<think>hm</think>8"],
        ["\n<thi", "nk>h", "m</th", "ink>8"],
        list("<think>hm</think>8"),
        ["hm", "</think>", "8"],
        ["h", "m</thi", "nk>8"],
        list("hm</think>8"),
    ],
)
def test_inline_thinking_is_reasoning_however_it_is_cut(fragments: list[str]) -> None:
    said = decode("chat", *(chunk(content=fragment) for fragment in fragments))
    assert said.text == "8"
    assert "hm" in said.reasoning.replace("<think>", "").replace("</thi", "")


def test_thinking_is_told_from_text_as_it_arrives() -> None:
    assert feed(chunk(content="<think>a"), chunk(content="b</think>c"), chunk(content="d")) == [
        [Reasoning("a")],
        [Reasoning("b"), Text("c")],
        [Text("d")],
    ]
    assert feed(chunk(content="<"), chunk(content="think>a")) == [[Text("<")], [Reclassified(), Reasoning("a")]]
    assert feed(chunk(content="a"), chunk(content="</think>b")) == [[Text("a")], [Reclassified(), Text("b")]]


@pytest.mark.parametrize(
    "text", ["<p>a</p>", "a <think> tag", "<thin ice", "<think", "</thin", "x < y </ think>", "\n\n8"]
)
def test_text_that_only_looks_like_thinking_stays_text(text: str) -> None:
    for fragments in ([text], list(text)):
        said = decode("chat", *(chunk(content=fragment) for fragment in fragments))
        assert (said.text, said.reasoning) == (text, "")


def test_only_the_first_think_close_counts() -> None:
    said = decode("chat", chunk(content="<think>a</think>b</think>c"), chunk(content="</think>"))
    assert (said.reasoning, said.text) == ("a", "b</think>c</think>")


@pytest.mark.parametrize(
    "fragments",
    [
        [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
        [
            {"index": 0, "id": "t", "type": "function", "function": {"name": "f"}},
            {"index": 0, "type": "function", "function": {"arguments": '{"a"'}},
            {"index": 0, "function": {"name": None, "arguments": ":1}"}},
        ],
        [
            {"index": 0, "id": "t", "function": {"name": "f", "arguments": None}},
            {"index": 0, "function": {"arguments": '{"a":1}'}},
        ],
    ],
)
def test_tool_calls_are_joined_by_index(fragments: list[dict[str, Any]]) -> None:
    said = decode("chat", *(chunk(tool_calls=[fragment]) for fragment in fragments), chunk("tool_calls"))
    assert said.tools == {0: ["t", "f", '{"a":1}']}
    assert said.finish == ("tool_calls", "tool_calls")


def test_tool_calls_may_start_at_one_lack_an_index_or_come_in_the_old_form() -> None:
    said = decode("chat", chunk(tool_calls=[{"index": 1, "id": "t", "function": {"name": "f"}}, None, {"id": "u"}]))
    assert said.tools == {1: ["t", "f", ""], 2: ["u", "", ""]}
    assert decode("chat", chunk(function_call={"name": "f", "arguments": "{}"})).tools == {0: ["", "f", "{}"]}


def test_content_in_typed_parts_is_joined() -> None:
    assert feed(chunk(content=[{"type": "text", "text": "a"}, {"type": "ref", "text": "x"}])) == [[Text("a")]]


def test_done_is_the_end_and_may_come_twice() -> None:
    assert decode("chat", chunk("stop", content="a"), "[DONE]", "[DONE]").ended


def test_a_stream_without_done_has_no_end_but_its_finish_reason() -> None:
    said = decode("chat", chunk("stop", content="a"))
    assert (said.ended, said.finish) == (False, ("stop", "stop"))


USAGES: dict[str, tuple[dict[str, Any], Usage]] = {
    "plain": ({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}, Usage(9, 4)),
    "xAI leaves reasoning out of its count": (
        {
            "prompt_tokens": 12,
            "completion_tokens": 2,
            "total_tokens": 354,
            "completion_tokens_details": {"reasoning_tokens": 340},
        },
        Usage(12, 342, 340),
    ),
    "reasoning beyond the output is clamped": (
        {"prompt_tokens": 1, "completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 11}},
        Usage(1, 10, 10),
    ),
    "cached tokens among the details": (
        {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 8}},
        Usage(9, 1, None, 8),
    ),
    "Together's cached tokens": (
        {"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 8},
        Usage(9, 1, None, 8),
    ),
    "Groq's times are seconds": (
        {"prompt_tokens": 9, "completion_tokens": 1, "queue_time": 0.1, "total_time": 0.25},
        Usage(9, 1, provider_time_ms=250.0),
    ),
    "OpenRouter's cost": (
        {"prompt_tokens": 9, "completion_tokens": 1, "cost": 0.0015, "is_byok": False},
        Usage(9, 1, cost_usd=0.0015),
    ),
    "with one's own key the upstream's price is added": (
        {
            "prompt_tokens": 9,
            "completion_tokens": 1,
            "cost": 0.25,
            "is_byok": True,
            "cost_details": {"upstream_inference_cost": 0.5},
        },
        Usage(9, 1, cost_usd=0.75),
    ),
    "an input of 0 is a placeholder": ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(None, 0)),
    "nonsense is unknown": (
        {"prompt_tokens": -1, "completion_tokens": "4", "cost": float("nan"), "total_time": True},
        Usage(),
    ),
    "absurd is unknown": ({"prompt_tokens": 10**400, "completion_tokens": 1.5, "cost": 1e308}, Usage()),
}


@pytest.mark.parametrize("case", USAGES)
def test_usage_is_normalised(case: str) -> None:
    raw, expected = USAGES[case]
    assert decode("chat", {"choices": [], "usage": raw}).usage == expected


def test_groqs_own_place_for_usage_is_read() -> None:
    said = decode(
        "chat", {**chunk("stop"), "x_groq": {"id": "req_1", "usage": {"prompt_tokens": 9, "total_tokens": 9}}}
    )
    assert said.usage == Usage(9)


def test_usage_may_come_on_the_finish_chunk_or_with_an_empty_delta() -> None:
    for payload in ({**chunk("stop"), "usage": {"prompt_tokens": 9}}, {**chunk(), "usage": {"prompt_tokens": 9}}):
        assert decode("chat", payload).usage == Usage(9)


def test_an_error_chunk_gives_its_usage_first() -> None:
    said = decode(
        "chat",
        {
            **chunk("error", content="a", choice={"native_finish_reason": "overloaded"}),
            "usage": {"prompt_tokens": 9, "completion_tokens": 1, "cost": 0.5},
            "error": {"code": 502, "message": "upstream broke"},
        },
        "[DONE]",
    )
    assert said.usage == Usage(9, 1, cost_usd=0.5)
    assert said.finish == ("other", "overloaded")
    assert said.error is not None
    assert (said.error.error_type, said.error.error_code, said.error.message) == ("server", "502", "upstream broke")


@pytest.mark.parametrize(
    ("payloads", "error_type", "code", "message"),
    [
        ([{"error": {"message": "m", "type": "server_error", "code": None}}], "server", "server_error", "m"),
        ([{"error": "no engine"}], "provider", None, "no engine"),
        ([("error", {"error": {"message": "m", "status_code": 400}})], "bad_request", "400", "m"),
        ([("error", {"message": "m"})], "provider", None, "m"),
        ([("error", "no JSON at all")], "provider", None, "no JSON at all"),
        ([{"object": "error", "message": "m", "type": "x", "code": 404}], "not_found", "404", "m"),
        ([chunk("error")], "provider", None, "the stream ended with finish_reason error"),
        (
            [{"error": {"code": 429, "message": "m", "metadata": {"raw": "slow down"}}}],
            "rate_limit",
            "429",
            "slow down",
        ),
    ],
)
def test_an_error_in_the_stream_is_a_failure(
    payloads: list[Any], error_type: str, code: str | None, message: str
) -> None:
    error = decode("chat", *payloads).error
    assert error is not None
    assert (error.error_type, error.error_code, error.message) == (error_type, code, message)
    assert error.status_code is None


@pytest.mark.parametrize("body", ["{", "{'a': 1}", "[1]", "7", '"text"', "[" * 100_000])
def test_an_event_that_is_no_object_is_malformed(body: str) -> None:
    decoder = chat.Decoder()
    said = add_up(decoder.feed(Event(None, body)))
    assert said.error is not None
    assert said.error.error_type == "malformed"


def test_half_a_surrogate_pair_is_no_failure() -> None:
    said = decode("chat", rb'data: {"choices":[{"delta":{"content":"\ud83d"}}]}' + b"\n\n")
    assert said.text == "\ud83d"


def test_a_whole_answer_in_one_document() -> None:
    body = json.dumps(
        {
            "id": "c1",
            "choices": [{"message": {"content": "<think>hm</think>8", "role": "assistant"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5},
        }
    ).encode()
    said = add_up(chat.decode_json(body))
    assert (said.text, said.reasoning, said.finish, said.ended) == ("8", "hm", ("stop", "stop"), True)
    assert said.usage == Usage(3, 5)


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        (b"{", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "malformed"),
        (b'{"choices": []}', "malformed"),
        (b'{"error": {"message": "m", "code": "insufficient_quota"}}', "quota"),
    ],
)
def test_a_document_that_is_no_answer_fails(body: bytes, error_type: str) -> None:
    said = add_up(chat.decode_json(body))
    assert said.error is not None
    assert (said.error.error_type, said.ended) == (error_type, False)


def test_comments_and_names_of_events_do_not_disturb() -> None:
    said = decode("chat", b": OPENROUTER PROCESSING\n\n" * 3, ("response", chunk(content="a")), b": x\n\n", "[DONE]")
    assert (said.text, said.ended) == ("a", True)


def test_a_stream_helper_writes_what_a_provider_would() -> None:
    assert stream(("a", {"x": 1}), "[DONE]") == b'event: a\ndata: {"x": 1}\n\ndata: [DONE]\n\n'
