"""What is read by likeness says what parsing says."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from providers.dialects import DIALECTS
from providers.dialects.alike import Alike
from providers.dialects.deltas import Delta, Text
from providers.dialects.fields import parse
from providers.sse import Event

CHUNK = '{"id":"r1","model":"m","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}'

contents = st.text('ab </>"\\\n\x1f€', max_size=6)
deltas = st.fixed_dictionaries(
    {},
    optional={
        "content": st.one_of(contents, st.none(), st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": contents}))),
        "reasoning": contents,
        "role": st.just("assistant"),
    },
)  # fmt: skip
chunks = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"index": st.integers(0, 1), "delta": deltas}), max_size=2)},
    optional={"content": contents, "usage": st.just({"prompt_tokens": 3})},
)


@given(
    st.lists(st.one_of(chunks, st.builds(lambda text: parse(CHUNK % text), st.sampled_from("abc"))), max_size=8),
    st.booleans(),
)
def test_a_decoder_says_of_each_chunk_what_parsing_it_says(payloads: list[dict[str, Any]], escaped: bool) -> None:
    fast, slow = DIALECTS["chat"].Decoder(), DIALECTS["chat"].Decoder()
    for payload in payloads:
        data = orjson.dumps(payload).decode()
        if escaped:
            data = data.replace('"content"', '"c\\u006fntent"', 1)
        assert fast.feed(Event(None, data)) == slow.chunk(parse(data))  # type: ignore[attr-defined]


def said(alike: Alike, data: str, name: str | None = None) -> str | None:
    return alike.text(Event(name, data))


def learned(data: str, text: str) -> Alike:
    alike = Alike("content")
    alike.learn(Event(None, data), [Text(text)])
    return alike


def test_only_the_string_may_differ() -> None:
    alike = learned(CHUNK % "Hi", "Hi")
    assert said(alike, CHUNK % " there, </think>: €") == " there, </think>: €"
    assert said(alike, CHUNK.replace("r1", "r2") % "Hi") is None
    assert said(alike, CHUNK % "Hi", "error") is None
    assert said(alike, CHUNK % "") is None
    assert said(alike, (CHUNK % "Hi")[:-3]) is None
    assert said(alike, (CHUNK % "Hi").replace('"Hi"', "null")) is None


def test_a_string_that_needs_unescaping_is_parsed() -> None:
    alike = learned(CHUNK % "Hi", "Hi")
    for text in ("a\\n", 'a","content":"b', "a\\u0041", "a\nb", "a\x1f"):
        assert said(alike, CHUNK % text) is None


def test_a_chunk_whose_string_may_be_another_one_teaches_nothing() -> None:
    for data in (
        '{"choices":[{"delta":{"content":"Hi"}}],"content":"Hi"}',
        '{"content":"Hi","choices":[{"delta":{"c\\u006fntent":"Hi"}}]}',
        '{"choices":[{"delta":{"content":"<think>Hi"}}]}',
        '{"choices":[{"delta":{"content":[{"type":"text","text":"Hi"}]}}]}',
    ):
        assert said(learned(data, "Hi"), data) is None


def test_what_comes_between_ends_the_likeness() -> None:
    alike = learned(CHUNK % "Hi", "Hi")
    others: list[Delta] = []
    alike.learn(Event(None, "{}"), others)
    assert said(alike, CHUNK % "Hi") is None


def test_a_block_of_another_kind_is_not_read_by_the_text_before_it() -> None:
    decoder = DIALECTS["messages"].Decoder()
    delta = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}'
    start = '{"type":"content_block_start","index":0,"content_block":{"type":"%s"}}'
    decoder.feed(Event(None, start % "text"))
    assert decoder.feed(Event(None, delta)) == decoder.feed(Event(None, delta)) == [Text("Hi")]
    decoder.feed(Event(None, start % "redacted_thinking"))
    assert decoder.feed(Event(None, delta)) == []
