"""OpenAI: a listing that says little, usage in a chunk of its own, moderation after it, padding in every chunk."""

from .vendor import Reply, Vendor, broken, refusal

_LISTING = """{"object":"list","data":[
{"id":"tern-mini","object":"model","created":1795100000,"owned_by":"openai","shutdown_date":null},
{"id":"tern-deep","object":"model","created":1795100001,"owned_by":"system","shutdown_date":"2027-03-01"},
{"id":"tern-quiet","object":"model","created":1795100002,"owned_by":"system","shutdown_date":null},
{"id":"tern-codex","object":"model","created":1795100003,"owned_by":"system","shutdown_date":null},
{"id":"text-embedding-tern","object":"model","created":1795100004,"owned_by":"system","shutdown_date":null},
{"id":"whisper-tern","object":"model","created":1795100005,"owned_by":"openai-internal","shutdown_date":null},
{"id":"tern-tts","object":"model","created":1795100006,"owned_by":"openai-internal","shutdown_date":null},
{"id":"tern-image-1","object":"model","created":1795100007,"owned_by":"system","shutdown_date":null},
{"id":"omni-moderation-tern","object":"model","created":1795100008,"owned_by":"system","shutdown_date":null},
{"id":"tern-realtime","object":"model","created":1795100009,"owned_by":"system","shutdown_date":null}]}"""
_UNKNOWN = {"ctx_length": None, "pricing_input": None, "pricing_output": None, "cost_tier": None}

_PLAIN = """\
data: {"id":"chatcmpl-C1","object":"chat.completion.chunk","created":1795200000,"model":"tern-mini-2026-08-01","service_tier":"default","system_fingerprint":"fp_7a","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"VvCgQ2"}

data: {"id":"chatcmpl-C1","object":"chat.completion.chunk","created":1795200000,"model":"tern-mini-2026-08-01","service_tier":"default","system_fingerprint":"fp_7a","choices":[{"index":0,"delta":{"content":"Eight"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"r4"}

data: {"id":"chatcmpl-C1","object":"chat.completion.chunk","created":1795200000,"model":"tern-mini-2026-08-01","service_tier":"default","system_fingerprint":"fp_7a","choices":[{"index":0,"delta":{"content":" legs, \u2014 8️⃣."},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":""}

data: {"id":"chatcmpl-C1","object":"chat.completion.chunk","created":1795200000,"model":"tern-mini-2026-08-01","service_tier":"default","system_fingerprint":"fp_7a","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null,"obfuscation":"kW9fE"}

data: {"id":"chatcmpl-C1","object":"chat.completion.chunk","created":1795200000,"model":"tern-mini-2026-08-01","service_tier":"default","system_fingerprint":"fp_7a","choices":[],"usage":{"prompt_tokens":14,"completion_tokens":7,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"obfuscation":"x"}

data: {"id":"chatcmpl-C1","object":"chat.completion.chunk","created":1795200000,"model":"tern-mini-2026-08-01","choices":[],"usage":null,"moderation":{"flagged":false}}

data: [DONE]

"""
_DEEP = """\
data: {"id":"chatcmpl-C2","object":"chat.completion.chunk","created":1795200000,"model":"tern-deep","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-C2","object":"chat.completion.chunk","created":1795200000,"model":"tern-deep","choices":[{"index":0,"delta":{"content":"8"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-C2","object":"chat.completion.chunk","created":1795200000,"model":"tern-deep","choices":[{"index":0,"delta":{},"finish_reason":"length"}],"usage":null}

data: {"id":"chatcmpl-C2","object":"chat.completion.chunk","created":1795200000,"model":"tern-deep","choices":[],"usage":{"prompt_tokens":14,"completion_tokens":65,"total_tokens":79,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":64,"audio_tokens":0}}}

data: [DONE]

"""
_BROKEN = """\
data: {"id":"chatcmpl-C3","object":"chat.completion.chunk","created":1795200000,"model":"tern-mini","choices":[{"index":0,"delta":{"role":"assistant","content":"Ei"},"finish_reason":null}],"usage":null}

data: {"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}

"""


def error(message: str, kind: str, code: str | None, param: str | None = None) -> str:
    """The body of an error in this vendor's shape, which many others copy."""
    words = (f'"{word}"' if word else "null" for word in (param, code))
    return '{{"error":{{"message":"{}","type":"{}","param":{},"code":{}}}}}'.format(message, kind, *words)


OPENAI = Vendor(
    name="openai",
    provider_type="openai",
    base="/v1",
    chat="/v1/chat/completions",
    models="/v1/models",
    wants_usage_asked=True,
    pages={"": _LISTING.encode()},
    catalog={
        "tern-mini": {"model_type": "chat", "capabilities": {"text": "inferred"}, **_UNKNOWN},
        "tern-codex": {"model_type": "chat", "capabilities": {"text": "inferred", "code": "inferred"}, **_UNKNOWN},
        "text-embedding-tern": {"model_type": "embedding", "capabilities": {}, **_UNKNOWN},
        "whisper-tern": {"model_type": "transcription"},
        "tern-tts": {"model_type": "speech"},
        "tern-image-1": {"model_type": "image"},
        "omni-moderation-tern": {"model_type": "moderation"},
        "tern-realtime": {"model_type": "realtime"},
    },
    headers={
        "x-request-id": "req_C1",
        "openai-processing-ms": "412",
        "openai-version": "2020-10-01",
        "openai-organization": "org-tern",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "199981",
        "x-ratelimit-reset-requests": "8.64s",
        "x-ratelimit-reset-tokens": "6m0s",
        "cf-ray": "9a-TRN",
    },
    limits={
        "requests": {"limit": 10_000, "remaining": 9999, "reset_s": 8.64},
        "tokens": {"limit": 200_000, "remaining": 199_981, "reset_s": 360.0},
    },
    answers={
        "tern-mini": Reply(
            {
                "response_text": "Eight legs, \u2014 8️⃣.",
                "response_model": "tern-mini-2026-08-01",
                "input_tokens": 14,
                "output_tokens": 7,
                "reasoning_tokens": 0,
                "cached_input_tokens": 4,
                "finish_reason": "stop",
                "finish_reason_raw": "stop",
                "provider_request_id": "req_C1",
                "provider_time_ms": 412.0,
                "cost_usd": None,
            },
            _PLAIN.encode(),
        ),
        "tern-deep": Reply(
            {"response_text": "8", "output_tokens": 65, "reasoning_tokens": 64, "finish_reason": "length"},
            _DEEP.encode(),
        ),
        "tern-quiet": Reply(
            {"response_text": "Nine.", "input_tokens": 14, "output_tokens": 2, "finish_reason": "stop"},
            b'{"id":"chatcmpl-C4","object":"chat.completion","created":1795200000,"model":"tern-quiet","choices":[{"index":0,"message":'
            b'{"role":"assistant","content":"Nine.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],'
            b'"usage":{"prompt_tokens":14,"completion_tokens":2,"total_tokens":16}}',
            content_type="application/json",
        ),
    },
    failures={
        "tern-long": refusal(
            400,
            "bad_request",
            "context_length_exceeded",
            error(
                "This model's maximum context length is 8192 tokens.",
                "invalid_request_error",
                "context_length_exceeded",
                "messages",
            ),
        ),
        "tern-afar": refusal(
            403,
            "permission",
            "unsupported_country_region_territory",
            error(
                "Country, region, or territory not supported",
                "request_forbidden",
                "unsupported_country_region_territory",
            ),
        ),
        "tern-gone": refusal(
            404,
            "not_found",
            "model_not_found",
            error("The model `tern-gone` does not exist.", "invalid_request_error", "model_not_found"),
        ),
        "tern-busy": refusal(
            429,
            "rate_limit",
            "rate_limit_exceeded",
            error("Rate limit reached for tern-busy on tokens per min (TPM).", "tokens", "rate_limit_exceeded"),
            retry_after="2",
            retry_after_ms="1823",
        ),
        "tern-dear": refusal(
            429,
            "quota",
            "credit_balance_exhausted",
            error("You exceeded your current quota.", "insufficient_quota", "credit_balance_exhausted"),
        ),
        "tern-ill": refusal(500, "server", "server_error", error("The server had an error.", "server_error", None)),
        "tern-gateway": refusal(
            502,
            "server",
            None,
            "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>",
            "text/html; charset=UTF-8",
        ),
        "tern-full": refusal(
            503,
            "overloaded",
            "server_error",
            error("That model is currently overloaded with other requests.", "server_error", None),
        ),
        "tern-breaks": broken("server", "server_error", "Ei", _BROKEN),
    },
    wrong_key=refusal(
        401,
        "authentication",
        "invalid_api_key",
        error("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
        www_authenticate="Bearer",
    ),
)
