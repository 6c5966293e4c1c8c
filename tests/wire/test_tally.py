"""Figures from deltas and hand-made stamps, computed by hand."""

import pytest

from providers.arrivals import Arrival
from providers.dialects.deltas import (
    Delta,
    End,
    Failure,
    Finish,
    Reasoning,
    Reclassified,
    Text,
    ToolCall,
    UsageDelta,
)
from providers.errors import Garbled, Refused
from providers.records import Prompt, Usage
from providers.tally import MAX_TEXT_BYTES, Tally, estimate

MS = 1_000_000


def at_ns(ns: int) -> Arrival:
    return Arrival(ns, ns, ns, "kernel")


def tally(*deltas: tuple[float, Delta]) -> Tally:
    """Deltas with their arrival in milliseconds."""
    made = Tally()
    for at, delta in deltas:
        made.take(delta, at_ns(int(at * MS)))
    return made


def reported(output: int, reasoning: int | None = None) -> UsageDelta:
    return UsageDelta(Usage(5, output, reasoning))


def test_tps_is_the_tokens_after_the_first_over_the_time_they_took() -> None:
    made = tally((100, Text("a")), (120, Text("b")), (150, Text("c")), (190, reported(10)), (200, End()))
    assert made.tps(10) == pytest.approx(9 / 0.050)


def test_tps_ends_at_the_last_token_and_not_at_the_terminator() -> None:
    made = tally((0, Text("a")), (1000, Text("b")), (5000, Finish("stop", "stop")), (9000, End()))
    assert made.tps(51) == pytest.approx(50)
    assert made.end == at_ns(9000 * MS)


def test_tps_counts_reasoning_from_its_first_token_where_it_was_sent() -> None:
    made = tally((0, Reasoning("a")), (1000, Text("b")), (2000, Text("c")), (2000, reported(101, 50)))
    assert made.tps(101) == pytest.approx(50)


def test_tps_counts_visible_tokens_alone_where_reasoning_was_hidden() -> None:
    made = tally((5000, Text("b")), (6000, Text("c")), (6000, reported(101, 50)))
    assert made.tps(101) == pytest.approx(50)


def test_tps_counts_tool_calls_as_output() -> None:
    made = tally((0, ToolCall(0, "t", "f", "")), (1000, ToolCall(0, None, None, "{}")))
    assert made.tps(11) == pytest.approx(10)


@pytest.mark.parametrize("output", [None, 0, 1])
def test_tps_of_fewer_than_two_tokens_is_unknown(output: int | None) -> None:
    assert tally((0, Text("a")), (1000, Text("b"))).tps(output) is None


def test_tps_of_tokens_that_came_at_once_is_unknown() -> None:
    assert tally((7, Text("a")), (7, Text("b"))).tps(9) is None
    assert tally((7, Text("a"))).tps(9) is None
    assert tally().tps(9) is None


def test_tps_with_all_tokens_hidden_is_unknown() -> None:
    assert tally((0, Text("a")), (1000, Text("b")), (1000, reported(50, 50))).tps(50) is None


def test_gaps_are_between_arrivals_of_output() -> None:
    made = tally((100, Reasoning("a")), (110, Text("b")), (115, Text("c")), (145, Text("d")), (900, End()))
    assert made.pace() == {"max_gap_ms": 30.0, "inter_token_p50_ms": 10.0}


def test_one_arrival_has_no_gap() -> None:
    assert tally((100, Text("b"))).pace() == {"max_gap_ms": None, "inter_token_p50_ms": None}


def test_white_space_is_no_first_token() -> None:
    made = tally((1, Text("\n\n")), (5, Reasoning("hm")), (9, Text(" 8")), (10, Text("!")))
    assert (made.first_text, made.first_reasoning_ns) == (at_ns(9 * MS), 5 * MS)
    assert made.text() == "\n\n 8!"


def test_reclassified_text_was_reasoning_from_its_first_arrival() -> None:
    made = tally((3, Text("hm")), (6, Text("</think>")), (6, Reclassified()), (9, Text("8")))
    assert (made.first_reasoning_ns, made.first_text, made.text()) == (3 * MS, at_ns(9 * MS), "8")
    assert made.tokens(Prompt("x"))["output_tokens"] == estimate("hm</think>8")


def test_nothing_is_estimated_for_a_request_that_gave_nothing() -> None:
    for made in (tally(), tally((1, Failure(Refused("server", "m"))))):
        counts = made.tokens(Prompt("a long prompt"))
        assert (counts["input_tokens"], counts["output_tokens"], counts["token_source"]) == (None, None, None)


def test_one_missing_count_is_estimated_and_the_row_says_so() -> None:
    made = tally((1, Text("12345678")), (2, UsageDelta(Usage(input_tokens=7, cached_input_tokens=2))))
    assert made.tokens(Prompt("x")) == {
        "input_tokens": 7,
        "output_tokens": 2,
        "reasoning_tokens": None,
        "cached_input_tokens": 2,
        "token_source": "estimated",
    }


def test_a_refusal_in_the_stream_ends_it_and_a_misreading_does_not() -> None:
    assert tally((4, Failure(Refused("server", "m")))).end == at_ns(4 * MS)
    assert tally((4, Failure(Garbled("malformed", "m")))).end is None


def test_text_beyond_any_answer_is_refused() -> None:
    made = tally((1, Text("x" * MAX_TEXT_BYTES)))
    with pytest.raises(Garbled) as caught:
        made.take(Text("x"), at_ns(2))
    assert caught.value.error_type == "response_too_large"


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("漢字", 2), ("\ud83d", 1)])
def test_a_token_is_estimated_for_every_four_bytes(text: str, tokens: int) -> None:
    assert estimate(text) == tokens
