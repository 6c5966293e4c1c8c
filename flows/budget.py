"""A run's money: an upper bound is set aside before each call and settled after it, so that the limit is never exceeded."""

from dataclasses import dataclass


@dataclass(slots=True)
class Budget:
    """USD of one run. Lives in one event loop; a call without a known price sets nothing aside."""

    max_usd: float
    committed_usd: float = 0.0

    def reserve(self, most_usd: float | None) -> bool:
        """Set `most_usd` aside; False, and nothing set aside, when that could exceed the limit."""
        if most_usd is None:
            return True
        if self.committed_usd + most_usd > self.max_usd:
            return False
        self.committed_usd += most_usd
        return True

    def settle(self, most_usd: float | None, actual_usd: float | None, *, may_be_billed: bool) -> None:
        """Replace the bound by what the call cost; where that is unknown, the bound stays if it may be billed."""
        if actual_usd is None and may_be_billed:
            return
        self.committed_usd += (actual_usd or 0.0) - (most_usd or 0.0)
