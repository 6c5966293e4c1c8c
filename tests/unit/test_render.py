"""How things look: text from outside stays text."""

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

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
        (datetime(2026, 1, 1, 12, 30, 59, 912345, tzinfo=UTC), "2026-01-01T12:30:59Z"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00Z"),
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


MODELS: list[dict[str, Any]] = [
    {"id": "sim-borealis/borealis-mini-free", "capabilities": ["text", "vision"], "price": 0.15},
    {"id": "sim-cascade/deep \U0001f4a5", "capabilities": ["text", "function_calling", "long_context"], "price": None},
]


def printed(monkeypatch: pytest.MonkeyPatch, width: int | None) -> list[str]:
    """The lines of a table of models on a terminal of `width` columns, or where there is none."""
    shown = io.StringIO()
    here = render.Terminal(
        file=shown, force_terminal=width is not None, color_system=None, highlight=False, width=width or 150
    )
    monkeypatch.setattr(render, "out", here)
    render.show_rows("Models", MODELS, "")
    return shown.getvalue().splitlines()


def test_a_table_folds_between_words_to_fit_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, 64) == [
        "Models",
        "id                               capabilities              price",
        "sim-borealis/borealis-mini-free  text, vision               0.15",
        "sim-cascade/deep \U0001f4a5              text, function_calling,       -",
        "                                 long_context",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, None])
def test_no_width_cuts_a_word_in_two_or_ends_a_line_in_spaces(
    width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = printed(monkeypatch, width)
    words = {word for line in lines for word in line.split()}
    assert {"sim-borealis/borealis-mini-free", "capabilities", "function_calling,", "long_context", "0.15"} <= words
    assert lines == [line.rstrip() for line in lines]


def test_without_a_terminal_a_row_is_a_line_whatever_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS[0], "capabilities", [f"capability_{number}" for number in range(50)])
    lines = printed(monkeypatch, None)
    assert len(lines) == 2 + len(MODELS)
    assert "capability_0, " in lines[2]
    assert "capability_49" in lines[2]


def test_where_there_is_nothing_to_show_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    render.show_rows(None, [], "There is nothing.")
    shown, said = capsys.readouterr()
    assert (shown, said) == ("", "There is nothing.\n")
