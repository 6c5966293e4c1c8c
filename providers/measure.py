"""One request, measured.

t0 is the last byte of the request handed to the socket; arrivals are dated by the kernel where it can (see `arrivals`).
While an answer streams, its reads are dated and little else: they are decoded in batches, each event at the arrival of the
read that completed it, so that neither our own work nor our own lateness is in a figure.
Nothing is retried: a retried request has no honest latency. Whatever a provider or the network does ends in a `Measurement`.
"""

import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Literal, cast

import httpx

from providers.arrivals import Arrival
from providers.deadlines import Clock
from providers.dialects import DIALECTS
from providers.dialects.deltas import Delta, DialectModule, StreamDecoder
from providers.dialects.parameters import Wording, refused_parameter
from providers.errors import ConnectFailed, Garbled, Refused, Stalled, WireError
from providers.records import Deadlines, Measurement, Prompt, ProviderSpec
from providers.seen import Seen
from providers.sockets import Piece
from providers.sse import EventReader

MAX_RESPONSE_BYTES = 64 << 20
MAX_JSON_BYTES = 8 << 20  # of an answer that comes as one document: parsing multiplies it
MAX_ERROR_BYTES = 64 << 10
_DRAIN_S = 0.1  # after the terminator: for the end of the HTTP message, without which the connection is lost
_DRAIN_BYTES = 64 << 10
_PATIENCE_S = 0.05  # of a batch of a stream
_HEAD_BYTES = 4096  # of an answer, after which it must be clear what it is
_STREAM_FIELDS = (b"data:", b"event:")
_NOTHING = httpx.ByteStream(b"")


async def measure(
    client: httpx.AsyncClient,
    spec: ProviderSpec,
    model: str,
    prompt: Prompt,
    *,
    api_key: str | None,
    deadlines: Deadlines,
    request_id: str,
    wording: Wording | None = None,
    on_refused: Callable[[str], None] | None = None,
) -> Measurement:
    """Send `prompt` to `model` (its external id) and measure the stream that comes back.

    `request_id` goes along as `X-Request-ID`; `wording` says which parameters the model takes (None: as its id suggests), and
    `on_refused` is told the one that the request was refused for, if that is why it failed. Never raises for what a provider
    or a network does, and is over 250 ms after `deadlines.total_ms` at the latest. Cancelling it cancels the request.
    """
    key = api_key.strip() if api_key else None
    seen = Seen(prompt, (key,))
    call = _Call(seen, DIALECTS[spec.dialect], deadlines)
    await call.run(client, lambda: call.build(client, spec, model, wording, key, request_id))
    if on_refused and seen.request and (refused := refused_parameter(seen.error, seen.request.adaptable)):
        on_refused(refused)
    return seen.measurement()


class _Call:
    """One request under way."""

    def __init__(self, seen: Seen, dialect: DialectModule, deadlines: Deadlines) -> None:
        self.seen, self.marks, self.tally = seen, seen.marks, seen.tally
        self.dialect = dialect
        self.deadlines = deadlines
        self.clock = Clock(deadlines, seen.marks)

    async def run(self, client: httpx.AsyncClient, build: Callable[[], httpx.Request]) -> None:
        """Make the call; every way it can go wrong ends in `seen.error`."""
        seen = self.seen
        try:
            async with self.clock:
                seen.response = await client.send(build(), stream=True)
                try:
                    self.clock.answered()
                    await self._read(seen.response)
                finally:
                    await seen.response.aclose()
                    # It refers to the response: a circle that holds all its reads until the garbage collector comes.
                    seen.response.stream = _NOTHING
        except TimeoutError:
            if not (self.tally.is_over or self.tally.is_complete):
                seen.error = self._stalled()
            elif self.tally.end is None:
                # The finish reason came, then nothing: the answer is whole, its server forgot to end the stream.
                self.tally.end = self.marks.read
        except WireError as error:
            seen.error = error
            if seen.response is not None and (isinstance(error, Refused) or error.error_type == "disconnected"):
                self.tally.end = self.marks.read
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # From another transport than ours. No text of httpx: it holds URLs.
            seen.error = WireError("connect" if seen.response is None else "disconnected", type(error).__name__)
        seen.over_ns = time.monotonic_ns()

    def build(
        self,
        client: httpx.AsyncClient,
        spec: ProviderSpec,
        model: str,
        wording: Wording | None,
        key: str | None,
        request_id: str,
    ) -> httpx.Request:
        """What to send. Raises Refused for a key that cannot be sent."""
        if key is not None and not (key.isascii() and key.isprintable()):
            raise Refused("authentication", "the API key has characters that no HTTP header can carry")
        request = self.seen.request = self.dialect.build_request(spec, model, self.seen.prompt, wording)
        url = _url(f"{spec.base_url.rstrip('/')}/{request.path.lstrip('/')}", tuple(spec.query.items()))
        headers = {
            **request.headers,
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "X-Request-ID": request_id,
        }
        if key:
            headers[spec.auth_header] = spec.auth_prefix + key
        return client.build_request(
            "POST",
            url,
            headers=headers,
            content=request.body,
            timeout=None,
            extensions={"marks": self.marks},
        )

    async def _read(self, response: httpx.Response) -> None:
        async with aclosing(self._batches(response)) as batches:
            if not response.is_success:
                body = await _gather([], batches, MAX_ERROR_BYTES, cut=True)
                raise self.dialect.parse_error(response.status_code, response.headers, body)
            encoding = response.headers.get("content-encoding", "identity").strip().lower()
            if encoding not in {"", "identity"}:
                raise Garbled("content_type", f"the answer is encoded ({encoding}), which was not asked for")
            first, form = await _beginning(batches, content_type := response.headers.get("content-type", ""))
            match form:
                case "stream":
                    await self._stream(first, batches)
                case "json":
                    body = await _gather(first, batches, MAX_JSON_BYTES)
                    self._take(self.dialect.decode_json(body), self._latest())
                case _:
                    shown = _join(first)[:4096].decode("utf-8", "replace")
                    raise Garbled("content_type", f"{content_type or 'no type'} instead of a stream: {shown}")

    async def _stream(self, first: list[Piece], batches: AsyncIterator[list[Piece]]) -> None:
        reader, decoder = EventReader(), self.dialect.Decoder()
        cut = WireError("disconnected", "the stream ended without a terminator and without a finish reason")
        self.marks.patience_s = _PATIENCE_S
        batch = first
        while batch:
            for arrival, data in batch:
                self._hear(reader, decoder, arrival, data)
                if self.tally.is_over:
                    await self._drain(batches)
                    return
            try:
                batch = await anext(batches, [])
            except WireError as error:
                if error.error_type != "disconnected":
                    raise
                batch, cut = [], error
        for event in reader.close():
            self._take(decoder.feed(event), self._latest())
        if not self.tally.is_complete and self.tally.error is None:
            raise cut
        self.tally.end = self.marks.read

    def _hear(self, reader: EventReader, decoder: StreamDecoder, arrival: Arrival, data: bytes) -> None:
        """Account for what one read brought."""
        tally, began = self.tally, False
        for event in reader.feed(data):
            if tally.first_event is None:
                tally.first_event = arrival
            began = tally.first_text is None
            self._take(decoder.feed(event), arrival)
        if began and tally.first_text is not None and reader.is_idle:
            # The first token ended its read: what came before it in the same read makes it no less certain.
            tally.first_text = arrival.of_last_byte()

    async def _drain(self, batches: AsyncIterator[list[Piece]]) -> None:
        """Read the end of the HTTP message, without which the connection cannot be used again. Nothing here counts."""
        self.clock.last(_DRAIN_S)
        self.marks.patience_s = 0
        size = 0
        try:
            async for batch in batches:
                size += sum(len(data) for _, data in batch)
                if size > _DRAIN_BYTES:
                    return
        except WireError:
            return

    async def _batches(self, response: httpx.Response) -> AsyncGenerator[list[Piece], None]:
        size = 0
        # A double at httpx's transport seam may hand in a response that is whole already.
        body = response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()
        async with aclosing(cast("AsyncGenerator[bytes, None]", body)) as raw:
            async for chunk in raw:
                size += len(chunk)
                if size > MAX_RESPONSE_BYTES:
                    raise Garbled("response_too_large", f"the response is longer than {MAX_RESPONSE_BYTES} bytes")
                yield self.marks.pieces or [(self._latest(), chunk)]
                if self.clock.is_over:
                    raise TimeoutError

    def _take(self, deltas: list[Delta], arrival: Arrival) -> None:
        for delta in deltas:
            if self.tally.is_over:
                return
            self.tally.take(delta, arrival)

    def _latest(self) -> Arrival:
        """The arrival of what was read last. Through a transport that is not ours there is none, and no times in the end."""
        now = time.monotonic_ns()
        return self.marks.read or Arrival(now, now, now, "socket")

    def _stalled(self) -> WireError:
        if self.clock.is_over:
            return Stalled("timeout_total", f"not over after {self.deadlines.total_ms:g} ms")
        first_byte = f"{self.deadlines.first_byte_ms:g} ms"
        if self.seen.response is not None:
            return Stalled("timeout_idle", f"nothing came for {self.deadlines.idle_ms:g} ms")
        if self.marks.phase in {"dns", "connect", "tls"}:
            return ConnectFailed(self.marks.phase, f"no connection within {first_byte}")
        if self.marks.phase == "queue":
            return Stalled("timeout_first_byte", f"no free connection within {first_byte}")
        return Stalled("timeout_first_byte", f"no answer within {first_byte}")


@functools.lru_cache(maxsize=256)  # to parse one costs as much as to read several tokens
def _url(url: str, query: tuple[tuple[str, str], ...]) -> httpx.URL:
    return httpx.URL(url).copy_merge_params(dict(query)) if query else httpx.URL(url)


def _join(pieces: list[Piece]) -> bytes:
    return b"".join([data for _, data in pieces])


async def _gather(first: list[Piece], batches: AsyncIterator[list[Piece]], limit: int, *, cut: bool = False) -> bytes:
    """The whole body. Past `limit` bytes it is Garbled; with `cut`, what came until then, or until a break."""
    body = bytearray(_join(first))
    try:
        async for batch in batches:
            body += _join(batch)
            if len(body) > limit:
                if cut:
                    break
                raise Garbled("response_too_large", f"the JSON answer is longer than {limit} bytes")
    except WireError:
        if not cut:
            raise
    return bytes(body[:limit])


async def _beginning(
    batches: AsyncIterator[list[Piece]], content_type: str
) -> tuple[list[Piece], Literal["stream", "json", "other"]]:
    """The first reads of an answer, as many as it takes to tell what it is; and that."""
    pieces: list[Piece] = []
    beginning = head = b""
    while len(beginning) < _HEAD_BYTES and any(field.startswith(head) for field in _STREAM_FIELDS):
        batch: list[Piece] = await anext(batches, [])
        if not batch:
            break
        pieces += batch
        beginning = (beginning + _join(batch))[:_HEAD_BYTES]
        head = beginning.lstrip(b"\xef\xbb\xbf \t\r\n")
    return pieces, _form(content_type, head)


def _form(content_type: str, head: bytes) -> Literal["stream", "json", "other"]:
    """What the answer is: by its content type, and by its first bytes where the type is silent or plainly wrong."""
    kind = content_type.partition(";")[0].strip().lower()
    if head.startswith((*_STREAM_FIELDS, b":")):
        return "stream"
    if kind in {"application/json", "text/json"} or kind.endswith("+json"):
        return "json"
    if kind not in {"text/event-stream", ""} or head.startswith(b"<"):
        return "other"
    return "json" if head.startswith(b"{") else "stream"
