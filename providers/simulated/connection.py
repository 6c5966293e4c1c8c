"""One client connection of the simulated providers: h11 parses requests, scripts are played back on the clock.

Times are CLOCK_MONOTONIC nanoseconds, which every process of a Linux machine shares with `time.monotonic_ns()`.
Steps are scheduled at absolute times, so that a late one does not delay the next.
"""

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from providers.simulated.faults import Answer, Step

_LONGEST_BODY = 16 << 20


class Log:
    """JSON Lines, one `write` per line: what was logged survives the death of whoever asked, and of this process."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, **entry: Any) -> None:
        os.write(self._descriptor, json.dumps(entry, separators=(",", ":")).encode() + b"\n")


@dataclass(slots=True)
class Truth:
    """What really happened in one exchange. Nanoseconds; `first_token_start_ns` is just before the write of the first text,
    `first_token_ns` just after it. `waited_for_client` says that a write had to wait because the client did not read.
    """

    request_id: str | None
    provider: str
    model: str | None
    received_ns: int
    first_reasoning_ns: int | None = None
    first_token_start_ns: int | None = None
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    tokens: int = 0
    waited_for_client: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    def entry(self, outcome: str) -> dict[str, Any]:
        """The `done` line of the log."""
        names = [name for name in self.__slots__ if name != "more"]
        fields = {name: getattr(self, name) for name in names}
        return {"event": "done", **fields, "end_ns": time.monotonic_ns(), "outcome": outcome, **self.more}


# What decides on an answer: the request, its body, and the truth whose names it fills in -> the answer and its outcome.
Answerer = Callable[[h11.Request, bytes, Truth], tuple[Answer, str]]


class Connection(asyncio.Protocol):
    """One client connection: requests come in one after another, each is answered by its script."""

    def __init__(self, answerer: Answerer, log: Log, loop: asyncio.AbstractEventLoop) -> None:
        self._answerer, self._log, self._loop = answerer, log, loop
        self._http = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._truth: Truth | None = None
        self._answer = Answer([])
        self._outcome = ""
        self._steps: Iterator[Step] = iter(())
        self._step: Step | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = self._paused = False
        self._received_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._done("client_closed")

    def data_received(self, data: bytes) -> None:
        self._received_ns = time.monotonic_ns()
        try:
            self._http.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            self._refuse_garbage(error)

    def eof_received(self) -> bool:
        # A client that has closed its side will not read on: asyncio closes ours.
        return False

    def pause_writing(self) -> None:
        self._paused = True
        if self._truth:
            self._truth.waited_for_client = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._step is not None and self._timer is None:
            self._emit()

    def _read(self) -> None:
        """Take in what has arrived, until a request is whole or more bytes are needed."""
        while self._truth is None:
            event = self._http.next_event()
            match event:
                case h11.Request():
                    self._request, self._body = event, []
                    if self._http.they_are_waiting_for_100_continue:
                        go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                        self._transport.write(self._http.send(go_on) or b"")
                case h11.Data():
                    self._body.append(bytes(event.data))
                    if sum(map(len, self._body)) > _LONGEST_BODY:
                        raise h11.RemoteProtocolError("request too large", error_status_hint=413)
                case h11.EndOfMessage():
                    self._begin()
                case _:  # NEED_DATA, PAUSED, ConnectionClosed: nothing to take in
                    return

    def _begin(self) -> None:
        request = self._request
        assert request is not None
        request_id = next((value.decode("latin-1") for name, value in request.headers if name == b"x-request-id"), None)
        truth = self._truth = Truth(request_id, "", None, self._received_ns)
        self._answer, self._outcome = self._answerer(request, b"".join(self._body), truth)
        self._log.write(
            event="received",
            request_id=request_id,
            provider=truth.provider,
            model=truth.model,
            path=request.target.decode("latin-1").partition("?")[0],
            received_ns=truth.received_ns,
        )
        self._steps, self._started = iter(self._answer.steps), False
        self._next()

    def _next(self) -> None:
        """Put the next step on the clock, or end."""
        self._step = next(self._steps, None)
        if self._step is None:
            self._end()
            return
        assert self._truth is not None
        due = self._truth.received_ns / 1e9 + self._step.at_ms / 1e3
        self._timer = self._loop.call_at(due, self._emit)

    def _emit(self) -> None:
        self._timer = None
        if self._paused or self._step is None or self._truth is None:
            return
        step, truth = self._step, self._truth
        data = self._frame(step.data)
        before_ns = time.monotonic_ns()
        self._transport.write(data)
        after_ns = time.monotonic_ns()
        if step.mark == "text":
            if truth.first_token_ns is None:
                truth.first_token_start_ns, truth.first_token_ns = before_ns, after_ns
            truth.last_token_ns = after_ns
        elif step.mark == "reasoning" and truth.first_reasoning_ns is None:
            truth.first_reasoning_ns = after_ns
        truth.tokens += step.mark is not None
        if not self._transport.is_closing():
            self._next()

    def _frame(self, data: bytes) -> bytes:
        """The step's bytes as they go out: the head before the first ones, and the framing around all."""
        head = b"" if self._started else self._head(len(data))
        self._started = True
        if self._answer.framing == "close":
            return head + data
        return head + (self._http.send(h11.Data(data=data)) or b"")

    def _head(self, length: int) -> bytes:
        answer = self._answer
        headers = {"content-type": answer.content_type, **answer.headers}
        if answer.framing == "length":
            headers["content-length"] = str(length)
        if answer.framing == "close":
            lines = [f"HTTP/1.1 {answer.status} OK", *(f"{name}: {value}" for name, value in headers.items())]
            return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1")
        return self._http.send(h11.Response(status_code=answer.status, headers=list(headers.items()))) or b""

    def _end(self) -> None:
        ending = self._answer.ending
        if ending == "hang":
            return
        if ending == "reset":
            # Linger 0: the kernel sends RST in place of FIN.
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._done(self._outcome)
            self._transport.abort()
            return
        if ending == "complete" and self._answer.framing != "close":
            self._transport.write(self._http.send(h11.EndOfMessage()) or b"")
            self._done(self._outcome)
            if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                self._http.start_next_cycle()
                self._loop.call_soon(self._read_on)
                return
        self._done(self._outcome)
        self._transport.close()

    def _read_on(self) -> None:
        try:
            self._read()
        except h11.RemoteProtocolError as error:
            self._refuse_garbage(error)

    def _done(self, outcome: str) -> None:
        truth, self._truth, self._step = self._truth, None, None
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if truth:
            self._log.write(**truth.entry(outcome))

    def _refuse_garbage(self, error: h11.RemoteProtocolError) -> None:
        status = error.error_status_hint
        self._transport.write(
            f"HTTP/1.1 {status} Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
        )
        self._transport.close()
