"""Gateways and smaller vendors behind the type `custom`: LiteLLM, DeepSeek, SGLang."""

from .openai import error
from .vendor import Reply, Vendor, broken, refusal

_LITELLM = """\
data: {"id":"chatcmpl-2d","created":1795200000,"model":"plover","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"Eight"}}]}

data: {"id":"chatcmpl-2d","created":1795200000,"model":"plover","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" legs."}}]}

data: {"id":"chatcmpl-2d","created":1795200000,"model":"plover","object":"chat.completion.chunk","choices":[{"finish_reason":"stop","index":0,"delta":{}}]}

data: {"id":"chatcmpl-2d","created":1795200000,"model":"plover","object":"chat.completion.chunk","choices":[{"index":0,"delta":{}}],"usage":{"completion_tokens":4,"prompt_tokens":14,"total_tokens":18,"cost":0.0000131,"completion_tokens_details":{"reasoning_tokens":0,"text_tokens":4}}}

data: [DONE]

"""
_LITELLM_BROKEN = """\
data: {"id":"chatcmpl-3","object":"chat.completion.chunk","created":1795200000,"model":"plover-breaks","choices":[{"index":0,"delta":{"role":"assistant","content":"Ei"}}]}

data: {"error": {"message": "litellm.APIConnectionError: APIConnectionError: OpenAIException - Overloaded.", "type": null, "param": null, "code": "500"}}

"""

LITELLM = Vendor(
    name="LiteLLM",
    provider_type="custom",
    base="/v1",
    chat="/v1/chat/completions",
    models="/v1/models",
    wants_usage_asked=True,
    pages={
        "": b'{"data":[{"id":"plover","object":"model","created":1795100000,"owned_by":"openai","mode":"chat","max_input_tokens":128000,"max_output_tokens":16384},'
        b'{"id":"plover-vectors","object":"model","created":1795100000,"owned_by":"openai","mode":"embedding","max_input_tokens":8191}],"object":"list"}'
    },
    catalog={
        "plover": {
            "model_type": "chat",
            "capabilities": {"text": "declared", "long_context": "declared"},
            "ctx_length": 128_000,
            "pricing_input": None,
        },
        "plover-vectors": {"model_type": "embedding", "ctx_length": 8191},
    },
    headers={
        "x-litellm-call-id": "5d1c-plover",
        "x-litellm-model-api-base": "https://api.example.org",
        "x-litellm-response-cost": "1.31e-05",
        "x-litellm-response-duration-ms": "215.5",
        "llm_provider-x-ratelimit-remaining-requests": "9999",
    },
    answers={
        "plover": Reply(
            {
                "response_text": "Eight legs.",
                "input_tokens": 14,
                "output_tokens": 4,
                "provider_request_id": "5d1c-plover",
                "provider_time_ms": 215.5,
                "cost_usd": 0.0000131,
                "cost_source": "provider",
            },
            _LITELLM.encode(),
        )
    },
    failures={
        "plover-gone": refusal(
            400,
            "bad_request",
            "400",
            '{"error":{"message":"/chat/completions: Invalid model name passed in model=plover-gone.","type":"invalid_request_error","param":null,"code":"400"}}',
        ),
        "plover-busy": refusal(
            429,
            "rate_limit",
            "429",
            '{"error":{"message":"litellm.RateLimitError: no deployments available","type":"throttling_error","param":null,"code":"429","provider_specific_fields":{}}}',
        ),
        "plover-breaks": broken("server", "500", "Ei", _LITELLM_BROKEN),
    },
    wrong_key=refusal(
        400,
        "authentication",
        "400",
        '{"error":{"message":"No connected db.","type":"no_db_connection","param":null,"code":"400"}}',
    ),
)

_DEEPSEEK = """\
: keep-alive

data: {"id":"93c5","object":"chat.completion.chunk","created":1795200000,"model":"knot-reasoner","system_fingerprint":"fp_k","choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":""},"logprobs":null,"finish_reason":null}]}

data: {"id":"93c5","object":"chat.completion.chunk","created":1795200000,"model":"knot-reasoner","system_fingerprint":"fp_k","choices":[{"index":0,"delta":{"content":null,"reasoning_content":"Arachnids"},"logprobs":null,"finish_reason":null}],"usage":null}

: keep-alive

data: {"id":"93c5","object":"chat.completion.chunk","created":1795200000,"model":"knot-reasoner","system_fingerprint":"fp_k","choices":[{"index":0,"delta":{"content":"Eight legs.","reasoning_content":null},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"93c5","object":"chat.completion.chunk","created":1795200000,"model":"knot-reasoner","system_fingerprint":"fp_k","choices":[{"index":0,"delta":{"content":"","reasoning_content":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":13,"completion_tokens":25,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":21},"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":13}}

data: [DONE]

"""

DEEPSEEK = Vendor(
    name="DeepSeek",
    provider_type="custom",
    base="",
    chat="/v1/chat/completions",
    models="/v1/models",
    pages={"": b'{"object":"list","data":[{"id":"knot-reasoner","object":"model","owned_by":"knot"}]}'},
    catalog={"knot-reasoner": {"model_type": "chat", "ctx_length": None, "pricing_input": None}},
    headers={"x-ds-trace-id": "77aa"},
    answers={
        "knot-reasoner": Reply(
            {
                "response_text": "Eight legs.",
                "input_tokens": 13,
                "output_tokens": 25,
                "reasoning_tokens": 21,
                "cached_input_tokens": 0,
                "provider_request_id": "93c5",
            },
            _DEEPSEEK.encode(),
        )
    },
    failures={
        "knot-large": refusal(
            422,
            "bad_request",
            "invalid_request_error",
            error("Failed to deserialize the JSON body", "invalid_request_error", "invalid_request_error"),
        ),
    },
    refusals={
        "knot-unpaid": refusal(
            402,
            "payment",
            "invalid_request_error",
            error("Insufficient Balance", "unknown_error", "invalid_request_error"),
        ),
    },
    wrong_key=refusal(
        401,
        "authentication",
        "invalid_request_error",
        error("Authentication Fails", "authentication_error", "invalid_request_error"),
    ),
)

_SGLANG = """\
event:response
data:{"id":"9b1","object":"chat.completion.chunk","created":1795200000,"model":"stilt","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":null,"tool_calls":null},"logprobs":null,"finish_reason":"","matched_stop":null}],"usage":null}

event:response
data:{"id":"9b1","object":"chat.completion.chunk","created":1795200000,"model":"stilt","choices":[{"index":0,"delta":{"role":null,"content":"Eight","reasoning_content":null,"tool_calls":null},"logprobs":null,"finish_reason":"","matched_stop":null}],"usage":null}

event:response
data:{"id":"9b1","object":"chat.completion.chunk","created":1795200000,"model":"stilt","choices":[{"index":0,"delta":{"role":null,"content":" legs.","reasoning_content":null,"tool_calls":null},"logprobs":null,"finish_reason":"stop","matched_stop":151645}],"usage":null}

event:response
data:{"id":"9b1","object":"chat.completion.chunk","created":1795200000,"model":"stilt","choices":[],"usage":{"prompt_tokens":16,"total_tokens":20,"completion_tokens":4,"prompt_tokens_details":null,"reasoning_tokens":0}}

event:response
data:[DONE]
"""

SGLANG = Vendor(
    name="SGLang",
    provider_type="custom",
    base="/v1",
    chat="/v1/chat/completions",
    models="/v1/models",
    wants_usage_asked=True,
    pages={
        "": b'{"object":"list","data":[{"id":"stilt","object":"model","created":1795100000,"owned_by":"sglang","root":"stilt","parent":null,"max_model_len":32768}]}'
    },
    catalog={"stilt": {"ctx_length": 32_768, "model_type": "chat"}},
    answers={
        "stilt": Reply(
            {"response_text": "Eight legs.", "input_tokens": 16, "output_tokens": 4, "finish_reason": "stop"},
            _SGLANG.encode(),
        )
    },
)
