"""Together: a bare array with prices, usage on the finish chunk, `eos`, thinking inside the text."""

from .openai import error
from .vendor import Reply, Vendor, broken, refusal

_LISTING = """[
{"id":"skua/Skua-8x7B-Instruct","object":"model","created":1795100000,"type":"chat","running":false,"display_name":"Skua (8x7B) Instruct","organization":"skua","link":"https://example.org/skua","license":"apache-2.0","context_length":32768,"config":{"stop":["</s>"]},"pricing":{"hourly":0,"input":0.6,"output":0.6,"base":0,"finetune":0}},
{"id":"deep/Skua-R1","object":"model","created":0,"type":"chat","display_name":"Skua R1","context_length":163840,"pricing":{"hourly":0,"input":3,"output":7,"base":0,"finetune":0}},
{"id":"skua/Skua-70B-Turbo-Free","object":"model","created":0,"type":"chat","display_name":"Skua 70B Free","context_length":131072,"pricing":{"hourly":0,"input":0,"output":0,"base":0,"finetune":0}},
{"id":"skua/Skua-dedicated","object":"model","created":0,"type":"chat","display_name":"Skua, dedicated only","context_length":0,"pricing":{"hourly":0,"input":0,"output":0,"base":0,"finetune":0}},
{"id":"skua/Skua-Coder-7B","object":"model","created":0,"type":"code","display_name":"Skua Coder","context_length":16384,"pricing":{"input":0.2,"output":0.2}},
{"id":"skua/skua-base","object":"model","created":0,"type":"language"},
{"id":"skua/m2-skua-retrieval","object":"model","created":0,"type":"embedding","pricing":{"input":0.008,"output":0}},
{"id":"skua/Skua-rank","object":"model","created":0,"type":"rerank"},
{"id":"skua/Skua-schnell","object":"model","created":0,"type":"image","pricing":{"hourly":0,"input":0,"output":0,"base":0}},
{"id":"skua/Skua-odd","object":"model","created":0,"type":"chat","pricing":{"input":"a lot","output":1}},
{"object":"model","created":0,"type":"chat"}]"""

_PLAIN = """\
data: {"id":"oS1-2kFHot","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"text":"Eight","logprobs":null,"finish_reason":null,"seed":null,"delta":{"token_id":11024,"role":"assistant","content":"Eight","tool_calls":null}}],"model":"skua/Skua-8x7B-Instruct","usage":null}

data: {"id":"oS1-2kFHot","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"text":" legs.","logprobs":null,"finish_reason":null,"seed":null,"delta":{"token_id":14535,"role":"assistant","content":" legs.","tool_calls":null}}],"model":"skua/Skua-8x7B-Instruct","usage":null}

data: {"id":"oS1-2kFHot","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"eos","seed":7310558102,"delta":{"token_id":2,"role":"assistant","content":"","tool_calls":null}}],"model":"skua/Skua-8x7B-Instruct","usage":{"prompt_tokens":18,"completion_tokens":4,"total_tokens":22,"cached_tokens":16}}

data: [DONE]

"""
_THINKING = """\
data: {"id":"oS2","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"text":"<think>","finish_reason":null,"delta":{"token_id":128798,"role":"assistant","content":"<think>","tool_calls":null}}],"model":"deep/Skua-R1","usage":null}

data: {"id":"oS2","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"text":"\\nArachnids.\\n","finish_reason":null,"delta":{"token_id":1,"role":"assistant","content":"\\nArachnids.\\n","tool_calls":null}}],"model":"deep/Skua-R1","usage":null}

data: {"id":"oS2","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"text":"</think>","finish_reason":null,"delta":{"token_id":128799,"role":"assistant","content":"</think>","tool_calls":null}}],"model":"deep/Skua-R1","usage":null}

data: {"id":"oS2","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"text":"\\n\\n8","finish_reason":null,"delta":{"token_id":2,"role":"assistant","content":"\\n\\n8","tool_calls":null}}],"model":"deep/Skua-R1","usage":null}

data: {"id":"oS2","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"text":"","finish_reason":"stop","seed":4,"delta":{"token_id":1,"role":"assistant","content":"","tool_calls":null}}],"model":"deep/Skua-R1","usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21,"cached_tokens":0}}

data: [DONE]

"""
_BROKEN = """\
data: {"id":"oS3","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"text":"Ei","finish_reason":null,"delta":{"token_id":1,"role":"assistant","content":"Ei","tool_calls":null}}],"model":"skua/breaks","usage":null}

data: {"id":"oS3","error":{"message":"Internal server error","type":"server_error","param":null,"code":null}}

data: [DONE]

"""

TOGETHER = Vendor(
    name="together",
    provider_type="together",
    base="/v1",
    chat="/v1/chat/completions",
    models="/v1/models",
    pages={"": _LISTING.encode()},
    catalog={
        "skua/Skua-8x7B-Instruct": {
            "display_name": "Skua (8x7B) Instruct",
            "model_type": "chat",
            "capabilities": {"text": "declared"},
            "ctx_length": 32_768,
            "pricing_input": 0.6,
            "pricing_output": 0.6,
            "price_source": "provider_api",
            "cost_tier": "standard",
        },
        "deep/Skua-R1": {"pricing_input": 3.0, "pricing_output": 7.0, "cost_tier": "standard", "ctx_length": 163_840},
        "skua/Skua-70B-Turbo-Free": {"pricing_input": 0.0, "pricing_output": 0.0, "cost_tier": "free"},
        "skua/Skua-dedicated": {"pricing_input": None, "cost_tier": None, "ctx_length": None},
        "skua/Skua-Coder-7B": {"model_type": "chat", "capabilities": {"text": "declared", "code": "declared"}},
        "skua/skua-base": {"model_type": "completion", "display_name": "skua-base"},
        "skua/m2-skua-retrieval": {"model_type": "embedding", "pricing_input": 0.008},
        "skua/Skua-rank": {"model_type": "rerank"},
        "skua/Skua-schnell": {"model_type": "image", "pricing_input": None},
        "skua/Skua-odd": {"pricing_input": None, "cost_tier": None},
    },
    headers={
        "x-request-id": "oS1-2kFHot",
        "cf-ray": "9a-SKU",
        "x-ratelimit-limit": "10",
        "x-ratelimit-remaining": "9",
        "x-ratelimit-reset": "1",
    },
    limits={"requests": {"limit": 10, "remaining": 9}},
    answers={
        "skua/Skua-8x7B-Instruct": Reply(
            {
                "response_text": "Eight legs.",
                "input_tokens": 18,
                "output_tokens": 4,
                "cached_input_tokens": 16,
                "finish_reason": "stop",
                "finish_reason_raw": "eos",
                "provider_request_id": "oS1-2kFHot",
                "provider_time_ms": None,
                "cost_usd": 22 * 0.6e-6,
                "cost_source": "price",
            },
            _PLAIN.encode(),
        ),
        "deep/Skua-R1": Reply(
            {
                "response_text": "\n\n8",
                "input_tokens": 12,
                "output_tokens": 9,
                "reasoning_tokens": None,
                "cost_usd": (12 * 3 + 9 * 7) / 1e6,
            },
            _THINKING.encode(),
        ),
        "skua/Skua-70B-Turbo-Free": Reply(
            {"response_text": "Eight legs.", "cost_usd": 0.0, "cost_source": "price"}, _PLAIN.encode()
        ),
    },
    failures={
        "skua/too-long": refusal(
            403,
            "permission",
            "invalid_request_error",
            error("This model's maximum context length is 8192 tokens.", "invalid_request_error", None, "max_tokens"),
        ),
        "skua/gone": refusal(
            404,
            "not_found",
            "model_not_available",
            error("Unable to access model skua/gone.", "invalid_request_error", "model_not_available"),
        ),
        "skua/busy": refusal(
            429,
            "rate_limit",
            "model_rate_limit",
            error("You have reached the rate limit specific to this model.", "model_rate_limit", None),
            x_ratelimit_reset="3",
        ),
        "skua/ill": refusal(500, "server", "server_error", error("Internal server error", "server_error", None)),
        "skua/full": refusal(
            503,
            "overloaded",
            "service_unavailable",
            error("The server is overloaded or not ready yet.", "service_unavailable", None),
        ),
        "skua/away": refusal(524, "server", None, "error code: 524", "text/plain; charset=UTF-8"),
        "skua/breaks": broken("server", "server_error", "Ei", _BROKEN),
    },
    refusals={
        "skua/capped": refusal(
            402,
            "payment",
            "credit_limit",
            error("You have reached your monthly spending cap.", "credit_limit", None),
        ),
    },
    wrong_key=refusal(
        401,
        "authentication",
        "invalid_api_key",
        '{"id":"oS9","error":{"message":"Invalid API key provided.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}',
    ),
)
