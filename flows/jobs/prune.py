"""Prune: raw rows older than the retention leave the store once the lake holds them, and the lake once their sums are sealed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from analytics.lake import CORRECTIONS, EVENTS, Lake
from analytics.lake.reconcile import reconcile
from analytics.scoring import Prunable, prunable, seal
from analytics.store import to_text
from flows.jobs.score import when_free
from flows.logs import open_log
from flows.settings import Settings
from flows.warehouse import open_store


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What left, or would have: `removed` are rows per table of the store that were created before `before`, `raw` days of the lake.

    `problems` say which tables were left alone and why.
    """

    before: dict[str, str]
    removed: dict[str, int]
    dry_run: bool
    problems: tuple[str, ...] = ()
    raw: tuple[Prunable, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For --json and artifacts."""
        return {
            "before": self.before,
            "removed": self.removed,
            "lake": [
                {"table": one.table, "day": one.day, "files": len(one.files), "rows": one.rows} for one in self.raw
            ],
            "dry_run": self.dry_run,
            "problems": list(self.problems),
        }

    def lines(self) -> list[tuple[str, str, str, int]]:
        """Place, table, before when or which day (UTC), rows: for people."""
        of_store = [("store", table, self.before[table][:16], rows) for table, rows in self.removed.items()]
        return of_store + [("lake", one.table, one.day, one.rows) for one in self.raw]


def run_prune(
    settings: Settings,
    *,
    older_than_days: int | None = None,
    tables: Collection[str] = (),
    dry_run: bool = False,
    patience_s: float = 60.0,
) -> PruneReport:
    """Delete raw rows of `tables` (default: all) that were created more than `older_than_days` ago (default: the configured retention).

    First the lake is held against the store, day by day: a table of which the lake lacks rows is left alone. A row that no
    extraction has read yet stays as well, however old it is. Then whole days leave the lake where the configuration says so: only those
    that are in the sums of the scores, and only once these are sealed beside the lake. With `dry_run` nothing changes. Raises LeaseHeld while
    another process extracts or scores, after `patience_s`.
    """
    now = datetime.now(UTC)
    wanted = [table for table in EVENTS if table not in CORRECTIONS and (not tables or table in tables)]
    days = {table: older_than_days or settings.retention.store_days(table) for table in wanted}
    before = {table: to_text(now - timedelta(days=days[table])) for table in wanted}
    lake = Lake(settings.home.lake)
    manifest = lake.manifest()
    with open_store(settings) as store:
        compared = None if dry_run else reconcile(store, lake, now)
        faults = compared.differences if compared else ()
        same_database = manifest.epoch == store.epoch()
        sound = [table for table in wanted if table not in {fault.table for fault in faults}]
        removed = {
            table: store.expire(
                table, before[table], manifest.table(table).watermark if same_database else None, dry_run=dry_run
            )
            for table in sound
        }
        if not dry_run:
            store.make_partitions()  # after the expiry, so that a month of which nothing is left goes too
    raw = when_free(lambda: _prune_lake(settings, lake, now, sound, dry_run=dry_run), patience_s)
    for fault in faults:
        open_log(settings.home.logs).error(
            "store and lake are not the same; nothing of the table was pruned", message=str(fault)
        )
    return PruneReport(before, removed, dry_run, tuple(str(fault) for fault in faults), raw)


def _prune_lake(
    settings: Settings, lake: Lake, now: datetime, sound: Collection[str], *, dry_run: bool
) -> tuple[Prunable, ...]:
    """The days whose raw files left the lake, or would have."""
    kept = {table: days for table, days in settings.retention.lake.items() if table in sound}
    if not kept:
        return ()
    first = {table: (now - timedelta(days=days)).date() for table, days in kept.items()}
    with lake.lease():
        old = prunable(lake, settings.home.scoring, max(first.values()))
        found = tuple(one for one in old if one.table in first and one.day < first[one.table].isoformat())
        if dry_run or not found:
            return found
        sealed = seal(lake, settings.home.scoring, found)
        lake.forget({table: [file for one in sealed if one.table == table for file in one.files] for table in kept})
        return sealed
