"""Opening what a command needs: the store, with its schema and reference rows in place, and the spool beside it."""

from dataclasses import asdict
from typing import Any

from analytics.store import Spool, SqliteStore, Store, now_text, stable_id
from flows.errors import UsageError
from flows.settings import Settings
from flows.workloads import domains, gold_questions, task_domains


def make_store(settings: Settings) -> Store:
    """The configured store, not opened yet: a Supabase project if one is named, else an SQLite file in the home folder.

    Raises UsageError when only half of what a project needs is set.
    """
    url, key = settings.supabase_url, settings.supabase_service_role_key
    if url is None and key is None:
        return SqliteStore(settings.home.store)
    if url is None or key is None:
        lacking = "SUPABASE_URL" if url is None else "SUPABASE_SERVICE_ROLE_KEY"
        raise UsageError(f"{lacking} is not set, though the rest of a Supabase project is: set it, or unset both.")
    from analytics.store.supabase import SupabaseStore  # noqa: PLC0415  # half a second, for those alone who use it

    db_url = settings.supabase_db_url
    return SupabaseStore(url, key.get_secret_value(), db_url=db_url.get_secret_value() if db_url else None)


def open_store(settings: Settings) -> Store:
    """The configured store, migrated, with domains and gold questions.

    Raises SchemaMismatch when it was written by a newer program or cannot be migrated from here, StoreUnavailable when it cannot be
    reached, UsageError when it is only half configured.
    """
    store = make_store(settings)
    try:
        store.migrate()
        for table, rows in _reference().items():
            have = {row["id"] for row in store.select(table, columns=("id",)).items}
            missing = [row for row in rows if row["id"] not in have]
            if missing:
                store.write(table, missing)
    except BaseException:
        store.close()
        raise
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
