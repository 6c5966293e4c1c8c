"""What can go wrong on the wire.

::

    ProviderError
    ├── BadProvider        (ValueError) a provider's description is unusable: its user must mend it
    └── WireError          one request failed: becomes a row, never leaves a measurement
        ├── ConnectFailed  nothing was sent: refused, unreachable, name not found, TLS
        ├── Refused        the provider answered with a status or an error body
        ├── Stalled        a deadline passed: first byte, idle or total
        └── Garbled        bytes that are no answer: malformed, oversized, of another content type

No message holds a URL's query, a header or a key: messages are stored and shown.
"""

from dataclasses import dataclass
from http import HTTPStatus

# Statuses below 500 that say "not now"; 498 is a full Groq.
_BUSY = frozenset({408, 409, 425, 429, 498})


class ProviderError(Exception):
    """Any error of this package."""


class BadProvider(ProviderError, ValueError):
    """A provider's spec or base URL is unusable; the message names the field, the value and what to do."""


@dataclass(eq=False)
class WireError(ProviderError):
    """One request failed.

    `error_type` is our stable word for the cause (OpenTelemetry's `error.type`), `message` at most 2 KiB of redacted
    text, `status_code` the HTTP status if one arrived, `error_code` the provider's own word.
    """

    error_type: str
    message: str
    status_code: int | None = None
    error_code: str | None = None

    def __str__(self) -> str:
        return self.message

    @property
    def is_transient(self) -> bool:
        """Whether the same request may do better in a moment: the network, a deadline, a busy provider; never a matter of keys,
        money, or the request itself.
        """
        return self.error_type in {"connect", "dns", "disconnected"}


class ConnectFailed(WireError):
    """`error_type` is dns, address (none that the provider may have), connect or tls."""


@dataclass(eq=False)
class Refused(WireError):
    """`error_type` is authentication, payment, permission, not_found, rate_limit, quota, bad_request, overloaded, server or provider.

    `parameters` are those that the provider names as the cause in a field of its own, as it spells them (`messages[0].role`);
    `retry_after_s` is how many seconds from now it asks to wait.
    """

    parameters: tuple[str, ...] = ()
    retry_after_s: float | None = None

    @property
    def is_transient(self) -> bool:
        """A status says so; a 429 may be about money, which its words say."""
        status = self.status_code
        if status is None or self.error_type not in {"server", "overloaded", "rate_limit"}:
            return False
        return status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR


class Stalled(WireError):
    """`error_type` is timeout_first_byte, timeout_idle or timeout_total."""

    @property
    def is_transient(self) -> bool:
        """It may be quicker next time."""
        return True


class Garbled(WireError):
    """`error_type` is malformed, content_type, line_too_long or response_too_large."""
