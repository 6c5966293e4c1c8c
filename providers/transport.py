"""The way to a provider: httpx, over connections of our own that know when each byte came.

The stamps are taken where the bytes are: by the kernel when they arrive (see `arrivals`), and around the `send` that took
the last byte of a request. Most of what a client library adds to a latency lies above that point.

`open_client` gives an ordinary `httpx.AsyncClient`; its requests raise `WireError` instead of httpx's network errors.
A caller who wants the stamps passes a `Marks` as `extensions={"marks": marks}`.
"""

import asyncio
import functools
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager

import h11
import httpx

from providers import tls
from providers.errors import ConnectFailed, Garbled, Stalled, WireError
from providers.http1 import Connection, Marks
from providers.records import ProviderSpec
from providers.sockets import SocketFailed, Wire, connect, within

__all__ = ["Marks", "open_client"]

KEEPALIVE_S = 30.0  # longer than between two requests of a run, shorter than most servers wait
OTHER_TIMEOUT_S = 30.0  # of requests that bring no deadline of their own: the models endpoint

_PORTS = {"http": 80, "https": 443}

_Dial = Callable[[str, int, Callable[[str], None]], Coroutine[None, None, Wire]]  # host, port, whom to tell of phases


class _Pool:
    """So many connections at most; who comes beyond that waits for one, in order."""

    def __init__(self, context: ssl.SSLContext, connections: int, dial: _Dial) -> None:
        context.set_alpn_protocols(["http/1.1"])
        self._context = context
        self._connections = connections
        self._dial = dial
        self._places = asyncio.Semaphore(connections)
        self._busy: set[Connection] = set()
        self._idle: list[Connection] = []

    async def take(self, url: httpx.URL, marks: Marks, timeouts: Mapping[str, float | None]) -> Connection:
        """A connection to where `url` points, to be given back."""
        if url.scheme not in _PORTS:
            raise ConnectFailed("connect", "the base URL is neither http nor https")
        origin = url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]
        await within(timeouts.get("pool"), self._places.acquire())
        try:
            connection = self._warm(origin)
            if connection is None:
                connection = await within(timeouts.get("connect"), self._connect(origin, marks))
        except BaseException:
            self._places.release()
            raise
        self._busy.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next request if it can take one."""
        if connection not in self._busy:
            return
        self._busy.remove(connection)
        self._places.release()
        if connection.is_usable_again():
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close all connections, busy or not."""
        for connection in (*self._busy, *self._idle):
            connection.close()
        self._idle.clear()

    def _warm(self, origin: tuple[str, str, int]) -> Connection | None:
        """The connection to `origin` that was used last, if it still stands."""
        latest = time.monotonic() - KEEPALIVE_S
        fallen = [idle for idle in self._idle if idle.wire.is_readable or idle.idle_since < latest]
        standing = [idle for idle in self._idle if idle not in fallen]
        found = next((idle for idle in reversed(standing) if idle.origin == origin), None)
        if found is not None:
            standing.remove(found)
        elif len(standing) + len(self._busy) >= self._connections:
            fallen.append(standing.pop(0))  # to somewhere else: it makes room
        self._idle = standing
        for idle in fallen:
            idle.close()
        return found

    async def _connect(self, origin: tuple[str, str, int], marks: Marks) -> Connection:
        scheme, host, port = origin
        marks.connect_start_ns = time.monotonic_ns()
        wire = await self._dial(host, port, marks.enter)
        if scheme == "https":
            marks.enter("tls")
            try:
                await wire.secure(self._context, host)
            except BaseException:
                wire.close()
                raise
        marks.connect_end_ns = time.monotonic_ns()
        return Connection(origin, wire)


class _Transport(httpx.AsyncBaseTransport):
    """httpx's seam: a request in, a response out, errors as WireError."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        given = request.extensions.get("marks")
        marks = given if isinstance(given, Marks) else Marks()
        timeouts: Mapping[str, float | None] = request.extensions.get("timeout", {})
        with _as_wire_errors(marks):
            connection = await self._pool.take(request.url, marks, timeouts)
            try:
                await connection.send(request, marks, timeouts.get("write"))
                head = await connection.head(marks, timeouts.get("read"))
            except BaseException:
                self._pool.give_back(connection)
                raise
        return httpx.Response(
            head.status_code,
            # A cookie would pin later requests to one machine of the provider: what is measured is what a stranger gets.
            headers=[(name, value) for name, value in head.headers if name != b"set-cookie"],
            stream=_Body(self._pool, connection, marks, timeouts.get("read")),
            extensions={"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason},
        )

    async def aclose(self) -> None:
        self._pool.close()


class _Body(httpx.AsyncByteStream):
    def __init__(self, pool: _Pool, connection: Connection, marks: Marks, timeout_s: float | None) -> None:
        self._pool, self._connection, self._marks, self._timeout_s = pool, connection, marks, timeout_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        marks = self._marks
        with _as_wire_errors(marks):
            while pieces := await self._connection.body(marks, self._timeout_s):
                marks.pieces = pieces
                yield b"".join([data for _, data in pieces])

    async def aclose(self) -> None:
        self._pool.give_back(self._connection)


def open_client(
    spec: ProviderSpec, *, verify: ssl.SSLContext | bool = True, connections: int = 10, kernel_stamps: bool = True
) -> httpx.AsyncClient:
    """A client for one provider: a small pool of stamped connections.

    It never follows a redirect (a key would go along), reads nothing from the environment, asks for unencoded answers
    and keeps no cookies between requests. `connections` is the most it opens at once: a request beyond that queues,
    which counts as our own waiting. `verify` is False or an SSLContext only where somebody said so. Without
    `kernel_stamps` arrivals are dated at the socket read, as they are where the system has no such stamps.
    """
    context = verify if isinstance(verify, ssl.SSLContext) else tls.default_context(verify)
    dial = functools.partial(connect, kernel_stamps=kernel_stamps, is_private_allowed=spec.is_private_allowed)
    return httpx.AsyncClient(
        transport=_Transport(_Pool(context, connections, dial)),
        base_url=spec.base_url,
        headers={"Accept-Encoding": "identity", "User-Agent": "scorehouse"},
        follow_redirects=False,
        trust_env=False,
        timeout=OTHER_TIMEOUT_S,
    )


@contextmanager
def _as_wire_errors(marks: Marks) -> Iterator[None]:
    try:
        yield
    except h11.LocalProtocolError:  # its text would hold the header, perhaps a key
        raise Garbled("malformed", "the request is no valid HTTP") from None
    except (SocketFailed, TimeoutError, h11.RemoteProtocolError) as error:
        raise _wire_error(error, marks) from None


def _wire_error(error: Exception, marks: Marks) -> WireError:
    """Our word for what happened, by what was being done."""
    reason = str(error)
    is_late = isinstance(error, TimeoutError)
    if marks.phase in {"dns", "address", "connect", "tls"}:
        return ConnectFailed(marks.phase, "no connection in time" if is_late else reason)
    if is_late:
        return Stalled("timeout_first_byte" if marks.headers is None else "timeout_idle", "no answer in time")
    if isinstance(error, SocketFailed):
        marks.read = error.arrival or marks.read
        return WireError("disconnected", reason or "the connection broke")
    if marks.peer_closed:
        return WireError("disconnected", "the connection was closed before the answer was complete")
    return Garbled("malformed", f"no valid HTTP: {reason}")
