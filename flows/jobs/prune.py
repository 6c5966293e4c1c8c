"""Prune: raw rows older than the retention leave the store, but only those that the lake already holds."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from analytics.lake import CORRECTIONS, EVENTS, Lake
from analytics.store import to_text
from flows.settings import Settings
from flows.warehouse import open_store


@dataclass(frozen=True, slots=True)
class PruneReport:
    """Rows per table that left the store, or would have."""

    before: str
    removed: dict[str, int]
    dry_run: bool


def run_prune(settings: Settings, *, older_than_days: int | None = None, dry_run: bool = False) -> PruneReport:
    """Delete raw rows created more than `older_than_days` ago (default: the configured retention), oldest tables' rows first.

    A row that no extraction has read yet stays, however old it is. With `dry_run` nothing changes.
    """
    days = settings.retention.raw_days if older_than_days is None else older_than_days
    before = to_text(datetime.now(UTC) - timedelta(days=days))
    manifest = Lake(settings.home.lake).manifest()
    with open_store(settings) as store:
        same_database = manifest.epoch == store.epoch()
        removed = {
            table: store.expire(
                table, before, manifest.table(table).watermark if same_database else None, dry_run=dry_run
            )
            for table in EVENTS
            if table not in CORRECTIONS
        }
    return PruneReport(before, removed, dry_run)
