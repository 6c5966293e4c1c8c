"""When bytes arrived: each read of a connection, dated by the kernel where it can, else by the clock after the read.

A kernel stamp does not depend on how late our event loop was. It is of the wall clock, and it is the stamp of the last
segment that a read took; so it counts only after these doubts:

- *The wall clock was set.* Its distance to the monotonic clock is bounded around each read. It is constant until somebody
  sets the wall clock; then that one read is dated by the socket.
- *It is impossible*: later than the read, earlier than the arrival before, or earlier than a read that found nothing more.
  Then the socket dates it.
- *Segments came out of order.* Then the last in sequence was not the last to arrive: the socket dates it.
- *Several segments were merged.* What they carried came after the stamp before, and up to this one: the arrival is that
  interval, but for the last byte, which came at the stamp. The kernel's counters of segments and bytes tell; when they
  cannot, it is taken for merged.
"""

import socket
import struct
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, Self

Look = Callable[[], tuple[int, int, int]]  # the monotonic clock, the wall clock, the monotonic clock, in nanoseconds

_SO_TIMESTAMPNS = 35  # Linux; Python has no name for it
_ANCILLARY_BYTES = 64
_TIMESPEC = struct.Struct("@ll")
_TCP_INFO = struct.Struct("=128xQ16xI68xI")  # bytes_received, data_segs_in, rcv_ooopack: all there since Linux 5.4
_SLACK_NS = 1_000  # by which two looks at a clock that nobody set may disagree


class Arrival(NamedTuple):
    """When the bytes of a read arrived: after `since_ns`, at `ns` at the latest, both of `time.monotonic_ns`.

    The last of them came after `last_since_ns`. A kernel stamp is that byte's, so that `last_since_ns` is `ns` but for the
    error of the clock; `since_ns` too, where the bytes are known to have come in one segment.
    """

    ns: int
    since_ns: int
    last_since_ns: int
    source: Literal["kernel", "socket"]

    def of_last_byte(self) -> Self:
        """The arrival of what ended with the read."""
        return self._replace(since_ns=self.last_since_ns)


def look_at_clocks() -> tuple[int, int, int]:
    """The wall clock between two readings of the monotonic one."""
    return time.monotonic_ns(), time.time_ns(), time.monotonic_ns()


class WallClock:
    """The bounds of what is to be added to a wall clock stamp to make it a monotonic one."""

    def __init__(self, look: Look = look_at_clocks) -> None:
        self._look = look
        before, wall, after = look()
        self.low, self.high = before - wall, after - wall
        self.is_steady()  # the first look may have been interrupted

    def is_steady(self) -> bool:
        """Look again. Whether the bounds still hold, and so for all between the two looks; each look narrows them.

        When somebody set the wall clock meanwhile they do not: they are begun anew.
        """
        before, wall, after = self._look()
        low, high = before - wall, after - wall
        if low > self.high + _SLACK_NS or high < self.low - _SLACK_NS:
            self.low, self.high = low, high
            return False
        # Comparisons: for each token of each stream, min and max would cost as much as the system's part of a read.
        if low > self.low:  # noqa: PLR1730
            self.low = low
        if high < self.high:  # noqa: PLR1730
            self.high = high
        if self.high < self.low:  # noqa: PLR1730
            self.high = self.low
        return True


class SocketReads:
    """The reads of one connection, dated when `recv` returned.

    Bytes came after the last read that found nothing more: the loop may have been late by that much.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._ns = self._since_ns = self._empty_ns = time.monotonic_ns()  # the last arrival; what bounds the next one

    def read(self, size: int) -> tuple[Arrival, bytes]:
        """At most `size` bytes and their arrival. Raises OSError as `recv` does."""
        began = time.monotonic_ns()
        data = self._socket.recv(size)
        arrival = self._by_socket()
        if len(data) < size:
            self._since_ns = began
        return arrival, data

    def now(self) -> Arrival:
        """The arrival of what is no bytes: a failure, or the end once more."""
        return self._by_socket()

    def _by_socket(self) -> Arrival:
        self._ns = time.monotonic_ns()
        return Arrival(self._ns, self._since_ns, self._since_ns, "socket")


class KernelReads(SocketReads):
    """The reads of one TCP connection, dated by the kernel: see the module for when not.

    The socket must hand out stamps (`SO_TIMESTAMPNS`) and counters (`TCP_INFO`); `dated_reads` sees to it.
    """

    def __init__(self, connected: socket.socket, look: Look) -> None:
        super().__init__(connected)
        self._clock = WallClock(look)
        self._taken = 0
        self._segments: int | None = 0  # that brought what was taken; None when the counters ran ahead of us
        self._disordered = 0

    def read(self, size: int) -> tuple[Arrival, bytes]:
        began = time.monotonic_ns()
        data, ancillary, _, _ = self._socket.recvmsg(size, _ANCILLARY_BYTES)
        returned = time.monotonic_ns()
        self._taken += len(data)
        steady = self._clock.is_steady()
        single, ordered = self._count()
        stamp = _stamp(ancillary) if steady and ordered else None
        arrival = None if stamp is None else self._by_kernel(stamp, returned, single=single)
        if arrival is None:
            arrival = self._by_socket()
            if len(data) < size:
                self._since_ns = began
        if len(data) < size:
            self._empty_ns = began
        return arrival, data

    def _by_kernel(self, stamp: int, returned: int, *, single: bool) -> Arrival | None:
        """The arrival by a stamp of the wall clock; None if it is impossible."""
        earliest, latest = stamp + self._clock.low, stamp + self._clock.high
        if latest > returned:  # noqa: PLR1730
            latest = returned
        if latest < self._ns or latest < self._empty_ns or earliest > returned:
            return None
        # Merged segments came after the last stamp. Not after the last read: what it just missed was stamped before it.
        since = earliest if single or earliest < self._since_ns else self._since_ns
        self._ns = self._since_ns = latest
        return Arrival(latest, since, earliest, "kernel")

    def _count(self) -> tuple[bool, bool]:
        """Whether the last read was of one segment, and whether its segments came in order."""
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        received, segments, disordered = _TCP_INFO.unpack(info)
        before, ordered = self._segments, disordered == self._disordered
        # More may have come between the read and the count: then neither this read's nor the next one's is known.
        self._segments, self._disordered = segments if received == self._taken else None, disordered
        return before is not None and self._segments == before + 1, ordered


def dated_reads(connected: socket.socket, *, kernel: bool = True, look: Look = look_at_clocks) -> SocketReads:
    """The reads of `connected`, dated by the kernel if it can and if `kernel` is set, else at the socket.

    `look` reads the two clocks.
    """
    if kernel and hasattr(socket, "TCP_INFO"):
        try:
            connected.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        except OSError:  # no TCP, or a system that only resembles Linux
            return SocketReads(connected)
        if len(info) == _TCP_INFO.size:
            return KernelReads(connected, look)
    return SocketReads(connected)


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, value in ancillary:
        if kind == _SO_TIMESTAMPNS and level == socket.SOL_SOCKET and len(value) == _TIMESPEC.size:
            seconds: int
            nanoseconds: int
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            return seconds * 1_000_000_000 + nanoseconds
    return None
