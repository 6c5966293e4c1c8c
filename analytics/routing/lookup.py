"""The lookup: one object in an agent's process that answers routing questions from memory.

`route()` does no I/O and takes no lock: it reads one reference to an immutable state, which a daemon thread replaces
when something new was published.
"""

import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from .answers import Settled, answer, asked_of, settle, settle_session, stand_in
from .board import Board, remember
from .decisions import DecisionLog, Noted
from .fresh import Fresh, Opinion
from .records import RouteAnswer, RouteQuery
from .snapshots import State, load, marks

_SETTLED = 4_096  # questions to remember, each about 2 KB
_LAST_CALLS_S = 0.02
_ASKED_ONCE = 16_384  # hashes of questions, to know which are asked again


class Lookup:
    """Answers `RouteQuery`s from the snapshots below one home directory."""

    def __init__(
        self,
        home: Path,
        *,
        simulated: bool | None = None,
        default_model: str | None = None,
        clock: Callable[[], float] = time.time,
        log: DecisionLog | None = None,
    ) -> None:
        self._home = home
        self._log = log
        self._simulated = simulated
        self._default_model = default_model
        self._clock = clock
        self._loading = threading.Lock()
        self._stop = threading.Event()
        self._state = State()
        self.reload()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        simulated: bool | None = None,
        watch: bool = True,
        default_model: str | None = None,
        poll_s: float = 0.5,
        retry_s: float = 10.0,
        clock: Callable[[], float] = time.time,
        log: DecisionLog | bool = False,
    ) -> Self:
        """A lookup over `path` (else `SCOREHOUSE_HOME`, else `~/.scorehouse`), which need not exist yet.

        `simulated` None takes real evidence, and simulated only where no real evidence was ever published; True and
        False insist on one kind. `default_model` (a model's key) stands in when neither configuration nor scores name
        one. With `watch`, a daemon thread looks every `poll_s` seconds for something new, and tries
        again every `retry_s` what could not be read; `clock` gives seconds since 1970. With `log`, every decision goes into
        `spool/decisions` below the home (or where that log writes), so that it can be explained later; the caller never waits for it.
        """
        home = Path(path or os.environ.get("SCOREHOUSE_HOME") or "~/.scorehouse").expanduser()
        if log is True:
            log = DecisionLog(home / "spool" / "decisions")
        lookup = cls(home, simulated=simulated, default_model=default_model, clock=clock, log=log or None)
        if watch:
            args = (weakref.ref(lookup), lookup._stop, poll_s, retry_s)  # its own factory
            threading.Thread(target=_watch, args=args, name="scorehouse-lookup", daemon=True).start()
        return lookup

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching, and write the decisions that wait for it; the lookup still answers from what it has."""
        self._stop.set()
        if self._log is not None:
            self._log.close()

    @property
    def log(self) -> DecisionLog | None:
        """Where decisions go, if anywhere."""
        return self._log

    @property
    def snapshot_id(self) -> str | None:
        """The scoring snapshot in use."""
        scores = self._state.scores
        return None if scores is None else scores.snapshot_id

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the published snapshots, one sentence each; empty when all is well."""
        return tuple(problem.text for problem in self._state.problems)

    def reload(self) -> bool:
        """Read what is published now; says whether another snapshot is in use than before."""
        with self._loading:
            before = self._state
            after = load(self._home, self._simulated, before)
            if after.board is not before.board:
                after = _overlaid(after, () if before.board is None else before.board.fresh.opinions)
            self._state = after
            is_new = after.board is not before.board
            if is_new and before.board is not None:
                time.sleep(_LAST_CALLS_S)  # so that it is not a caller who takes the old board apart
                before.board.take_apart()
            return is_new

    def refresh(self) -> bool:
        """Like `reload`, but reads nothing besides the pointers if none of them moved."""
        return marks(self._home) != self._state.marks and self.reload()

    def route(self, query: RouteQuery | None = None) -> RouteAnswer:
        """The model to take for `query`, with its fallbacks and reasons; never raises for the state of the data."""
        query = RouteQuery() if query is None else query
        if self._log is None:
            return self._answered(self._state, query)
        state, begun = self._state, time.perf_counter_ns()
        given = self._answered(state, query)
        configuration_id = None if state.configuration is None else state.configuration.snapshot_id
        self._log.note(Noted(query, given, configuration_id, time.perf_counter_ns() - begun))
        return given

    def cost_usd(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """What one query of so many tokens costs at a model's price, in USD; None if the model or its price is unknown."""
        board = self._state.board
        position = None if board is None else board.catalog.position.get(model)
        if board is None or position is None:
            return None
        catalog = board.catalog
        cost = (input_tokens * catalog.price_in.item(position) + output_tokens * catalog.price_out.item(position)) / 1e6
        return None if math.isnan(cost) else cost

    def note_feedback(
        self,
        model: str,
        rating: float,
        *,
        task: str | None = None,
        agent: str | None = None,
        tenant: str | None = None,
        user: str | None = None,
        message_id: str | None = None,
    ) -> None:
        """Let a rating (0..1) of a model, by its key, count in this process at once, until a snapshot holds it.

        It is not stored: that is for `submit_feedback`, `scorehouse feedback` or the service. Of one user and message the newest
        counts; how much one user or tenant can weigh is capped. Raises `ValueError` naming the field.
        """
        given = {"model": model, "task": task, "agent": agent, "tenant": tenant, "user": user, "message_id": message_id}
        for name, value in given.items():
            if not (isinstance(value, str) and value) and not (value is None and name != "model"):
                raise ValueError(f"{name}: {value!r} is not a text of one character or more")
        if isinstance(rating, bool) or not isinstance(rating, (int, float)) or not 0 <= rating <= 1:
            raise ValueError(f"rating: {rating!r} is not a number from 0 to 1")
        opinion = Opinion(model, float(rating), task, agent, tenant, user, message_id, self._clock())
        with self._loading:
            state = self._state
            if state.board is not None and state.board.scores is not None:
                self._state = _overlaid(state, (*state.board.fresh.opinions, opinion))
                state.board.settled.clear()  # nobody asks this board again, but what it made may keep it

    def _answered(self, state: State, query: RouteQuery) -> RouteAnswer:
        board, now = state.board, self._clock()
        if board is None or board.scores is None:
            return stand_in(state, query, now, self._default_model)
        settled = self._settled(board, query, now)
        return answer(state, board.scores, board.catalog.stale_after_s, settled, now)

    def _settled(self, board: Board, query: RouteQuery, now: float) -> Settled:
        """Agents ask the same questions again and again: what a board said twice, it says again."""
        settled: Settled | None = board.settled.get(query)
        if settled is None:
            if query.session is not None:
                return settle_session(board, query, now)
            asked = asked_of(board, query, now)
            if isinstance(asked, Settled):
                return asked
            settled = settle(asked)
            # Otherwise the answer depends on the time of asking, or the key is long.
            if asked.is_timeless and query.message is None:
                if hash(query) in board.asked_once:
                    remember(board.settled, query, settled, _SETTLED)
                else:  # most questions are asked once; what is kept for nobody costs memory, and the collector's time
                    remember(board.asked_once, hash(query), None, _ASKED_ONCE)
        return settled


def _overlaid(state: State, opinions: Iterable[Opinion]) -> State:
    """The state with those opinions laid over its scores that these do not hold."""
    board = state.board
    if board is None or board.scores is None:
        return state
    fresh = Fresh.of(opinions).since(board.scores.as_of_s)
    if not fresh.opinions and not board.fresh.opinions:
        return state
    return replace(state, board=board.with_fresh(fresh))


def _watch(lookup: "weakref.ref[Lookup]", stop: threading.Event, poll_s: float, retry_s: float) -> None:
    """Reload when a pointer moves, and now and then while something is unreadable; ends with the lookup."""
    last_try = time.monotonic()
    while not stop.wait(poll_s):
        watched = lookup()
        if watched is None:
            return
        if watched.problems and time.monotonic() - last_try >= retry_s:
            last_try = time.monotonic()
            watched.reload()
        else:
            watched.refresh()
        del watched  # or this thread would keep it alive while it waits
