"""What a person is told: one sentence that names the input, what is wrong and what to do.

::

    FlowError
    ├── UsageError         (exit 2) the command or the configuration is wrong; nothing was changed
    ├── SecretUnavailable  (fail closed) a provider's key cannot be had: no request goes out
    ├── NothingToMeasure   (exit 1) no active model matches, or no provider is there
    └── NotMyTurn          (exit 1) nothing was begun, because another run does what was asked
        ├── AlreadyMeasuring   another benchmark is under way in this house
        └── SlotTaken          another run fills this slot of the schedule, or a later one
"""

from typing import Literal


class FlowError(Exception):
    """Any error of this package; its text is what the user reads."""


class UsageError(FlowError):
    """The input is wrong; nothing was changed."""


class SecretUnavailable(FlowError):
    """A key is needed and cannot be had: it is `absent`, `void` (bound to another origin, or unusable), or Vault cannot be
    asked (`unavailable`).
    """

    def __init__(self, message: str, state: Literal["absent", "void", "unavailable"]) -> None:
        super().__init__(message)
        self.state: Literal["absent", "void", "unavailable"] = state


class NothingToMeasure(FlowError):
    """A run would have no requests."""


class NotMyTurn(FlowError):
    """Nothing was begun, because another run does what was asked."""


class AlreadyMeasuring(NotMyTurn):
    """Another benchmark is under way: two at once would disturb each other's latencies."""


class SlotTaken(NotMyTurn):
    """Another run fills this slot of a schedule, or a later one of the same deployment."""
