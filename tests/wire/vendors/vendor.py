"""A vendor on the wire as data: what it lists, what it streams for which model, how it refuses, what must come of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What one model's request is answered with, and the columns of the result that must come of it."""

    row: Mapping[str, Any]
    body: bytes
    status: int = 200
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One vendor, or one way to reach it.

    `base` is what its user writes behind the host, `chat` and `models` are the paths that must be asked then (`{model}` in
    the path of a chat is the model). `pages` are the pages of its listing by `after_id`; `catalog` the columns that each
    entry must come to. Models are answered by name: `answers` are whole, after `failures` a run goes on, after `refusals`
    (of the key, for payment) the model is asked no more. `wrong_key` answers to a key it does not know.
    `required` headers and `query` go with every request; `headers` with every answer, and `limits` are what they say of limits.
    """

    name: str
    provider_type: str
    base: str
    chat: str
    models: str
    pages: Mapping[str, bytes]
    catalog: Mapping[str, Mapping[str, Any]]
    answers: Mapping[str, Reply]
    failures: Mapping[str, Reply] = field(default_factory=dict)
    refusals: Mapping[str, Reply] = field(default_factory=dict)
    wrong_key: Reply | None = None
    key_header: tuple[str, str] = ("authorization", "Bearer ")
    required: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    models_endpoint: str | None = None
    wants_usage_asked: bool = False  # it sends usage only to those that ask for it

    @property
    def replies(self) -> Mapping[str, Reply]:
        """What every model is answered with."""
        return {**self.answers, **self.failures, **self.refusals}


def refusal(
    status: int, error_type: str, code: str | None, body: str, content_type: str = "application/json", **headers: str
) -> Reply:
    """A refusal by status: its row has our word and the vendor's, and nothing that was not seen."""
    row = {
        "outcome": "failed",
        "status_code": status,
        "error_type": error_type,
        "error_code": code,
        "ttft_ms": None,
        "output_tokens": None,
        "cost_usd": None,
        "tps": None,
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(row, body.encode(), status, content_type, named)


def broken(error_type: str, code: str | None, text: str | None, body: str, **columns: Any) -> Reply:
    """A stream with status 200 that says in its middle that it failed, after `text`."""
    row = {
        "outcome": "failed",
        "status_code": 200,
        "error_type": error_type,
        "error_code": code,
        "response_text": text,
        "tps": None,
        **columns,
    }
    return Reply(row, body.encode())


def stream(*payloads: Any) -> bytes:
    """Payloads as events: bytes as they are, a string as data, (name, payload) with an event line, else JSON."""
    out = b""
    for payload in payloads:
        if isinstance(payload, bytes):
            out += payload
            continue
        name, body = payload if isinstance(payload, tuple) else (None, payload)
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        out += (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()
    return out
