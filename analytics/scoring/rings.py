"""Age rings: whole hours by how long they lie before the hour of as_of, disjoint, so that every window is a sum of them.

::

    ring      0         1          2           3            4             5         LATER
    age h     0..1      2..24      25..168     169..720     721..2160     more      below 0
    window    1h = 0    24h = 0+1  7d = 0..2   30d = 0..3   90d = 0..4    all = 0..5

A row lives in one ring. Age 0 is the hour that as_of lies in, so a window is its hours and what has passed of this one, as
`sql/scoring/windows.sql` says. When as_of enters the next hour, one hour of rows crosses each border.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

WINDOWS = {"1h": 1, "24h": 24, "7d": 168, "30d": 720, "90d": 2160, "all": None}
RINGS = len(WINDOWS)
LATER = RINGS  # rows of hours that as_of has not reached: they count in no window yet
HOUR_US = 3_600_000_000

_BORDERS = np.array([hours for hours in WINDOWS.values() if hours is not None], np.int64)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Ints = npt.NDArray[np.int64]


def hour_of(moment: datetime) -> int:
    """The whole hours from the epoch to a moment with a time zone."""
    return int((moment - _EPOCH).total_seconds() // 3600)


def moment_of(hour: int) -> datetime:
    """The beginning of an hour since the epoch."""
    return _EPOCH + timedelta(hours=hour)


def rings_of(hours: Ints, last_hour: int) -> Ints:
    """The ring of each hour, seen from `last_hour`, the hour of as_of."""
    ages = last_hour - hours
    return np.where(ages < 0, LATER, np.searchsorted(_BORDERS, ages)).astype(np.int64)


def moves(first_hour: int, last_hour: int, before: int, now: int) -> bool:
    """Whether any hour from `first_hour` to `last_hour` changes its ring when the hour of as_of goes from `before` to `now`."""
    hours = np.arange(first_hour, last_hour + 1)
    return bool(np.any(rings_of(hours, before) != rings_of(hours, now)))


def is_of_the_oldest_ring(hour: int, now: int) -> bool:
    """Whether that hour is behind every border, so that nothing but a step back of as_of can move it again."""
    return now - hour > int(_BORDERS[-1])
