"""Rows on their way in and out of a store: the one place where Python values are checked and converted.

A row is a mapping from column to value. Outside a store its values are str, int, float, bool, None, and list or dict for
JSON columns; times are ISO 8601 text in UTC with microseconds, so that text order is time order. Every store gives rows
back in this form.
"""

import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import uuid_utils

from analytics.errors import BadRows
from analytics.store.schema import Kind, Table

Row = dict[str, Any]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL has no NUL, UTF-8 no lone surrogates
_NAMES = uuid.UUID("6f1ab5c0-4a3e-5d36-9c54-7a0f2b8f1d11")
_LARGEST = 2**63 - 1
_SHORT = 200  # characters of JSON that are worth a look whether they were read before
_PLAIN = (str, int, bool, type(None))


def to_text(moment: datetime) -> str:
    """A moment as stores keep it: `2026-11-21T02:00:00.000000Z`. BadRows if it has no time zone."""
    if moment.tzinfo is None:
        raise BadRows(f"the time {moment.isoformat()} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def from_text(text: str) -> datetime:
    """The moment that `to_text` wrote, as an aware datetime in UTC."""
    return datetime.fromisoformat(text)


def now_text() -> str:
    """The present moment as a store writes it: UTC, microseconds, `Z`."""
    return to_text(datetime.now(UTC))


def new_id() -> str:
    """A new UUIDv7: ids made later sort later."""
    return str(uuid_utils.uuid7())


def stable_id(kind: str, key: str) -> str:
    """The UUID of something that has a text key ('provider', 'openrouter'): the same wherever and whenever it is made."""
    return str(uuid.uuid5(_NAMES, f"{kind}:{key}"))


def id_number(row_id: str) -> int:
    """60 bits of an id's MD5, as PostgreSQL and DuckDB make them too: sums of them tell two sets of rows apart."""
    return int(hashlib.md5(row_id.encode(), usedforsecurity=False).hexdigest()[:15], 16)


def clean(table: Table, row: Mapping[str, Any], where: str, *, whole: bool = True) -> Row:
    """The row with values as its table's columns want them.

    `where` begins the message of BadRows, which names the column and what is wrong: unknown, missing (only if the row has
    to be `whole`), not finite, of another type. NUL and lone surrogates in text become U+FFFD: no database keeps them, and a
    measured answer is not worth losing for one.
    """
    columns = table.columns
    if not row.keys() <= columns.keys():
        raise BadRows(f"{where}: {table.name} has no column {min(row.keys() - columns.keys())!r}")
    cleaned: Row = {}
    for name, value in row.items():
        if name == "commit_seq":
            continue  # the store's own number
        try:
            cleaned[name] = None if value is None else _CLEANERS[columns[name].kind](value)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadRows(f"{where}: {name}: {error}") from None
    if whole:
        for column in columns.values():
            if column.is_required and cleaned.get(column.name) is None:
                raise BadRows(f"{where}: {column.name} is missing")
    return cleaned


def mended(value: Any) -> Any:
    """Text, or a JSON value with texts in it, in which every character that no database keeps became U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [mended(item) for item in value]
    if isinstance(value, dict):
        return {mended(name): mended(item) for name, item in value.items()}
    return value


def _text(value: Any) -> str:
    if type(value) is str and value.isascii() and "\0" not in value:
        return value  # here as below: what nearly every value is, first, for a landing looks at millions
    if isinstance(value, uuid.UUID | uuid_utils.UUID):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"text was expected, not {_shown(value)}")
    return str(mended(value))


def _integer(value: Any) -> int:
    if type(value) is int and -_LARGEST <= value <= _LARGEST:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or value != math.floor(value):
        raise TypeError(f"a whole number was expected, not {_shown(value)}")
    if not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{_shown(value)} is beyond 64 bits")
    return int(value)


def _real(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError(f"a number was expected, not {_shown(value)}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{_shown(value)} is not a finite number")
    return number


def _boolean(value: Any) -> bool:
    if value is True or value is False:
        return value
    if not isinstance(value, int) or value not in (0, 1):
        raise TypeError(f"true or false was expected, not {_shown(value)}")
    return bool(value)


def _json(value: Any) -> Any:
    """A list or dict of plain values; text is taken for JSON text."""
    if isinstance(value, str):
        value = json.loads(value)
    plain = value if _is_plain(value) else json.loads(json.dumps(value, allow_nan=False, default=_plain))
    if not isinstance(plain, list | dict):
        raise TypeError(f"a list or an object was expected, not {_shown(value)}")
    return mended(plain)


def _is_plain(value: Any) -> bool:
    """Whether JSON would give just this back."""
    kind = type(value)
    if kind is dict:
        return all(type(name) is str and _is_plain(item) for name, item in value.items())
    if kind is list:
        return all(map(_is_plain, value))
    return math.isfinite(value) if kind is float else kind in _PLAIN


def _plain(value: Any) -> Any:
    """What json cannot write itself."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Decimal):
        return _real(value)
    if isinstance(value, datetime):
        return to_text(value)
    raise TypeError(f"{_shown(value)} is no JSON value")


def _time(value: Any) -> str:
    if isinstance(value, str):
        if _TIME.fullmatch(value):
            from_text(value)
            return value
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise TypeError(f"a time was expected, not {_shown(value)}")
    return to_text(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_CLEANERS: Mapping[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "real": _real,
    "boolean": _boolean,
    "json": _json,
    "time": _time,
}


def to_sqlite(row: Row) -> Row:
    """A cleaned row with JSON as text; SQLite's driver turns booleans into 0 and 1 itself."""
    return {
        name: json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        if isinstance(value, list | dict)
        else value
        for name, value in row.items()
    }


def _loads(text: str) -> Any:
    """The JSON value of a column."""
    known = _flat(text) if len(text) <= _SHORT else None
    return json.loads(text) if known is None else known.copy()


@lru_cache(maxsize=1024)
def _flat(text: str) -> Any:
    """A list or object of plain values, None for another: of thousands of models most have the same few capabilities."""
    value = json.loads(text)
    inner = value.values() if isinstance(value, dict) else value
    return None if any(isinstance(one, list | dict) for one in inner) else value


def from_sqlite(table: Table, names: Sequence[str], values: Sequence[Sequence[Any]]) -> list[Row]:
    """Rows as SQLite's driver fetched them, with booleans and JSON in Python's form again."""
    # Column by column, which costs half of what it costs row by row: a catalog has 50,000 rows, and many columns of both kinds.
    columns: list[Sequence[Any]] = list(zip(*values, strict=True))
    for index, column in enumerate(columns):
        kind = table.columns[names[index]].kind if names[index] in table.columns else "text"
        if kind == "boolean":
            columns[index] = [None if value is None else value != 0 for value in column]
        elif kind == "json":
            columns[index] = [None if value is None else _loads(value) for value in column]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
