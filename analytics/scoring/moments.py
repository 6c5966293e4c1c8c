"""Counts and exact sums of rows, by group, in whole numbers: they add up, and subtract, in any order.

A group is a row of int64 columns: the counts, then each sum in two limbs (sum = high * 2^40 + low, 0 <= low < 2^40: sums of squares pass
64 bits), then `last_seen` (microseconds since the epoch of the newest row; 0: no row). A group that is kept also says where the entries of its
histogram lie: `AT` and `LENGTH`, in entries, and `PRINT`, what `entries.prints` says of them. A check of all that comes last.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.scoring.entries import lengths
from analytics.scoring.reading import METRICS, OUTCOMES, Bools, Numbers, Rows

COUNTS = (
    "requests", "succeeded", "incomplete", "failed", "graded", "correct",
    *(f"{metric}_n" for metric in METRICS), "cost_n", "tokens_n", "output_n", "confidence_n",
)  # fmt: skip
SUMS = (
    *(f"{metric}_{kind}" for metric in METRICS for kind in ("sum", "squares")),
    "cost_sum", "tokens_sum", "output_sum", "confidence_sum",
)  # fmt: skip
HIGH, LOW = len(COUNTS), len(COUNTS) + len(SUMS)
LAST = LOW + len(SUMS)
AT, LENGTH, PRINT = LAST + 1, LAST + 2, LAST + 3
LIST = slice(AT, PRINT + 1)
CHECK = PRINT + 1
WIDTH = CHECK + 1

_BITS = 40
_MASK = (1 << _BITS) - 1
_SALT = np.int64(0x1E3779B97F4A7C15)  # odd: no slot has a check of 0
_WEIGHTS = np.random.default_rng(16).integers(1, 1 << 62, CHECK) | 1  # odd: a changed bit always changes the check

Ints = npt.NDArray[np.int64]


def moments(rows: Rows, starts: Ints, order: Ints | None) -> Ints:
    """The moments, int64[len(starts), WIDTH], of the runs of rows that begin at `starts`; with `order`, of the rows taken in it."""
    made = np.zeros((WIDTH, len(starts)), np.int64).T  # written column by column
    sizes = lengths(starts, len(rows))
    longest = int(sizes.max(initial=0))
    run = np.repeat(np.arange(len(starts)), sizes)
    if order is not None:
        run[order] = run.copy()
    counted: dict[int, tuple[Bools, Ints]] = {}  # most columns are known in the same rows, and share their mask

    def count(name: str, mask: Bools | None) -> None:
        if mask is not None and id(mask) not in counted:
            counted[id(mask)] = mask, _counts(mask, run, sizes)
        made[:, COUNTS.index(name)] = sizes if mask is None else counted[id(mask)][1]

    def add(name: str, values: Ints) -> None:
        given = values if order is None else values[order]
        wanted = [SUMS.index(one) for one in (f"{name}_sum", f"{name}_squares") if one in SUMS]
        for at, total in zip(wanted, _exact_sums(given, starts, longest), strict=False):
            made[:, HIGH + at], made[:, LOW + at] = total >> _BITS, total & _MASK

    count("requests", None)
    for code, name in enumerate(("succeeded", "incomplete", "failed")):
        assert OUTCOMES[code][:6] == {"succeeded": "ok", "incomplete": "incomp", "failed": "failed"}[name]
        count(name, rows.outcome == code)
    graded = rows.numbers["correct"]
    count("graded", graded.known)
    count("correct", graded.values.astype(np.bool_, copy=False))
    output = rows.numbers["output_tokens"]
    measures = {metric: rows.numbers[f"{metric}_ticks"] for metric in METRICS} | {
        "cost": rows.numbers["cost_nanos"],
        "tokens": _both(rows.numbers["input_tokens"], output),
        "output": output.where(rows.outcome == 0),
        "confidence": rows.numbers["confidence_micros"],
    }
    for name, measure in measures.items():
        count(f"{name}_n", measure.known)
        if measure.known is None or measure.known.any():
            add(name, measure.values.astype(np.int64, copy=False))
    made[:, LAST] = np.maximum.reduceat(rows.created_at if order is None else rows.created_at[order], starts)
    return made


def _both(one: Numbers, other: Numbers) -> Numbers:
    return Numbers(one.values + other.values, None).where(one.known).where(other.known)


def _counts(mask: Bools, run: Ints, sizes: Ints) -> Ints:
    """How often `mask` is set in each run (`run` is of each row), counted by what is rarer, set or not."""
    is_rare = 2 * np.count_nonzero(mask) < len(mask)
    found = np.bincount(run[np.flatnonzero(mask if is_rare else ~mask)], minlength=len(sizes))
    return found if is_rare else sizes - found


def _exact_sums(values: Ints, starts: Ints, longest: int) -> Iterator[npt.NDArray[Any]]:
    """The sums of values (0 and above) over each run, then those of their squares; of Python's own integers where 63 bits may not do."""
    greatest = int(values.max(initial=0))
    for power in (1, 2):
        if greatest**power * longest < 1 << 63:
            yield _sums(values if power == 1 else values * values, starts)
        else:
            yield np.add.reduceat(values.astype(object) ** power, starts)  # slow, and never wrong


def _sums(values: Ints, starts: Ints) -> Ints:
    """The sum of each run, none of 2^63 or more: what a running total grows by. That may pass 64 bits, its differences are right."""
    found: Ints = np.cumsum(values)[np.append(starts[1:], len(values)) - 1]
    found[1:] -= found[:-1].copy()
    return found


def settle(table: Ints) -> None:
    """Carry what low limbs hold above 40 bits (or below zero) into the high ones, in place."""
    low = table[..., LOW:LAST]
    table[..., HIGH:LOW] += low >> _BITS
    low &= _MASK


def checks(table: Ints, slots: Ints) -> Ints:
    """The check of each group, which lies in that slot: a group that was lost, or that belongs elsewhere, has another."""
    found: Ints = table[..., :CHECK] @ _WEIGHTS + (slots + 1) * _SALT
    return found


def decimals(table: Ints, name: str) -> pa.Array:
    """A sum as DECIMAL(38, 0)."""
    at = SUMS.index(name)
    high, low = table[:, HIGH + at], table[:, LOW + at]
    words = np.empty((len(table), 2), np.int64)
    words[:, 0] = (high << _BITS) | low
    words[:, 1] = high >> (64 - _BITS)
    return pa.Array.from_buffers(pa.decimal128(38, 0), len(table), [None, pa.py_buffer(words)])


def from_columns(table: pa.Table) -> Ints:
    """The moments of groups from the columns that `integers` and `decimals` made, and `last_seen`; a column that is not there is 0."""
    made = np.zeros((table.num_rows, WIDTH), np.int64)
    for at, name in enumerate(COUNTS):
        if name in table.column_names:
            made[:, at] = table.column(name).to_numpy()
    for at, name in enumerate(SUMS):
        if name in table.column_names and table.num_rows:
            whole = table.column(name).combine_chunks().cast(pa.decimal128(38, 0))
            words = np.frombuffer(whole.buffers()[1], np.int64).reshape(-1, 2)[whole.offset :][: len(whole)]
            made[:, LOW + at] = words[:, 0] & _MASK
            made[:, HIGH + at] = (words[:, 1] << (64 - _BITS)) | (words[:, 0] >> _BITS & ((1 << (64 - _BITS)) - 1))
    made[:, LAST] = table.column("last_seen").to_numpy()
    return made


def integers(table: Ints, names: Sequence[str] = COUNTS) -> dict[str, pa.Array]:
    """Counts as int64 arrays by name."""
    return {name: pa.array(np.ascontiguousarray(table[:, COUNTS.index(name)])) for name in names}
