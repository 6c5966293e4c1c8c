"""One entry of a models endpoint: prices, tiers, types, capabilities and context, of every provider's shape; no entry breaks the reader."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from providers.entries import BadEntry, TierThresholds, cost_tier, read_entry
from providers.records import Model


def model(entry: Mapping[str, Any]) -> Model:
    return read_entry({"id": "vendor/m", **entry})


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
JSON.validate()  # makes the table of all letters, for which the first text of a new checkout would be called too slow
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
