"""Every rule of provider-wire-notes 1.1 to 1.4, line by line, and the test that shows it.

The tests of RULES compose the bytes and read them in every form of `framing.FORMS`, cut at every byte. Those of BESIDE are about
what has no form: a connection, a clock, a content type, a request.
"""

import inspect
from types import FunctionType

import pytest
from wire import (
    test_chat,
    test_deadlines,
    test_measure,
    test_messages,
    test_provider_faults,
    test_requests,
    test_sse,
    test_streams,
)

_TESTS = {
    name: thing
    for module in (test_chat, test_deadlines, test_measure, test_messages, test_provider_faults, test_requests, test_sse, test_streams)
    for name, thing in vars(module).items()
    if name.startswith("test_") and isinstance(thing, FunctionType)
}  # fmt: skip
_FRAMING = "test_framing_rule_holds_however_the_stream_is_cut"
_ENDING = "test_an_answer_is_whole_by_terminator_or_finish_reason_and_an_error_fails_it"
_VENDOR = "test_a_vendors_stream_says_the_same_in_every_form"
_CHAT_USAGE = "test_usage_is_normalised"
_NOTHING = "test_a_chunk_without_output_says_nothing"

RULES: dict[str, dict[str, tuple[str, ...]]] = {
    "1.1 framing": {
        "bytes are decoded as UTF-8, whatever the cut": (f"{_FRAMING}[characters of several bytes]",),
        "an event ends at a blank line": (f"{_FRAMING}[an event ends at a blank line]", f"{_FRAMING}[blank lines alone are nothing]"),
        "several data lines join with LF": (f"{_FRAMING}[several data lines join with LF]",),
        "one space after the colon is optional": (f"{_FRAMING}[one space after the colon is optional]",),
        "a gateway's event:response": (f"{_FRAMING}[a gateway's event:response]", f"{_VENDOR}[SGLang stilt]"),
        "lines that begin with a colon are comments": (f"{_FRAMING}[comments are no events]",),
        "comments before the first chunk and between chunks are no token": (
            f"{_ENDING}[comments before the first chunk and between]", f"{_ENDING}[comments alone]", f"{_VENDOR}[openrouter shore/petrel]",
        ),
        "only CR and LF end a line, not U+2028, U+2029, U+0085, VT, FF": (f"{_FRAMING}[only CR and LF end a line]",),
        "[DONE] and message_stop are terminators": (f"{_ENDING}[a terminator without a finish reason]", f"{_ENDING}[messages]"),
        "a finish reason makes an answer whole where no terminator comes": (
            f"{_ENDING}[a finish reason without a terminator]", f"{_ENDING}[messages, a stop reason without a terminator]",
            f"{_VENDOR}[vLLM crake-lora]",
        ),
        "an error frame fails it": (f"{_ENDING}[an error frame]", f"{_ENDING}[messages, an error event]", f"{_VENDOR}[groq gull-breaks]"),
        "without any of these it is cut short": (f"{_ENDING}[neither]", f"{_ENDING}[messages, neither]"),
        "reading goes on after the finish reason": (f"{_ENDING}[usage after the finish reason, no terminator]",),
        "reading stops at the terminator": (f"{_ENDING}[text after the terminator]", f"{_ENDING}[messages, text after the terminator]"),
        "a last event without blank line or newline counts if it is JSON or [DONE]": (
            f"{_FRAMING}[a last event without its blank line]", f"{_FRAMING}[a last event without its newline]",
            f"{_FRAMING}[a last [DONE] without its newline]", f"{_ENDING}[a terminator without its blank line]",
            f"{_ENDING}[a finish reason in a last event without its blank line]",
        ),
        "else it is cut short": (f"{_FRAMING}[half a last event is dropped]", f"{_ENDING}[a finish reason in half an event]"),
    },
    "1.2 the chat dialect": {
        "id, model, text, finish reason": ("test_a_plain_stream_gives_text_finish_usage_and_end",),
        "a chunk with a role alone is no token": (_NOTHING, f"{_VENDOR}[openai tern-mini]"),
        "choices may be empty: usage, moderation after usage, a filter's opening, heartbeats": (
            _NOTHING, f"{_VENDOR}[openai tern-mini]", f"{_VENDOR}[azure, v1 our-mini]",
        ),
        "usage: the last that is not null, and null never erases": ("test_usage_once_known_is_not_erased_by_null",),
        "finish reason: the last that is not null": ("test_a_finish_reason_once_known_is_not_erased_by_null", f"{_VENDOR}[openrouter shore/petrel]"),
        "unknown keys say nothing": (_NOTHING, f"{_VENDOR}[vLLM crake-8b]", f"{_VENDOR}[llama.cpp coot.gguf]"),
        "role, content, tool calls and reasoning may be null": (_NOTHING, f"{_VENDOR}[DeepSeek knot-reasoner]", f"{_VENDOR}[SGLang stilt]"),
        "delta may be empty or missing": (_NOTHING, f"{_VENDOR}[azure, v1 our-filtered]"),
        "an empty id is unknown": (_NOTHING,),
        "an empty finish reason is null": ("test_an_empty_finish_reason_is_none", f"{_VENDOR}[SGLang stilt]"),
        "a finish reason may never come": (f"{_ENDING}[a terminator without a finish reason]",),
        "reasoning has three fields, the first present counts, mirrors are not added": (
            "test_reasoning_is_read_in_all_spellings_and_mirrors_are_not_added", f"{_VENDOR}[vLLM crake-8b]", f"{_VENDOR}[openrouter shore/petrel]",
        ),
        "encrypted reasoning says nothing": ("test_encrypted_reasoning_says_nothing",),
        "reasoning may stand inside the text, its opening tag may be missing": (
            "test_inline_thinking_is_reasoning_however_it_is_cut", "test_text_that_only_looks_like_thinking_stays_text", f"{_VENDOR}[together deep/Skua-R1]",
        ),
        "tool calls are joined by index; arguments may be missing, null or late; a call may come whole": (
            "test_tool_calls_are_joined_by_index", f"{_VENDOR}[groq gull-tools]",
        ),
        "the first index may be 1": ("test_tool_calls_may_start_at_one_lack_an_index_or_come_in_the_old_form",),
        "finish reasons map to five words, the raw one is kept": (
            "test_finish_reasons_map_to_five_words_and_keep_their_own", f"{_VENDOR}[together skua/Skua-8x7B-Instruct]",
        ),
        "the vendor's own word in native_finish_reason": ("test_the_vendors_own_finish_reason_is_kept_where_a_router_hands_it_on",),
        "of several choices index 0 is read": ("test_of_several_choices_the_first_is_read",),
    },
    "1.3 usage": {
        "in a last chunk without choices": (f"{_VENDOR}[openai tern-mini]", f"{_VENDOR}[azure, v1 our-mini]", f"{_VENDOR}[Ollama rail:8b]"),
        "on the finish chunk": ("test_usage_may_come_on_the_finish_chunk_or_with_an_empty_delta", f"{_VENDOR}[DeepSeek knot-reasoner]"),
        "Groq: at x_groq.usage, at the top, in both; times in seconds": (
            "test_groqs_own_place_for_usage_is_read", f"{_VENDOR}[groq gull-8b-instant]", f"{_VENDOR}[groq coast/gull-oss-20b]",
            f"{_CHAT_USAGE}[Groq's times are seconds]",
        ),
        "Together: cached tokens directly in usage": (f"{_CHAT_USAGE}[Together's cached tokens]", f"{_VENDOR}[together skua/Skua-8x7B-Instruct]"),
        "OpenRouter: cost, the upstream's price with one's own key, cached and reasoning tokens": (
            f"{_CHAT_USAGE}[OpenRouter's cost]", f"{_CHAT_USAGE}[with one's own key the upstream's price is added]",
            f"{_VENDOR}[openrouter shore/petrel]",
        ),
        "LiteLLM: beside one choice with an empty delta": (f"{_VENDOR}[LiteLLM plover]",),
        "xAI: output without reasoning; output is the greater of completion and total - prompt": (f"{_CHAT_USAGE}[xAI leaves reasoning out of its count]",),
        "reasoning beyond the output is clamped": (f"{_CHAT_USAGE}[reasoning beyond the output is clamped]", f"{_VENDOR}[openrouter shore/petrel]"),
    },
    "1.4 the messages dialect": {
        "events by their type; ping anywhere, repeated": ("test_a_plain_stream_gives_text_finish_usage_and_end", f"{_VENDOR}[anthropic heron-large-5]"),
        "payloads are padded with spaces": ("test_payloads_padded_with_spaces_are_read", f"{_VENDOR}[anthropic heron-large-5]"),
        "thinking is reasoning; signatures and redacted thinking say nothing": (
            "test_thinking_is_reasoning_and_a_signature_is_nothing", f"{_VENDOR}[anthropic heron-small-5]",
        ),
        "a text block of line ends may precede the thinking": ("test_thinking_is_reasoning_and_a_signature_is_nothing",),
        "input_json_delta is joined; empty arguments stay empty": ("test_tool_calls_are_joined_and_empty_arguments_stay_empty", f"{_VENDOR}[anthropic heron-3]"),
        "unknown blocks and deltas are never printed": ("test_what_is_unknown_says_nothing", "test_text_inside_an_unknown_block_is_never_printed"),
        "usage of message_delta is cumulative and replaces field by field": (
            f"{_CHAT_USAGE}[later figures replace earlier ones field by field]", f"{_CHAT_USAGE}[cumulative output, not added up]",
        ),
        "the output of message_start is an early one": (f"{_CHAT_USAGE}[the early output count is not the answer's]",),
        "zeros in the start are placeholders": (f"{_CHAT_USAGE}[zeros at the start are placeholders]", f"{_VENDOR}[anthropic heron-small-5]"),
        "input is input + cache creation + cache read": (f"{_CHAT_USAGE}[input is all input, cached or not]", f"{_VENDOR}[anthropic heron-large-5]"),
        "output_tokens_details may count the thinking": ("test_reasoning_tokens_are_at_most_the_output", f"{_VENDOR}[anthropic heron-small-5]"),
        "stop reasons map to five words, the raw one is kept": ("test_stop_reasons_map_to_five_words_and_keep_their_own",),
        "an error event ends the stream": ("test_an_error_event_is_a_failure", f"{_ENDING}[messages, text after the error event]"),
        "message_start may come twice": (f"{_CHAT_USAGE}[two starts merge]",),
    },
}  # fmt: skip

BESIDE: dict[str, str] = {
    "one byte order mark is stripped, at the start alone": "test_a_byte_order_mark_counts_only_at_the_start",
    "a CRLF in two reads is one line end, and delays no event": "test_an_event_comes_with_the_bytes_that_complete_it",
    "comments show that the peer lives": "test_a_drip_that_outlives_every_idle_deadline_ends_at_the_total",
    "comments, roles, usage and white space are never the first token": "test_the_first_token_is_the_first_visible_text",
    "the response is closed after the terminator": "test_what_follows_the_terminator_costs_no_time",
    "a 200 may carry JSON where a stream was asked for": "test_a_json_answer_to_a_streaming_request_is_read",
    "a request of the messages dialect has a limit": "test_a_messages_request_always_has_a_limit",
    "its system text stands at the top": "test_a_messages_request_has_its_system_text_at_the_top",
}

ALL = [
    pytest.param(test, id=f"{section}: {rule}: {test}")
    for section, rules in RULES.items()
    for rule, tests in rules.items()
    for test in tests
]


@pytest.mark.parametrize("test", ALL)
def test_a_rule_is_shown_in_every_form(test: str) -> None:
    name, _, case = test.partition("[")
    function = _TESTS[name]
    assert any(reader in inspect.getsource(function) for reader in ("decode(", "measured(", "in_every_form("))
    if case:
        assert case.removesuffix("]") in _cases(name)


@pytest.mark.parametrize("rule", BESIDE)
def test_a_rule_without_a_form_is_shown_too(rule: str) -> None:
    assert BESIDE[rule] in _TESTS


def _cases(name: str) -> set[str]:
    """The ids under which a test of this name is there, in whichever module."""
    functions = [vars(module).get(name) for module in (test_chat, test_messages, test_sse, test_streams)]
    marks = [mark for function in functions if function for mark in getattr(function, "pytestmark", ())]
    return {str(getattr(value, "id", value)) for mark in marks if mark.name == "parametrize" for value in mark.args[1]}
