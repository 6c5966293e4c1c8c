"""Asking for a catalog again when it is worth it. Nothing that is measured is ever asked for again."""

import asyncio

import httpx
import stamina
from pydantic import SecretStr
from structlog.typing import FilteringBoundLogger

from flows.settings import CatalogSettings
from providers.catalog import Catalog, fetch_catalog
from providers.entries import TierThresholds
from providers.errors import Refused, Stalled, WireError
from providers.records import ProviderSpec
from providers.transport import open_client

_FIRST_WAIT_S = 0.5  # doubled with each attempt, with jitter
_SILENCES = 3  # so many attempts that hear nothing fill the whole time

stamina.instrumentation.set_on_retry_hooks([])  # our own log says it; theirs would be printed to stdout


async def fetch_patiently(
    spec: ProviderSpec, key: SecretStr | None, settings: CatalogSettings, log: FilteringBoundLogger
) -> Catalog:
    """The catalog, asked for up to `settings.attempts` times while the failure may pass, within `settings.timeout_ms` in all.

    A provider's Retry-After is heeded up to `settings.retry_wait_max_ms`, and so is our own doubling wait. Raises the WireError
    of the last attempt, TimeoutError if all that came was silence.
    """
    loop = asyncio.get_running_loop()
    total_s, most_s = settings.timeout_ms / 1000, settings.retry_wait_max_ms / 1000
    ends = loop.time() + total_s
    failures: list[WireError] = []

    def wait(error: Exception) -> bool | float:
        """Whether to ask again, or after how many seconds."""
        if not isinstance(error, WireError) or not error.is_transient:
            return False
        failures.append(error)
        asked_s = error.retry_after_s if isinstance(error, Refused) else None
        seconds = None if asked_s is None else min(asked_s, most_s)
        if len(failures) == settings.attempts or loop.time() + (seconds or 0.0) >= ends:
            return False
        log.warning("a catalog is asked for again", provider=spec.key, error_type=error.error_type, message=str(error))
        return True if seconds is None else seconds

    tiers = TierThresholds(settings.low_below_usd_per_m, settings.standard_below_usd_per_m)
    attempts = stamina.retry_context(
        on=wait, attempts=settings.attempts, timeout=None, wait_initial=min(_FIRST_WAIT_S, most_s), wait_max=most_s
    )
    try:
        async with open_client(spec) as client, asyncio.timeout_at(ends):
            client.timeout = httpx.Timeout(total_s / min(settings.attempts, _SILENCES))
            async for attempt in attempts:
                with attempt:
                    return await fetch_catalog(client, spec, key.get_secret_value() if key else None, tiers=tiers)
    except (TimeoutError, Stalled):
        if failures and not isinstance(failures[-1], Stalled):
            raise failures[-1] from None
        raise TimeoutError from None
    raise AssertionError("the last attempt returns or raises")
