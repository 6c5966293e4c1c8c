"""A sync asks again while the failure may pass, waits as it is told up to a cap, and never outlives its time."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import stamina
from house import House
from wire.loopback import Conversation, Provider, serving

from flows.jobs.sync import SyncReport, sync_catalogs

LISTING = json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]}).encode()
Answer = tuple[int, str, str]  # status, body, Retry-After
Sync = Callable[..., Awaitable[tuple[SyncReport, Provider]]]

GOOD: Answer = (200, "", "")


def failing(status: int, code: str = "", wait: str = "") -> Answer:
    return status, json.dumps({"error": {"message": f"It is {status}.", "code": code or None}}), wait


@pytest.fixture
def sync(house: House) -> Sync:
    """Sync a provider whose models endpoint gives these answers, the last one again and again."""
    house.home.mkdir()

    async def ask(*answers: Answer | None) -> tuple[SyncReport, Provider]:
        async def script(c: Conversation) -> None:
            answer = answers[min(len(provider.requests), len(answers)) - 1]
            if answer is None:
                await c.stall()
                return
            status, body, wait = answer
            extra = [f"retry-after: {wait}"] if wait else []
            await c.answer(f"{status} Said", "application/json", body.encode() or LISTING, *extra)

        async with serving(script) as provider:
            url = f"http://127.0.0.1:{provider.port}/v1"
            await asyncio.to_thread(lambda: house.add_gateway("acme", provider_type="custom", base_url=url))
            (report,) = await sync_catalogs(house.settings, ("acme",))
            return report, provider

    return ask


@pytest.fixture
def without_waits() -> Iterator[None]:
    """Retries follow each other at once."""
    with stamina.set_testing(True, attempts=4):
        yield


@pytest.mark.usefixtures("without_waits")
@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 520, 529])
async def test_a_failure_that_may_pass_is_asked_again(sync: Sync, status: int) -> None:
    report, provider = await sync(failing(status), failing(status), GOOD)
    assert report.error is None
    assert report.to_dict()["models_added"] == 1
    assert len(provider.requests) == 3


@pytest.mark.usefixtures("without_waits")
@pytest.mark.parametrize(
    "answer",
    [
        failing(400),
        failing(401),
        failing(402, wait="1"),
        failing(403),
        failing(404),
        failing(413),
        failing(422),
        failing(429, "insufficient_quota", "1"),
        failing(429, "credit_balance_exhausted"),
        failing(307),
        (200, '{"no": "list"}', ""),
        (200, "<html>Sign in</html>", ""),
    ],
    ids=str,
)
async def test_a_failure_that_will_not_pass_is_reported_at_once(sync: Sync, answer: Answer) -> None:
    report, provider = await sync(answer, GOOD)
    assert report.error
    assert len(provider.requests) == 1


@pytest.mark.usefixtures("without_waits")
async def test_the_last_attempts_failure_is_the_one_that_is_told(sync: Sync, house: House) -> None:
    report, provider = await sync(failing(503), failing(500), failing(502), failing(504))
    assert len(provider.requests) == house.settings.catalog.attempts == 4
    assert (
        report.error
        == "HTTP 504 (server): It is 504 (asked without a key; in development mode it is read from ACME_API_KEY)."
    )
    (row,) = house.rows("providers")
    assert "504" in row["last_sync_error"]
    log = [json.loads(line) for path in house.settings.home.logs.iterdir() for line in path.read_text().splitlines()]
    assert [line["error_type"] for line in log if line["event"] == "a catalog is asked for again"] == [
        "overloaded",
        "server",
        "server",
    ]


@pytest.mark.usefixtures("without_waits")
async def test_a_server_that_is_not_there_yet_is_asked_again(house: House, unused_port: int) -> None:
    house.home.mkdir()
    house.add_gateway("acme", provider_type="custom", base_url=f"http://127.0.0.1:{unused_port}/v1")
    (report,) = await sync_catalogs(house.settings, ("acme",))
    assert "No connection to" in (report.error or "")
    log = [json.loads(line) for path in house.settings.home.logs.iterdir() for line in path.read_text().splitlines()]
    assert len([line for line in log if line["event"] == "a catalog is asked for again"]) == 3


@pytest.mark.parametrize("wait", ["0", "0.05", "99999999999", "Fri, 01 Jan 2100 00:00:00 GMT", "-5", "soon", ""])
async def test_a_wait_is_heeded_up_to_the_cap(sync: Sync, house: House, wait: str) -> None:
    house.sections["catalog"] = {"retry_wait_max_ms": 100.0}
    began = time.monotonic()
    report, provider = await sync(failing(429, "rate_limit_exceeded", wait), GOOD)
    assert report.error is None
    assert len(provider.requests) == 2
    assert time.monotonic() - began < 5
    if wait == "99999999999":
        assert time.monotonic() - began >= 0.1


async def test_a_wait_that_the_syncs_time_does_not_allow_is_not_begun(sync: Sync, house: House) -> None:
    house.sections["catalog"] = {"timeout_ms": 3000.0, "retry_wait_max_ms": 60_000.0}
    began = time.monotonic()
    report, provider = await sync(failing(503, wait="30"), GOOD)
    assert "HTTP 503" in (report.error or "")
    assert len(provider.requests) == 1
    assert time.monotonic() - began < 2.5


async def test_silence_is_given_up_in_time_for_another_attempt(sync: Sync, house: House) -> None:
    house.sections["catalog"] = {"timeout_ms": 6000.0, "retry_wait_max_ms": 10.0}
    report, provider = await sync(None, GOOD)
    assert report.error is None
    assert len(provider.requests) == 2


async def test_all_attempts_together_end_with_the_syncs_time(sync: Sync, house: House) -> None:
    house.sections["catalog"] = {"timeout_ms": 600.0, "retry_wait_max_ms": 10.0, "attempts": 20}
    began = time.monotonic()
    report, _ = await sync(None)
    assert report.error == "The models endpoint did not answer within 600 ms."
    assert time.monotonic() - began < 5


async def test_a_wait_that_outlasts_the_syncs_time_ends_with_it_and_tells_the_failure(sync: Sync, house: House) -> None:
    house.sections["catalog"] = {"timeout_ms": 400.0, "retry_wait_max_ms": 60_000.0}
    report, provider = await sync(failing(503), GOOD)
    assert "HTTP 503" in (report.error or "")
    assert len(provider.requests) == 1


async def test_a_patience_of_one_attempt_asks_once(sync: Sync, house: House) -> None:
    house.sections["catalog"] = {"attempts": 1}
    report, provider = await sync(failing(503), GOOD)
    assert "HTTP 503" in (report.error or "")
    assert len(provider.requests) == 1


def test_nothing_is_printed_by_a_retry(capfd: pytest.CaptureFixture[str], house: House, unused_port: int) -> None:
    house.home.mkdir()
    house.sections["catalog"] = {"retry_wait_max_ms": 10.0}
    house.add_gateway("acme", provider_type="custom", base_url=f"http://127.0.0.1:{unused_port}/v1")
    reports: list[Any] = house.sync("acme")
    assert reports[0].error
    assert capfd.readouterr() == ("", "")
