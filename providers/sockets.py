"""Connected sockets that date each read as it happens, however late the reader comes for the bytes."""

import asyncio
import concurrent.futures.thread  # noqa: F401  # these two are loaded by the first look-up of a name otherwise,
import encodings.idna  # noqa: F401  # and would count as connecting
import os
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from providers import addresses, tls
from providers.arrivals import Arrival, dated_reads

_READ_BYTES = 1 << 16
_PAUSE_BYTES = 1 << 16  # unread bytes at which we stop reading, so that a flood stays in the peer's buffers

T = TypeVar("T")
Piece = tuple[Arrival, bytes]  # what one read brought, and when it arrived; no bytes is the end of the stream


class SocketFailed(Exception):
    """A socket could not be had, or broke; the text is the system's reason, without addresses.

    `arrival` is when a connection broke, None otherwise.
    """

    arrival: Arrival | None = None


class _Turns:
    """Calls one reader in each turn of the event loop. Between two of them the loop reads whatever has come on any
    connection: with many readers in one turn, the kernel would merge what comes meanwhile.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Callable[[], None]] = deque()

    def ask(self, call: Callable[[], None]) -> None:
        """Have `call` called when it is its turn."""
        self._queue.append(call)
        if len(self._queue) == 1:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._queue.popleft()()
        if self._queue:
            self._loop.call_soon(self._next)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


class Wire:
    """One TCP connection on the running event loop, with TLS once `secure` was called.

    Reads happen in the loop's callback, as soon as the socket is readable, and queue with their arrival until `receive`
    takes them. `heard_ns` is the last arrival (None before the first). `kernel_stamps` off has reads dated at the socket
    even where the kernel could.
    """

    def __init__(self, connected: socket.socket, *, kernel_stamps: bool = True) -> None:
        self.socket = connected
        self.heard_ns: int | None = None
        self._reads = dated_reads(connected, kernel=kernel_stamps)
        self._tls: tls.Tls | None = None
        self._loop = asyncio.get_running_loop()
        self._pieces: list[Piece] = []
        self._unread = 0
        self._reading = False
        self._ended = False
        self._failure: SocketFailed | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._patience_s = 0.0
        self._last = b""
        self._timer: asyncio.TimerHandle | None = None
        self._is_called = False
        self._turns = _turns.setdefault(self._loop, _Turns())
        self._resume()

    @property
    def is_readable(self) -> bool:
        """Whether bytes, the end or an error are there: on an idle connection, a sign that the peer has left."""
        return bool(self._pieces) or self._ended

    async def receive(self, patience_s: float = 0.0, last: bytes = b"") -> list[Piece]:
        """All that came since, read by read. Raises SocketFailed.

        It waits for a first read and, if there is none yet, so long after it for more: who comes seldom saves what each
        coming costs. Nobody is waited for after bytes that end with `last`, nor after the end of the stream, nor with
        64 KiB unread, nor after `hurry`.
        """
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return [(self._reads.now(), b"")]
            self._patience_s, self._last = patience_s, last
            self._waiting = self._loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
                self._calm()
        pieces, self._pieces, self._unread = self._pieces, [], 0
        self._resume()
        return pieces

    def hurry(self) -> None:
        """Hand out what is there, without patience."""
        if self._waiting is not None and not self._waiting.done() and self.is_readable:
            self._waiting.set_result(None)

    async def send(self, data: bytes) -> tuple[int, int]:
        """Write all of `data`; return when its last byte was handed over, and when that was done. Raises SocketFailed."""
        if self._tls is not None:
            try:
                data = self._tls.encrypt(data)
            except ssl.SSLError as error:
                raise SocketFailed(reason(error)) from None
        return await self._write(data)

    async def secure(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Shake hands; all from here on is encrypted. Raises SocketFailed."""
        shaking = tls.Tls(context, server_hostname)
        try:
            while not shaking.handshake():
                await self._write(shaking.outgoing.read())
                for _, data in await self.receive():
                    shaking.feed(data)
        except ssl.SSLError as error:
            await self._write(shaking.outgoing.read())  # the alert that says why we leave
            raise SocketFailed(tls.reason(error)) from None
        self._tls = shaking  # before anything else can be read
        await self._write(shaking.outgoing.read())

    def close(self) -> None:
        """Close at once; what was not read is lost."""
        self._pause()
        self._ended = True
        self.socket.close()
        self.hurry()

    def _on_readable(self) -> None:
        try:
            arrival, data = self._reads.read(_READ_BYTES)
            self._ended = not data
            if self._tls is not None:
                data, self._ended = self._tls.decrypt(data)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:  # of TLS too
            self._failure = SocketFailed(reason(error))
            self._failure.arrival = self._reads.now()
            self._ended, data = True, b""
        else:
            self.heard_ns = arrival.ns
            if data or self._ended:
                self._pieces.append((arrival, data))
                self._unread += len(data)
        if is_full := self._ended or self._unread >= _PAUSE_BYTES:
            self._pause()
        if self._waiting is not None and not self._is_called:
            self._announce(is_urgent=is_full or (self._last != b"" and data.endswith(self._last)))

    def _announce(self, *, is_urgent: bool) -> None:
        """Something is there for the reader that waits."""
        if self._patience_s == 0:
            self.hurry()
        elif is_urgent:
            self._call()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._patience_s, self._call)

    def _call(self) -> None:
        """Call the reader when it is its turn."""
        self._calm()
        self._is_called = True
        self._turns.ask(self.hurry)

    def _calm(self) -> None:
        self._is_called = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _resume(self) -> None:
        if not self._reading and not self._ended:
            self._loop.add_reader(self.socket, self._on_readable)
            self._reading = True

    def _pause(self) -> None:
        if self._reading:
            self._loop.remove_reader(self.socket)
            self._reading = False

    async def _write(self, data: bytes) -> tuple[int, int]:
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
    match error:
        case ssl.SSLError():
            return tls.reason(error)
        case socket.gaierror():
            return error.strerror or "the name was not found"
        case OSError(errno=int(number)):
            return os.strerror(number)
        case UnicodeError():
            return "the name is malformed"
    return type(error).__name__
