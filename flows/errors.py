"""What a person is told: one sentence that names the input, what is wrong and what to do.

::

    FlowError
    ├── UsageError         (exit 2) the command or the configuration is wrong; nothing was changed
    ├── SecretUnavailable  (fail closed) a provider's key cannot be had: no request goes out
    ├── NothingToMeasure   (exit 1) no active model matches, or no provider is there
    └── AlreadyMeasuring   (exit 1) another benchmark is under way in this house
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


class AlreadyMeasuring(FlowError):
    """Another benchmark is under way: two at once would disturb each other's latencies."""
