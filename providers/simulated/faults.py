"""How a provider answers: as it should, or with a fault that was asked for by name.

A fault is asked for by a model named `fault/<name>`, by a base URL that ends in `/fault/<name>/v1`, or strikes by the
world's failure rate. `REFUSALS` are statuses, as data; `FAULTS` are functions that spoil a good answer.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Literal

from providers.simulated.frames import Frames, dump, error_body, frames
from providers.simulated.world import Reply

Mark = Literal["reasoning", "text"]
Ending = Literal["complete", "close", "reset", "hang"]

_DRIP_MS = 50.0
_BLOCK = 65_536
_ARGUMENTS = ('{"ani', 'mal": "sp', 'ider"}')
_HTML = b"<!doctype html><html><head><title>Welcome</title></head><body><h1>Please sign in</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes to be written `at_ms` after the request was received; `mark` says that a token of that kind is in them."""

    at_ms: float
    data: bytes
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer as a script.

    `framing` chunked or close (delimited by the end of the connection); a single step with framing length has a
    Content-Length. `ending` is what happens after the last step: a proper end, a close, a reset, or nothing at all.
    """

    steps: Iterable[Step]
    status: int = 200
    content_type: str = "text/event-stream; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Literal["chunked", "close", "length"] = "chunked"
    ending: Ending = "complete"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an answer is made of."""

    dialect: str
    reply: Reply
    answer_id: str
    with_usage: bool = True

    def frames(self) -> Frames:
        """Frames of this reply, from their beginning."""
        return frames(self.dialect, self.reply, self.answer_id, with_usage=self.with_usage)


def good(exchange: Exchange) -> Answer:
    """The stream as it should be: opening, reasoning, text at its pace, finish, usage, terminator."""
    return Answer(_stream(exchange))


def whole(exchange: Exchange) -> Answer:
    """The answer as one JSON document, after the time that the stream would have taken."""
    reply = exchange.reply
    done_ms = reply.ttft_ms + reply.inter_token_ms * len(reply.tokens)
    return _document(200, exchange.frames().whole(), at_ms=done_ms)


def refusal(dialect: str, status: int, kind: str, message: str, **more: str) -> Answer:
    """An error status with the dialect's JSON body; `code` is the provider's own word, other names are headers."""
    body = error_body(dialect, kind, message, more.pop("code", None))
    return _document(status, body, headers={name.replace("_", "-"): value for name, value in more.items()})


def refused(name: str, dialect: str) -> Answer:
    """The refusal `name` of `REFUSALS`."""
    status, kind, message, more = REFUSALS[name]
    return refusal(dialect, status, kind, message, **more)


def document(body: bytes) -> Answer:
    """A JSON document with status 200, at once."""
    return _document(200, body)


def spoiled(name: str, exchange: Exchange) -> Answer:
    """The answer with the fault `name`. Raises `KeyError` for a fault that does not exist."""
    return refused(name, exchange.dialect) if name in REFUSALS else FAULTS[name](exchange)


def spoiled_listing(name: str, dialect: str, body: bytes) -> Answer:
    """The models endpoint with the fault `name`; faults that only a stream can have leave it whole."""
    if name in REFUSALS:
        return refused(name, dialect)
    half = Answer([Step(0.0, body[: len(body) // 2])], content_type="application/json")
    return {
        "stall_headers": Answer([], ending="hang"),
        "stall_stream": replace(half, ending="hang"),
        "cut_stream": replace(half, framing="close", ending="close"),
        "cut_chunked": replace(half, ending="close"),
        "reset_stream": replace(half, ending="reset"),
        "garbage_json": half,
        "html_200": _html(),
        "empty": document(dump({"data": []})),
    }.get(name, document(body))


def _document(status: int, body: bytes, *, at_ms: float = 0.0, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer([Step(at_ms, body)], status, "application/json", headers or {}, framing="length")


def _html() -> Answer:
    return replace(_document(200, _HTML), content_type="text/html; charset=utf-8")


def _stream(
    exchange: Exchange, *, text: int | None = None, usage: bool = True, finish: bool = True, end: bool = True
) -> Iterator[Step]:
    """The steps of a stream: only the first `text` tokens if given, without usage, finish or terminator where they are off."""
    reply, out = exchange.reply, exchange.frames()
    yield Step(reply.ttft_ms * 0.5, out.opening())
    pace = reply.ttft_ms * 0.4 / max(len(reply.reasoning), 1)
    for index, token in enumerate(reply.reasoning):
        yield Step(reply.ttft_ms * 0.6 + index * pace, out.reasoning(token), "reasoning")
    for index, token in enumerate(reply.tokens[:text]):
        yield Step(reply.ttft_ms + index * reply.inter_token_ms, out.text(token), "text")
    last_ms = reply.ttft_ms + len(reply.tokens[:text]) * reply.inter_token_ms
    ending = b"".join(part() for part, wanted in ((out.finish, finish), (out.usage, usage), (out.end, end)) if wanted)
    if ending:
        yield Step(last_ms, ending)


def _beginning(exchange: Exchange, tokens: int = 3) -> Iterator[Step]:
    return _stream(exchange, text=tokens, usage=False, finish=False, end=False)


def _then(exchange: Exchange, *more: bytes) -> Iterator[Step]:
    """The beginning of a stream, and these bytes after it."""
    at_ms = exchange.reply.ttft_ms + 4 * exchange.reply.inter_token_ms
    return chain(_beginning(exchange), (Step(at_ms, data) for data in more))


def _bytewise(steps: Iterable[Step]) -> Iterator[Step]:
    at_ms = 0.0
    for step in steps:
        for index in range(len(step.data)):
            last = index == len(step.data) - 1
            yield Step(at_ms, step.data[index : index + 1], step.mark if last else None)
            at_ms += _DRIP_MS


def _rewritten(exchange: Exchange, old: bytes, new: bytes) -> Answer:
    return Answer(replace(step, data=step.data.replace(old, new)) for step in _stream(exchange))


def _forever(at_ms: float, data: bytes) -> Iterator[Step]:
    while True:
        yield Step(at_ms, data)


def _silent(exchange: Exchange, *, reasoning: bool = False) -> Answer:
    """A complete stream without text; its tokens are reasoning, or there are none."""
    reply = exchange.reply
    thoughts = (reply.reasoning or reply.tokens) if reasoning else ()
    return Answer(_stream(replace(exchange, reply=replace(reply, tokens=(), reasoning=thoughts))))


def _thinking(exchange: Exchange) -> Answer:
    """The answer after some reasoning, in a channel of its own."""
    reply = exchange.reply
    return Answer(_stream(replace(exchange, reply=replace(reply, reasoning=reply.reasoning or reply.tokens[:5]))))


def _unicode(exchange: Exchange) -> Answer:
    """The answer in characters of many bytes, of surrogate pairs, and of the sort that some splitters take for line ends."""
    tokens = ("Grüße,", " 世界", " \U0001f577\ufe0f", "\u2028\u2029\u0085", ' "\\n\t', "\n", " é", "e\u0301.")
    return Answer(_stream(replace(exchange, reply=replace(exchange.reply, tokens=tokens))))


def _tool_call(exchange: Exchange) -> Answer:
    """A call of a tool in place of text; its arguments come in fragments."""
    reply = replace(exchange.reply, tokens=tuple(_ARGUMENTS), reasoning=(), finish="tool_calls")
    out = frames(exchange.dialect, reply, exchange.answer_id, with_usage=exchange.with_usage)
    fragments = [out.opening(), out.tool("look_up", ""), *(out.tool(None, part) for part in _ARGUMENTS)]
    fragments.append(out.finish() + out.usage() + out.end())
    return Answer(Step(reply.ttft_ms + index * reply.inter_token_ms, data) for index, data in enumerate(fragments))


def _endless_line(exchange: Exchange) -> Answer:
    head = b'data: {"choices":[{"index":0,"delta":{"content":"' if exchange.dialect == "chat" else b'data: {"type":"'
    return Answer(chain(_beginning(exchange), [Step(0.0, head)], _forever(0.0, b"x" * _BLOCK)))


def _endless_stream(exchange: Exchange) -> Answer:
    event = exchange.frames().text(
        " and so on" * 50
    )  # for messages it opens a block again and again: the reader must bear it
    return Answer(chain(_beginning(exchange), _forever(0.0, event * (_BLOCK // len(event) + 1))))


def _gzip_bomb(exchange: Exchange) -> Answer:
    """1 GiB of zeros, sent compressed although nobody accepts that."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    steps = chain([Step(exchange.reply.ttft_ms, first)], islice(_forever(0.0, again), 1023))
    return Answer(steps, headers={"content-encoding": "gzip"})


REFUSALS: Mapping[str, tuple[int, str, str, dict[str, str]]] = {
    "bad_400": (
        400,
        "invalid_request_error",
        "Unsupported parameter: 'temperature'.",
        {"code": "unsupported_parameter"},
    ),
    "refuse_401": (401, "authentication_error", "The key is not valid.", {"code": "invalid_api_key"}),
    "pay_402": (402, "billing_error", "The credit is used up.", {"code": "insufficient_credits"}),
    "forbid_403": (403, "permission_error", "This model may not be used here.", {"code": "permission_denied"}),
    "missing_404": (404, "not_found_error", "There is no such model.", {"code": "model_not_found"}),
    "timeout_408": (408, "timeout_error", "The request came too slowly.", {}),
    "large_413": (413, "request_too_large", "The request is too large.", {}),
    "invalid_422": (422, "invalid_request_error", "The request cannot be processed.", {}),
    "rate_429": (429, "rate_limit_error", "Too many requests.", {"code": "rate_limit_exceeded", "retry_after": "2"}),
    "rate_429_date": (429, "rate_limit_error", "Too many requests.", {"retry_after": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    "rate_429_absurd": (429, "rate_limit_error", "Too many requests.", {"retry_after": "99999999999"}),
    "quota_429": (429, "insufficient_quota", "The spending limit is reached.", {"code": "insufficient_quota"}),
    "error_500": (500, "server_error", "Something broke.", {}),
    "error_503": (503, "overloaded_error", "The engine is overloaded.", {"code": "overloaded"}),
    "overloaded_529": (529, "overloaded_error", "Overloaded.", {"code": "overloaded"}),
    "redirect_307": (307, "redirect", "It is elsewhere.", {"location": "http://localhost:9/elsewhere"}),
}

FAULTS: Mapping[str, Callable[[Exchange], Answer]] = {
    # Deadlines.
    "stall_headers": lambda _: Answer([], ending="hang"),
    "stall_stream": lambda x: Answer(_beginning(x), ending="hang"),
    "drip": lambda x: Answer(_bytewise(_stream(x))),
    # Streams that end too soon. A close-delimited one that is cut looks whole to an HTTP client.
    "cut_stream": lambda x: Answer(_beginning(x), framing="close", ending="close"),
    "cut_chunked": lambda x: Answer(_beginning(x), ending="close"),
    "reset_stream": lambda x: Answer(_beginning(x), ending="reset"),
    "close_unanswered": lambda _: Answer([], ending="close"),
    # Bytes that are no answer.
    "garbage_json": lambda x: Answer(_then(x, b'data: {"choices":[{"delta":\n\n', x.frames().end())),
    "garbage_bytes": lambda x: Answer(_then(x, b"data: \xff\xfe\x00\n\n", x.frames().end())),
    "html_200": lambda _: _html(),
    "html_502": lambda _: replace(_html(), status=502),
    "error_200": lambda x: document(error_body(x.dialect, "server_error", "Something broke.")),
    "error_event": lambda x: Answer(_then(x, x.frames().error("overloaded_error", "Overloaded in mid-stream."))),
    # No end.
    "endless_line": _endless_line,
    "endless_stream": _endless_stream,
    "gzip_bomb": _gzip_bomb,
    # Answers that lack something, or say it in an unusual way.
    "no_usage": lambda x: Answer(_stream(replace(x, with_usage=False))),
    "no_done": lambda x: Answer(_stream(x, end=False)),
    "no_finish": lambda x: Answer(_stream(x, finish=False)),
    "empty": _silent,
    "reasoning_only": lambda x: _silent(x, reasoning=True),
    "thinking": _thinking,
    "tool_call": _tool_call,
    "unicode": _unicode,
    "whole_200": whole,
    "double_done": lambda x: Answer(chain(_stream(x), [Step(0.0, x.frames().end())])),
    "crlf": lambda x: _rewritten(x, b"\n", b"\r\n"),
    "comments": lambda x: _rewritten(x, b"\n\n", b"\n\n: still working\n\n"),
    "no_space": lambda x: _rewritten(x, b"data: ", b"data:"),
}
