"""The chat dialect: OpenAI's chat completions, as its many relatives speak it."""

from collections.abc import Mapping
from dataclasses import replace
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
    ToolCall,
    UsageDelta,
)
from providers.dialects.parameters import OPTIONAL, SYSTEM_ROLES, Wording, add_optional, wording_of
from providers.dialects.payload import read_body, read_event
from providers.dialects.refusals import parse_error, stream_error
from providers.dialects.thinking import InlineThinking
from providers.errors import Garbled, Refused
from providers.records import Prompt, ProviderSpec, Usage
from providers.sse import Event

__all__ = ["Decoder", "build_request", "decode_json", "parse_error"]

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def build_request(spec: ProviderSpec, model: str, prompt: Prompt, wording: Wording | None = None) -> Request:
    """A streaming chat completion for `model`; only those parameters that somebody set and the model takes."""
    said = wording or wording_of(spec, model)
    body: dict[str, Any] = {"model": model, "messages": _messages(prompt, said.system_role), "stream": True}
    adaptable = []
    if prompt.system is not None and said.system_role != SYSTEM_ROLES[-1]:
        adaptable.append(f"role.{said.system_role}")
    if spec.send_stream_options and "stream_options" not in said.refused:
        body["stream_options"] = {"include_usage": True}
        adaptable.append("stream_options")
    if prompt.max_output_tokens is not None:
        body[said.token_limit_field] = prompt.max_output_tokens
        if said.other_limit:
            adaptable.append(said.token_limit_field)
    dropped = add_optional(body, prompt, said)
    path = spec.chat_path.replace("{model}", quote(model, safe=""))
    adaptable += [name for name in OPTIONAL if name in body]
    return Request(path, orjson.dumps(body), dict(spec.headers), dropped, tuple(adaptable))


def _messages(prompt: Prompt, system_role: str) -> list[dict[str, str]]:
    if prompt.system is None:
        return [{"role": "user", "content": prompt.text}]
    if system_role == "user":  # one message: templates without a system role want the roles to alternate
        return [{"role": "user", "content": f"{prompt.system}\n\n{prompt.text}"}]
    return [{"role": system_role, "content": prompt.system}, {"role": "user", "content": prompt.text}]


def decode_json(body: bytes) -> list[Delta]:
    """A whole answer in one JSON document: its message is read as one great delta."""
    payload = read_body(body)
    if isinstance(payload, Failure):
        return [payload]
    deltas = Decoder().chunk(payload)
    if any(isinstance(delta, Failure) for delta in deltas):
        return deltas
    if not fields.items(payload.get("choices")):
        return [*deltas, Failure(Garbled("malformed", f"no choices: {fields.compact(payload)[:4096]}"))]
    return [*deltas, End()]


class Decoder:
    """Reads the chunks of one stream. Usage and finish reason: the last one that is not null wins."""

    def __init__(self) -> None:
        self._said: tuple[Any, Any] = (None, None)  # id and model of the chunk before
        self._usage = Usage()
        self._thinking = InlineThinking()
        self._alike = Alike("content")

    def feed(self, event: Event) -> list[Delta]:
        """The deltas of one event; `[DONE]` is End, anything but an object (or null) a Failure."""
        if (content := self._alike.text(event)) is not None:
            return self._thinking.feed(content)
        payload = read_event(event)
        if payload is None:
            return []
        if not isinstance(payload, dict):
            return [payload]
        deltas = self.chunk(payload)
        self._alike.learn(event, deltas)
        if event.event == "error" and not any(isinstance(delta, Failure) for delta in deltas):
            deltas.append(Failure(stream_error(payload)))
        return deltas

    def chunk(self, payload: Mapping[str, Any]) -> list[Delta]:
        """The deltas of one chunk. Usage and finish reason come before the failure that may stand beside them."""
        deltas: list[Delta] = []
        said = payload.get("id"), payload.get("model")
        if said != self._said:  # each chunk says it again
            self._said = said
            response_id, model = fields.string(said[0]), fields.string(said[1])
            if response_id or model:
                deltas.append(Meta(response_id, model))
        choice = _first_choice(payload)
        deltas += self._content(choice)
        deltas += self._read_usage(payload)
        reason = fields.string(choice.get("finish_reason"))
        error = payload.get("error") or choice.get("error")
        if reason is not None:
            raw = fields.string(choice.get("native_finish_reason")) or reason
            deltas.append(Finish(_FINISH.get(reason, "other"), raw))
        if error:
            deltas.append(Failure(stream_error({"error": error})))
        elif payload.get("object") == "error":
            deltas.append(Failure(stream_error(payload)))
        elif reason == "error":
            deltas.append(Failure(Refused("provider", "the stream ended with finish_reason error")))
        return deltas

    def _content(self, choice: Mapping[str, Any]) -> list[Delta]:
        delta = fields.mapping(choice.get("delta")) or fields.mapping(choice.get("message"))
        deltas: list[Delta] = []
        if reasoning := _reasoning(delta):
            deltas.append(Reasoning(reasoning))
        if content := fields.joined(delta.get("content"), "text"):
            deltas += self._thinking.feed(content)
        for position, call in enumerate(fields.items(delta.get("tool_calls"))):
            if isinstance(call, dict):
                deltas.append(_tool_call(call, position))
        if legacy := fields.mapping(delta.get("function_call")):
            deltas.append(_tool_call({"function": legacy}, 0))
        return deltas

    def _read_usage(self, payload: Mapping[str, Any]) -> list[Delta]:
        if not (payload.get("usage") or payload.get("x_groq")):
            return []
        raw = fields.mapping(payload.get("usage")) or fields.mapping(fields.mapping(payload.get("x_groq")).get("usage"))
        if not raw:
            return []
        seen = _usage(raw)
        known = {name: value for name in Usage.__slots__ if (value := getattr(seen, name)) is not None}
        self._usage = replace(self._usage, **known)
        return [UsageDelta(self._usage)]


def _first_choice(payload: Mapping[str, Any]) -> dict[str, Any]:
    for choice in fields.items(payload.get("choices")):
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return {}


def _reasoning(delta: Mapping[str, Any]) -> str | None:
    """The first of the three spellings that is there: they mirror each other and are never added up."""
    for name in ("reasoning", "reasoning_content"):
        if text := fields.string(delta.get(name)):
            return text
    if not (items := fields.items(delta.get("reasoning_details"))):
        return None
    details = (fields.mapping(detail) for detail in items)
    return "".join(fields.string(d.get("text")) or fields.string(d.get("summary")) or "" for d in details) or None


def _tool_call(call: Mapping[str, Any], position: int) -> ToolCall:
    function = fields.mapping(call.get("function"))
    index = fields.count(call.get("index"))
    return ToolCall(
        position if index is None else index,
        fields.string(call.get("id")),
        fields.string(function.get("name")),
        fields.string(function.get("arguments")) or "",
    )


def _usage(raw: Mapping[str, Any]) -> Usage:
    """One usage object. Output is the greater of the reported count and total - prompt, because xAI leaves reasoning out
    of the former; reasoning is at most output.
    """
    prompt_details = fields.mapping(raw.get("prompt_tokens_details"))
    details = fields.mapping(raw.get("completion_tokens_details"))
    prompt = _first_count(raw.get("prompt_tokens"), raw.get("input_tokens"))
    output = _first_count(raw.get("completion_tokens"), raw.get("output_tokens"))
    total = fields.count(raw.get("total_tokens"))
    if total is not None and prompt is not None and total > prompt:
        output = max(output or 0, total - prompt)
    reasoning = _first_count(details.get("reasoning_tokens"), raw.get("reasoning_tokens"))
    if reasoning is not None and output is not None:
        reasoning = min(reasoning, output)
    cost = fields.amount(raw.get("cost"))
    if cost is not None and raw.get("is_byok") is True:
        # With one's own key `cost` is the router's fee; the upstream's price comes beside it.
        upstream = fields.mapping(raw.get("cost_details")).get("upstream_inference_cost")
        cost += fields.amount(upstream) or 0
    seconds = fields.amount(raw.get("total_time"))
    return Usage(
        input_tokens=prompt or None,  # a prompt has a token at least: 0 is a placeholder
        output_tokens=output,
        reasoning_tokens=reasoning,
        cached_input_tokens=_first_count(prompt_details.get("cached_tokens"), raw.get("cached_tokens")),
        cost_usd=cost,
        provider_time_ms=None if seconds is None else seconds * 1000,
    )


def _first_count(*values: Any) -> int | None:
    return next((found for value in values if (found := fields.count(value)) is not None), None)
