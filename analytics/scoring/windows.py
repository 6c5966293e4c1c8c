"""The windows of the keys that were touched, as arrays, and as the tables `window_moments` and `window_quantiles`.

The tables have the columns that `sql/scoring/window_moments.sql` and `window_quantiles.sql` define over all rows of all time; here a window is
the sum of its rings, and only keys that changed are looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.scoring import moments as sums
from analytics.scoring.entries import BIN_BITS, begins, metric_and_bucket, unpacked
from analytics.scoring.histograms import FIGURES, middles, quantiles
from analytics.scoring.reading import METRICS, UNITS
from analytics.scoring.rings import RINGS, WINDOWS
from analytics.scoring.state import State, StateDamaged

_AT_ONCE = 192  # keys: what is made of their histograms stays in the nearer caches

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Members:
    """The keys whose sums make each wanted (model, domain): `key[i]` counts in the wanted one of number `of[i]`."""

    model: Ints
    domain: Ints
    key: Ints
    of: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some keys' windows that have requests: `model`, `domain` (-1: all) and `window` number what `moments` [rows, WIDTH] and `figures`
    [rows, METRICS, FIGURES] are of.
    """

    model: Ints
    domain: Ints
    window: Ints
    moments: Ints
    figures: Floats


def windows(state: State, kind: int, touched: Ints | None) -> dict[str, pa.Table]:
    """`window_moments` and `window_quantiles` of one kind (1: simulated), of the touched (kind, model, domain); None: of all.

    Raises `StateDamaged` where sums and histograms do not agree.
    """
    names = _Names(state)
    found = [
        {"window_moments": _moments_table(names, batch), "window_quantiles": _quantiles_table(names, batch)}
        for batch in batches(state, kind, touched)
    ]
    return {name: pa.concat_tables(one[name] for one in found) for name in found[0]}


def batches(state: State, kind: int, touched: Ints | None) -> Iterator[Batch]:
    """What `windows` makes tables of, some keys at a time; once at least."""
    members = _members(state, kind, touched)
    for begin in range(0, max(1, len(members.model)), _AT_ONCE):
        end = min(begin + _AT_ONCE, len(members.model))
        here = slice(*np.searchsorted(members.of, [begin, end]))
        key, of = members.key[here], members.of[here] - begin
        blocks = state.read_moments(key)
        moments = _by_window(blocks, of, end - begin)
        figures = _figures(state, of, blocks, moments)
        yield _batch(members.model[begin:end], members.domain[begin:end], moments, figures)


def totals(state: State, kind: int) -> pa.Table:
    """`window_moments` of the models over all their domains."""
    keys = state.keys
    rollups = np.flatnonzero((keys.kind == kind) & keys.is_rollup)
    model = keys.model()[rollups]
    numbers = np.arange(len(rollups))
    table = _by_window(state.read_moments(rollups), numbers, len(rollups))
    none = np.zeros((*table.shape[:2], 0, 0))
    return _moments_table(_Names(state), _batch(model, np.full(len(rollups), -1), table, none))


def _batch(model: Ints, domain: Ints, moments: Ints, figures: Floats) -> Batch:
    number, window = np.nonzero(moments[..., 0] > 0)
    return Batch(model[number], domain[number], window, moments[number, window], figures[number, window])


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


def _figures(state: State, of: Ints, blocks: Ints, moments: Ints) -> Floats:
    """FIGURES of each wanted key by window and metric: [wanted, RINGS, METRICS, FIGURES]. n is 0 where there is nothing.

    Of a window only those keys are looked at that have rows in the ring by which it is longer than the window before it.
    """
    wanted = len(moments)
    made = np.full((wanted, RINGS, len(METRICS), len(FIGURES)), np.nan)
    made[..., 0] = 0
    measured = [sums.COUNTS.index(f"{metric}_n") for metric in METRICS]
    rows = blocks[:, :RINGS].reshape(-1, sums.WIDTH)
    bins, counts = unpacked(state.read_lists(rows))
    sizes = rows[:, sums.LENGTH]
    ring = np.repeat(np.tile(np.arange(RINGS, dtype=np.uint8), len(of)), sizes)
    met = np.flatnonzero(_marked(bins, 1 << BIN_BITS))
    cell = np.repeat(np.repeat(of * len(met), RINGS), sizes) + _numbered(met, 1 << BIN_BITS)[bins]
    used = np.flatnonzero(_marked(cell, wanted * len(met)))
    entry = _numbered(used, wanted * len(met))[cell]
    number, column = np.divmod(used, max(1, len(met)))
    histogram, bucket = metric_and_bucket(number << BIN_BITS | met[column])
    middle, total = middles(bucket), np.zeros(len(used), np.int64)
    for window in range(RINGS):
        if window:
            made[:, window] = made[:, window - 1]
        more = np.flatnonzero(ring == window)
        # of several keys that count as one, an entry may be there more than once
        np.add.at(total, entry[more], counts[more])
        has_more = np.zeros(wanted, np.bool_)
        has_more[of[rows[window::RINGS, sums.LENGTH] > 0]] = True
        here = np.flatnonzero(has_more[number] & (total > 0))
        its = histogram[here]
        starts = begins(its)
        its = its[starts]
        made[its // len(METRICS), window, its % len(METRICS)] = quantiles(starts, total[here], middle[here])
    if np.any(made[..., 0] != moments[..., measured]):
        raise StateDamaged("a histogram does not add up to the count in its moments")
    return made


def _marked(at: Ints, size: int) -> npt.NDArray[np.bool_]:
    made = np.zeros(size, np.bool_)
    made[at] = True
    return made


def _numbered(at: Ints, size: int) -> npt.NDArray[np.int32]:
    """At each of those places its number among them."""
    made = np.zeros(size, np.int32)
    made[at] = np.arange(len(at))
    return made


class _Names:
    """The names of a batch's rows."""

    def __init__(self, state: State) -> None:
        self._models = pa.array([text for _, text in state.keys.models.values], pa.string())
        self._domains = pa.array([*(text for _, text in state.keys.domains.values), None], pa.string())

    def of(self, batch: Batch, row: Ints) -> dict[str, pa.Array]:
        domain = batch.domain[row]
        return {
            "window_name": pa.array(list(WINDOWS)).take(pa.array(batch.window[row])),
            "model": self._models.take(pa.array(batch.model[row])),
            "domain": self._domains.take(pa.array(np.where(domain < 0, len(self._domains) - 1, domain))),
        }


def _moments_table(names: _Names, batch: Batch) -> pa.Table:
    kept = batch.moments
    columns = names.of(batch, np.arange(len(kept))) | sums.integers(kept)
    columns |= {name: sums.decimals(kept, name) for name in sums.SUMS}
    columns["last_seen"] = pa.array(kept[:, sums.LAST].copy()).cast(pa.timestamp("us", tz="UTC"))
    return pa.table(columns)


def _quantiles_table(names: _Names, batch: Batch) -> pa.Table:
    row, metric = np.nonzero(batch.figures[..., 0])
    kept = batch.figures[row, metric]
    columns = names.of(batch, row)
    columns["metric"] = pa.array([UNITS[name] for name in METRICS]).take(pa.array(metric))
    columns["n"] = pa.array(kept[:, 0].astype(np.int64))
    for number, name in enumerate(FIGURES[1:], 1):
        column = np.ascontiguousarray(kept[:, number])
        columns[name] = pa.array(column, mask=np.isnan(column))
    return pa.table(columns)
