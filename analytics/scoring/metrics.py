"""`window_metrics` of all keys: the rows of touched keys computed anew, put in place of those that were there.

What was computed is kept beside the state as a matrix of 64-bit columns in a file that is changed in place, so that a refresh costs what it
touched::

    cache-metrics-<kind>.bin     [columns, room]: who a row is of, its check, and the columns of the table; NaN is null
    cache-metrics-<kind>.json    of which generation and boot it is; not there while the matrix is being changed

A cache: where it is of another generation, the machine was restarted since (it is never synced), or a check fails, all keys are computed.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analytics.durable import make_directory
from analytics.scoring.measures import COLUMNS, VERSION, measures
from analytics.scoring.rings import WINDOWS
from analytics.scoring.state import State
from analytics.scoring.windows import Batch, batches

Ints = npt.NDArray[np.int64]

_ALL = "all"
_CODE, _CHECK, _FIRST = 0, 1, 2  # the code: window 8 bits, domain + 1 24 bits, model above
_HEIGHT = _FIRST + len(COLUMNS)
_HOLE = -1  # the code of a place without a row
_WEIGHTS = np.random.default_rng(17).integers(1, 1 << 62, 1024) | 1  # odd: a changed bit always changes the check
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, eq=False)
class WindowMetrics:
    """`window_metrics` in the order of model, domain and window, the rows of all time last; `changed` are those computed just now."""

    rows: pa.Table
    changed: pa.Table

    def by_window(self, kind: bool, *, changed: bool = False) -> pa.Table:
        """What model_metrics_by_window.sql makes of them."""
        table = self.changed if changed else self.rows
        if changed:
            table = table.filter(pc.not_equal(table.column("window_name"), _ALL))
        else:
            of_all_time = pc.index(table.column("window_name"), _ALL).as_py()
            table = table.slice(0, table.num_rows if of_all_time < 0 else of_all_time)
        first = {name: table.column(name) for name in ("model", "domain", "window_name")}
        first["is_simulated"] = pa.repeat(pa.scalar(kind), table.num_rows)
        return pa.table(first | {name: table.column(name) for name in table.column_names if name not in first})


class Metrics:
    """The kept matrices in the state's directory; `generation` is the one that they have to be of."""

    def __init__(self, directory: Path, generation: int) -> None:
        self._directory = directory
        self._generation = generation

    def refreshed(self, state: State, kind: int, touched: Ints | None) -> WindowMetrics:
        """`window_metrics` of one kind as of now; raises `StateDamaged`."""
        path = self._directory / f"cache-metrics-{('real', 'simulated')[kind]}"
        kept = None if touched is None else _open(path, self._generation)
        parts = [_part(batch) for batch in batches(state, kind, None if kept is None else touched)]
        part = np.concatenate(parts, axis=1)
        del parts
        path.with_suffix(".json").unlink(missing_ok=True)
        matrix = _changed(path, kept, kind, touched, part)
        rows = _ordered(matrix, state)
        path.with_suffix(".json").write_text(_mark(state.generation, matrix.shape[1]), encoding="utf-8")
        return WindowMetrics(rows, rows if kept is None else _ordered(part, state))


def _part(batch: Batch) -> Ints:
    """The rows of a batch as they lie in the matrix."""
    made = np.empty((_HEIGHT, len(batch.model)), np.int64)
    made[_CODE] = (batch.model << 32) | ((batch.domain + 1) << 8) | batch.window
    for at, values in enumerate(measures(batch.moments, batch.figures), _FIRST):
        made[at] = values
    made[_CHECK] = _checks(made)
    return made


def _mark(generation: int, room: int) -> str:
    boot = _BOOT.read_text(encoding="utf-8") if _BOOT.exists() else ""
    return json.dumps([generation, boot, room, COLUMNS.names, VERSION])


def _open(path: Path, generation: int) -> npt.NDArray[np.int64] | None:
    """The matrix, if it is whole and of that generation."""
    try:
        mark = path.with_suffix(".json").read_text(encoding="utf-8")
        room = json.loads(mark)[2]
        if mark != _mark(generation, room):
            return None
        matrix = np.memmap(path.with_suffix(".bin"), np.int64, "r+", shape=(_HEIGHT, room))
    except (OSError, ValueError, TypeError):
        return None
    return matrix if np.array_equal(matrix[_CHECK], _checks(matrix)) else None


def _checks(matrix: Ints) -> Ints:
    """Of each row a number that no single changed bit leaves as it is; 0 for a hole."""
    made = matrix[_CODE] * _WEIGHTS[_CODE]
    for at in range(_FIRST, len(matrix)):
        made += matrix[at] * _WEIGHTS[at]
    return np.where(matrix[_CODE] == _HOLE, 0, made)


def _changed(path: Path, kept: Ints | None, kind: int, touched: Ints | None, part: Ints) -> Ints:
    """The matrix with these rows in place of those of the touched keys; its file is made anew where it has no room for them."""
    wanted = part.shape[1]
    if kept is None or touched is None:
        matrix, free = _made(path, wanted, None), np.arange(wanted)
    else:
        mine = touched[touched[:, 0] == kind]
        is_old = np.isin(kept[_CODE] >> 8, (mine[:, 1] << 24) | (mine[:, 2] + 1)) & (kept[_CODE] != _HOLE)
        kept[:2, is_old] = [[_HOLE], [0]]
        matrix, free = kept, np.flatnonzero(kept[_CODE] == _HOLE)
        if len(free) < wanted:
            matrix = _made(path, kept.shape[1] + wanted, kept)
            free = np.flatnonzero(matrix[_CODE] == _HOLE)
        free = free[:wanted]
    for at in range(_HEIGHT):
        matrix[at, free] = part[at]
    return matrix


def _made(path: Path, rows: int, kept: Ints | None) -> Ints:
    """A file with room for more than so many rows, those of `kept` in it."""
    room = rows * 5 // 4 + 1024
    make_directory(path.parent)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        os.posix_fallocate(
            file.fileno(), 0, _HEIGHT * room * 8
        )  # a disk that is full shows here, not as a signal at a page
    matrix = np.memmap(draft, np.int64, "r+", shape=(_HEIGHT, room))
    matrix[_CODE] = _HOLE
    if kept is not None:
        matrix[:, : kept.shape[1]] = kept
    draft.replace(path.with_suffix(".bin"))
    return matrix


def _ordered(matrix: Ints, state: State) -> pa.Table:
    """The rows of the matrix as a table."""
    at = np.flatnonzero(matrix[_CODE] != _HOLE)
    code = matrix[_CODE][at]
    models, domains = ([text for _, text in one.values] for one in (state.keys.models, state.keys.domains))
    model, domain, window = code >> 32, ((code >> 8) & 0xFFFFFF) - 1, code & 0xFF
    place = np.append(_ranks(domains), len(domains))[domain]  # a null domain, number -1, comes last
    rank = (window == list(WINDOWS).index(_ALL)).astype(np.int64) << 60 | _ranks(models)[model] << 28 | place << 4
    order = np.argsort(rank | _ranks(list(WINDOWS))[window])
    at, model, domain, window = at[order], model[order], domain[order], window[order]
    texts = {
        "window_name": _taken([*WINDOWS], window),
        "model": _taken(models, model),
        "domain": _taken([*domains, None], np.where(domain < 0, len(domains), domain)),
    }
    measured = {field.name: _column(matrix[number][at], field.type) for number, field in enumerate(COLUMNS, _FIRST)}
    return pa.table(texts | measured)


def _column(values: Ints, kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        return pa.array(values.view(np.float64), from_pandas=True)
    return pa.array(values).cast(kind)


def _taken(texts: Sequence[str | None], at: npt.NDArray[Any]) -> pa.Array:
    return pa.array(texts, pa.string()).take(pa.array(at))


def _ranks(texts: Sequence[str | None]) -> Ints:
    ranks = np.empty(len(texts), np.int64)
    ranks[sorted(range(len(texts)), key=lambda at: str(texts[at]))] = np.arange(len(texts))
    return ranks
