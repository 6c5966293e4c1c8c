"""Chunks that differ from the one before in their text alone, as nearly all of a stream do: read without parsing them anew.

JSON in which one string was replaced by another says the same but for that string. A chunk is taken for such only if all
bytes before and after the string are those of a chunk that was parsed and said nothing but it, and if the new string
needs no unescaping.
"""

import re

from providers.dialects.deltas import Delta, Text
from providers.sse import Event

_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')  # a JSON string's characters that stand for themselves (RFC 8259, 7)


class Alike:
    """Knows the last chunk, if it said nothing but the string under `key`."""

    def __init__(self, key: str) -> None:
        self._key = f'"{key}"'
        self._string = re.compile(rf'"{key}"\s*:\s*"({_PLAIN.pattern})"')
        self._name: str | None = None
        self._before, self._after = "", ""

    def learn(self, event: Event, deltas: list[Delta]) -> None:
        """`event` was parsed, and says `deltas`: what others say by likeness with it, if that is text alone."""
        data, self._before = event.data, ""
        match deltas:
            # An escape could spell the key in another way; a second key of that name could be the one that counts.
            case [Text(text)] if data.count(self._key) == 1 and "\\" not in data:
                if (found := self._string.search(data)) is not None and found[1] == text:
                    self._name, self._before, self._after = event.event, data[: found.start(1)], data[found.end(1) :]

    def text(self, event: Event) -> str | None:
        """All that `event` says, if it is like the one before; None of any other."""
        name, data = event
        before, after = self._before, self._after
        if not before or name != self._name or not data.startswith(before) or not data.endswith(after):
            return None
        found = _PLAIN.fullmatch(data, len(before), len(data) - len(after))
        return None if found is None else found[0]
