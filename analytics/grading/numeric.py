"""Grader `numeric`: one number, whatever its thousands separators and notation, in its unit or another of the same dimension."""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from analytics.errors import BadRows
from analytics.grading.answers import after_marker, tail
from analytics.grading.units import named, unit_after

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
# What may follow the number in an expected answer: a tolerance, a unit.
_REST = re.compile(
    r"\s*(?:(?:\u00b1|\+/-)\s*(?P<tolerance>\d{1,30}(?:\.\d{1,30})?)\s*(?P<share>%(?=\s|$))?\s*)?(?P<unit>[^\s\d\u00b1+].{0,19})?"
)
_BOXED = "\\boxed{"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A number with its tolerance and, where it has one, its unit (dimension, factor)."""

    value: Decimal
    tolerance: Decimal
    unit: tuple[str, Decimal] | None


def numeric(expected: str, response: str) -> bool:
    r"""Whether the reply's answer is within the tolerance of `expected`.

    The answer is the number in the last `\boxed{}`, else the first one after the last 'answer is' (after its last '=' if
    it has one), else the last number of the reply. The tolerance is what `expected` says ('9.81 ± 0.02', '250 ± 2 %'), else half
    a unit of its last decimal place; a whole number must be met exactly. With a unit in `expected` ('9.81 ± 0.02 m', '250 ± 2 % ml')
    an answer in another unit of that dimension is converted, one of another dimension is wrong, and a bare number is taken to be
    in the expected unit. Without one, what stands behind the answer is not looked at.
    """
    wanted = _wanted(expected)
    text = _plain(tail(response))
    match = _answer(text)
    if match is None:
        return False
    found = _value(match)
    unit = unit_after(match.string, match.end()) if wanted.unit else None
    if unit and wanted.unit:
        if unit[0] != wanted.unit[0]:
            return False
        found = found * unit[1] / wanted.unit[1]
    return abs(found - wanted.value) <= wanted.tolerance


@cache
def _wanted(expected: str) -> _Wanted:
    text = _plain(expected.strip())
    number = _NUMBER.match(text)
    rest = _REST.fullmatch(text, number.end()) if number else None
    if number is None or rest is None:
        raise BadRows(f"expected_answer {expected!r} is no number, as grader numeric needs")
    unit = named(rest["unit"]) if rest["unit"] else None
    if rest["unit"] and unit is None:
        raise BadRows(f"expected_answer {expected!r} has a unit that grader numeric does not know: {rest['unit']!r}")
    value = _value(number)
    if rest["tolerance"]:
        tolerance = Decimal(rest["tolerance"])
        return _Wanted(value, abs(value) * tolerance / 100 if rest["share"] else tolerance, unit)
    places = len(number["fraction"]) - 1 if number["fraction"] else 0
    exponent = int(number["e"] or number["ten"] or 0)
    return _Wanted(value, Decimal(5).scaleb(exponent - places - 1) if places else Decimal(0), unit)


def _answer(text: str) -> re.Match[str] | None:
    boxed = text.rfind(_BOXED)
    marked = after_marker(text)
    if boxed >= 0:
        first = _NUMBER.search(text, boxed + len(_BOXED))
    elif marked is not None:
        first = _NUMBER.search(marked.rpartition("=")[2]) or _NUMBER.search(marked)
    else:
        first = None
    if first is not None:
        return first
    last = None
    for match in _NUMBER.finditer(text):
        last = match
    return last


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
