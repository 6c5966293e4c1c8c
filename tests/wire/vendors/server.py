"""A vendor on loopback: it wants what the real one wants of a request, and answers as the real one does."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from wire.loopback import Asked, Conversation, Provider, serving

from .vendor import Reply, Vendor, refusal


@asynccontextmanager
async def at_work(vendor: Vendor, key: str | None) -> AsyncIterator[Provider]:
    """The vendor, which knows one key; None: nobody may show one. One without `wrong_key` takes whatever it is shown."""

    async def script(c: Conversation) -> None:
        reply = _reply(vendor, key, c.asked)
        headers = [f"{name}: {value}" for name, value in {**vendor.headers, **reply.headers}.items()]
        status = f"{reply.status} {_phrase(reply.status)}"
        if not reply.content_type.startswith("text/event-stream"):
            await c.answer(status, reply.content_type, reply.body, *headers)
            return
        await c.start(status, reply.content_type, *headers)
        for event in reply.body.split(b"\n\n"):
            await c.chunk(event + b"\n\n")
        await c.end()

    async with serving(script) as provider:
        yield provider


def _reply(vendor: Vendor, key: str | None, asked: Asked) -> Reply:
    """The answer, or one of status 400 that says what the request lacks: it will be seen in the result's row."""
    line, headers, body = asked
    method, target, _ = line.split(" ")
    url = urlsplit(target)
    query = dict(parse_qsl(url.query))
    if lacking := _lacking(vendor, key, headers, query):
        return refusal(400, "bad_request", None, json.dumps({"detail": lacking}))
    header, prefix = vendor.key_header
    if vendor.wrong_key and key is not None and headers.get(header) != prefix + key:
        return vendor.wrong_key
    if (method, url.path) == ("GET", vendor.models):
        return Reply({}, vendor.pages[query.get("after_id", "")], content_type="application/json")
    model = body.get("model") if isinstance(body, dict) else None
    if method == "POST" and url.path == vendor.chat.replace("{model}", quote(str(model), safe="")):
        return _completion(vendor, str(model), body)
    return refusal(404, "not_found", None, json.dumps({"detail": f"{method} {target}: there is nothing here"}))


def _lacking(vendor: Vendor, key: str | None, headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    header, _ = vendor.key_header
    if key is None and header in headers:
        return f"{header} is there, and there is no key"
    if any(query.get(name) != value for name, value in vendor.query.items()):
        return f"the query is {query}, not {vendor.query}"
    for name, value in vendor.required.items():
        if headers.get(name) != value:
            return f"{name}: header is required"
    return None


def _completion(vendor: Vendor, model: str, body: Mapping[str, Any]) -> Reply:
    options = body.get("stream_options")
    if body.get("stream") is not True:
        return refusal(400, "bad_request", None, '{"detail":"not a stream"}')
    if vendor.provider_type == "anthropic" and not isinstance(body.get("max_tokens"), int):
        return refusal(400, "bad_request", None, '{"detail":"max_tokens: Field required"}')
    if vendor.wants_usage_asked and options != {"include_usage": True}:
        return refusal(400, "bad_request", None, '{"detail":"usage was not asked for"}')
    return vendor.replies[model]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
