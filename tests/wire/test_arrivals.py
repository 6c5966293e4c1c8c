"""When bytes arrived: by the kernel where it can be believed, else at the socket; and how sure that is."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wire.loopback import CHAT, DONE, Conversation, data, request, said, serving
from wire.test_transport import certificate, server_side

from providers import arrivals
from providers.arrivals import KernelReads, SocketReads, WallClock, dated_reads, look_at_clocks
from providers.records import Measurement
from providers.transport import open_client

linux = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux stamps what arrives on a TCP socket")
MS = 1_000_000
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(scope="module", autouse=True)
def stamping() -> Iterator[None]:
    """The kernel begins to stamp a little after the first socket asks for it: one that asks for as long as we test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        if hasattr(socket, "TCP_INFO"):
            one.setsockopt(socket.SOL_SOCKET, arrivals._SO_TIMESTAMPNS, 1)
            one.bind(("127.0.0.1", 0))
            one.connect(one.getsockname())
            while True:
                sent = time.time_ns()
                one.send(b"x")
                read = time.time_ns()
                stamp = arrivals._stamp(one.recvmsg(1, 64)[1])
                if stamp is not None and sent <= stamp <= read:  # later, it was made up when we read
                    break
        yield


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a TCP connection: ours, and theirs, which sends each write at once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with ours, theirs:
        yield ours, theirs


class SetClock:
    """The system's clocks, but that a test can set the wall clock."""

    def __init__(self) -> None:
        self.set_by = 0

    def __call__(self) -> tuple[int, int, int]:
        before, wall, after = look_at_clocks()
        return before, wall + self.set_by, after


def is_within(arrival: arrivals.Arrival, span: tuple[int, int]) -> bool:
    """Whether the last byte may have come within the span: a stamp is as sure as two clocks can be compared."""
    return arrival.last_since_ns <= span[1] and span[0] <= arrival.ns


def send(theirs: socket.socket, *pieces: bytes) -> list[tuple[int, int]]:
    """Send each piece as a segment; return the moments around each, in monotonic nanoseconds."""
    spans = []
    for piece in pieces:
        before = time.monotonic_ns()
        theirs.send(piece)
        spans.append((before, time.monotonic_ns()))
    return spans


@linux
def test_a_segment_is_dated_by_the_kernel_however_late_it_is_read(pair: Pair) -> None:
    reads = dated_reads(pair[0])
    ((before, after),) = send(pair[1], b"one")
    while time.monotonic_ns() < after + 2 * MS:
        pass  # we are late
    arrival, got = reads.read(100)
    assert (got, arrival.source) == (b"one", "kernel")
    assert is_within(arrival, (before, after))
    assert arrival.ns - arrival.since_ns < MS / 10


@linux
def test_merged_segments_came_between_the_last_arrival_and_the_last_of_them(pair: Pair) -> None:
    reads = dated_reads(pair[0])
    send(pair[1], b"zero")
    zero, _ = reads.read(100)
    first, last = send(pair[1], b"one", b"two")
    arrival, got = reads.read(100)
    assert (got, arrival.source) == (b"onetwo", "kernel")
    assert is_within(arrival, last)
    assert zero.ns - MS / 10 <= arrival.since_ns <= zero.ns
    assert arrival.since_ns <= first[0]
    send(pair[1], b"three")
    alone, _ = reads.read(100)
    assert alone.ns - alone.since_ns < MS / 10


@linux
def test_the_last_byte_of_merged_segments_came_at_the_stamp(pair: Pair) -> None:
    reads = dated_reads(pair[0])
    send(pair[1], b"one", b"two")
    arrival = reads.read(100)[0]
    last = arrival.of_last_byte()
    assert (last.ns, last.source) == (arrival.ns, arrival.source)
    assert arrival.since_ns < last.since_ns <= last.ns
    assert last.ns - last.since_ns < MS / 10


@linux
def test_a_read_that_leaves_bytes_behind_is_taken_for_merged(pair: Pair) -> None:
    reads = dated_reads(pair[0])
    created = time.monotonic_ns()
    send(pair[1], b"abcdef")
    whole, rest = reads.read(4)[0], reads.read(4)[0]
    assert whole.since_ns <= created
    assert rest.since_ns <= whole.ns <= rest.ns


@linux
@pytest.mark.parametrize("step_ms", [3_600_000, 3, -3, -3_600_000])
def test_a_wall_clock_that_was_set_leaves_one_read_to_the_socket(pair: Pair, step_ms: int) -> None:
    clock = SetClock()
    reads = dated_reads(pair[0], look=clock)
    send(pair[1], b"zero")
    zero, _ = reads.read(100)
    ((before, _),) = send(pair[1], b"one")
    clock.set_by = step_ms * MS
    jumped, _ = reads.read(100)
    assert jumped.source == "socket"
    assert before <= jumped.ns <= time.monotonic_ns()
    assert jumped.since_ns == zero.ns
    clock.set_by = 0
    assert reads._clock.is_steady() is False  # type: ignore[attr-defined]
    send(pair[1], b"two")
    assert reads.read(100)[0].source == "kernel"


@linux
@pytest.mark.parametrize("step_ms", [3_600_000, 3, -3_600_000])
def test_a_stamp_that_cannot_be_is_not_used(pair: Pair, step_ms: int) -> None:
    """The clock looks steady, yet its distance is wrong from the start: stamps come out after the read, or too early."""
    clock = SetClock()
    clock.set_by = step_ms * MS
    reads = dated_reads(pair[0], look=clock)
    send(pair[1], b"one")
    before = time.monotonic_ns()
    arrival, _ = reads.read(100)
    assert arrival.source == "socket"
    assert before <= arrival.ns <= time.monotonic_ns()


@linux
def test_segments_out_of_order_are_dated_at_the_socket(pair: Pair) -> None:
    reads = dated_reads(pair[0])
    assert isinstance(reads, KernelReads)
    reads._disordered = -1  # as if the kernel's count had changed: loopback never disorders
    send(pair[1], b"one")
    assert reads.read(100)[0].source == "socket"
    send(pair[1], b"two")
    assert reads.read(100)[0].source == "kernel"


def test_without_stamps_the_socket_dates_a_read_and_says_since_when(pair: Pair) -> None:
    reads = dated_reads(pair[0], kernel=False)
    begun = time.monotonic_ns()
    ((before, _),) = send(pair[1], b"one")
    one, _ = reads.read(100)
    assert (type(reads), one.source) == (SocketReads, "socket")
    assert one.since_ns <= begun <= before <= one.ns
    send(pair[1], b"two")
    two, _ = reads.read(100)
    assert before <= two.since_ns <= one.ns <= two.ns


def test_a_socket_that_is_not_tcp_is_dated_at_the_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert type(dated_reads(ours)) is SocketReads


def looks(*readings: tuple[int, int, int]) -> Callable[[], tuple[int, int, int]]:
    return iter(readings).__next__


def test_each_look_narrows_the_bounds() -> None:
    clock = WallClock(looks((1_000, 0, 9_000), (2_000, 0, 9_500), (21_000, 20_000, 24_000), (5_000, 2_000, 5_100)))
    assert (clock.low, clock.high) == (2_000, 9_000)
    assert clock.is_steady()
    assert (clock.low, clock.high) == (2_000, 4_000)
    assert clock.is_steady()
    assert (clock.low, clock.high) == (3_000, 3_100)


def test_a_look_that_contradicts_the_bounds_begins_them_anew() -> None:
    clock = WallClock(looks((1_000, 0, 2_000), (1_000, 0, 2_000), (9_000, 0, 9_500), (9_000, 0, 9_200)))
    assert not clock.is_steady()
    assert (clock.low, clock.high) == (9_000, 9_500)
    assert clock.is_steady()


async def tokens(c: Conversation) -> None:
    """Two tokens that come in one segment, and the end."""
    await c.start()
    bodies = [data(said("Hel")), data(said("lo", "stop"))]
    await c.send(b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies))
    await c.chunk(DONE)
    await c.end()


def check(seen: Measurement, source: str) -> None:
    assert (seen.outcome, seen.response_text, seen.timing_source) == ("ok", "Hello", source)
    assert seen.timing_uncertainty_ms is not None
    assert seen.total_latency_ms is not None
    assert 0 <= seen.timing_uncertainty_ms <= seen.total_latency_ms + 1


@linux
@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_measurement_says_who_stamped_it_and_how_sure_it_is(tmp_path: Path, encrypted: bool) -> None:
    tls = server_side(certificate(tmp_path)) if encrypted else None
    for kernel in (True, False):
        async with serving(tokens, tls) as provider, open_client(CHAT, verify=False, kernel_stamps=kernel) as client:
            for _ in range(2):
                check(await request(client, provider.spec()), "kernel" if kernel else "socket")


def busy(ms: float) -> None:
    """Keep the event loop, and so our own reader, from doing anything else."""
    until = time.monotonic_ns() + int(ms * MS)
    while time.monotonic_ns() < until:
        pass


@linux
async def test_our_own_lateness_is_not_the_providers_latency() -> None:
    async def script(c: Conversation) -> None:
        c.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body))
        c.writer.write(body)  # goes out at once
        busy(30)

    body = data(said("a", "stop")) + DONE
    totals = {}
    for kernel in (True, False):
        async with serving(script) as provider, open_client(CHAT, kernel_stamps=kernel) as client:
            totals[kernel] = [(await request(client, provider.spec())).total_latency_ms or 0 for _ in range(3)]
    assert min(totals[True]) < 30 <= min(totals[False])


@linux
@pytest.mark.parametrize("kernel", [True, False])
async def test_merged_segments_widen_the_interval(kernel: bool) -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        c.writer.write(b"%x\r\n%b\r\n" % (len(data(said("a"))), data(said("a"))))
        busy(10)
        c.writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data(said("b", "stop"))), data(said("b", "stop"))))

    async with serving(script) as provider, open_client(CHAT, kernel_stamps=kernel) as client:
        seen = await request(client, provider.spec())
    assert seen.ttft_ms is not None
    assert seen.timing_uncertainty_ms is not None
    assert seen.timing_uncertainty_ms >= 10
    assert seen.ttft_ms >= 10  # the stamp of the second token: the first is somewhere before it
    assert seen.timing_source == ("kernel" if kernel else "socket")


@linux
async def test_what_ended_its_read_is_certain_whatever_was_merged_before_it() -> None:
    """The role, 10 ms later the first token: one read for us. Later the rest and, 10 ms after it, the end: another."""

    async def script(c: Conversation) -> None:
        read = asyncio.Event()
        await c.start()
        for early, late in (([said("")], [said("a")]), ([said("b"), said(None, "stop")], [])):
            for bodies in (early, late):
                c.writer.writelines(b"%x\r\n%b\r\n" % (len(data(body)), data(body)) for body in bodies)
                busy(10)
            if late:
                asyncio.get_running_loop().call_later(0.01, read.set)
                await read.wait()
        await c.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(DONE), DONE))

    async with serving(script) as provider, open_client(CHAT) as client:
        seen = [await request(client, provider.spec()) for _ in range(3)]
    assert min(one.ttft_ms or 0 for one in seen) >= 10
    assert min(one.timing_uncertainty_ms or 0 for one in seen) < 5
    assert {one.timing_source for one in seen} == {"kernel"}


async def test_what_is_not_stamped_has_no_source(unused_port: int) -> None:
    from dataclasses import replace

    spec = replace(CHAT, base_url=f"http://127.0.0.1:{unused_port}")
    async with open_client(spec) as client:
        seen = await request(client, spec)
    assert (seen.timing_source, seen.timing_uncertainty_ms) == (None, None)


async def test_a_connection_that_breaks_is_dated_at_the_socket() -> None:
    async def script(c: Conversation) -> None:
        await c.start()
        c.reset()

    async with serving(script) as provider, open_client(CHAT) as client:
        seen = await request(client, provider.spec())
    assert seen.outcome == "incomplete"
    assert seen.timing_source == "socket"
    assert seen.timing_uncertainty_ms is not None
