"""Azure: base models in the listing and deployments named by the user, filter results before and between, two kinds of paths."""

from dataclasses import replace

from .vendor import Reply, Vendor, broken, refusal

_LISTING = """{"data":[
{"status":"succeeded","capabilities":{"fine_tune":false,"inference":true,"completion":false,"chat_completion":true,"embeddings":false},"lifecycle_status":"generally-available","deprecation":{"inference":1825000000},"id":"dunlin-mini-2026-07-18","created_at":1795100000,"updated_at":1795100000,"object":"model"},
{"status":"succeeded","capabilities":{"fine_tune":false,"inference":true,"completion":false,"chat_completion":false,"embeddings":true},"lifecycle_status":"preview","deprecation":{"inference":1825000000},"id":"dunlin-vectors","created_at":1795100000,"updated_at":1795100000,"object":"model"}
],"object":"list"}"""

_PLAIN = """\
data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false}}}]}

data: {"choices":[{"content_filter_results":{},"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],"created":1795200000,"id":"chatcmpl-D1","model":"dunlin-mini-2026-07-18","object":"chat.completion.chunk","system_fingerprint":"fp_d","obfuscation":"aZ"}

data: {"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"delta":{"content":"Eight"},"finish_reason":null,"index":0,"logprobs":null}],"created":1795200000,"id":"chatcmpl-D1","model":"dunlin-mini-2026-07-18","object":"chat.completion.chunk","system_fingerprint":"fp_d"}

data: {"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"delta":{"content":" legs."},"finish_reason":null,"index":0,"logprobs":null}],"created":1795200000,"id":"chatcmpl-D1","model":"dunlin-mini-2026-07-18","object":"chat.completion.chunk","system_fingerprint":"fp_d"}

data: {"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0,"logprobs":null}],"created":1795200000,"id":"chatcmpl-D1","model":"dunlin-mini-2026-07-18","object":"chat.completion.chunk","system_fingerprint":"fp_d"}

data: {"choices":[],"created":1795200000,"id":"chatcmpl-D1","model":"dunlin-mini-2026-07-18","object":"chat.completion.chunk","system_fingerprint":"fp_d","usage":{"completion_tokens":4,"completion_tokens_details":{"accepted_prediction_tokens":0,"audio_tokens":0,"reasoning_tokens":0,"rejected_prediction_tokens":0},"prompt_tokens":14,"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":0},"total_tokens":18}}

data: [DONE]

"""
_FILTERED = """\
data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}

data: {"choices":[{"content_filter_results":{},"delta":{"content":"Ei","role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],"created":1795200000,"id":"chatcmpl-D2","model":"dunlin-mini-2026-07-18","object":"chat.completion.chunk"}

data: {"choices":[{"content_filter_result":{"violence":{"filtered":true,"severity":"medium"}},"content_filter_offsets":{"check_offset":44,"start_offset":44,"end_offset":198},"finish_reason":"content_filter","index":0,"logprobs":null}],"created":1795200000,"id":"chatcmpl-D2","model":"dunlin-mini-2026-07-18","object":"chat.completion.chunk"}

data: [DONE]

"""
_BROKEN = """\
data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[]}

data: {"choices":[{"content_filter_results":{},"delta":{"content":"Ei","role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],"created":1795200000,"id":"chatcmpl-D3","model":"dunlin-mini-2026-07-18","object":"chat.completion.chunk"}

data: {"error":{"message":"The server had an error processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}

"""

AZURE = Vendor(
    name="azure, v1",
    provider_type="azure",
    base="/openai/v1",
    chat="/openai/v1/chat/completions",
    models="/openai/v1/models",
    wants_usage_asked=True,
    pages={"": _LISTING.encode()},
    catalog={
        "dunlin-mini-2026-07-18": {
            "model_type": "chat",
            "capabilities": {"text": "declared"},
            "ctx_length": None,
            "pricing_input": None,
            "is_active": False,
        },
        "dunlin-vectors": {"model_type": "embedding", "capabilities": {}},
    },
    key_header=("api-key", ""),
    headers={
        "apim-request-id": "apim-dunlin",
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "10",
        "x-ratelimit-limit-tokens": "100000",
        "x-ratelimit-remaining-tokens": "99000",
        "x-ratelimit-reset-tokens": "60",
        "x-ratelimit-renewalperiod-requests": "10",
        "x-ms-region": "UK South",
        "x-ms-deployment-name": "our-mini",
        "azureml-model-session": "v20261101",
    },
    limits={
        "requests": {"limit": 100, "remaining": 99, "reset_s": 10.0, "renewal_period_s": 10.0},
        "tokens": {"limit": 100_000, "remaining": 99_000, "reset_s": 60.0},
    },
    answers={
        "our-mini": Reply(
            {
                "response_text": "Eight legs.",
                "response_model": "dunlin-mini-2026-07-18",
                "input_tokens": 14,
                "output_tokens": 4,
                "finish_reason": "stop",
                "provider_request_id": "apim-dunlin",
                "cost_usd": None,
            },
            _PLAIN.encode(),
        ),
        "our-filtered": Reply(
            {
                "response_text": "Ei",
                "finish_reason": "content_filter",
                "token_source": "estimated",
            },
            _FILTERED.encode(),
        ),
    },
    failures={
        "our-strict": refusal(
            400,
            "bad_request",
            "content_filter",
            '{"error":{"message":"The response was filtered.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":'
            '{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"violence":{"filtered":true,"severity":"medium"}}}}}',
        ),
        "our-walled": refusal(
            403,
            "permission",
            "403",
            '{"error":{"code":"403","message":"Access denied due to Virtual Network/Firewall rules."}}',
        ),
        "not-deployed": refusal(
            404,
            "not_found",
            "DeploymentNotFound",
            '{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}',
        ),
        "our-busy": refusal(
            429,
            "rate_limit",
            "429",
            '{"error":{"code":"429","message":"Requests have exceeded the token rate limit of your pricing tier. Please retry after 6 seconds."}}',
            retry_after="6",
            retry_after_ms="5800",
        ),
        "our-spent": refusal(
            429,
            "quota",
            "insufficient_quota",
            '{"error":{"code":"insufficient_quota","type":"insufficient_quota","param":null,"message":"You exceeded your quota."}}',
        ),
        "our-ill": refusal(
            500,
            "server",
            "InternalServerError",
            '{"error":{"code":"InternalServerError","message":"The server had an error."}}',
        ),
        "our-full": refusal(503, "overloaded", None, "<html><body>Service Unavailable</body></html>", "text/html"),
        "our-breaks": broken("server", "server_error", "Ei", _BROKEN),
    },
    refusals={
        "our-gateway": refusal(
            401, "authentication", "401", '{"statusCode":401,"message":"Unauthorized. Access token is missing."}'
        ),
    },
    wrong_key=refusal(
        401,
        "authentication",
        "401",
        '{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}',
    ),
)

# The older form: the deployment stands in the path, and the API's version in the query of every request.
AZURE_DATED = replace(
    AZURE,
    name="azure, dated",
    base="/openai/deployments/our-mini/chat/completions?api-version=2024-10-21",
    chat="/openai/deployments/{model}/chat/completions",
    models="/openai/models",
    query={"api-version": "2024-10-21"},
)
