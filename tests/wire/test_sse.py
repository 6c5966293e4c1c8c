"""Framing: provider-wire-notes 1.1, each rule in every cut and with every line end."""

import pytest
from wire.framing import in_every_form, read

from providers.errors import Garbled
from providers.sse import MAX_LINE_BYTES, Event, EventReader

RULES = {
    "an event ends at a blank line": (b"data: a\n\ndata: b\n\n", [Event(None, "a"), Event(None, "b")]),
    "several data lines join with LF": (b"data: a\ndata: b\ndata:\n\n", [Event(None, "a\nb\n")]),
    "one space after the colon is optional": (b"data:a\n\ndata:  b\n\n", [Event(None, "a"), Event(None, " b")]),
    "an event has a name": (b"event: ping\ndata: {}\n\ndata: x\n\n", [Event("ping", "{}"), Event(None, "x")]),
    "a gateway's event:response": (b"event:response\ndata:{}\n\n", [Event("response", "{}")]),
    "comments are no events": (b": PROCESSING\n\n:\n\ndata: a\n: in between\ndata: b\n\n", [Event(None, "a\nb")]),
    "id, retry and unknown fields say nothing": (b"id: 1\nretry: 9\nfoo: bar\ndata: a\n\n", [Event(None, "a")]),
    "a field without a colon has an empty value": (b"data\n\nevent\ndata: a\n\n", [Event(None, ""), Event("", "a")]),
    "an event without data is none": (b"event: ping\n\ndata: a\n\n", [Event(None, "a")]),
    "blank lines alone are nothing": (b"\n\n\n\ndata: a\n\n\n\n", [Event(None, "a")]),
    "characters of several bytes": ("data: é漢🕷\n\n".encode(), [Event(None, "é漢🕷")]),
    "only CR and LF end a line": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(),
        [Event(None, "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg")],
    ),
    "a last event without its blank line": (b'data: a\n\ndata: {"x":1}\n', [Event(None, "a"), Event(None, '{"x":1}')]),
    "a last event without its newline": (b'data: a\n\ndata: {"x":1}', [Event(None, "a"), Event(None, '{"x":1}')]),
    "a last [DONE] without its newline": (b"data: a\n\ndata: [DONE]", [Event(None, "a"), Event(None, "[DONE]")]),
    "half a last event is dropped": (b'data: a\n\ndata: {"x":', [Event(None, "a")]),
}


@pytest.mark.parametrize("rule", RULES)
def test_framing_rule_holds_however_the_stream_is_cut(rule: str) -> None:
    stream, expected = RULES[rule]
    for form, events in in_every_form(stream):
        assert events == expected, form


def test_a_byte_order_mark_counts_only_at_the_start() -> None:
    assert read([b"data: a\n\n\xef\xbb\xbfdata: b\n\n"]) == [Event(None, "a")]
    assert read([b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n"]) == []


def test_an_event_comes_with_the_bytes_that_complete_it() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\r") == []
    assert reader.feed(b"\r") == [Event(None, "a")]
    assert reader.feed(b"data: b\r\n\r") == [Event(None, "b")]
    assert reader.feed(b"\n") == []
    assert reader.feed(b"data: c\n\ndata: d\n\n") == [Event(None, "c"), Event(None, "d")]


def test_comments_are_counted() -> None:
    reader = EventReader()
    reader.feed(b": PROCESSING\n\n" * 17)
    assert reader.comments == 17


def test_a_dropped_half_event_is_noted() -> None:
    reader = EventReader()
    reader.feed(b'data: {"x":')
    assert reader.close() == []
    assert reader.truncated


def test_a_clean_end_is_not_noted_as_truncated() -> None:
    reader = EventReader()
    reader.feed(b"data: a\n\n: bye\n")
    assert reader.close() == []
    assert not reader.truncated


def test_invalid_utf8_is_replaced() -> None:
    assert read([b"data: a\xffb\n\n"]) == [Event(None, "a\ufffdb")]


def test_a_line_of_a_mebibyte_passes_and_one_byte_more_does_not() -> None:
    reader = EventReader()
    line = b"data: " + b"x" * (MAX_LINE_BYTES - 6)
    assert len(reader.feed(line + b"\n\n")) == 1
    with pytest.raises(Garbled) as caught:
        reader.feed(line + b"x\n\n")
    assert caught.value.error_type == "line_too_long"


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"data: " + b"x" * 1000 + b"\n"])
def test_an_endless_line_or_event_is_given_up_at_a_mebibyte(piece: bytes) -> None:
    reader = EventReader()

    def flood() -> None:
        for _ in range(MAX_LINE_BYTES // 1000 + 1):
            reader.feed(piece)

    with pytest.raises(Garbled):
        flood()
