"""`model_performance_history` by day: a day that nothing happened to is neither read nor computed again."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.scoring import days as day_tables
from analytics.scoring.publish import Parts
from analytics.scoring.state import State
from analytics.scoring.tables import compute, needed, scoring_sql

HISTORY = "model_performance_history"
TOTALS = "daily_totals"
_VOTED = ("model", "created_at", "rating_micros")  # what history reads of votes
_NO_DAY = "none"
_AT_ONCE = 200_000  # rows of totals: what SQL makes of them takes 100 MB


def history(state: State, named: Mapping[str, pa.Table], votes: pa.Table, values: Mapping[str, Any]) -> Parts:
    """The parts of one kind's history, a day each and one at least, the days in order.

    A day rests on its totals, on the ratings that were given on it, and on the models and domains that names stand for. Making parts
    raises `StateDamaged` where the totals of a day cannot be read.
    """
    files = state.tables.get(TOTALS, {})
    given = {name: named[name] for name in ("model_names", "event_domains")}
    rated = _by_day(votes.select(_VOTED))
    rules = [scoring_sql()[name] for name in needed([HISTORY], (*given, TOTALS, "votes"))]
    rests_on = {}
    for day in sorted({*files, *rated}) or [_NO_DAY]:
        document = [*rules, state.era, state.mapping, files.get(day), _digest(rated[day]) if day in rated else None]
        rests_on[day] = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    nobody = votes.select(_VOTED).slice(0, 0)

    def make(days: Sequence[str]) -> Iterator[pa.Table]:
        held: dict[str, pa.Table] = {}
        for number, day in enumerate(days, 1):
            held[day] = day_tables.read(state.directory, files[day]) if day in files else day_tables.empty(TOTALS)
            if number < len(days) and sum(table.num_rows for table in held.values()) < _AT_ONCE:
                continue
            opinions = pa.concat_tables([nobody, *(rated[day] for day in held if day in rated)])
            tables = {**given, TOTALS: pa.concat_tables(held.values()), "votes": opinions}
            yield from _split(compute([HISTORY], tables, values)[HISTORY], list(held))
            held = {}

    return Parts(rests_on, make)


def _split(table: pa.Table, days: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of each day, in the order that they have."""
    dates = table.column("date").cast(pa.int32()).to_numpy()
    order = np.argsort(dates, kind="stable")
    ordered, dates = table.take(pa.array(order)), dates[order]
    for day in days:
        if day == _NO_DAY:
            yield table.slice(0, 0)
            continue
        number = int(np.datetime64(day, "D").astype(np.int64))
        first, last = np.searchsorted(dates, [number, number + 1]).tolist()
        yield ordered.slice(first, last - first)


def _by_day(votes: pa.Table) -> dict[str, pa.Table]:
    if not votes.num_rows:
        return {}
    days = pc.strftime(votes.column("created_at"), "%Y-%m-%d").combine_chunks().dictionary_encode()
    order = np.argsort(days.indices.to_numpy(), kind="stable")
    ordered = votes.take(pa.array(order))
    counts = np.bincount(days.indices.to_numpy(), minlength=len(days.dictionary))
    ends = np.cumsum(counts)
    return {
        day: ordered.slice(int(end - count), int(count))
        for day, count, end in zip(days.dictionary.to_pylist(), counts, ends, strict=True)
    }


def _digest(opinions: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, opinions.schema) as writer:
        writer.write_table(opinions.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()
