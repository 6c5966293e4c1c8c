"""Anthropic: pages of models, named events with padded payloads, usage that accumulates, pings anywhere."""

from .vendor import Reply, Vendor, broken, refusal

_CAPABLE = """{"batch":{"supported":true},"citations":{"supported":true},"code_execution":{"supported":true},"image_input":{"supported":true},"pdf_input":{"supported":true},"structured_outputs":{"supported":true},"thinking":{"supported":true}}"""
_FIRST = (
    '{"data":['
    f'{{"type":"model","id":"heron-large-5","display_name":"Heron Large 5","created_at":"2026-08-01T00:00:00Z","max_input_tokens":1000000,"max_tokens":64000,"capabilities":{_CAPABLE}}},'
    f'{{"type":"model","id":"heron-small-5","display_name":"Heron Small 5","created_at":"2026-07-01T00:00:00Z","max_input_tokens":200000,"max_tokens":64000,"capabilities":{_CAPABLE}}}'
    '],"has_more":true,"first_id":"heron-large-5","last_id":"heron-small-5"}'
)
_SECOND = (
    '{"data":['
    '{"type":"model","id":"heron-3","display_name":"Heron 3","created_at":"2024-03-07T00:00:00Z","max_input_tokens":null,"max_tokens":null,"capabilities":null}'
    '],"has_more":false,"first_id":"heron-3","last_id":"heron-3"}'
)

_PLAIN = """\
event: message_start
data: {"type":"message_start","message":{"model":"heron-large-5","id":"msg_01Heron","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":20,"cache_read_input_tokens":300,"cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":0},"output_tokens":2,"service_tier":"standard"}}     }

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}         }

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Eight"}  }

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" legs, \u2014 八."}           }

event: content_block_stop
data: {"type":"content_block_stop","index":0             }

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}   }

event: message_stop
data: {"type":"message_stop"       }

"""
_THINKING = """\
event: message_start
data: {"type":"message_start","message":{"model":"heron-small-5","id":"msg_02Heron","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}} }

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""} }

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Arachnids have eight."} }

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIYAhIM"} }

event: content_block_stop
data: {"type":"content_block_stop","index":0 }

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"EmwKAhgB"} }

event: content_block_stop
data: {"type":"content_block_stop","index":1 }

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""} }

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"8"} }

event: content_block_stop
data: {"type":"content_block_stop","index":2 }

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"input_tokens":40,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":16,"output_tokens_details":{"thinking_tokens":13}} }

event: message_stop
data: {"type":"message_stop" }

"""
_TOOLS = """\
event: message_start
data: {"type":"message_start","message":{"model":"heron-3","id":"msg_03Heron","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":400,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"I look it up."}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_01","name":"legs_of","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\\"animal\\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":" \\"spider\\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":55}}

event: message_stop
data: {"type":"message_stop"}

"""
_BROKEN = """\
event: message_start
data: {"type":"message_start","message":{"model":"heron-breaks","id":"msg_04Heron","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":2}}    }

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""} }

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Ei"} }

event: error
data: {"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"},"request_id":"req_011Heron"           }

"""


def _error(kind: str, message: str) -> str:
    return f'{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_011Heron"}}'


ANTHROPIC = Vendor(
    name="anthropic",
    provider_type="anthropic",
    base="",
    chat="/v1/messages",
    models="/v1/models",
    pages={"": _FIRST.encode(), "heron-small-5": _SECOND.encode()},
    catalog={
        "heron-large-5": {
            "display_name": "Heron Large 5",
            "model_type": "chat",
            "capabilities": {"text": "inferred", "vision": "declared", "long_context": "declared"},
            "ctx_length": 1_000_000,
            "pricing_input": None,
            "cost_tier": None,
        },
        "heron-small-5": {"ctx_length": 200_000},
        "heron-3": {"display_name": "Heron 3", "capabilities": {"text": "inferred"}, "ctx_length": None},
    },
    key_header=("x-api-key", ""),
    required={"anthropic-version": "2023-06-01"},
    headers={
        "request-id": "req_011Heron",
        "anthropic-organization-id": "0000-tern",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-11-21T04:15:01Z",
        "anthropic-ratelimit-input-tokens-limit": "50000",
        "anthropic-ratelimit-input-tokens-remaining": "49000",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-21T04:15:00Z",
        "cf-ray": "9a-HRN",
        "x-envoy-upstream-service-time": "522",
    },
    limits={"requests": {"limit": 50, "remaining": 49}, "input_tokens": {"limit": 50_000, "remaining": 49_000}},
    answers={
        "heron-large-5": Reply(
            {
                "response_text": "Eight legs, \u2014 八.",
                "response_model": "heron-large-5",
                "input_tokens": 332,
                "output_tokens": 9,
                "cached_input_tokens": 300,
                "finish_reason": "stop",
                "finish_reason_raw": "end_turn",
                "provider_request_id": "req_011Heron",
                "cost_usd": None,
            },
            _PLAIN.encode(),
            content_type="text/event-stream; charset=utf-8",
        ),
        "heron-small-5": Reply(
            {
                "response_text": "8",
                "input_tokens": 40,
                "output_tokens": 16,
                "reasoning_tokens": 13,
                "finish_reason": "length",
            },
            _THINKING.encode(),
        ),
        "heron-3": Reply(
            {"response_text": "I look it up.", "finish_reason": "tool_calls", "output_tokens": 55}, _TOOLS.encode()
        ),
    },
    failures={
        "heron-denied": refusal(403, "permission", "permission_error", _error("permission_error", "Not for this key.")),
        "heron-gone": refusal(404, "not_found", "not_found_error", _error("not_found_error", "model: heron-gone")),
        "heron-large": refusal(
            413,
            "bad_request",
            "request_too_large",
            _error("request_too_large", "Request exceeds the maximum allowed number of bytes."),
        ),
        "heron-busy": refusal(
            429,
            "rate_limit",
            "rate_limit_error",
            _error("rate_limit_error", "This request would exceed your organization's rate limit."),
            retry_after="14",
        ),
        "heron-capped": refusal(
            429,
            "quota",
            "enforced_spend_limit_reached",
            '{"type":"error","error":{"type":"rate_limit_error","message":"You have reached your specified API usage limits.",'
            '"details":{"error_code":"enforced_spend_limit_reached"}},"request_id":"req_011Heron"}',
        ),
        "heron-ill": refusal(500, "server", "api_error", _error("api_error", "Internal server error")),
        "heron-full": refusal(529, "overloaded", "overloaded_error", _error("overloaded_error", "Overloaded")),
        "heron-breaks": broken(
            "overloaded",
            "overloaded_error",
            "Ei",
            _BROKEN,
            input_tokens=12,
        ),
    },
    refusals={
        "heron-unpaid": refusal(402, "payment", "billing_error", _error("billing_error", "Payment is due.")),
        "heron-poor": refusal(
            400,
            "payment",
            "invalid_request_error",
            _error("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        ),
    },
    wrong_key=refusal(
        401, "authentication", "authentication_error", _error("authentication_error", "invalid x-api-key")
    ),
)
