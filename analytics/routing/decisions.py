"""The decision log: what was answered, on what candidates, written beside the answering by a thread of its own.

`route()` hands over references and goes on; everything else happens later and elsewhere. A directory holds JSON Lines, one
line a decision (the columns of `routing_decisions`), whole lines only: what a kill leaves behind the last newline never counted. A
file belongs to its writer as long as that holds the lock on it; `scorehouse score` lands the lines and removes files without a writer.
"""

import atexit
import fcntl
import json
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from . import bits
from .explain import parts
from .limits import Steps
from .orders import best_first
from .records import RouteAnswer, RouteQuery

_PAUSE_S = 0.05  # so long a decision may wait for its line
_UNLOGGED = {"message", "limits", "_hash"}  # what a user wrote is nobody's evidence; the rest follows from other fields


class Noted(NamedTuple):
    """One decision as `route()` hands it over: `took_ns` is how long deciding took."""

    query: RouteQuery
    answer: RouteAnswer
    configuration_id: str | None
    took_ns: int


class DecisionLog:
    """Writes decisions below `directory`, which need not exist yet; shared by any number of threads.

    At most `most` decisions wait for their line; more are dropped and counted in `dropped`. Files of about `file_bytes` are
    begun anew; of more than `total_bytes` in all the oldest are removed, and their lines counted too. `candidates` is how many
    models that passed are kept with each decision, the chosen one and its fallbacks always.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        most: int = 10_000,
        file_bytes: int = 4 * 2**20,
        total_bytes: int = 256 * 2**20,
        candidates: int = 5,
    ) -> None:
        self._directory = Path(directory)
        self._most, self._file_bytes, self._total_bytes, self._candidates = most, file_bytes, total_bytes, candidates
        self._waiting: deque[Noted] = deque()
        self._file: int | None = None
        self._size = self._number = 0
        self._writing = threading.Lock()  # between the thread and close(), never in note()
        self._stop = threading.Event()
        self.written = 0
        self.dropped = 0
        self.problem: str | None = None
        self._reported = 0
        self._begin()
        os.register_at_fork(after_in_child=_calling(weakref.ref(self), "_forget_parent"))
        atexit.register(_calling(weakref.ref(self), "close"))

    def note(self, noted: Noted) -> None:
        """Take a decision over; returns at once, whatever the disk does."""
        if len(self._waiting) < self._most:
            self._waiting.append(noted)
        else:
            self.dropped += 1

    def flush(self) -> None:
        """Write every decision that waits; what cannot be written is dropped, counted, and said in `problem`."""
        with self._writing:
            self._write_waiting()

    def close(self) -> None:
        """Write what waits and let go of the file; decisions noted later are written by the next `flush`."""
        self._stop.set()
        with self._writing:
            self._write_waiting()
            self._leave_file()

    def _begin(self) -> None:
        args = (weakref.ref(self), self._stop)
        threading.Thread(target=_write, args=args, name="scorehouse-decisions", daemon=True).start()

    def _forget_parent(self) -> None:
        """After a fork: the file and what waits are the parent's."""
        if self._file is not None:
            os.close(self._file)  # the parent's lock stays: it belongs to what both opened, and the parent has it open
        self._file, self._writing = None, threading.Lock()
        self._waiting.clear()
        if not self._stop.is_set():
            self._stop = threading.Event()
            self._begin()

    def _write_waiting(self) -> None:
        while self._waiting:
            noted = self._waiting.popleft()
            try:
                self._append({"decision": row_of(noted, self._candidates)})
                self.written += 1
            except OSError as error:
                self.dropped += 1
                self.problem = f"{self._directory}: {error.strerror or error}; the decision was not logged"
                self._leave_file()  # it may end in half a line
            time.sleep(0)  # whoever asks goes first
        if self.dropped > self._reported and self._file is not None:
            count = self.dropped - self._reported
            try:
                self._append({"dropped": count})
            except OSError as error:
                self.problem = f"{self._directory}: {error.strerror or error}"
                self._leave_file()
            else:
                self._reported += count

    def _append(self, record: Mapping[str, Any]) -> None:
        # ASCII, so that no text can contain a newline or fail to encode.
        line = json.dumps(record, separators=(",", ":"), default=str).encode("ascii") + b"\n"
        if self._file is None or self._size >= self._file_bytes:
            self._next_file()
        assert self._file is not None
        view = memoryview(line)
        while view:
            view = view[os.write(self._file, view) :]
        self._size += len(line)

    def _next_file(self) -> None:
        self._leave_file()
        self._directory.mkdir(parents=True, exist_ok=True)
        while self._file is None:
            self._number += 1
            name = f"{time.time_ns() // 1_000_000:013d}-{os.getpid()}-{id(self):x}-{self._number}.jsonl"
            descriptor = os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_mine = os.fstat(descriptor).st_nlink > 0  # or somebody who drains took it for one without a writer
            except BlockingIOError:
                is_mine = False
            if is_mine:
                self._file, self._size = descriptor, 0
            else:
                os.close(descriptor)
        self._make_room()

    def _make_room(self) -> None:
        """Remove the oldest files beyond the cap."""
        sizes = []
        for path in sorted(self._directory.glob("*.jsonl")):
            try:
                sizes.append((path, path.stat().st_size))
            except FileNotFoundError:  # it has just been drained
                continue
        total = sum(size for _, size in sizes)
        for path, size in sizes[:-1]:
            if total <= self._total_bytes:
                break
            try:
                self.dropped += path.read_bytes().count(b"\n")
                path.unlink()
            except FileNotFoundError:
                continue
            total -= size

    def _leave_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def row_of(noted: Noted, most: int) -> dict[str, Any]:
    """A decision as a row of `routing_decisions`, JSON columns as lists and objects."""
    query, answer = noted.query, noted.answer
    told = answer.to_dict()
    candidates, passed = _candidates(answer, most)
    row = {name: told[name] for name in _FROM_ANSWER}
    return row | {
        "id": told["decision_id"],
        "tenant_id": query.tenant,
        "user_id": query.user,
        "agent_id": query.agent,
        "session_id": getattr(query, "session", None),
        "task_type": None if answer.task is None else answer.task.task,
        "task_source": None if answer.task is None else answer.task.source,
        "task_confidence": None if answer.task is None else answer.task.confidence,
        "domain": query.domain,
        "route_query": asked_for(query),
        "candidates": candidates,
        "passed": passed,
        "configuration_id": noted.configuration_id,
        "decision_ms": noted.took_ns / 1e6,
        "created_at": datetime.fromtimestamp(answer.stamp[0] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def asked_for(query: RouteQuery) -> dict[str, Any]:
    """What a query says beyond the defaults, without its message."""
    found: dict[str, Any] = {}
    for entry in fields(query):
        value = getattr(query, entry.name)
        if entry.name not in _UNLOGGED and value != entry.default:
            found[entry.name] = (
                value._asdict() if hasattr(value, "_asdict") else list(value) if isinstance(value, tuple) else value
            )
    return found


_FROM_ANSWER = (
    *("model", "provider", "score", "source", "policy", "parts", "evidence", "fallbacks", "rejected", "reasons"),
    *("reason_codes", "snapshot_id", "is_simulated", "is_stale", "age_s"),
)


def _candidates(answer: RouteAnswer, most: int) -> tuple[list[dict[str, Any]], int | None]:
    """The chosen model, its fallbacks and the best others that passed, each with its score and parts; and how many passed."""
    named = [] if answer.model is None else [
        {
            "model": answer.model, "provider": answer.provider, "display_name": answer.display_name,
            "priority": answer.priority, "cost_tier": answer.cost_tier, "score": answer.score,
        },
        *(asdict(fallback) for fallback in answer.fallbacks),
    ]  # fmt: skip
    why = answer.explanation
    asked = getattr(why, "asked", None)
    if asked is None:
        for candidate in named[:1]:
            candidate["parts"] = [asdict(part) for part in answer.parts]
        return named, len(named) if answer.source != "none" else 0
    catalog = asked.board.catalog
    words = Steps(asked).fitting()
    passed = bits.count(words)
    known = {candidate["model"] for candidate in named}
    if passed > len(named) and len(named) < most:
        for block in best_first(asked, words, passed):
            for model, score in zip(block.models.tolist(), block.scores.tolist(), strict=True):
                if len(named) < most and catalog.keys[model] not in known:
                    named.append(
                        {
                            "model": catalog.keys[model], "provider": catalog.providers[model],
                            "display_name": catalog.display_names[model], "priority": int(asked.known(model).priority),
                            "cost_tier": catalog.tier_name(model), "score": score,
                        }
                    )  # fmt: skip
            if len(named) >= most:
                break
    for candidate in named:
        model = catalog.position[candidate["model"]]
        candidate["parts"] = [asdict(part) for part in parts(asked, model, asked.known(model))]
    return named, passed


def _write(log: "weakref.ref[DecisionLog]", stop: threading.Event) -> None:
    """Write what waits, again and again; ends with the log."""
    while not stop.wait(_PAUSE_S):
        living = log()
        if living is None:
            return
        living.flush()
        del living  # or this thread would keep it alive while it waits


def _calling(log: "weakref.ref[DecisionLog]", name: str) -> Callable[[], None]:
    """A call of that method, if the log still lives then."""

    def call() -> None:
        living = log()
        if living is not None:
            getattr(living, name)()

    return call
