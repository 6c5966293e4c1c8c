"""Reads are stamped when they happen, not when somebody comes for them."""

import asyncio
import socket
import time

import pytest

from providers.sockets import SocketFailed, Wire


async def test_a_read_is_stamped_before_its_reader_comes() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    wire = Wire(ours)
    with theirs:
        before = time.monotonic_ns()
        theirs.send(b"one")
        for _ in range(3):  # turns of the loop, of which one is enough
            await asyncio.sleep(0)
        assert wire.is_readable
        after = time.monotonic_ns()
        arrival, data = await wire.receive(100)
        assert data == b"one"
        assert before <= arrival.ns <= after
    wire.close()


async def test_bytes_read_together_keep_their_stamp_when_taken_apart() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    wire = Wire(ours)
    with theirs:
        theirs.send(b"abcdef")
        first = await wire.receive(4)
        second = await wire.receive(4)
    assert (first[1], second[1], first[0]) == (b"abcd", b"ef", second[0])
    assert (await wire.receive(4))[1] == b""
    assert (await wire.receive(4))[1] == b""
    assert wire.is_readable
    wire.close()


async def test_a_closed_wire_fails_its_writer_and_ends_its_reader() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    wire = Wire(ours)
    with theirs:
        reading = asyncio.create_task(wire.receive(4))
        await asyncio.sleep(0)
        wire.close()
        assert (await reading)[1] == b""
        with pytest.raises(SocketFailed, match="Bad file descriptor"):
            await wire.send(b"x")


async def test_nothing_is_lost_when_the_peer_is_faster_than_the_reader() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    wire = Wire(ours)
    sent = bytes(range(256)) * 8192
    sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(theirs, sent))
    got = bytearray()
    while len(got) < len(sent):
        got += (await wire.receive(1000))[1]
    await sending
    assert bytes(got) == sent
    theirs.close()
    wire.close()
