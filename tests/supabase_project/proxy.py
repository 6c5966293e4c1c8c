"""The front door of a Supabase project: it takes /rest/v1 off a request's path and hands the request to PostgREST.

And it is where a test makes the network misbehave: `faults` are used up one request at a time.
"""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

_PREFIX = "/rest/v1"
_HTML = b"<!doctype html><title>Sign in to the guest network</title>"
_EXPIRED = b'{"code":"PGRST301","details":null,"hint":null,"message":"JWT expired"}'
_OURS = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}  # of this hop alone


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of this method (any if None) whose path contains `path`.

    `drop`: the connection ends without a reply. `status`: an answer of `status` with `body`. `html`: a page with 200.
    `expired`: what PostgREST answers to a token that is too old. `slow`: `delay_s` before anything else happens, then normal.
    `after`: PostgREST gets the request first and commits it; only its reply is lost or replaced.
    """

    kind: Literal["drop", "status", "html", "expired", "slow"]
    times: int = 1
    method: str | None = None
    path: str = ""
    after: bool = False
    status: int = 503
    body: bytes = b'{"message":"out of order"}'
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


class Proxy:
    """A proxy on loopback before one PostgREST. `faults` may be appended to at any time; `seen` lists (method, path)."""

    def __init__(self, backend: Path) -> None:
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self._backend = backend
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.proxy = self  # type: ignore[attr-defined]  # the handler finds its proxy here

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def next_fault(self, method: str, path: str) -> Fault | None:
        """The first fault that fits, used up by one; and the request is noted."""
        with self._lock:
            self.seen.append((method, path))
            for fault in self.faults:
                if fault.times > 0 and fault.method in {None, method} and fault.path in path:
                    fault.times -= 1
                    return fault
        return None

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the proxy lives."""
        self._ended.wait(seconds)

    def connect(self) -> http.client.HTTPConnection:
        """A new connection to PostgREST."""
        return _UnixConnection(self._backend)

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Serve for the length of the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._proxy: Proxy = self.server.proxy  # type: ignore[attr-defined]
        self._upstream = self._proxy.connect()

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # the client may go away when it likes
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.removeprefix(_PREFIX) or "/"
        fault = self._proxy.next_fault(self.command, path)
        if fault and fault.kind == "slow":
            self._proxy.pause(fault.delay_s)
            fault = None
        if fault and not fault.after:
            self._misbehave(fault)
            return
        status, headers, answer = self._forward(path, body)
        if fault:
            self._misbehave(fault)
        else:
            self._reply(status, headers, answer)

    do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = do_PUT = do_OPTIONS = _serve  # noqa: N815  # http.server's names

    def _forward(self, path: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OURS}
        try:
            self._upstream.request(self.command, path, body or None, headers)
            answer = self._upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._upstream.close()
            return 502, [("Content-Type", "text/plain")], f"no PostgREST behind this proxy: {error}".encode()

    def _misbehave(self, fault: Fault) -> None:
        match fault.kind:
            case "drop":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            case "html":
                self._reply(200, [("Content-Type", "text/html; charset=utf-8")], _HTML)
            case "expired":
                kind = [("Content-Type", "application/json; charset=utf-8"), ("WWW-Authenticate", "Bearer")]
                self._reply(401, kind, _EXPIRED)
            case _:
                self._reply(fault.status, [("Content-Type", "application/json"), *fault.headers.items()], fault.body)

    def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _OURS:
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
