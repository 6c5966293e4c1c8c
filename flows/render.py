"""How things look: data as tables or JSON on stdout, everything else on stderr.

Text from outside (a model's reply, an id) is stripped of control characters and never read as markup.
"""

import io
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SPACE = str.maketrans("\t\n\r", "   ")
_WIDE = 150  # columns of what is no table, where there is no terminal to measure
_GAP = "  "  # between two columns of a table


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
    """A table on stdout; numbers are right-aligned, None is a dash.

    A terminal folds it between words. Where that is not enough, or where there is no terminal, a row is one line, whatever
    its length: an id that is cut in two can be neither copied nor searched for.
    """
    cells = [list(row) for row in rows]
    texts = [[plain(column) for column in columns], *([plain(cell(value)) for value in row] for row in cells)]
    widths = _widths(texts, out.width if out.is_terminal else None)
    are_numeric = [_is_numeric([row[index] for row in cells]) for index in range(len(columns))]
    if title:
        out.print(plain(title), style="bold", soft_wrap=True)
    for number, row in enumerate(texts):
        folded = [
            [text] if text.cell_len <= width else list(text.wrap(out, width))
            for text, width in zip(row, widths, strict=True)
        ]
        for height in range(max(map(len, folded), default=0)):
            line = [lines[height] if height < len(lines) else Text() for lines in folded]
            for text, width, is_numeric in zip(line, widths, are_numeric, strict=True):
                text.rstrip()
                text.align("right" if is_numeric else "left", width)
            whole = Text(_GAP).join(line)
            whole.rstrip()
            out.print(whole, style="" if number else "dim", soft_wrap=True)


def _widths(texts: Sequence[Sequence[Text]], room: int | None) -> list[int]:
    """Columns that each column of a table gets: what its longest text takes, or less, down to its longest word, so that all
    fit in `room`. Where they cannot fit, or `room` is None, each gets all it takes.
    """
    whole = [max(text.cell_len for text in column) for column in zip(*texts, strict=True)]
    least = [
        max(cell_len(word) for text in column for word in (text.plain.split() or [""]))
        for column in zip(*texts, strict=True)
    ]
    gaps = len(_GAP) * (len(whole) - 1)
    if room is None or sum(least) + gaps > room:
        return whole
    widths = list(whole)
    while sum(widths) + gaps > room:
        widest = max((index for index in range(len(widths)) if widths[index] > least[index]), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def show_rows(title: str | None, rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """A table of uniform mappings; `empty` is said where there are none."""
    if not rows:
        say(empty)
        return
    columns = list(rows[0])
    show_table(title, columns, ([row[column] for column in columns] for row in rows))


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table for a display that changes: it stays within the terminal, and folds what is too wide."""
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
        numeric = _is_numeric([row[index] for row in cells])
        made.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        made.add_row(*(plain(cell(value)) for value in row))
    return made


def _is_numeric(values: Iterable[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known)


def cell(value: Any) -> str:
    """A value for a reader: three significant digits below 100, whole numbers above, yes and no, a dash for the unknown.

    A time is told in UTC to the second.
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (float, datetime)):
        return _rounded(value)
    if isinstance(value, Mapping) and all(isinstance(count, int) for count in value.values()):
        return ", ".join(f"{key} x{count}" for key, count in value.items())
    if isinstance(value, (list, tuple, set, Mapping)):
        return ", ".join(str(item) for item in value)
    return str(value)


def _rounded(value: float | datetime) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    at = value if value.tzinfo is None else value.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}{'' if value.tzinfo is None else 'Z'}"
