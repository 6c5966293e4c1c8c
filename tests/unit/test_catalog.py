"""The models endpoint: every provider's list as a whole, tolerant of one bad entry, read while it arrives."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest

from providers import simulated
from providers.catalog import Catalog, fetch_catalog
from providers.errors import Garbled, Refused, Stalled, WireError
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
