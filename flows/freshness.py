"""How old what is known of a provider's models is, and whether that is known to be out of date."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analytics.store import from_text

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True)
class Freshness:
    """Of one provider's catalog: seconds since the last sync that succeeded (None: there was none), and whether one failed since."""

    age_s: float | None
    is_stale: bool

    def __str__(self) -> str:
        if self.age_s is None:
            return "none yet, the sync failed" if self.is_stale else "none yet"
        return f"{'stale, ' if self.is_stale else ''}{span(self.age_s)} old"

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "catalog_age_s": None if self.age_s is None else round(self.age_s),
            "is_catalog_stale": self.is_stale,
        }


def freshness(provider: Mapping[str, Any], now: datetime) -> Freshness:
    """The freshness of the catalog of a row of `providers` or of `provider_registry`."""
    synced = provider["last_synced"]
    age_s = None if synced is None else max((now - from_text(synced)).total_seconds(), 0.0)
    return Freshness(age_s, provider["last_sync_error"] is not None)


def span(seconds: float) -> str:
    """A duration in its largest whole unit: 3 d, 2 h, 5 min, 20 s."""
    return next((f"{seconds // size:.0f} {unit}" for size, unit in _UNITS if seconds >= size), f"{seconds:.0f} s")
