"""Reads are dated when they happen, not when somebody comes for them."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from providers.sockets import Piece, SocketFailed, Wire

LONG_S = 60.0  # a patience that no test waits for: what comes earlier came without it


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Wire, socket.socket]]:
    """Our end of a connection, and theirs."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    wire = Wire(ours)
    with theirs:
        yield wire, theirs
        wire.close()


async def turns(count: int = 3) -> None:
    """Turns of the loop, of which one is enough for it to read."""
    for _ in range(count):
        await asyncio.sleep(0)


def joined(pieces: list[Piece]) -> bytes:
    return b"".join(data for _, data in pieces)


async def test_a_read_is_dated_before_its_reader_comes(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    before = time.monotonic_ns()
    theirs.send(b"one")
    await turns()
    assert wire.is_readable
    after = time.monotonic_ns()
    ((arrival, data),) = await wire.receive()
    assert data == b"one"
    assert before <= arrival.ns <= after
    assert wire.heard_ns == arrival.ns


async def test_reads_that_waited_come_together_each_with_its_own_date(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    for piece in (b"one", b"two"):
        theirs.send(piece)
        await turns()
    first, second = await wire.receive()
    assert (first[1], second[1]) == (b"one", b"two")
    assert first[0].ns < second[0].ns


async def test_the_end_is_no_bytes_and_stays(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    theirs.send(b"abc")
    theirs.close()
    got = await wire.receive()
    while got[-1][1]:
        got += await wire.receive()
    assert joined(got) == b"abc"
    assert joined(await wire.receive()) == b""
    assert wire.is_readable


async def test_a_patient_reader_is_given_all_that_came_meanwhile(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    reading = asyncio.create_task(wire.receive(0.02))
    await turns(1)
    for number in range(5):
        theirs.send(b"%d" % number)
        await turns()
    assert [data for _, data in await reading] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("what", ["last bytes", "the end", "a flood", "hurry"])
async def test_a_patient_reader_need_not_wait(ends: tuple[Wire, socket.socket], what: str) -> None:
    wire, theirs = ends
    reading = asyncio.create_task(wire.receive(LONG_S, b"."))
    await turns(1)
    theirs.send(b"one")
    await turns()
    assert not reading.done()
    sent = b"one"
    match what:
        case "last bytes":
            sent += b"two."
            theirs.send(b"two.")
        case "the end":
            theirs.close()
        case "a flood":
            while not reading.done():
                sent += b"x" * theirs.send(b"x" * 4096)
                await turns()
        case "hurry":
            wire.hurry()
    got = await asyncio.wait_for(reading, 5)
    assert sent.startswith(joined(got))
    assert len(joined(got)) >= len(sent) - 4096


async def test_readers_are_called_one_in_a_turn_so_that_sockets_are_read_in_between() -> None:
    pairs = [socket.socketpair() for _ in range(4)]
    wires = []
    for ours, _ in pairs:
        ours.setblocking(False)
        wires.append(Wire(ours))
    reading = [asyncio.create_task(wire.receive(LONG_S, b".")) for wire in wires]
    await turns(1)
    for _, theirs in pairs:
        theirs.send(b"x.")
    counts = [0]
    while counts[-1] < len(pairs):
        await turns(1)
        counts.append(sum(task.done() for task in reading))
    assert {later - earlier for earlier, later in pairwise(counts)} <= {0, 1}
    assert [joined(await task) for task in reading] == [b"x."] * 4
    for wire, (_, theirs) in zip(wires, pairs, strict=True):
        wire.close()
        theirs.close()


async def test_a_hurry_without_bytes_wakes_nobody(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    reading = asyncio.create_task(wire.receive(LONG_S))
    await turns(1)
    wire.hurry()
    await turns()
    assert not reading.done()
    theirs.send(b"x")
    await turns()
    wire.hurry()
    assert joined(await reading) == b"x"


async def test_a_reader_that_leaves_takes_nothing_along(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    reading = asyncio.create_task(wire.receive(LONG_S))
    await turns(1)
    theirs.send(b"x")
    await turns()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert joined(await wire.receive()) == b"x"


async def test_a_closed_wire_fails_its_writer_and_ends_its_reader(ends: tuple[Wire, socket.socket]) -> None:
    wire, _ = ends
    reading = asyncio.create_task(wire.receive(LONG_S))
    await turns(1)
    wire.close()
    assert joined(await reading) == b""
    with pytest.raises(SocketFailed, match="Bad file descriptor"):
        await wire.send(b"x")


async def test_nothing_is_lost_when_the_peer_is_faster_than_the_reader(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    sent = bytes(range(256)) * 8192
    sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(theirs, sent))
    got = bytearray()
    while len(got) < len(sent):
        pieces = await wire.receive()
        assert len(joined(pieces)) < 128 << 10  # the rest stays with the peer
        got += joined(pieces)
        await turns()
    await sending
    assert bytes(got) == sent
