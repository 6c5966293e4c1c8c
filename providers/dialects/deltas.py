"""What a stream says, whichever dialect it is said in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from providers.dialects.parameters import Wording
from providers.errors import Refused, WireError
from providers.records import Prompt, ProviderSpec, Usage
from providers.sse import Event

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "other"]


@dataclass(frozen=True, slots=True)
class Text:
    """Visible text; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text of the model's thinking; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Reclassified:
    """All Text until now was reasoning after all: its `<think>` came in pieces, or only its `</think>` came."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A fragment of a tool call: `id` and `name` usually come once, `arguments` in pieces to be joined."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class UsageDelta:
    """All that is known of the usage so far: a later one replaces an earlier one."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the model stopped, in our words and in the provider's; the last one counts."""

    reason: FinishReason
    raw: str


@dataclass(frozen=True, slots=True)
class Meta:
    """The provider's id for the response and the model that answered; None where this event does not say."""

    response_id: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """The stream says that it failed, or says something that cannot be read. Nothing after it counts."""

    error: WireError


@dataclass(frozen=True, slots=True)
class End:
    """The dialect's terminator."""


Delta = Text | Reasoning | Reclassified | ToolCall | UsageDelta | Finish | Meta | Failure | End


@dataclass(frozen=True, slots=True)
class Request:
    """What to POST: a path to be joined to the base URL, a JSON body, headers without any credential.

    `dropped` are parameters that the prompt sets and the body lacks, `adaptable` those in it that could be left out or said
    in another way (their names: see `providers.dialects.parameters`).
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    adaptable: tuple[str, ...] = ()


class StreamDecoder(Protocol):
    """Decodes the events of one response; pure, and used once."""

    def feed(self, event: Event) -> list[Delta]:
        """What this event says, in order; an unreadable one is a Failure, never an exception."""


class DialectModule(Protocol):
    """What a dialect's module holds."""

    @property
    def Decoder(self) -> type[StreamDecoder]: ...  # noqa: N802  # a class in a module

    def build_request(self, spec: ProviderSpec, model: str, prompt: Prompt, wording: Wording | None = None) -> Request:
        """The streaming request for `model` (its external id), worded as its id alone suggests if nobody knows better."""

    def decode_json(self, body: bytes) -> list[Delta]:
        """The deltas of a whole answer that came as one JSON document; the last is End or Failure."""

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Refused:
        """The Refused that an answer with an error status stands for; its message is not redacted yet."""
