"""`model_performance_history` by day: a day that nothing happened to is neither read nor computed again."""

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.scoring import days as day_tables
from analytics.scoring.publish import Part
from analytics.scoring.state import State
from analytics.scoring.tables import compute, needed, scoring_sql

HISTORY = "model_performance_history"
TOTALS = "daily_totals"
_VOTED = ("model", "created_at", "rating_micros")  # what history reads of votes


def history(state: State, named: Mapping[str, pa.Table], votes: pa.Table, values: Mapping[str, Any]) -> list[Part]:
    """The parts of one kind's history, a day each and one at least, the days in order.

    A day rests on its totals, on the ratings that were given on it, and on the models and domains that names stand for. Making a part
    raises `StateDamaged` where the totals of its day cannot be read.
    """
    files = state.tables.get(TOTALS, {})
    given = {name: named[name] for name in ("model_names", "event_domains")}
    rated = _by_day(votes.select(_VOTED))
    rules = [scoring_sql()[name] for name in needed([HISTORY], (*given, TOTALS, "votes"))]
    parts = []
    for day in sorted({*files, *rated}) or [""]:
        opinions = rated.get(day, votes.slice(0, 0))
        rests_on = [*rules, state.era, state.mapping, files.get(day), _digest(opinions)]
        digest = hashlib.sha256(json.dumps(rests_on).encode()).hexdigest()
        make = partial(_made, state, files.get(day), {**given, "votes": opinions}, values)
        parts.append(Part(day or "none", digest, make))
    return parts


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


def _made(state: State, file: str | None, given: Mapping[str, pa.Table], values: Mapping[str, Any]) -> pa.Table:
    totals = day_tables.empty(TOTALS) if file is None else day_tables.read(state.directory, file)
    return compute([HISTORY], {**given, TOTALS: totals}, values)[HISTORY]
