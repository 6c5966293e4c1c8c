"""One request, measured.

t0 is the last byte of the request handed to the socket; arrivals are dated by the kernel where it can (see `arrivals`).
Nothing is retried: a retried request has no honest latency. Whatever a provider or the network does ends in a `Measurement`.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

import httpx

from providers.arrivals import Arrival
from providers.dialects import DIALECTS
from providers.dialects.deltas import Delta, DialectModule, Request
from providers.dialects.parameters import Wording, refused_parameter
from providers.errors import ConnectFailed, Garbled, Refused, Stalled, WireError
from providers.rate_limits import rate_limits
from providers.records import Deadlines, Measurement, Outcome, Prompt, ProviderSpec
from providers.redact import excerpt, label, mask
from providers.sse import EventReader
from providers.tally import Tally
from providers.transport import Marks

MAX_RESPONSE_BYTES = 64 << 20
MAX_JSON_BYTES = 8 << 20  # of an answer that comes as one document: parsing multiplies it
MAX_ERROR_BYTES = 64 << 10
_DRAIN_S = 0.1  # after the terminator: for the end of the HTTP message, without which the connection is lost
_DRAIN_BYTES = 64 << 10

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id", "x-generation-id", "x-litellm-call-id")
_PROVIDER_TIME_HEADERS = ("openai-processing-ms", "x-litellm-response-duration-ms")


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
    call = _Call(spec, model, prompt, wording, api_key, request_id, deadlines)
    await call.run(client)
    if on_refused and call.request and (refused := refused_parameter(call.error, call.request.adaptable)):
        on_refused(refused)
    return call.measurement()


class _Call:
    """One request under way, and what is known of it so far."""

    def __init__(
        self,
        spec: ProviderSpec,
        model: str,
        prompt: Prompt,
        wording: Wording | None,
        api_key: str | None,
        request_id: str,
        deadlines: Deadlines,
    ) -> None:
        self.spec, self.model, self.prompt, self.wording = spec, model, prompt, wording
        self.request: Request | None = None
        self.api_key = api_key.strip() if api_key else None
        self.request_id = request_id
        self.dialect: DialectModule = DIALECTS[spec.dialect]
        self.clock = _Clock(deadlines)
        self.marks = Marks()
        self.tally = Tally()
        self.response: httpx.Response | None = None
        self.error: WireError | None = None
        self.message_end: Arrival | None = None  # of the HTTP message, where it was seen
        self.call_ns = time.monotonic_ns()
        self.over_ns = self.call_ns

    async def run(self, client: httpx.AsyncClient) -> None:
        """Make the call; every way it can go wrong ends in `self.error`."""
        try:
            async with self.clock:
                self.response = await client.send(self._request(client), stream=True)
                try:
                    self.clock.alive()
                    await self._read(self.response)
                finally:
                    await self.response.aclose()
        except TimeoutError:
            if not (self.tally.is_over or self.tally.is_complete):
                self.error = self._stalled()
            elif self.tally.end is None:
                # The finish reason came, then nothing: the answer is whole, its server forgot to end the stream.
                self.tally.end = self.marks.read
        except WireError as error:
            self.error = error
            if self.response is not None and (isinstance(error, Refused) or error.error_type == "disconnected"):
                self.tally.end = self.marks.read
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # From another transport than ours. No text of httpx: it holds URLs.
            self.error = WireError("connect" if self.response is None else "disconnected", type(error).__name__)
        self.over_ns = time.monotonic_ns()

    def _request(self, client: httpx.AsyncClient) -> httpx.Request:
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise Refused("authentication", "the API key has characters that no HTTP header can carry")
        request = self.request = self.dialect.build_request(self.spec, self.model, self.prompt, self.wording)
        url = httpx.URL(f"{self.spec.base_url.rstrip('/')}/{request.path.lstrip('/')}")
        headers = {
            **request.headers,
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "X-Request-ID": self.request_id,
        }
        if self.api_key:
            headers[self.spec.auth_header] = self.spec.auth_prefix + self.api_key
        return client.build_request(
            "POST",
            url.copy_merge_params(dict(self.spec.query)) if self.spec.query else url,
            headers=headers,
            content=request.body,
            timeout=None,
            extensions={"marks": self.marks},
        )

    async def _read(self, response: httpx.Response) -> None:
        async with aclosing(self._chunks(response)) as chunks:
            if not response.is_success:
                body = await _gather(b"", chunks, MAX_ERROR_BYTES, cut=True)
                raise self.dialect.parse_error(response.status_code, response.headers, body)
            encoding = response.headers.get("content-encoding", "identity").strip().lower()
            if encoding not in {"", "identity"}:
                raise Garbled("content_type", f"the answer is encoded ({encoding}), which was not asked for")
            first = await anext(chunks, b"")
            content_type = response.headers.get("content-type", "")
            match _form(content_type, first):
                case "stream":
                    await self._stream(first, chunks)
                case "json":
                    body = await _gather(first, chunks, MAX_JSON_BYTES)
                    self._take(self.dialect.decode_json(body))
                case _:
                    shown = first[:4096].decode("utf-8", "replace")
                    raise Garbled("content_type", f"{content_type or 'no type'} instead of a stream: {shown}")

    async def _stream(self, first: bytes, chunks: AsyncIterator[bytes]) -> None:
        reader, decoder = EventReader(), self.dialect.Decoder()
        cut = WireError("disconnected", "the stream ended without a terminator and without a finish reason")
        chunk: bytes | None = first
        while chunk is not None:
            arrival, began = self.marks.read, False
            for event in reader.feed(chunk):
                began = self.tally.first_text is None
                self._take(decoder.feed(event), is_event=True)
            if self.tally.is_over:
                await self._drain(chunks)
                return
            try:
                chunk = await anext(chunks, None)
            except WireError as error:
                if error.error_type != "disconnected":
                    raise
                chunk, cut = None, error
            if began and self.tally.first_text is not None and reader.is_idle and self.marks.read is not arrival:
                # The first token ended its read: what came before it in the same read makes it no less certain.
                self.tally.first_text = self.tally.first_text.of_last_byte()
        for event in reader.close():
            self._take(decoder.feed(event), is_event=True)
        if not self.tally.is_complete and self.tally.error is None:
            raise cut
        self.tally.end = self.marks.read

    async def _drain(self, chunks: AsyncIterator[bytes]) -> None:
        """Read the end of the HTTP message, without which the connection cannot be used again. Nothing here counts."""
        self.clock.last(_DRAIN_S)
        size = 0
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > _DRAIN_BYTES:
                    return
        except WireError:
            return

    async def _chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        size = 0
        # A double at httpx's transport seam may hand in a response that is whole already.
        body = response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()
        async with aclosing(cast("AsyncGenerator[bytes, None]", body)) as raw:
            async for chunk in raw:
                self.clock.alive()
                size += len(chunk)
                if size > MAX_RESPONSE_BYTES:
                    raise Garbled("response_too_large", f"the response is longer than {MAX_RESPONSE_BYTES} bytes")
                yield chunk
        self.message_end = self.marks.read

    def _take(self, deltas: list[Delta], *, is_event: bool = False) -> None:
        # Through a transport that is not ours there are no stamps, and no times in the end.
        arrival = self.marks.read or _unseen()
        if is_event and self.tally.first_event is None:
            self.tally.first_event = arrival
        for delta in deltas:
            if self.tally.is_over:
                return
            self.tally.take(delta, arrival)

    def _stalled(self) -> WireError:
        if self.clock.is_over:
            return Stalled("timeout_total", f"not over after {self.clock.deadlines.total_ms:g} ms")
        first_byte = f"{self.clock.deadlines.first_byte_ms:g} ms"
        if self.response is not None:
            return Stalled("timeout_idle", f"nothing came for {self.clock.deadlines.idle_ms:g} ms")
        if self.marks.phase in {"dns", "connect", "tls"}:
            return ConnectFailed(self.marks.phase, f"no connection within {first_byte}")
        if self.marks.phase == "queue":
            return Stalled("timeout_first_byte", f"no free connection within {first_byte}")
        return Stalled("timeout_first_byte", f"no answer within {first_byte}")

    def measurement(self) -> Measurement:
        """What was seen, as columns; texts from outside redacted."""
        error = self.error or self.tally.error
        secrets = (self.api_key,)
        status = None if self.response is None else self.response.status_code
        outcome: Outcome = "ok"
        if error is not None:
            cut_short = error.error_type == "disconnected" and self.response is not None
            outcome = "incomplete" if cut_short else "failed"
        finish = self.tally.finish
        headers = httpx.Headers() if self.response is None else self.response.headers
        tokens = self.tally.tokens(self.prompt)
        header_id = next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None)
        return Measurement(
            outcome=outcome,
            success=outcome == "ok",
            status_code=status,
            error_type=None if error is None else error.error_type,
            error_code=None if error is None else label(error.error_code, secrets),
            error_message=None if error is None else excerpt(error.message, secrets),
            finish_reason=None if finish is None else finish.reason,
            finish_reason_raw=None if finish is None else label(finish.raw, secrets),
            response_text=mask(self.tally.text(), secrets) if self._answered() else None,
            response_model=label(self.tally.model, secrets),
            provider_request_id=label(header_id or self.tally.response_id, secrets),
            **tokens,
            **self._times(),
            **self.tally.pace(),
            provider_time_ms=_provider_time(headers, self.tally),
            tps=self.tally.tps(tokens["output_tokens"]) if outcome == "ok" else None,
            cost_usd=self.tally.usage.cost_usd,
            rate_limits=self._rate_limits(),
            dropped_parameters=() if self.request is None else self.request.dropped,
        )

    def _rate_limits(self) -> dict[str, Any] | None:
        """What the headers say of limits, in seconds from when they came."""
        if self.response is None:
            return None
        came_ns = time.monotonic_ns() if self.marks.headers is None else self.marks.headers.ns
        ago = timedelta(microseconds=(time.monotonic_ns() - came_ns) / 1000)
        headers = dict(self.response.headers.items())
        return rate_limits(headers, status=self.response.status_code, answered_at=datetime.now(UTC) - ago)

    def _answered(self) -> bool:
        """Whether there is a text to keep: one that came, or the empty one of an answer known to be whole."""
        return self.tally.has_text or (self.error is None and self.tally.error is None)

    def _times(self) -> dict[str, Any]:
        marks, tally = self.marks, self.tally
        sent = marks.last_write_ns
        connecting = None
        if marks.connect_start_ns is not None and marks.connect_end_ns is not None:
            connecting = marks.connect_end_ns - marks.connect_start_ns
        wait = None
        if marks.first_write_ns is not None:
            wait = (marks.first_write_ns - self.call_ns - (connecting or 0)) / 1e6
        end = self.over_ns if tally.end is None else tally.end.ns
        return {
            "client_wait_ms": wait,
            "connect_ms": None if connecting is None or wait is None else connecting / 1e6,
            "connection_reused": None if wait is None else connecting is None,
            "headers_ms": _since(sent, _ns(marks.headers)),
            "first_event_ms": _since(sent, _ns(tally.first_event)),
            "first_reasoning_ms": _since(sent, tally.first_reasoning_ns),
            "ttft_ms": _since(sent, _ns(tally.first_text)),
            "total_latency_ms": _since(sent, _ns(tally.end)),
            "call_latency_ms": (end - self.call_ns) / 1e6,
            **self._certainty(),
        }

    def _certainty(self) -> dict[str, Any]:
        """`timing_source` and `timing_uncertainty_ms` of `ttft_ms` and `total_latency_ms`, the worse of the two.

        uncertainty = (written - handed over) + max(arrival - since): the request's last byte left between those two
        moments, the bytes came in between these two (not before the request, though). Both figures are upper ends.
        What ended its read, as the end of the stream does with the message's, came with the read's last byte.
        """
        marks, tally = self.marks, self.tally
        end = tally.end
        if end is not None and end is self.message_end:
            end = end.of_last_byte()
        if marks.read is None:
            return {"timing_source": None, "timing_uncertainty_ms": None}
        timed = [arrival for arrival in (tally.first_text, end) if arrival is not None]
        kernel = all(arrival.source == "kernel" for arrival in timed or [marks.read])
        width = None
        if timed and marks.last_write_ns is not None and marks.written_ns is not None:
            sent = marks.last_write_ns
            doubt = max(arrival.ns - max(arrival.since_ns, min(sent, arrival.ns)) for arrival in timed)
            width = (marks.written_ns - sent + doubt) / 1e6
        return {"timing_source": "kernel" if kernel else "socket", "timing_uncertainty_ms": width}


class _Clock:
    """The three deadlines on one clock of our own: httpx's timeouts are per read, and a drip outlives them.

    The timer is not moved with each read, which would cost more than the read: when it fires before the deadline, it is
    set anew.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self.deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._total_at = self._loop.time() + deadlines.total_ms / 1000
        self._due = min(self._total_at, self._loop.time() + deadlines.first_byte_ms / 1000)
        self._idle_s = deadlines.idle_ms / 1000
        self._draining = False
        self._running = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._running.__aenter__()
        self._ring()

    async def __aexit__(self, *raised: Any) -> None:  # noqa: PYI036  # handed on
        if self._timer is not None:
            self._timer.cancel()
        await self._running.__aexit__(*raised)

    @property
    def is_over(self) -> bool:
        """Whether the total has passed."""
        return self._loop.time() >= self._total_at

    def alive(self) -> None:
        """Bytes came: the idle deadline starts again. Raises TimeoutError once the total has passed: in a flood the
        event loop may be late to say so.
        """
        now = self._loop.time()
        if now >= self._total_at:
            raise TimeoutError
        if not self._draining:
            self._set(min(self._total_at, now + self._idle_s))

    def last(self, seconds: float) -> None:
        """Be over in `seconds`, whatever comes."""
        self._draining = True
        self._set(min(self._total_at, self._loop.time() + seconds))

    def _set(self, due: float) -> None:
        self._due = due
        if self._timer is not None and due < self._timer.when():
            self._timer.cancel()
            self._ring()

    def _ring(self) -> None:
        """Time out if the deadline is there, else come again when it is."""
        if self._loop.time() >= self._due:
            self._timer = None
            self._running.reschedule(self._due)
        else:
            self._timer = self._loop.call_at(self._due, self._ring)


async def _gather(first: bytes, chunks: AsyncIterator[bytes], limit: int, *, cut: bool = False) -> bytes:
    """The whole body. Past `limit` bytes it is Garbled; with `cut`, what came until then, or until a break."""
    body = bytearray(first)
    try:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                if cut:
                    break
                raise Garbled("response_too_large", f"the JSON answer is longer than {limit} bytes")
    except WireError:
        if not cut:
            raise
    return bytes(body[:limit])


def _form(content_type: str, first: bytes) -> Literal["stream", "json", "other"]:
    """What the answer is: by its content type, and by its first bytes where the type is silent or plainly wrong."""
    kind = content_type.partition(";")[0].strip().lower()
    head = first.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith((b"data:", b"event:", b":")):
        return "stream"
    if kind in {"application/json", "text/json"} or kind.endswith("+json"):
        return "json"
    if kind not in {"text/event-stream", ""} or head.startswith(b"<"):
        return "other"
    return "json" if head.startswith(b"{") else "stream"


def _unseen() -> Arrival:
    now = time.monotonic_ns()
    return Arrival(now, now, now, "socket")


def _ns(arrival: Arrival | None) -> int | None:
    return None if arrival is None else arrival.ns


def _since(sent_ns: int | None, stamp_ns: int | None) -> float | None:
    """Milliseconds from the request's last byte; 0 if a hasty answer came before it."""
    return None if sent_ns is None or stamp_ns is None else max(0.0, (stamp_ns - sent_ns) / 1e6)


def _provider_time(headers: httpx.Headers, tally: Tally) -> float | None:
    """Milliseconds the provider says it took: in its usage, else in a header."""
    if tally.usage.provider_time_ms is not None:
        return tally.usage.provider_time_ms
    for name in _PROVIDER_TIME_HEADERS:
        try:
            value = float(headers.get(name, ""))
        except ValueError:
            continue
        if math.isfinite(value) and value >= 0:
            return value
    return None
