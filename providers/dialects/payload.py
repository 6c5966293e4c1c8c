"""From an event or a body to the JSON object it should hold."""

from typing import Any

from providers.dialects import fields
from providers.dialects.deltas import End, Failure
from providers.dialects.refusals import stream_error
from providers.errors import Garbled
from providers.sse import Event

_SHOWN = 4096  # characters of what could not be read; redaction cuts it further


def read_event(event: Event) -> dict[str, Any] | End | Failure | None:
    """The object an event carries, the End that `[DONE]` is, a Failure, or None for an event that says nothing."""
    data = event.data.strip()
    if data == "[DONE]":
        return End()
    if data in {"", "null"}:
        return None
    try:
        payload = fields.parse(data)
    except ValueError:
        if event.event == "error":
            return Failure(stream_error({"error": data}))
        return Failure(Garbled("malformed", f"an event that is no JSON: {data[:_SHOWN]}"))
    if isinstance(payload, dict):
        return payload
    return Failure(Garbled("malformed", f"an event that is no object: {data[:_SHOWN]}"))


def read_body(body: bytes) -> dict[str, Any] | Failure:
    """The object a JSON body is, or a Failure."""
    try:
        payload = fields.parse(body)
    except ValueError:
        payload = None
    if isinstance(payload, dict):
        return payload
    return Failure(Garbled("malformed", f"a body that is no JSON object: {body[:_SHOWN].decode('utf-8', 'replace')}"))
