"""Server-sent events, byte by byte.

Lines are split on CR, LF and CRLF alone: JSON strings may hold U+2028, U+0085 and their like unescaped, which a text
splitter would take for line ends.
"""

import json
import re
from typing import NamedTuple

from providers.errors import Garbled

MAX_LINE_BYTES = 1 << 20

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LF, _CR = 0x0A, 0x0D


class Event(NamedTuple):  # made for each token: a frozen dataclass would take thrice as long
    """One dispatched event: its name if it had one, and its data lines joined with LF."""

    event: str | None
    data: str


class EventReader:
    """Turns the bytes of a stream, cut anywhere, into events.

    An event is given out by the `feed` whose bytes completed it, so that the arrival stamp of those bytes is the
    event's. `comments` counts the lines that start with a colon: they show that the peer lives, and nothing more.
    `truncated` is true after a `close` that had to drop half an event.
    """

    def __init__(self) -> None:
        self.comments = 0
        self.truncated = False
        self._pieces: list[bytes] = []  # of the line that has not ended yet
        self._pending = 0  # bytes in _pieces
        self._after_cr = False
        self._at_start = True
        self._event: str | None = None
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events they complete, in order.

        Raises Garbled (line_too_long) when a line, or the data of one event, passes 1 MiB.
        """
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == _LF:
                chunk = chunk[1:]
        if not chunk:
            return []
        # A CR at the end is a line end now, not when the next read tells whether an LF follows: waiting would date
        # the event by the next one's arrival.
        self._after_cr = chunk[-1] == _CR
        lines = _LINE_END.split(chunk) if b"\r" in chunk else chunk.split(b"\n")
        unfinished = lines.pop()
        if lines and self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces, self._pending = [], 0
        if lines and self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        events = []
        for line in lines:
            if line:
                self._line(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        self._keep(unfinished)
        return events

    @property
    def is_idle(self) -> bool:
        """Whether the last byte taken ended an event, or nothing came yet."""
        return not (self._pending or self._data or self._event)

    def close(self) -> list[Event]:
        """The stream ended. A last event without its blank line counts if its data is whole: JSON, or `[DONE]`."""
        line = b"".join(self._pieces)
        self._pieces, self._pending = [], 0
        if self._at_start:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line:
            self._line(line)
        event = self._dispatch()
        if event is None:
            return []
        if event.data.strip() == "[DONE]" or _is_json(event.data):
            return [event]
        self.truncated = True
        return []

    def _keep(self, piece: bytes) -> None:
        if not piece:
            return
        self._pieces.append(piece)
        self._pending += len(piece)
        self._cap(self._pending)

    def _line(self, line: bytes) -> None:
        self._cap(len(line))
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_bytes += len(value) + 1
            self._cap(self._data_bytes)
        elif name == b"event":
            self._event = value.removeprefix(b" ").decode("utf-8", "replace")
        elif not name:
            self.comments += 1

    def _dispatch(self) -> Event | None:
        if not self._data:
            self._event = None
            return None
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        event = Event(self._event, data.decode("utf-8", "replace"))
        self._event, self._data, self._data_bytes = None, [], 0
        return event

    def _cap(self, size: int) -> None:
        if size > MAX_LINE_BYTES:
            raise Garbled("line_too_long", f"a line of the stream is longer than {MAX_LINE_BYTES} bytes")


def _is_json(data: str) -> bool:
    try:
        json.loads(data)  # as lenient as whoever reads the event: NaN and half a surrogate pair are let pass
    except (ValueError, RecursionError):
        return False
    return True
