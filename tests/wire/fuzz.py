"""Decode a great many spoiled inputs, each cut in three ways: nothing may crash, hang, grow, or depend on the cuts.

    python -m tests.wire.fuzz --inputs 1000000 --seed 1

An input follows from seed and number alone: `--only NUMBER` looks at one again and shows it. Exit code 1 says that something is wrong.
"""

import argparse
import asyncio
import faulthandler
import json
import math
import os
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

import httpx
import orjson

from providers.arrivals import Arrival
from providers.catalog import fetch_catalog
from providers.dialects import DIALECTS
from providers.dialects.deltas import Delta, Failure, Finish, Reasoning, Text, ToolCall, UsageDelta
from providers.errors import Garbled, WireError
from providers.measure import measure
from providers.records import Deadlines, Dialect, Prompt, ProviderSpec
from providers.redact import EXCERPT_BYTES, excerpt, label
from providers.sse import Event, EventReader
from providers.tally import Tally

from .mutations import Input, make

PATIENCE_S = 10.0  # of this process's own time for one input; more is a hang
MOST_MB = 320.0  # of a process at its largest, however many inputs it saw: the largest input is 3 MB, and text is held several times
_BATCH = 2000
_SHOWN = 50  # batches between two lines that say how far it is
_SHOWN_CHARACTERS = 4000  # of what is wrong
_ERROR_TYPES = {
    "authentication", "payment", "permission", "not_found", "rate_limit", "quota", "bad_request", "overloaded", "server", "provider",
    "malformed", "content_type", "line_too_long", "response_too_large", "disconnected",
}  # fmt: skip
_REASONS = {"stop", "length", "tool_calls", "content_filter", "other"}
_NOW = Arrival(1, 1, 1, "socket")
_PROMPT = Prompt("How many legs has a spider?")
_KEY = "sk-canary-0123456789"  # it is among what inputs are spoiled with
_TIMED = {"tps", "rate_limits"}  # columns of a result that depend on when it came
_SPEC = ProviderSpec("acme", "custom", "chat", "http://127.0.0.1", "/chat/completions", "/models")


Headers = tuple[tuple[str, str], ...]


class Wrong(Exception):
    """What a decoder did and may not do; the text says what."""


@dataclass(slots=True)
class Findings:
    """What a number of inputs came to: what was seen of each sort, and what is wrong, by the input's number."""

    seen: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, str] = field(default_factory=dict)
    slowest_ms: float = 0.0
    slowest: int = 0
    most_mb: float = 0.0

    def add(self, other: "Findings") -> None:
        """These and those."""
        self.seen.update(other.seen)
        self.wrong |= other.wrong
        if other.slowest_ms > self.slowest_ms:
            self.slowest_ms, self.slowest = other.slowest_ms, other.slowest
        self.most_mb = max(self.most_mb, other.most_mb)


class Bench:
    """Looks at inputs, one after another. `reader` is what is under test in the decoding of streams."""

    def __init__(self, reader: type[EventReader] = EventReader) -> None:
        self._reader = reader
        self._status, self._headers = 200, cast("Headers", ())
        self._pieces: list[bytes] = []
        self._client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer), trust_env=False)

    def look(self, one: Input) -> Counter[str]:
        """What was seen in one input. Raises Wrong, and whatever a decoder raises and must not."""
        seen: Counter[str] = Counter({one.kind: 1})
        match one.kind:
            case "stream":
                self._stream(one, seen)
            case "body":
                deltas = DIALECTS[one.dialect].decode_json(one.data)
                _sane(deltas)
                if not deltas or type(deltas[-1]).__name__ not in {"End", "Failure"}:
                    raise Wrong("a document that neither ends nor fails")
                seen.update(type(delta).__name__ for delta in deltas)
            case "error":
                error = DIALECTS[one.dialect].parse_error(one.status, {"content-type": "application/json"}, one.data)
                _sane_error(error)
                seen[error.error_type] += 1
            case "listing":
                self._listing(one, seen)
            case "answer":
                self._measure(one, seen)
        return seen

    def _stream(self, one: Input, seen: Counter[str]) -> None:
        whole = self._through(one.dialect, one.pieces[0])
        _sane(whole[0])
        for number, pieces in enumerate(one.pieces[1:], 1):
            other = self._through(one.dialect, pieces)
            if not _same(whole, other):
                raise Wrong(f"cut {number} decodes otherwise:\n  {whole}\n  {other}")
        if whole[1] is None and len(one.data) < 1 << 18 and self._events(one.pieces[0]) != plainly(one.data):
            raise Wrong("the events are not those of the plain reading")
        seen.update(type(delta).__name__ for delta in whole[0])
        seen.update([delta.error.error_type for delta in whole[0] if isinstance(delta, Failure)])
        seen[whole[1] or ("over" if whole[2] else "ended")] += 1

    def _through(self, dialect: str, pieces: list[bytes]) -> tuple[list[Delta], str | None, bool, Any]:
        """As a measurement decodes: deltas that count, the reader's error, whether it was over, and the sum."""
        reader, decoder, tally = self._reader(), DIALECTS[dialect].Decoder(), Tally()
        taken: list[Delta] = []

        def take(events: list[Event]) -> None:
            for event in events:
                for delta in decoder.feed(event):
                    if tally.is_over:
                        return
                    tally.take(delta, _NOW)
                    taken.append(delta)

        error = None
        try:
            for piece in pieces:
                if events := reader.feed(piece):
                    take(events)
                    if tally.is_over:
                        break
            else:
                take(reader.close())
        except Garbled as garbled:
            error = garbled.error_type
        text = tally.text()
        text.encode()
        if "\x00" in text:
            raise Wrong("a null character in the text")
        rest = () if tally.is_over or error else (reader.comments, reader.truncated)
        return taken, error, tally.is_over, (text, dict(tally.tokens(_PROMPT)), tally.is_complete, rest)

    def _events(self, pieces: list[bytes]) -> list[Event]:
        reader = self._reader()
        return [event for piece in pieces for event in reader.feed(piece)] + reader.close()

    def _listing(self, one: Input, seen: Counter[str]) -> None:
        ends = []
        for pieces in one.pieces:
            self._status, self._headers, self._pieces = 200, (("content-type", "application/json"),), pieces
            try:
                catalog = asyncio.run(fetch_catalog(self._client, _SPEC, None))
                ends.append(("read", len(catalog.models), repr(catalog)))
            except WireError as error:
                _sane_error(error)
                ends.append((error.error_type, 0, repr(error)))
        if len(set(ends)) > 1:
            raise Wrong("a listing that is cut otherwise reads otherwise:\n  " + "\n  ".join(map(str, ends)))
        seen[f"listing {ends[0][0]}"] += 1
        seen["models"] += ends[0][1]

    def _measure(self, one: Input, seen: Counter[str]) -> None:
        spec = replace(_SPEC, dialect=cast("Dialect", one.dialect))
        rows = []
        for pieces in one.pieces:
            self._status, self._headers, self._pieces = one.status, one.headers, pieces
            asking = measure(self._client, spec, "m", _PROMPT, api_key=_KEY, deadlines=Deadlines(), request_id="r")
            row = asdict(asyncio.run(asking))
            orjson.dumps(row)
            if _KEY in repr(row):
                raise Wrong(f"the key is in the row: {row}")
            if row["error_type"] == "content_type":
                row["error_message"] = None  # it shows the first bytes that came
            rows.append({name: row[name] for name in row if not name.endswith("_ms") and name not in _TIMED})
        if any(row != rows[0] for row in rows):
            raise Wrong("an answer that is cut otherwise is measured otherwise:\n  " + "\n  ".join(map(str, rows)))
        seen[f"measured {rows[0]['outcome']}"] += 1

    def _answer(self, _: httpx.Request) -> httpx.Response:
        headers = [(name, text.encode("utf-8")) for name, text in self._headers]
        return httpx.Response(self._status, headers=headers, stream=_Pieces(self._pieces))


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def plainly(stream: bytes) -> list[Event]:
    """The events of a whole stream, by the letter and without haste: what the reader is held against."""
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))
    events: list[Event] = []
    name: str | None = None
    data: list[bytes] = []
    for line in [*lines[:-1], *([lines[-1]] if lines[-1] else []), None]:
        if line:
            key, _, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if key == b"data":
                data.append(value)
            elif key == b"event":
                name = value.decode("utf-8", "replace")
            continue
        if data:
            events.append(Event(name, b"\n".join(data).decode("utf-8", "replace")))
            if line is None and not _is_whole(events[-1].data):
                events.pop()
        name, data = None, []
    return events


def _is_whole(data: str) -> bool:
    try:
        return data.strip() == "[DONE]" or json.loads(data) is not ...
    except (ValueError, RecursionError):
        return False


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return one[1:] == other[1:] and [*map(_comparable, one[0])] == [*map(_comparable, other[0])]


def _comparable(delta: Delta) -> Any:
    return (type(delta.error), asdict(delta.error)) if isinstance(delta, Failure) else delta


def _sane(deltas: list[Delta]) -> None:
    for delta in deltas:
        match delta:
            case Text(text) | Reasoning(text):
                good = isinstance(text, str) and text != ""
            case ToolCall():
                good = delta.index >= 0 and isinstance(delta.arguments, str)
            case UsageDelta(usage):
                numbers = [value for value in asdict(usage).values() if value is not None]
                good = all(math.isfinite(number) and 0 <= number < 1e16 for number in numbers)
            case Finish():
                good = delta.reason in _REASONS and delta.raw != ""
            case Failure(error):
                _sane_error(error)
                good = True
            case _:
                good = True
        if not good:
            raise Wrong(f"not a delta to be: {delta!r}")


def _sane_error(error: WireError) -> None:
    if error.error_type not in _ERROR_TYPES or not error.message or not isinstance(error.message, str):
        raise Wrong(f"not an error to be: {error!r}")
    if len(excerpt(error.message, (_KEY,)).encode()) > EXCERPT_BYTES:
        raise Wrong("an excerpt that is too long")
    (label(error.error_code) or "").encode()


def search(seed: int, start: int, stop: int, reader: type[EventReader] = EventReader) -> Findings:
    """Look at the inputs from `start` to before `stop`."""
    findings = Findings()
    signal.signal(signal.SIGPROF, _too_slow)
    bench = Bench(reader)
    for index in range(start, stop):
        one = make(seed, index)
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S)
        try:
            findings.seen.update(bench.look(one))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what is looked for
            findings.wrong[index] = f"{type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        took_ms = (time.process_time() - began) * 1e3
        if took_ms > findings.slowest_ms:
            findings.slowest_ms, findings.slowest = took_ms, index
    findings.most_mb = _memory_mb()
    return findings


def _too_slow(*_: object) -> None:
    raise Wrong(f"not decoded within {PATIENCE_S:g} s")


def _memory_mb() -> float:
    """The most that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


def _batch(arguments: tuple[int, int, int]) -> Findings:
    faulthandler.dump_traceback_later(600, exit=True)  # for a hang that no signal can end
    findings = search(*arguments)
    faulthandler.cancel_dump_traceback_later()
    return findings


def _side_by_side(seed: int, inputs: int, processes: int) -> Iterator[Findings]:
    batches = [(seed, start, min(start + _BATCH, inputs)) for start in range(0, inputs, _BATCH)]
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_batch, batches)


def main() -> None:
    """Print what was seen and what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.wire.fuzz", description="Spoiled inputs for the decoders.")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="look at this one input and show it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if arguments.only is not None:
        print(make(arguments.seed, arguments.only))
        print(Bench().look(make(arguments.seed, arguments.only)))
        return
    findings, began = Findings(), time.monotonic()
    for number, batch in enumerate(_side_by_side(arguments.seed, arguments.inputs, arguments.processes), 1):
        findings.add(batch)
        if number % _SHOWN == 0:
            print(f"{number * _BATCH} inputs", file=sys.stderr)
        for index, what in batch.wrong.items():
            print(f"WRONG number {index}: {what[:_SHOWN_CHARACTERS]}", file=sys.stderr)
    seconds = time.monotonic() - began
    print(
        f"{arguments.inputs} inputs of seed {arguments.seed} in {seconds:.0f} s ({arguments.inputs / seconds:.0f}/s); slowest {findings.slowest_ms:.0f} ms "
        f"(number {findings.slowest}); {findings.most_mb:.0f} MB at most; {len(findings.wrong)} wrong"
    )
    print(", ".join(f"{name} {count}" for name, count in findings.seen.most_common()))
    if findings.wrong or findings.most_mb > MOST_MB:
        sys.exit(1)


if __name__ == "__main__":
    main()
