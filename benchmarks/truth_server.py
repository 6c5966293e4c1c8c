"""A server that knows when it did what: the ground truth of `measure_accuracy.py`, started by it.

    python benchmarks/truth_server.py LOG [--ttft-ms 50] [--tokens 100]

Bare sockets on an event loop, nothing of ours. It answers each POST with a stream of `--tokens` tokens of one event each, in
a segment each, so long after one another as a `gap_ms=` in the URL says, and appends a JSON line per request to LOG, under its
`X-Request-ID` or, if it has none, under the id that its events bear, all of CLOCK_MONOTONIC in nanoseconds:
`received_ns`, the kernel's stamp of the request's last segment, and around the write of the first token, of the last and of
the end, the moments before and after it. It prints its port, and ends when its input does.
"""

import argparse
import asyncio
import json
import re
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

SO_TIMESTAMPNS = 35
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(request_id: str, body: dict[str, Any]) -> bytes:
    """One event in an HTTP chunk of its own."""
    shared = {"id": request_id, "object": "chat.completion.chunk", "created": 1, "model": "truth"}
    data = b"data: " + json.dumps({**shared, **body}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def said(request_id: str, content: str) -> bytes:
    return event(request_id, {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]})


def end(request_id: str, tokens: int) -> bytes:
    """The finish reason, the usage, the terminator and the end of the HTTP message."""
    usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    finish = event(request_id, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    done = b"data: [DONE]\n\n"
    return finish + event(request_id, {"choices": [], "usage": usage}) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(done), done)


def wall_offset() -> int:
    """What to add to a wall clock stamp for the monotonic clock: by the quickest of many looks."""
    looks = []
    for _ in range(200):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        looks.append((after - before, (before + after) // 2 - wall))
    return min(looks)[1]


class Connection:
    """One client: reads requests, writes tokens when they are due."""

    def __init__(self, peer: socket.socket, log: TextIO, ttft_s: float, tokens: int) -> None:
        self.peer, self.log, self.ttft_s, self.tokens = peer, log, ttft_s, tokens
        self.loop = asyncio.get_running_loop()
        self.offset = wall_offset()
        self.request = b""
        self.entry: dict[str, Any] = {}
        self.gap_s, self.due, self.sent = 0.0, 0.0, 0
        self.token, self.end = b"", b""
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.loop.add_reader(peer, self.readable)

    def readable(self) -> None:
        """Take what came; when it completes a request, begin to answer."""
        try:
            data, ancillary, _, _ = self.peer.recvmsg(1 << 16, 64)
        except OSError:
            data, ancillary = b"", []
        if not data:
            self.loop.remove_reader(self.peer)
            self.peer.close()
            return
        self.request += data
        head, found, body = self.request.partition(b"\r\n\r\n")
        if not found or len(body) < int(self.header(head, b"content-length") or 0):
            return
        if head.startswith(b"GET"):  # whether it is alive, as some clients ask first
            self.request = b""
            self.peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            return
        stamps = [struct.unpack("@ll", value) for _, kind, value in ancillary if kind == SO_TIMESTAMPNS]
        received = stamps[0][0] * 1_000_000_000 + stamps[0][1] + self.offset if stamps else None
        request_id = self.header(head, b"x-request-id").decode() or str(uuid4())
        self.entry = {"request_id": request_id, "received_ns": received}
        self.token, self.end = said(request_id, " token"), end(request_id, self.tokens)
        gap = re.search(rb"gap_ms=([0-9.]+)", head)
        assert gap is not None
        self.gap_s, self.request, self.sent = float(gap[1]) / 1000, b"", 0
        self.due = self.loop.time() + self.ttft_s
        self.peer.send(HEAD)
        self.loop.call_at(self.due, self.speak)

    def speak(self) -> None:
        """Write the next token, and the end after the last one."""
        try:
            around = self.write(self.token)
            self.sent += 1
            if self.sent == 1:
                self.entry["first_ns"] = around
            if self.sent < self.tokens:
                self.due += self.gap_s
                self.loop.call_at(self.due, self.speak)
                return
            self.entry["last_ns"] = around
            self.entry["end_ns"] = self.write(self.end)
        except OSError:
            return  # the client has left
        self.log.write(json.dumps(self.entry) + "\n")
        self.log.flush()

    def write(self, data: bytes) -> tuple[int, int]:
        """Send `data` and return the moments around that."""
        before = time.monotonic_ns()
        assert self.peer.send(data) == len(data)
        return before, time.monotonic_ns()

    @staticmethod
    def header(head: bytes, name: bytes) -> bytes:
        found = re.search(rb"(?i)\r\n" + name + rb": *([^\r]+)", head)
        return found[1] if found else b""


async def serve(log: TextIO, ttft_s: float, tokens: int) -> None:
    """Accept until standard input ends."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    connections = []
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        loop.add_reader(listening, lambda: connections.append(Connection(listening.accept()[0], log, ttft_s, tokens)))
        loop.add_reader(sys.stdin, over.set)
        print(listening.getsockname()[1], flush=True)
        await over.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--ttft-ms", type=float, default=50)
    parser.add_argument("--tokens", type=int, default=100)
    given = parser.parse_args()
    with given.log.open("a", encoding="utf-8") as log:
        asyncio.run(serve(log, given.ttft_ms / 1000, given.tokens))


if __name__ == "__main__":
    main()
