"""A provider on loopback that does exactly what a test tells it to."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from providers.measure import measure
from providers.records import Deadlines, Measurement, Prompt, ProviderSpec

CHAT = ProviderSpec(
    key="acme",
    provider_type="custom",
    dialect="chat",
    base_url="http://127.0.0.1",
    chat_path="/v1/chat/completions",
    models_path="/v1/models",
)
MESSAGES = replace(CHAT, dialect="messages", chat_path="/v1/messages", auth_header="x-api-key", auth_prefix="")
PROMPT = Prompt("How many legs has a spider?")
SOON = Deadlines(first_byte_ms=5_000, idle_ms=5_000, total_ms=10_000)


Asked = tuple[str, dict[str, str], Any]  # a request: its first line, headers (lower case) and JSON body


@dataclass
class Conversation:
    """One connection, seen from the provider: requests come in, bytes go out. `asked` is the request to be answered."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    never: asyncio.Event  # set when the test is over: whoever waits for it, stalls
    asked: Asked = ("", {}, None)

    async def request(self) -> Asked:
        """The next request."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return head[0], headers, json.loads(body) if body else None

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def start(self, status: str = "200 OK", content_type: str = "text/event-stream", *extra: str) -> None:
        """Status and headers of an answer whose body comes in chunks."""
        lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", "transfer-encoding: chunked", *extra]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def chunk(self, *bodies: bytes) -> None:
        for body in bodies:
            await self.send(b"%x\r\n%b\r\n" % (len(body), body))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def answer(self, status: str, content_type: str, body: bytes, *extra: str) -> None:
        """A whole answer with its length."""
        lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}", *extra]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def stall(self) -> None:
        await self.never.wait()

    def reset(self) -> None:
        """Break the connection with a reset instead of a clean close."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Conversation], Awaitable[None]]
Ask = Callable[..., Awaitable[Measurement]]


@dataclass
class Provider:
    """A running misbehaving provider: where it is, and what it was asked."""

    port: int
    scheme: str = "http"
    connections: int = 0
    requests: list[Asked] = field(default_factory=list)

    def spec(self, base: ProviderSpec = CHAT) -> ProviderSpec:
        return replace(base, base_url=f"{self.scheme}://127.0.0.1:{self.port}")


@asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Provider]:
    """Run `script` for each request on each connection until the block is left."""
    never = asyncio.Event()
    provider = Provider(0, "https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        provider.connections += 1
        conversation = Conversation(reader, writer, never)
        try:
            while not reader.at_eof():
                conversation.asked = await conversation.request()
                provider.requests.append(conversation.asked)
                await script(conversation)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        never.set()
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(
    client: httpx.AsyncClient,
    spec: ProviderSpec,
    *,
    prompt: Prompt = PROMPT,
    deadlines: Deadlines = SOON,
    api_key: str | None = None,
    model: str = "tiny-1",
) -> Measurement:
    return await measure(client, spec, model, prompt, api_key=api_key, deadlines=deadlines, request_id="r-1")


def data(payload: Any) -> bytes:
    """One event."""
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def said(text: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chat chunk."""
    if text is not None:
        delta["content"] = text
    return {"id": "c1", "model": "tiny-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


DONE = b"data: [DONE]\n\n"
USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}
