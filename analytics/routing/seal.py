"""A document that knows whether it is whole: JSON with a checksum of itself."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_VERSION = 2  # of what is sealed; it says that there must be a checksum, should the checksum's own name be damaged
_OWN = ("sha256", "version")


def seal(document: Mapping[str, Any]) -> bytes:
    """The document as JSON text, in order of its keys, with its `version` and the `sha256` of all the rest."""
    whole = {**document, "version": _VERSION}
    return json.dumps({**whole, "sha256": _sum(whole)}, sort_keys=True, indent=1).encode()


def unseal(data: bytes) -> Any:
    """What was sealed, or any other JSON: what was written before there were seals has none.

    Raises ValueError for text that is no JSON, and for a document that is not what was sealed.
    """
    document = json.loads(data)
    if not isinstance(document, dict) or not ("sha256" in document or "version" in document):
        return document
    if document.get("sha256") != _sum({name: value for name, value in document.items() if name != "sha256"}):
        raise ValueError("its sha256 is not its own")
    return {name: value for name, value in document.items() if name not in _OWN}


def _sum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
