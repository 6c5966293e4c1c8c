"""The way to a provider: TLS, the pool, and ordinary requests with httpx's timeouts."""

import asyncio
import datetime as dt
import ssl
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from wire.loopback import CHAT, DONE, SOON, Ask, Conversation, data, request, said, serving

from providers.errors import ConnectFailed, Stalled, WireError
from providers.records import Prompt
from providers.transport import Marks, open_client


async def hello(c: Conversation) -> None:
    await c.start()
    await c.chunk(data(said("Hel")), data(said("lo", "stop")), DONE)
    await c.end()


async def plain(c: Conversation) -> None:
    await c.answer("200 OK", "application/json", b'{"data":[]}')


def certificate(folder: Path, *, address: str = "127.0.0.1", days: int = 1) -> Path:
    """A self-signed certificate for `address`, with its key, in one PEM file; `days` below 0 have passed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scorehouse test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def server_side(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_tls_is_measured_like_plain_text_and_its_handshake_is_connecting(tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(pem))
    async with serving(hello, server_side(pem)) as provider, open_client(CHAT, verify=trusting) as client:
        first = await request(client, provider.spec())
        second = await request(client, provider.spec())
    for seen in (first, second):
        assert (seen.outcome, seen.response_text) == ("ok", "Hello")
        assert seen.ttft_ms is not None
        assert seen.total_latency_ms is not None
        assert 0 <= seen.ttft_ms <= seen.total_latency_ms
    assert first.connect_ms is not None
    assert (second.connect_ms, second.connection_reused) == (None, True)


@pytest.mark.parametrize("polite", [True, False])
async def test_a_stream_that_ends_with_its_tls_connection_is_read(tmp_path: Path, polite: bool) -> None:
    async def script(c: Conversation) -> None:
        await c.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", data(said("a")), data(said(None, "stop"))
        )
        c.writer.close() if polite else c.writer.transport.abort()

    pem = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(pem))
    async with serving(script, server_side(pem)) as provider, open_client(CHAT, verify=trusting) as client:
        seen = await request(client, provider.spec())
    assert (seen.outcome, seen.response_text) == ("ok", "a")
    assert seen.total_latency_ms is not None


@pytest.mark.parametrize(
    ("made", "words"),
    [({}, "self-signed"), ({"days": -1}, "expired"), ({"address": "10.9.8.7"}, "IP address mismatch")],
)
async def test_a_certificate_that_does_not_hold_is_a_tls_failure(
    tmp_path: Path, made: dict[str, object], words: str
) -> None:
    pem = certificate(tmp_path, **made)  # type: ignore[arg-type]
    verify = ssl.create_default_context(cafile=str(pem)) if made else True
    async with serving(hello, server_side(pem)) as provider, open_client(CHAT, verify=verify) as client:
        seen = await request(client, provider.spec(), api_key="canary-0123456789")
    assert (seen.outcome, seen.error_type, seen.status_code) == ("failed", "tls", None)
    assert words in (seen.error_message or "")
    assert provider.requests == []


async def test_a_server_that_speaks_no_tls_is_a_tls_failure() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_client(CHAT) as client:
        seen = await request(client, replace(CHAT, base_url=f"https://127.0.0.1:{port}"))
    assert (seen.outcome, seen.error_type) == ("failed", "tls")


async def test_a_handshake_that_stalls_ends_at_the_deadline() -> None:
    gone = asyncio.Event()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with open_client(CHAT) as client:
            spec = replace(CHAT, base_url=f"https://127.0.0.1:{port}")
            seen = await request(client, spec, deadlines=replace(SOON, first_byte_ms=40))
        gone.set()
    assert (seen.outcome, seen.error_type) == ("failed", "tls")


async def test_verification_is_left_out_only_when_asked(tmp_path: Path) -> None:
    tls = server_side(certificate(tmp_path))
    async with serving(hello, tls) as provider, open_client(CHAT, verify=False) as client:
        assert (await request(client, provider.spec())).outcome == "ok"


async def test_an_ordinary_request_works_relative_to_the_base_url() -> None:
    async with serving(plain) as provider, open_client(provider.spec()) as client:
        response = await client.get("/v1/models", params={"limit": 2})
        assert response.json() == {"data": []}
    assert response.extensions["http_version"] == b"HTTP/1.1"
    assert response.reason_phrase == "OK"
    assert provider.requests[0][0] == "GET /v1/models?limit=2 HTTP/1.1"


async def test_an_ordinary_request_has_httpx_timeouts() -> None:
    async with serving(Conversation.stall) as provider, open_client(provider.spec()) as client:
        with pytest.raises(Stalled) as caught:
            await client.get("/", timeout=httpx.Timeout(5, read=0.1))
    assert caught.value.error_type == "timeout_first_byte"


async def test_a_timeout_in_a_body_is_an_idle_one() -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.stall()

    async with serving(script) as provider, open_client(provider.spec()) as client:
        with pytest.raises(Stalled) as caught:
            await client.get("/", timeout=httpx.Timeout(5, read=0.1))
    assert caught.value.error_type == "timeout_idle"


async def test_an_ordinary_request_raises_our_errors(unused_port: int) -> None:
    async with open_client(replace(CHAT, base_url=f"http://127.0.0.1:{unused_port}")) as client:
        with pytest.raises(ConnectFailed) as caught:
            await client.get("/")
        assert caught.value.error_type == "connect"
        with pytest.raises(WireError):
            await client.get("ftp://127.0.0.1/")


async def test_a_connection_to_somewhere_else_makes_room() -> None:
    async with serving(plain) as one, serving(plain) as other, open_client(CHAT, connections=1) as client:
        for provider in (one, one, other, other, one):
            assert (await client.get(provider.spec().base_url)).status_code == 200
    assert (one.connections, other.connections) == (2, 1)


async def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(plain) as provider, open_client(provider.spec()) as client:
        await client.get("/")
        monkeypatch.setattr("providers.transport.KEEPALIVE_S", -1.0)
        await client.get("/")
    assert provider.connections == 2


async def test_who_waits_for_a_connection_waits_in_order_and_may_leave() -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def script(c: Conversation) -> None:
        arrived.set()
        await go_on.wait()
        await plain(c)

    async with serving(script) as provider, open_client(provider.spec(), connections=1) as client:
        first = asyncio.create_task(client.get("/first"))
        await arrived.wait()
        with pytest.raises(Stalled) as caught:
            await client.get("/late", timeout=httpx.Timeout(5, pool=0.02))
        waiting = [asyncio.create_task(client.get(path)) for path in ("/left", "/second", "/third")]
        await asyncio.sleep(0)
        waiting[0].cancel()
        go_on.set()
        await asyncio.gather(first, *waiting[1:])
    assert caught.value.error_type == "timeout_first_byte"
    assert [line.split()[1] for line, _, _ in provider.requests] == ["/first", "/second", "/third"]
    assert provider.connections == 1


async def test_a_closed_client_ends_what_is_under_way() -> None:
    arrived = asyncio.Event()

    async def script(c: Conversation) -> None:
        arrived.set()
        await c.stall()

    async with serving(script) as provider:
        client = open_client(provider.spec())
        asking = asyncio.create_task(client.get("/"))
        await arrived.wait()
        await client.aclose()
        with pytest.raises(WireError):
            await asking


async def test_an_answer_left_in_the_middle_costs_its_connection_and_no_place() -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        await c.chunk(b"x")
        await c.stall()

    async with serving(script) as provider, open_client(provider.spec(), connections=1) as client:
        for _ in range(3):
            async with client.stream("GET", "/") as response:
                assert response.status_code == 200
    assert provider.connections == 3


async def test_a_great_request_is_written_whole_and_t0_is_its_last_byte() -> None:
    async with serving(plain) as provider, open_client(provider.spec()) as client:
        marks = Marks()
        body = b'"' + b"x" * (8 << 20) + b'"'
        response = await client.post("/", content=body, extensions={"marks": marks})
    assert response.status_code == 200
    assert len(provider.requests[0][2]) == 8 << 20
    assert marks.connect_start_ns is not None
    assert marks.connect_end_ns is not None
    assert marks.first_write_ns is not None
    assert marks.last_write_ns is not None
    assert marks.headers is not None
    assert marks.connect_start_ns <= marks.connect_end_ns <= marks.first_write_ns < marks.last_write_ns
    assert marks.last_write_ns < marks.headers.ns


async def test_an_answer_before_the_request_is_complete_is_read() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.transport.abort() if reader.at_eof() else writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        spec = replace(CHAT, base_url=f"http://127.0.0.1:{port}")
        async with open_client(spec) as client:
            seen = await request(client, spec, prompt=Prompt("x" * (8 << 20)))
    # The reset that follows unread bytes may overtake the answer: the system's choice, and a row all the same.
    assert (seen.outcome, seen.error_type) in {("failed", "bad_request"), ("failed", "disconnected")}


async def test_a_header_that_cannot_be_sent_is_not_shown(ask: Ask) -> None:
    spec = replace(CHAT, headers={"x-extra": "canary-1\nx: y"})
    seen = await ask(hello, base=spec)
    assert (seen.outcome, seen.error_type) == ("failed", "malformed")
    assert "canary" not in repr(seen)


async def test_bytes_that_nobody_reads_stay_with_the_peer() -> None:
    sent = 0

    async def script(c: Conversation) -> None:
        nonlocal sent
        await c.start()
        while not c.writer.is_closing():
            await c.chunk(b"x" * 65_536)
            sent += 65_536

    async with (
        serving(script) as provider,
        open_client(provider.spec()) as client,
        client.stream("GET", "/") as response,
    ):
        assert response.status_code == 200
        held = -1
        while sent != held:  # until the peer is held off; without that, the test's own time limit ends it
            held = sent
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.02)
