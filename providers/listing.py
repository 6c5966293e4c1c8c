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

MAX_VALUE_CHARACTERS = 1 << 20  # of one entry, or of one of the listing's other fields

LISTS = ("", "data", "models")  # by rank: llama.cpp has the two latter, with the same models
_WINDOW = 1 << 16  # characters that are read before a value is tried again
_SCALARS = frozenset('"-0123456789tfnNI')  # how any other value begins
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_INTEGER = 19  # characters


class TooLong(Exception):
    """One value of a listing is longer than MAX_VALUE_CHARACTERS."""


class Listing:
    """One page of a listing.

    `entries()` gives each entry of an array and the name under which that stands ("" for a bare one). When it is through, `lists`
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

    async def entries(self) -> AsyncIterator[tuple[str, Any]]:
        """Raises ValueError for what is no JSON, RecursionError for JSON that is nested too deeply, TooLong, and what the body raises."""
        sign = await self._sign()
        if sign == "[":
            self.lists.add("")
            async for entry in self._array():
                yield "", entry
        elif sign == "{":
            async for name in self._names():
                if name in LISTS and await self._sign() == "[":
                    self.lists.add(name)
                    async for entry in self._array():
                        yield name, entry
                else:
                    self.fields[name] = await self._value()
        elif sign in _SCALARS:
            await self._value()
        else:  # a page, say: known by its first character, however long it is
            raise ValueError("neither an array nor an object")
        if await self._sign():
            raise ValueError("something follows the listing")

    async def _array(self) -> AsyncIterator[Any]:
        self._at += 1
        sign = await self._sign()
        while sign != "]":
            yield await self._value()
            sign = await self._sign()
            if sign == ",":
                self._at += 1
            elif sign != "]":
                raise ValueError("a comma is missing")
        self._at += 1

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
