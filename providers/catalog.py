"""What a provider serves: its models endpoint, read page by page and entry by entry into catalog entries."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from providers.dialects import DIALECTS
from providers.dialects.refusals import stream_error
from providers.entries import BadEntry, TierThresholds, read_entry
from providers.errors import Garbled, Refused, Stalled, WireError
from providers.listing import LISTS, MAX_VALUE_CHARACTERS, Listing, TooLong
from providers.records import Model, ProviderSpec
from providers.redact import EXCERPT_BYTES, excerpt, label

MAX_LISTING_BYTES = 128 << 20  # of all pages: 50,000 models at OpenRouter's 1.5 KB are 75 MB
MAX_ENTRIES = 250_000
_MAX_ERROR_BYTES = 64 << 10
_MAX_PAGES = 300
_PAGE_SIZE = 1000
_REJECTIONS = 100  # sentences about entries; of more than that there is only the number


@dataclass(frozen=True, slots=True)
class Catalog:
    """A provider's models, and one sentence for each entry that could not be used."""

    models: tuple[Model, ...]
    rejected: tuple[str, ...] = ()


async def fetch_catalog(
    client: httpx.AsyncClient, spec: ProviderSpec, api_key: str | None, *, tiers: TierThresholds | None = None
) -> Catalog:
    """The catalog as the provider's models endpoint gives it now, without retries.

    One bad entry is left out and named in `rejected`. Raises `WireError` if there is no listing; its message is redacted.
    The time it may take is the caller's to limit, as a whole. Memory is that of the models: about 1 KB each beside its entry.
    """
    reading = _Reading(spec, tiers or TierThresholds())
    try:
        await _read_pages(client, spec, api_key, reading)
    except WireError as error:
        error.message = excerpt(error.message, (api_key,))
        error.error_code = label(error.error_code, (api_key,))
        raise
    return reading.catalog()


@dataclass(slots=True)
class _Reading:
    """Entries on their way into a catalog, across pages."""

    spec: ProviderSpec
    tiers: TierThresholds
    models: dict[str, Model] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)
    rejections: int = 0
    entries: int = 0
    bytes_left: int = field(default_factory=lambda: MAX_LISTING_BYTES)

    def read(self, entry: Any) -> tuple[Model | None, str | None]:
        """The model of an entry (None: it counts for none), and what was wrong with it."""
        if isinstance(entry, dict) and entry.get("active") is False:
            return None, None  # Groq lists what it has switched off
        try:
            return read_entry(entry, zero_is_free=self.spec.zero_is_free, tiers=self.tiers), None
        except BadEntry as error:
            return None, str(error)

    def keep(self, page: list[tuple[Model | None, str | None]]) -> None:
        """Add a page's models; the first of a name counts."""
        for position, (model, complaint) in enumerate(page, self.entries + 1):
            wrong = complaint
            if model is not None and self.models.setdefault(model.external_id, model) is not model:
                wrong = f"'{model.external_id}' is listed twice; the first one counts"
            if wrong:
                self.rejections += 1
                if self.rejections <= _REJECTIONS:
                    self.rejected.append(f"entry {position}: {wrong}")
        self.entries += len(page)

    def catalog(self) -> Catalog:
        """What was read."""
        more = self.rejections - len(self.rejected)
        return Catalog(
            tuple(self.models.values()), (*self.rejected, *([f"{more} more entries are like that"] if more else ()))
        )


async def _read_pages(client: httpx.AsyncClient, spec: ProviderSpec, api_key: str | None, reading: _Reading) -> None:
    """Read all pages. Only Anthropic's listing has several; it says so with `has_more`."""
    query = dict(spec.query)
    if spec.models_shape == "anthropic":
        query["limit"] = str(_PAGE_SIZE)
    for _ in range(_MAX_PAGES):
        fields = await _read_page(client, spec, api_key, query, reading)
        after = fields.get("last_id") if fields.get("has_more") is True else None
        if not isinstance(after, str) or query.get("after_id") == after:
            return
        if not after.isprintable():  # half a surrogate pair, say: no URL can carry it
            raise Garbled("malformed", "the next page of the listing cannot be asked for: its last_id is no text")
        query["after_id"] = after
    raise Garbled("response_too_large", f"the listing has more than {_MAX_PAGES} pages")


async def _read_page(
    client: httpx.AsyncClient, spec: ProviderSpec, api_key: str | None, query: dict[str, str], reading: _Reading
) -> dict[str, Any]:
    """Read one page; its fields beside the entries."""
    pages: dict[str, list[tuple[Model | None, str | None]]] = {}
    async with _answer(client, spec, api_key, query) as response:
        body = _Body(response, reading.bytes_left)
        listing = Listing(body.chunks())
        try:
            async with aclosing(cast("AsyncGenerator[tuple[str, list[Any]]]", listing.entries())) as arriving:
                async for name, entries in arriving:
                    page = pages.setdefault(name, [])
                    page += map(reading.read, entries)
                    if reading.entries + len(page) > MAX_ENTRIES:
                        raise Garbled("response_too_large", f"the listing has more than {MAX_ENTRIES} entries")
        except TooLong:
            message = f"the listing has an entry of more than {MAX_VALUE_CHARACTERS} characters"
            raise Garbled("response_too_large", message) from None
        except (ValueError, RecursionError):
            content_type = response.headers.get("content-type", "no content type")
            shown = body.head.decode("utf-8", "replace")
            raise Garbled("malformed", f"the models endpoint gives no JSON ({content_type}): {shown}") from None
    reading.bytes_left = body.bytes_left
    chosen = next((name for name in LISTS if name in listing.lists), None)
    if chosen is None:
        if listing.fields.get("error"):
            raise stream_error(listing.fields)
        raise Garbled("malformed", "the models endpoint gives JSON without a list of models")
    reading.keep(pages.get(chosen, []))
    return listing.fields


@asynccontextmanager
async def _answer(
    client: httpx.AsyncClient, spec: ProviderSpec, api_key: str | None, query: dict[str, str]
) -> AsyncIterator[httpx.Response]:
    """A page's answer with a status that says that it is one, its body still to come."""
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise Refused("authentication", "the API key has characters that no HTTP header can carry")
    headers = {**spec.headers, "Accept": "application/json", "Accept-Encoding": "identity"}
    if api_key:
        headers[spec.auth_header] = spec.auth_prefix + api_key
    try:
        async with client.stream("GET", spec.base_url + spec.models_path, params=query, headers=headers) as response:
            if not response.is_success:
                body = await _cut(response, _MAX_ERROR_BYTES)
                raise DIALECTS[spec.dialect].parse_error(response.status_code, response.headers, body)
            if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
                raise Garbled("content_type", "the listing is encoded, which was not asked for")
            yield response
    except httpx.TimeoutException:
        raise Stalled("timeout_idle", "the models endpoint did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # From another transport than ours. No text of httpx: it holds URLs.
        raise WireError("connect", type(error).__name__) from None


class _Body:
    """An answer's bytes as they arrive, `bytes_left` at most; `head` is the beginning, for a message about it."""

    def __init__(self, response: httpx.Response, bytes_left: int) -> None:
        self.head = b""
        self.bytes_left = bytes_left
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises Garbled when it is too much."""
        async with aclosing(cast("AsyncGenerator[bytes]", self._response.aiter_bytes())) as chunks:
            async for chunk in chunks:
                if len(self.head) < EXCERPT_BYTES:
                    self.head = (self.head + chunk)[:EXCERPT_BYTES]
                self.bytes_left -= len(chunk)
                if self.bytes_left < 0:
                    raise Garbled("response_too_large", f"the listing is longer than {MAX_LISTING_BYTES} bytes")
                yield chunk


async def _cut(response: httpx.Response, most: int) -> bytes:
    """The beginning of a body."""
    body = bytearray()
    async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_bytes())) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) >= most:
                break
    return bytes(body[:most])
