"""What an answer's headers say of its provider's rate limits: one reading for every vendor's spelling.

- `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` (OpenAI, Groq, Azure, many gateways), and without a kind for requests
  (Together, OpenRouter); `x-tokenlimit-{limit,remaining}` (Together); `x-ratelimit-renewalperiod-{requests,tokens}` (Azure: the
  length of the window in seconds).
- `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`.
- `retry-after-ms`, `retry-after`, of an error only: routers leave them on good answers too, where they mean nothing.

A reset is a duration (`6m0s`, `130ms`), a number of seconds, a moment since 1970 in seconds or milliseconds (OpenRouter), an
RFC 3339 time or an HTTP date; here it is always seconds from the moment of the answer.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

LONGEST_S = 32 * 86_400.0  # no window is longer than a month: what is beyond it is a mistake
_SKEW_S = 3600.0  # a time that lies so little in the past is over, by a clock that goes wrong
_MOST = 10**12  # requests or tokens
_EPOCH_S, _EPOCH_MS = 10**9, 10**11  # a number from here on is a moment since 1970, not a duration

_KINDS = ("requests", "tokens", "input_tokens", "output_tokens")
_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d{1,12}(?:\.\d{0,12})?)(ms|us|\u00b5s|ns|d|h|m|s)", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{0,12})?", re.ASCII)
_LONGEST_VALUE = 64  # characters


def rate_limits(headers: Mapping[str, str], *, status: int, answered_at: datetime) -> dict[str, Any] | None:
    """The limits that `headers` (names in lower case) state; None if they state none.

    `{"requests": {"limit": 500, "remaining": 499, "reset_s": 12.5}, "tokens": {...}, "input_tokens": {...}, "output_tokens":
    {...}, "retry_after_s": 3.0}`, each only as far as it was said; requests and tokens may have `renewal_period_s`. A value
    that cannot be read or believed is left out.
    """
    stated = {name: text for name, text in headers.items() if "limit" in name or name.startswith("retry-after")}
    if not stated:
        return None
    said: dict[str, Any] = {}
    for kind in _KINDS:
        if limits := dict(_limits(stated, kind, answered_at)):
            said[kind] = limits
    wait = retry_after_s(stated, answered_at) if status >= HTTPStatus.BAD_REQUEST else None
    if wait is not None and wait <= LONGEST_S:
        said["retry_after_s"] = wait
    return said or None


def retry_after_s(headers: Mapping[str, str], answered_at: datetime) -> float | None:
    """The seconds from now that an error's headers ask to wait, however many; None if they do not say."""
    if (text := headers.get("retry-after-ms")) is not None and (milliseconds := _number(text)) is not None:
        return milliseconds / 1000
    return _seconds(headers.get("retry-after"), answered_at, most=math.inf)


def _limits(headers: Mapping[str, str], kind: str, answered_at: datetime) -> Iterator[tuple[str, float]]:
    dashed = kind.replace("_", "-")

    def first(part: str) -> str | None:
        names = [f"x-ratelimit-{part}-{dashed}", f"anthropic-ratelimit-{dashed}-{part}"]
        names += {"requests": [f"x-ratelimit-{part}"], "tokens": [f"x-tokenlimit-{part}"]}.get(kind, [])
        return next((headers[name] for name in names if name in headers), None)

    for part in ("limit", "remaining"):
        count = _number(first(part) or "")
        if count is not None and count <= _MOST and count == int(count):
            yield part, int(count)
    if (seconds := _seconds(first("reset"), answered_at)) is not None:
        yield "reset_s", seconds
    if (seconds := _seconds(headers.get(f"x-ratelimit-renewalperiod-{dashed}"), answered_at)) is not None:
        yield "renewal_period_s", seconds


def _seconds(text: str | None, answered_at: datetime, most: float = LONGEST_S) -> float | None:
    """Seconds from `answered_at`, of any of the forms; None for what is none of them or beyond belief."""
    text = (text or "").strip()
    if not text or len(text) > _LONGEST_VALUE:
        return None
    number = _number(text)
    if number is not None and number >= _EPOCH_S and most != math.inf:
        number = number / (1000 if number >= _EPOCH_MS else 1) - answered_at.timestamp()
    elif number is None:
        number = _duration(text)
    if number is None:
        number = _until(text, answered_at)
    if number is None or not -_SKEW_S <= number <= most:
        return None
    return round(max(0.0, number), 6)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _duration(text: str) -> float | None:
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))


def _until(text: str, answered_at: datetime) -> float | None:
    """Seconds until an RFC 3339 time or an HTTP date; a time without a zone is UTC."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        try:
            return (moment - answered_at).total_seconds()
        except OverflowError:
            return None
    return None
