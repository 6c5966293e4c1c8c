"""A models listing, read entry by entry while it arrives: never the whole of it is held, as text or as objects.

A listing is a JSON array (Together), or an object with the array under `data` (nearly all) or under `models` (Ollama, LM Studio),
in which everything else is small. Where it is not JSON by the letter, what is wrong becomes text (NaN, 1e999, numbers that no
database holds), or spoils its entry alone (bytes that are not UTF-8, half a surrogate pair).
"""

import codecs
import json
import math
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson

MAX_VALUE_CHARACTERS = 1 << 20  # of one entry, or of one of the listing's other fields

LISTS = ("", "data", "models")  # by rank: llama.cpp has the two latter, with the same models
_WINDOW = 1 << 16  # characters that are read before a value is tried again
_SCALARS = frozenset('"-0123456789tfnNI')  # how any other value begins
_SPACES = " \t\n\r"
_SPACE = re.compile(f"[{_SPACES}]*")
_NEAR = 64  # characters in which two entries of an array follow each other, however it is indented
_LONGEST_INTEGER = 19  # characters
_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else 0 for byte in range(256))
_LONG_NUMBER = b"0" * _LONGEST_INTEGER


class TooLong(Exception):
    """One value of a listing is longer than MAX_VALUE_CHARACTERS."""


class Listing:
    """One page of a listing.

    `entries()` gives some entries of an array at a time and the name under which that stands ("" for a bare one). When it is through, `lists`
    are the names of the arrays that were there, and `fields` is everything else of the page.
    """

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self.fields: dict[str, Any] = {}
        self.lists: set[str] = set()
        self._body = body
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._text = ""
        self._at = 0
        self._is_whole = False
        self._is_plain = True

    async def entries(self) -> AsyncIterator[tuple[str, list[Any]]]:
        """Raises ValueError for what is no JSON, RecursionError for JSON that is nested too deeply, TooLong, and what the body raises."""
        sign = await self._sign()
        if sign == "[":
            self.lists.add("")
            async for entries in self._array():
                yield "", entries
        elif sign == "{":
            async for name in self._names():
                if name in LISTS and await self._sign() == "[":
                    self.lists.add(name)
                    async for entries in self._array():
                        yield name, entries
                else:
                    self.fields[name] = await self._value()
        elif sign in _SCALARS:
            await self._value()
        else:  # a page, say: known by its first character, however long it is
            raise ValueError("neither an array nor an object")
        if await self._sign():
            raise ValueError("something follows the listing")

    async def _array(self) -> AsyncIterator[list[Any]]:
        self._at += 1
        sign = await self._sign()
        while sign != "]":
            yield self._whole_objects() or [await self._value()]
            sign = await self._sign()
            if sign == ",":
                self._at += 1
            elif sign != "]":
                raise ValueError("a comma is missing")
        self._at += 1

    def _whole_objects(self) -> list[Any]:
        """The objects that are there already, but for the last, read in one go: six times as fast as one by one.

        What stands between two of them may stand between two inside of one as well: then the text before it is no array. Such a
        page, and one that is not JSON by the letter, is read value by value from there on.
        """
        end = self._last_end() if self._is_plain else 0
        if not end:
            return []
        try:
            data = self._text[self._at : end].encode()
            if _LONG_NUMBER not in data.translate(_DIGITS):
                found: list[Any] = orjson.loads(b"[%b]" % data)
                self._at = end
                return found
        except ValueError:
            pass
        self._is_plain = False
        return []

    def _last_end(self) -> int:
        """Where the last object ends that a comma and another object follow; 0 if there is none."""
        start = len(self._text)
        while (start := self._text.rfind("{", self._at, start)) > self._at:
            before = self._text[max(start - _NEAR, self._at) : start].rstrip(_SPACES)
            if before.endswith(",") and before[:-1].rstrip(_SPACES).endswith("}"):
                return self._text.rfind("}", self._at, start) + 1
        return 0

    async def _names(self) -> AsyncIterator[str]:
        self._at += 1
        while (sign := await self._sign()) != "}":
            name = await self._value()
            if not isinstance(name, str) or await self._sign() != ":":
                raise ValueError("a name is missing")
            self._at += 1
            yield name
            sign = await self._sign()
            if sign == ",":
                self._at += 1
            elif sign != "}":
                raise ValueError("a comma is missing")
        self._at += 1

    async def _sign(self) -> str:
        """The next character that is no space, which stays where it is; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None  # it matches nothing at all, too
            self._at = match.end()
            if self._at < len(self._text) or self._is_whole:
                return self._text[self._at : self._at + 1]
            await self._more()

    async def _value(self) -> Any:
        """The JSON value that begins here."""
        await self._sign()
        while True:
            try:
                value, end = _JSON.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if self._is_whole:
                    raise
            else:
                if end < len(self._text) or self._is_whole:  # else a number might go on
                    self._at = end
                    return value
            await self._more()

    async def _more(self) -> None:
        """Read on, at least as much as is there: what is tried again and again costs twice its length in all."""
        parts = [self._text[self._at :]]
        if len(parts[0]) > MAX_VALUE_CHARACTERS:
            raise TooLong
        wanted = max(_WINDOW, len(parts[0]))
        while wanted > 0:
            chunk = await anext(self._body, None)
            self._is_whole = chunk is None
            parts.append(self._decoder.decode(chunk or b"", self._is_whole))
            wanted -= len(parts[-1]) if chunk else wanted
        self._text, self._at = "".join(parts), 0


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INTEGER else text


# Not null: a price that is no number is another thing than none.
_JSON = json.JSONDecoder(parse_constant=str, parse_float=_finite, parse_int=_integer)
