"""Graders, each with a table of right and wrong replies."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.errors import BadRows
from analytics.grading import GRADERS, grade

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
        ("choice", "BC", "A to J"),
        ("choice", "Z", "A to J"),
        ("exact", " ?! ", "empty"),
    ],
)
def test_an_unusable_question_is_refused(grader: str, expected: str, because: str) -> None:
    with pytest.raises(BadRows, match=because):
        grade(grader, expected, "42")


@given(st.sampled_from([("exact", "x"), ("numeric", "1.5"), ("choice", "A")]), st.text(max_size=400))
def test_no_reply_is_an_error(question: tuple[str, str], reply: str) -> None:
    grader, expected = question
    assert grade(grader, expected, reply) in {True, False}


@pytest.mark.parametrize("grader", GRADERS)
@pytest.mark.parametrize(
    "piece",
    ["1", "1,111", ",111", "1 ", "- ", "answer ", "answer is ", "A ", "**", "\\frac{", "1/1", " \n", "=", "a a"],
)
def test_a_hostile_reply_takes_no_long_time(grader: str, piece: str) -> None:
    expected = {"exact": "x", "numeric": "7", "choice": "A"}[grader]
    began = time.process_time()
    grade(grader, expected, piece * 1_000_000)
    assert time.process_time() - began < 1.0
