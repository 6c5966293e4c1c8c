"""One run's part of the spool: what it planned, intended, measured and landed. `analytics.store.spool` says why and how."""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from analytics.durable import make_directory
from analytics.errors import BadRows, Corrupt, SpoolFull, UnknownName
from analytics.store.journal import Contents, Journal, Span, add_lines
from analytics.store.protocol import Landing, Store
from analytics.store.rows import Row, now_text, to_text

_ROOM_PER_CALL = 256 * 1024  # bytes reserved for an answer before its question is paid for
_ROWS_AT_ONCE = 1_000
_BYTES_AT_ONCE = 8 * 1024 * 1024
_ABORTED = "the program ended while this call was under way; the provider may have billed it"
_SKIPPED = "the program ended before this call was made"


@dataclass(slots=True)
class _Result:
    """A recorded result: where it lies in the file, or the row itself while the disk does not take it."""

    id: str
    row: Row | None
    span: Span | None


@dataclass(frozen=True, slots=True)
class _Ack:
    """How much of a run the store of this epoch has."""

    epoch: str
    count: int
    finished: bool


@dataclass(slots=True)
class RunState:
    """What a run's lines add up to."""

    run: Row
    planned: dict[str, Row] = field(default_factory=dict)
    intents: dict[str, Row] = field(default_factory=dict)
    results: list[_Result] = field(default_factory=list)
    recorded: set[str] = field(default_factory=set)
    finished_at: str | None = None
    ack: _Ack | None = None

    @classmethod
    def of(cls, contents: Contents, name: str) -> "RunState":
        """The state after these lines; Corrupt if the run's own row is not among them."""
        if not contents.lines or contents.lines[0][0].get("kind") != "run":
            raise Corrupt(f"{name}: the line that describes the run is damaged")
        state = cls(contents.lines[0][0]["row"])
        for record, span in contents.lines[1:]:
            match record["kind"]:
                case "plan":
                    state.planned[record["row"]["id"]] = record["row"]
                case "intent":
                    state.intents[record["row"]["id"]] = record["row"]
                case "result":
                    state.results.append(_Result(record["row"]["id"], None, span))
                    state.recorded.add(record["row"]["id"])
                case "finish":
                    state.finished_at = record["at"]
                case "ack":
                    state.ack = _Ack(record["epoch"], record["count"], record["finished"])
        if contents.damaged:
            state.ack = None  # its count no longer says which results it means; landing them again is harmless
        return state

    @property
    def is_complete(self) -> bool:
        """Whether the store of the last acknowledgement has everything, and nothing more will come."""
        return (
            self.ack is not None
            and self.ack.finished
            and self.ack.count == len(self.results)
            and self.recorded >= self.planned.keys() | self.intents.keys()
        )


class RunSpool:
    """The spool of one run that this process owns. Thread-safe; landing does not hold up recording."""

    def __init__(self, directory: Path, journal: Journal, state: RunState, floor_bytes: int) -> None:
        self._directory = directory
        self._journal = journal
        self._state = state
        self._floor_bytes = floor_bytes
        self._lock = threading.Lock()
        self._landing = threading.Lock()
        self._held: list[tuple[Row, _Result | None]] = []  # lines that the disk has not taken yet, in order
        self._under_way = state.intents.keys() - state.recorded
        self._landed_in: str | None = None  # the epoch of the store that has all there was at the last landing
        self._is_closed = False

    @property
    def run_id(self) -> str:
        """The id of the run, which names its file."""
        return str(self._state.run["id"])

    def intend(self, result_id: str) -> None:
        """Make durable that the call of this planned result is about to be made. Call it BEFORE the call, for every call.

        SpoolFull: there is no room to record the result, the call must not be made. UnknownName: it was not planned.
        BadRows: it was already intended or recorded, and would be paid twice.
        """
        with self._lock:
            self._require_open()
            state = self._state
            if result_id not in state.planned:
                raise UnknownName(f"the result {result_id} was not planned in the run {self.run_id}")
            if result_id in state.intents or result_id in state.recorded:
                raise BadRows(f"the call of the result {result_id} was already made")
            row = {**state.planned[result_id], "created_at": now_text()}
            try:
                require_room(self._directory, self._floor_bytes)
                self._flush()
                self._journal.reserve((len(self._under_way) + 1) * _ROOM_PER_CALL)
                self._journal.append([{"kind": "intent", "row": row}])
            except OSError as error:
                raise SpoolFull(
                    f"{self._directory}: {error.strerror}; no call is made whose result could be lost"
                ) from error
            state.intents[result_id] = row
            self._under_way.add(result_id)

    def record(self, result: Mapping[str, Any]) -> None:
        """Make a result durable: a row of `benchmark_results`, or what it adds to the planned one.

        It never fails for a full disk: the row is then kept in memory, landed from there, and written as soon as there is room;
        until then `intend` raises SpoolFull.
        """
        with self._lock:
            self._require_open()
            row = {**self._state.planned.get(str(result["id"]), {}), **result}
            self._add_result(row)
            self._try_flush()

    def finish(self, finished_at: datetime | str) -> None:
        """Record that the run has ended. What was planned but never recorded is left to `Spool.recover`."""
        with self._lock:
            self._require_open()
            moment = finished_at if isinstance(finished_at, str) else to_text(finished_at)
            self._state.finished_at = moment
            self._held.append(({"kind": "finish", "at": moment}, None))
            self._try_flush()

    def withdraw(self) -> None:
        """Remove the run as if it had never been begun. BadRows if a call was made: what was paid for is kept."""
        with self._landing, self._lock:
            self._require_open()
            if self._state.intents or self._state.results:
                raise BadRows(f"the run {self.run_id} has begun and cannot be withdrawn")
            self._is_closed = True
            self._journal.remove()

    def land(self, store: Store) -> Landing:
        """Land the run's row and whatever this store has not acknowledged.

        Acknowledges what is committed, also when a later part fails: StoreUnavailable and SchemaMismatch leave the rest for the
        next time. BadRows: the store does not take the run itself.
        """
        with self._landing:
            self._require_open()
            total = Landing(store.epoch())
            while True:
                with self._lock:
                    part, done = self._next_part(total.epoch)
                    if done:
                        self._landed_in = total.epoch
                        return total
                rows, damaged = self._load(part)
                landing = store.land_results([part.run], rows)
                if landing.epoch != total.epoch:
                    total = replace(total, epoch=landing.epoch)  # made anew in this moment: land everything again
                    continue
                self._set_aside(rows, landing, damaged)
                total = _sum(total, replace(landing, refused=(*landing.refused, *damaged)))
                with self._lock:
                    count = part.start + len(part.results)
                    ack = _Ack(landing.epoch, count, finished=part.run["finished_at"] is not None)
                    self._state.ack = ack
                    line = {"kind": "ack", "epoch": ack.epoch, "count": count, "finished": ack.finished}
                    self._held.append((line, None))
                    self._try_flush()

    def settle(self, now: str) -> tuple[int, int]:
        """Give every planned result that has none an outcome, and the run an end; the numbers of aborted and skipped ones.

        Only for a run whose program has ended. The rows depend on the file alone, so that settling again after a kill makes the
        same ones; the run counts as finished `now`.
        """
        with self._lock:
            state = self._state
            aborted = [row for result_id, row in state.intents.items() if result_id not in state.recorded]
            begun = state.intents.keys() | state.recorded
            skipped = [row for result_id, row in state.planned.items() if result_id not in begun]
            for row in aborted:
                self._add_result({**row, **_outcome("aborted", "interrupted", _ABORTED)})
            for row in skipped:
                fate = _outcome("skipped", "run_interrupted", _SKIPPED)
                self._add_result({**row, **fate, "created_at": state.run["started_at"]})
            if state.finished_at is None:
                state.finished_at = now
                self._held.append(({"kind": "finish", "at": state.finished_at}, None))
            self._try_flush()
            return len(aborted), len(skipped)

    def close(self) -> None:
        """Let go of the run: its file is removed if the store has all of it, else it stays for `Spool.recover`.

        SpoolFull: results that are neither on the disk nor in the store are lost with this process.
        """
        with self._landing, self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            # An acknowledgement read from the file may be that of a database which is gone: ours must have been asked.
            if self._landed_in is not None and self._state.is_complete:
                self._journal.remove()
                return
            self._try_flush()
            self._journal.close()
            landed = self._state.ack.count if self._state.ack else 0
            lost = [result.id for result in self._state.results[landed:] if result.span is None]
            if lost:
                raise SpoolFull(
                    f"{self._directory}: {len(lost)} results of the run {self.run_id} could not be kept: {lost}"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- inside ------------------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._is_closed:  # its descriptor may be somebody else's file by now
            raise BadRows(f"the spool of the run {self.run_id} was closed")

    def _add_result(self, row: Row) -> None:
        result = _Result(str(row["id"]), row, None)
        self._state.results.append(result)
        self._state.recorded.add(result.id)
        self._under_way.discard(result.id)
        self._held.append(({"kind": "result", "row": row}, result))

    def _flush(self) -> None:
        """Write the lines that wait. OSError: they go on waiting."""
        if not self._held:
            return
        spans = self._journal.append([line for line, _ in self._held])
        for (_, result), span in zip(self._held, spans, strict=True):
            if result is not None:
                result.row, result.span = None, span
        self._held.clear()

    def _try_flush(self) -> None:
        try:
            self._flush()
        except OSError:
            return  # `_held` keeps the lines; `intend` raises SpoolFull and `close` names what is lost

    def _next_part(self, epoch: str) -> tuple["_Part", bool]:
        """The results that go into the next transaction, and whether there is nothing left to land."""
        state = self._state
        ack = state.ack if state.ack and state.ack.epoch == epoch else None
        start = ack.count if ack else 0
        size, chosen = 0, list[_Result]()
        for result in state.results[start : start + _ROWS_AT_ONCE]:
            if chosen and size + (result.span.length if result.span else 0) > _BYTES_AT_ONCE:
                break
            size += result.span.length if result.span else 0
            chosen.append(result)
        is_last = start + len(chosen) == len(state.results)
        # A run is over when its last result is in, not before.
        run = {**state.run, "finished_at": state.finished_at if is_last else None}
        is_done = ack is not None and not chosen and ack.finished == (state.finished_at is not None)
        return _Part(run, start, chosen), is_done

    def _load(self, part: "_Part") -> tuple[list[Row], list[tuple[str, str]]]:
        """The rows of a part, and (id, reason) of those whose line can no longer be read."""
        rows, damaged = list[Row](), list[tuple[str, str]]()
        for result in part.results:
            with self._lock:
                row, span = result.row, result.span
            if row is None:
                assert span is not None, "a result is in memory or in the file"
                try:
                    row = self._journal.read(span)["row"]
                except Corrupt as error:
                    damaged.append((result.id, str(error)))
                    continue
            rows.append(row)
        return rows, damaged

    def _set_aside(self, rows: Sequence[Row], landing: Landing, damaged: Sequence[tuple[str, str]]) -> None:
        """Keep what did not land where a person finds it; before the acknowledgement, so that a kill repeats it."""
        reasons = {
            **dict(landing.refused),
            **dict.fromkeys(landing.alarms, "the store has other content under this id"),
        }
        aside: list[Row] = [{"why": reasons[str(row["id"])], "row": row} for row in rows if str(row["id"]) in reasons]
        aside += [{"why": why, "row": {"id": result_id}} for result_id, why in damaged]
        add_aside(self._directory, self.run_id, aside)


@dataclass(frozen=True, slots=True)
class _Part:
    """The results from number `start` on that land together, with their run's row."""

    run: Row
    start: int
    results: list[_Result]


def add_aside(directory: Path, run_id: str, records: Sequence[Row]) -> None:
    """Make durable what the store refused of a run, in `refused/` below the spool; raises `SpoolFull`."""
    if not records:
        return
    try:
        add_lines(directory / "refused" / f"{run_id}.jsonl", records)
    except OSError as error:
        raise SpoolFull(f"{directory / 'refused'}: {error.strerror}; the run {run_id} waits") from error


def require_room(directory: Path, floor_bytes: int) -> None:
    """See that so much of the disk is free; raises `SpoolFull`, as the result of a paid call must have its place."""
    make_directory(directory)
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    if free < floor_bytes:
        raise SpoolFull(f"{directory}: {free} bytes are free, {floor_bytes} are needed; no call is made")


def _outcome(outcome: str, error_type: str, message: str) -> Row:
    return {"outcome": outcome, "success": False, "error_type": error_type, "error_message": message}


def _sum(total: Landing, part: Landing) -> Landing:
    return Landing(
        part.epoch,
        total.landed + part.landed,
        total.already + part.already,
        total.dropped + part.dropped,
        (*total.alarms, *part.alarms),
        (*total.refused, *part.refused),
    )
