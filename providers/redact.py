"""What a stranger wrote, made fit to be stored and shown: no key, no URL query, no control character, no great length."""

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote

EXCERPT_BYTES = 2048
LABEL_CHARACTERS = 200

_MASK = "[redacted]"
_SHORTEST_SECRET = 4  # a shorter one would blot out ordinary words
_WINDOW = 8 * EXCERPT_BYTES  # more than this is never looked at
_CREDENTIAL = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hvs|hvb)[-_.][\w.*-]{6,}"
    r"|\b(?:bearer|basic)\s+[\w.~+/=*-]{6,}"
    r"|\beyJ[\w-]{8,}\.[\w.-]+"
    r"|(?:api[-_ ]?key|authorization|token|secret|password)[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic)\s+)?[\w.~+/=*-]{6,}",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@\"'<>]{1,400}@", re.IGNORECASE)
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://[^\s?#\"'<>]{1,2000})[?#][^\s\"'<>]*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def mask(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Replace every occurrence of a secret, also URL-quoted or in base64. Nothing else changes."""
    for secret in secrets:
        if secret is None or len(secret) < _SHORTEST_SECRET:
            continue
        encoded = base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode("ascii")
        for form in (secret, quote(secret, safe="", errors="replace"), encoded):
            text = text.replace(form, _MASK)
    return text


def excerpt(text: str, secrets: Iterable[str | None] = ()) -> str:
    """At most 2 KiB (as UTF-8) of `text` without secrets, things that look like one, URL queries and user names, or
    control characters.
    """
    secrets = tuple(secrets)
    if len(text) > _WINDOW:
        # A secret cut in two by the window's edge would not be found: keep its whole length away from the edge.
        text = text[: _WINDOW - max((len(secret or "") for secret in secrets), default=0)]
    text = mask(_CONTROL.sub(" ", text), secrets)
    text = _QUERY.sub(r"\1", _USERINFO.sub(r"\1", text))
    text = _CREDENTIAL.sub(_MASK, text).strip()
    return text.encode("utf-8", "replace")[:EXCERPT_BYTES].decode("utf-8", "ignore")


def label(text: str | None, secrets: Iterable[str | None] = ()) -> str | None:
    """A short name from a stranger (a request id, a model, an error code): masked, one line, 200 characters; None if
    nothing is left.
    """
    if text is None:
        return None
    line = " ".join(_CONTROL.sub(" ", mask(text, secrets)).split())[:LABEL_CHARACTERS]
    return line.encode("utf-8", "replace").decode("utf-8") or None
