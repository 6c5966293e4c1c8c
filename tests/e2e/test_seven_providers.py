"""Every provider type against a server that answers as the real one: synced and measured by the real jobs into a real store."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from house import House
from wire.vendors import VENDORS, VLLM, Reply, Vendor
from wire.vendors.azure import AZURE, AZURE_DATED
from wire.vendors.server import at_work

from analytics.store import Row
from flows.jobs.benchmark import BenchmarkRequest, run_benchmark
from flows.jobs.sync import SyncReport, sync_catalogs
from providers.specs import provider_types

KEY = "canary-7d1f20c4"
WHOLE = {"outcome": "ok", "success": True, "status_code": 200, "error_type": None, "token_source": "provider"}
BY_NAME = {vendor.name: vendor for vendor in VENDORS}
by_name = pytest.mark.parametrize("name", BY_NAME)


@pytest.fixture(autouse=True)
def _keyed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys come from the environment, and the vendor's is there."""
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    monkeypatch.setenv("VENDOR_API_KEY", KEY)


def register(house: House, vendor: Vendor, port: int, *, base: str | None = None) -> None:
    """The vendor as its user adds it, and by hand the models that its listing does not have."""
    listed = {name_of(entry) for entry in entries(vendor)}
    unlisted = [model for model in vendor.replies if model not in listed]
    origin = f"http://127.0.0.1:{port}"
    house.add_gateway(
        "vendor",
        *unlisted,
        provider_type=vendor.provider_type,
        base_url=origin + (vendor.base if base is None else base),
        models_endpoint=vendor.models_endpoint and origin + vendor.models_endpoint,
    )


def entries(vendor: Vendor) -> list[Any]:
    """What its listing holds, over all pages."""
    pages = [json.loads(page) for page in vendor.pages.values()]
    return [
        entry for page in pages for entry in (page if isinstance(page, list) else page.get("data") or page["models"])
    ]


def name_of(entry: dict[str, Any]) -> str | None:
    """Under which name an entry is served."""
    return entry.get("id") or entry.get("name") or entry.get("key")


async def sync(house: House) -> SyncReport:
    (report,) = await sync_catalogs(house.settings)
    return report


async def measure(house: House, models: Iterable[str], repeats: int = 2) -> dict[str, list[Row]]:
    """One run of these models; the rows of each."""
    named = tuple(f"vendor/{model}" for model in models)
    request = BenchmarkRequest(workload="short", models=named, repeats=repeats, max_usd=100.0)
    report = await run_benchmark(house.settings, request)
    rows = house.rows("benchmark_results", "id", run_id=report.run_id)
    assert len(rows) == len(named) * repeats
    return {model: [row for row in rows if row["model"] == f"vendor/{model}"] for model in models}


def agrees(row: Row, reply: Reply, model: str) -> None:
    expected = {**(WHOLE if "outcome" not in reply.row else {}), **reply.row}
    seen = {name: row[name] for name in expected}
    assert seen == {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in expected.items()
    }, (
        model,
        row["error_message"],
    )


def agree_on_limits(row: Row, vendor: Vendor, reply: Reply) -> None:
    """The limits of its headers, each as far as the vendor says it; how long to wait, of an error alone."""
    said = row["rate_limits"] or {}
    for kind, expected in vendor.limits.items():
        assert {name: said[kind].get(name) for name in expected} == expected
    wait_s = float(reply.headers.get("retry-after-ms", 0)) / 1000 or float(reply.headers.get("retry-after", 0)) or None
    assert said.get("retry_after_s") == wait_s


def test_there_is_a_server_for_every_provider_type() -> None:
    assert {vendor.provider_type for vendor in VENDORS} == set(provider_types())


@by_name
async def test_its_catalog_is_read(house: House, name: str) -> None:
    vendor = BY_NAME[name]
    async with at_work(vendor, KEY) as provider:
        register(house, vendor, provider.port)
        report = await sync(house)
        again = await sync(house)
    assert report.error is None
    rows = {row["external_id"]: row for row in house.rows("catalog", is_manual=False)}
    for model, expected in vendor.catalog.items():
        assert {column: rows[model][column] for column in expected} == expected, model
    usable = {name_of(entry): entry for entry in entries(vendor) if entry.get("active") is not False}
    usable.pop(None, None)  # an entry without a name is left out
    assert {model: row["metadata"] for model, row in rows.items()} == usable
    assert again.to_dict()["models_updated"] == again.to_dict()["prices_changed"] == 0


@by_name
async def test_its_answers_and_failures_become_rows_and_the_run_goes_on(house: House, name: str) -> None:
    vendor = BY_NAME[name]
    async with at_work(vendor, KEY) as provider:
        register(house, vendor, provider.port)
        await sync(house)
        rows = await measure(house, {**vendor.answers, **vendor.failures})
    for model, reply in {**vendor.answers, **vendor.failures}.items():
        for row in rows[model]:
            agrees(row, reply, model)
            agree_on_limits(row, vendor, reply)
            assert row["total_latency_ms"] > 0
            assert row["is_simulated"] is False


REFUSING = [(vendor.name, model) for vendor in VENDORS for model in vendor.refusals]


@pytest.mark.parametrize(("name", "model"), REFUSING)
async def test_a_model_that_refuses_key_or_payment_is_asked_no_more_and_the_others_are(
    house: House, name: str, model: str
) -> None:
    vendor = BY_NAME[name]
    good = next(iter(vendor.answers))
    async with at_work(vendor, KEY) as provider:
        register(house, vendor, provider.port)
        await sync(house)
        rows = await measure(house, (model, good), repeats=3)
    outcomes = sorted((row["outcome"], row["error_type"]) for row in rows[model])
    refused = vendor.refusals[model].row["error_type"]
    assert outcomes == [("failed", refused), ("skipped", "model_stopped"), ("skipped", "model_stopped")]
    agrees(next(row for row in rows[model] if row["outcome"] == "failed"), vendor.refusals[model], model)
    for row in rows[good]:
        agrees(row, vendor.answers[good], good)


@pytest.mark.parametrize("name", [vendor.name for vendor in VENDORS if vendor.wrong_key])
async def test_a_wrong_key_costs_two_calls_and_keeps_the_catalog(
    house: House, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    vendor = BY_NAME[name]
    assert vendor.wrong_key is not None
    async with at_work(vendor, KEY) as provider:
        register(house, vendor, provider.port)
        await sync(house)
        known = house.rows("catalog", "id")
        monkeypatch.setenv("VENDOR_API_KEY", "another-5b2e")
        report = await sync(house)
        provider.requests.clear()
        rows = await measure(house, {**vendor.answers, **vendor.failures})
    assert f"HTTP {vendor.wrong_key.status} (authentication)" in (report.error or "")
    assert [row["is_available"] for row in house.rows("catalog", "id")] == [row["is_available"] for row in known]
    everything = [row for some in rows.values() for row in some]
    failed = [row for row in everything if row["outcome"] == "failed"]
    assert len(failed) == len(provider.requests) == min(2, len(rows))
    for row in failed:
        agrees(row, vendor.wrong_key, row["model"])
    assert {row["error_type"] for row in everything if row["outcome"] == "skipped"} <= {
        "model_stopped",
        "provider_stopped",
    }


@pytest.mark.parametrize("name", [vendor.name for vendor in VENDORS if vendor.provider_type == "custom"])
async def test_a_server_of_ones_own_without_a_key_gets_no_authorization_header(
    house: House, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("VENDOR_API_KEY")
    vendor = replace(BY_NAME[name], wrong_key=None)
    async with at_work(vendor, None) as provider:
        register(house, vendor, provider.port)
        assert (await sync(house)).error is None
        rows = await measure(house, vendor.answers, repeats=1)
    assert {row["outcome"] for some in rows.values() for row in some} == {"ok"}
    assert not any("authorization" in headers for _, headers, _ in provider.requests)


URLS = [
    *((VLLM, base) for base in ("", "/", "/v1", "/v1/", "/v1/models", "/v1/chat/completions", "/v1/chat/completions/")),
    *((AZURE, base) for base in ("", "/", "/openai", "/openai/v1/", "/openai/v1/chat/completions")),
    *(
        (AZURE_DATED, f"/openai/deployments/{path}?api-version=2024-10-21")
        for path in ("any", "any/", "any/chat/completions")
    ),
    *((BY_NAME["anthropic"], base) for base in ("/v1", "/v1/", "/v1/messages")),
    *((BY_NAME["groq"], base) for base in ("", "/openai", "/openai/v1/chat/completions")),
    *((BY_NAME["openrouter"], base) for base in ("", "/api", "/api/v1/")),
]


@pytest.mark.parametrize(("vendor", "base"), [pytest.param(*pair, id=f"{pair[0].name} {pair[1]}") for pair in URLS])
async def test_a_url_may_be_written_in_many_ways(house: House, vendor: Vendor, base: str) -> None:
    model = next(iter(vendor.answers))
    async with at_work(vendor, KEY) as provider:
        register(house, vendor, provider.port, base=base)
        assert (await sync(house)).error is None
        rows = await measure(house, [model], repeats=1)
    agrees(rows[model][0], vendor.answers[model], model)
