"""The messages dialect: Anthropic's, and that of the gateways that imitate it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from providers.dialects import fields
from providers.dialects.alike import Alike
from providers.dialects.deltas import (
    Delta,
    End,
    Failure,
    Finish,
    FinishReason,
    Meta,
    Reasoning,
    Request,
    Text,
    ToolCall,
    UsageDelta,
)
from providers.dialects.parameters import OPTIONAL, Wording, add_optional, wording_of
from providers.dialects.payload import read_body, read_event
from providers.dialects.refusals import parse_error, stream_error
from providers.errors import Garbled
from providers.records import Prompt, ProviderSpec, Usage
from providers.sse import Event

__all__ = ["Decoder", "build_request", "decode_json", "parse_error"]

DEFAULT_MAX_TOKENS = 4096  # the dialect requires a limit

_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_INPUT_FIELDS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def build_request(spec: ProviderSpec, model: str, prompt: Prompt, wording: Wording | None = None) -> Request:
    """A streaming message for `model`; the output limit is 4,096 tokens unless somebody set one. Only those parameters that
    somebody set and the model takes.
    """
    said = wording or wording_of(spec, model)
    body: dict[str, Any] = {
        "model": model,
        spec.token_limit_field: DEFAULT_MAX_TOKENS if prompt.max_output_tokens is None else prompt.max_output_tokens,
        "messages": [{"role": "user", "content": prompt.text}],
        "stream": True,
    }
    if prompt.system is not None:
        body["system"] = prompt.system
    dropped = add_optional(body, prompt, said)
    adaptable = tuple(name for name in OPTIONAL if name in body)
    path = spec.chat_path.replace("{model}", quote(model, safe=""))
    return Request(path, orjson.dumps(body), dict(spec.headers), dropped, adaptable)


def decode_json(body: bytes) -> list[Delta]:
    """A whole answer in one JSON document, read as the events that would have carried it."""
    answer = read_body(body)
    if isinstance(answer, Failure):
        return [answer]
    if answer.get("error") or answer.get("type") == "error":
        return [Failure(stream_error(answer))]
    if not isinstance(answer.get("content"), list):
        return [Failure(Garbled("malformed", f"no content: {fields.compact(answer)[:4096]}"))]
    decoder = Decoder()
    deltas = decoder.event({"type": "message_start", "message": {**answer, "content": []}})
    for index, block in enumerate(answer["content"]):
        deltas += decoder.event({"type": "content_block_start", "index": index, "content_block": block})
    deltas += decoder.event({"type": "message_delta", "delta": answer, "usage": answer.get("usage")})
    return [*deltas, End()]


class Decoder:
    """Reads the events of one stream. Usage is cumulative: what a later event says replaces it field by field."""

    def __init__(self) -> None:
        self._usage: dict[str, int] = {}
        self._reasoning_tokens: int | None = None
        self._cost: float | None = None
        self._blocks: dict[int | None, str] = {}  # index -> type
        self._alike = Alike("text")

    def feed(self, event: Event) -> list[Delta]:
        """The deltas of one event; unknown events, blocks and deltas say nothing."""
        if (text := self._alike.text(event)) is not None:
            return [Text(text)]
        payload = read_event(event)
        if payload is None:
            return []
        if not isinstance(payload, dict):
            return [payload]
        if "type" not in payload and event.event is not None:
            payload["type"] = event.event
        deltas = self.event(payload)
        self._alike.learn(event, deltas)
        return deltas

    def event(self, payload: Mapping[str, Any]) -> list[Delta]:
        """The deltas of one event's payload, by its `type`."""
        if payload.get("error") or payload.get("type") == "error":
            return [Failure(stream_error(payload))]
        match payload.get("type"):
            case "message_start":
                return self._message_start(fields.mapping(payload.get("message")))
            case "content_block_start":
                return self._block_start(payload.get("index"), fields.mapping(payload.get("content_block")))
            case "content_block_delta":
                return self._block_delta(payload.get("index"), fields.mapping(payload.get("delta")))
            case "message_delta":
                return self._message_delta(payload)
        return [End()] if payload.get("type") == "message_stop" else []

    def _message_start(self, message: Mapping[str, Any]) -> list[Delta]:
        # The output count here is of the first token or two: not the answer's, so it must not stand for it when the
        # stream is cut.
        deltas = self._read_usage(fields.mapping(message.get("usage")), with_output=False)
        response_id, model = fields.string(message.get("id")), fields.string(message.get("model"))
        return [Meta(response_id, model), *deltas] if response_id or model else deltas

    def _block_start(self, index: Any, block: Mapping[str, Any]) -> list[Delta]:
        kind = fields.string(block.get("type")) or ""
        self._blocks[fields.count(index)] = kind
        if kind == "text" and (text := fields.string(block.get("text"))):
            return [Text(text)]
        if kind == "thinking" and (text := fields.string(block.get("thinking"))):
            return [Reasoning(text)]
        if kind in {"tool_use", "server_tool_use"}:
            given = block.get("input")
            arguments = fields.compact(given) if given else ""
            name, call_id = fields.string(block.get("name")), fields.string(block.get("id"))
            return [ToolCall(fields.count(index) or 0, call_id, name, arguments)]
        return []

    def _block_delta(self, index: Any, delta: Mapping[str, Any]) -> list[Delta]:
        kind = delta.get("type")
        block = self._blocks.get(fields.count(index))
        if kind == "text_delta" and block in {"text", None} and (text := fields.string(delta.get("text"))):
            return [Text(text)]
        if kind == "thinking_delta" and (text := fields.string(delta.get("thinking"))):
            return [Reasoning(text)]
        if kind == "input_json_delta" and (part := fields.string(delta.get("partial_json"))):
            return [ToolCall(fields.count(index) or 0, None, None, part)]
        return []

    def _message_delta(self, payload: Mapping[str, Any]) -> list[Delta]:
        deltas = self._read_usage(fields.mapping(payload.get("usage")), with_output=True)
        if raw := fields.string(fields.mapping(payload.get("delta")).get("stop_reason")):
            deltas.append(Finish(_FINISH.get(raw, "other"), raw))
        return deltas

    def _read_usage(self, raw: Mapping[str, Any], *, with_output: bool) -> list[Delta]:
        if not raw:
            return []
        for name in (*_INPUT_FIELDS, *(("output_tokens",) if with_output else ())):
            if (value := fields.count(raw.get(name))) is not None:
                self._usage[name] = value
        details = fields.mapping(raw.get("output_tokens_details"))
        for name in ("thinking_tokens", "reasoning_tokens"):
            if (value := fields.count(details.get(name))) is not None:
                self._reasoning_tokens = value
        if (cost := fields.amount(raw.get("cost"))) is not None:
            self._cost = cost
        return [UsageDelta(self._normalised())]

    def _normalised(self) -> Usage:
        output, reasoning = self._usage.get("output_tokens"), self._reasoning_tokens
        if reasoning is not None and output is not None:
            reasoning = min(reasoning, output)
        return Usage(
            # All input, cached or not; a prompt has a token at least, so 0 is a placeholder.
            input_tokens=sum(self._usage.get(name, 0) for name in _INPUT_FIELDS) or None,
            output_tokens=output,
            reasoning_tokens=reasoning,
            cached_input_tokens=self._usage.get("cache_read_input_tokens"),
            cost_usd=self._cost,
        )
