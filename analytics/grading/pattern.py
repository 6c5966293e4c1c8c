"""Grader `regex`: the answer as a whole matches a regular expression, in RE2's syntax and in time linear in the reply."""

from functools import cache

from analytics.errors import BadRows
from analytics.grading.answers import after_marker, last_line, tail


def regex(expected: str, response: str) -> bool:
    """Whether the reply as a whole, its last line, or what follows its last 'answer is' matches `expected` from end to end.

    Space around it does not count, nor does a full stop or decoration. A pattern that needs to go back (back references,
    looking around) is refused: RE2 has none.
    """
    text = tail(response)
    places = (text, last_line(text), after_marker(text) or "")
    return matches(
        expected, [place.strip(" \t\r\n*`\"'") for place in places] + [place.strip(" .\t\r\n*`\"'") for place in places]
    )


def matches(pattern: str, texts: list[str]) -> bool:
    """Whether `pattern` matches one of the texts from end to end. Raises `BadRows` for a pattern that RE2 does not take."""
    import pyarrow as pa  # noqa: PLC0415  # half a second that a command without such a question does not wait
    import pyarrow.compute as pc  # noqa: PLC0415

    check(pattern)
    plain = [text.encode("utf-8", "replace").decode() for text in texts]
    found = pc.match_substring_regex(pa.array(plain, pa.string()), _whole(pattern))
    return any(found.to_pylist())


@cache
def check(pattern: str) -> None:
    """Raise `BadRows` for a pattern that is empty or that RE2 does not take."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if not pattern.strip():
        raise BadRows("expected_answer is empty; grader regex needs a pattern")
    try:
        pc.match_substring_regex(pa.array([""]), _whole(pattern))
        pc.match_substring_regex(pa.array([""]), pattern)  # 'a)(b' would be whole only by our own brackets
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        reason = str(error).partition("regex: ")[2] or str(error)
        raise BadRows(f"expected_answer {pattern[:80]!r} is no pattern for grader regex: {reason}") from None


def _whole(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"
