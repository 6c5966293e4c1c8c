"""Decode a stream, and hold that it decodes alike however it is cut and whatever its line ends are."""

import json
from dataclasses import dataclass, field
from typing import Any

from wire.framing import in_every_form, read

from providers.dialects import DIALECTS
from providers.dialects.deltas import (
    Delta,
    End,
    Failure,
    Finish,
    Meta,
    Reasoning,
    Reclassified,
    Text,
    ToolCall,
    UsageDelta,
)
from providers.errors import WireError
from providers.records import Usage


@dataclass
class Said:
    """What a stream said, added up."""

    text: str = ""
    reasoning: str = ""
    tools: dict[int, list[str]] = field(default_factory=dict)  # index -> [id, name, arguments]
    usage: Usage | None = None
    finish: tuple[str, str] | None = None
    response_id: str | None = None
    model: str | None = None
    error: WireError | None = None
    ended: bool = False

    def take(self, delta: Delta) -> None:
        match delta:
            case Text(text):
                assert text
                self.text += text
            case Reasoning(text):
                assert text
                self.reasoning += text
            case Reclassified():
                self.reasoning, self.text = self.reasoning + self.text, ""
            case ToolCall():
                call = self.tools.setdefault(delta.index, ["", "", ""])
                call[0] += delta.id or ""
                call[1] += delta.name or ""
                call[2] += delta.arguments
            case UsageDelta(usage):
                self.usage = usage
            case Finish(reason, raw):
                self.finish = (reason, raw)
            case Meta(response_id, model):
                self.response_id, self.model = response_id or self.response_id, model or self.model
            case Failure(error):
                self.error = error
            case End():
                self.ended = True


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


def decode(dialect: str, *payloads: Any) -> Said:
    """What the stream of these events says, in every form that it may arrive in."""
    whole = stream(*payloads)
    events = read([whole])
    for form, seen in in_every_form(whole):
        assert seen == events, form
    decoder, said = DIALECTS[dialect].Decoder(), Said()
    for event in events:
        for delta in decoder.feed(event):
            said.take(delta)
    return said


def add_up(deltas: list[Delta]) -> Said:
    said = Said()
    for delta in deltas:
        said.take(delta)
    return said
