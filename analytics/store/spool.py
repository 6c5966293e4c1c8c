"""Where results wait until the store has them: nothing that was paid for is lost, nothing lands twice.

One journal per run, `<run_id>.jsonl`, with these lines in order of events:

    run      the run's row                        finish   when the run ended
    plan     one planned result, before any call  ack      the store committed the first `count` results (epoch says which
    intent   a call is about to be made                    store), and the run's end with them or not
    result   what came of it

A call may be made only after its intent is on the disk, and its result counts as measured once that is. Acknowledgement
follows the store's commit; a kill in between lands the same rows again, under the same ids. A file is removed when the
store has all of it. Rows that no store takes move to `refused/<run_id>.jsonl` with the reason.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from analytics.errors import AnalyticsError, BadRows, SpoolFull
from analytics.store import schema
from analytics.store.journal import Journal, first_record
from analytics.store.landing import rehearse
from analytics.store.protocol import Store
from analytics.store.rows import clean, now_text, to_text
from analytics.store.run_spool import RunSpool, RunState, add_aside, require_room

_DRAFT_LIFE_S = 3600
_RUNS_AT_ONCE = 2
_FILLED_IN = {"outcome": "skipped", "success": False}  # what a plan does not know yet


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of runs whose program ended.

    `runs` are complete in the store now. `aborted` calls had begun without a result, `skipped` ones had not begun. `alarms` and
    `refused` are as in `Landing`; `damaged` counts unreadable lines. `alive` runs belong to a program that works on them;
    `waiting` are (run id, reason) of those that could not land and stay in the spool.
    """

    runs: tuple[str, ...] = ()
    landed: int = 0
    aborted: int = 0
    skipped: int = 0
    damaged: int = 0
    alarms: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    alive: tuple[str, ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()

    def joined(self, other: "Recovery") -> "Recovery":
        """Both together: counts are added, lists are joined."""
        return Recovery(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


class Spool:
    """The directory of all runs' spools. `floor_bytes`: with less free disk than that, no call may be made."""

    def __init__(self, directory: Path | str, *, floor_bytes: int = 64 * 1024 * 1024) -> None:
        self._directory = Path(directory)
        self._floor_bytes = floor_bytes

    def open_run(self, run: Mapping[str, Any], planned: Sequence[Mapping[str, Any]]) -> RunSpool:
        """Make a run and everything it plans durable before the first call.

        `run` is a row of `runs`, `planned` are rows of `benchmark_results` without what only the call can tell (outcome, success
        and created_at may be missing). BadRows if the store would not take them, SpoolFull if there is no room.
        """
        row = clean(schema.table("runs"), run, "run")
        run_id = _canonical(row["id"])
        # A row that no store takes is found before it is paid for, not after.
        rehearsed = [{**_FILLED_IN, "created_at": row["started_at"], **planned_row} for planned_row in planned]
        rehearse(row, rehearsed)
        table = schema.table("benchmark_results")
        skeletons = {str(plan["id"]): clean(table, plan, "planned result", whole=False) for plan in planned}
        path = self._directory / f"{run_id}.jsonl"
        if path.exists():
            raise BadRows(f"the run {run_id} was already begun; its results wait in {path}")
        lines = [{"kind": "run", "row": row}, *({"kind": "plan", "row": skeleton} for skeleton in skeletons.values())]
        try:
            require_room(self._directory, self._floor_bytes)
            journal = Journal.create(path, lines)
        except OSError as error:
            raise SpoolFull(f"{self._directory}: {error.strerror}; no run can begin") from error
        return RunSpool(self._directory, journal, RunState(row, skeletons), self._floor_bytes)

    def run_ids(self) -> list[str]:
        """The runs that are in the spool, oldest first: alive ones, and those that `recover` will land."""
        return sorted(path.stem for path in self._directory.glob("*.jsonl"))

    def slots(self) -> dict[str, str]:
        """The schedule slots that runs in the spool fill -> the run's id: a store that is out of reach may not know of them."""
        found = ((run_id, first_record(self._directory / f"{run_id}.jsonl")) for run_id in self.run_ids())
        rows = {run_id: record["row"] for run_id, record in found if record and record.get("kind") == "run"}
        return {row["slot"]: run_id for run_id, row in rows.items() if row.get("slot")}

    def recover(self, store: Store, now: datetime | str | None = None) -> Recovery:
        """Settle and land the runs whose program has ended; `now` (default: the clock's) is when they count as finished.

        Never raises for what it finds: a run that cannot land is reported in `waiting` and stays. Safe while runs are alive and
        while other processes recover: a run belongs to whoever has its lock.
        """
        moment = now_text() if now is None else now if isinstance(now, str) else to_text(now)
        self._remove_drafts()

        def recovered(run_id: str) -> Recovery:
            try:
                return self._recover_run(run_id, store, moment)
            except (AnalyticsError, OSError) as error:
                return Recovery(waiting=((run_id, str(error)),))

        run_ids, total = self.run_ids(), Recovery()
        with ThreadPoolExecutor(_RUNS_AT_ONCE, thread_name_prefix="recover") as pool:
            # One is prepared while the store is at work on another. A single one needs no thread.
            for found in (pool.map if len(run_ids) > 1 else map)(recovered, run_ids):
                total = total.joined(found)
        return total

    def _recover_run(self, run_id: str, store: Store, now: str) -> Recovery:
        """What became of one run; any error says why it has to wait."""
        path = self._directory / f"{run_id}.jsonl"
        opened = Journal.open(path)
        if opened is None:
            return Recovery(alive=(run_id,)) if path.exists() else Recovery()
        journal, contents = opened
        try:
            state = RunState.of(contents, path.name)
            add_aside(
                self._directory,
                run_id,
                [{"why": "a damaged line of the spool", "line": line.decode("latin-1")} for line in contents.damaged],
            )
        except BaseException:
            journal.close()
            raise
        with RunSpool(self._directory, journal, state, self._floor_bytes) as run:
            aborted, skipped = run.settle(now)
            landing = run.land(store)
        return Recovery(
            (run_id,),
            landing.landed,
            aborted,
            skipped,
            len(contents.damaged),
            alarms=landing.alarms,
            refused=landing.refused,
        )

    def _remove_drafts(self) -> None:
        """Remove what a kill left of runs that never began. A live one becomes a run within moments of its making."""
        for draft in self._directory.glob(".*.draft"):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > _DRAFT_LIFE_S:
                    draft.unlink()


def _canonical(run_id: str) -> str:
    try:
        if str(uuid.UUID(run_id)) == run_id:
            return run_id
    except ValueError as error:
        raise BadRows(f"run: id: {run_id!r} is no UUID") from error
    raise BadRows(f"run: id: {run_id!r} is not in a UUID's canonical form")
