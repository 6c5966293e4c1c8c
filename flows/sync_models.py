"""The flow `sync-models`: make the catalog what the providers list now."""

from typing import Any

from prefect import flow

from flows.jobs.sync import sync_catalogs
from flows.orchestration import session


@flow(name="sync-models", persist_result=False)
async def sync_models(providers: list[str] | None = None) -> list[dict[str, Any]]:
    """Sync the named providers, or all active ones; one that fails keeps its last known catalog and is reported."""
    reports = await sync_catalogs(session().settings, tuple(providers or ()))
    return [report.to_dict() for report in reports]
