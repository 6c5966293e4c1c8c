"""What the simulated providers answer to which request: routing, keys, faults asked for, and the world's reply."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11

from providers.simulated import faults
from providers.simulated.connection import Connection, Log, Truth
from providers.simulated.frames import listing
from providers.simulated.world import SimulatedModel, SimulatedProvider, World, providers

_ROUTE = re.compile(r"/(?P<path>[a-z]+)(?:/fault/(?P<fault>\w+))?/v1/(?P<what>models|chat/completions|messages)")
_ENDPOINTS = {"chat/completions": "chat", "messages": "messages"}
# Any model that is named for its fault is as quick as this one.
_STAND_IN = SimulatedModel("", "", 20.0, 0.0, 2.0, {}, Decimal(0), Decimal(0), 8192)


@dataclass(slots=True)
class Server:
    """What all connections share; `key` is what callers must show, None if they need none."""

    world: World
    log: Log
    key: str | None = None
    answered: int = 0

    def answer(self, request: h11.Request, body: bytes, truth: Truth) -> tuple[faults.Answer, str]:
        """The answer to one request and its outcome in the log; fills in `truth`'s names."""
        target = urlsplit(request.target.decode("ascii", "replace"))
        route = _ROUTE.fullmatch(target.path)
        provider = next((known for known in providers() if route and known.path == route["path"]), None)
        if route is None or provider is None:
            return faults.refusal("chat", 404, "not_found_error", "There is nothing here."), "not_found"
        truth.provider = provider.key
        if not self._admits(request):
            return faults.refused("refuse_401", provider.dialect), "unauthorized"
        if route["what"] == "models":
            body = listing(provider, dict(parse_qsl(target.query)))
            return faults.spoiled_listing(route["fault"] or "", provider.dialect, body), "listed"
        if _ENDPOINTS[route["what"]] != provider.dialect or request.method != b"POST":
            return faults.refusal(provider.dialect, 404, "not_found_error", "There is nothing here."), "not_found"
        return self._complete(provider, request, body, truth, route["fault"])

    def _admits(self, request: h11.Request) -> bool:
        if self.key is None:
            return True
        shown = {name: value.decode("latin-1") for name, value in request.headers}
        return self.key in {
            shown.get(b"authorization", "").removeprefix("Bearer "), shown.get(b"x-api-key"), shown.get(b"api-key")
        }  # fmt: skip

    def _complete(
        self, provider: SimulatedProvider, request: h11.Request, body: bytes, truth: Truth, fault: str | None
    ) -> tuple[faults.Answer, str]:
        asked, problem = _read_body(provider, request, body)
        truth.model = asked.get("model")
        if problem:
            return faults.refusal(provider.dialect, 400, "invalid_request_error", problem), "bad_request"
        name = str(truth.model)
        named_fault = name.removeprefix("fault/") if name.startswith("fault/") else None
        model = provider.models.get(name) or (_STAND_IN if named_fault or fault else None)
        fault = named_fault or fault
        if model is None or (fault and fault not in faults.FAULTS and fault not in faults.REFUSALS):
            return faults.refused("missing_404", provider.dialect), "not_found"
        limit = asked.get("max_completion_tokens") or asked.get("max_tokens")
        reply = replace(self.world.reply(model, _prompt(asked), limit if isinstance(limit, int) else None), model=name)
        fault = fault or reply.failure
        self.answered += 1
        options = asked.get("stream_options")
        # Together meters every stream; the others only those that ask for it.
        metered = provider.listing == "together" or (isinstance(options, dict) and options.get("include_usage") is True)
        with_usage = metered or provider.dialect == "messages"
        answer_id = f"{self.answered:08d}"
        exchange = faults.Exchange(provider.dialect, reply, answer_id, with_usage)
        truth.more = {
            "intended_ttft_ms": reply.ttft_ms,
            "correct": reply.correct,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
        }
        if fault:
            answer = faults.spoiled(fault, exchange)
        else:
            answer = (faults.good if asked.get("stream") is True else faults.whole)(exchange)
        # Providers name their own id of a request in one of these two headers.
        own_id = {"request-id": f"req_{answer_id}", "x-request-id": f"req_{answer_id}"}
        return replace(answer, headers={**own_id, **answer.headers}), fault or "ok"


def _read_body(provider: SimulatedProvider, request: h11.Request, body: bytes) -> tuple[dict[str, Any], str]:
    """The request's JSON object and what is wrong with it ('' if nothing)."""
    try:
        asked = json.loads(body)
    except ValueError:
        return {}, "The body is not JSON."
    if not isinstance(asked, dict) or not isinstance(asked.get("model"), str):
        return {}, "The body needs a model."
    if not isinstance(asked.get("messages"), list) or not asked["messages"]:
        return asked, "The body needs messages."
    if provider.dialect == "messages":
        if not isinstance(asked.get("max_tokens"), int):
            return asked, "max_tokens: Field required"
        if not any(name == b"anthropic-version" for name, _ in request.headers):
            return asked, "anthropic-version: header is required"
    return asked, ""


def _prompt(asked: Mapping[str, Any]) -> str:
    """The text of the last message, whether it is a string or a list of blocks."""
    last = asked["messages"][-1]
    content = last.get("content") if isinstance(last, dict) else None
    if isinstance(content, list):
        return "".join(str(block.get("text", "")) for block in content if isinstance(block, dict))
    return str(content)


async def serve(server: Server, port: int) -> asyncio.Server:
    """Listen on loopback; port 0 takes a free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: Connection(server.answer, server.log, loop), "127.0.0.1", port, backlog=1024
    )
