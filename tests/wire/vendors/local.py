"""Servers of one's own behind the type `custom`: vLLM, Ollama, llama.cpp, LM Studio."""

from dataclasses import replace

from .openai import error
from .vendor import Reply, Vendor, broken, refusal

_VLLM_MODELS = """{"object":"list","data":[
{"id":"crake-8b","object":"model","created":1795100000,"owned_by":"vllm","root":"/models/crake-8b","parent":null,"max_model_len":40960,"permission":[{"id":"modelperm-1","object":"model_permission","allow_sampling":true}]},
{"id":"crake-lora","object":"model","created":1795100000,"owned_by":"vllm","root":"/models/lora","parent":"crake-8b","max_model_len":40960,"permission":[]}]}"""
_VLLM = """\
data: {"id":"chatcmpl-v1","object":"chat.completion.chunk","created":1795200000,"model":"crake-8b","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":null},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null}

data: {"id":"chatcmpl-v1","object":"chat.completion.chunk","created":1795200000,"model":"crake-8b","choices":[{"index":0,"delta":{"reasoning":"Arachnids.","reasoning_content":"Arachnids."},"logprobs":null,"finish_reason":null,"token_ids":null}]}

data: {"id":"chatcmpl-v1","object":"chat.completion.chunk","created":1795200000,"model":"crake-8b","choices":[{"index":0,"delta":{"content":"Eight legs."},"logprobs":null,"finish_reason":null,"token_ids":[23,42]}]}

data: {"id":"chatcmpl-v1","object":"chat.completion.chunk","created":1795200000,"model":"crake-8b","choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"stop","stop_reason":null,"token_ids":null}]}

data: {"id":"chatcmpl-v1","object":"chat.completion.chunk","created":1795200000,"model":"crake-8b","choices":[],"usage":{"prompt_tokens":21,"total_tokens":30,"completion_tokens":9}}

data: [DONE]

"""
_VLLM_BROKEN = """\
data: {"id":"chatcmpl-v2","object":"chat.completion.chunk","created":1795200000,"model":"crake-breaks","choices":[{"index":0,"delta":{"role":"assistant","content":"Ei"},"finish_reason":null}]}

data: {"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "param": null, "code": 500}}

data: [DONE]

"""
# No terminator, as transformers serve ends its streams.
_NO_DONE = """\
data: {"id":"c2","object":"chat.completion.chunk","created":1795200000,"model":"crake-lora","system_fingerprint":"","choices":[{"index":0,"delta":{"role":"assistant","content":"8"},"finish_reason":null}]}

data: {"id":"c2","object":"chat.completion.chunk","created":1795200000,"model":"crake-lora","system_fingerprint":"","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":21,"completion_tokens":1,"total_tokens":22}}
"""
_UNPRICED = {"pricing_input": None, "cost_tier": None}

VLLM = Vendor(
    name="vLLM",
    provider_type="custom",
    base="/v1",
    chat="/v1/chat/completions",
    models="/v1/models",
    wants_usage_asked=True,
    pages={"": _VLLM_MODELS.encode()},
    catalog={"crake-8b": {"ctx_length": 40_960, "model_type": "chat", **_UNPRICED}, "crake-lora": {}},
    answers={
        "crake-8b": Reply(
            {
                "response_text": "Eight legs.",
                "input_tokens": 21,
                "output_tokens": 9,
                "finish_reason": "stop",
                "provider_request_id": "chatcmpl-v1",
                "cost_usd": None,
            },
            _VLLM.encode(),
        ),
        "crake-lora": Reply({"response_text": "8", "output_tokens": 1, "finish_reason": "stop"}, _NO_DONE.encode()),
    },
    failures={
        "crake-long": refusal(
            400,
            "bad_request",
            "400",
            '{"error":{"message":"This model\'s maximum context length is 40960 tokens.","type":"BadRequestError","param":null,"code":400}}',
        ),
        "crake-old": refusal(
            400,
            "bad_request",
            "400",
            '{"object":"error","message":"This model\'s maximum context length is 40960 tokens.","type":"BadRequestError","param":null,"code":400}',
        ),
        "crake-gone": refusal(
            404,
            "not_found",
            "404",
            '{"error":{"message":"The model `crake-gone` does not exist.","type":"NotFoundError","param":"model","code":404}}',
        ),
        "crake-fastapi": refusal(
            422,
            "bad_request",
            None,
            '{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}',
        ),
        "crake-ill": refusal(500, "server", None, "Internal Server Error", "text/plain; charset=utf-8"),
        "crake-breaks": broken("server", "500", "Ei", _VLLM_BROKEN),
    },
    wrong_key=refusal(401, "authentication", None, '{"error":"Unauthorized"}'),
)

_OLLAMA = """\
data: {"id":"chatcmpl-511","object":"chat.completion.chunk","created":1795200000,"model":"rail:8b","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"Arachnids"},"finish_reason":null}]}

data: {"id":"chatcmpl-511","object":"chat.completion.chunk","created":1795200000,"model":"rail:8b","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"Eight"},"finish_reason":null}]}

data: {"id":"chatcmpl-511","object":"chat.completion.chunk","created":1795200000,"model":"rail:8b","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":" legs."},"finish_reason":null}]}

data: {"id":"chatcmpl-511","object":"chat.completion.chunk","created":1795200000,"model":"rail:8b","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}

data: {"id":"chatcmpl-511","object":"chat.completion.chunk","created":1795200000,"model":"rail:8b","system_fingerprint":"fp_ollama","choices":[],"usage":{"prompt_tokens":17,"completion_tokens":12,"total_tokens":29}}

data: [DONE]

"""

# Its own listing says more than the bare one at /v1/models.
OLLAMA = Vendor(
    name="Ollama",
    provider_type="custom",
    base="/v1/",
    chat="/v1/chat/completions",
    models="/api/tags",
    models_endpoint="/api/tags",
    wants_usage_asked=True,
    pages={
        "": b'{"models":[{"name":"rail:8b","model":"rail:8b","modified_at":"2026-11-01T10:00:00Z","size":4920753328,"digest":"46e0",'
        b'"capabilities":["completion","tools"],"details":{"format":"gguf","family":"rail","parameter_size":"8.0B","quantization_level":"Q4_K_M"}},'
        b'{"name":"rail-embed:latest","model":"rail-embed:latest","size":274302450,"digest":"0a10","capabilities":["embedding"],"details":{"family":"bert"}}]}'
    },
    catalog={
        "rail:8b": {
            "model_type": "chat",
            "capabilities": {"text": "declared", "function_calling": "declared"},
            "ctx_length": None,
            **_UNPRICED,
        },
        "rail-embed:latest": {"model_type": "embedding"},
    },
    answers={
        "rail:8b": Reply(
            {"response_text": "Eight legs.", "input_tokens": 17, "output_tokens": 12, "cost_usd": None},
            _OLLAMA.encode(),
        )
    },
    failures={
        "rail-gone": refusal(
            404,
            "not_found",
            "not_found_error",
            error("model 'rail-gone' not found", "not_found_error", None),
        ),
        "rail-gone-native": refusal(404, "not_found", None, '{"error":"model \'rail-gone-native\' not found"}'),
        "rail-large": refusal(
            500, "server", "api_error", error("model requires more system memory", "api_error", None)
        ),
    },
)

_LLAMA_CPP = """\
data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1795200000,"id":"chatcmpl-ll1","model":"coot.gguf","system_fingerprint":"b7000-tern","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Eight legs."}}],"created":1795200000,"id":"chatcmpl-ll1","model":"coot.gguf","system_fingerprint":"b7000-tern","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"created":1795200000,"id":"chatcmpl-ll1","model":"coot.gguf","system_fingerprint":"b7000-tern","object":"chat.completion.chunk"}

data: {"choices":[],"created":1795200000,"id":"chatcmpl-ll1","model":"coot.gguf","system_fingerprint":"b7000-tern","object":"chat.completion.chunk","usage":{"completion_tokens":5,"prompt_tokens":15,"total_tokens":20},"timings":{"cache_n":0,"prompt_n":15,"prompt_ms":41.2,"predicted_n":5,"predicted_ms":33.9,"predicted_per_second":147.4}}

data: [DONE]

"""

LLAMA_CPP = Vendor(
    name="llama.cpp",
    provider_type="custom",
    base="",
    chat="/v1/chat/completions",
    models="/v1/models",
    wants_usage_asked=True,
    pages={
        "": b'{"models":[{"name":"coot.gguf","model":"coot.gguf","capabilities":["completion"],"details":{"format":"gguf"}}],"object":"list",'
        b'"data":[{"id":"coot.gguf","object":"model","created":1795100000,"owned_by":"llamacpp",'
        b'"meta":{"vocab_type":2,"n_vocab":128256,"n_ctx_train":131072,"n_ctx":8192,"n_embd":4096,"n_params":8030261312,"size":4912898304}}]}'
    },
    catalog={"coot.gguf": {"ctx_length": 8192, "model_type": "chat", **_UNPRICED}},
    answers={
        "coot.gguf": Reply(
            {"response_text": "Eight legs.", "finish_reason": "length", "input_tokens": 15, "output_tokens": 5},
            _LLAMA_CPP.encode(),
        )
    },
    failures={
        "coot-long": refusal(
            400,
            "bad_request",
            "400",
            '{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":8192}}',
        ),
        "coot-loading": refusal(
            503, "overloaded", "503", '{"error":{"message":"Loading model","type":"unavailable_error","code":503}}'
        ),
    },
    wrong_key=refusal(
        401,
        "authentication",
        "401",
        '{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}',
    ),
)

_LM_STUDIO = """\
data: {"id":"chatcmpl-s1","object":"chat.completion.chunk","created":1795200000,"model":"knot-vl-7b","system_fingerprint":"knot-vl-7b","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"Arachnids."},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-s1","object":"chat.completion.chunk","created":1795200000,"model":"knot-vl-7b","system_fingerprint":"knot-vl-7b","choices":[{"index":0,"delta":{"role":"assistant","content":"Eight legs."},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-s1","object":"chat.completion.chunk","created":1795200000,"model":"knot-vl-7b","system_fingerprint":"knot-vl-7b","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}

data: {"id":"chatcmpl-s1","object":"chat.completion.chunk","created":1795200000,"model":"knot-vl-7b","system_fingerprint":"knot-vl-7b","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":7,"total_tokens":26,"completion_tokens_details":{"reasoning_tokens":3}}}

data: [DONE]

"""

LM_STUDIO = Vendor(
    name="LM Studio",
    provider_type="custom",
    base="/v1/chat/completions",
    chat="/v1/chat/completions",
    models="/api/v0/models",
    models_endpoint="/api/v0/models",
    wants_usage_asked=True,
    pages={
        "": b'{"object":"list","data":['
        b'{"id":"knot-vl-7b","object":"model","type":"vlm","publisher":"knot","arch":"knot","quantization":"4bit","state":"loaded","max_context_length":32768,"loaded_context_length":4096,"capabilities":["tool_use"]},'
        b'{"id":"text-embedding-knot","object":"model","type":"embeddings","state":"not-loaded","max_context_length":2048}]}'
    },
    catalog={
        "knot-vl-7b": {
            "model_type": "chat",
            "capabilities": {"text": "declared", "vision": "declared", "function_calling": "declared"},
            "ctx_length": 4096,
            **_UNPRICED,
        },
        "text-embedding-knot": {"model_type": "embedding", "ctx_length": 2048},
    },
    answers={
        "knot-vl-7b": Reply(
            {"response_text": "Eight legs.", "input_tokens": 19, "output_tokens": 7, "reasoning_tokens": 3},
            _LM_STUDIO.encode(),
        )
    },
    failures={
        "knot-gone": refusal(
            404, "not_found", None, '{"error":"Model \\"knot-gone\\" not found. Load a model first."}'
        ),
    },
)

# Since 0.4 a native listing of another shape.
LM_STUDIO_NATIVE = replace(
    LM_STUDIO,
    name="LM Studio, /api/v1",
    models="/api/v1/models",
    models_endpoint="/api/v1/models",
    pages={
        "": b'{"models":[{"type":"llm","publisher":"knot","key":"knot/knot-vl-7b","display_name":"Knot VL 7B","architecture":"knot",'
        b'"quantization":{"name":"4bit","bits_per_weight":4},"size_bytes":3034755901,"params_string":"7B","loaded_instances":'
        b'[{"id":"knot-vl-7b","config":{"context_length":4096}}],"max_context_length":131072,"format":"mlx",'
        b'"capabilities":{"vision":true,"trained_for_tool_use":false},"description":null},'
        b'{"type":"embedding","publisher":"knot","key":"text-embedding-knot","display_name":"Knot Embed","max_context_length":2048}]}'
    },
    catalog={
        "knot/knot-vl-7b": {
            "display_name": "Knot VL 7B",
            "model_type": "chat",
            "capabilities": {"text": "declared", "vision": "declared", "long_context": "declared"},
            "ctx_length": 131_072,
            **_UNPRICED,
        },
        "text-embedding-knot": {"model_type": "embedding", "ctx_length": 2048},
    },
)
