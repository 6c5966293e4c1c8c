"""Limits, weights and prices as words of a command: NAME=VALUE, as a query and a stored policy take them."""

from collections.abc import Sequence
from typing import Any

from flows.errors import UsageError

_LISTS = ("allow", "deny", "only", "ignore", "need")  # repeated, or with commas
_TEXTS = ("max_tier",)


def numbers(option: str, words: Sequence[str]) -> dict[str, float]:
    """`quality=0.7`, or several with commas, as numbers by name. UsageError names the option and the word."""
    found: dict[str, float] = {}
    for word in [part for given in words for part in given.split(",")]:
        name, value = _pair(option, word)
        found[name] = _number(option, word, value)
    return found


def limits(words: Sequence[str]) -> dict[str, Any]:
    """`max_tier=low`, `need=text,vision`, `max_price=prompt=1,completion=3`, ... by field. Whether there is such a limit, and
    what may stand there, is the lookup's to say.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, value = _pair("--limit", word)
        if name in _LISTS:
            found.setdefault(name, []).extend(part for part in value.split(",") if part)
        elif name in _TEXTS:
            found[name] = value
        elif name == "max_price":
            found[name] = found.get(name, {}) | numbers("--limit max_price", [value])
        else:
            found[name] = _number("--limit", word, value)
    return found


def _pair(option: str, word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{option} '{word}' is not of the form NAME=VALUE.")
    return name.strip(), value.strip()


def _number(option: str, word: str, value: str) -> float:
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{option} '{word}': a number was expected, not '{value}'.") from None
