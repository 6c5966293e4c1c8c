"""How things look: data as tables or JSON on stdout, everything else on stderr.

Text from outside (a model's reply, an id) is stripped of control characters and never read as markup.
"""

import io
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SPACE = str.maketrans("\t\n\r", "   ")
_WIDE = 150  # columns of a table where there is no terminal to measure


class Terminal(Console):
    """rich's console, but that a reader who leaves is the caller's to judge: rich would end the program."""

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError to the caller, who then decides how the program ends."""
        raise BrokenPipeError


# A caller that closed one of them wants to hear nothing there.
sys.stdout = sys.stdout or io.StringIO()
sys.stderr = sys.stderr or io.StringIO()

out = Terminal(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else _WIDE)
err = Terminal(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WIDE)


def plain(value: object) -> Text:
    """`value` as text that cannot move the cursor, hide itself or style anything."""
    return Text(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", _writable(value).translate(_SPACE)))


def say(message: str) -> None:
    """One line for a person, on stderr."""
    err.print(plain(message), soft_wrap=True)


def show_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(_json(value, orjson.OPT_INDENT_2))


def show_json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line on stdout."""
    for row in rows:
        sys.stdout.write(_json(row))


def _json(value: Any, option: int = 0) -> str:
    try:
        text = orjson.dumps(value, option=option, default=str)
    except orjson.JSONEncodeError:  # half a surrogate pair or a number beyond 64 bits: the slower writer takes them
        text = json.dumps(value, indent=2 if option else None, default=str).encode()
    return text.decode() + "\n"


def _writable(value: object) -> str:
    """Text that any UTF-8 terminal takes: an argument that was no UTF-8 arrives as half a surrogate pair."""
    return str(value).encode("utf-8", "replace").decode()


def show_table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on stdout; numbers are right-aligned, None is a dash."""
    out.print(table(title, columns, rows))


def show_rows(title: str | None, rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """A table of uniform mappings; `empty` is said where there are none."""
    if not rows:
        say(empty)
        return
    columns = list(rows[0])
    show_table(title, columns, ([row[column] for column in columns] for row in rows))


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """The rich table behind `show_table`, for a display that changes."""
    cells = [list(row) for row in rows]
    made = Table(
        title=plain(title) if title else None,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
    )
    for index, column in enumerate(columns):
        values = [row[index] for row in cells if row[index] is not None]
        numeric = bool(values) and all(
            isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
        )
        made.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        made.add_row(*(plain(cell(value)) for value in row))
    return made


def cell(value: Any) -> str:
    """A value for a reader: three significant digits below 100, whole numbers above, yes and no, a dash for the unknown."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if isinstance(value, Mapping) and all(isinstance(count, int) for count in value.values()):
        return ", ".join(f"{key} x{count}" for key, count in value.items())
    if isinstance(value, (list, tuple, set, Mapping)):
        return ", ".join(str(item) for item in value)
    return str(value)
