"""Connected sockets that date each read as it happens, however late the reader comes for the bytes."""

import asyncio
import concurrent.futures.thread  # noqa: F401  # these two are loaded by the first look-up of a name otherwise,
import encodings.idna  # noqa: F401  # and would count as connecting
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from providers import addresses
from providers.arrivals import Arrival, dated_reads

_READ_BYTES = 1 << 16
_PAUSE_BYTES = 1 << 16  # unread bytes at which we stop reading, so that a flood stays in the peer's buffers

T = TypeVar("T")


class SocketFailed(Exception):
    """A socket could not be had, or broke; the text is the system's reason, without addresses.

    `arrival` is when a connection broke, None otherwise.
    """

    arrival: Arrival | None = None


class Wire:
    """One TCP connection on the running event loop.

    Reads happen in the loop's callback, as soon as the socket is readable, and queue with their arrival until `receive`
    takes them. `kernel_stamps` off has them dated at the socket even where the kernel could.
    """

    def __init__(self, connected: socket.socket, *, kernel_stamps: bool = True) -> None:
        self.socket = connected
        self._reads = dated_reads(connected, kernel=kernel_stamps)
        self._loop = asyncio.get_running_loop()
        self._received: deque[tuple[Arrival, bytes]] = deque()
        self._unread = 0
        self._reading = False
        self._ended = False
        self._failure: SocketFailed | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._resume()

    @property
    def is_readable(self) -> bool:
        """Whether bytes, the end or an error are there: on an idle connection, a sign that the peer has left."""
        return bool(self._received) or self._ended

    async def receive(self, max_bytes: int) -> tuple[Arrival, bytes]:
        """The next bytes and when they arrived; no bytes is the end of the stream. Raises SocketFailed."""
        while not self._received:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return self._reads.now(), b""
            self._waiting = self._loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        arrival, data = self._received.popleft()
        if len(data) > max_bytes:
            self._received.appendleft((arrival, data[max_bytes:]))
            data = data[:max_bytes]
        self._unread -= len(data)
        if self._unread < _PAUSE_BYTES:
            self._resume()
        return arrival, data

    async def send(self, data: bytes) -> tuple[int, int]:
        """Write all of `data`; return when its last byte was handed over, and when that was done. Raises SocketFailed."""
        left = memoryview(data)
        began = time.monotonic_ns()
        while left:
            try:
                began = time.monotonic_ns()
                left = left[self.socket.send(left) :]
            except (BlockingIOError, InterruptedError):
                await self._writable()
            except OSError as error:
                raise SocketFailed(reason(error)) from None
        return began, time.monotonic_ns()

    def close(self) -> None:
        """Close at once; what was not read is lost."""
        self._pause()
        self._ended = True
        self.socket.close()
        self._wake()

    def _on_readable(self) -> None:
        try:
            arrival, data = self._reads.read(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._failure = SocketFailed(reason(error))
            self._failure.arrival = self._reads.now()
            self._ended = True
        else:
            self._received.append((arrival, data))
            self._unread += len(data)
            self._ended = not data
        if self._ended or self._unread >= _PAUSE_BYTES:
            self._pause()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _resume(self) -> None:
        if not self._reading and not self._ended:
            self._loop.add_reader(self.socket, self._on_readable)
            self._reading = True

    def _pause(self) -> None:
        if self._reading:
            self._loop.remove_reader(self.socket)
            self._reading = False

    async def _writable(self) -> None:
        writable = self._loop.create_future()

        def set_writable() -> None:
            if not writable.done():
                writable.set_result(None)

        self._loop.add_writer(self.socket, set_writable)
        try:
            await writable
        finally:
            self._loop.remove_writer(self.socket)


async def within(seconds: float | None, work: Coroutine[None, None, T]) -> T:
    """Await `work` for at most `seconds`, None being without limit; TimeoutError."""
    if seconds is None:
        return await work
    async with asyncio.timeout(seconds):
        return await work


async def connect(
    host: str,
    port: int,
    enter: Callable[[str], None],
    *,
    kernel_stamps: bool = True,
    is_private_allowed: bool = False,
) -> Wire:
    """Connect to the first address of `host` that answers; `enter` is told of the phases dns and connect, and of
    address if none of those that were found may be connected to.

    Addresses are tried one after another, and only those that the host may have (see `addresses`): a name is not asked for
    a second time between the check and the connection. Raises SocketFailed with the last one's reason.
    """
    loop = asyncio.get_running_loop()
    enter("dns")
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SocketFailed(reason(error)) from None
    enter("connect")
    try:
        found = addresses.permitted(host, found, is_private_allowed=is_private_allowed)
    except addresses.NotPermitted as error:
        enter("address")
        raise SocketFailed(str(error)) from None
    why = "the name has no address"
    for family, kind, protocol, _, address in found:
        try:
            await _connect(sock := socket.socket(family, kind, protocol), address)
            return Wire(sock, kernel_stamps=kernel_stamps)
        except OSError as error:
            why = reason(error)
    raise SocketFailed(why)


async def _connect(sock: socket.socket, address: Any) -> None:
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise


def reason(error: Exception) -> str:
    """The system's words for an error; never an address, which asyncio puts into its own texts."""
    if isinstance(error, socket.gaierror):
        return error.strerror or "the name was not found"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return "the name is malformed" if isinstance(error, UnicodeError) else type(error).__name__
