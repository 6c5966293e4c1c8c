"""OpenRouter: comments before and between chunks, the upstream's word beside the common one, cost in usage, errors beside choices."""

from .vendor import Reply, Vendor, broken, refusal

_LISTING = """{"data":[
{"id":"shore/petrel","canonical_slug":"shore/petrel-0801","hugging_face_id":"","name":"Shore: Petrel","created":1795100000,"description":"A petrel.","context_length":1000000,"architecture":{"modality":"text+image->text","input_modalities":["text","image"],"output_modalities":["text"],"tokenizer":"Other","instruct_type":null},"pricing":{"prompt":"0.00000125","completion":"0.00001","request":"0","image":"0.00129","web_search":"0.01","internal_reasoning":"0","input_cache_read":"0.000000125","overrides":[{"min_prompt_tokens":200000,"prompt":"0.0000025"}]},"top_provider":{"context_length":200000,"max_completion_tokens":65536,"is_moderated":false},"per_request_limits":null,"supported_parameters":["max_tokens","tools","tool_choice","reasoning"],"default_parameters":{},"expiration_date":null},
{"id":"shore/petrel:free","name":"Shore: Petrel (free)","created":1795100000,"context_length":32768,"architecture":{"input_modalities":["text"],"output_modalities":["text"]},"pricing":{"prompt":"0","completion":"0","request":"0","image":"0"},"top_provider":{"context_length":null},"supported_parameters":["max_tokens"]},
{"id":"router/auto","name":"Auto Router","created":1795100000,"context_length":2000000,"architecture":{"input_modalities":["text"],"output_modalities":["text"]},"pricing":{"prompt":"-1","completion":"-1"},"top_provider":{"context_length":null},"supported_parameters":[]},
{"id":"shore/per-call","name":"Shore: by the call","created":1795100000,"context_length":8192,"architecture":{"input_modalities":["text","audio"],"output_modalities":["text"]},"pricing":{"prompt":"0","completion":"0","request":"0.005","image":"0"},"top_provider":{"context_length":8192},"supported_parameters":[]},
{"id":"shore/brush","name":"Shore: Brush","created":1795100000,"context_length":8192,"architecture":{"input_modalities":["text"],"output_modalities":["image","text"]},"pricing":{"prompt":"0.000001","completion":"0.00003"},"top_provider":{"context_length":8192},"supported_parameters":[]},
{"id":"shore/easel","name":"Shore: Easel","created":1795100000,"context_length":8192,"architecture":{"input_modalities":["text"],"output_modalities":["image"]},"pricing":{"prompt":"0.000001","completion":"0.00003"},"top_provider":{"context_length":8192},"supported_parameters":[]}]}"""

_PLAIN = """\
: OPENROUTER PROCESSING

: OPENROUTER PROCESSING

data: {"id":"gen-1795200000-pt1","provider":"Harbour","model":"shore/petrel","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"Arachnids","reasoning_details":[{"type":"reasoning.text","text":"Arachnids","format":"unknown","index":0}]},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}

: OPENROUTER PROCESSING

data: {"id":"gen-1795200000-pt1","provider":"Harbour","model":"shore/petrel","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"delta":{"role":"assistant","content":"Eight"},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}

data: {"id":"gen-1795200000-pt1","provider":"Harbour","model":"shore/petrel","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"delta":{"role":"assistant","content":" legs."},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}

data: {"id":"gen-1795200000-pt1","provider":"Harbour","model":"shore/petrel","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"end_turn","logprobs":null}]}

data: {"id":"gen-1795200000-pt1","provider":"Harbour","model":"shore/petrel","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null,"native_finish_reason":null,"logprobs":null}],"usage":{"prompt_tokens":14,"completion_tokens":10,"total_tokens":24,"cost":0.0001175,"is_byok":false,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":0,"audio_tokens":0},"cost_details":{"upstream_inference_cost":null},"completion_tokens_details":{"reasoning_tokens":11,"image_tokens":0}}}

data: [DONE]

"""
_OWN_KEY = """\
data: {"id":"gen-1795200000-pt2","provider":"Harbour","model":"shore/petrel:free","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"delta":{"role":"assistant","content":"8"},"finish_reason":"length","native_finish_reason":"MAX_TOKENS","logprobs":null}]}

data: {"id":"gen-1795200000-pt2","provider":"Harbour","model":"shore/petrel:free","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"MAX_TOKENS","logprobs":null}],"usage":{"prompt_tokens":14,"completion_tokens":1,"total_tokens":15,"cost":0.25,"is_byok":true,"cost_details":{"upstream_inference_cost":0.5}}}

data: [DONE]

"""
_BROKEN = """\
: OPENROUTER PROCESSING

data: {"id":"gen-1795200000-pt3","provider":"Harbour","model":"shore/breaks","object":"chat.completion.chunk","created":1795200000,"choices":[{"index":0,"delta":{"role":"assistant","content":"Ei"},"finish_reason":null,"native_finish_reason":null}]}

data: {"id":"gen-1795200000-pt3","provider":"Harbour","model":"shore/breaks","object":"chat.completion.chunk","created":1795200000,"error":{"code":502,"message":"Upstream disconnected","metadata":{"provider_name":"Harbour"}},"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"error","native_finish_reason":"overloaded"}],"usage":{"prompt_tokens":14,"completion_tokens":1,"total_tokens":15,"cost":0.0000125}}

data: [DONE]

"""

OPENROUTER = Vendor(
    name="openrouter",
    provider_type="openrouter",
    base="/api/v1",
    chat="/api/v1/chat/completions",
    models="/api/v1/models",
    pages={"": _LISTING.encode()},
    catalog={
        "shore/petrel": {
            "display_name": "Shore: Petrel",
            "model_type": "chat",
            "capabilities": {
                "text": "declared",
                "vision": "declared",
                "function_calling": "declared",
                "long_context": "declared",
            },
            "ctx_length": 200_000,
            "pricing_input": 1.25,
            "pricing_output": 10.0,
            "price_source": "provider_api",
            "cost_tier": "standard",
        },
        "shore/petrel:free": {"pricing_input": 0.0, "cost_tier": "free", "ctx_length": 32_768},
        "router/auto": {"pricing_input": None, "cost_tier": None, "ctx_length": 2_000_000},
        "shore/per-call": {
            "pricing_input": None,
            "cost_tier": None,
            "capabilities": {"text": "declared", "audio": "declared"},
        },
        "shore/brush": {"model_type": "chat"},
        "shore/easel": {"model_type": "image"},
    },
    required={"x-title": "Scorehouse", "x-openrouter-title": "Scorehouse"},
    headers={"x-generation-id": "gen-1795200000-pt1", "x-provider-name": "Harbour", "cf-ray": "9a-PTR"},
    answers={
        "shore/petrel": Reply(
            {
                "response_text": "Eight legs.",
                "response_model": "shore/petrel",
                "input_tokens": 14,
                "output_tokens": 10,
                "reasoning_tokens": 10,
                "cached_input_tokens": 8,
                "finish_reason": "stop",
                "finish_reason_raw": "end_turn",
                "provider_request_id": "gen-1795200000-pt1",
                "cost_usd": 0.0001175,
                "cost_source": "provider",
            },
            _PLAIN.encode(),
        ),
        "shore/petrel:free": Reply(
            {"response_text": "8", "cost_usd": 0.75, "cost_source": "provider", "finish_reason_raw": "MAX_TOKENS"},
            _OWN_KEY.encode(),
        ),
    },
    failures={
        "shore/wrong": refusal(
            400,
            "bad_request",
            "400",
            '{"error":{"message":"shore/wrong is not a valid model ID","code":400},"user_id":"user_p"}',
        ),
        "shore/moderated": refusal(
            403,
            "permission",
            "403",
            '{"error":{"message":"shore/moderated requires moderation. Your input was flagged.","code":403,"metadata":{"reasons":["violence"],'
            '"flagged_input":"...","provider_name":"Harbour","model_slug":"shore/moderated"}},"user_id":"user_p"}',
        ),
        "shore/gone": refusal(
            404, "not_found", "404", '{"error":{"message":"No endpoints found for shore/gone.","code":404}}'
        ),
        "shore/slow": refusal(408, "server", "408", '{"error":{"message":"Request timed out","code":408}}'),
        "shore/busy": refusal(
            429,
            "rate_limit",
            "429",
            '{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"shore/busy is temporarily rate-limited upstream.",'
            '"provider_name":"Harbour"}},"user_id":"user_p"}',
            x_ratelimit_limit="20",
            x_ratelimit_remaining="0",
            x_ratelimit_reset="1795200060000",
            retry_after="12",
        ),
        "shore/upstream": refusal(
            502,
            "server",
            "502",
            '{"error":{"message":"Provider returned error","code":502,"metadata":{"raw":{"error":"boom"},"provider_name":"Harbour"}}}',
        ),
        "shore/none": refusal(
            503, "overloaded", "503", '{"error":{"message":"No instances available","code":503}}', retry_after="30"
        ),
        "shore/breaks": broken(
            "server",
            "502",
            "Ei",
            _BROKEN,
            input_tokens=14,
            output_tokens=1,
            cost_usd=0.0000125,
            finish_reason="other",
            finish_reason_raw="overloaded",
        ),
    },
    refusals={
        "shore/unpaid": refusal(
            402,
            "payment",
            "402",
            '{"error":{"message":"Insufficient credits. Add more to go on.","code":402},"user_id":"user_p"}',
        ),
    },
    wrong_key=refusal(401, "authentication", "401", '{"error":{"message":"User not found.","code":401}}'),
)
