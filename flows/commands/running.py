"""Running a command's job: in this process, as a flow of a Prefect server where PREFECT_API_URL names one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from flows.settings import Settings

T = TypeVar("T")


def run_job(settings: Settings, name: str, job: Callable[[], Awaitable[T]]) -> T:
    """The job's result. `name` is that of the flow it belongs to; a server that cannot be reached is logged, no more."""

    async def run() -> T:
        if not settings.prefect_api_url:
            return await job()
        from flows.orchestration import SESSION, Session, as_flow  # importing Prefect takes seconds

        SESSION.set(Session(settings))
        return await as_flow(name, job)

    return asyncio.run(run())
