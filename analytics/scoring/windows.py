"""The windows of the keys that were touched, as the tables `window_moments` and `window_quantiles`.

Both have the columns that `sql/scoring/window_moments.sql` and `window_quantiles.sql` define over all rows of all time; here a window is
the sum of its rings, and only keys that changed are looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.scoring import moments as sums
from analytics.scoring.histograms import CELLS, PERCENTS, Quantiles, quantiles
from analytics.scoring.reading import METRICS, UNITS
from analytics.scoring.rings import RINGS, WINDOWS
from analytics.scoring.state import State, StateDamaged, sparse_parts

_AT_ONCE = 64  # keys: their histograms of all rings take 4 MB

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Members:
    """The keys whose sums make each wanted (model, domain): `key[i]` counts in the wanted one of number `of[i]`."""

    model: Ints
    domain: Ints
    key: Ints
    of: Ints


def windows(state: State, kind: int, touched: Ints | None) -> dict[str, pa.Table]:
    """`window_moments` and `window_quantiles` of one kind (1: simulated), of the touched (kind, model, domain); None: of all.

    Raises `StateDamaged` where sums and histograms do not agree.
    """
    members = _members(state, kind, touched)
    moments, found = [], []
    for first in range(0, len(members.model), _AT_ONCE):
        last = min(first + _AT_ONCE, len(members.model))
        here = slice(*np.searchsorted(members.of, [first, last]))
        key, of = members.key[here], members.of[here] - first
        blocks = state.read_moments(key)
        moments.append(_by_window(blocks, of, last - first))
        found.append(_quantiles(state, key, of, blocks, moments[-1], first))
    table = np.concatenate([np.zeros((0, RINGS, sums.WIDTH), np.int64), *moments])
    return {
        "window_moments": _moments_table(state, members, table.reshape(-1, sums.WIDTH)),
        "window_quantiles": _quantiles_table(state, members, found),
    }


def totals(state: State, kind: int) -> pa.Table:
    """`window_moments` of the models over all their domains."""
    keys = state.keys
    rollups = np.flatnonzero((keys.kind == kind) & keys.is_rollup)
    model = keys.model()[rollups]
    numbers = np.arange(len(rollups))
    table = _by_window(state.read_moments(rollups), numbers, len(rollups))
    members = _Members(model, np.full(len(rollups), -1), rollups, numbers)
    return _moments_table(state, members, table.reshape(-1, sums.WIDTH))


def _members(state: State, kind: int, touched: Ints | None) -> _Members:
    keys = state.keys
    mine = np.flatnonzero((keys.kind == kind) & (keys.is_rollup | (keys.requests > 0)))
    stride = len(keys.domains.values) + 1
    code = (keys.model()[mine] * stride) + keys.domain()[mine] + 1
    if touched is not None:
        wanted = touched[touched[:, 0] == kind]
        hit = np.isin(code, wanted[:, 1] * stride + wanted[:, 2] + 1)
        mine, code = mine[hit], code[hit]
    order = np.lexsort((mine, code))
    found, of = np.unique(code[order], return_inverse=True)
    return _Members(found // stride, found % stride - 1, mine[order], of)


def _by_window(blocks: Ints, of: Ints, wanted: int) -> Ints:
    """Moments [wanted, windows, WIDTH]: keys added up, then ring after ring."""
    made = np.zeros((wanted, RINGS, sums.WIDTH), np.int64)
    rings = blocks[:, :RINGS]
    if not wanted:
        return made
    numbers, starts = np.unique(of, return_index=True)
    made[numbers] = np.add.reduceat(rings, starts)
    made[numbers, :, sums.LAST] = np.maximum.reduceat(rings[..., sums.LAST], starts)
    last = np.maximum.accumulate(made[..., sums.LAST], axis=1)
    for ring in range(1, RINGS):
        made[:, ring] += made[:, ring - 1]
    made[..., sums.LAST] = last
    sums.settle(made)
    return made


def _quantiles(state: State, key: Ints, of: Ints, blocks: Ints, moments: Ints, first: int) -> Quantiles:
    """Of the wanted keys from number `first` on; a row is number * RINGS + window."""
    counts = np.zeros((len(moments), RINGS, CELLS), np.uint32)
    measured = [sums.COUNTS.index(f"{metric}_n") for metric in METRICS]
    for ring in range(RINGS):
        has = np.flatnonzero(blocks[:, ring, measured].any(axis=1))
        if len(has):
            order = has[np.argsort(key[has])]
            cells = state.read_cells(ring, key[order])
            if len(np.unique(of[order])) == len(order):
                counts[of[order], ring] = cells
            else:
                np.add.at(counts[:, ring], of[order], cells)
        if ring:
            counts[:, ring] += counts[:, ring - 1]
    made = quantiles(counts.reshape(-1, CELLS), _sparse(state, key, of))
    expected = moments[..., measured].reshape(-1, len(measured))
    got = np.zeros_like(expected)
    got[made.row, made.metric] = made.n
    if np.any(got != expected):
        raise StateDamaged("a histogram does not add up to the count in its moments")
    made.row[:] += first * RINGS
    return made


def _sparse(state: State, key: Ints, of: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """What of these keys lies outside the dense cells, by row, metric, bucket and count, in every window that it is in."""
    codes, counts = state.sparse
    if not len(codes):
        return codes, codes, codes, codes
    spans = np.searchsorted(codes, np.stack([key << 22, (key + 1) << 22], 1))
    at = np.concatenate([np.arange(low, high) for low, high in spans.tolist()] or [codes[:0]])
    numbers = np.repeat(of, spans[:, 1] - spans[:, 0])
    _, ring, metric, bucket = sparse_parts(codes[at])
    times = RINGS - ring
    window = np.concatenate([np.arange(one, RINGS) for one in ring.tolist()] or [ring])
    row = np.repeat(numbers, times) * RINGS + window
    entry = np.stack([row, np.repeat(metric, times), np.repeat(bucket, times)], 1)
    places, which = np.unique(entry, axis=0, return_inverse=True)
    return (*places.T, np.bincount(which.reshape(-1), np.repeat(counts[at], times)).astype(np.int64))


def _names(state: State, members: _Members, row: Ints) -> Iterator[tuple[str, pa.Array]]:
    number, window = np.divmod(row, RINGS)
    yield "window_name", pa.array(list(WINDOWS)).take(pa.array(window))
    models = pa.array([text for _, text in state.keys.models.values], pa.string())
    domains = pa.array([*(text for _, text in state.keys.domains.values), None], pa.string())
    at = members.domain[number]
    yield "model", models.take(pa.array(members.model[number]))
    yield "domain", domains.take(pa.array(np.where(at < 0, len(domains) - 1, at)))


def _moments_table(state: State, members: _Members, table: Ints) -> pa.Table:
    row = np.flatnonzero(table[:, 0] > 0)
    kept = table[row]
    columns = dict(_names(state, members, row)) | sums.integers(kept)
    columns |= {name: sums.decimals(kept, name) for name in sums.SUMS}
    columns["last_seen"] = pa.array(kept[:, sums.LAST].copy()).cast(pa.timestamp("us", tz="UTC"))
    return pa.table(columns)


def _quantiles_table(state: State, members: _Members, found: list[Quantiles]) -> pa.Table:
    def column(parts: list[npt.NDArray[np.float64]]) -> pa.Array:
        whole = np.concatenate([np.zeros(0), *parts])
        return pa.array(whole, mask=np.isnan(whole))

    none = np.zeros(0, np.int64)
    row = np.concatenate([none, *(one.row for one in found)])
    metric = np.concatenate([none, *(one.metric for one in found)])
    columns = dict(_names(state, members, row))
    columns["metric"] = pa.array([UNITS[name] for name in METRICS]).take(pa.array(metric))
    columns["n"] = pa.array(np.concatenate([none, *(one.n for one in found)]))
    for percent in PERCENTS:
        columns[f"p{percent}"] = column([one.value[percent] for one in found])
        columns[f"p{percent}_low"] = column([one.low[percent] for one in found])
        columns[f"p{percent}_high"] = column([one.high[percent] for one in found])
    columns["skewness"] = column([one.skewness for one in found])
    return pa.table(columns)
