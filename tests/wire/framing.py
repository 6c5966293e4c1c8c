"""One stream in every form it may arrive in."""

from collections.abc import Iterator

from providers.sse import Event, EventReader

BOM = b"\xef\xbb\xbf"


def variants(stream: bytes) -> Iterator[tuple[str, bytes]]:
    """A stream written with LF, as it would be with other line ends and a byte order mark."""
    for name, end in (("LF", b"\n"), ("CRLF", b"\r\n"), ("CR", b"\r")):
        yield name, stream.replace(b"\n", end)
        yield f"BOM {name}", BOM + stream.replace(b"\n", end)


def cuts(stream: bytes) -> Iterator[list[bytes]]:
    """The stream whole, cut in two at every byte, and byte by byte."""
    yield [stream]
    for at in range(1, len(stream)):
        yield [stream[:at], stream[at:]]
    yield [stream[at : at + 1] for at in range(len(stream))]


def read(pieces: list[bytes]) -> list[Event]:
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.close()


def in_every_form(stream: bytes) -> Iterator[tuple[str, list[Event]]]:
    """The events of each form of the stream, with a name for the form."""
    for name, form in variants(stream):
        for number, pieces in enumerate(cuts(form)):
            yield f"{name}, cut {number}", read(pieces)
