"""Reading single fields of a stranger's JSON: what is not as it should be is unknown."""

import json
from typing import Any

import orjson

_MOST = 10**12  # tokens or USD: a greater figure is a mistake, and would not fit a column


def parse(data: str | bytes) -> Any:
    """The JSON value of `data`; ValueError if there is none."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # Half a surrogate pair, or NaN: no JSON by the letter, yet servers send it.
        try:
            return json.loads(data)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def mapping(value: Any) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def string(value: Any) -> str | None:
    """`value` if it is a non-empty string."""
    return value if isinstance(value, str) and value else None


def word(value: Any) -> str | None:
    """A string or a number as text: error codes come as either."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return string(value)


def count(value: Any) -> int | None:
    """A whole number of at least 0."""
    number = amount(value)
    return int(number) if number is not None and number == int(number) else None


def amount(value: Any) -> float | None:
    """A finite number of at least 0 and of a believable size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= _MOST else None  # NaN compares false


def joined(value: Any, *types: str) -> str:
    """A text field that may be a string or a list of typed parts (`types` are those that count)."""
    if isinstance(value, str):
        return value
    parts = (mapping(part) for part in items(value))
    return "".join(string(part.get("text")) or "" for part in parts if part.get("type") in types)


def compact(value: Any) -> str:
    """`value` as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
