"""The daily log: one JSON object a line in `logs/scorehouse-YYYY-MM-DD.log`, errors with their context.

Nothing secret is ever passed to a logger; the console belongs to progress and answers, not to the log.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import structlog


class _DailyFile:
    """Writes each entry to the file of its UTC day, so that a process that runs for weeks changes files at midnight."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def msg(self, message: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"scorehouse-{datetime.now(UTC):%Y-%m-%d}.log").open("a", encoding="utf-8") as file:
            file.write(message + "\n")

    info = warning = error = msg


def _render(_: object, __: str, event: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def open_log(folder: Path) -> structlog.typing.FilteringBoundLogger:
    """A logger whose entries land in `folder`, with time (UTC) and level."""
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _render,
    ]
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _DailyFile(folder), processors=processors, wrapper_class=structlog.make_filtering_bound_logger(20)
    )
    return logger
