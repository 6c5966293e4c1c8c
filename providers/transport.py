# ruff: noqa: ASYNC109  # httpcore's interface hands timeouts down as arguments
"""The way to a provider: httpx over an httpcore pool, on sockets of our own that stamp what passes.

The stamps are taken where the bytes are: by the kernel when they arrive (see `arrivals`), and around the `send` that took
the last byte of a request. Half of what a client library adds to a latency lies above that point.

`open_client` gives an ordinary `httpx.AsyncClient`; its requests raise `WireError` instead of httpx's network errors.
A caller who wants the stamps passes a `Marks` as `extensions={"marks": marks}`.
"""

import functools
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

import anyio.lowlevel
import httpcore
import httpx

from providers.arrivals import Arrival
from providers.errors import ConnectFailed, Garbled, Stalled, WireError
from providers.records import ProviderSpec
from providers.sockets import SocketFailed, Wire, connect, within

KEEPALIVE_S = 30.0  # longer than between two requests of a run, shorter than most servers wait
OTHER_TIMEOUT_S = 30.0  # of requests that bring no deadline of their own: the models endpoint


@dataclass(slots=True)
class Marks:
    """Stamps of one request in nanoseconds of `time.monotonic_ns`; None until it happened.

    `connect_*` stay None on a warm connection. The last byte of the request was handed over at `last_write_ns` and taken
    by `written_ns`. `read` is the arrival of the bytes handed out last, `headers` of those that completed the response's
    headers. `phase` is what was being done: queue, dns, address, connect, tls, exchange.
    """

    phase: str = "queue"
    connect_start_ns: int | None = None
    connect_end_ns: int | None = None
    first_write_ns: int | None = None
    last_write_ns: int | None = None
    written_ns: int | None = None
    read: Arrival | None = None
    headers: Arrival | None = None
    peer_closed: bool = False


_MARKS: ContextVar[Marks] = ContextVar("marks")


class _AsHttpcore:
    """Lets httpcore see errors of its own kind, so that it keeps its pool in order. A class, because it is entered for
    each read, and a generator would cost more than the read.
    """

    def __init__(self, timed_out: type[httpcore.TimeoutException], failed: type[httpcore.NetworkError]) -> None:
        self._timed_out, self._failed = timed_out, failed

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        match error:
            case TimeoutError():
                raise self._timed_out from None
            case ssl.SSLError():
                raise self._failed(_tls_reason(error)) from None
            case SocketFailed():
                raise self._failed(str(error)) from None


_AS_READ = _AsHttpcore(httpcore.ReadTimeout, httpcore.ReadError)
_AS_WRITE = _AsHttpcore(httpcore.WriteTimeout, httpcore.WriteError)
_AS_CONNECT = _AsHttpcore(httpcore.ConnectTimeout, httpcore.ConnectError)


class _Stream(httpcore.AsyncNetworkStream):
    """One connection, with TLS or without; each write binds it to the request that is under way."""

    def __init__(self, wire: Wire, marks: Marks) -> None:
        self._wire = wire
        self._marks = marks
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _AS_READ:
            if timeout is None:
                return await self._read(max_bytes)
            return await within(timeout, self._read(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        self._marks = marks = _MARKS.get()
        marks.phase = "exchange"
        if marks.first_write_ns is None:
            marks.first_write_ns = time.monotonic_ns()
        with _AS_WRITE:
            if self._tls is not None:
                self._tls.write(buffer)
                buffer = self._outgoing.read()
            marks.last_write_ns, marks.written_ns = await within(timeout, self._wire.send(buffer))

    async def aclose(self) -> None:
        self._wire.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        self._marks.phase = "tls"
        try:
            with _AS_CONNECT:
                self._tls = ssl_context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
                await within(timeout, self._handshake(self._tls))
        except BaseException:
            self._wire.close()
            raise
        self._marks.connect_end_ns = time.monotonic_ns()
        return self

    def get_extra_info(self, info: str) -> object:
        match info:
            case "ssl_object":
                return self._tls
            case "is_readable":
                return self._wire.is_readable
            case "socket":
                return self._wire.socket
            case "client_addr":
                return self._wire.socket.getsockname()
            case "server_addr":
                return self._wire.socket.getpeername()
        return None

    async def _read(self, max_bytes: int) -> bytes:
        if self._tls is None:
            return await self._receive(max_bytes)
        while True:
            try:
                # Decrypted bytes that are left over arrived with the last read: its stamp stands.
                data = self._tls.read(max_bytes)
            except ssl.SSLWantReadError:
                await self._receive(max_bytes)
                continue
            except ssl.SSLEOFError:  # closed without TLS's own goodbye: for HTTP to judge
                data = b""
            self._marks.peer_closed = not data
            return data

    async def _receive(self, max_bytes: int) -> bytes:
        try:
            self._marks.read, data = await self._wire.receive(max_bytes)
        except SocketFailed as broken:
            self._marks.read = broken.arrival
            raise
        if not data:
            self._marks.peer_closed = True
        if self._tls is not None:
            self._incoming.write(data) if data else self._incoming.write_eof()
        return data

    async def _handshake(self, tls: ssl.SSLObject) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._wire.send(self._outgoing.read())
                await self._receive(1 << 16)
            except ssl.SSLError:
                await self._wire.send(self._outgoing.read())  # the alert that says why we leave
                raise
            else:
                await self._wire.send(self._outgoing.read())
                return


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, *, kernel_stamps: bool, is_private_allowed: bool) -> None:
        self._kernel_stamps = kernel_stamps
        self._is_private_allowed = is_private_allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002  # httpcore's interface
        socket_options: object = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        marks = _MARKS.get()
        marks.connect_start_ns = time.monotonic_ns()

        def enter(phase: str) -> None:
            marks.phase = phase

        with _AS_CONNECT:
            connecting = connect(
                host, port, enter, kernel_stamps=self._kernel_stamps, is_private_allowed=self._is_private_allowed
            )
            wire = await within(timeout, connecting)
        marks.connect_end_ns = time.monotonic_ns()
        return _Stream(wire, marks)


class _Transport(httpx.AsyncBaseTransport):
    """httpx's seam: a request in, a response out, errors as WireError."""

    def __init__(
        self, verify: ssl.SSLContext | bool, connections: int, *, kernel_stamps: bool, is_private_allowed: bool
    ) -> None:
        context = verify if isinstance(verify, ssl.SSLContext) else _ssl_context(verify)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=_Backend(kernel_stamps=kernel_stamps, is_private_allowed=is_private_allowed),
        )

    async def __aenter__(self) -> Self:
        # httpcore's locks load anyio's event loop when they are first used: a tenth of a second, which the first
        # request would report as our waiting.
        await anyio.lowlevel.checkpoint()
        return self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        given = request.extensions.get("marks")
        marks = given if isinstance(given, Marks) else Marks()
        url = request.url
        assert isinstance(request.stream, httpx.AsyncByteStream)
        core_request = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        token = _MARKS.set(marks)
        try:
            with _as_wire_errors(marks):
                response = await self._pool.handle_async_request(core_request)
        finally:
            _MARKS.reset(token)
        marks.headers = marks.read
        return httpx.Response(
            response.status,
            # A cookie would pin later requests to one machine of the provider: what is measured is what a stranger gets.
            headers=[(name, value) for name, value in response.headers if name.lower() != b"set-cookie"],
            stream=_Body(response, marks),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response, marks: Marks) -> None:
        self._response = response
        self._marks = marks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_wire_errors(self._marks):
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


def open_client(
    spec: ProviderSpec, *, verify: ssl.SSLContext | bool = True, connections: int = 10, kernel_stamps: bool = True
) -> httpx.AsyncClient:
    """A client for one provider: a small pool of stamped connections.

    It never follows a redirect (a key would go along), reads nothing from the environment, asks for unencoded answers
    and keeps no cookies between requests. `connections` is the most it opens at once: a request beyond that queues,
    which counts as our own waiting. `verify` is False or an SSLContext only where somebody said so. Without
    `kernel_stamps` arrivals are dated at the socket read, as they are where the system has no such stamps.
    """
    return httpx.AsyncClient(
        transport=_Transport(
            verify, connections, kernel_stamps=kernel_stamps, is_private_allowed=spec.is_private_allowed
        ),
        base_url=spec.base_url,
        headers={"Accept-Encoding": "identity", "User-Agent": "scorehouse"},
        follow_redirects=False,
        trust_env=False,
        timeout=OTHER_TIMEOUT_S,
    )


@functools.cache
def _ssl_context(verify: bool) -> ssl.SSLContext:
    return httpx.create_ssl_context(verify=verify, trust_env=False)


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "TLS failed").replace("_", " ").lower()


@contextmanager
def _as_wire_errors(marks: Marks) -> Iterator[None]:
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise _wire_error(error, marks) from None
    except httpcore.UnsupportedProtocol:
        raise ConnectFailed("connect", "the base URL is neither http nor https") from None


def _wire_error(error: Exception, marks: Marks) -> WireError:
    """Our word for an httpcore error, by what was being done when it happened."""
    if isinstance(error, httpcore.LocalProtocolError):
        return Garbled("malformed", "the request is no valid HTTP")  # its text would hold the header, perhaps a key
    reason = str(error)
    if marks.phase in {"dns", "address", "connect", "tls"}:
        late = isinstance(error, httpcore.TimeoutException)
        return ConnectFailed(marks.phase, "no connection in time" if late else reason)
    if isinstance(error, httpcore.TimeoutException):
        kind = "timeout_first_byte" if marks.headers is None else "timeout_idle"
        return Stalled(kind, "no answer in time")
    if isinstance(error, httpcore.NetworkError):
        return WireError("disconnected", reason or "the connection broke")
    if marks.peer_closed:
        return WireError("disconnected", "the connection was closed before the answer was complete")
    return Garbled("malformed", f"no valid HTTP: {reason}")
