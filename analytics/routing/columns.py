"""Snapshots as numpy columns, decoded once: one position per model, in the order of the models' keys.

Numbers are float64 with NaN for unknown; what is not finite or outside its range counts as unknown, so that a
poisoned price or rating can never win. Problems of form raise `SnapshotUnreadable`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .published import Published, SnapshotUnreadable
from .records import TIERS

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Positions = NDArray[np.intp]

EVIDENCE = ("feedback", "benchmark", "mixed")


@dataclass(frozen=True, slots=True, eq=False)
class AgentModels:
    """What one agent may use: parallel columns, one entry per model named for it."""

    models: Positions
    tenants: NDArray[np.object_]
    enabled: Mask
    priority: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """The configuration's models, agents and rules. `price` is USD per 1M tokens, three of input to one of output."""

    keys: list[str]
    position: Mapping[str, int]
    providers: list[str]
    display_names: list[str]
    tier_names: list[str | None]
    provider_code: NDArray[np.int32]
    provider_codes: Mapping[str, int]
    model_types: NDArray[np.object_]
    priority: Floats
    tier: Floats
    context: Floats
    price_in: Floats
    price_out: Floats
    price: Floats
    available: Mask
    enabled: Mask
    is_simulated: Mask
    capabilities: Mapping[str, Mask]
    no_capabilities: Mask
    agents: Mapping[str, AgentModels]
    task_domains: Mapping[str, tuple[str, ...]]
    default_model: str | None
    weight_priority: float
    weight_quality: float
    tie_delta: float
    stale_after_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Experience:
    """The rows of one (scope, task or domain, agent): parallel columns, in the order of `models`."""

    models: Positions
    quality: Floats
    n: Floats
    se: Floats
    low: Floats
    high: Floats
    evidence: NDArray[np.int8]

    def at(self, rows: Positions) -> "Experience":
        """Some of the rows."""
        return Experience(
            self.models[rows],
            self.quality[rows],
            self.n[rows],
            self.se[rows],
            self.low[rows],
            self.high[rows],
            self.evidence[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The scoring snapshot's table: experience by (scope, name, agent), and how each model behaves overall.

    Scope `task` holds ratings; a task's rows that rest on benchmarks alone are kept as `task_benchmarks`.
    """

    snapshot_id: str
    as_of: datetime
    as_of_s: float
    is_simulated: bool
    experience: Mapping[tuple[str, str | None, str | None], Experience]
    measured: Mapping[str, Floats]
    last_seen: Floats


# How each model behaved lately: `requests` of the last `window_days`, and what was measured of them.
MEASURED = (
    *("window_days", "requests", "failure_rate", "latency_p50_ms", "latency_p95_ms", "ttft_p50_ms", "ttft_p95_ms"),
    *("tps_mean", "cost_per_query"),
)
_SHARES = {"failure_rate"}  # lie on 0..1


def decode_catalog(published: Published, home: Path, *, simulated: bool | None) -> Catalog:
    """The models of one kind (None: of both) with their agents; raises `SnapshotUnreadable`."""
    reader = _Reader(published, home)
    with reader.blamed_for_types():
        return _catalog(reader, simulated)


def decode_scores(published: Published, home: Path, keys: list[str]) -> Scores:
    """The scores of the models in `keys`; rows of other models are left out. Raises `SnapshotUnreadable`."""
    reader = _Reader(published, home)
    with reader.blamed_for_types():
        return _scores(reader, published.snapshot_id, keys)


def _catalog(reader: "_Reader", simulated: bool | None) -> Catalog:
    models = reader.table("models")
    if simulated is not None:
        models = models.filter(pc.equal(reader.booleans(models, "is_simulated"), simulated))
    models = models.sort_by("id")
    keys = reader.texts(models, "id")
    position = {key: index for index, key in enumerate(keys)}
    if len(position) != len(keys):
        raise reader.unreadable("a model is listed twice")
    priority = reader.floats(models, "priority", high=100)
    if np.isnan(priority).any():
        raise reader.unreadable("a model's priority is not a number from 0 to 100")
    providers = reader.texts(models, "provider_id")
    codes = {name: code for code, name in enumerate(sorted(set(providers)))}
    tier_names = [name if name in TIERS else None for name in models["cost_tier"].to_pylist()]
    ranks = {name: float(rank) for rank, name in enumerate(TIERS)}
    price_in, price_out = reader.floats(models, "pricing_input"), reader.floats(models, "pricing_output")
    capabilities, none = _capabilities(models["capabilities"])
    meta = reader.meta
    weights = meta("policies", {"default": {"priority": 0.3, "quality": 0.7}}, _is_policies)["default"]
    return Catalog(
        keys=keys,
        position=position,
        providers=providers,
        display_names=reader.texts(models, "display_name"),
        tier_names=tier_names,
        provider_code=np.array([codes[name] for name in providers], dtype=np.int32),
        provider_codes=codes,
        model_types=np.array(reader.texts(models, "model_type"), dtype=object),
        priority=priority,
        tier=np.array([np.nan if name is None else ranks[name] for name in tier_names], dtype=np.float64),
        context=reader.floats(models, "ctx_length"),
        price_in=price_in,
        price_out=price_out,
        price=(3 * price_in + price_out) / 4,
        available=_mask(reader.booleans(models, "is_available")),
        enabled=_mask(reader.booleans(models, "is_enabled")),
        is_simulated=_mask(reader.booleans(models, "is_simulated")),
        capabilities=capabilities,
        no_capabilities=none,
        agents=_agents(reader, keys),
        task_domains=_task_domains(reader.table("task_domains")),
        default_model=meta("default_model", None, lambda value: value is None or isinstance(value, str)),
        weight_priority=float(weights["priority"]),
        weight_quality=float(weights["quality"]),
        tie_delta=float(meta("tie_delta", 0.01, _is_amount)),
        stale_after_s=float(meta("stale_after_s", 21_600.0, _is_amount)),
    )


def _scores(reader: "_Reader", snapshot_id: str, keys: list[str]) -> Scores:
    table = reader.table("routing_scores")
    table = table.filter(
        pc.and_(pc.is_null(table["tenant_id"]), pc.is_in(table["model"], value_set=pa.array(keys, pa.string())))
    )
    models = _positions(table["model"], keys)
    kinds = [
        EVIDENCE.index(name) if name in EVIDENCE else EVIDENCE.index("mixed") for name in table["evidence"].to_pylist()
    ]
    quality, n = reader.floats(table, "quality", high=1), reader.floats(table, "quality_n")
    se = reader.floats(table, "quality_se")
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.where(np.isnan(se), 0.5 / np.sqrt(n), se)  # the widest that a mean of n values on 0..1 can have
    low, high = reader.floats(table, "quality_low", high=1), reader.floats(table, "quality_high", high=1)
    every = Experience(models, quality, n, se, low, high, np.array(kinds, dtype=np.int8))
    rated = ~np.isnan(quality) & (n > 0)
    overall = np.zeros(len(models), dtype=np.bool_)
    groups = {}
    for key, rows in _groups(table, ("scope", "task_type", "agent")):
        order = rows[np.argsort(models[rows], kind="stable")]
        if (np.diff(models[order]) == 0).any():
            raise reader.unreadable(f"two rows for one model at {key}")
        if key == ("overall", None, None):
            overall[order] = True
        order = order[rated[order]]
        if key[0] == "task":  # what rests on benchmarks alone is no rating: the lookup takes it for broader evidence
            graded = every.evidence[order] == EVIDENCE.index("benchmark")
            groups["task_benchmarks", key[1], key[2]] = every.at(order[graded])
            order = order[~graded]
        groups[key] = every.at(order)
    measured = {name: reader.floats(table, name, 1 if name in _SHARES else np.inf)[overall] for name in MEASURED}
    as_of = reader.time("as_of")
    return Scores(
        snapshot_id=snapshot_id,
        as_of=as_of,
        as_of_s=as_of.timestamp(),
        is_simulated=reader.meta("is_simulated", None, lambda value: isinstance(value, bool)),
        experience=groups,
        measured={name: _spread(len(keys), models[overall], values) for name, values in measured.items()},
        last_seen=_last_seen(table, models, len(keys)),
    )


def no_scores(size: int) -> tuple[Mapping[str, Floats], Floats]:
    """The `measured` and `last_seen` columns of a catalog of which nothing was measured."""
    unknown = np.full(size, np.nan)
    return dict.fromkeys(MEASURED, unknown), unknown


class _Reader:
    """Reads typed columns and manifest values of one snapshot, and blames it when they are not there."""

    def __init__(self, published: Published, home: Path) -> None:
        self._published = published
        self._path = home / published.snapshot_id

    def unreadable(self, detail: str) -> SnapshotUnreadable:
        return SnapshotUnreadable("corrupt", self._path, detail)

    @contextmanager
    def blamed_for_types(self) -> Iterator[None]:
        """A column of another type than agreed is the snapshot's fault, not the reader's."""
        try:
            yield
        except (pa.ArrowException, ValueError, TypeError, AttributeError) as error:
            raise self.unreadable(
                f"a column is not of the agreed type ({' '.join(str(error).split())[:200]})"
            ) from error

    def table(self, name: str) -> pa.Table:
        """The agreed columns of one table; raises `SnapshotUnreadable` if one of them, or the table, is missing."""
        if name not in self._published.tables:
            raise self.unreadable(f"it has no table {name}")
        table = self._published.tables[name]
        missing = [column for column in _COLUMNS[name] if column not in table.column_names]
        if missing:
            raise self.unreadable(f"table {name} has no column {', '.join(missing)}")
        return table.select(list(_COLUMNS[name])).combine_chunks()

    def meta(self, name: str, default: Any, is_right: Callable[[Any], bool]) -> Any:
        value = self._published.meta.get(name, default)
        if not is_right(value):
            raise self.unreadable(f"the manifest's {name} makes no sense: {value!r}")
        return value

    def time(self, name: str) -> datetime:
        text = self.meta(name, None, lambda value: isinstance(value, str))
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            raise self.unreadable(f"the manifest's {name} is not a time: {text!r}") from None
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)

    def floats(self, table: pa.Table, name: str, high: float = np.inf) -> Floats:
        column: Floats = self._cast(table, name, pa.float64()).to_numpy(zero_copy_only=False).copy()
        column[~(np.isfinite(column) & (column >= 0) & (column <= high))] = np.nan
        return column

    def booleans(self, table: pa.Table, name: str) -> pa.Array:
        return pc.fill_null(self._cast(table, name, pa.bool_()), False)  # the value to fill in

    def texts(self, table: pa.Table, name: str) -> list[str]:
        column = self._cast(table, name, pa.string())
        if column.null_count:
            raise self.unreadable(f"column {name} has empty cells")
        texts: list[str] = column.to_pylist()
        return texts

    @staticmethod
    def _cast(table: pa.Table, name: str, wanted: pa.DataType) -> pa.Array:
        column = table[name].cast(wanted)
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


_COLUMNS = {
    "models": (
        *("id", "provider_id", "display_name", "model_type", "capabilities", "priority", "cost_tier", "ctx_length"),
        *("pricing_input", "pricing_output", "is_available", "is_enabled", "is_simulated"),
    ),
    "agent_models": ("agent", "tenant_id", "model", "is_enabled", "priority_override"),
    "task_domains": ("task_type", "domain"),
    "routing_scores": (
        *("model", "task_type", "scope", "agent", "tenant_id", "quality", "quality_n", "quality_se", "quality_low"),
        *("quality_high", "evidence", *MEASURED, "last_seen"),
    ),
}


def _capabilities(column: pa.ChunkedArray) -> tuple[dict[str, Mask], Mask]:
    lists = column.cast(pa.list_(pa.string())).to_pylist()
    names = sorted({name for names in lists for name in names or ()})
    masks = {name: np.zeros(len(lists), dtype=np.bool_) for name in names}
    for index, entry in enumerate(lists):
        for name in entry or ():
            masks[name][index] = True
    return masks, np.array([not entry for entry in lists], dtype=np.bool_)


def _agents(reader: _Reader, keys: list[str]) -> dict[str, AgentModels]:
    """Every agent that has rows, also when all of its models left the catalog: it is known, and may use nothing."""
    table = reader.table("agent_models")
    enabled = _mask(reader.booleans(table, "is_enabled"))
    override = reader.floats(table, "priority_override", high=100)
    tenants = np.array(table["tenant_id"].to_pylist(), dtype=object)
    models = _positions(table["model"], keys)
    listed = models >= 0
    agents = {}
    for (agent,), rows in _groups(table, ("agent",)):
        if agent is not None:
            kept = rows[listed[rows]]
            agents[agent] = AgentModels(models[kept], tenants[kept], enabled[kept], override[kept])
    return agents


def _task_domains(table: pa.Table) -> dict[str, tuple[str, ...]]:
    mapped: dict[str, set[str]] = {}
    for task, domain in zip(table["task_type"].to_pylist(), table["domain"].to_pylist(), strict=True):
        mapped.setdefault(task, set()).add(domain)
    return {task: tuple(sorted(domains)) for task, domains in mapped.items()}


def _groups(table: pa.Table, names: tuple[str, ...]) -> list[tuple[tuple[Any, ...], Positions]]:
    """The row numbers of each distinct combination of the named text columns, null being a value like others."""
    combined = np.zeros(table.num_rows, dtype=np.int64)
    values = []
    for name in names:
        encoded = table[name].cast(pa.string()).combine_chunks()
        encoded = pc.dictionary_encode(encoded, null_encoding="encode")
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        values.append(encoded.dictionary.to_pylist())
        combined = combined * max(len(values[-1]), 1) + encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(combined, kind="stable")
    starts = np.flatnonzero(np.diff(combined[order], prepend=-1))
    groups = []
    for rows in np.split(order, starts[1:]) if len(order) else []:
        code, key = int(combined[rows[0]]), []
        for column in reversed(values):
            code, index = divmod(code, len(column))
            key.append(column[index])
        groups.append((tuple(reversed(key)), rows))
    return groups


def _positions(column: pa.ChunkedArray, keys: list[str]) -> Positions:
    """Where each key stands in `keys`; -1 where it does not."""
    found = pc.fill_null(pc.index_in(column.cast(pa.string()), value_set=pa.array(keys, pa.string())), -1)
    positions: Positions = found.to_numpy().astype(np.intp)
    return positions


def _last_seen(table: pa.Table, models: Positions, size: int) -> Floats:
    """Seconds since 1970 at which each model was last seen in any evidence."""
    microseconds = table["last_seen"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).cast(pa.float64())
    seconds = microseconds.to_numpy() / 1e6
    latest = np.full(size, np.nan)
    known = ~np.isnan(seconds)
    np.fmax.at(latest, models[known], seconds[known])
    return latest


def _spread(size: int, positions: Positions, values: Floats) -> Floats:
    column = np.full(size, np.nan)
    column[positions] = values
    return column


def _mask(column: pa.Array) -> Mask:
    mask: Mask = column.to_numpy(zero_copy_only=False)
    return mask


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < np.inf


def _is_policies(value: Any) -> bool:
    weights = value.get("default") if isinstance(value, dict) else None
    return isinstance(weights, dict) and all(_is_amount(weights.get(name)) for name in ("priority", "quality"))
