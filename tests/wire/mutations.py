"""Inputs for the fuzzer: what vendors send, spoiled at the level of bytes, lines, JSON and whole streams, by a seeded draw."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from .vendors import VENDORS, Vendor

Kind = Literal["stream", "body", "error", "listing", "answer"]
Draw = random.Random

_SEPARATOR = re.compile(rb"(\n\n)")
_CHUNK_BYTES = 1 << 16  # what one read of a socket gives at most

# Byte strings that mean something to one layer or another.
_MORSELS = (
    b"\r", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r", b"\xef\xbb\xbf", b"\x00", b"\xff", b"\xc3", b"\xe2\x80", b"\xf0\x9f\x95", b":",
    b": x\n", b"data:", b"data: ", b"data", b"event: error\n", b"event:response\n", b"event", b"id: 7\n", b"retry: 1\n", b"[DONE]",
    b"data: [DONE]\n\n", b"data: null\n\n", b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u", b"\\ud83d", b"\\udd77", b"\\u0000", b"NaN",
    b"1e999", b"-0", b"<think>", b"</think>", b"<thi", b"</th", "\u2028".encode(), "\u0085".encode(), "\u202e".encode(), "\U0001f577".encode(),
    b"sk-canary-0123456789", b"https://u:p@h/x?key=1", b" ", b"\t", b"\x0b", b"\x1c",
)  # fmt: skip
# JSON values to put anywhere.
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 10**6, 10**12, 10**13, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", " ", "0", "text",
    "\ud83d", "\udd77", "\x00", "<think>", "</think>", "<think>a</think>b", "x" * 300, [], {}, [None], [[]], {"": None}, [{}],
    {"type": "text", "text": "part"}, {"message": "m", "code": 429}, {"error": {"message": "m", "type": "overloaded_error"}},
    "error", "stop", "tool_use", "refusal", "message_stop", "content_block_delta", "insufficient_quota", "-1", "1e400", "0.000001", "nan",
)  # fmt: skip


_HEADERS = (
    "", " ", "0", "-1", "nan", "inf", "1e999", "9" * 400, "1.5.5", "6m0s", "0x10", "1_000", "\u0661\u0662", "2026-13-45T99:99:99Z", "2026-11-21T04:15:00Z",
    "Fri, 31 Feb 2026 25:61:61 GMT", "Fri, 01 Jan 2100 00:00:00 GMT", "99999-01-01T00:00:00Z", "\xe9\xff", "sk-canary-0123456789", "a" * 5000,
)  # fmt: skip
_CONTENT_TYPES = (
    *["text/event-stream"] * 6, *["application/json"] * 3, "", "text/html; charset=utf-8", "text/event-stream; charset=utf-16", "APPLICATION/JSON",
    "application/problem+json", "text/plain", ";", "\xff",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Input:
    """One input and how to read it; `pieces` are the ways it is cut, the first is whole.

    A stream, a body and an error are a decoder's own food, an answer is a whole HTTP answer to a measurement.
    """

    kind: Kind
    dialect: str
    data: bytes
    pieces: tuple[list[bytes], ...]
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


Seedling = tuple[str, int, bytes]  # dialect, status, what was sent


def _by(vendor: Vendor) -> str:
    return "messages" if vendor.provider_type == "anthropic" else "chat"


_DOCUMENTS: tuple[Seedling, ...] = (
    (
        "chat",
        200,
        b"""{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"<think>hm</think>8",
        "reasoning_content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,"cost":0.1,"is_byok":true,"cost_details":{"upstream_inference_cost":1}}}""",
    ),
    (
        "messages",
        200,
        b"""{"id":"msg_1","type":"message","model":"m","role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"8"},
        {"type":"tool_use","id":"t","name":"f","input":{"a":1}}],"stop_reason":"end_turn","usage":{"input_tokens":20,"output_tokens":5}}""",
    ),
)


def _seedlings() -> dict[Kind, list[Seedling]]:
    """What the vendors send, by kind."""
    found: dict[Kind, list[Seedling]] = {
        "stream": [],
        "body": list(_DOCUMENTS),
        "error": [],
        "listing": [],
        "answer": [],
    }
    for vendor in VENDORS:
        found["listing"] += [(_by(vendor), 200, page) for page in vendor.pages.values()]
        for reply in (*vendor.replies.values(), vendor.wrong_key):
            if reply is not None:
                answers: Kind = "body" if "json" in reply.content_type else "stream"
                seedling = (_by(vendor), reply.status, reply.body)
                found[answers if reply.status == 200 else "error"].append(seedling)
                found["answer"].append(seedling)
    return found


_SEEDLINGS = _seedlings()
_NODES: list[Any] = []  # JSON values of all streams, to be put elsewhere
_KEYS: list[str] = []


def make(seed: int, index: int) -> Input:
    """The input of this number: the same for ever."""
    draw = random.Random(f"{seed}/{index}")
    kind: Kind = draw.choices(("stream", "body", "error", "listing", "answer"), (82, 5, 5, 4, 4))[0]
    dialect, status, data = draw.choice(_SEEDLINGS[kind])
    headers = _headers(draw) if kind == "answer" else ()
    for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 5, 9))):
        data = draw.choices(*_LEVELS[kind in {"stream", "answer"}])[0](draw, data)
    if draw.random() < 0.0005:
        data = _enormous(draw, data)
    if draw.random() < 0.02:
        dialect = draw.choice(("chat", "messages"))
    return Input(kind, dialect, data, _pieces(draw, data), status, headers)


def _headers(draw: Draw) -> tuple[tuple[str, str], ...]:
    """Those of some vendor, with strange values here and there."""
    known = {**draw.choice(VENDORS).headers, "retry-after": "2", "retry-after-ms": "1800"}
    drawn = {name: draw.choice(_HEADERS) if draw.random() < 0.2 else text for name, text in known.items()}
    drawn["content-type"] = draw.choice(_CONTENT_TYPES)
    if draw.random() < 0.02:
        drawn["content-encoding"] = draw.choice(("gzip", "identity", "br, gzip", "sk-canary-0123456789"))
    return tuple(drawn.items())


def _pieces(draw: Draw, data: bytes) -> tuple[list[bytes], ...]:
    """Whole (in reads of 64 KiB), in pieces of a few bytes or one where that is not too long, and at random places, many near line ends."""
    whole = [data[at : at + _CHUNK_BYTES] for at in range(0, len(data), _CHUNK_BYTES)] or [b""]
    places = {draw.randrange(len(data) + 1) for _ in range(draw.randrange(1, 12))}
    ends = [match.start() for match in re.finditer(rb"[\r\n]", data[:8192])]
    places |= {draw.choice(ends) + draw.randrange(2) for _ in range(draw.randrange(6)) if ends}
    marks = [0, *sorted(places), len(data)]
    scattered = [data[start:end] for start, end in pairwise(marks)]
    if len(data) > 16_384:
        return whole, [
            part[at : at + _CHUNK_BYTES] for part in scattered for at in range(0, len(part) + 1, _CHUNK_BYTES)
        ]
    size = draw.choice((1, 1, 2, 3, 7, 29))
    return whole, [data[at : at + size] for at in range(0, len(data), size)], scattered


# Bytes


def _flip(draw: Draw, data: bytes) -> bytes:
    if not data:
        return data
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def _insert(draw: Draw, data: bytes) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + draw.choice(_MORSELS) + data[at:]


def _delete(draw: Draw, data: bytes) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + data[at + draw.choice((1, 1, 2, 5, 30, 200)) :]


def _truncate(draw: Draw, data: bytes) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _repeat(draw: Draw, data: bytes) -> bytes:
    at, size = draw.randrange(len(data) + 1), draw.choice((1, 3, 20, 150))
    return data[: at + size] + data[at : at + size] * draw.choice((1, 2, 6)) + data[at + size :]


# Lines


def _line_ends(draw: Draw, data: bytes) -> bytes:
    """Each line with an end of its own, or all with the same."""
    ends = draw.choice(((b"\r\n",), (b"\r",), (b"\n", b"\r\n", b"\r")))
    return b"".join(line + draw.choice(ends) for line in data.split(b"\n")[:-1]) + data.split(b"\n")[-1]


def _lines(draw: Draw, data: bytes) -> bytes:
    """A line dropped, doubled, moved, split, joined with the next, or a strange one put in."""
    lines = data.split(b"\n")
    at = draw.randrange(len(lines))
    match draw.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines.insert(draw.randrange(len(lines)), lines.pop(at))
        case 3:
            half = draw.randrange(len(lines[at]) + 1)
            lines[at : at + 1] = [lines[at][:half], draw.choice((b"", b"data: ", b"data:")) + lines[at][half:]]
        case 4:
            lines[at : at + 2] = [b"".join(lines[at : at + 2])]
        case _:
            lines.insert(
                at,
                draw.choice(
                    (b": x", b":", b"event: error", b"data: [DONE]", b"data:", b"id: 1", b"foo: bar", b" data: x")
                ),
            )
    return b"\n".join(lines)


def _events(draw: Draw, data: bytes) -> bytes:
    """Events dropped, doubled, moved, or taken from another stream."""
    blocks = data.split(b"\n\n")
    at = draw.randrange(len(blocks))
    match draw.randrange(4):
        case 0:
            del blocks[at]
        case 1:
            blocks.insert(draw.randrange(len(blocks) + 1), blocks[at])
        case 2:
            blocks.insert(draw.randrange(len(blocks)), blocks.pop(at))
        case _:
            others = draw.choice(_SEEDLINGS["stream"])[2].split(b"\n\n")
            start = draw.randrange(len(others))
            blocks[at:at] = others[start : start + draw.choice((1, 2, 20))]
    return b"\n\n".join(blocks)


# JSON


def _json(draw: Draw, data: bytes) -> bytes:
    """One JSON document of the input with one of its values changed."""
    parts = _SEPARATOR.split(data)
    order = draw.sample(range(len(parts)), len(parts))
    for at in order[:4]:
        head, opening, rest = parts[at].partition(b"{") if b"{" in parts[at] else parts[at].partition(b"[")
        try:
            value = json.loads(opening + rest)
        except (ValueError, RecursionError):
            continue
        parts[at] = head + _dump(draw, _changed(draw, value))
        return b"".join(parts)
    return data


def _changed(draw: Draw, value: Any) -> Any:
    """The value with something inside it replaced, dropped, renamed or doubled."""
    spots: list[tuple[Any, Any]] = []
    _spots(value, spots)
    if not spots:
        return draw.choice(_VALUES)
    holder, key = draw.choice(spots)
    match draw.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[draw.choice(_KEYS)] = holder.pop(key)
        case 2 if isinstance(holder, list):
            holder.insert(draw.randrange(len(holder) + 1), holder[key])
        case 3:
            holder[key] = draw.choice(_NODES)
        case 4 if isinstance(holder[key], str):
            holder[key] = _spoiled(draw, holder[key])
        case _:
            holder[key] = draw.choice(_VALUES)
    return value


def _spoiled(draw: Draw, text: str) -> str:
    at = draw.randrange(len(text) + 1)
    return (
        text[:at]
        + draw.choice(
            ("<think>", "</think>", "\u2028", "\x00", "\ud83d", "\udd77", "\U0001f577", "\n", "\r\n\r\n", " ")
        )
        + text[at:]
    )


def _spots(value: Any, found: list[tuple[Any, Any]]) -> None:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found.append((value, key))
        _spots(value[key], found)


def _dump(draw: Draw, value: Any) -> bytes:
    separators = draw.choice(((",", ":"), (", ", ": "), (",\n", ":")))
    return json.dumps(value, ensure_ascii=draw.random() < 0.5, separators=separators).encode("utf-8", "surrogatepass")


def _enormous(draw: Draw, data: bytes) -> bytes:
    """Something too long: a line, an event of many lines, a nest, a stream."""
    match draw.randrange(5):
        case 0:
            flood = b"data: " + b"x" * draw.choice((1 << 19, (1 << 20) - 6, (1 << 20) - 5, 3 << 19)) + b"\n\n"
        case 1:
            flood = b"data: " + b"[" * 100_000 + b"\n\n"
        case 2:
            flood = b"data: 1\n" * 150_000
        case 3:
            flood = b'data: {"choices":[{"delta":{"content":"' + b"y" * 300_000 + b'"}}]}\n\n'
        case _:
            return (data or b"x") * (200_000 // len(data or b"x") + 1)
    at = draw.randrange(len(data) + 1)
    return data[:at] + flood + data[at:]


def _gather() -> None:
    """Every JSON value and key of the streams: `_NODES`, `_KEYS`."""
    for _, _, stream in _SEEDLINGS["stream"]:
        for block in stream.split(b"\n\n"):
            try:
                value = json.loads(block[block.find(b"{") :])
            except ValueError:
                continue
            spots: list[tuple[Any, Any]] = []
            _spots(value, spots)
            _NODES.extend(holder[key] for holder, key in spots)
            _KEYS.extend(sorted({key for _, key in spots if isinstance(key, str)} - set(_KEYS)))


_gather()
Mutation = Callable[[Draw, bytes], bytes]
_BYTES: tuple[Mutation, ...] = (_flip, _insert, _delete, _truncate, _repeat)
# Which mutations a stream suffers (True), and a document (False), with their weights.
_LEVELS: dict[bool, tuple[tuple[Mutation, ...], tuple[int, ...]]] = {
    True: ((*_BYTES, _line_ends, _lines, _events, _json), (1, 2, 1, 1, 1, 4, 5, 6, 16)),
    False: ((*_BYTES, _json), (1, 2, 1, 1, 1, 14)),
}
