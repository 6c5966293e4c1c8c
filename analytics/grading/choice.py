"""Grader `choice`: one letter, A to J."""

import re

from analytics.errors import BadRows
from analytics.grading.answers import after_marker, last_line, tail

_WORD = re.compile(r"[A-Za-z0-9']{1,40}")
_FILLERS = frozenset({"option", "choice", "letter", "the", "is", "definitely", "therefore", "clearly", "boxed", "text"})
_LEADING = re.compile(r"[\s*_`(\[\"']{0,8}([A-Ja-j])(?=[\s*_`)\]\"']{0,8}(?:$|[.,:;)\]\n\u2013\u2014-]))")
_ANOTHER = re.compile(r"[\s*_`)\]]{0,6}(?:or\b|and\b|/|,|&)[\s*_`(\[]{0,6}[A-J]\b(?!')")


def choice(expected: str, response: str) -> bool:
    """Whether the reply chooses the letter `expected`, and only that one.

    The choice is the first word after the last 'answer is' if that is a letter, else a letter that opens the reply, else the
    only capital letter that stands alone in its last line (which denies nothing).
    """
    wanted = expected.strip().upper()
    if len(wanted) != 1 or not "A" <= wanted <= "J":
        raise BadRows(f"expected_answer {expected!r} is no letter from A to J, as grader choice needs")
    return _chosen(tail(response)) == wanted


def _chosen(text: str) -> str | None:
    marked = after_marker(text)
    if marked is not None:
        return _first_letter(marked)
    opening = _LEADING.match(text)
    if opening:
        return None if _ANOTHER.match(text, opening.end()) else opening[1].upper()
    return _only_letter(last_line(text))


def _first_letter(text: str) -> str | None:
    """The letter that is the first word but for fillers; a small one only if nothing but punctuation follows it."""
    word = next((match for match in _WORD.finditer(text) if match[0].lower() not in _FILLERS), None)
    if word is None or len(word[0]) != 1 or not "A" <= word[0].upper() <= "J" or _ANOTHER.match(text, word.end()):
        return None
    return word[0].upper() if word[0].isupper() or _LEADING.match(text, word.start()) else None


def _only_letter(line: str) -> str | None:
    words = list(_WORD.finditer(line.replace("\u2019", "'")))
    if any(word[0].lower() in {"not", "neither", "nor", "never"} or word[0].lower().endswith("n't") for word in words):
        return None
    letters = {
        word[0]
        for word, following in zip(words, [*words, None][1:], strict=True)
        if len(word[0]) == 1
        and "A" <= word[0] <= "J"
        # 'A patient' and 'I think' hold words, not choices.
        and not (word[0] in "AI" and following and following[0].islower() and following.start() == word.end() + 1)
    }
    return letters.pop() if len(letters) == 1 else None
