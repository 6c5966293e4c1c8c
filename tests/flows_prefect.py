"""A real Prefect server in a process of its own, and a wire to it that can be cut."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_CLIENT_MAX_RETRIES": "0",
}


@dataclass(frozen=True)
class PrefectServer:
    """A server and the folder of its database; `url` is its API."""

    port: int
    home: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def ask(self, kind: str, **filters: Any) -> list[dict[str, Any]]:
        """All objects of a kind (flow_runs, task_runs, artifacts, deployments, ...)."""
        with httpx.Client(trust_env=False) as client:
            answer = client.post(f"{self.url}/{kind}/filter", json=filters, timeout=30)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def wait(self, patience_s: float = 120) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + patience_s
        while not self._is_ready():
            assert time.monotonic() < deadline, (self.home / "server.log").read_text()
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def environment(self, **more: str) -> dict[str, str]:
        """What a program is told that works with this server."""
        return {**os.environ, **QUIET, "PREFECT_HOME": str(self.home), "PREFECT_API_URL": self.url, **more}


@contextmanager
def prefect_server(home: Path) -> Iterator[PrefectServer]:
    """A server that starts now, which takes a while: `wait()` before the first use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = PrefectServer(probe.getsockname()[1], home)
    with (home / "server.log").open("wb") as log:
        command = [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(server.port),
        ]
        process = subprocess.Popen(
            command, env={**os.environ, **QUIET, "PREFECT_HOME": str(home)}, stdout=log, stderr=log, cwd=home
        )
    try:
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Wire:
    """A TCP relay to a port; `cut()` ends what goes through it and refuses what comes later, as a dead server does."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def cut(self) -> None:
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> int:
        self._listener = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, back}
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    async def _cut(self) -> None:
        if self._listener:
            self._listener.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.05)  # the pumps see the end of their streams


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
