"""Prices through a sync and the start of a run: whose counts, what never does, and what a result costs by it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from house import AURORA, House

from analytics.routing.published import read_published
from analytics.store import Actor, Row, now_text, stable_id
from flows.jobs.benchmark import BenchmarkRequest, plan_benchmark
from flows.jobs.prices import clear_price, set_price
from flows.jobs.status import house_status
from flows.logs import open_log
from flows.settings import PriceSettings

ANNA = Actor("platform_admin", "anna")


class Vendor:
    """A provider on loopback whose listing and answer the test writes."""

    def __init__(self) -> None:
        vendor = self
        self.listing: list[dict[str, Any]] | bytes = []
        self.stream = b""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listing = vendor.listing
                self._answer("json", listing if isinstance(listing, bytes) else json.dumps({"data": listing}).encode())

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._answer("event-stream", vendor.stream)

            def _answer(self, kind: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", f"{'text' if kind == 'event-stream' else 'application'}/{kind}")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def lists(self, **prices: Any) -> None:
        """One model `m` with these prices, per 1M tokens."""
        self.listing = [{"id": "m", "pricing": prices}] if prices else [{"id": "m"}]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def vendor(house: House) -> Iterator[Vendor]:
    """Registered as the custom provider `shop`, which needs no key."""
    made = Vendor()
    house.add_gateway("shop", provider_type="custom")
    with house.store() as store:
        (row,) = store.read_all("providers")
        store.write("providers", [{**row, "base_url": made.base_url}])
    yield made
    made.close()


def add_provider(house: House, key: str, *models: str, base_url: str, metadata: dict[str, Any] | None = None) -> None:
    """A provider of that type at that address, which is never asked, with models added by hand."""
    now = now_text()
    row: Row = {"id": stable_id("provider", key), "key": key, "name": key, "provider_type": key, "base_url": base_url,
                "created_at": now, "updated_at": now}  # fmt: skip
    known = [{"id": stable_id("model", f"{key}/{name}"), "key": f"{key}/{name}", "name": name, "provider_id": row["id"], "display_name": name,
              "is_active": True, "is_manual": True, "metadata": metadata or {}, "created_at": now, "updated_at": now} for name in models]  # fmt: skip
    with house.store() as store:
        store.write("providers", [row])
        store.write("models", known)


def price(house: House, key: str = "shop/m") -> tuple[Any, ...]:
    (row,) = house.rows("catalog", id=key)
    return row["pricing_input"], row["pricing_output"], row["price_source"]


def history(house: House) -> list[tuple[Any, ...]]:
    return [
        (row["input_price_per_m"], row["source"], row["quarantine_reason"] is None)
        for row in house.rows("prices", "timestamp,id")
    ]


def measure_nothing(house: House) -> None:
    """A run that checks prices at its start and, without a budget or a key, sends nothing."""
    house.bench(max_usd=0.0)


# -- sources ---------------------------------------------------------------------------------------------------


def test_settings_fill_in_where_the_api_gives_none_and_go_when_they_are_taken_out(
    house: House, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (house.home.parent / "scorehouse.toml").write_text(
        '[prices."shop/m"]\ninput_price_per_m = 3\noutput_price_per_m = 4.5\n'
    )
    vendor.lists()
    house.sync()
    assert price(house) == (3, 4.5, "settings")
    assert house.rows("catalog")[0]["cost_tier"] == "standard"
    vendor.lists(input=0.5, output=0.5)
    house.sync()
    assert price(house) == (0.5, 0.5, "provider_api"), "the API's own word goes before"
    vendor.lists()
    house.sync()
    assert price(house) == (3, 4.5, "settings")
    (house.home.parent / "scorehouse.toml").unlink()
    house.sync()
    assert price(house) == (None, None, "provider_api")
    assert house.rows("catalog")[0]["cost_tier"] is None


def test_a_run_looks_at_settings_and_library_again_without_a_network(house: House) -> None:
    add_provider(house, "openai", "gpt-4o-mini", "gpt-unknown", base_url="https://api.openai.com/v1")
    plan = plan_benchmark(house.settings, BenchmarkRequest(workload="short"))
    assert plan.estimated_models == ("openai/gpt-4o-mini",)
    assert plan.unpriced_models == ("openai/gpt-unknown",)
    assert house.rows("prices") == [], "a plan writes nothing"
    measure_nothing(house)
    (row,) = house.rows("prices")
    assert (row["input_price_per_m"], row["output_price_per_m"], row["cached_input_price_per_m"]) == (0.15, 0.6, 0.075)
    assert (row["source"], row["matched_model"]) == ("genai-prices", "gpt-4o-mini")
    assert row["source_version"]
    assert house.rows("catalog", id="openai/gpt-4o-mini")[0]["cost_tier"] == "low"
    published = read_published(house.settings.home.configuration).tables["models"].to_pylist()
    assert {row["pricing_input"] for row in published} == {0.15, None}, "the lookup knows at once"
    measure_nothing(house)
    assert len(house.rows("prices")) == 1
    mine = {"openai/gpt-unknown": PriceSettings(input_price_per_m=1, output_price_per_m=2)}
    plan = plan_benchmark(house.settings.model_copy(update={"prices": mine}), BenchmarkRequest(workload="short"))
    assert plan.unpriced_models == ()


def test_a_deployment_is_priced_by_the_model_behind_it_if_that_is_known(house: House) -> None:
    add_provider(house, "azure", "gpt-4o-mini", base_url="https://mine.openai.azure.com/openai/v1")
    measure_nothing(house)
    assert house.rows("prices") == [], "what a deployment is called says nothing"
    (model,) = house.rows("models")
    with house.store() as store:
        store.write("models", [{**model, "metadata": {"base_model": "gpt-4o-mini"}}])
    measure_nothing(house)
    assert price(house, "azure/gpt-4o-mini")[2] == "genai-prices"


@pytest.mark.parametrize("base_url", ["https://gateway.example.com/v1", "http://127.0.0.1:9/v1"])
def test_a_gateways_prices_are_not_those_of_the_vendor_whose_protocol_it_speaks(house: House, base_url: str) -> None:
    add_provider(house, "openai", "gpt-4o-mini", base_url=base_url)
    measure_nothing(house)
    assert house.rows("prices") == []
    assert price(house, "openai/gpt-4o-mini") == (None, None, None)


def test_a_simulated_models_price_is_its_own_and_says_so(house: House) -> None:
    house.ready(AURORA)
    assert {row["source"] for row in house.rows("prices")} == {"simulated"}
    before = house.rows("prices")
    house.bench()
    assert house.rows("prices") == before


# -- poison ----------------------------------------------------------------------------------------------------

POISON = [
    b'{"data": [{"id": "m", "pricing": {"input": -999, "output": 2}}]}',
    b'{"data": [{"id": "m", "pricing": {"input": NaN, "output": 2}}]}',
    b'{"data": [{"id": "m", "pricing": {"input": 1e999, "output": 2}}]}',
    b'{"data": [{"id": "m", "pricing": {"input": "Infinity", "output": 2}}]}',
    b'{"data": [{"id": "m", "pricing": {"input": 1000000000000000000000000, "output": 2}}]}',
    b'{"data": [{"id": "m", "pricing": {"input": 0, "output": 0}}]}',
    b'{"data": [{"id": "m", "pricing": {"input": 11, "output": 2}}]}',
    b'{"data": [{"id": "m", "pricing": {"input": 0.09, "output": 2}}]}',
    b'{"data": [{"id": "m", "pricing": {"prompt": "-999", "completion": "0"}}]}',
]


@pytest.mark.parametrize("body", POISON, ids=lambda body: body.decode().partition("pricing")[2].strip('": }]'))
def test_a_poisoned_price_never_wins_is_logged_once_and_shown_until_it_is_settled(
    house: House, vendor: Vendor, body: bytes
) -> None:
    vendor.lists(input=1, output=2)
    house.sync()
    vendor.listing = body
    reports = [house.sync()[0].to_dict() for _ in range(2)]
    assert price(house) == (1, 2, "provider_api")
    assert house.rows("catalog")[0]["cost_tier"] == "standard"
    assert [len(report["quarantined"]) for report in reports] == [1, 0]
    assert [report["prices_quarantined"] for report in reports] == [1, 1]
    assert [report["prices_changed"] for report in reports] == [0, 0]
    assert history(house)[1:] == [(history(house)[1][0], "provider_api", False)]
    log = "".join(path.read_text() for path in house.settings.home.logs.iterdir())
    assert log.count("a price is in quarantine") == 1
    (part,) = (part for part in house_status(house.settings).parts if part.name == "prices")
    assert (part.state, part.figures["quarantined"]) == ("waiting", 1)
    measure_nothing_of_shop(house)
    assert len(history(house)) == 2, "a run's start sees the same entry and adds nothing"
    vendor.lists(input=1, output=2)
    assert house.sync()[0].to_dict()["prices_quarantined"] == 0


def measure_nothing_of_shop(house: House) -> None:
    house.bench(models=("shop/m",), max_usd=0.0)


def test_a_new_model_with_an_absurd_price_has_none_and_no_estimate_takes_its_place(
    house: House, vendor: Vendor
) -> None:
    house.sections["catalog"] = {"highest_price_usd_per_m": 500.0}
    vendor.lists(input=501, output=1)
    house.sync()
    assert price(house) == (None, None, None)
    assert house.rows("catalog")[0]["cost_tier"] is None
    house.sections["catalog"] = {"highest_price_usd_per_m": 502.0}
    house.sync()
    assert price(house) == (501, 1, "provider_api")


# -- an admin's word -------------------------------------------------------------------------------------------


def test_what_an_admin_sets_stands_until_it_is_cleared(house: House, vendor: Vendor) -> None:
    vendor.lists(input=1, output=2)
    house.sync()
    log = open_log(house.settings.home.logs)
    with house.store() as store:
        (row,) = store.read_all("catalog")
        set_price(house.settings, store, row, (20.0, 30.0, 5.0), now_text(), ANNA)
        set_price(house.settings, store, row, (20.0, 30.0, 5.0), now_text(), ANNA)
    assert price(house) == (20, 30, "admin")
    assert house.rows("catalog")[0]["cost_tier"] == "premium"
    vendor.lists(input=1.5, output=2)
    house.sync()
    assert price(house) == (20, 30, "admin")
    assert house.rows("catalog")[0]["cost_tier"] == "premium"
    with house.store() as store:
        (row,) = store.read_all("catalog")
        clear_price(house.settings, store, row, now_text(), log, ANNA)
    assert price(house) == (1.5, 2, "provider_api"), "what its provider listed last, without a sync"
    assert house.rows("catalog")[0]["cost_tier"] == "standard"
    assert [row[:2] for row in history(house)] == [(1, "provider_api"), (20, "admin"), (None, "admin"), (1.5, "provider_api")]  # fmt: skip


# -- what a result costs ---------------------------------------------------------------------------------------


STREAM = """\
data: {"id":"c1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"Paris"},"finish_reason":null}]}

data: {"id":"c1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"c1","object":"chat.completion.chunk","model":"m","choices":[],"usage":USAGE}

data: [DONE]

"""


@pytest.mark.parametrize(
    ("cached_price", "cost"),
    [(2.5, (600 * 10 + 400 * 2.5 + 10 * 40) / 1e6), (None, (1000 * 10 + 10 * 40) / 1e6)],
)
def test_tokens_of_the_providers_cache_cost_the_cached_price_where_it_is_known(
    house: House, vendor: Vendor, cached_price: float | None, cost: float
) -> None:
    """The counts are the provider's: of 1,000 input tokens 400 came from its cache."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010, "prompt_tokens_details": {"cached_tokens": 400}}  # fmt: skip
    vendor.stream = STREAM.replace("USAGE", json.dumps(usage)).encode()
    vendor.lists(input=10, output=40)
    house.sync()
    if cached_price is not None:
        with house.store() as store:
            set_price(house.settings, store, store.read_all("catalog")[0], (10.0, 40.0, cached_price), now_text(), ANNA)
    house.bench(models=("shop/m",))
    (row,) = house.rows("benchmark_results")
    assert (row["outcome"], row["input_tokens"], row["cached_input_tokens"]) == ("ok", 1000, 400)
    assert row["cost_usd"] == pytest.approx(cost)
    (used,) = house.rows("prices", id=row["price_id"])
    assert (used["source"], row["cost_source"]) == ("provider_api" if cached_price is None else "admin", "price")


def test_what_the_provider_reports_goes_before_every_price(house: House, vendor: Vendor) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010, "cost": 0.125}
    vendor.stream = STREAM.replace("USAGE", json.dumps(usage)).encode()
    vendor.lists(input=10, output=40)
    house.sync()
    house.bench(models=("shop/m",))
    (row,) = house.rows("benchmark_results")
    assert (row["cost_usd"], row["cost_source"], row["price_id"]) == (0.125, "provider", None)
