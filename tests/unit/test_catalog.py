"""The models endpoint: every provider's shape, prices and capabilities, tolerant of one bad entry."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from providers import simulated
from providers.catalog import Catalog, fetch_catalog
from providers.entries import BadEntry, TierThresholds, cost_tier, read_entry
from providers.errors import Garbled, Refused, Stalled, WireError
from providers.records import Model
from providers.simulated import Simulated, faults
from providers.simulated.world import models
from providers.specs import make_spec
from providers.transport import open_client

KEY = "sk-canary-0123456789"


@pytest.fixture(scope="module")
def world() -> Iterator[Simulated]:
    with simulated.running() as running:
        yield running


async def fetch(
    handler: Callable[[httpx.Request], httpx.Response] | Any, provider_type: str = "custom", **row: Any
) -> Catalog:
    """The catalog that a provider's answer gives: a handler, or a JSON value for every request."""
    answer = handler if callable(handler) else lambda _: httpx.Response(200, json=handler)
    spec = make_spec({"key": "p", "provider_type": provider_type, "base_url": None, **row})
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        return await fetch_catalog(client, spec, KEY)


def model(entry: Mapping[str, Any]) -> Model:
    return read_entry({"id": "vendor/m", **entry})


@pytest.mark.parametrize("key", ["sim-aurora", "sim-borealis", "sim-cascade"])
async def test_a_simulated_catalog_tells_the_worlds_truth(world: Simulated, key: str) -> None:
    spec = world.spec(key)
    async with open_client(spec) as client:
        catalog = await fetch_catalog(client, spec, None)
    assert catalog.rejected == ()
    assert {found.external_id for found in catalog.models} <= set(models())
    for found in catalog.models:
        truth = models()[found.external_id]
        assert (found.display_name, found.model_type) == (truth.display_name, "chat")
        assert (found.input_price_per_m, found.output_price_per_m) == (
            truth.input_price_per_m,
            truth.output_price_per_m,
        )
        assert found.context_window == truth.context_window
        assert ("long_context" in found.capabilities) == (truth.context_window >= 100_000)
        assert set(truth.capabilities) <= set(found.capabilities)
    assert all(found.cost_tier for found in catalog.models)


@pytest.mark.parametrize("fault", faults.REFUSALS)
async def test_a_refusing_models_endpoint_is_a_typed_error(world: Simulated, fault: str) -> None:
    spec = world.spec("sim-aurora", fault=fault)
    async with open_client(spec) as client:
        with pytest.raises(Refused) as caught:
            await fetch_catalog(client, spec, None)
    assert caught.value.status_code == int(fault.split("_")[1])


@pytest.mark.parametrize("fault", ["html_200", "garbage_json", "cut_stream", "cut_chunked", "reset_stream"])
async def test_a_broken_listing_is_a_typed_error(world: Simulated, fault: str) -> None:
    spec = world.spec("sim-borealis", fault=fault)
    async with open_client(spec) as client:
        with pytest.raises(WireError) as caught:
            await fetch_catalog(client, spec, None)
    assert caught.value.error_type in {"malformed", "disconnected"}


async def test_an_empty_listing_is_an_empty_catalog(world: Simulated) -> None:
    spec = world.spec("sim-cascade", fault="empty")
    async with open_client(spec) as client:
        assert await fetch_catalog(client, spec, None) == Catalog(())


async def test_the_request_carries_key_headers_and_query_of_the_spec() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"data": []})

    await fetch(answer, "anthropic")
    await fetch(answer, "azure", base_url="https://mine.openai.azure.com/openai/v1?api-version=preview")
    assert str(seen[0].url) == "https://api.anthropic.com/v1/models?limit=1000"
    assert (seen[0].headers["x-api-key"], seen[0].headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert str(seen[1].url) == "https://mine.openai.azure.com/openai/v1/models?api-version=preview"
    assert seen[1].headers["api-key"] == KEY


async def test_pages_are_followed_to_the_last() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("after_id", "m0")[1:]) + 1
        return httpx.Response(200, json={"data": [{"id": f"m{page}"}], "has_more": page < 3, "last_id": f"m{page}"})

    assert [found.external_id for found in (await fetch(answer, "anthropic")).models] == ["m1", "m2", "m3"]


async def test_pages_that_lead_nowhere_come_to_an_end() -> None:
    def endless(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("after_id", "0")) + 1
        return httpx.Response(200, json={"data": [], "has_more": True, "last_id": str(page)})

    assert len((await fetch({"data": [{"id": "m"}], "has_more": True, "last_id": "m"})).models) == 1
    with pytest.raises(Garbled, match="pages"):
        await fetch(endless, "anthropic")


async def test_a_next_page_that_no_url_can_name_fails_the_sync_and_not_the_program() -> None:
    page = rb'{"data":[{"id":"m"}],"has_more":true,"last_id":"m\ud83d"}'
    with pytest.raises(Garbled, match="last_id"):
        await fetch(lambda _: httpx.Response(200, content=page), "anthropic")


async def test_a_bad_entry_is_left_out_and_named() -> None:
    entries: list[Any] = [
        {"id": "good"},
        None,
        {"object": "model"},
        {"id": "with\x1b[31mcolour"},
        {"id": "x" * 300},
        {"id": "good", "name": "again"},
        {"id": "dear", "pricing": {"prompt": "1e999", "completion": "1"}},
        {"id": "off", "active": False},
    ]
    catalog = await fetch({"data": entries})
    assert [found.external_id for found in catalog.models] == ["good", "dear"]
    assert [text.partition(":")[0] for text in catalog.rejected] == [f"entry {n}" for n in (2, 3, 4, 5, 6)]
    assert "listed twice" in catalog.rejected[4]
    assert catalog.models[1].price_problem == "the input price '1e999' is no price"
    assert "\x1b" not in "".join(catalog.rejected)


async def test_json_that_is_none_by_the_letter_loses_only_what_is_wrong_in_it() -> None:
    body = (
        b'{"data": [{"id": "a", "context_length": NaN, "pricing": {"input": 1e999}}, {"id": "\\ud800"}, {"id": "b"}]}'
    )
    catalog = await fetch(lambda _: httpx.Response(200, content=body))
    assert [found.external_id for found in catalog.models] == ["a", "b"]
    assert (catalog.models[0].context_window, catalog.models[0].input_price_per_m) == (None, None)
    assert catalog.models[0].price_problem == "the input price '1e999' is no price"
    assert len(catalog.rejected) == 1


@pytest.mark.parametrize(
    ("answer", "error_type"),
    [
        ({"object": "list"}, "malformed"),
        ("a text", "malformed"),
        ({"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}}, "authentication"),
    ],
)
async def test_an_answer_without_a_list_is_a_typed_error(answer: Any, error_type: str) -> None:
    with pytest.raises(WireError) as caught:
        await fetch(answer)
    assert caught.value.error_type == error_type


async def test_deep_nesting_and_encoded_answers_are_refused() -> None:
    with pytest.raises(Garbled):
        await fetch(lambda _: httpx.Response(200, content=b"[" * 100_000))
    with pytest.raises(Garbled, match="encoded"):
        await fetch(lambda _: httpx.Response(200, content=b"", headers={"content-encoding": "br"}))


async def test_no_error_holds_the_key_or_a_url_query() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"message": f"Bad key {KEY} at https://a.example/?k=v", "code": KEY}})

    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout(f"at {request.url}?key={KEY}", request=request)

    def unreachable(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(KEY, request=request)

    for handler, kind in ((refuse, Refused), (slow, Stalled), (unreachable, WireError)):
        with pytest.raises(kind) as caught:
            await fetch(handler)
        shown = f"{caught.value} {caught.value.error_code}"
        assert KEY not in shown
        assert "k=v" not in shown


async def test_a_key_that_no_header_can_carry_is_never_sent() -> None:
    spec = make_spec({"key": "p", "provider_type": "openai"})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=[]))) as client:
        with pytest.raises(Refused, match="header"):
            await fetch_catalog(client, spec, "sk-\r\nHost: evil")


@pytest.mark.parametrize(
    ("pricing", "expected"),
    [
        ({"pricing": {"prompt": "0.00000015", "completion": "0.0000006"}}, ("0.15", "0.6")),
        ({"pricing": {"prompt": "-1", "completion": "-1"}}, (None, None)),
        ({"pricing": {"prompt": "0", "completion": "0"}}, ("0", "0")),
        ({"pricing": {"prompt": "0", "completion": "0", "request": "0.01"}}, (None, None)),
        ({"pricing": {"input": 0.88, "output": 0.88}}, ("0.88", "0.88")),
        ({"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07}, ("0.15", "0.6")),
        ({"model_info": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}}, ("1", "2")),
        ({}, (None, None)),
        ({"pricing": None}, (None, None)),
        ({"pricing": {"prompt": "0", "completion": "0", "image": "0", "web_search": "0"}}, ("0", "0")),
        ({"pricing": {"prompt": "0", "completion": "0", "internal_reasoning": "0.000001"}}, (None, None)),
        ({"pricing": {"prompt": "0", "completion": "0", "request": "-1"}}, (None, None)),
        ({"pricing": {"prompt": "0", "completion": "0", "image": "sNaN"}}, ("0", "0")),
        ({"pricing": {"input": 0, "output": 0, "hourly": 2.5}}, (None, None)),
    ],
)
def test_a_price_is_exact_in_usd_per_million_or_unknown(pricing: dict[str, Any], expected: tuple[Any, Any]) -> None:
    found = model(pricing)
    assert (found.input_price_per_m, found.output_price_per_m) == tuple(value and Decimal(value) for value in expected)


@pytest.mark.parametrize(
    ("pricing", "problem"),
    [
        ({"prompt": "-999", "completion": "0"}, "the input price '-999' is no price"),
        ({"prompt": "NaN", "completion": "0"}, "the input price 'NaN' is no price"),
        ({"prompt": "sNaN", "completion": "0"}, "the input price 'sNaN' is no price"),
        ({"prompt": "1e999", "completion": "0"}, "the input price '1e999' is no price"),
        ({"prompt": "1e999999", "completion": "0"}, "the input price '1e999999' is no price"),
        ({"prompt": "0", "completion": "-0.5"}, "the output price '-0.5' is no price"),
        ({"prompt": "1", "completion": "1", "input_cache_read": "free"}, "the cached input price 'free' is no price"),
        ({"input": 1e289, "output": -2}, "the output price '-2' is no price"),
        ({"input": True, "output": 0}, "the input price 'True' is no price"),
        ({"input": [], "output": 0}, "the input price '[]' is no price"),
    ],
)
def test_what_is_no_price_is_told_and_leaves_none(pricing: dict[str, Any], problem: str) -> None:
    found = model({"pricing": pricing})
    assert found.price_problem == problem
    assert (found.input_price_per_m, found.output_price_per_m, found.cached_input_price_per_m) == (None, None, None)


@pytest.mark.parametrize(
    ("entry", "cached"),
    [
        ({"pricing": {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": "0.0000001"}}, "0.1"),
        ({"pricing": {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": "-1"}}, None),
        ({"pricing": {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": "0"}}, None),
        ({"pricing": {"prompt": "0", "completion": "0", "input_cache_read": "0"}}, "0"),
        ({"pricing": {"prompt": "0.000001", "completion": "0.000002"}}, None),
        ({"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "cache_read_input_token_cost": 5e-07}, "0.5"),
    ],
)
def test_a_cached_token_has_a_price_of_its_own_where_one_is_given(entry: dict[str, Any], cached: str | None) -> None:
    """A 0 beside a price says that there is no cache as often as that it is free; cached tokens then cost as the others."""
    assert model(entry).cached_input_price_per_m == (cached and Decimal(cached))


def test_zero_from_together_is_free_only_by_name() -> None:
    free = {"pricing": {"input": 0, "output": 0}}
    assert read_entry({"id": "a/b-Free", **free}, zero_is_free=False).input_price_per_m == 0
    assert read_entry({"id": "a/b", **free}, zero_is_free=False).input_price_per_m is None


@pytest.mark.parametrize(
    ("input_price", "output_price", "tier"),
    [
        ("0", "0", "free"),
        ("0", "0.01", "low"),
        ("0.1", "0.4", "low"),
        ("0.5", "0.5", "standard"),
        ("2.5", "10", "standard"),
        ("5", "5", "premium"),
        (None, "1", None),
        ("0", None, None),
    ],
)
def test_a_tier_follows_the_blended_price(input_price: str | None, output_price: str | None, tier: str | None) -> None:
    prices = [None if price is None else Decimal(price) for price in (input_price, output_price)]
    assert cost_tier(prices[0], prices[1], TierThresholds()) == tier


@pytest.mark.parametrize(
    ("entry", "model_type"),
    [
        ({"type": "chat"}, "chat"),
        ({"type": "code"}, "chat"),
        ({"type": "language"}, "completion"),
        ({"type": "model"}, "chat"),
        ({"mode": "embedding"}, "embedding"),
        ({"type": "embeddings"}, "embedding"),
        ({"capabilities": ["completion", "tools"]}, "chat"),
        ({"capabilities": ["embedding"]}, "embedding"),
        ({"capabilities": {"chat_completion": False, "embeddings": True}}, "embedding"),
        ({"architecture": {"output_modalities": ["image", "text"]}}, "chat"),
        ({"architecture": {"output_modalities": ["image"]}}, "image"),
        ({"id": "text-embedding-3-small"}, "embedding"),
        ({"id": "BAAI/bge-large-en"}, "embedding"),
        ({"id": "whisper-large-v3"}, "transcription"),
        ({"id": "tts-1"}, "speech"),
        ({"id": "dall-e-3"}, "image"),
        ({"id": "omni-moderation-latest"}, "moderation"),
        ({"id": "meta-llama/Llama-Guard-4"}, "moderation"),
        ({"id": "gpt-4o-realtime-preview"}, "realtime"),
        ({"id": "gpt-3.5-turbo-instruct"}, "completion"),
        ({"id": "gpt-4o-mini"}, "chat"),
        ({"id": "google/gemma-2-9b:free"}, "chat"),
    ],
)
def test_a_models_type_is_what_it_declares_else_what_its_name_says(entry: dict[str, Any], model_type: str) -> None:
    assert model(entry).model_type == model_type


@pytest.mark.parametrize(
    ("entry", "capabilities"),
    [
        ({}, {"text": "inferred"}),
        ({"type": "chat"}, {"text": "declared"}),
        ({"id": "text-embedding-3-small"}, {}),
        ({"architecture": {"input_modalities": ["text", "image"]}}, {"text": "inferred", "vision": "declared"}),
        ({"capabilities": {"image_input": {"supported": True}}}, {"text": "inferred", "vision": "declared"}),
        ({"capabilities": {"image_input": {"supported": False}, "vision": None}}, {"text": "inferred"}),
        ({"capabilities": ["completion", "vision"]}, {"text": "declared", "vision": "declared"}),
        ({"type": "vlm"}, {"text": "declared", "vision": "declared"}),
        ({"supported_parameters": ["tools"]}, {"text": "inferred", "function_calling": "declared"}),
        ({"model_info": {"supports_function_calling": True}}, {"text": "inferred", "function_calling": "declared"}),
        ({"type": "code"}, {"text": "declared", "code": "declared"}),
        ({"id": "qwen/qwen3-coder"}, {"text": "inferred", "code": "inferred"}),
        ({"id": "gpt-5-codex"}, {"text": "inferred"} | {"code": "inferred"}),
        ({"id": "encoder-1"}, {"text": "inferred"}),
        ({"context_length": 128_000}, {"text": "inferred", "long_context": "declared"}),
    ],
)
def test_a_capability_keeps_its_origin_and_silence_is_unknown(
    entry: dict[str, Any], capabilities: dict[str, str]
) -> None:
    assert model(entry).capabilities == capabilities


@pytest.mark.parametrize(
    ("entry", "context"),
    [
        ({"context_window": 131072}, 131072),
        ({"context_length": 1_000_000, "top_provider": {"context_length": 200_000}}, 200_000),
        ({"context_length": 0}, None),
        ({"max_model_len": 4096}, 4096),
        ({"max_input_tokens": 200_000}, 200_000),
        ({"meta": {"n_ctx": 2048, "n_ctx_train": 8192}}, 2048),
        ({"context_length": "many"}, None),
        ({"context_length": True}, None),
        ({"context_length": -1}, None),
        ({"context_length": 10**15}, None),
    ],
)
def test_a_context_window_is_that_of_the_route_or_unknown(entry: dict[str, Any], context: int | None) -> None:
    assert model(entry).context_window == context


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"display_name": "Shown"}, "Shown"),
        ({"name": "Vendor: Shown"}, "Vendor: Shown"),
        ({}, "m"),
        ({"name": "\x1b]0;title\x07"}, "]0;title"),
        ({"id": "odd/"}, "odd/"),
    ],
)
def test_a_display_name_is_given_or_the_ids_tail(entry: dict[str, Any], name: str) -> None:
    assert model(entry).display_name == name


def test_the_raw_entry_is_kept_as_text_that_does_not_depend_on_the_order_of_its_names() -> None:
    entry = {"id": "m", "owned_by": "somebody", "nested": {"a": [1], "Ä": None}}
    assert read_entry(entry).raw == '{"id":"m","nested":{"a":[1],"Ä":null},"owned_by":"somebody"}'.encode()
    assert read_entry(dict(reversed(entry.items()))).raw == read_entry(entry).raw


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["pricing", "capabilities", "architecture", "top_provider", "model_info", "meta", "type", "mode", "name", "context_length",
     "supported_parameters", "input_cost_per_token", "display_name"]
)  # fmt: skip


@given(st.dictionaries(FIELDS, JSON | st.fixed_dictionaries({"prompt": JSON, "input": JSON, "input_modalities": JSON})))
@example({"capabilities": [[]]})
def test_no_entry_breaks_the_reader(entry: dict[str, Any]) -> None:
    try:
        found = read_entry({"id": "m", **entry})
    except BadEntry:
        return
    prices = (found.input_price_per_m, found.output_price_per_m, found.cached_input_price_per_m)
    assert all(price is None or (price.is_finite() and price >= 0) for price in prices)
    assert found.price_problem is None or prices == (None, None, None)
    assert found.context_window is None or found.context_window > 0
    assert json.dumps(found.capabilities)


async def test_a_thousand_models_are_read_in_far_less_than_a_second() -> None:
    entries = [
        {"id": f"vendor/model-{n}", "pricing": {"prompt": "0.000001", "completion": "0.000002"}} for n in range(1000)
    ]
    body = orjson.dumps({"data": entries})
    catalog = await fetch(lambda _: httpx.Response(200, content=body))
    assert len(catalog.models) == 1000


# A listing while it arrives


async def arriving(body: bytes, size: int = 1 << 14) -> Catalog:
    """The catalog of a listing that comes in pieces of `size` bytes."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    return await fetch(lambda _: httpx.Response(200, content=pieces()))


LISTINGS = [
    '{"object":"list","data":[{"id":"a","name":"Ä ☂ \\ud83d\\ude00 \U0001f600"},{"id":"b","n":[1,-2.5e3,{"x":"]}"}]}],"more":12}',
    ' [ {"id":"a"} , {"id" : "b", "e": "\\"}{[" } ] \n',
    '\ufeff{"data":[{"id":"a"},7,{"id":"b"}],"total":2}',
    '{"models":[{"name":"a"},{"name":"b"}],"x":{"data":[1]}}',
    '{"models":[{"id":"c"}],"data":[{"id":"a"},{"id":"b"}]}',
    '{"data":[{"id":"a"},{"id":"b"}],"models":[{"id":"c"}],"has_more":false}',
]


@pytest.mark.parametrize("text", LISTINGS)
async def test_a_listing_is_the_same_wherever_it_is_cut(text: str) -> None:
    body = text.encode()
    whole = await arriving(body)
    assert [found.external_id for found in whole.models] == ["a", "b"]
    for size in (1, 2, 3, 7):
        assert await arriving(body, size) == whole


@pytest.mark.parametrize(
    "body",
    [b"", b"   ", b'{"data":[{"id":"a"}', b'{"data":[{"id":"a"}]', b'{"data":[{"id":"a"},', b'{"data":[{"id":"a"},]}', b'{"data":[{"id":"a"}{}]}',
     b'{"data" [{"id":"a"}]}', b'{"data":[{"id":"a"}]}x', b'[{"id":"a"}', b"{data:[]}", b'{"a":1 "data":[]}', b"{1:2}", b"nul", b"[1,2",
     b'{"data":[{"id":"a', b"\x1f\x8b\x08\x00", b"[" + b"9" * 5000 + b"x]"],
)  # fmt: skip
async def test_a_listing_that_is_no_json_is_malformed_whatever_came_before(body: bytes) -> None:
    for size in (1, 1 << 14):
        with pytest.raises(Garbled) as caught:
            await arriving(body, size)
        assert caught.value.error_type == "malformed"


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "m", "providers": [{"of": "one"}, {"of": "another"}]},
        {"id": "m", "name": "braces }, {, and a comma"},
        {"id": "m", "context_length": 8192, "created": 12345678901234567890123},
        {"id": "m", "pricing": {"prompt": "1e-7", "completion": "1e999"}},
    ],
    ids=["objects inside", "a text with braces", "a number no database holds", "no price"],
)
async def test_many_entries_read_at_once_are_those_read_one_by_one(odd: dict[str, Any]) -> None:
    entries = [{"id": f"a{number}"} for number in range(5)] + [odd] + [{"id": f"b{number}"} for number in range(5)]
    one_by_one = [{"id": "first", "created": float("nan")}, *entries]  # NaN is no JSON by the letter
    for last in (len(entries), entries.index(odd) + 1):
        for indent in (None, 2):
            at_once = await arriving(json.dumps({"data": entries[:last]}, indent=indent).encode())
            slowly = await arriving(json.dumps({"data": one_by_one[: last + 1]}, indent=indent).encode())
            assert at_once.models == slowly.models[1:]


async def test_bytes_that_are_no_text_spoil_their_entry_alone() -> None:
    catalog = await arriving(b'{"data":[{"id":"a"},{"id":"x","name":"\xff\xfe"},{"id":"b"}]}', 1)
    assert [found.external_id for found in catalog.models] == ["a", "b"]
    assert len(catalog.rejected) == 1


async def test_of_many_bad_entries_a_hundred_are_named_and_the_rest_counted() -> None:
    catalog = await fetch({"data": [{"id": "a"}, *[None] * 250]})
    assert len(catalog.models) == 1
    assert len(catalog.rejected) == 101
    assert catalog.rejected[-1] == "150 more entries are like that"


async def test_a_listing_without_end_is_cut_at_its_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.catalog.MAX_LISTING_BYTES", 1 << 21)
    monkeypatch.setattr("providers.catalog.MAX_ENTRIES", 1000)
    many = b'{"id":"' + b"x" * 3000 + b'"},'

    async def endless(start: bytes, piece: bytes) -> AsyncIterator[bytes]:
        yield start
        while True:
            yield piece

    for start, piece, said in (
        (b'{"data":[', many * 20, "longer than"),
        (b"", b" " * 10_000, "longer than"),
        (b"[", b"0," * 5000, "more than 1000 entries"),
        (b'{"data":[{"id":"', b"x" * 10_000, "an entry of more than"),
        (b'{"data":[', b"[[[" * 10_000, "no JSON|an entry of more than"),
        (b'{"', b"x" * 10_000, "an entry of more than"),
    ):
        body = endless(start, piece)
        with pytest.raises(Garbled, match=said):
            await fetch(lambda _, body=body: httpx.Response(200, content=body))


async def test_a_listing_that_drips_costs_no_more_than_its_length() -> None:
    """A value is tried again only when as much has come as was there: pieces of any size cost the same."""
    body = b'{"data":[{"id":"' + b"x" * 300_000 + b'"}]}'
    began = time.process_time()
    catalog = await arriving(body, 3)
    assert catalog.models == ()
    assert time.process_time() - began < 5
