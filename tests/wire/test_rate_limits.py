"""Rate-limit headers: every vendor's spelling of the same few figures, and nothing that nobody can believe."""

import math
import string
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.loopback import DONE, Ask, Conversation, data, said

from providers.dialects import DIALECTS
from providers.rate_limits import LONGEST_S, rate_limits, retry_after_s

NOW = datetime(2026, 11, 21, 4, 15, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


def read(status: int = 200, **headers: str) -> dict[str, Any] | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return rate_limits(named, status=status, answered_at=NOW)


VENDORS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "OpenAI": (
        {
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "6m0s",
            "x-ratelimit-limit-tokens": "200000",
            "x-ratelimit-remaining-tokens": "199983",
            "x-ratelimit-reset-tokens": "5ms",
        },
        {
            "requests": {"limit": 10000, "remaining": 9999, "reset_s": 360.0},
            "tokens": {"limit": 200000, "remaining": 199983, "reset_s": 0.005},
        },
    ),
    "Groq": (
        {
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "130ms",
        },
        {"requests": {"limit": 14400, "reset_s": 179.56}, "tokens": {"remaining": 0, "reset_s": 0.13}},
    ),
    "Together": (
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9", "x-ratelimit-reset": "1", "x-tokenlimit-limit": "3000",
         "x-tokenlimit-remaining": "2990"},
        {"requests": {"limit": 10, "remaining": 9, "reset_s": 1.0}, "tokens": {"limit": 3000, "remaining": 2990}},
    ),
    "OpenRouter": (
        {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str((SECONDS + 30) * 1000)},
        {"requests": {"limit": 20, "remaining": 0, "reset_s": 30.0}},
    ),
    "Anthropic": (
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-21T04:15:12Z",
            "anthropic-ratelimit-input-tokens-limit": "40000",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-tokens-reset": "2026-11-21T05:15:00+01:00",
        },
        {
            "requests": {"limit": 50, "remaining": 49, "reset_s": 12.0},
            "tokens": {"reset_s": 0.0},
            "input_tokens": {"limit": 40000},
            "output_tokens": {"remaining": 8000},
        },
    ),
    "Azure": (
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "10",
            "x-ratelimit-renewalperiod-requests": "10",
            "x-ratelimit-renewalperiod-tokens": "60",
        },
        {
            "requests": {"limit": 60, "remaining": 59, "reset_s": 10.0, "renewal_period_s": 10.0},
            "tokens": {"renewal_period_s": 60.0},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("vendor", VENDORS)
def test_each_vendors_headers_say_the_same_figures(vendor: str) -> None:
    headers, expected = VENDORS[vendor]
    assert rate_limits(headers, status=200, answered_at=NOW) == expected


def test_an_answer_that_says_nothing_of_limits_has_none() -> None:
    assert read(content_type="text/event-stream", x_request_id="r-1") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("130ms", 0.13),
        ("1h2m", 3720.0),
        ("2ms", 0.002),
        ("55.492s", 55.492),
        ("1d", 86_400.0),
        ("1h0m0.5s", 3600.5),
        ("100\u00b5s", 0.0001),
        ("250us", 0.00025),
        ("0s", 0.0),
        ("0", 0.0),
        (" 12.5 ", 12.5),
        ("2026-11-21T04:16:00Z", 60.0),
        ("2026-11-21T04:16:00.250Z", 60.25),
        ("2026-11-21T04:16:00", 60.0),
        ("Sat, 21 Nov 2026 04:17:00 GMT", 120.0),
        (str(SECONDS + 90), 90.0),
        (str((SECONDS + 90) * 1000), 90.0),
        ("2026-11-21T04:14:00Z", 0.0),  # just over: a clock goes wrong by a minute
    ],
)
def test_a_reset_is_seconds_from_the_answer_however_it_is_written(text: str, seconds: float) -> None:
    assert read(x_ratelimit_reset_requests=text) == {"requests": {"reset_s": pytest.approx(seconds)}}


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-1", "-5s", "nan", "inf", "1e9", "soon", "5 s", "s", "ms", "1m2", "99999d", "99999999", "1" * 400, "1h" * 40,
        "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2020-01-01T00:00:00Z", "Fri, 01 Jan 2100 00:00:00 GMT", "\x00", "\u0661\u0662",
        "Mon, 99 Xxx 9999 99:99:99 GMT", str((SECONDS - 86_400) * 1000), "999999999999999",
    ],
)  # fmt: skip
def test_a_reset_that_nobody_can_believe_is_left_out(text: str) -> None:
    assert read(x_ratelimit_reset_requests=text, x_ratelimit_limit_requests="5") == {"requests": {"limit": 5}}


@pytest.mark.parametrize("text", ["", "-1", "unlimited", "1.5", "1e3", "9" * 14, "60, 60;w=60", "nan", "0x10"])
def test_a_count_that_is_none_is_left_out(text: str) -> None:
    assert read(x_ratelimit_limit_requests=text, x_ratelimit_remaining_tokens="7") == {"tokens": {"remaining": 7}}


def test_a_wait_counts_on_an_error_only() -> None:
    assert read(200, retry_after="30") is None
    assert read(429, retry_after="30") == {"retry_after_s": 30.0}
    assert read(503, retry_after="Sat, 21 Nov 2026 04:15:45 GMT") == {"retry_after_s": 45.0}
    assert read(429, retry_after="30", retry_after_ms="1500") == {"retry_after_s": 1.5}
    assert read(429, retry_after="30", retry_after_ms="soon") == {"retry_after_s": 30.0}


@pytest.mark.parametrize("text", ["99999999999", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_an_absurd_wait_is_in_no_row_but_known_to_who_would_wait(text: str) -> None:
    assert read(429, retry_after=text) is None
    assert (retry_after_s({"retry-after": text}, NOW) or 0) > LONGEST_S


@pytest.mark.parametrize("text", ["-5", "nan", "later", "Sat, 21 Nov 2020 04:15:45 GMT"])
def test_a_wait_that_is_none_is_unknown(text: str) -> None:
    assert retry_after_s({"retry-after": text}, NOW) is None


NAMES = [
    *(f"x-ratelimit-{part}{kind}" for part in ("limit", "remaining", "reset") for kind in ("", "-requests", "-tokens")),
    *(
        f"anthropic-ratelimit-{kind}-{part}"
        for part in ("limit", "reset")
        for kind in ("requests", "tokens", "input-tokens")
    ),
    "x-ratelimit-renewalperiod-requests",
    "retry-after",
    "retry-after-ms",
]
VALUES = (
    st.text(max_size=80)
    | st.text(string.digits + ".-+:hmsduTZ \u00b5", max_size=80)
    | st.floats().map(repr)
    | st.integers().map(str)
    | st.datetimes().map(str)
    | st.datetimes(timezones=st.just(UTC)).map(format_datetime)
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.sampled_from([200, 429, 529]))
def test_no_header_breaks_the_reader_and_every_figure_is_finite_and_believable(
    headers: dict[str, str], status: int
) -> None:
    found = rate_limits(headers, status=status, answered_at=NOW) or {}
    wait = found.pop("retry_after_s", None)
    assert wait is None or (status >= 400 and 0 <= wait <= LONGEST_S)
    for limits in found.values():
        assert limits
        for name, value in limits.items():
            assert math.isfinite(value)
            assert 0 <= value <= (LONGEST_S if name.endswith("_s") else 10**12)


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59_999))
def test_a_duration_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, milliseconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{milliseconds / 1000}s"
    span = timedelta(days=days, hours=hours, minutes=minutes, milliseconds=milliseconds)
    assert read(x_ratelimit_reset_tokens=text) == {"tokens": {"reset_s": pytest.approx(span.total_seconds(), abs=1e-6)}}


@given(st.integers(0, int(LONGEST_S)))
def test_a_moment_means_the_same_in_every_form(seconds: int) -> None:
    moment = NOW + timedelta(seconds=seconds)
    forms = (str(seconds), f"{seconds}s", moment.isoformat(), format_datetime(moment), str(SECONDS + seconds))
    assert {(read(x_ratelimit_reset=form) or {})["requests"]["reset_s"] for form in forms} == {float(seconds)}


async def test_a_row_keeps_what_the_headers_said(ask: Ask) -> None:
    limits = (
        "X-RateLimit-Limit-Requests: 500",
        "x-ratelimit-remaining-requests: 499",
        "x-ratelimit-reset-requests: 12.5s",
    )

    async def script(c: Conversation) -> None:
        await c.start("200 OK", "text/event-stream", *limits, "retry-after: 7")
        await c.chunk(data(said("a", "stop")), DONE)
        await c.end()

    assert (await ask(script)).rate_limits == {"requests": {"limit": 500, "remaining": 499, "reset_s": 12.5}}


@pytest.mark.parametrize(
    ("header", "expected"),
    [("3", {"retry_after_s": 3.0}), ("Fri, 01 Jan 2100 00:00:00 GMT", None), ("99999999999", None), ("maybe", None)],
)
async def test_a_refused_request_keeps_status_code_and_the_wait_that_was_asked_for(
    ask: Ask, header: str, expected: dict[str, float] | None
) -> None:
    async def script(c: Conversation) -> None:
        body = b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
        await c.answer("429 Too Many Requests", "application/json", body, f"retry-after: {header}")

    seen = await ask(script)
    assert (seen.outcome, seen.status_code, seen.error_type, seen.error_code) == (
        "failed",
        429,
        "rate_limit",
        "rate_limit_exceeded",
    )
    assert seen.rate_limits == expected


async def test_a_wait_until_a_date_is_counted_from_the_answer(ask: Ask) -> None:
    async def script(c: Conversation) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        await c.answer("503 Busy", "text/plain", b"busy", f"retry-after: {date}")

    seen = await ask(script)
    assert seen.rate_limits is not None
    assert 55 <= seen.rate_limits["retry_after_s"] <= 60


async def test_an_answer_without_limits_has_none_and_a_broken_connection_neither(ask: Ask) -> None:
    async def good(c: Conversation) -> None:
        await c.answer("200 OK", "text/event-stream", data(said("a", "stop")) + DONE)

    async def broken(c: Conversation) -> None:
        c.reset()

    assert (await ask(good)).rate_limits is None
    assert (await ask(broken)).rate_limits is None


def test_a_refusal_knows_how_long_it_asks_to_wait() -> None:
    for dialect in DIALECTS.values():
        assert dialect.parse_error(429, httpx.Headers({"Retry-After": "4"}), b"").retry_after_s == 4.0
        assert dialect.parse_error(429, {}, b"").retry_after_s is None
