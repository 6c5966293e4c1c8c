"""What was seen of one request, as the columns of its measurement."""

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from providers.arrivals import Arrival
from providers.dialects.deltas import Request
from providers.errors import WireError
from providers.http1 import Marks
from providers.rate_limits import rate_limits
from providers.records import Measurement, Outcome, Prompt
from providers.redact import excerpt, label, mask
from providers.tally import Tally

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id", "x-generation-id", "x-litellm-call-id")
_PROVIDER_TIME_HEADERS = ("openai-processing-ms", "x-litellm-response-duration-ms")


@dataclass(slots=True)
class Seen:
    """What is known of a request so far. It was asked for at `call_ns` and over at `over_ns`, both of `time.monotonic_ns`;
    `secrets` appear in no column.
    """

    prompt: Prompt
    secrets: tuple[str | None, ...]
    call_ns: int = field(default_factory=time.monotonic_ns)
    over_ns: int = 0
    marks: Marks = field(default_factory=Marks)
    tally: Tally = field(default_factory=Tally)
    request: Request | None = None
    response: httpx.Response | None = None
    error: WireError | None = None

    def measurement(self) -> Measurement:
        """What was seen, as columns; texts from outside redacted."""
        error = self.error or self.tally.error
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
            error_code=None if error is None else label(error.error_code, self.secrets),
            error_message=None if error is None else excerpt(error.message, self.secrets),
            finish_reason=None if finish is None else finish.reason,
            finish_reason_raw=None if finish is None else label(finish.raw, self.secrets),
            response_text=mask(self.tally.text(), self.secrets) if self._answered() else None,
            response_model=label(self.tally.model, self.secrets),
            provider_request_id=label(header_id or self.tally.response_id, self.secrets),
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
        if end is not None and end is marks.message_end:
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
