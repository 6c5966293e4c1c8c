"""Typed columns of one published snapshot as numpy arrays; what is not there, or of another type, is the snapshot's fault.

Numbers are float64 with NaN for unknown; what is not finite or outside its range counts as unknown, so that a poisoned
price or rating can never win.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .bits import Floats, Mask
from .published import Published, SnapshotUnreadable

Codes = NDArray[np.int32] | NDArray[np.int64]
_MOST = 1e15  # of anything that is measured or paid for; more is a poisoned figure


class Reader:
    """Reads one snapshot; raises `SnapshotUnreadable` that names its directory and what is wrong."""

    def __init__(self, published: Published, home: Path) -> None:
        self._published = published
        self._path = home / published.snapshot_id

    def unreadable(self, detail: str) -> SnapshotUnreadable:
        """The error for this snapshot, for the caller to raise; `detail` says what is wrong with it."""
        return SnapshotUnreadable("corrupt", self._path, detail)

    @contextmanager
    def blamed_for_types(self) -> Iterator[None]:
        """A column of another type than agreed is the snapshot's fault, not the reader's."""
        try:
            yield
        except (pa.ArrowException, ValueError, TypeError, AttributeError) as error:
            raise self.unreadable(
                f"a column is not of the agreed type ({' '.join(str(error).split())[:200]})"
            ) from error

    def table(self, name: str, columns: Sequence[str], *, further: Sequence[str] = ()) -> pa.Table:
        """The agreed columns of one table, and the `further` ones if any of them is there. A table that is not there is the
        snapshot's fault, though it might have been empty: without its rows the lookup would take everything for allowed.
        """
        if name not in self._published.tables:
            raise self.unreadable(f"it has no table {name}")
        table = self._published.tables[name]
        if any(column in table.column_names for column in further):
            columns = (*columns, *further)
        missing = [column for column in columns if column not in table.column_names]
        if missing:
            raise self.unreadable(f"table {name} has no column {', '.join(missing)}")
        return table.select(list(columns)).combine_chunks()

    def meta(self, name: str, default: Any, is_right: Callable[[Any], bool]) -> Any:
        """A value of the manifest, or `default` where it is missing. Raises SnapshotUnreadable unless it `is_right`."""
        value = self._published.meta.get(name, default)
        if not is_right(value):
            raise self.unreadable(f"the manifest's {name} makes no sense: {value!r}")
        return value

    def time(self, name: str) -> datetime:
        """A moment of the manifest, aware and in UTC; without a zone it is taken for UTC. Raises SnapshotUnreadable."""
        text = self.meta(name, None, lambda value: isinstance(value, str))
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            raise self.unreadable(f"the manifest's {name} is not a time: {text!r}") from None
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)

    def texts(self, table: pa.Table, name: str) -> list[str]:
        """A column of texts as a list, one for each row. Raises SnapshotUnreadable for an empty cell."""
        column = cast(table, name, text_type(table, name))
        if column.null_count:
            raise self.unreadable(f"column {name} has empty cells")
        texts: list[str] = column.to_pylist()
        return texts


def cast(table: pa.Table, name: str, wanted: pa.DataType) -> pa.Array:
    """One column as one array of the type wanted."""
    column = table[name].cast(wanted)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def floats(table: pa.Table, name: str, high: float = _MOST) -> Floats:
    """Numbers from 0 to `high`; everything else is unknown."""
    column: Floats = cast(table, name, pa.float64()).to_numpy(zero_copy_only=False)
    right = (column >= 0) & (column <= high)  # NaN is neither, and no bound is infinite
    return column.copy() if np.count_nonzero(right) == len(right) else np.where(right, column, np.nan)


def text_type(table: pa.Table, name: str) -> pa.DataType:
    """The type of texts, for a column that holds texts or nothing. Who may use what hangs on names: a number is no name."""
    held = table[name].type
    held = held.value_type if pa.types.is_dictionary(held) else held
    if not (pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_null(held)):
        raise TypeError(f"column {name} holds no text but {held}")
    return pa.string()


def booleans(table: pa.Table, name: str) -> pa.Array:
    """True and false; unknown is false."""
    held = table[name].type
    if table.num_rows and not (pa.types.is_boolean(held) or pa.types.is_null(held)):
        raise TypeError(f"column {name} is not true or false but {held}")
    return pc.fill_null(cast(table, name, pa.bool_()), False)


def mask(column: pa.Array) -> Mask:
    """A column of true and false without nulls as an array, one element for each row."""
    values: Mask = column.to_numpy(zero_copy_only=False)
    return values


def encoded(table: pa.Table, name: str) -> tuple[Codes, list[str | None]]:
    """A text column as codes and the values that they stand for, null being a value like others.

    The codes are as wide as they came, 32 bits: they are to be widened before anything is multiplied by them.
    """
    column = table[name]
    wanted = text_type(table, name)
    if not pa.types.is_dictionary(column.type):
        column = column.cast(wanted)
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # one without rows
        column = pa.array([], pa.string())
    column = pc.dictionary_encode(column, null_encoding="encode")
    values: list[str | None] = column.dictionary.to_pylist()
    codes = column.indices
    if codes.null_count:  # a column that came encoded keeps its nulls beside the values
        codes, values = pc.fill_null(codes, len(values)), [*values, None]
    return codes.to_numpy(zero_copy_only=False), values


def index_of(table: pa.Table, name: str, keys: pa.Array) -> NDArray[np.int32]:
    """Where each text of a column stands in `keys`; -1 where it does not."""
    codes, values = encoded(table, name)
    return places(pa.array(values, pa.string()), keys)[codes]


def places(texts: pa.Array, keys: pa.Array) -> NDArray[np.int32]:
    """Where each text stands in `keys`; -1 where it does not."""
    found = pc.fill_null(pc.index_in(texts, value_set=keys), -1)
    positions: NDArray[np.int32] = found.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    return positions


def is_amount(value: Any) -> bool:
    """Whether it is a finite number, 0 or more."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < np.inf


def is_object(value: Any) -> bool:
    """Whether it is a JSON object."""
    return isinstance(value, Mapping)
