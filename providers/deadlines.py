"""The three deadlines of a request, on one clock of our own: httpx's timeouts are per read, and a drip outlives them."""

import asyncio
import time
from typing import Any

from providers.http1 import Marks
from providers.records import Deadlines


class Clock:
    """Ends the block it is entered for with TimeoutError when a deadline passes: `first_byte_ms` until `answered` is called,
    then `idle_ms` after the last bytes, `total_ms` in any case.

    The timer is not moved with each read, which would cost more than the read: when it fires before the deadline, it is
    set anew. What came before the deadline and still waits to be read is handed out first.
    """

    def __init__(self, deadlines: Deadlines, marks: Marks) -> None:
        now = time.monotonic()
        self._marks = marks
        self._first_byte_at = now + deadlines.first_byte_ms / 1000
        self._total_at = now + deadlines.total_ms / 1000
        self._idle_s = deadlines.idle_ms / 1000
        self._answered_at: float | None = None
        self._last_at: float | None = None
        self._loop = asyncio.get_running_loop()
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
        """Whether the total has passed: in a flood the event loop may be late to say so."""
        return time.monotonic() >= self._total_at

    def answered(self) -> None:
        """The answer has begun."""
        self._answered_at = time.monotonic()
        self._set()

    def last(self, seconds: float) -> None:
        """Be over in `seconds`, whatever comes."""
        self._last_at = time.monotonic() + seconds
        self._set()

    def _due(self) -> float:
        if self._last_at is not None:
            return min(self._total_at, self._last_at)
        if self._answered_at is None:
            return min(self._total_at, self._first_byte_at)
        wire = self._marks.wire
        heard_at = 0.0 if wire is None or wire.heard_ns is None else wire.heard_ns / 1e9
        return min(self._total_at, max(self._answered_at, heard_at) + self._idle_s)

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ring()

    def _ring(self) -> None:
        """Time out if the deadline is there, else come again when it is."""
        left = self._due() - time.monotonic()
        if left > 0:
            self._timer = self._loop.call_later(left, self._ring)
            return
        self._timer = None
        if self._marks.wire is not None:
            self._marks.wire.hurry()  # its reader's turn is before that of the timeout
        self._running.reschedule(self._loop.time())
