"""One stream in every form it may arrive in."""

import json
from collections.abc import Callable, Iterator

from providers.sse import Event, EventReader

BOM = b"\xef\xbb\xbf"


def commented(stream: bytes) -> bytes:
    """With a comment before each line, and one on its own after each event."""
    lines = stream.split(b"\n")
    return b"\n".join(b": still here\n" + line if line else b"\n:\n" for line in lines[:-1]) + b"\n" + lines[-1]


def unterminated(stream: bytes) -> bytes:
    """Without its final newlines, where its last event may do without: data that is whole."""
    bare = stream.rstrip(b"\n")
    name, _, value = bare.rpartition(b"\n")[2].partition(b":")
    return bare if name == b"data" and (value.strip() == b"[DONE]" or _object(value)) else stream


def folded(stream: bytes) -> bytes:
    """With each JSON object in several data lines: one more after each of its commas. The events' text differs by LF."""
    return b"\n".join(_fold(line) for line in stream.split(b"\n"))


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "LF": lambda stream: stream,
    "CRLF": lambda stream: stream.replace(b"\n", b"\r\n"),
    "CR": lambda stream: stream.replace(b"\n", b"\r"),
    "a byte order mark": lambda stream: BOM + stream,
    "no final newline": unterminated,
    "comments between": commented,
    "data in several lines": folded,
    "all at once": lambda stream: BOM + commented(folded(unterminated(stream))).replace(b"\n", b"\r\n"),
}


def cuts(stream: bytes) -> Iterator[list[bytes]]:
    """The stream whole, cut in two at every byte, and byte by byte."""
    yield [stream]
    for at in range(1, len(stream)):
        yield [stream[:at], stream[at:]]
    yield bytewise(stream)


def bytewise(stream: bytes) -> list[bytes]:
    """The stream in pieces of one byte."""
    return [stream[at : at + 1] for at in range(len(stream))]


def read(pieces: list[bytes]) -> list[Event]:
    """The events of a stream that arrives in these pieces."""
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.close()


def in_every_form(stream: bytes) -> Iterator[tuple[str, list[Event]]]:
    """The events of each form of the stream, with a name for the form; however a form is cut, they are the same."""
    for name, rewrite in FORMS.items():
        form = rewrite(stream)
        events = read([form])
        for number, pieces in enumerate(cuts(form)):
            assert read(pieces) == events, f"{name}, cut {number}"
        yield name, events


def _fold(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    if name != b"data" or not colon or not _object(value):
        return line
    out, inside, escaped = bytearray(), False, False
    for byte in value.strip():
        out.append(byte)
        if escaped or byte == ord("\\"):
            escaped = not escaped
        elif byte == ord('"'):
            inside = not inside
        elif byte == ord(",") and not inside:
            out += b"\ndata: "
    return b"data: " + bytes(out)


def _object(value: bytes) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False
