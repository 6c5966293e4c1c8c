"""Grader `exact`: the same words, whatever their case, spacing, decoration and final full stop."""

import re
import unicodedata

from analytics.errors import BadRows
from analytics.grading.answers import after_marker, last_line, tail

_EDGES = " \t\r\n.,;:!?*`\"'\u201c\u201d\u2018\u2019\u00ab\u00bb"
_CLAUSE_END = re.compile(r"[.,;(]")
_ARTICLES = ("a ", "an ", "the ")


def exact(expected: str, response: str) -> bool:
    """Whether the reply as a whole, its last line, or what follows its last 'answer is' (all of it, or its first clause) is `expected`,
    normalised.
    """
    wanted = normalise(expected)
    if not wanted:
        raise BadRows(f"expected_answer {expected!r} is empty once its punctuation is taken off")
    text = tail(response)
    marked = after_marker(text) or ""
    places = (text, last_line(text), marked, _CLAUSE_END.split(marked, maxsplit=1)[0])
    return any(normalise(place) == wanted for place in places)


def normalise(text: str) -> str:
    """Case, width, spacing, surrounding punctuation and a leading article taken away."""
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_EDGES)
    return next((words.removeprefix(article) for article in _ARTICLES if words.startswith(article)), words)
