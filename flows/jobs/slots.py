"""One effective run per slot of a schedule, however often the slot comes: twice, late, in a burst, or as a backfill.

A slot is a deployment and the time it was scheduled for. A run that fills one carries it in `runs.slot`, which is unique. Runs
by hand have none.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from structlog.typing import FilteringBoundLogger

from analytics.errors import AnalyticsError, BadRows
from analytics.store import Row, Spool, Store, from_text, to_text
from flows.errors import SlotTaken

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Slot:
    """A deployment by its name, and when it was to run."""

    deployment: str
    scheduled_at: datetime

    def __str__(self) -> str:
        return f"{self.deployment}@{to_text(self.scheduled_at)}"

    @classmethod
    def of(cls, text: str) -> "Slot | None":
        """The slot that `str` wrote; None for anything else."""
        deployment, _, moment = text.rpartition("@")
        with suppress(ValueError):
            if deployment:
                return cls(deployment, from_text(moment))
        return None


def require_free(slot: Slot, store: Store, spool: Spool) -> None:
    """Return if no run fills this slot or a later one of its deployment; raises SlotTaken.

    A run of which the store knows nothing yet is found in the spool.
    """
    known = [*spool.slots(), *(row["slot"] for row in store.select("runs", {"slot": str(slot)}).items)]
    taken = next((other for text in known if (other := _rival(text, slot))), None) or _later(slot, store)
    if taken == slot:
        raise SlotTaken(f"The slot {slot} has its run already; nothing is measured twice.")
    if taken is not None:
        raise SlotTaken(f"The slot {slot} is over: a run of the later slot {taken} was made.")


def claim(run: Mapping[str, Any], store: Store, log: FilteringBoundLogger) -> None:
    """Make the store know of a run that fills a slot before its first call; raises SlotTaken if another run was quicker, on
    another machine perhaps. When the store is out of reach the run goes on: it is in the spool.
    """
    if run["slot"] is None:
        return
    try:
        store.write("runs", [run])
    except BadRows:
        if any(row["id"] != run["id"] for row in store.select("runs", {"slot": run["slot"]}).items):
            raise SlotTaken(f"The slot {run['slot']} has its run already; nothing is measured twice.") from None
        raise
    except AnalyticsError as error:
        log.error(
            "the store could not be told of the run's slot; the spool has it", slot=run["slot"], message=str(error)
        )


def _rival(text: str, slot: Slot) -> Slot | None:
    """The slot of this text, if it is the same deployment's and not an earlier one."""
    other = Slot.of(text)
    return other if other and other.deployment == slot.deployment and other.scheduled_at >= slot.scheduled_at else None


def _later(slot: Slot, store: Store) -> Slot | None:
    """A later slot of the deployment that a run fills. Such a run began after `slot`, so older runs need no look."""
    page = 1
    while True:
        runs: list[Row] = store.select("runs", order="-started_at", page=page, per_page=_PAGE).items
        for row in runs:
            if from_text(row["started_at"]) < slot.scheduled_at:
                return None
            if row["slot"] and (found := _rival(row["slot"], slot)):
                return found
        if len(runs) < _PAGE:
            return None
        page += 1
