"""Reasoning that comes inside the visible text, between `<think>` and `</think>`."""

from providers.dialects.deltas import Delta, Reasoning, Reclassified, Text

_OPEN, _CLOSE = "<think>", "</think>"


class InlineThinking:
    """Tells inline reasoning from visible text, fragment by fragment, without holding any back.

    A fragment is given out at once, as what it seems to be, because its arrival is what is measured. Where the next
    one shows that it was the beginning of reasoning, Reclassified takes it back. `<think>` counts only at the very
    beginning; `</think>` without one (the chat template wrote it into the prompt) counts once.
    """

    def __init__(self) -> None:
        self._state = "start"  # start -> inside -> after, or start -> plain -> after
        self._tail = ""  # what may be the beginning of a tag

    def feed(self, fragment: str) -> list[Delta]:
        """The deltas of one non-empty fragment of content."""
        if self._state == "after":
            return [Text(fragment)]
        if self._state == "start":
            return self._start(fragment)
        return self._until_close(fragment)

    def _start(self, fragment: str) -> list[Delta]:
        held, self._tail = self._tail, self._tail + fragment
        head = self._tail.lstrip()
        if not head.startswith(_OPEN):
            if not _OPEN.startswith(head):
                self._state, self._tail = "plain", ""
                return self._until_close(fragment)
            return [Text(fragment)]
        self._state, self._tail = "inside", ""
        took_back: list[Delta] = [Reclassified()] if held else []
        rest = head[len(_OPEN) :]
        return took_back + (self._until_close(rest) if rest else [])

    def _until_close(self, fragment: str) -> list[Delta]:
        seen = self._tail + fragment
        at = seen.find(_CLOSE)
        if at < 0:
            self._tail = seen[-(len(_CLOSE) - 1) :]
            return [Reasoning(fragment) if self._state == "inside" else Text(fragment)]
        inside, self._state = self._state == "inside", "after"
        own = max(0, at - len(self._tail))  # of this fragment, before the tag
        after = seen[at + len(_CLOSE) :]
        thought = fragment[:own]
        deltas: list[Delta] = []
        if not inside:
            deltas.append(Reclassified())
        if thought:
            deltas.append(Reasoning(thought))
        if after:
            deltas.append(Text(after))
        return deltas
