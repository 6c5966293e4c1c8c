"""HTTP/1.1 on one connection, by h11, in such a way that each byte of an answer keeps the arrival of its read."""

import re
import time
from dataclasses import dataclass, field

import h11
import httpx

from providers.arrivals import Arrival
from providers.sockets import Piece, SocketFailed, Wire, within

_MAX_HEAD_BYTES = 100 << 10
_CHUNK_HEAD = re.compile(rb"0*([1-9A-Fa-f][0-9A-Fa-f]{0,7})\r\n")  # of any chunk but the last
_LAST_CHUNK = b"0\r\n\r\n"  # how a message in chunks ends, as a rule: a hint, by which the end is seen at once


@dataclass(slots=True)
class Marks:
    """Stamps of one request in nanoseconds of `time.monotonic_ns`; None until it happened.

    `connect_*` stay None on a warm connection. The last byte of the request was handed over at `last_write_ns` and taken
    by `written_ns`. `headers` and `message_end` are the arrivals of what completed the response's headers and the whole
    message, `read` that of what was looked at last. `pieces` are the body's bytes handed out last, read by read. `phase`
    is what was being done: queue, dns, address, connect, tls, exchange.

    A caller who can wait sets `patience_s`: the body then comes in batches, of so many seconds at most, which costs a
    fraction; the arrivals stay what they are. `wire` is the connection meanwhile.
    """

    phase: str = "queue"
    connect_start_ns: int | None = None
    connect_end_ns: int | None = None
    first_write_ns: int | None = None
    last_write_ns: int | None = None
    written_ns: int | None = None
    headers: Arrival | None = None
    message_end: Arrival | None = None
    read: Arrival | None = None
    pieces: list[Piece] = field(default_factory=list)
    peer_closed: bool = False
    patience_s: float = 0.0
    wire: Wire | None = None

    def enter(self, phase: str) -> None:
        """Something else is done now."""
        self.phase = phase


class Connection:
    """One connection to `origin` (scheme, host, port), which takes one request after another.

    All methods raise what they meet: SocketFailed, h11.ProtocolError, and TimeoutError after `timeout_s`.
    """

    def __init__(self, origin: tuple[str, str, int], wire: Wire) -> None:
        self.origin = origin
        self.wire = wire
        self.idle_since = time.monotonic()
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._unfed: list[Piece] = []  # reads that h11 has not seen, the earliest last
        self._failure: h11.ProtocolError | None = None
        self._is_between_chunks = False
        self._is_broken = False

    async def send(self, request: httpx.Request, marks: Marks, timeout_s: float | None) -> None:
        """Write the whole request at once."""
        assert isinstance(request.stream, httpx.AsyncByteStream)
        marks.first_write_ns = time.monotonic_ns()
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        events = [head, *[h11.Data(part) async for part in request.stream], h11.EndOfMessage()]
        data = b"".join(self._h11.send(event) or b"" for event in events)
        marks.wire = self.wire
        marks.enter("exchange")
        try:
            written = await within(timeout_s, self.wire.send(data))
        except SocketFailed:
            self._is_broken = True  # the peer does not read on; perhaps because it has answered already
        else:
            marks.last_write_ns, marks.written_ns = written

    async def head(self, marks: Marks, timeout_s: float | None) -> h11.Response:
        """Status and headers of the answer."""
        while not isinstance(event := self._h11.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                if not self._unfed:
                    await self._receive(timeout_s)
                self._feed(marks)
        marks.headers = marks.read
        return event

    async def body(self, marks: Marks, timeout_s: float | None) -> list[Piece]:
        """The next bytes of the answer, each with the arrival of the read that brought the last of them; none at its end."""
        while True:
            if self._failure is not None:
                raise self._failure
            if marks.message_end is not None:
                return []
            if pieces := self._decode(marks):
                return pieces
            if self._failure is None and marks.message_end is None:
                await self._receive(timeout_s, marks.patience_s)

    def is_usable_again(self) -> bool:
        """Whether all was said on either side, so that another request may follow; then it may."""
        said_all = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        is_silent = not (self._unfed or self.wire.is_readable) and self._h11.trailing_data == (b"", False)
        if not (said_all and is_silent) or self._is_broken:
            return False
        self._h11.start_next_cycle()
        self.idle_since = time.monotonic()
        return True

    def close(self) -> None:
        self.wire.close()

    async def _receive(self, timeout_s: float | None, patience_s: float = 0.0) -> None:
        self._unfed = await within(timeout_s, self.wire.receive(patience_s, _LAST_CHUNK))
        self._unfed.reverse()

    def _feed(self, marks: Marks) -> None:
        self._is_between_chunks = False
        marks.read, data = self._unfed.pop()
        marks.peer_closed = not data
        self._h11.receive_data(data)

    def _decode(self, marks: Marks) -> list[Piece]:
        """What the reads at hand hold of the body. A failure among them comes after what came before it."""
        pieces: list[Piece] = []
        try:
            while True:
                if self._is_between_chunks:
                    self._skip_h11(marks, pieces)
                parts: list[bytes] = []  # of the read that was fed last
                is_chunk_over = False
                while type(event := self._h11.next_event()) is h11.Data:
                    parts.append(event.data)
                    is_chunk_over = event.chunk_end
                if parts:
                    assert marks.read is not None
                    pieces.append((marks.read, b"".join(parts)))
                    self._is_between_chunks = is_chunk_over and not self._h11.trailing_data[0]
                if event is not h11.NEED_DATA:
                    marks.message_end = marks.read
                    return pieces
                if not self._unfed:
                    return pieces
                self._feed(marks)
        except h11.ProtocolError as error:
            self._failure = error
            return pieces

    def _skip_h11(self, marks: Marks, pieces: list[Piece]) -> None:
        """Take reads that are nothing but whole chunks without it: from one chunk to the next there is no state to keep."""
        while self._unfed and (body := whole_chunks(self._unfed[-1][1])):
            marks.read, _ = self._unfed.pop()
            pieces.append((marks.read, body))


def whole_chunks(data: bytes) -> bytes | None:
    """What is in one or more whole chunks of the plainest form (RFC 9112, 7.1); None of anything else."""
    parts = []
    at = 0
    while (head := _CHUNK_HEAD.match(data, at)) is not None:
        start = head.end()
        at = start + int(head[1], 16)
        parts.append(data[start:at])
        if data[at : at + 2] != b"\r\n":
            return None
        at += 2
    return b"".join(parts) if at == len(data) else None
