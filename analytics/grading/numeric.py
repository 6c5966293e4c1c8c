"""Grader `numeric`: one number, whatever its unit, thousands separators and notation."""

import re
from decimal import Decimal

from analytics.errors import BadRows
from analytics.grading.answers import after_marker, tail

_SIGNS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": "\u2009", "\u202f": "\u2009"})
_FRACTION = re.compile(r"\\d?frac\{(\d{1,30})\}\{(\d{1,30})\}")
# A number that is no part of a name (H2O) or a version (1.2.3). Every repeat is bounded: the search stays linear.
_NUMBER = re.compile(
    r"""(?<!\w)(?<!\d\.)
        (?P<sign>(?<!\))[-+])?\$?
        (?P<digits>\d{1,3}(?:[,\u2009]\d{3}){1,10}(?!\d|,\d)|\d{1,400}|(?<!\.)(?=\.\d))
        (?P<fraction>\.\d{1,400})?
        (?:[eE](?P<e>[-+]?\d{1,3})(?!\w)|\s?(?:[x*\u00d7]|\\times)\s?10\s?\^\s?\{?(?P<ten>[-+]?\d{1,3})\}?)?
        (?:\s?/\s?(?P<below>\d{1,30})(?![\d.]))?""",
    re.VERBOSE,
)
_TOLERANCE = re.compile(r"(?P<value>.{1,100}?)\s*(?:\u00b1|\+/-)\s*(?P<tolerance>\d{1,30}(?:\.\d{1,30})?)")
_BOXED = "\\boxed{"


def numeric(expected: str, response: str) -> bool:
    r"""Whether the reply's answer is within the tolerance of `expected`.

    The answer is the number in the last `\boxed{}`, else the first one after the last 'answer is' (after its last '=' if
    it has one), else the last number of the reply. The tolerance is what `expected` says ('9.81 ± 0.02'), else half a unit
    of its last decimal place; a whole number must be met exactly.
    """
    value, tolerance = _expected(expected)
    found = _answer(_plain(tail(response)))
    return found is not None and abs(found - value) <= tolerance


def _expected(expected: str) -> tuple[Decimal, Decimal]:
    given = _TOLERANCE.fullmatch(expected.strip())
    text = (given["value"] if given else expected).strip()
    match = _NUMBER.match(_plain(text))
    if match is None:
        raise BadRows(f"expected_answer {expected!r} is no number, as grader numeric needs")
    if given:
        return _value(match), Decimal(given["tolerance"])
    places = len(match["fraction"]) - 1 if match["fraction"] else 0
    exponent = int(match["e"] or match["ten"] or 0)
    return _value(match), Decimal(5).scaleb(exponent - places - 1) if places else Decimal(0)


def _answer(text: str) -> Decimal | None:
    boxed = text.rfind(_BOXED)
    marked = after_marker(text)
    if boxed >= 0:
        first = _NUMBER.search(text, boxed + len(_BOXED))
    elif marked is not None:
        first = _NUMBER.search(marked.rpartition("=")[2]) or _NUMBER.search(marked)
    else:
        first = None
    if first is not None:
        return _value(first)
    last = None
    for match in _NUMBER.finditer(text):
        last = match
    return None if last is None else _value(last)


def _plain(text: str) -> str:
    """Typographic and LaTeX spellings of signs, separators and fractions in their plain form."""
    text = text.translate(_SIGNS).replace("{,}", ",").replace("\\,", "\u2009").replace("\\!", "")
    return _FRACTION.sub(r"\1/\2", text)


def _value(match: re.Match[str]) -> Decimal:
    digits = match["digits"].replace(",", "").replace("\u2009", "")
    value = Decimal(f"{match['sign'] or ''}{digits}{match['fraction'] or ''}")
    value = value.scaleb(int(match["e"] or match["ten"] or 0))
    below = Decimal(match["below"] or 1)
    return value / below if below else value
