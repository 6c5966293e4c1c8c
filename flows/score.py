"""The flow `score`: extract what is new, refresh the scores it touches, publish a snapshot."""

import asyncio
from typing import Any

from prefect import flow

from flows.jobs.score import run_score
from flows.orchestration import session


@flow(name="score", persist_result=False)
async def score(full: bool = False) -> dict[str, Any]:
    """Refresh and publish; `full` recomputes every day."""
    settings = session().settings
    return (await asyncio.to_thread(run_score, settings, full=full)).to_dict()
