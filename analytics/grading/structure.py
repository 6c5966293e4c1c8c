"""Grader `json`: the same JSON value, whatever its spacing, key order and the fence around it."""

import json
from decimal import Decimal
from typing import Any, NoReturn

from analytics.errors import BadRows
from analytics.grading.answers import after_marker, fences, last_line, tail

_UNREADABLE = object()


def equal_json(expected: str, response: str) -> bool:
    """Whether the reply holds JSON that equals `expected`: 1 and 1.0 are equal, 1 and true are not, lists are in order.

    Looked at are the last fenced block if there is one, else the whole reply, what follows its last 'answer is', its last line,
    and what stands between its first and last bracket; the first of them that is JSON counts. NaN and keys that are there
    twice are not JSON.
    """
    wanted = read(expected)
    if wanted is _UNREADABLE:
        raise BadRows(f"expected_answer {expected[:80]!r} is no JSON, as grader json needs")
    found = (value for place in _places(tail(response)) if (value := read(place)) is not _UNREADABLE)
    return _equal(wanted, next(found, _UNREADABLE))


def read(text: str) -> Any:
    """The JSON value of a text with numbers as Decimal, or a mark of its own that equals no value."""
    try:
        return json.loads(
            text, parse_int=Decimal, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_unique
        )
    except (ValueError, ArithmeticError, RecursionError):
        return _UNREADABLE


def _places(text: str) -> list[str]:
    blocks = fences(text)
    if blocks:
        return [blocks[-1][1]]
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    bracketed = text[min(starts) : max(text.rfind("}"), text.rfind("]")) + 1] if starts else ""
    return [text, after_marker(text) or "", last_line(text), bracketed]


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise ValueError("a key is there twice")
    return held


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
