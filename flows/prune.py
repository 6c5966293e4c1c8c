"""The flow `prune`: raw rows older than the retention leave the store."""

import asyncio
from typing import Any

from prefect import flow

from flows.jobs.prune import run_prune
from flows.orchestration import session


@flow(name="prune", persist_result=False)
async def prune(
    older_than_days: int | None = None, tables: tuple[str, ...] = (), dry_run: bool = False
) -> dict[str, Any]:
    """Delete what is older than the retention and already in the lake, of `tables` (default: all); with `dry_run`, count it."""
    settings = session().settings
    report = await asyncio.to_thread(
        run_prune, settings, older_than_days=older_than_days, tables=tables, dry_run=dry_run
    )
    return report.to_dict()
