"""Prune: raw rows older than the retention leave the store, but only those that the lake already holds."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from analytics.lake import CORRECTIONS, EVENTS, Lake
from analytics.lake.reconcile import reconcile
from analytics.store import to_text
from flows.logs import open_log
from flows.settings import Settings
from flows.warehouse import open_store


@dataclass(frozen=True, slots=True)
class PruneReport:
    """Rows per table that left the store, or would have; `problems` say which tables were left alone and why."""

    before: str
    removed: dict[str, int]
    dry_run: bool
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For --json and artifacts."""
        return {
            "before": self.before,
            "removed": self.removed,
            "dry_run": self.dry_run,
            "problems": list(self.problems),
        }


def run_prune(settings: Settings, *, older_than_days: int | None = None, dry_run: bool = False) -> PruneReport:
    """Delete raw rows created more than `older_than_days` ago (default: the configured retention), oldest tables' rows first.

    First the lake is held against the store, day by day: a table of which the lake lacks rows is left alone. A row that no
    extraction has read yet stays as well, however old it is. With `dry_run` nothing changes.
    """
    days = settings.retention.raw_days if older_than_days is None else older_than_days
    now = datetime.now(UTC)
    before = to_text(now - timedelta(days=days))
    lake = Lake(settings.home.lake)
    manifest = lake.manifest()
    with open_store(settings) as store:
        compared = None if dry_run else reconcile(store, lake, now)
        faults = compared.differences if compared else ()
        same_database = manifest.epoch == store.epoch()
        removed = {
            table: store.expire(
                table, before, manifest.table(table).watermark if same_database else None, dry_run=dry_run
            )
            for table in EVENTS
            if table not in CORRECTIONS and table not in {fault.table for fault in faults}
        }
        if not dry_run:
            store.make_partitions()  # after the expiry, so that a month of which nothing is left goes too
    for fault in faults:
        open_log(settings.home.logs).error(
            "store and lake are not the same; nothing of the table was pruned", message=str(fault)
        )
    return PruneReport(before, removed, dry_run, tuple(str(fault) for fault in faults))
