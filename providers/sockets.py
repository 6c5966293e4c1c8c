"""Connected sockets that stamp each read as it happens, however late the reader comes for the bytes."""

import asyncio
import concurrent.futures.thread  # noqa: F401  # these two are loaded by the first look-up of a name otherwise,
import encodings.idna  # noqa: F401  # and would count as connecting
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_READ_BYTES = 1 << 16
_PAUSE_BYTES = 1 << 16  # unread bytes at which we stop reading, so that a flood stays in the peer's buffers

T = TypeVar("T")


class SocketFailed(Exception):
    """A socket could not be had, or broke; the text is the system's reason, without addresses.

    `stamp` is when a connection broke, None otherwise.
    """

    stamp: int | None = None


class Wire:
    """One TCP connection on the running event loop.

    Reads happen in the loop's callback, as soon as the socket is readable, and queue with their stamp
    (`time.monotonic_ns`, taken when `recv` returned, so never before the bytes had come) until `receive` takes them.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._loop = asyncio.get_running_loop()
        self._received: deque[tuple[int, bytes]] = deque()
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

    async def receive(self, max_bytes: int) -> tuple[int, bytes]:
        """The next bytes and when they arrived; no bytes is the end of the stream. Raises SocketFailed."""
        while not self._received:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return time.monotonic_ns(), b""
            self._waiting = self._loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        stamp, data = self._received.popleft()
        if len(data) > max_bytes:
            self._received.appendleft((stamp, data[max_bytes:]))
            data = data[:max_bytes]
        self._unread -= len(data)
        if self._unread < _PAUSE_BYTES:
            self._resume()
        return stamp, data

    async def send(self, data: bytes) -> int:
        """Write all of `data`; return when the last byte was taken. Raises SocketFailed."""
        left = memoryview(data)
        while left:
            try:
                left = left[self.socket.send(left) :]
            except (BlockingIOError, InterruptedError):
                await self._writable()
            except OSError as error:
                raise SocketFailed(reason(error)) from None
        return time.monotonic_ns()

    def close(self) -> None:
        """Close at once; what was not read is lost."""
        self._pause()
        self._ended = True
        self.socket.close()
        self._wake()

    def _on_readable(self) -> None:
        try:
            data = self.socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._failure = SocketFailed(reason(error))
            self._failure.stamp = time.monotonic_ns()
            self._ended = True
        else:
            self._received.append((time.monotonic_ns(), data))
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
    """Await `work` for at most `seconds`; TimeoutError."""
    async with asyncio.timeout(seconds):
        return await work


async def connect(host: str, port: int, enter: Callable[[str], None]) -> Wire:
    """Connect to the first address of `host` that answers; `enter` is told of the phases dns and connect.

    Addresses are tried one after another. Raises SocketFailed with the last one's reason.
    """
    loop = asyncio.get_running_loop()
    enter("dns")
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SocketFailed(reason(error)) from None
    enter("connect")
    why = "the name has no address"
    for family, kind, protocol, _, address in found:
        try:
            return await _connect(socket.socket(family, kind, protocol), address)
        except OSError as error:
            why = reason(error)
    raise SocketFailed(why)


async def _connect(sock: socket.socket, address: Any) -> Wire:
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return Wire(sock)


def reason(error: Exception) -> str:
    """The system's words for an error; never an address, which asyncio puts into its own texts."""
    if isinstance(error, socket.gaierror):
        return error.strerror or "the name was not found"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return "the name is malformed" if isinstance(error, UnicodeError) else type(error).__name__
