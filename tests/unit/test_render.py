"""How things look: text from outside stays text."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from flows import render

NASTY = [
    "\x1b[2J\x1b[H", "\x1b]0;title\x07", "\x9b31m", "a\rb", "a\nfake line", "a\x08\x08b", "\x00", "\x7f", "\u202egnp.exe", "\u2066x", "\u2028y",
    "\x85z", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_text_from_outside_cannot_move_the_cursor(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    render.show_table(text, ("model",), [(f"[bold]{text}[/nope]",)])
    render.say(text)
    shown, said = capfd.readouterr()
    for printed in (shown, said):
        assert all(character == "\n" or character.isprintable() for character in printed), repr(printed)
    assert "[bold]" in shown
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (0.0, "0"),
        (1234567, "1234567"),
        (1234.5, "1,234"),
        (12.3456, "12.3"),
        (0.000123456, "0.000123"),
        ([], ""),
        (["a", "b"], "a, b"),
        ({"200": 3}, "200 x3"),
        ("text", "text"),
    ],
)
def test_a_cell_says_what_a_reader_needs(value: object, shown: str) -> None:
    assert render.cell(value) == shown


def test_json_is_one_document_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    value = {
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "price": Decimal("0.1"),
        "big": 2**70,
        "half": "\ud800",
        "none": None,
    }
    render.show_json(value)
    assert json.loads(capsys.readouterr().out) | {"at": ""} == {
        "at": "",
        "price": "0.1",
        "big": 2**70,
        "half": "\ud800",
        "none": None,
    }


def test_json_lines_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    render.show_json_lines([{"a": "x\ny"}, {"a": None}])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"a": "x\ny"}, {"a": None}]


def test_numbers_stand_to_the_right_and_names_to_the_left() -> None:
    made = render.table(None, ("name", "n"), [("a", 1), ("b", None)])
    assert [column.justify for column in made.columns] == ["left", "right"]


def test_where_there_is_nothing_to_show_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    render.show_rows(None, [], "There is nothing.")
    shown, said = capsys.readouterr()
    assert (shown, said) == ("", "There is nothing.\n")
