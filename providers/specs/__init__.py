"""Providers as data: one TOML file per provider type, and a row of the `providers` table laid over it."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from providers.addresses import is_loopback, literal
from providers.errors import BadProvider
from providers.records import Family, ProviderSpec

_HERE = Path(__file__).parent
_SPEC_FIELDS = frozenset(field.name for field in fields(ProviderSpec))
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_VERSION = re.compile(r"v\d+[a-z0-9]*")
_DEPLOYMENT = re.compile(r"(?P<root>.*?)/openai/deployments/(?P<deployment>[^/]+)(?:/chat/completions)?")


@cache
def _read(provider_type: str) -> Mapping[str, Any]:
    return tomllib.loads((_HERE / f"{provider_type}.toml").read_text("utf-8"))


def provider_types() -> tuple[str, ...]:
    """The provider types that exist, in name order."""
    return tuple(sorted(path.stem for path in _HERE.glob("*.toml")))


def load(provider_type: str) -> dict[str, Any]:
    """What is known of a provider type: the fields of its TOML file (`name` and `docs` beside those of `ProviderSpec`).

    Its families are its own, or those of the type that `families_of` names. Raises `BadProvider` for a type that does not exist.
    """
    if provider_type not in provider_types():
        raise BadProvider(f"provider_type '{provider_type}' does not exist; it is one of {', '.join(provider_types())}")
    known = dict(_read(provider_type))
    families = _read(known.pop("families_of", provider_type)).get("families", [])
    return {**known, "families": tuple(map(_family, families)), "provider_type": provider_type}


def _family(described: Mapping[str, Any]) -> Family:
    return Family(
        **{**described, "models": re.compile(described["models"]), "never_send": tuple(described.get("never_send", ()))}
    )


def make_spec(row: Mapping[str, Any]) -> ProviderSpec:
    """The spec of one row of the `providers` table.

    Read are key, provider_type, base_url (None: the type's own), models_endpoint, rate_limit_rpm, is_simulated
    and is_private_allowed.
    `base_url` may be written with or without its version (`/v1`), with a trailing slash, or as the full URL of the chat
    endpoint, which is then taken at its word. `models_endpoint` is a path below it or a full URL of the same origin. The
    price library's prices are the vendor's own, so another host (a gateway, a proxy) gets none. A simulated provider needs no key and must be on loopback. Raises `BadProvider`.
    """
    known = load(row["provider_type"])
    simulated = bool(row.get("is_simulated"))
    url = check_url(row.get("base_url") or known["base_url"])
    if simulated and not is_loopback(url.hostname or ""):
        raise BadProvider(f"base_url '{url.netloc}' is not this machine: a simulated provider must be on loopback")
    paths = _paths(url, row.get("models_endpoint"), known)
    values = {name: value for name, value in known.items() if name in _SPEC_FIELDS}
    values |= {
        "key": row["key"],
        "default_models": () if simulated else tuple(known.get("default_models", ())),
        "query": dict(parse_qsl(url.query)),
        "rate_limit_rpm": row.get("rate_limit_rpm"),
        "is_simulated": simulated,
        "is_private_allowed": bool(row.get("is_private_allowed")),
        "genai_provider": None if simulated else _genai_provider(known, url.hostname or ""),
        "key_required": known.get("key_required", True) and not simulated,
        **paths,
    }
    return ProviderSpec(**values)


def _genai_provider(known: Mapping[str, Any], host: str) -> str | None:
    """Who the price library takes a provider for: nobody where a type's protocol is spoken on a host that is not its vendor's."""
    is_vendors = any(f".{host}".endswith(f".{own}") for own in known.get("genai_hosts", ()))
    return known.get("genai_provider") if is_vendors else None


def check_url(text: str) -> SplitResult:
    """The parts of a provider's URL, if a key may be sent there: https (http only to this machine), a plain host, no
    credentials, no query but `api-version`. Raises `BadProvider` with what to mend; the message repeats no credentials.
    """
    if not text.isascii() or any(character <= " " or character in '\\"<>^`{|}' for character in text):
        raise BadProvider(
            "base_url holds a space, a control or a non-ASCII character; write host names in their xn-- form"
        )
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise BadProvider("base_url is no URL: its host or port cannot be read") from error
    host = url.hostname or ""
    if url.scheme not in {"http", "https"}:
        raise BadProvider("base_url must begin with https:// (or http:// for this machine)")
    if "@" in url.netloc:
        raise BadProvider("base_url must not hold a user name or password; keys belong in the vault")
    if not host or port == 0 or not _HOST.fullmatch(url.netloc.removesuffix(f":{port}").removesuffix(":")):
        raise BadProvider(f"base_url '{url.scheme}://{url.netloc}' names no host")
    if url.fragment or any(name != "api-version" for name, _ in parse_qsl(url.query, keep_blank_values=True)):
        raise BadProvider("base_url must end with its path; of a query only api-version is kept")
    if any(segment in {".", ".."} for segment in url.path.lower().replace("%2e", ".").split("/")):
        raise BadProvider("base_url must not hold '.' or '..' as a folder")
    if url.scheme == "http" and not is_loopback(host):
        raise BadProvider(
            f"base_url 'http://{url.netloc}' would send the key in clear; use https:// (http only for this machine)"
        )
    literal(host)  # an address that not everybody reads alike is none
    return url


def _paths(url: SplitResult, models_endpoint: str | None, known: Mapping[str, Any]) -> dict[str, str]:
    """`base_url`, `chat_path` and `models_path` of a user's URL and models endpoint."""
    origin = f"{url.scheme}://{url.netloc}"
    chat_path, models_path = known["chat_path"], known["models_path"]
    dated = _DEPLOYMENT.fullmatch(url.path.rstrip("/"))
    if dated:
        base = dated["root"]
        chat_path, models_path = "/openai/deployments/{model}/chat/completions", "/openai/models"
    else:
        base = _base_path(url.path, chat_path, urlsplit(known["base_url"]).path)
    if models_endpoint:
        target = _models_target(models_endpoint, origin)
        overlap = _overlap(base, target)
        if "://" in models_endpoint and overlap < len(base):  # elsewhere on this host: both paths from its root
            base, chat_path, models_path = "", base + chat_path, target
        else:
            models_path = target[overlap:] or "/"
    return {"base_url": origin + base, "chat_path": chat_path, "models_path": models_path}


def _base_path(path: str, chat_path: str, usual: str) -> str:
    """The path that `chat_path` is joined to; `usual` is the type's own (`/openai/v1`)."""
    path = path.rstrip("/")
    if path.endswith(chat_path):
        return path.removesuffix(chat_path)
    path = path.removesuffix("/models")
    if _VERSION.fullmatch(path.rpartition("/")[2]):
        return path
    prefix, _, version = usual.rpartition("/")
    return f"{path or prefix}/{version}"


def _models_target(models_endpoint: str, origin: str) -> str:
    if "://" not in models_endpoint:
        return "/" + check_url(f"{origin}/{models_endpoint.lstrip('/')}").path.lstrip("/")
    url = check_url(models_endpoint)
    if f"{url.scheme}://{url.netloc}" != origin:
        raise BadProvider(f"models_endpoint must be on {origin}: the key is sent there too")
    return url.path or "/"


def _overlap(base: str, target: str) -> int:
    """How much of the end of `base` the beginning of `target` repeats, in whole segments."""
    starts = [index for index, character in enumerate(base) if character == "/"]
    return next((len(base) - start for start in starts if f"{target}/".startswith(f"{base[start:]}/")), 0)
