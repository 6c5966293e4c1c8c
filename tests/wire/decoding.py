"""Decode a stream, and hold that it decodes alike however it is cut and whatever its line ends are."""

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
from wire.framing import FORMS, bytewise, in_every_form, read
from wire.loopback import CHAT, MESSAGES, request
from wire.vendors import stream

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
from providers.records import Measurement, Usage
from providers.sse import Event

__all__ = ["Said", "add_up", "decode", "decode_once", "measured", "stream"]


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


def decode(dialect: str, *payloads: Any) -> Said:
    """What the stream of these events says, in every form that it may arrive in."""
    whole = stream(*payloads)
    said = _deltas(dialect, read([whole]))
    for form, events in in_every_form(whole):
        assert repr(_deltas(dialect, events)) == repr(said), form
    return add_up(said)


def decode_once(dialect: str, whole: bytes) -> Said:
    """What a stream says that comes whole."""
    return add_up(_deltas(dialect, read([whole])))


async def measured(dialect: str, whole: bytes) -> Measurement:
    """What a measurement makes of a stream, in every form and whole as well as byte by byte, times aside."""
    seen = [
        await _measure(dialect, pieces)
        for rewrite in FORMS.values()
        for pieces in ([rewrite(whole)], bytewise(rewrite(whole)))
    ]
    for other, form in zip(seen, [name for name in FORMS for _ in range(2)], strict=True):
        assert _timeless(other) == _timeless(seen[0]), form
    return seen[0]


def add_up(deltas: list[Delta]) -> Said:
    said = Said()
    for delta in deltas:
        said.take(delta)
    return said


def _deltas(dialect: str, events: list[Event]) -> list[Delta]:
    decoder = DIALECTS[dialect].Decoder()
    return [delta for event in events for delta in decoder.feed(event)]


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


async def _measure(dialect: str, pieces: list[bytes]) -> Measurement:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Pieces(pieces))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        return await request(client, MESSAGES if dialect == "messages" else CHAT)


def _timeless(measurement: Measurement) -> dict[str, Any]:
    return {name: value for name, value in asdict(measurement).items() if not name.endswith("_ms") and name != "tps"}
