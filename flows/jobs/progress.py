"""Watching a run."""

from typing import Protocol

from flows.plan import Plan
from providers.records import BenchmarkResult


class Progress(Protocol):
    """Somebody who watches a run; called from its event loop, so each call must be quick."""

    def begin(self, run_name: str, plan: Plan) -> None:
        """The run is about to start."""

    def measured(self, result: BenchmarkResult) -> None:
        """One result is safe in the spool."""

    def end(self) -> None:
        """The run is over, however it ended."""


class Unwatched:
    """Nobody watches."""

    def begin(self, run_name: str, plan: Plan) -> None:
        """Nothing to show."""

    def measured(self, result: BenchmarkResult) -> None:
        """Nothing to show."""

    def end(self) -> None:
        """Nothing to show."""
