"""Groq: switched-off models in the listing, usage twice on the finish chunk, times in seconds, errors as events without an end."""

from .openai import error
from .vendor import Reply, Vendor, broken, refusal

_LISTING = """{"object":"list","data":[
{"id":"gull-8b-instant","object":"model","created":1795100000,"owned_by":"Harbour","active":true,"context_window":131072,"public_apps":null,"max_completion_tokens":131072},
{"id":"coast/gull-oss-20b","object":"model","created":1795100001,"owned_by":"Coast","active":true,"context_window":65536,"public_apps":null,"max_completion_tokens":32768},
{"id":"gull-tools","object":"model","created":1795100001,"owned_by":"Coast","active":true,"context_window":8192,"public_apps":null,"max_completion_tokens":8192},
{"id":"gull-7b-retired","object":"model","created":1795100002,"owned_by":"Harbour","active":false,"context_window":8192,"public_apps":null,"max_completion_tokens":8192},
{"id":"whisper-gull-v3","object":"model","created":1795100003,"owned_by":"Harbour","active":true,"context_window":448,"public_apps":null,"max_completion_tokens":448},
{"id":"coast/gull-guard-4-12b","object":"model","created":1795100004,"owned_by":"Coast","active":true,"context_window":131072,"public_apps":null,"max_completion_tokens":1024}]}"""

_PLAIN = """\
data: {"id":"chatcmpl-g1","object":"chat.completion.chunk","created":1795200000,"model":"gull-8b-instant","system_fingerprint":"fp_g","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"x_groq":{"id":"req_01gull","seed":1817}}

data: {"id":"chatcmpl-g1","object":"chat.completion.chunk","created":1795200000,"model":"gull-8b-instant","system_fingerprint":"fp_g","choices":[{"index":0,"delta":{"content":"Eight"},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-g1","object":"chat.completion.chunk","created":1795200000,"model":"gull-8b-instant","system_fingerprint":"fp_g","choices":[{"index":0,"delta":{"content":" legs."},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-g1","object":"chat.completion.chunk","created":1795200000,"model":"gull-8b-instant","system_fingerprint":"fp_g","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":{"queue_time":0.02,"prompt_tokens":40,"prompt_time":0.002,"completion_tokens":4,"completion_time":0.008,"total_tokens":44,"total_time":0.25},"x_groq":{"id":"req_01gull","usage":{"queue_time":0.02,"prompt_tokens":40,"prompt_time":0.002,"completion_tokens":4,"completion_time":0.008,"total_tokens":44,"total_time":0.25}}}

data: [DONE]

"""
# An older wire: usage in x_groq alone, and reasoning in a channel of its own.
_REASONING = """\
data: {"id":"chatcmpl-g2","object":"chat.completion.chunk","created":1795200000,"model":"coast/gull-oss-20b","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"x_groq":{"id":"req_02gull"}}

data: {"id":"chatcmpl-g2","object":"chat.completion.chunk","created":1795200000,"model":"coast/gull-oss-20b","choices":[{"index":0,"delta":{"reasoning":"Arachnids","channel":"analysis"},"finish_reason":null}]}

data: {"id":"chatcmpl-g2","object":"chat.completion.chunk","created":1795200000,"model":"coast/gull-oss-20b","choices":[{"index":0,"delta":{"reasoning":" have 8.","channel":"analysis"},"finish_reason":null}]}

data: {"id":"chatcmpl-g2","object":"chat.completion.chunk","created":1795200000,"model":"coast/gull-oss-20b","choices":[{"index":0,"delta":{"content":"8"},"finish_reason":null}]}

data: {"id":"chatcmpl-g2","object":"chat.completion.chunk","created":1795200000,"model":"coast/gull-oss-20b","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_02gull","usage":{"prompt_tokens":81,"completion_tokens":58,"total_tokens":139,"queue_time":0.1,"prompt_time":0.003,"completion_time":0.06,"total_time":0.163,"completion_tokens_details":{"reasoning_tokens":49}}}}

data: [DONE]

"""
_TOOLS = """\
data: {"id":"chatcmpl-g3","object":"chat.completion.chunk","created":1795200000,"model":"gull-tools","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}],"x_groq":{"id":"req_03gull"}}

data: {"id":"chatcmpl-g3","object":"chat.completion.chunk","created":1795200000,"model":"gull-tools","choices":[{"index":0,"delta":{"tool_calls":[{"id":"call_1","type":"function","function":{"name":"legs_of","arguments":"{\\"animal\\":\\"spider\\"}"},"index":0}]},"finish_reason":null}]}

data: {"id":"chatcmpl-g3","object":"chat.completion.chunk","created":1795200000,"model":"gull-tools","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"x_groq":{"id":"req_03gull","usage":{"prompt_tokens":200,"completion_tokens":19,"total_tokens":219,"total_time":0.04}}}

data: [DONE]

"""
_BROKEN = """\
data: {"id":"chatcmpl-g4","object":"chat.completion.chunk","created":1795200000,"model":"gull-breaks","choices":[{"index":0,"delta":{"role":"assistant","content":"Ei"},"finish_reason":null}],"x_groq":{"id":"req_04gull"}}

event: error
data: {"error":{"message":"Failed to call a function. See 'failed_generation'.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"<function=","status_code":400}}

"""

GROQ = Vendor(
    name="groq",
    provider_type="groq",
    base="/openai/v1",
    chat="/openai/v1/chat/completions",
    models="/openai/v1/models",
    pages={"": _LISTING.encode()},
    catalog={
        "gull-8b-instant": {
            "model_type": "chat",
            "capabilities": {"text": "inferred", "long_context": "declared"},
            "ctx_length": 131_072,
        },
        "coast/gull-oss-20b": {"display_name": "gull-oss-20b", "ctx_length": 65_536, "pricing_input": None},
        "whisper-gull-v3": {"model_type": "transcription", "capabilities": {}, "ctx_length": 448},
        "coast/gull-guard-4-12b": {"model_type": "moderation"},
    },
    headers={
        "x-request-id": "req_01gull",
        "x-groq-region": "lhr",
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-requests": "14399",
        "x-ratelimit-remaining-tokens": "5960",
        "x-ratelimit-reset-requests": "6s",
        "x-ratelimit-reset-tokens": "130ms",
    },
    limits={
        "requests": {"limit": 14_400, "remaining": 14_399, "reset_s": 6.0},
        "tokens": {"limit": 6000, "remaining": 5960, "reset_s": 0.13},
    },
    answers={
        "gull-8b-instant": Reply(
            {
                "response_text": "Eight legs.",
                "response_model": "gull-8b-instant",
                "input_tokens": 40,
                "output_tokens": 4,
                "finish_reason": "stop",
                "provider_request_id": "req_01gull",
                "provider_time_ms": 250.0,
                "cost_usd": None,
            },
            _PLAIN.encode(),
        ),
        "coast/gull-oss-20b": Reply(
            {
                "response_text": "8",
                "input_tokens": 81,
                "output_tokens": 58,
                "reasoning_tokens": 49,
                "provider_time_ms": 163.0,
            },
            _REASONING.encode(),
        ),
        "gull-tools": Reply(
            {"response_text": "", "finish_reason": "tool_calls", "output_tokens": 19, "ttft_ms": None}, _TOOLS.encode()
        ),
    },
    failures={
        "gull-forbidden": refusal(403, "permission", None, '{"error":{"message":"Forbidden"}}'),
        "gull-gone": refusal(
            404,
            "not_found",
            "model_not_found",
            '{"error":{"message":"The model `gull-gone` does not exist or you do not have access to it.",'
            '"type":"invalid_request_error","code":"model_not_found"}}',
        ),
        "gull-large": refusal(
            413,
            "bad_request",
            "rate_limit_exceeded",
            '{"error":{"message":"Request too large for model `gull-large` on tokens per minute (TPM): Limit 6000, Requested 9012",'
            '"type":"tokens","code":"rate_limit_exceeded"}}',
        ),
        "gull-unsure": refusal(
            422, "bad_request", "invalid_request_error", error("Unprocessable.", "invalid_request_error", None)
        ),
        "gull-busy": refusal(
            429,
            "rate_limit",
            "rate_limit_exceeded",
            '{"error":{"message":"Rate limit reached for model `gull-busy` on requests per day (RPD)","type":"requests",'
            '"code":"rate_limit_exceeded"}}',
            retry_after="7",
        ),
        "gull-flex": refusal(
            498,
            "overloaded",
            "capacity_exceeded",
            error("Flex capacity exceeded.", "invalid_request_error", "capacity_exceeded"),
        ),
        "gull-ill": refusal(
            500,
            "server",
            "internal_server_error",
            '{"error":{"message":"Internal Server Error","type":"internal_server_error"}}',
        ),
        "gull-full": refusal(503, "overloaded", None, '{"error":{"message":"Service Unavailable"}}'),
        "gull-breaks": broken("bad_request", "tool_use_failed", "Ei", _BROKEN),
    },
    wrong_key=refusal(
        401,
        "authentication",
        "invalid_api_key",
        '{"error":{"message":"Invalid API Key","type":"invalid_request_error","code":"invalid_api_key"}}',
    ),
)
