"""Benchmark results as they count now: without those of deleted runs, and at corrected prices."""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from analytics import duck, sqlfiles
from analytics.lake import Lake, Reading

_PRICED_BY = ("id", "cost_source", "price_id", "input_tokens", "cached_input_tokens", "output_tokens")


def read_results(lake: Lake, *, since: datetime | None = None, columns: Sequence[str] | None = None) -> Reading:
    """The rows of `benchmark_results` that count, as `Lake.read` gives them (with `columns`: these, and what it took to find them).

    `cost_usd` is by the newest correction of its price. What was computed at the time stays in the lake and in the store.
    """
    needed = None if columns is None else {*columns, "run_id", *(_PRICED_BY if "cost_usd" in columns else ())}
    reading = lake.read("benchmark_results", since=since, columns=None if needed is None else sorted(needed))
    deleted = lake.read("tombstones", columns=["run_id"])
    rows = reading.rows.filter(pc.invert(pc.is_in(reading.rows["run_id"], deleted.rows["run_id"].combine_chunks())))
    corrupt = (*reading.corrupt, *deleted.corrupt)
    if needed is None or "cost_usd" in needed:
        repricings = lake.read("repricings")
        rows, corrupt = _at_corrected_prices(rows, repricings.rows), (*corrupt, *repricings.corrupt)
    return Reading(rows, corrupt)


def _at_corrected_prices(results: pa.Table, repricings: pa.Table) -> pa.Table:
    if not repricings.num_rows:
        return results
    with duck.open_engine() as engine:
        engine.register("benchmark_results", results)
        engine.register("repricings", repricings)
        costs = duck.select(engine, sqlfiles.files("scoring")["repriced_costs"].read_text(encoding="utf-8"), {})
    place = pc.index_in(results["id"], costs["id"].combine_chunks())
    corrected = costs["cost_usd"].combine_chunks().take(place.combine_chunks())
    now = pc.if_else(pc.is_valid(place), corrected, results["cost_usd"])
    return results.set_column(results.column_names.index("cost_usd"), results.schema.field("cost_usd"), now)
