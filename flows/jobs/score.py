"""Score: settle the spool, extract into the lake, refresh what the new rows touch, publish, write the aggregates back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import stamina
from structlog.typing import FilteringBoundLogger

from analytics.errors import AnalyticsError, LeaseHeld
from analytics.lake import Extraction, Lake
from analytics.scoring import ScoreReport, VoteCaps, score, write_back
from analytics.store import Store
from analytics.store.decisions import land_decisions
from flows.jobs.benchmark import settle
from flows.jobs.configuration import publish
from flows.logs import open_log
from flows.settings import Settings
from flows.warehouse import open_spool, open_store

T = TypeVar("T")
stamina.instrumentation.set_on_retry_hooks([])  # waiting for a neighbour is no news; it would be printed to stdout


@dataclass(frozen=True, slots=True)
class ScoreRun:
    """What one scoring came to."""

    extraction: Extraction
    report: ScoreReport

    def to_dict(self) -> dict[str, Any]:
        """For --json and artifacts."""
        return {
            "extracted": dict(self.extraction.rows),
            "snapshots": dict(self.report.snapshots),
            "files_absorbed": self.report.files_absorbed,
            "rows_absorbed": self.report.rows_absorbed,
            "is_rebuilt": self.report.is_rebuilt,
            "problems": list(self.report.problems),
            "seconds": round(self.report.seconds, 3),
        }

    def sentences(self) -> list[str]:
        """What a person is told."""
        report = self.report
        new = sum(self.extraction.rows.values())
        files = f"{report.files_absorbed} {'file' if report.files_absorbed == 1 else 'files'} absorbed"
        files += ", all sums made anew" if report.is_rebuilt else ""
        lines = [f"{new} new rows; {files}; {report.seconds:.2f} s."]
        lines += [f"Published {kind} snapshot {name}." for kind, name in report.snapshots.items()]
        if not report.snapshots:
            lines.append("No snapshot: there is nothing to score yet.")
        return lines + [f"Left out: {problem}" for problem in report.problems]


def run_score(
    settings: Settings, *, full: bool = False, as_of: datetime | None = None, patience_s: float = 60.0
) -> ScoreRun:
    """Bring the lake up to the store and publish a snapshot of it, seen from `as_of` (UTC, default now).

    `full` adds up everything anew. While another process scores it waits, and raises LeaseHeld after `patience_s`;
    StoreUnavailable when there is nothing to extract from. The last snapshot stays in use until a new one is whole.
    """
    log = open_log(settings.home.logs)
    moment = as_of or datetime.now(UTC)
    with open_store(settings) as store:
        settle(open_spool(settings), store, log)
        _land_decisions(settings, store, log)
        lake = Lake(settings.home.lake)
        extraction = when_free(lambda: lake.extract(store), patience_s)
        caps = VoteCaps(**settings.feedback.model_dump())
        half_life = settings.scoring.half_life_days
        report = when_free(
            lambda: score(lake, settings.home.scoring, moment, full=full, half_life_days=half_life, caps=caps),
            patience_s,
        )
        for problem in report.problems:
            log.error("scoring left something out", message=problem)
        write_back(store, report)
        publish(settings, store)
    return ScoreRun(extraction, report)


def _land_decisions(settings: Settings, store: Store, log: FilteringBoundLogger) -> None:
    """Bring the decisions that answering processes logged into the store; what cannot land is logged and never stops scoring."""
    try:
        done = land_decisions(settings.home.spool / "decisions", store)
    except (AnalyticsError, OSError) as error:
        log.error("routing decisions wait in the spool", message=str(error))
        return
    for where, why in done.refused:
        log.error("the store refused a routing decision; it is set aside in the spool", id=where, message=why)
    if done.dropped:
        log.error("routing decisions were not logged: more came than could be written", decisions=done.dropped)


def when_free(step: Callable[[], T], patience_s: float) -> T:
    """Take the lake's lease as soon as its holder lets go."""
    for attempt in stamina.retry_context(on=LeaseHeld, attempts=None, timeout=patience_s, wait_max=1.0):
        with attempt:
            return step()
    raise AssertionError("the last attempt returns or raises")
