"""One entry of a models endpoint, read into a `Model`: the spellings of all providers, as tables.

What an entry does not say stays unknown; a claim keeps its origin (declared by the provider, or inferred from the name).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import orjson

from providers.dialects.fields import items, mapping, string
from providers.records import Model
from providers.redact import LABEL_CHARACTERS, label

LONG_CONTEXT = 100_000  # tokens; the threshold of the capability long_context
_LONGEST_CONTEXT = 10**9
_MILLION = Decimal(1_000_000)
_LARGEST = Decimal("1e290")  # times a million it is still a number
_NOTHING = (Decimal(0), Decimal(0))
_TOKEN_PRICES = {"prompt", "completion", "input", "output"}  # of `pricing`; what else stands there are further fees

_Prices = tuple[Decimal | None, Decimal | None, Decimal | None]  # input, output, cached input

# A provider's word for a kind of model (its field type or mode, an Ollama capability, an output modality) -> our word.
_TYPES = {
    "chat": "chat", "code": "chat", "llm": "chat", "vlm": "chat", "text": "chat", "responses": "chat",
    "language": "completion", "completion": "completion",
    "embedding": "embedding", "embeddings": "embedding",
    "image": "image", "image_generation": "image", "video": "video", "video_generation": "video",
    "audio": "speech", "audio_speech": "speech", "transcribe": "transcription", "audio_transcription": "transcription",
    "moderation": "moderation", "rerank": "rerank", "realtime": "realtime",
}  # fmt: skip
# Where the provider says nothing: the first pattern that its id holds.
_TYPES_BY_ID = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"embed|(?:^|[/-])(?:bge|e5|gte|voyage)-", "embedding"),
        (r"rerank", "rerank"),
        (r"whisper|transcribe", "transcription"),
        (r"(?:^|[/-])tts(?:-|$)|orpheus|speech", "speech"),
        (r"dall-e|(?:^|[/-])image|-image(?:-|$)|flux|sdxl|stable-diffusion", "image"),
        (r"moderation|guard|shield", "moderation"),
        (r"realtime", "realtime"),
        (r"davinci-002|babbage-002|gpt-3\.5-turbo-instruct", "completion"),
    )
)
_CODE_BY_ID = re.compile(r"(?:^|[/_.-])codex?(?:$|[/_.:-])|(?<!en)(?<!de)coder|codestral|devstral|starcoder|codellama")

_CONTEXT_FIELDS = (
    "context_window", "context_length", "max_model_len", "max_input_tokens", "loaded_context_length", "max_context_length",
)  # fmt: skip
# capability -> the names under which providers claim it, in `capabilities` (a list or an object) or as `supports_*`.
_CLAIMS: Mapping[str, tuple[str, ...]] = {
    "vision": ("vision", "image_input"),
    "audio": ("audio", "audio_input"),
    "function_calling": ("tools", "function_calling", "trained_for_tool_use", "tool_use"),
    "code": ("code",),
}
_NUMBERS = (str, int, float)  # how a price is written
_IDS = ("name", "model", "model_name", "key")  # where there is no `id`
_SUPPORTS = {f"supports_{name}": name for names in _CLAIMS.values() for name in names}
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")  # ASCII that shows, in words


class BadEntry(ValueError):
    """An entry that is no model; the message says why."""


@dataclass(frozen=True, slots=True)
class TierThresholds:
    """Where a cost tier ends, in USD per 1M tokens at three input tokens to one output token."""

    low_below: float | Decimal = 0.5
    standard_below: float | Decimal = 5.0


@lru_cache(maxsize=4096)
def cost_tier(input_price: Decimal | None, output_price: Decimal | None, tiers: TierThresholds) -> str | None:
    """free, low, standard or premium by the blended price (3 x input + output) / 4 in USD per 1M tokens; free only at
    exactly 0; None when a price is unknown.
    """
    if input_price is None or output_price is None:
        return None
    blended = (3 * input_price + output_price) / 4
    if blended == 0:
        return "free"
    if blended < _exact(tiers.low_below):
        return "low"
    return "standard" if blended < _exact(tiers.standard_below) else "premium"


_USUAL_TIERS = TierThresholds()


@lru_cache
def _exact(threshold: float | Decimal) -> Decimal:
    return Decimal(str(threshold))


def read_entry(entry: Any, *, zero_is_free: bool = True, tiers: TierThresholds = _USUAL_TIERS) -> Model:
    """The model that an entry describes.

    `zero_is_free` is False where a price of 0 may mean "not priced" (Together): there only an id that ends in -free is.
    Raises `BadEntry`.
    """
    if not isinstance(entry, dict):
        raise BadEntry("not an object")
    try:
        # A copy, as what orjson gives holds on to the whole of its buffer: 8 KB for an entry of 1.5.
        raw = bytes(memoryview(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)))
    except orjson.JSONEncodeError as error:  # what cannot be written again (half a surrogate pair) is no text
        raise BadEntry(str(error)) from None
    external_id = string(entry.get("id")) or next((name for key in _IDS if (name := string(entry.get(key)))), None)
    if external_id is None:
        raise BadEntry("no id")
    if _shown(external_id) != external_id:
        raise BadEntry("an id with control characters, spaces at its ends or more than 200 characters")
    declared_type = _declared_type(entry)
    model_type = declared_type or next(
        (kind for pattern, kind in _TYPES_BY_ID if pattern.search(external_id.lower())), "chat"
    )
    context = _context(entry)
    problem = None
    try:
        prices = _prices(entry)
    except BadEntry as error:
        prices, problem = (None, None, None), str(error)
    if prices[:2] == _NOTHING and not zero_is_free and not external_id.lower().endswith("-free"):
        prices = (None, None, None)
    return Model(
        external_id=external_id,
        display_name=_display_name(entry, external_id),
        model_type=model_type,
        capabilities=_capabilities(entry, external_id, model_type, declared_type, context),
        context_window=context,
        input_price_per_m=prices[0],
        output_price_per_m=prices[1],
        cached_input_price_per_m=prices[2],
        price_problem=problem,
        cost_tier=cost_tier(prices[0], prices[1], tiers),
        raw=raw,
    )


def _display_name(entry: Mapping[str, Any], external_id: str) -> str:
    for name in (entry.get("display_name"), entry.get("name"), external_id.rpartition("/")[2]):
        if isinstance(name, str) and (shown := _shown(name)):
            return shown
    return external_id


def _shown(name: str) -> str | None:
    """`label(name)`, at once for the plain names that nearly all have."""
    return name if len(name) <= LABEL_CHARACTERS and _PLAIN.fullmatch(name) else label(name)


def _declared_type(entry: Mapping[str, Any]) -> str | None:
    claimed = entry.get("capabilities")
    if isinstance(claimed, dict):  # Azure's words
        if claimed.get("chat_completion") is True:
            return "chat"
        if claimed.get("embeddings") is True:
            return "embedding"
    words = [entry.get("type"), entry.get("mode"), mapping(entry.get("model_info")).get("mode")]
    if isinstance(claimed, list):
        words += [word for word in ("embedding", "completion") if word in claimed]
    given = items(mapping(entry.get("architecture")).get("output_modalities"))
    words += ["text", *given] if "text" in given else given
    known = [_TYPES[word] for word in words if isinstance(word, str) and word in _TYPES]
    if isinstance(claimed, list) and "completion" in claimed:  # Ollama's word for a model that chats
        return "embedding" if "embedding" in known else "chat"
    return known[0] if known else None


def _capabilities(
    entry: Mapping[str, Any], external_id: str, model_type: str, declared_type: str | None, context: int | None
) -> dict[str, str]:
    """Capability -> origin. Absent means unknown, not missing."""
    found: dict[str, str] = {}
    if model_type in {"chat", "completion"}:
        found["text"] = "declared" if declared_type else "inferred"
    architecture, kind = mapping(entry.get("architecture")), entry.get("type")
    taken, given = items(architecture.get("input_modalities")), items(architecture.get("output_modalities"))
    claimed = _claimed(entry)
    if "image" in taken or kind == "vlm" or not claimed.isdisjoint(_CLAIMS["vision"]):
        found["vision"] = "declared"
    if "audio" in taken or "audio" in given or not claimed.isdisjoint(_CLAIMS["audio"]):
        found["audio"] = "declared"
    if "tools" in items(entry.get("supported_parameters")) or not claimed.isdisjoint(_CLAIMS["function_calling"]):
        found["function_calling"] = "declared"
    if kind == "code" or not claimed.isdisjoint(_CLAIMS["code"]):
        found["code"] = "declared"
    if context is not None and context >= LONG_CONTEXT:
        found["long_context"] = "declared"
    if _CODE_BY_ID.search(external_id.lower()):
        found.setdefault("code", "inferred")
    return found


def _claimed(entry: Mapping[str, Any]) -> set[str]:
    """The names under which an entry claims capabilities: in a list, as an object's true or supported fields, as `supports_*`."""
    claims, info = entry.get("capabilities"), mapping(entry.get("model_info"))
    found: set[str] = set()
    if isinstance(claims, list):
        found.update(word for word in claims if isinstance(word, str))
    elif isinstance(claims, dict):
        found.update(name for name, value in claims.items() if value is True or mapping(value).get("supported") is True)
    for source in (entry, info):
        if not _SUPPORTS.keys().isdisjoint(source.keys()):
            found.update(name for field, name in _SUPPORTS.items() if source.get(field) is True)
    return found


def _context(entry: Mapping[str, Any]) -> int | None:
    """The context window in tokens; what the route in use offers goes before what the model could take."""
    for source, names in (
        (mapping(entry.get("top_provider")), ("context_length",)),
        (entry, _CONTEXT_FIELDS),
        (mapping(entry.get("model_info")), _CONTEXT_FIELDS),
        (mapping(entry.get("meta")), ("n_ctx", "n_ctx_train")),
    ):
        for name in names:
            value = source.get(name)
            if isinstance(value, int) and value is not True and 0 < value <= _LONGEST_CONTEXT:
                return value
    return None


def _prices(entry: Mapping[str, Any]) -> _Prices:
    """Input, output and cached input price in USD per 1M tokens: OpenRouter's and LiteLLM's are per token, Together's per 1M.

    Raises `BadEntry` for a price that is none.
    """
    pricing, info = mapping(entry.get("pricing")), mapping(entry.get("model_info"))
    per_token = (
        _first(pricing.get("prompt"), entry.get("input_cost_per_token"), info.get("input_cost_per_token")),
        _first(pricing.get("completion"), entry.get("output_cost_per_token"), info.get("output_cost_per_token")),
    )
    if per_token != (None, None):
        paid = _price("input", per_token[0], _MILLION), _price("output", per_token[1], _MILLION)
    else:
        paid = _price("input", pricing.get("input"), Decimal(1)), _price("output", pricing.get("output"), Decimal(1))
    if paid == _NOTHING and any(_is_fee(name, value) for name, value in pricing.items()):
        return None, None, None  # paid in another way: tokens that cost nothing do not make it free
    caches = (source.get("cache_read_input_token_cost") for source in (entry, info))
    cached = _price("cached input", _first(pricing.get("input_cache_read"), *caches), _MILLION)
    # A 0 beside a price that is none stands for "there is no cache" as well: then cached tokens cost what the others do.
    return *paid, None if cached == 0 and paid[0] != 0 else cached


def _is_fee(name: str, value: Any) -> bool:
    """Whether an entry of `pricing` is something that has to be paid beside the tokens."""
    if name in _TOKEN_PRICES or not isinstance(value, _NUMBERS) or isinstance(value, bool):
        return False
    try:
        return Decimal(str(value)) != 0
    except InvalidOperation:
        return False


def _price(side: str, value: Any, factor: Decimal) -> Decimal | None:
    """As `_read_price`; thousands of models have the same few prices, and each is read once."""
    return _known_price(side, value, factor) if isinstance(value, str) else _read_price(side, value, factor)


def _read_price(side: str, value: Any, factor: Decimal) -> Decimal | None:
    """A price; None for none, or for -1, which says that it varies. How high it may be is for those to say who count on it."""
    if value is None:
        return None
    try:
        price = Decimal(str(value)) if isinstance(value, _NUMBERS) and not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        price = Decimal("NaN")
    if price.is_finite() and price == -1:  # a signalling NaN cannot even be compared
        return None
    if not price.is_finite() or not 0 <= price <= _LARGEST:
        raise BadEntry(f"the {side} price {label(str(value))!r} is no price")
    return price * factor


_known_price = lru_cache(maxsize=4096)(_read_price)


def _first(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None
