"""Error answers: provider-wire-notes 1.7."""

import json
from typing import Any

import pytest

from providers.dialects import DIALECTS, chat

BODIES: dict[str, tuple[int, Any, str, str | None, str]] = {
    "OpenAI, unknown model behind a 400": (
        400,
        {"error": {"message": "no m", "type": "invalid_request_error", "param": None, "code": "model_not_found"}},
        "not_found",
        "model_not_found",
        "no m",
    ),
    "Groq without param": (
        401,
        {"error": {"message": "bad key", "type": "invalid_request_error", "code": "invalid_api_key"}},
        "authentication",
        "invalid_api_key",
        "bad key",
    ),
    "LiteLLM's code is the status as text": (
        429,
        {"error": {"message": "m", "type": "throttling_error", "code": "429", "provider_specific_fields": {}}},
        "rate_limit",
        "429",
        "m",
    ),
    "LiteLLM, a wrong key where it has no database": (
        400,
        {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}},
        "authentication",
        "400",
        "No connected db.",
    ),
    "OpenRouter's code is a number and its text is raw": (
        429,
        {
            "error": {
                "code": 429,
                "message": "Provider returned error",
                "metadata": {"raw": "busy", "provider_name": "X"},
            }
        },
        "rate_limit",
        "429",
        "busy",
    ),
    "Anthropic": (
        404,
        {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}, "request_id": "req_1"},
        "not_found",
        "not_found_error",
        "model: m",
    ),
    "Anthropic, out of credit behind a 400": (
        400,
        {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}},
        "payment",
        "invalid_request_error",
        "Your credit balance is too low",
    ),
    "Anthropic, spend limit behind a 429": (
        429,
        {
            "error": {
                "type": "rate_limit_error",
                "message": "m",
                "details": {"error_code": "enforced_spend_limit_reached"},
            }
        },
        "quota",
        "enforced_spend_limit_reached",
        "m",
    ),
    "OpenAI, no money behind a 429": (
        429,
        {"error": {"message": "m", "type": "insufficient_quota", "code": "credit_balance_exhausted"}},
        "quota",
        "credit_balance_exhausted",
        "m",
    ),
    "Azure": (
        404,
        {"error": {"code": "404", "message": "Resource not found"}},
        "not_found",
        "404",
        "Resource not found",
    ),
    "Azure's content filter": (
        400,
        {"error": {"message": "m", "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        "bad_request",
        "content_filter",
        "m",
    ),
    "Azure's gateway": (401, {"statusCode": 401, "message": "Access denied"}, "authentication", "401", "Access denied"),
    "older vLLM, at the top level": (
        400,
        {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
        "bad_request",
        "400",
        "too long",
    ),
    "Ollama's string": (404, {"error": "model not found"}, "not_found", None, "model not found"),
    "FastAPI's string": (422, {"detail": "nope"}, "bad_request", None, "nope"),
    "FastAPI's list": (422, {"detail": [{"loc": ["body"]}]}, "bad_request", None, '[{"loc":["body"]}]'),
    "FastAPI's object": (422, {"detail": {"a": 1}}, "bad_request", None, '{"a":1}'),
    "an error without a message": (500, {"error": {"odd": 1}}, "server", None, '{"odd":1}'),
    "an empty object": (502, {}, "server", None, "HTTP 502 Bad Gateway"),
    "a JSON string": (500, "boom", "server", None, "boom"),
}


@pytest.mark.parametrize("case", BODIES)
def test_error_body_is_read(case: str) -> None:
    status, body, error_type, code, message = BODIES[case]
    for dialect in DIALECTS.values():
        error = dialect.parse_error(status, {"content-type": "application/json"}, json.dumps(body).encode())
        assert (error.error_type, error.error_code, error.message) == (error_type, code, message)
        assert error.status_code == status


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"<html>502</html>", "text/html; charset=utf-8", "an HTML page: <html>502</html>"),
        (b"  upstream broke\n", "text/plain", "upstream broke"),
        (b"", "text/plain", "HTTP 502 Bad Gateway"),
        (b"\xff\xfe", "", "\ufffd\ufffd"),
    ],
)
def test_a_body_that_is_no_json_is_its_own_message(body: bytes, content_type: str, message: str) -> None:
    assert chat.parse_error(502, {"content-type": content_type}, body).message == message


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "bad_request"),
        (401, "authentication"),
        (402, "payment"),
        (403, "permission"),
        (404, "not_found"),
        (408, "server"),
        (409, "server"),
        (413, "bad_request"),
        (418, "bad_request"),
        (422, "bad_request"),
        (424, "provider"),
        (425, "server"),
        (429, "rate_limit"),
        (498, "overloaded"),
        (499, "server"),
        (500, "server"),
        (502, "server"),
        (503, "overloaded"),
        (504, "server"),
        (520, "server"),
        (529, "overloaded"),
        (307, "provider"),
        (799, "server"),
    ],
)
def test_a_status_alone_gives_a_type(status: int, error_type: str) -> None:
    error = chat.parse_error(status, {}, b"")
    assert error.error_type == error_type
    assert str(status) in error.message
