"""Kill a small run at every boundary between two calls into the kernel or the database, and look what is left.

A process that profiles itself counts its calls of what changes something outside of it and kills itself (-9) before the n-th;
what happens inside of it between two such calls dies with it. This program forks such a process for n = 1, 2, ... until one survives, recovers after each
death in another process, and prints what it saw as JSON. It is started as a program, so that it may fork.
"""

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from store.samples import T1, plan, run

from analytics.store import Spool, SqliteStore, schema

OUTWARD = {
    "open",
    "write",
    "pwrite",
    "fdatasync",
    "fsync",
    "ftruncate",
    "posix_fallocate",
    "rename",
    "unlink",
    "flock",
    "execute",
}
RUN = run(planned=3)
PLANS = [plan(RUN) for _ in range(3)]
POISON = PLANS[2]["id"]


def measure(home: Path, *, with_intents: bool = True) -> None:
    """One run of three paid calls; the last result is poison."""
    with SqliteStore(home / "store.sqlite") as store:
        spool = Spool(home / "spool")
        spool.recover(store, T1)
        if billed(home) or store.read_all("runs"):
            return
        with spool.open_run(RUN, PLANS) as opened:
            for planned in PLANS:
                if with_intents:
                    opened.intend(planned["id"])
                bill(home, planned["id"])
                poison = {"ttft_ms": float("nan")} if planned["id"] == POISON else {}
                opened.record({"id": planned["id"], "outcome": "ok", "success": True, "created_at": T1} | poison)
                opened.land(store)
            opened.finish(T1)
            opened.land(store)


def recover(home: Path) -> None:
    with SqliteStore(home / "store.sqlite") as store:
        Spool(home / "spool").recover(store, T1)


def bill(home: Path, result_id: str) -> None:
    """The provider's own book of what it was asked and will charge for."""
    with (home / "bill").open("a") as file:
        file.write(f"{result_id}\n")


def billed(home: Path) -> list[str]:
    path = home / "bill"
    return path.read_text().split() if path.exists() else []


def is_rehearsal(frame: FrameType | None) -> bool:
    """Whether this happens in a database in memory, that dies with the process."""
    while frame and frame.f_code.co_name != "rehearse":
        frame = frame.f_back
    return frame is not None


def killed_at(number: int, work: Callable[[], None]) -> str | None:
    """Do `work` in a process that dies at boundary `number`; where that was, or None if it lived to the end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def count_and_die(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal count
            if event == "c_call" and argument.__name__ in OUTWARD and not is_rehearsal(frame):
                count += 1
                if count == number:
                    os.write(writer, f"before {argument.__name__} in {frame.f_code.co_name}".encode())
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count_and_die)
        work()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        place = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return place
    assert os.waitstatus_to_exitcode(status) == 0, f"the work failed at boundary {number}"
    return None


def losses(home: Path) -> list[str]:
    """What is wrong after the recovery: [] if every paid call, and every planned result of a begun run, is there once."""
    with SqliteStore(home / "store.sqlite") as store:
        rows = store.read("benchmark_results").rows
        runs = store.read_all("runs")
    refused_files = list((home / "spool" / "refused").glob("*.jsonl"))
    refused = [json.loads(line)["row"]["id"] for file in refused_files for line in file.read_text().splitlines()]
    kept = Counter([row["id"] for row in rows] + refused)
    paid = Counter(billed(home))
    outcomes = {row["id"]: row["outcome"] for row in rows}
    wrong = [f"{result_id} is there {count} times" for result_id, count in kept.items() if count != 1]
    wrong += [f"{result_id} was paid {count} times" for result_id, count in paid.items() if count != 1]
    wrong += [f"{result_id} was paid and is lost" for result_id in paid if result_id not in kept]
    wrong += [
        f"{result_id} was paid and is {outcomes[result_id]}"
        for result_id in paid
        if outcomes.get(result_id) == "skipped"
    ]
    if runs or paid:
        wrong += [f"{planned['id']} was planned and is lost" for planned in PLANS if planned["id"] not in kept]
        wrong += [] if [row["finished_at"] for row in runs] == [T1] else ["the run has no end"]
    wrong += [f"{path.name} is left in the spool" for path in (home / "spool").glob("*.jsonl")]
    return wrong


def every_boundary(base: Path, work: Callable[[Path], None], prepared: Path) -> dict[str, Any]:
    """`work` killed at each boundary in a copy of `prepared`, then recovered: the boundaries, up to the first at which something went wrong."""
    places, wrong = list[str](), list[str]()
    while True:
        home = base / f"home-{len(places)}"
        shutil.copytree(prepared, home)
        place = killed_at(len(places) + 1, lambda home=home: work(home))  # type: ignore[misc]
        if place is not None:
            assert killed_at(0, lambda home=home: recover(home)) is None  # type: ignore[misc]
        wrong += [f"boundary {len(places) + 1}, {place}: {loss}" for loss in losses(home)]
        shutil.rmtree(home)
        if place is None or wrong:
            return {"places": places, "wrong": wrong}
        places.append(place)


def main(scenario: str, base: Path) -> None:
    schema.warehouse()  # read here once, not in each of the processes
    prepared = base / "prepared"
    with SqliteStore(prepared / "store.sqlite") as store:
        store.migrate()
    match scenario:
        case "measure":
            found = every_boundary(base, measure, prepared)
        case "measure-without-intents":
            found = every_boundary(base, lambda home: measure(home, with_intents=False), prepared)
        case _:  # recover-N: a run that died at boundary N, whose recovery dies too
            assert killed_at(int(scenario.removeprefix("recover-")), lambda: measure(prepared))
            assert billed(prepared), "a kill before the first call leaves nothing to recover"
            found = every_boundary(base, recover, prepared)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
