"""What the lake reads from: any store row by row, and in bulk where the store can."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from analytics.lake.schema import from_copy, schema, to_arrow

_COPIED_AT_ONCE = 100_000  # rows: about 90 MB, twice: what is written, and what is coming


class Rows(Protocol):
    """What a store's `read` answers: rows in commit order and the number of the last one."""

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def watermark(self) -> int | None: ...


class Source(Protocol):
    """What the lake needs of a store."""

    def epoch(self) -> str: ...
    def read(self, table: str, after: int | None, limit: int = 10_000) -> Rows: ...
    def read_all(self, table: str) -> Sequence[Mapping[str, Any]]: ...


class Copied(Protocol):
    """Rows in the columns asked for, JSON as some text, and the number of the last one."""

    @property
    def rows(self) -> pa.Table: ...
    @property
    def watermark(self) -> int: ...


@runtime_checkable
class BulkSource(Protocol):
    """A store that may have a faster way to the same rows."""

    @property
    def can_copy(self) -> bool: ...
    def copy(self, table: str, columns: Sequence[str], after: int | None, limit: int) -> Copied | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Portion:
    """Some rows of an event table; `watermark` below the one before them: the store was put back, its numbers come again."""

    rows: pa.Table
    watermark: int | None


def portions(store: Source, table: str, after: int | None) -> Iterator[Portion]:
    """The rows of an event table behind a watermark, in the order in which they became visible. Raises what the store raises."""
    if isinstance(store, BulkSource) and store.can_copy:
        columns = schema(table).names
        for copied in _copied_ahead(store, table, columns, after):
            yield Portion(from_copy(table, copied.rows), copied.watermark)
        return
    while True:
        batch = store.read(table, after)
        stepped_back = after is not None and batch.watermark is not None and batch.watermark < after
        if batch.rows or stepped_back:
            after = batch.watermark
            yield Portion(to_arrow(table, batch.rows), after)
        else:
            return


def _copied_ahead(store: BulkSource, table: str, columns: Sequence[str], after: int | None) -> Iterator[Copied]:
    """One portion after the other, each being read while its user is at work on the one before."""
    with ThreadPoolExecutor(1, thread_name_prefix="copy") as reader:
        coming = reader.submit(store.copy, table, columns, after, _COPIED_AT_ONCE)
        while (copied := coming.result()) is not None:
            coming = reader.submit(store.copy, table, columns, copied.watermark, _COPIED_AT_ONCE)
            yield copied
