"""The scoring snapshot in memory: experience, found by (scope, name, agent, tenant), and how each model behaves.

It stands by itself: models are places in the snapshot's own list of names, so that a new catalog costs no second reading.
Rows of `routing_scores` that the lookup uses, one per model and group:

- scope `overall`: everyone's whole record, with the measured figures (`MEASURED`)
- scope `task`, `task_type` a task: ratings (evidence feedback or mixed) of everyone; with `agent` and/or `tenant_id`, of
  that agent and/or tenant alone. A task's rows that rest on benchmarks alone are kept as `task_benchmarks`.
- scope `domain`, `task_type` a domain: graded answers of everyone

`quality` lies on 0..1, `quality_n` is how much it rests on (more than 0 to count), `quality_se` its standard error (null: the
widest possible), `quality_low` and `quality_high` its interval, `evidence` one of `EVIDENCE`. These are plain means.
`learned_quality` and its `learned_n`, `learned_se`, `learned_low`, `learned_high` are the same shrunk to broader evidence, recent
evidence counting more: shrinking and decay are the scorer's, and policies that fade read these. `own_share` of it rests on the
row's own ratings, `learned_basis` says what most of it rests on. A snapshot without these columns has the plain means alone.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .bits import Floats, Positions
from .published import Published
from .reader import Codes, Reader, cast, encoded, floats

EVIDENCE = ("feedback", "benchmark", "mixed")
# How each model behaved lately: `requests` of the last `window_days`, and what was measured of them.
MEASURED = (
    *("window_days", "requests", "failure_rate", "latency_p50_ms", "latency_p95_ms", "ttft_p50_ms", "ttft_p95_ms"),
    *("tps_mean", "cost_per_query"),
)
_SHARES = {"failure_rate"}  # lie on 0..1
_KEYS = ("scope", "task_type", "agent", "tenant_id")
_LEARNED = ("learned_quality", "learned_n", "learned_se", "learned_low", "learned_high", "own_share", "learned_basis")
_COLUMNS = (
    *("model", *_KEYS, "quality", "quality_n", "quality_se", "quality_low", "quality_high", "evidence", *MEASURED),
    "last_seen",
)


class Group(NamedTuple):
    """Whose experience: `scope` overall, task, task_benchmarks or domain; `name` of the task or domain."""

    scope: str
    name: str | None = None
    agent: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Experience:
    """The rows of all groups: parallel columns, by group and then `model` (a place in the snapshot's list).

    `n` is an exact count, `worth` what the quality is worth in ratings (the same where it is a plain mean). `quality`, `n`,
    `worth` and `se` have one entry more, the last: NaN, what is known of a model without a row.
    """

    groups: "Groups"
    model: NDArray[np.int32]
    quality: Floats
    n: Floats
    worth: Floats
    se: Floats
    low: Floats
    high: Floats
    evidence: NDArray[np.int8]
    basis: pa.Array | None = None
    own_share: Floats | None = None


class Groups:
    """Where each group's rows are."""

    def __init__(self, codes: tuple[Mapping[str | None, int], ...], unique: Codes, starts: Positions) -> None:
        self._codes, self._starts = codes, starts
        self._unique = np.ascontiguousarray(unique).data  # one number of it costs less than one of an array

    @property
    def tenants(self) -> frozenset[str]:
        """The tenants that anything is known of."""
        return frozenset(name for name in self._codes[-1] if name is not None)

    def find(self, group: Group) -> slice | None:
        """The rows of a group, if it has any."""
        combined = 0
        for value, codes in zip(group, self._codes):  # noqa: B905  # four of each
            if value not in codes:
                return None
            combined = combined * len(codes) + codes[value]
        index = bisect_left(self._unique, combined)
        if index == len(self._unique) or self._unique[index] != combined:
            return None
        return slice(self._starts.item(index), self._starts.item(index + 1))


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One scoring snapshot. `measured` and `last_seen` (seconds since 1970) have an entry for each of `models`."""

    snapshot_id: str
    as_of: datetime
    as_of_s: float
    is_simulated: bool
    models: pa.Array
    experience: Experience
    learned: Experience
    measured: Mapping[str, Floats]
    last_seen: Floats


def decode_scores(published: Published, home: Path) -> Scores:
    """Raises `SnapshotUnreadable`."""
    reader = Reader(published, home)
    with reader.blamed_for_types():
        return _scores(reader, published.snapshot_id)


def _scores(reader: Reader, snapshot_id: str) -> Scores:
    table = reader.table("routing_scores", _COLUMNS, further=_LEARNED)
    models, names = encoded(table, "model")
    groups, combined, overall = _combined(table)
    order, is_twice = _in_order(models, combined)
    if is_twice:
        raise reader.unreadable("two rows for one model in one group")
    names = [name if name is not None else "" for name in names]
    rows = overall.nonzero()[0]
    everyones, of_model = table.select(MEASURED).take(pa.array(rows)), models[rows]
    figures = {
        name: _spread(floats(everyones, name, 1) if name in _SHARES else floats(everyones, name), of_model, len(names))
        for name in MEASURED
    }
    plain = _experience(table, models, combined, groups, order)
    learned = plain
    if _LEARNED[0] in table.column_names:
        # A task's learned quality has every evidence in it, so that there is no second one of benchmarks alone.
        groups, combined, _ = _combined(table, apart=False)
        order, _ = _in_order(models, combined)
        learned = _experience(table, models, combined, groups, order, prefix="learned")
    as_of = reader.time("as_of")
    return Scores(
        snapshot_id=snapshot_id,
        as_of=as_of,
        as_of_s=as_of.timestamp(),
        is_simulated=reader.meta("is_simulated", None, lambda value: isinstance(value, bool)),
        models=pa.array(names, pa.string()),
        experience=plain,
        learned=learned,
        measured=figures,
        last_seen=_last_seen(table, models, len(names)),
    )


def _experience(
    table: pa.Table,
    models: Codes,
    combined: Codes,
    groups: tuple[Mapping[str | None, int], ...],
    order: Positions | None,
    prefix: str = "quality",
) -> Experience:
    """The rows that say something, by group and model: of plain means, or of what was `learned`."""
    is_plain = prefix == "quality"
    quality = floats(table, "quality" if is_plain else "learned_quality", high=1)
    worth, exact = floats(table, f"{prefix}_n"), floats(table, "quality_n")
    says = ~np.isnan(quality) & (worth > 0)
    order = says.nonzero()[0] if order is None else order[says[order]]
    of_group = combined[order]
    starts = np.concatenate(([0], (of_group[1:] != of_group[:-1]).nonzero()[0] + 1))[: len(order)]
    unique = of_group[starts]
    n, se = worth[order], floats(table, f"{prefix}_se")[order]
    return Experience(
        Groups(groups, unique, np.append(starts, len(order))),
        models[order].astype(np.int32, copy=False),
        _with_unknown(quality[order]),
        _with_unknown(np.nan_to_num(exact[order])),
        _with_unknown(n),
        # without one: the widest that a mean on 0..1 can have
        _with_unknown(np.where(np.isnan(se), 0.5 / np.sqrt(n), se)),
        floats(table, f"{prefix}_low", high=1)[order],
        floats(table, f"{prefix}_high", high=1)[order],
        _evidence(table)[order],
        None if is_plain else cast(table, "learned_basis", pa.string()).take(pa.array(order)),
        None if is_plain else floats(table, "own_share", high=1)[order],
    )


def _with_unknown(column: Floats) -> Floats:
    return np.append(column, np.nan)


def _combined(
    table: pa.Table, *, apart: bool = True
) -> tuple[tuple[Mapping[str | None, int], ...], Codes, NDArray[np.bool_]]:
    """One number for each row's group, what its four parts stand for, and which rows are of `overall` and everyone."""
    columns = [encoded(table, name) for name in _KEYS]
    scopes, scope_names = columns[0]
    places: list[dict[str | None, int]] = [{name: code for code, name in enumerate(values)} for _, values in columns]
    task, benchmarks = places[0].get("task", -1), places[0].setdefault("task_benchmarks", len(scope_names))
    graded = apart & (scopes == task) & (_evidence(table) == EVIDENCE.index("benchmark"))
    combined: NDArray[np.int64] = np.where(graded, benchmarks, scopes).astype(np.int64)
    for (codes, _), place in zip(columns[1:], places[1:], strict=True):
        combined = combined * max(len(place), 1) + codes
    overall = scopes == places[0].get("overall", -1)
    for (codes, _), place in zip(columns[1:], places[1:], strict=True):
        overall &= codes == place.get(None, -1)
    return tuple(places), combined, overall


def _in_order(models: Codes, combined: Codes) -> tuple[Positions | None, bool]:
    """The rows by group and model, None where they are in that order; and whether a model is twice in a group."""
    if not len(models):
        return None, False
    pairs = combined * (int(models.max()) + 1) + models
    order = None
    if np.count_nonzero(pairs[1:] < pairs[:-1]):
        order = pairs.argsort(kind="stable")  # published group by group: runs, to be merged
        pairs = pairs[order]
    return order, bool(np.count_nonzero(pairs[1:] == pairs[:-1]))


def _evidence(table: pa.Table) -> NDArray[np.int8]:
    codes, names = encoded(table, "evidence")
    mixed = EVIDENCE.index("mixed")
    kinds = [EVIDENCE.index(name) if name in EVIDENCE else mixed for name in names]
    evidence: NDArray[np.int8] = np.array([*kinds, mixed], dtype=np.int8)[codes]
    return evidence


def _last_seen(table: pa.Table, models: Codes, size: int) -> Floats:
    """The latest time at which each model was seen in any evidence."""
    times = cast(table, "last_seen", pa.timestamp("us", tz="UTC")).cast(pa.int64()).cast(pa.float64())
    seconds = times.to_numpy(zero_copy_only=False) / 1e6
    latest = np.full(size, np.nan)
    known = ~np.isnan(seconds)
    np.fmax.at(latest, models[known], seconds[known])
    return latest


def _spread(values: Floats, positions: Codes, size: int) -> Floats:
    column = np.full(size, np.nan)
    column[positions] = values
    return column
