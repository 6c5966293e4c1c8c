"""Bytes as the LiteLLM proxy 1.106.2 sent them (long texts and ids shortened): both dialects, and what goes wrong behind it."""

import httpx
import pytest
from wire.decoding import decode

from providers.catalog import fetch_catalog
from providers.dialects import DIALECTS
from providers.specs import make_spec

CHAT = (
    b'data: {"id":"chatcmpl-2d","object":"chat.completion.chunk","created":1795227732,"model":"guesser","choices":[{"index":0,"delta":{"role":"assistant","content":"B"}}]}\n\n'
    b'data: {"id":"chatcmpl-2d","object":"chat.completion.chunk","created":1795227732,"model":"guesser","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"chatcmpl-2d","created":1795227732,"model":"guesser","object":"chat.completion.chunk","choices":[{"index":0,"delta":{}}],"usage":{"completion_tokens":1,"prompt_tokens":8,"total_tokens":9,"completion_tokens_details":{"reasoning_tokens":0,"text_tokens":1}}}\n\n'
    b"data: [DONE]\n\n"
)
CHAT_BROKEN = (
    b'data: {"id":"chatcmpl-3","object":"chat.completion.chunk","created":1795228333,"model":"broken","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"id":"chatcmpl-3","object":"chat.completion.chunk","created":1795228333,"model":"broken","choices":[{"index":0,"delta":{"content":"Stea"}}]}\n\n'
    b'data: {"error": {"message": "litellm.APIConnectionError: APIConnectionError: OpenAIException - Overloaded in mid-stream.", "type": null, "param": null, "code": "500"}}\n\n'
)
MESSAGES = (
    b"event: message_start\n"
    b'data: {"type":"message_start","message":{"id":"msg_de","type":"message","role":"assistant","content":[],"model":"bridge","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0}}}\n\n'
    b"event: content_block_start\n"
    b'data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}\n\n'
    b"event: content_block_delta\n"
    b'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "The"}}\n\n'
    b"event: content_block_delta\n"
    b'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " qu"}}\n\n'
    b"event: content_block_stop\n"
    b'data: {"type": "content_block_stop", "index": 0}\n\n'
)
MESSAGES_END = (
    b"event: message_delta\n"
    b'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 8, "output_tokens": 24}}\n\n'
    b"event: message_stop\n"
    b'data: {"type": "message_stop"}\n\n'
)
MESSAGES_BROKEN = (
    b"event: error\n"
    b'data: {"type": "error", "error": {"type": "api_error", "message": "litellm.InternalServerError: InternalServerError: Hosted_vllmException - Overloaded in mid-stream."}}\n\n'
)
MODEL_INFO = (
    b'{"data":[{"model_name":"parrot","litellm_params":{"use_in_pass_through":false,"mock_response":"The quick","model":"openai/parrot"},'
    b'"model_info":{"id":"1222a3b8","db_model":false,"key":"openai/parrot","max_tokens":null,"max_input_tokens":null,"input_cost_per_token":null,"output_cost_per_token":null,"mode":null,"supports_vision":null}},'
    b'{"model_name":"guesser","litellm_params":{"input_cost_per_token":5e-07,"output_cost_per_token":1.5e-06,"mock_response":"B, or 12","model":"openai/guesser"},'
    b'"model_info":{"input_cost_per_token":5e-07,"output_cost_per_token":1.5e-06,"id":"141de9ce","pricing_overrides":["input_cost_per_token","output_cost_per_token"],"key":"openai/guesser","mode":null}}]}'
)


def test_a_chat_stream_has_its_usage_in_a_chunk_with_an_empty_delta() -> None:
    said = decode("chat", CHAT)
    assert (said.text, said.finish, said.model, said.ended) == ("B", ("stop", "stop"), "guesser", True)
    assert said.usage is not None
    assert (said.usage.input_tokens, said.usage.output_tokens, said.usage.cost_usd) == (8, 1, None)


def test_a_messages_stream_has_its_real_usage_at_the_end() -> None:
    said = decode("messages", MESSAGES, MESSAGES_END)
    assert (said.text, said.finish, said.model, said.ended) == ("The qu", ("stop", "end_turn"), "bridge", True)
    assert said.usage is not None
    assert (said.usage.input_tokens, said.usage.output_tokens) == (8, 24)


@pytest.mark.parametrize(
    ("dialect", "stream", "text"), [("chat", CHAT_BROKEN, "Stea"), ("messages", MESSAGES + MESSAGES_BROKEN, "The qu")]
)
def test_an_upstream_that_breaks_in_mid_stream_is_the_servers_failure(dialect: str, stream: bytes, text: str) -> None:
    said = decode(dialect, stream)
    assert said.text == text
    assert said.error is not None
    assert said.error.error_type == "server"
    assert "Overloaded in mid-stream." in said.error.message


@pytest.mark.parametrize(
    ("dialect", "status", "body", "error_type"),
    [
        (
            "chat",
            429,
            b'{"error":{"message":"litellm.RateLimitError: this is a mock rate limit error\\n\\nLiteLLM: model group \'limited\' failed with the error above. No fallback was attempted.","type":"throttling_error","param":null,"code":"429"}}',
            "rate_limit",
        ),
        (
            "messages",
            429,
            b'{"type":"error","error":{"type":"rate_limit_error","message":"litellm.RateLimitError: this is a mock rate limit error"}}',
            "rate_limit",
        ),
        (
            "messages",
            401,
            b'{"type":"error","error":{"type":"authentication_error","message":"litellm.AuthenticationError: AuthenticationError: Hosted_vllmException - {}"}}',
            "authentication",
        ),
        (
            "messages",
            400,
            b'{"error":{"message":"No connected db.","type":"no_db_connection","param":null,"code":"400"}}',
            "authentication",
        ),
        (
            "chat",
            400,
            b'{"error":{"message":"/chat/completions: Invalid model name passed in model=nope.","type":"invalid_request_error","param":null,"code":"400"}}',
            "bad_request",
        ),
        ("chat", 500, b"Internal Server Error", "server"),
    ],
)
def test_a_refusal_is_typed(dialect: str, status: int, body: bytes, error_type: str) -> None:
    error = DIALECTS[dialect].parse_error(status, {"content-type": "application/json"}, body)
    assert (error.error_type, error.status_code) == (error_type, status)


async def test_its_model_info_lists_prices_and_names_models_by_model_name() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, content=MODEL_INFO, headers={"content-type": "application/json"})

    spec = make_spec(
        {"key": "g", "provider_type": "custom", "base_url": "http://127.0.0.1:4000", "models_endpoint": "/model/info"}
    )
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        catalog = await fetch_catalog(client, spec, None)
    assert asked == ["/v1/model/info"]
    assert catalog.rejected == ()
    parrot, guesser = catalog.models
    assert (parrot.external_id, parrot.input_price_per_m, parrot.output_price_per_m) == ("parrot", None, None)
    assert (guesser.external_id, float(guesser.input_price_per_m or 0), float(guesser.output_price_per_m or 0)) == (
        "guesser",
        0.5,
        1.5,
    )
