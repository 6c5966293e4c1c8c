"""What a provider serves: its models endpoint, read page by page into catalog entries."""

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

import httpx
import orjson

from providers.dialects import DIALECTS
from providers.dialects.refusals import stream_error
from providers.entries import BadEntry, read_entry
from providers.errors import Garbled, Refused, Stalled, WireError
from providers.records import Model, ProviderSpec
from providers.redact import excerpt, label

MAX_LISTING_BYTES = 64 << 20
_MAX_PAGES = 100
_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class TierThresholds:
    """Where a cost tier ends, in USD per 1M tokens at three input tokens to one output token."""

    low_below: float | Decimal = 0.5
    standard_below: float | Decimal = 5.0


@dataclass(frozen=True, slots=True)
class Catalog:
    """A provider's models, and one sentence for each entry that could not be used (or not wholly)."""

    models: tuple[Model, ...]
    rejected: tuple[str, ...] = ()


async def fetch_catalog(
    client: httpx.AsyncClient, spec: ProviderSpec, api_key: str | None, *, tiers: TierThresholds | None = None
) -> Catalog:
    """The catalog as the provider's models endpoint gives it now, without retries.

    One bad entry is left out and named in `rejected`. Raises `WireError` if there is no listing; its message is redacted.
    The time it may take is the caller's to limit, as a whole.
    """
    try:
        pages = [page async for page in _pages(client, spec, api_key)]
    except WireError as error:
        error.message = excerpt(error.message, (api_key,))
        error.error_code = label(error.error_code, (api_key,))
        raise
    return _catalog([entry for page in pages for entry in page], spec, tiers or TierThresholds())


def cost_tier(input_price: Decimal | None, output_price: Decimal | None, tiers: TierThresholds) -> str | None:
    """free, low, standard or premium by the blended price (3 x input + output) / 4 in USD per 1M tokens; free only at
    exactly 0; None when a price is unknown.
    """
    if input_price is None or output_price is None:
        return None
    blended = (3 * input_price + output_price) / 4
    if blended == 0:
        return "free"
    if blended < Decimal(str(tiers.low_below)):
        return "low"
    return "standard" if blended < Decimal(str(tiers.standard_below)) else "premium"


def _catalog(entries: list[Any], spec: ProviderSpec, tiers: TierThresholds) -> Catalog:
    models: dict[str, Model] = {}
    rejected = []
    for position, entry in enumerate(entries, 1):
        if isinstance(entry, dict) and entry.get("active") is False:
            continue  # Groq lists what it has switched off
        try:
            orjson.dumps(entry)  # what cannot be written again (half a surrogate pair) is no text
            model, complaint = read_entry(entry, zero_is_free=spec.models_shape != "together")
        except (BadEntry, orjson.JSONEncodeError) as error:
            rejected.append(f"entry {position}: {error}")
            continue
        if model.external_id in models:
            rejected.append(f"entry {position}: '{model.external_id}' is listed twice; the first one counts")
            continue
        if complaint:
            rejected.append(f"entry {position}: '{model.external_id}' {complaint}")
        tier = cost_tier(model.input_price_per_m, model.output_price_per_m, tiers)
        models[model.external_id] = replace(model, cost_tier=tier)
    return Catalog(tuple(models.values()), tuple(rejected))


async def _pages(client: httpx.AsyncClient, spec: ProviderSpec, api_key: str | None) -> AsyncIterator[list[Any]]:
    """The entries of each page. Only Anthropic's listing has several; it says so with `has_more`."""
    query = dict(spec.query)
    if spec.models_shape == "anthropic":
        query["limit"] = str(_PAGE_SIZE)
    for _ in range(_MAX_PAGES):
        listing = await _get(client, spec, api_key, query)
        yield _entries(listing)
        after = listing.get("last_id") if isinstance(listing, dict) and listing.get("has_more") is True else None
        if not isinstance(after, str) or query.get("after_id") == after:
            return
        query["after_id"] = after
    raise Garbled("response_too_large", f"the listing has more than {_MAX_PAGES} pages")


def _entries(listing: Any) -> list[Any]:
    """The list inside a listing: bare (Together), under `data` (nearly all), or under `models` (Ollama, LM Studio)."""
    if isinstance(listing, list):
        return listing
    if isinstance(listing, dict):
        for name in ("data", "models"):
            if isinstance(listing.get(name), list):
                return list(listing[name])
        if listing.get("error"):
            raise stream_error(listing)
    raise Garbled("malformed", "the models endpoint gives JSON without a list of models")


async def _get(client: httpx.AsyncClient, spec: ProviderSpec, api_key: str | None, query: dict[str, str]) -> Any:
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise Refused("authentication", "the API key has characters that no HTTP header can carry")
    headers = {**spec.headers, "Accept": "application/json", "Accept-Encoding": "identity"}
    if api_key:
        headers[spec.auth_header] = spec.auth_prefix + api_key
    try:
        async with client.stream("GET", spec.base_url + spec.models_path, params=query, headers=headers) as response:
            body = await _body(response)
    except httpx.TimeoutException:
        raise Stalled("timeout_idle", "the models endpoint did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # From another transport than ours. No text of httpx: it holds URLs.
        raise WireError("connect", type(error).__name__) from None
    if not response.is_success:
        raise DIALECTS[spec.dialect].parse_error(response.status_code, response.headers, body)
    try:
        return _parse(body)
    except (ValueError, RecursionError):
        content_type = response.headers.get("content-type", "no content type")
        shown = body[:2048].decode("utf-8", "replace")
        raise Garbled("malformed", f"the models endpoint gives no JSON ({content_type}): {shown}") from None


async def _body(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise Garbled("content_type", "the listing is encoded, which was not asked for")
    body = bytearray()
    async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_bytes())) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > MAX_LISTING_BYTES:
                raise Garbled("response_too_large", f"the listing is longer than {MAX_LISTING_BYTES} bytes")
    return bytes(body)


def _parse(body: bytes) -> Any:
    """JSON; where it is none by the letter (NaN, 1e999, half a surrogate pair), what is wrong in it becomes null."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body, parse_constant=lambda _: None, parse_float=_finite)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
