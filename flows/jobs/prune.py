"""Prune: raw rows older than the retention leave the store, but only those that the lake already holds."""

from collections.abc import Collection
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
    """What left, or would have: `removed` are rows per table of the store that were created before `before`.

    `problems` say which tables were left alone and why.
    """

    before: dict[str, str]
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

    def lines(self) -> list[tuple[str, str, str, int]]:
        """Place, table, before when (UTC), rows: for people."""
        return [("store", table, self.before[table][:16], rows) for table, rows in self.removed.items()]


def run_prune(
    settings: Settings, *, older_than_days: int | None = None, tables: Collection[str] = (), dry_run: bool = False
) -> PruneReport:
    """Delete raw rows of `tables` (default: all) that were created more than `older_than_days` ago (default: the configured retention).

    First the lake is held against the store, day by day: a table of which the lake lacks rows is left alone. A row that no
    extraction has read yet stays as well, however old it is. With `dry_run` nothing changes.
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
        removed = {
            table: store.expire(
                table, before[table], manifest.table(table).watermark if same_database else None, dry_run=dry_run
            )
            for table in wanted
            if table not in {fault.table for fault in faults}
        }
        if not dry_run:
            store.make_partitions()  # after the expiry, so that a month of which nothing is left goes too
    for fault in faults:
        open_log(settings.home.logs).error(
            "store and lake are not the same; nothing of the table was pruned", message=str(fault)
        )
    return PruneReport(before, removed, dry_run, tuple(str(fault) for fault in faults))
