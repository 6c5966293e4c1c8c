"""Graders, each with a table of right and wrong replies."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.errors import BadRows
from analytics.grading import GRADERS, check, grade

RIGHT = {
    "exact": [
        ("Canberra", "Canberra"),
        ("Canberra", "  canberra.\n"),
        ("Canberra", "**Canberra**"),
        ("Canberra", "The answer is Canberra."),
        ("Canberra", "Answer: Canberra (not Sydney, as many think)"),
        ("Canberra", "Sydney is larger, but it is not the capital.\n\nCanberra"),
        ("left ventricle", "The  left\tVentricle"),
        ("left ventricle", "The final answer is: **the left ventricle**"),
        ("carbon dioxide", "\uff23arbon dioxide"),
        ("KeyError", "`KeyError`"),
        ("fdb", "'fdb'"),
        ("O(n)", "**Answer:** O(n)"),
    ],
    "numeric": [
        ("42", "42"),
        ("42", "42.0"),
        ("42", "The answer is **42**."),
        ("42", "The answer is 42 (see step 3)."),
        ("40", "The answer is 5 x 8 = 40"),
        ("40", "First 5 * 8, so 40 km"),
        ("1234567", "1,234,567 people"),
        ("1234567", "1\u202f234\u202f567"),
        ("1234", "It is 1,234, which is large"),
        ("1234", "$1{,}234$"),
        ("-5", "x = \u22125"),
        ("-5", "It is -5 degrees"),
        ("5", "It was 10-5"),
        ("3.14", "3.14159"),
        ("3.14", "about 3.14 m"),
        ("0.5", "1/2"),
        ("0.5", ".5"),
        ("0.75", "\\boxed{\\frac{3}{4}} as shown in 2 steps"),
        ("1200.50", "$1,200.50"),
        ("25", "25 %"),
        ("25", "25%"),
        ("6.02e23", "6.02 \u00d7 10^23"),
        ("6.02e23", "6.02e23 particles"),
        ("9.81 \u00b1 0.02", "9.8"),
        ("9.81 +/- 0.02", "9.83"),
        ("7", "Answer:\n\n7"),
        ("2", "2 molecules of H2O"),
        ("20", "10-20"),
        ("250 \u00b1 2 %", "254.9"),
        ("2.5 km", "2.5"),
        ("2.5 km", "It is 2500 m"),
        ("2.5 km", "The answer is **2,500** metres."),
        ("2.5 km", "$2.5\\,\\text{km}$"),
        ("9.81 \u00b1 0.02 m/s", "35.3 km/h"),
        ("3 \u00b1 1 % l", "3.02 litres"),
        ("3 l", "3000 cm\u00b3"),
        ("1.5 h", "90 minutes"),
        ("1.5 h", "1.5 apples"),
        ("12 %", "12 percent"),
        ("500 mg", "0.5 g"),
    ],
    "choice": [
        ("B", "B"),
        ("B", "b"),
        ("B", "(B)"),
        ("B", "B) O(log n)"),
        ("B", "B. Because A is slower."),
        ("B", "**B**"),
        ("B", "The answer is B."),
        ("b", "The correct answer is option **B**, since A is false"),
        ("B", "Answer: b"),
        ("B", "Answer: $\\boxed{\\text{B}}$"),
        ("B", "A patient like this has an acidosis.\nSo I choose B"),
        ("B", "A patient with this pH has B"),
        ("A", "A: hyperkalaemia"),
    ],
    "json": [
        ('{"a": 1, "b": [true, null]}', '{"b":[true,null],"a":1.0}'),
        ('{"a": 1}', 'Here it is:\n```json\n{\n  "a": 1\n}\n```\nAnything else?'),
        ('{"a": 1}', '```\n{"a": 1}\n```'),
        ('{"a": 1}', '```json\n[]\n```\nno, rather\n```json\n{"a": 1}\n```'),
        ('{"a": 1}', 'Sure: {"a": 1}. Done'),
        ("[1, 2]", "The answer is [1, 2]"),
        ("[1, 2]", "I sort them.\n[1, 2]"),
        ('"\u00e9"', '"\\u00e9"'),
        ("[]", "[]"),
        ("0.1", "1e-1"),
    ],
    "regex": [
        (r"\d{4}-\d{2}-\d{2}", "2024-02-29"),
        (r"\d{4}-\d{2}-\d{2}", "The answer is **2024-02-29**."),
        (r"\d{4}-\d{2}-\d{2}", "It was a leap year:\n\n`2024-02-29`"),
        (r"(?i)colou?r", "Color"),
        (r"(a+)+b", "aaab"),
        (r"cat|dog", "dog"),
    ],
}
WRONG = {
    "exact": [
        ("Canberra", "Sydney"),
        ("Canberra", ""),
        ("Canberra", "Not Canberra"),
        ("Canberra", "The answer is Sydney"),
        ("Canberra", "Canberra or Sydney"),
        ("fdb", "fd b"),
        ("left ventricle", "right ventricle"),
        ("__init__", "init"),
    ],
    "numeric": [
        ("42", "43"),
        ("42", "42.3"),
        ("42", "142"),
        ("42", "forty-two"),
        ("42", ""),
        ("42", "-42"),
        ("3.14", "3.1"),
        ("3.14", "3.15"),
        ("9.81 \u00b1 0.02", "9.84"),
        ("2", "H2O"),
        ("2", "version 1.2.2"),
        ("0.5", "1/0"),
        ("42", "The answer is 41, not 42"),
        ("1234", "1,2,3,4"),
        ("1000", "1e999"),
        ("42", "NaN"),
        ("42", "Infinity"),
        ("250 \u00b1 2 %", "255.1"),
        ("2.5 km", "2.5 m"),
        ("2.5 km", "2.5 kg"),
        ("2.5 km", "2500"),
        ("500 mg", "500 \u00b5g"),
        ("1.5 h", "1.5 min"),
    ],
    "choice": [
        ("B", "C"),
        ("B", ""),
        ("B", "The answer is not B"),
        ("B", "The answer isn't B"),
        ("B", "B or C"),
        ("B", "The answer is B and C"),
        ("B", "The answer is B/C"),
        ("A", "A patient should see a doctor"),
        ("A", "The answer is a combination of things"),
        ("B", "Between B and C it is hard to choose"),
        ("I", "I do not know"),
        ("B", "Bananas"),
    ],
    "json": [
        ('{"a": 1}', '{"a": 2}'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": 1}', "{}"),
        ('{"a": 1}', '{"a": 2, "a": 1}'),
        ('{"a": 1}', "{'a': 1}"),
        ('{"a": 1}', '{"a": 1,}'),
        ("[1, 2]", "[2, 1]"),
        ("[1, 2]", "[1, 2, 3]"),
        ("[1, 2]", "1, 2"),
        ("null", ""),
        ("[1]", "[" * 5000),
        ("1", "NaN"),
        ("1", "1e999999999"),
        ('{"a": 1}', '```json\n{"a": 1}\n```\nNo:\n```json\n{"a": 2}\n```'),
    ],
    "regex": [
        (r"\d{4}-\d{2}-\d{2}", "2024-2-29"),
        (r"\d{4}-\d{2}-\d{2}", "On 2024-02-29 it happened"),
        (r"cat|dog", "catdog"),
        (r"cat|dog", "cats"),
        (r"a.b", "a\nb"),
        (r"colou?r", "Color"),
        (r"x", ""),
        (r"x", "\ud800"),
    ],
}


def cases(table: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, str]]:
    return [(grader, expected, reply) for grader, rows in table.items() for expected, reply in rows]


@pytest.mark.parametrize(("grader", "expected", "reply"), cases(RIGHT))
def test_a_right_answer_is_right_however_it_is_dressed(grader: str, expected: str, reply: str) -> None:
    assert grade(grader, expected, reply) is True


@pytest.mark.parametrize(("grader", "expected", "reply"), cases(WRONG))
def test_a_wrong_answer_is_wrong(grader: str, expected: str, reply: str) -> None:
    assert grade(grader, expected, reply) is False


@pytest.mark.parametrize(
    ("grader", "expected", "because"),
    [
        ("oracle", "42", "exact, numeric, choice"),
        ("numeric", "forty-two", "no number"),
        ("numeric", "42 parsecs", "does not know: 'parsecs'"),
        ("numeric", "42 \u00b1", "no number"),
        ("json", "{", "no JSON"),
        ("json", "NaN", "no JSON"),
        ("json", '{"a": 1, "a": 1}', "no JSON"),
        ("regex", "(", "missing"),
        ("regex", "a)(b", "no pattern"),
        ("regex", r"(a)\1", "invalid escape"),
        ("regex", "(?=a)", "invalid perl operator"),
        ("regex", " ", "empty"),
        ("regex", "(?:(?:a{1000}){1000}){1000}", "no pattern"),
        ("code", "", "no tests"),
        ("code", "assert f(", "no tests"),
        ("code", "import os", "no assertion"),
        ("code", "assert f(1) == g(1)", "no literal"),
        ("code", "-" * 100_000, "no tests"),
        ("choice", "BC", "A to J"),
        ("choice", "Z", "A to J"),
        ("exact", " ?! ", "empty"),
    ],
)
def test_an_unusable_question_is_refused(grader: str, expected: str, because: str) -> None:
    with pytest.raises(BadRows, match=because):
        grade(grader, expected, "42")
    with pytest.raises(BadRows, match=because):
        check(grader, expected)


@given(
    st.sampled_from(
        [("exact", "x"), ("numeric", "1.5"), ("numeric", "2 km"), ("choice", "A"), ("json", "[1]"), ("regex", "x+")]
    ),
    st.text(max_size=400),
)
def test_no_reply_is_an_error(question: tuple[str, str], reply: str) -> None:
    grader, expected = question
    assert grade(grader, expected, reply) in {True, False}


@pytest.mark.parametrize("grader", [grader for grader in GRADERS if grader != "code"])
@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "1,111",
        ",111",
        "1 ",
        "- ",
        "answer ",
        "answer is ",
        "A ",
        "**",
        "\\frac{",
        "1/1",
        " \n",
        "=",
        "a a",
        "[",
        "{",
        "```\n",
        "5 km",
    ],
)
def test_a_hostile_reply_takes_no_long_time(grader: str, piece: str) -> None:
    hostile = {"exact": "x", "numeric": "7 km", "choice": "A", "json": "[1]", "regex": "(.*.*)*(a|a)*$"}
    expected = hostile[grader]
    grade(grader, expected, "")  # what is loaded once
    began = time.process_time()
    grade(grader, expected, piece * 1_000_000)
    assert time.process_time() - began < 1.0
