"""Error bodies and error events of both dialects, read into one family."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from providers.dialects import fields
from providers.errors import Refused
from providers.rate_limits import retry_after_s

_BY_STATUS: Mapping[int, str] = {
    400: "bad_request",
    401: "authentication",
    402: "payment",
    403: "permission",
    404: "not_found",
    408: "server",
    409: "server",
    424: "provider",
    425: "server",
    429: "rate_limit",
    498: "overloaded",
    499: "server",
    503: "overloaded",
    529: "overloaded",
}

# The provider's own type or code, where it says more than the status or where there is none (an error in a stream).
_BY_WORD: Mapping[str, str] = {
    "authentication_error": "authentication",
    "invalid_api_key": "authentication",
    "no_db_connection": "authentication",  # LiteLLM's 400 for a key that is not its master key, where it has no database
    "permission_error": "permission",
    "permission_denied": "permission",
    "not_found_error": "not_found",
    "model_not_found": "not_found",
    "invalid_request_error": "bad_request",
    "context_length_exceeded": "bad_request",
    "request_too_large": "bad_request",
    "content_filter": "bad_request",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "slow_down": "rate_limit",
    "overloaded_error": "overloaded",
    "api_error": "server",
    "server_error": "server",
    "internal_server_error": "server",
    "timeout_error": "server",
    "billing_error": "payment",
    "insufficient_quota": "quota",
    "credit_balance_exhausted": "quota",
    "organization_spend_limit_exceeded": "quota",
    "project_spend_limit_exceeded": "quota",
    "organization_usage_limit_exceeded": "quota",
    "enforced_spend_limit_reached": "quota",
}

_NO_NAME = frozenset({"none", "null"})  # LiteLLM's way to leave a field empty

# These say what is wrong better than the status they come with: money behind a 429, an unknown model or key behind a 400.
_STRONGER_THAN_STATUS = frozenset({"quota", "payment", "not_found", "authentication"})


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Refused:
    """The Refused that a status other than 2xx stands for.

    The message is the first of: the error object's text, an error string, `detail`, `message`, the body as text. It is
    not redacted or cut yet.
    """
    if 300 <= status < 400:
        return Refused("provider", f"HTTP {status}: a redirect, which is never followed", status)
    try:
        payload = fields.parse(body)
    except ValueError:
        payload = body.decode("utf-8", "replace").strip()
    message, words = _read(payload)
    content_type = headers.get("content-type", "").partition(";")[0].strip()
    if not isinstance(payload, dict | list) and content_type == "text/html":
        message = f"an HTML page: {message}"
    return Refused(
        classify(status, words, message),
        message or f"HTTP {status} {_phrase(status)}".rstrip(),
        status,
        _code(words),
        _parameters(payload),
        retry_after_s(headers, datetime.now(UTC)),
    )


def stream_error(payload: Mapping[str, Any]) -> Refused:
    """The Refused that an error inside an answer with status 200 stands for."""
    message, words = _read(payload)
    status = next((int(w) for w in words if w.isdecimal() and len(w) == 3 and 400 <= int(w) < 600), None)
    return Refused(
        classify(status, words, message), message or "the provider ended the stream with an error", None, _code(words)
    )


def classify(status: int | None, words: list[str], message: str) -> str:
    """Our word for a refusal: by the provider's own words where they say more, else by status, else `provider`."""
    by_word = [_BY_WORD[w.lower()] for w in words if w.lower() in _BY_WORD]
    strong = next((kind for kind in by_word if kind in _STRONGER_THAN_STATUS), None)
    if strong is not None:
        return strong
    if status == HTTPStatus.BAD_REQUEST and "credit balance" in message.lower():
        return "payment"
    if status is not None:
        return _BY_STATUS.get(status) or ("server" if status >= 500 else "bad_request")
    return by_word[0] if by_word else "provider"


def _read(payload: Any) -> tuple[str, list[str]]:
    """The useful text of an error body, and its machine-readable words, the most telling first."""
    body = fields.mapping(payload)
    error = body.get("error")
    if isinstance(error, dict):
        metadata = fields.mapping(error.get("metadata"))
        inner = fields.mapping(error.get("innererror"))
        details = fields.mapping(error.get("details"))
        candidates = (details.get("error_code"), error.get("code"), error.get("type"), error.get("status_code"))
        text = _text(metadata.get("raw")) or _text(error.get("message")) or _text(inner) or _text(error)
        return text, _words(*candidates, inner.get("code"))
    # Without an error object the words lie beside the text: older vLLM, Azure's gateway.
    words = _words(body.get("code"), body.get("type"), body.get("statusCode"), body.get("status_code"))
    for value in (error, body.get("detail"), body.get("message")):
        if text := _text(value):
            return text, words
    return _text(payload), words


def _parameters(payload: Any) -> tuple[str, ...]:
    """The parameters that an error body names in a field of their own: `param`, or `loc` in FastAPI's list of details."""
    body = fields.mapping(payload)
    error = fields.mapping(body.get("error"))
    named = fields.string(error.get("param")) or fields.string(body.get("param"))
    if named and named.lower() not in _NO_NAME:
        return (named,)
    details = [fields.items(fields.mapping(detail).get("loc")) for detail in fields.items(body.get("detail"))]
    return tuple(".".join(map(str, place)) for place in details if place)


def _words(*values: Any) -> list[str]:
    return [found for value in values if (found := fields.word(value)) is not None]


def _code(words: list[str]) -> str | None:
    return words[0] if words else None


def _text(value: Any) -> str:
    """A value as text for a person; structures as compact JSON, nothing as the empty string."""
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, str):
        return value.strip()
    return fields.compact(value)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
