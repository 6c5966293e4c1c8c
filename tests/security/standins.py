"""Servers in Vault's place that do what a real one does on its bad days: silence, a drip, redirects, answers of another kind."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DRIP_S = 0.1


@dataclass
class StandIn:
    """Answers every request with `status`, `headers` and `body`; says nothing at all, or a byte at a time, on request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    is_silent: bool = False
    drips: bool = False
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its address, for the length of the block."""
        plan = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                plan.asked.append(f"{self.command} {self.path}")
                if plan.is_silent:
                    plan.over.wait()
                    return
                self.send_response(plan.status)
                for name, value in plan.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(plan.body)))
                self.end_headers()
                if plan.drips:
                    for byte in plan.body:
                        if plan.over.wait(DRIP_S):
                            return
                        self.wfile.write(bytes([byte]))
                else:
                    self.wfile.write(plan.body)

            do_POST = do_PUT = do_LIST = do_GET  # noqa: N815  # http.server's names

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            self.over.set()
            server.shutdown()
            server.server_close()


def secret(**fields: str) -> bytes:
    """What Vault answers to the reading of a secret."""
    return json.dumps({"data": {"data": fields, "metadata": {"version": 1}}}).encode()


def elapsed(since: float) -> float:
    return time.monotonic() - since
