"""An answer's framing: whatever its chunks and its reads, each byte keeps the arrival of the read that brought it."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import h11
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.arrivals import Arrival
from providers.http1 import Connection, Marks, whole_chunks
from providers.sockets import Piece, Wire

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
REQUEST = httpx.Request("GET", "http://x/")


def at(number: int) -> Arrival:
    return Arrival(number, number, number, "socket")


class Batches:
    """A connection whose reads come in batches that a test has laid out; after them, its end."""

    is_readable = False

    def __init__(self, *batches: list[Piece]) -> None:
        self.batches = list(batches)

    async def send(self, _: bytes) -> tuple[int, int]:
        return 1, 2

    async def receive(self, *_: Any) -> list[Piece]:
        return self.batches.pop(0) if self.batches else [(at(-1), b"")]


def batched(reads: list[bytes], sizes: list[int]) -> Iterator[list[Piece]]:
    """The reads, numbered from 1, in batches of such sizes."""
    pieces = [(at(number), data) for number, data in enumerate(reads, 1)]
    for size in [*sizes, len(reads)]:
        if pieces:
            yield pieces[:size]
            pieces = pieces[size:]


async def take(batches: list[list[Piece]]) -> tuple[list[Piece], Marks, bool]:
    """The body's pieces, the marks, and whether the connection may be used again."""
    marks, pieces = Marks(), []
    connection = Connection(("http", "x", 80), cast("Wire", Batches(*batches)))
    await connection.send(REQUEST, marks, None)
    await connection.head(marks, None)
    while batch := await connection.body(marks, None):
        pieces += batch
    return pieces, marks, connection.is_usable_again()


def by_h11(reads: list[bytes]) -> list[Piece]:
    """The same by h11 alone, read by read."""
    pieces: list[Piece] = []
    plain = h11.Connection(h11.CLIENT)
    plain.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    plain.send(h11.EndOfMessage())
    for number, data in enumerate(reads, 1):
        plain.receive_data(data)
        body = b""
        while (event := plain.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            body += bytes(event.data) if isinstance(event, h11.Data) else b""
        if body:
            pieces.append((at(number), body))
    return pieces


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body, and how it may look in chunks."""
    parts = draw(
        st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"4\r\nabcd\r\n"]))
    )
    wire = HEAD
    for part in parts:
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x", b"%x;name=value"])) % len(part)
        wire += size + b"\r\n" + part + b"\r\n"
    return b"".join(parts), wire + draw(st.sampled_from([b"0\r\n\r\n", b"00\r\nx: y\r\n\r\n"]))


@settings(max_examples=400, deadline=None)
@given(streams(), st.lists(st.integers(1, 400), max_size=30), st.lists(st.integers(1, 5), max_size=20))
def test_chunks_are_read_as_h11_reads_them_however_they_are_cut(
    stream: tuple[bytes, bytes], cuts: list[int], sizes: list[int]
) -> None:
    body, wire = stream
    ends = sorted({min(cut, len(wire)) for cut in cuts} | {len(wire)})
    reads = [wire[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    pieces, marks, is_usable = asyncio.run(take(list(batched(reads, sizes))))
    assert pieces == by_h11(reads)
    assert b"".join(data for _, data in pieces) == body
    assert marks.message_end == at(len(reads))
    assert is_usable


@settings(max_examples=200, deadline=None)
@given(streams(), st.lists(st.integers(1, 60), max_size=30), st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_spoiled_chunks_are_an_error_of_the_protocol_or_another_body(
    stream: tuple[bytes, bytes], cuts: list[int], where: int, spoil: bytes
) -> None:
    wire = stream[1]
    where = len(HEAD) + where % (len(wire) - len(HEAD))
    wire = wire[:where] + spoil + wire[where + len(spoil) :]
    reads = [
        HEAD,
        *(wire[start : start + size] for start, size in zip(range(len(HEAD), len(wire), 60), cuts, strict=False)),
    ]
    try:
        pieces, marks, _ = asyncio.run(take(list(batched(reads, []))))
    except h11.RemoteProtocolError:
        return
    assert marks.message_end is not None
    assert all(data for _, data in pieces)


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"3\r\nabc\r\n", b"abc"),
        (b"3\r\nabc\r\n002\r\nde\r\n", b"abcde"),
        (b"A\r\n0123456789\r\n", b"0123456789"),
        (b"3\r\nabc\r\n0\r\n\r\n", None),
        (b"3\r\nabc", None),
        (b"3\r\nabcd\r\n", None),
        (b"3\r\nabc\r\n4", None),
        (b"3;x=y\r\nabc\r\n", None),
        (b"+3\r\nabc\r\n", None),
        (b"0x3\r\nabc\r\n", None),
        (b" 3\r\nabc\r\n", None),
        (b"3\nabc\n", None),
        (b"ffffffffff\r\nabc\r\n", None),
        (b"\r\n3\r\nabc\r\n", None),
    ],
)
def test_only_the_plainest_chunks_are_whole(data: bytes, content: bytes | None) -> None:
    assert whole_chunks(data) == content


async def test_what_came_before_a_failure_is_handed_out_before_it() -> None:
    reads = [HEAD, b"3\r\nabc\r\n", b"3\r\ndef\r\n", b"oops\r\n"]
    marks = Marks()
    connection = Connection(("http", "x", 80), cast("Wire", Batches(list(next(batched(reads, []))))))
    await connection.send(REQUEST, marks, None)
    await connection.head(marks, None)
    assert [data for _, data in await connection.body(marks, None)] == [b"abc", b"def"]
    for _ in range(2):
        with pytest.raises(h11.RemoteProtocolError):
            await connection.body(marks, None)
    assert not connection.is_usable_again()


@pytest.mark.parametrize(
    ("answer", "is_usable"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab", False),
        (b"HTTP/1.1 200 OK\r\n\r\nab", False),
    ],
)
async def test_a_connection_is_used_again_only_if_all_was_said(answer: bytes, is_usable: bool) -> None:
    pieces, marks, usable = await take([[(at(1), answer)]])
    assert (b"".join(data for _, data in pieces), usable) == (b"ab", is_usable)
    assert marks.headers == at(1)
