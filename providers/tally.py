"""What one stream amounts to: text, usage and the times of what came, from deltas and the stamps they came with."""

import statistics
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from providers.arrivals import Arrival
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
from providers.errors import Garbled, Refused, WireError
from providers.records import Prompt, Usage

MAX_TEXT_BYTES = 8 << 20  # two million tokens: no answer, but a flood

_BYTES_PER_TOKEN = 4  # of the estimate; in the right order of magnitude for every vendor's tokenizer


@dataclass(slots=True)
class Tally:
    """Takes deltas with their arrivals and keeps what a measurement needs of them.

    `first_event`, `first_text` (the first visible character: white space is not visible), `first_reasoning_ns`,
    `end` (the terminator, or where the stream broke off); None until it happened.
    """

    first_event: Arrival | None = None
    first_text: Arrival | None = None
    first_reasoning_ns: int | None = None
    end: Arrival | None = None
    terminated: bool = False
    finish: Finish | None = None
    usage: Usage = field(default_factory=Usage)
    response_id: str | None = None
    model: str | None = None
    error: WireError | None = None
    _text: bytearray = field(default_factory=bytearray)
    _reasoning_bytes: int = 0
    _tool_bytes: int = 0
    _output_ns: "array[int]" = field(default_factory=lambda: array("q"))  # arrivals of anything the model generated
    _thought_aloud: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing that may still come counts."""
        return self.terminated or self.error is not None

    @property
    def is_complete(self) -> bool:
        """Whether the answer is known to be whole: a terminator or a finish reason came."""
        return self.terminated or self.finish is not None

    @property
    def has_text(self) -> bool:
        """Whether any visible text came."""
        return bool(self._text)

    def take(self, delta: Delta, arrival: Arrival) -> None:
        """Account for one delta."""
        match delta:
            case Text(text):
                self._take_text(text, arrival)
            case Reasoning(text):
                self._take_reasoning(text, arrival.ns)
            case Reclassified():
                self._reclassify()
            case ToolCall(arguments=arguments):
                self._generated(arrival.ns)
                self._tool_bytes += len(arguments.encode("utf-8", "surrogatepass"))
            case UsageDelta(usage):
                self.usage = usage
            case Finish():
                self.finish = delta
            case Meta():
                self.response_id = delta.response_id or self.response_id
                self.model = delta.model or self.model
            case Failure(error):
                self.error = error
                # The stream's own last word ends it; a misreading of ours does not.
                self.end = arrival if isinstance(error, Refused) else None
            case End():
                self.terminated = True
                self.end = arrival

    def text(self) -> str:
        """All visible text. Halves of a surrogate pair that came apart are joined; what stays half is replaced."""
        text = self._text.decode("utf-8", "surrogatepass")
        if b"\xed" in self._text:  # the lead byte of every encoded surrogate
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text.replace("\x00", "\ufffd")  # PostgreSQL stores no NUL

    def tokens(self, prompt: Prompt) -> Mapping[str, Any]:
        """Token counts as columns. A count the provider does not give is estimated (a token for four bytes) and the row
        says so; with nothing generated there is nothing to estimate.
        """
        text_bytes = len(self._text) + self._reasoning_bytes + self._tool_bytes
        usage = self.usage
        output = usage.output_tokens
        if output == 0 and text_bytes:
            output = None  # a placeholder, as some gateways send
        told = usage.input_tokens is not None and output is not None
        guess = not told and (text_bytes > 0 or (self.is_complete and self.error is None))
        input_tokens = usage.input_tokens
        if guess and input_tokens is None:
            input_tokens = estimate(prompt.text) + estimate(prompt.system or "")
        if guess and output is None:
            output = _tokens(text_bytes) or None
        source = None if input_tokens is None and output is None else "estimated" if guess else "provider"
        return {
            "input_tokens": input_tokens,
            "output_tokens": output,
            "reasoning_tokens": usage.reasoning_tokens,
            "cached_input_tokens": usage.cached_input_tokens,
            "token_source": source,
        }

    def pace(self) -> Mapping[str, Any]:
        """`max_gap_ms` and `inter_token_p50_ms`: of the times between arrivals of what the model generated."""
        stamps = self._output_ns
        gaps = [later - earlier for earlier, later in pairwise(stamps)]
        if not gaps:
            return {"max_gap_ms": None, "inter_token_p50_ms": None}
        return {"max_gap_ms": max(gaps) / 1e6, "inter_token_p50_ms": statistics.median(gaps) / 1e6}

    def tps(self, output_tokens: int | None) -> float | None:
        """(tokens - 1) / (last token - first token), both ends and the count from the same channel.

        `output_tokens` includes reasoning. Where reasoning was counted but not sent, the visible tokens are counted
        alone. None with fewer than two tokens or when they all came at once.
        """
        if output_tokens is None or not self._output_ns:
            return None
        count = output_tokens
        if not self._thought_aloud:
            count -= self.usage.reasoning_tokens or 0
        elapsed = self._output_ns[-1] - self._output_ns[0]
        return (count - 1) * 1e9 / elapsed if count >= 2 and elapsed > 0 else None

    def _generated(self, stamp: int) -> None:
        self._output_ns.append(stamp)

    def _take_text(self, text: str, arrival: Arrival) -> None:
        self._text += text.encode("utf-8", "surrogatepass")
        if len(self._text) > MAX_TEXT_BYTES:
            raise Garbled("response_too_large", f"the answer's text is longer than {MAX_TEXT_BYTES} bytes")
        self._generated(arrival.ns)
        if self.first_text is None and not text.isspace():
            self.first_text = arrival

    def _take_reasoning(self, text: str, stamp: int) -> None:
        self._generated(stamp)
        self._reasoning_bytes += len(text.encode("utf-8", "surrogatepass"))
        self._thought_aloud = True
        if self.first_reasoning_ns is None:
            self.first_reasoning_ns = stamp

    def _reclassify(self) -> None:
        self._reasoning_bytes += len(self._text)
        self._text.clear()
        self._thought_aloud = True
        if self.first_reasoning_ns is None:
            self.first_reasoning_ns = self._output_ns[0] if self._output_ns else None
        self.first_text = None


def estimate(text: str) -> int:
    """Tokens in `text`, at four bytes of UTF-8 each, rounded up."""
    return _tokens(len(text.encode("utf-8", "surrogatepass")))


def _tokens(size: int) -> int:
    return -(-size // _BYTES_PER_TOKEN)
