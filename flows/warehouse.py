"""Opening what a command needs: the store, with its schema and reference rows in place, and the spool beside it."""

from dataclasses import asdict
from typing import Any

from analytics.store import Spool, SqliteStore, Store, now_text, stable_id
from flows.settings import Settings
from flows.workloads import domains, gold_questions, task_domains


def open_store(settings: Settings) -> Store:
    """The configured store: an embedded SQLite file in the home folder, migrated, with domains and gold questions.

    Raises SchemaMismatch when the file was written by a newer program, StoreUnavailable when it cannot be opened.
    """
    store = SqliteStore(settings.home.store)
    store.migrate()
    for table, rows in _reference().items():
        have = {row["id"] for row in store.read_all(table)}
        missing = [row for row in rows if row["id"] not in have]
        if missing:
            store.write(table, missing)
    return store


def open_spool(settings: Settings) -> Spool:
    """The spool of this home, which refuses calls when the disk runs out."""
    return Spool(settings.home.spool, floor_bytes=settings.spool.free_floor_mb * 1_000_000)


def _reference() -> dict[str, list[dict[str, Any]]]:
    """Rows that come with the program: what is asked, and which domain's benchmarks speak for which task."""
    now = now_text()
    pairs = [(task, domain) for task, names in task_domains().items() for domain in names]
    return {
        "domains": [{**asdict(domain), "created_at": now} for domain in domains()],
        "domain_benchmarks": [{**asdict(question), "created_at": now} for question in gold_questions()],
        "task_domains": [
            {"id": stable_id("task_domain", f"{task}/{domain}"), "task_type": task, "domain": domain}
            for task, domain in pairs
        ],
    }
