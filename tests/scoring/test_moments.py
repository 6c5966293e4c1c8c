"""The arrays that rows become sums by, against Python's own numbers, one row at a time."""

import math
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.scoring import moments as sums
from analytics.scoring.keys import Keys, group
from analytics.scoring.reading import METRICS, Numbers, Rows, Texts, rounded

TIES = [
    0.49999999999999994, 0.5, math.nextafter(0.5, 1), 1.5, 2.5, math.nextafter(2.5, 0), math.nextafter(2.5, 3),
    2.0**51 + 0.5, 2.0**51 - 0.25, 2.0**52 - 0.5, 2.0**52 - 1, 2.0**50 + 0.25, 2.0**50 + 0.75,
]  # fmt: skip


@pytest.mark.parametrize("value", TIES)
def test_a_half_is_rounded_up_and_what_is_just_below_it_down(value: float) -> None:
    assert rounded(np.array([value]), 1).tolist() == [int(Decimal(value).quantize(Decimal(1), ROUND_HALF_UP))]


def test_whole_numbers_are_rounded_as_other_numbers_are() -> None:
    """A file of somebody else's may hold milliseconds as integers."""
    assert rounded(np.array([0, 3, 100_000_000]), 100).tolist() == [0, 300, 10_000_000_000]


@given(
    st.floats(0, 2.0**52, exclude_max=True)
    | st.builds(
        lambda whole, towards: math.nextafter(whole + 0.5, towards * (whole + 0.5)),
        st.integers(0, 2**52 - 1),
        st.sampled_from([0, 1, 2]),
    )
)
def test_every_measure_is_rounded_to_the_nearest_whole_number(value: float) -> None:
    assert rounded(np.array([value]), 1).tolist() == [math.floor(Fraction(value) + Fraction(1, 2))]


def a_number(dice: np.random.Generator, size: int, top: int, share: float | None) -> Numbers:
    values = dice.integers(0, top, size)
    if share is None:
        return Numbers(values, None)
    known = dice.random(size) < share
    return Numbers(np.where(known, values, 0), known)


def some_rows(seed: int, size: int, top: int) -> Rows:
    """Rows of few names, in their order as in a lake file; measures below `top`, unknown here and there."""
    dice = np.random.default_rng(seed)
    models, makers, domains, tasks = (
        dice.integers(low, high, size).astype(np.int32) for low, high in ((0, 4), (-1, 2), (-1, 3), (-1, 2))
    )
    order = np.lexsort((domains, models))
    texts = {
        "provider_name": Texts(makers, ["x", "y"]),
        "model_name": Texts(models[order], ["d", "a", "c", "b"]),
        "domain": Texts(domains[order], ["math", "code", "law"]),
        "task_type": Texts(tasks, ["ask", "tell"]),
    }
    common = dice.random(size) < 0.9
    numbers = {
        f"{metric}_ticks": Numbers(np.where(common, dice.integers(0, top, size), 0), common) for metric in METRICS
    }
    numbers |= {
        "cost_nanos": a_number(dice, size, top, 0.1),
        "input_tokens": a_number(dice, size, 1_000, 0.8),
        "output_tokens": a_number(dice, size, 1_000, 0.7),
        "confidence_micros": a_number(dice, size, 1_000_000, 0.0),
        "correct": a_number(dice, size, 2, 0.5),
    }
    return Rows(
        "live", texts, dice.random(size) < 0.5, dice.integers(0, 4, size).astype(np.int8), dice.integers(1, 10**15, size), numbers
    )  # fmt: skip


def plainly(rows: Rows, rings: np.ndarray) -> dict[tuple[object, ...], dict[str, int]]:
    """What the rows of each key and ring add up to."""
    made: dict[tuple[object, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for at in range(len(rows)):
        names = [[*rows.texts[name].values, None][rows.texts[name].codes[at]] for name in rows.texts]
        sums_of = made[*names, bool(rows.is_simulated[at]), int(rings[at])]
        sums_of["requests"] += 1
        outcome = int(rows.outcome[at])
        sums_of[["succeeded", "incomplete", "failed", "other"][outcome]] += 1
        told = {
            name: int(number.values[at])
            for name, number in rows.numbers.items()
            if number.known is None or number.known[at]
        }
        sums_of["graded"] += "correct" in told
        sums_of["correct"] += told.get("correct", 0)
        measures = {metric: told.get(f"{metric}_ticks") for metric in METRICS}
        measures |= {"cost": told.get("cost_nanos"), "confidence": told.get("confidence_micros")}
        if {"input_tokens", "output_tokens"} <= told.keys():
            measures["tokens"] = told["input_tokens"] + told["output_tokens"]
        if outcome == 0:
            measures["output"] = told.get("output_tokens")
        for name, value in measures.items():
            if value is not None:
                sums_of[f"{name}_n"] += 1
                sums_of[f"{name}_sum"] += value
                sums_of[f"{name}_squares"] += value * value
        sums_of["last"] = max(sums_of["last"], int(rows.created_at[at]))
    return made


@pytest.mark.parametrize(("size", "top"), [(1, 10), (700, 10**6), (700, 10**10), (40, 10**15)])
@pytest.mark.parametrize("rings", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_moments_are_what_python_counts_row_by_row(size: int, top: int, rings: int, seed: int) -> None:
    rows, keys = some_rows(seed, size, top), Keys()
    ring_of = np.random.default_rng(seed).integers(0, rings, size)
    groups = group(rows, ring_of, keys)
    table = sums.moments(rows, groups.starts, groups.order)
    number = keys.numbers(groups.codes)
    keys.requests = np.bincount(number, minlength=len(keys))  # so that all are told
    told = keys.seen().to_pylist()
    expected = plainly(rows, ring_of)
    assert len(table) == len(expected), "each key and ring once"
    columns = ("provider_name", "model_name", "domain", "task_type", "is_simulated")
    for key, ring, row in zip(number.tolist(), groups.rings.tolist(), table.tolist(), strict=True):
        wanted = expected[*(told[key][name] for name in columns), ring]
        counts = dict(zip(sums.COUNTS, row, strict=False))
        assert counts == {name: wanted[name] for name in sums.COUNTS}
        for at, name in enumerate(sums.SUMS):
            assert (row[sums.HIGH + at] << 40) + row[sums.LOW + at] == wanted[name], name
        assert row[sums.LAST] == wanted["last"]


def test_rows_in_order_are_not_sorted() -> None:
    """Runs are found, not made, where names stand together: however short they are."""
    rows = some_rows(1, 200, 100)
    nothing = Texts(np.broadcast_to(np.int32(-1), 200), [])
    texts = {**rows.texts, "provider_name": nothing, "task_type": nothing}
    rows = Rows("live", texts, np.zeros(200, np.bool_), rows.outcome, rows.created_at, rows.numbers)
    assert group(rows, np.zeros(200, np.int64), Keys()).order is None
