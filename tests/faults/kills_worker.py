"""A process that has imported everything, and forks itself for each round of bench and score, to be killed at a given moment.

Each order is a line of JSON on standard input, each answer one on standard output (`Order`, `Round`). It ends with its input.
"""

import argparse
import asyncio
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uuid_utils

from analytics import duck
from analytics.lake import Lake
from analytics.scoring.tables import scoring_sql
from analytics.store import Landing, RunSpool, Store
from flows.jobs.benchmark import BenchmarkRequest, run_benchmark, settle
from flows.jobs.score import run_score
from flows.logs import open_log
from flows.plan import Plan
from flows.settings import Settings, load_settings
from flows.warehouse import make_store, open_spool, open_store
from providers.records import BenchmarkResult

# In the order in which a round goes through them; it ends with extraction alone or with all of scoring.
PHASES = ("begin", "bench", "landing", "extract", "score")
# The quickest model of each provider: 2 questions of 4 domains each make 24 requests over both dialects.
REQUEST = BenchmarkRequest(
    workload="gold",
    sample=2,
    models=("sim-aurora/aurora-mini", "sim-borealis/borealis-flash", "sim-cascade/cascade-swift"),
    triggered_by="test",
)


@dataclass(frozen=True, slots=True)
class Order:
    """A round: bench and score, or score alone; killed `delay` seconds after it enters `phase`, or never.

    `extract`: of scoring only the extraction. `pages`: that by the store's pages, also where there is a way in bulk.
    """

    bench: bool = True
    extract: bool = False
    pages: bool = False
    phase: str | None = None
    delay: float = 0.0


@dataclass(slots=True)
class Round:
    """What became of a round: the second at which it entered each phase (`end`: it was through), what its plan was.

    `status` is its exit code, -9 for a kill.
    """

    entered: dict[str, float] = field(default_factory=dict)
    planned: list[str] = field(default_factory=list)
    status: int = 0


class Marks:
    """Tells the parent process where the round is; it watches the run as a progress bar would."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._missing = 0

    def enter(self, phase: str, planned: Sequence[str] = ()) -> None:
        line = json.dumps({"phase": phase, "at": time.monotonic(), "planned": planned})
        os.write(self._pipe, line.encode() + b"\n")

    def begin(self, run_name: str, plan: Plan) -> None:
        self._missing = plan.size
        self.enter("bench", [request.id for requests in plan.requests.values() for request in requests])

    def measured(self, result: BenchmarkResult) -> None:
        self._missing -= 1
        if not self._missing:
            self.enter("landing")

    def end(self) -> None:
        """The next phase is marked by whoever begins it."""


def play(settings: Settings, order: Order) -> Round:
    """Fork, let the child do its round, kill it at the moment that was ordered, and say what was seen of it."""
    reader, writer = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(settings, order, Marks(writer))
    os.close(writer)
    done, buffer, due = Round(), b"", None
    while True:
        patience = None if due is None else max(due - time.monotonic(), 0)
        if not select.select([reader], [], [], patience)[0]:
            os.kill(child, signal.SIGKILL)  # it is ours until `waitpid` below, so nobody else can have its number
            due = None
            continue
        data = os.read(reader, 65536)
        if not data:
            break
        *lines, buffer = (buffer + data).split(b"\n")
        for mark in map(json.loads, lines):
            done.entered[mark["phase"]] = mark["at"] - began
            done.planned += mark["planned"]
            if mark["phase"] == order.phase:
                due = mark["at"] + order.delay
    os.close(reader)
    done.status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return done


def _child(settings: Settings, order: Order, marks: Marks) -> None:
    try:
        marks.enter("begin")
        if order.bench:
            asyncio.run(run_benchmark(settings, REQUEST, marks))
        if order.pages:
            settings = settings.model_copy(update={"supabase_db_url": None})
        marks.enter("extract" if order.extract else "score")
        if order.extract:
            with open_store(settings) as store:
                settle(open_spool(settings), store, open_log(settings.home.logs))
                Lake(settings.home.lake).extract(store)
        else:
            run_score(settings)
        marks.enter("end")
    except BaseException:  # noqa: BLE001  # whatever it is, it must not go on as a second parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def leave_out(part: str, kind: type[Any]) -> None:
    """Take one of the two supports of the landing protocol away, in this process and its forks only; `kind` is the store's class."""
    match part:
        case "intent":  # the call is made without a word of it on the disk

            def forget(spool: RunSpool, result_id: str) -> None:
                """Nothing is written."""

            RunSpool.intend = forget  # type: ignore[method-assign]
        case "idempotence":  # each landing makes ids of its own instead of taking the plan's
            land = kind.land_results

            def land_anew(
                store: Store, runs: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]
            ) -> Landing:
                found: Landing = land(store, runs, [{**row, "id": str(uuid_utils.uuid7())} for row in results])
                return found

            kind.land_results = land_anew
        case _:
            raise ValueError(part)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills_worker")
    parser.add_argument("home", type=Path)
    parser.add_argument("--without", choices=("intent", "idempotence"))
    arguments = parser.parse_args()
    settings = load_settings(arguments.home)
    store = make_store(settings)  # what it imports is inherited by every fork, as is what follows
    store.close()
    for sql in scoring_sql().values():
        duck.tables_read(sql)  # remembered: it takes longer than the rest of scoring
    if arguments.without:
        leave_out(arguments.without, type(store))
    for line in sys.stdin:
        print(json.dumps(asdict(play(settings, Order(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
