"""What the simulated providers put on the wire: streams, whole answers, errors and listings, in both dialects."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

from providers.simulated.world import Reply, SimulatedModel, SimulatedProvider

_CREATED = 1_760_000_000
_CREATED_AT = "2025-10-09T08:53:20Z"
_MILLION = Decimal(1_000_000)
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_EMPTY_BLOCKS = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}


class Frames(Protocol):
    """One answer in one dialect, piece by piece; each method gives the bytes of whole events."""

    def opening(self) -> bytes:
        """What comes before any text: a role, the start of a message, usage so far."""

    def reasoning(self, token: str) -> bytes:
        """One token of reasoning."""

    def text(self, token: str) -> bytes:
        """One token of visible text."""

    def tool(self, name: str | None, arguments: str) -> bytes:
        """A fragment of the answer's one tool call; the first has its name."""

    def finish(self) -> bytes:
        """The reason why the text ends."""

    def usage(self) -> bytes:
        """The token counts, where they have an event of their own."""

    def end(self) -> bytes:
        """The terminator."""

    def error(self, kind: str, message: str) -> bytes:
        """An error event inside a stream that began well."""

    def whole(self) -> bytes:
        """The answer as one JSON document, for a request that did not ask for a stream."""


class ChatFrames:
    """Chat completions, as OpenAI and its likes send them; usage comes only when it was asked for."""

    def __init__(self, reply: Reply, answer_id: str, *, with_usage: bool) -> None:
        self._reply, self._id, self._with_usage = reply, f"chatcmpl-{answer_id}", with_usage

    def opening(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def reasoning(self, token: str) -> bytes:
        return self._chunk({"reasoning": token})

    def text(self, token: str) -> bytes:
        return self._chunk({"content": token})

    def tool(self, name: str | None, arguments: str) -> bytes:
        opening = {} if name is None else {"id": f"call-{self._id}", "type": "function"}
        named = {} if name is None else {"name": name}
        return self._chunk({"tool_calls": [{"index": 0, **opening, "function": {**named, "arguments": arguments}}]})

    def finish(self) -> bytes:
        return self._chunk({}, self._reply.finish)

    def usage(self) -> bytes:
        return sse(self._head() | {"choices": [], "usage": self._usage()}) if self._with_usage else b""

    def end(self) -> bytes:
        return b"data: [DONE]\n\n"

    def error(self, kind: str, message: str) -> bytes:
        return sse({"error": {"message": message, "type": kind, "param": None, "code": kind}})

    def whole(self) -> bytes:
        message = {"role": "assistant", "content": self._reply.text}
        choice = {"index": 0, "message": message, "finish_reason": self._reply.finish}
        return dump(self._head() | {"object": "chat.completion", "choices": [choice], "usage": self._usage()})

    def _head(self) -> dict[str, Any]:
        return {"id": self._id, "object": "chat.completion.chunk", "created": _CREATED, "model": self._reply.model}

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        return sse(self._head() | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})

    def _usage(self) -> dict[str, Any]:
        reply = self._reply
        return {
            "prompt_tokens": reply.input_tokens,
            "completion_tokens": reply.output_tokens,
            "total_tokens": reply.input_tokens + reply.output_tokens,
            "completion_tokens_details": {"reasoning_tokens": len(reply.reasoning)},
        }


class MessagesFrames:
    """Anthropic's messages: blocks that start and stop, usage on the first and the last event."""

    def __init__(self, reply: Reply, answer_id: str, *, with_usage: bool) -> None:
        self._reply, self._id, self._with_usage = reply, f"msg_{answer_id}", with_usage
        self._blocks = 0
        self._open: str | None = None

    def opening(self) -> bytes:
        message = self._message() | {"content": [], "stop_reason": None, **self._usage(output_tokens=1)}
        return self._event("message_start", message=message) + self._event("ping")

    def reasoning(self, token: str) -> bytes:
        return self._delta("thinking", {"type": "thinking_delta", "thinking": token})

    def text(self, token: str) -> bytes:
        return self._delta("text", {"type": "text_delta", "text": token})

    def tool(self, name: str | None, arguments: str) -> bytes:
        opened = b"" if name is None else self._opened("tool_use", id=f"toolu-{self._id}", name=name, input={})
        delta = {"type": "input_json_delta", "partial_json": arguments}
        return opened + self._event("content_block_delta", index=self._blocks, delta=delta)

    def finish(self) -> bytes:
        reason = _STOP_REASONS[self._reply.finish]
        usage = self._usage(output_tokens=self._reply.output_tokens)
        delta = {"stop_reason": reason, "stop_sequence": None}
        return self._close_block() + self._event("message_delta", delta=delta, **usage)

    def usage(self) -> bytes:
        return b""

    def end(self) -> bytes:
        return self._event("message_stop")

    def error(self, kind: str, message: str) -> bytes:
        return self._event("error", error={"type": kind, "message": message})

    def whole(self) -> bytes:
        content = [{"type": "text", "text": self._reply.text}]
        usage = self._usage(output_tokens=self._reply.output_tokens)
        reason = _STOP_REASONS[self._reply.finish]
        return dump(self._message() | {"content": content, "stop_reason": reason, **usage})

    def _delta(self, kind: str, delta: Mapping[str, str]) -> bytes:
        opened = b"" if self._open == kind else self._opened(kind, **_EMPTY_BLOCKS[kind])
        return opened + self._event("content_block_delta", index=self._blocks, delta=delta)

    def _opened(self, kind: str, **block: Any) -> bytes:
        closed = self._close_block()
        self._open = kind
        block = {"type": kind, **block}
        return closed + self._event("content_block_start", index=self._blocks, content_block=block)

    def _close_block(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        self._blocks += 1
        return self._event("content_block_stop", index=self._blocks - 1)

    def _message(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._reply.model,
            "stop_sequence": None,
        }

    def _usage(self, *, output_tokens: int) -> dict[str, Any]:
        if not self._with_usage:
            return {}
        counts = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output_tokens}
        return {"usage": {"input_tokens": self._reply.input_tokens, **counts}}

    def _event(self, event: str, **fields: Any) -> bytes:
        return f"event: {event}\n".encode() + sse({"type": event, **fields})


def frames(dialect: str, reply: Reply, answer_id: str, *, with_usage: bool) -> Frames:
    """The frames of one answer in `dialect`."""
    kind = MessagesFrames if dialect == "messages" else ChatFrames
    return kind(reply, answer_id, with_usage=with_usage)


def error_body(dialect: str, kind: str, message: str, code: str | None = None) -> bytes:
    """The JSON body of a refusal."""
    if dialect == "messages":
        return dump({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_simulated"})
    return dump({"error": {"message": message, "type": kind, "param": None, "code": code or kind}})


def listing(provider: SimulatedProvider, query: Mapping[str, str]) -> bytes:
    """The models endpoint's answer in the provider's shape; Anthropic's comes in pages (`limit`, `after_id`)."""
    entries = [_ENTRIES[provider.listing](model) for model in provider.models.values()]
    if provider.listing == "together":
        return dump(entries)
    if provider.listing == "openrouter":
        return dump({"data": entries})
    names = [entry["id"] for entry in entries]
    first = names.index(query["after_id"]) + 1 if query.get("after_id") in names else 0
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 20
    page = entries[first : first + limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return dump({"data": page, "has_more": first + limit < len(entries), **ends})


def _openrouter_entry(model: SimulatedModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.display_name,
        "created": _CREATED,
        "description": "A simulated model; its prices are made up.",
        "context_length": model.context_window,
        "architecture": {
            "input_modalities": ["text", "image"] if "vision" in model.capabilities else ["text"],
            "output_modalities": ["text"],
        },
        "pricing": {
            "prompt": f"{model.input_price_per_m / _MILLION:f}",
            "completion": f"{model.output_price_per_m / _MILLION:f}",
        },
        "top_provider": {"context_length": model.context_window, "max_completion_tokens": 4096},
        "supported_parameters": ["max_tokens", *(["tools"] if "function_calling" in model.capabilities else [])],
    }


def _together_entry(model: SimulatedModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": _CREATED,
        "type": "chat",
        "display_name": model.display_name,
        "organization": "simulated",
        "context_length": model.context_window,
        "pricing": {"hourly": 0, "input": float(model.input_price_per_m), "output": float(model.output_price_per_m)},
    }


def _anthropic_entry(model: SimulatedModel) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": _CREATED_AT,
        "max_input_tokens": model.context_window,
        "max_tokens": 4096,
        "capabilities": {"image_input": {"supported": "vision" in model.capabilities}},
        # The real endpoint gives no price; the simulated one does, so that simulated costs are known.
        "pricing": {"input": float(model.input_price_per_m), "output": float(model.output_price_per_m)},
        "pricing_source": "simulated",
    }


_ENTRIES = {"openrouter": _openrouter_entry, "together": _together_entry, "anthropic": _anthropic_entry}


def sse(payload: Mapping[str, Any]) -> bytes:
    """One event whose data is a JSON document."""
    return b"data: " + dump(payload) + b"\n\n"


def dump(payload: Any) -> bytes:
    """Compact JSON bytes."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
