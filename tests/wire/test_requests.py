"""What is sent: only what somebody set, in the words of the dialect."""

import json
from dataclasses import replace

from wire.loopback import CHAT, MESSAGES

from providers.dialects import DIALECTS, chat, messages
from providers.records import Prompt

BARE = Prompt("Hi")
FULL = Prompt("Hi", system="Be brief.", max_output_tokens=64, temperature=0.0)


def test_a_chat_request_holds_only_what_was_set() -> None:
    request = chat.build_request(CHAT, "m/1:free", BARE)
    assert request.path == "/v1/chat/completions"
    assert json.loads(request.body) == {
        "model": "m/1:free",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_chat_request_names_the_limit_as_its_provider_does() -> None:
    spec = replace(CHAT, token_limit_field="max_completion_tokens", send_stream_options=False)
    body = json.loads(chat.build_request(spec, "m", FULL).body)
    assert body["max_completion_tokens"] == 64
    assert body["temperature"] == 0.0
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "stream_options" not in body


def test_a_messages_request_always_has_a_limit() -> None:
    body = json.loads(messages.build_request(MESSAGES, "m", BARE).body)
    assert body == {
        "model": "m",
        "max_tokens": messages.DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }


def test_a_messages_request_has_its_system_text_at_the_top() -> None:
    body = json.loads(messages.build_request(MESSAGES, "m", FULL).body)
    assert (body["system"], body["max_tokens"], body["temperature"]) == ("Be brief.", 64, 0.0)
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_a_model_in_the_path_is_quoted_and_a_providers_headers_go_along() -> None:
    spec = replace(CHAT, chat_path="/openai/deployments/{model}/chat/completions", headers={"X-Title": "t"})
    for dialect in DIALECTS.values():
        request = dialect.build_request(spec, "../a?b", BARE)
        assert request.path == "/openai/deployments/..%2Fa%3Fb/chat/completions"
        assert request.headers == {"X-Title": "t"}
