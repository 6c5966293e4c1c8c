"""The fuzzer in small, and that it sees what it is there to see; `make soak` holds a million inputs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire.framing import read
from wire.fuzz import plainly, search
from wire.mutations import make

from providers.sse import Event, EventReader

ROOT = Path(__file__).parents[2]


def test_ten_thousand_spoiled_inputs_decode_alike_however_they_are_cut() -> None:
    command = [sys.executable, "-m", "tests.wire.fuzz", "--inputs", "10000", "--seed", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "; 0 wrong\n" in done.stdout
    for seen in (
        "Text",
        "Reasoning",
        "ToolCall",
        "Reclassified",
        "UsageDelta",
        "malformed",
        "overloaded",
        "listing read",
    ):
        assert re.search(rf"\b{seen} \d", done.stdout), seen


def test_an_input_follows_from_its_seed_and_number() -> None:
    assert make(7, 40) == make(7, 40)
    assert make(7, 40) != make(8, 40)


class ForgetsTheCarriageReturn(EventReader):
    """Takes the second half of a CRLF that came in two reads for a line of its own."""

    def feed(self, chunk: bytes) -> list[Event]:
        events = super().feed(chunk)
        self._after_cr = False
        return events


class DecodesEachRead(EventReader):
    """Decodes each read by itself, so that a character in two reads is lost."""

    def feed(self, chunk: bytes) -> list[Event]:
        return super().feed(chunk.decode("utf-8", "replace").encode())


class SplitsText(EventReader):
    """Splits lines as `str.splitlines` does, also inside JSON strings."""

    def feed(self, chunk: bytes) -> list[Event]:
        return super().feed(re.sub("[\x0b\x0c\x1c\u2028\u0085]".encode(), b"\n", chunk))


class DropsTheLast(EventReader):
    """Has nothing left to say at the end."""

    def close(self) -> list[Event]:
        return []


class Hangs(EventReader):
    """Never comes back from an input that it does not like."""

    def feed(self, chunk: bytes) -> list[Event]:
        while b"</think>" in chunk:
            pass
        return super().feed(chunk)


@pytest.mark.parametrize("broken", [ForgetsTheCarriageReturn, DecodesEachRead, SplitsText, DropsTheLast])
def test_a_broken_reader_is_seen(broken: type[EventReader]) -> None:
    assert search(7, 0, 600, broken).wrong


def test_a_decoder_that_hangs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wire.fuzz.PATIENCE_S", 0.2)
    poison = next(n for n in range(10_000) if (one := make(7, n)).kind == "stream" and b"</think>" in one.pieces[0][0])
    assert "not decoded within" in search(7, poison, poison + 1, Hangs).wrong[poison]


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b"", b"data: a", b"data:b", b"data:", b"data", b"event: e", b": c", b"id: 1", b"data: {}", b"data: [DONE]", b" data: x"]),
        st.binary(max_size=12),
    ),
    max_size=12,
)  # fmt: skip


@given(LINES, st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=12, max_size=12), st.data())
@settings(max_examples=400, deadline=None)
def test_any_lines_with_any_ends_in_any_cuts_are_read_by_the_letter(
    lines: list[bytes], ends: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(line + end for line, end in zip(lines, ends, strict=False))
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]
    assert read(pieces) == plainly(stream)
