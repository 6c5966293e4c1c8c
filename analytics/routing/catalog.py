"""The configuration snapshot in memory: models, who may use which, policies, and the table of task types.

A model is a position. Positions are in the order of `bits.by_price`, so that models of similar prices share a word of a
set; `tie_rank` is the order in which models of equal score stand (by price, then key; `board` adds the failure rate).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from . import bits
from .bits import Floats, Mask, Positions, Words
from .caps import VoteCaps
from .policies import Policies, decode_policies
from .published import Published
from .reader import Reader, booleans, cast, encoded, floats, index_of, is_amount, is_object, mask, text_type
from .records import TIERS
from .tasks import TaskTable, decode_tasks

_MODELS = (
    *("id", "provider_id", "display_name", "model_type", "capabilities", "priority", "cost_tier", "ctx_length"),
    *("pricing_input", "pricing_output", "is_available", "is_enabled", "is_simulated"),
)
_NO_MODELS, _NO_PRIORITIES = np.zeros(0, dtype=np.intp), np.zeros(0)
_AGENTS = ("agent", "tenant_id", "model", "is_enabled", "priority_override")


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """The models of one kind of evidence, by position, and the rules. `price` is USD per 1M tokens, three of input to one
    of output; `tier` a place in `TIERS`.
    """

    names: pa.Array
    keys: list[str]
    position: Mapping[str, int]
    providers: list[str]
    display_names: list[str]
    provider_code: NDArray[np.int32]
    provider_codes: Mapping[str, int]
    model_type: NDArray[np.int32]
    model_types: Mapping[str, int]
    priority: Floats
    tier: Floats
    context: Floats
    price_in: Floats
    price_out: Floats
    price: Floats
    available: Mask
    enabled: Mask
    is_simulated: Mask
    capabilities: Mapping[str, Words]
    no_capabilities: Words
    agents: "Agents"
    tenants: Mapping[str, Positions]
    roles: Mapping[tuple[str, str | None], Positions]
    task_domains: Mapping[str, tuple[str, ...]]
    tasks: TaskTable
    policies: Policies
    default_model: str | None
    tie_delta: float
    stale_after_s: float
    caps: VoteCaps

    @property
    def size(self) -> int:
        """The number of models."""
        return len(self.keys)

    def tier_name(self, model: int) -> str | None:
        """A model's cost tier."""
        tier = self.tier.item(model)
        return None if math.isnan(tier) else TIERS[int(tier)]


@dataclass(frozen=True, eq=False)
class Members:
    """The models that an agent may use (ascending), out of `size`, and the priorities set for it: of `overridden` (ascending)
    -> `priority`.
    """

    models: Positions
    overridden: Positions
    priority: Floats
    size: int

    @cached_property
    def words(self) -> Words:
        """The same models as a set: an eighth of a byte for each model of the catalog, so it is made when it is asked for."""
        return bits.of(self.models, self.size)


class Agents:
    """What each agent may use: rows sorted by agent, found without a Python object for each."""

    def __init__(self, table: pa.Table, names: pa.Array) -> None:
        codes, agents = encoded(table, "agent")
        in_order = np.count_nonzero(codes[1:] < codes[:-1]) == 0
        order: Any = slice(None) if in_order else np.argsort(codes, kind="stable")
        self._size = len(names)
        self._starts = np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=len(agents))))).tolist()
        self._names = {name: code for code, name in enumerate(agents) if name is not None}
        self._models = index_of(table, "model", names)[order]
        tenants, self._tenants = _coded(table, "tenant_id")
        self._tenant = tenants[order]
        self._enabled = mask(booleans(table, "is_enabled"))[order]
        odd = (~self._enabled | (self._models < 0)).nonzero()[0]
        self._with_odd = set(codes[order][odd].tolist())  # agents with rows that disable, or of unlisted models
        self._priority = floats(table, "priority_override", high=100).astype(np.float32)[order]

    def __contains__(self, agent: str | None) -> bool:
        return agent in self._names

    def of(self, agent: str, tenant: str | None) -> Members:
        """By the rows that speak for `tenant`: those of everyone and its own; with None, all.

        A row that disables a model wins over another that enables it. An agent without rows may use nothing.
        """
        code = self._names.get(agent)
        if code is None:
            return Members(_NO_MODELS, _NO_MODELS, _NO_PRIORITIES, self._size)
        rows = slice(self._starts[code], self._starts[code + 1])
        models, priority = self._models[rows], self._priority[rows]
        if tenant is not None:
            owner, everyones = self._tenant[rows], self._tenants.get(None)
            speaking = owner == self._tenants.get(tenant, -1)
            if everyones is not None:
                speaking |= owner == everyones
            models, priority = models[speaking], priority[speaking]
        usable = models
        if code in self._with_odd:
            enabled = self._enabled[rows] if tenant is None else self._enabled[rows][speaking]
            listed = models >= 0
            models, priority, enabled = models[listed], priority[listed], enabled[listed]
            usable = models[enabled & ~np.isin(models, models[~enabled])]
        overridden = (priority >= 0).nonzero()[0]
        usable = _ascending(usable)
        if not len(overridden):
            return Members(usable, _NO_MODELS, _NO_PRIORITIES, self._size)
        models, priority = models[overridden].astype(np.intp), priority[overridden].astype(np.float64)
        if len(models) > 1:  # of several for one model the last counts
            order = models.argsort(kind="stable")
            models, priority = models[order], priority[order]
            is_last = np.append(models[1:] != models[:-1], True)
            models, priority = models[is_last], priority[is_last]
        return Members(usable, models, priority, self._size)


def _ascending(models: NDArray[np.int32]) -> Positions:
    """Each of them once; `np.unique` says the same more slowly."""
    found = models.astype(np.intp)
    found.sort()
    if len(found) > 1:
        again = found[1:] == found[:-1]
        if np.count_nonzero(again):
            found = np.append(found[:1], found[1:][~again])
    return found


def decode_catalog(published: Published, home: Path, *, simulated: bool | None) -> Catalog:
    """The models of one kind (None: of both) with their agents; raises `SnapshotUnreadable`."""
    reader = Reader(published, home)
    with reader.blamed_for_types():
        return _catalog(reader, _numbered(reader, simulated))


def _numbered(reader: Reader, simulated: bool | None) -> pa.Table:
    """The models in the order of their positions."""
    models = reader.table("models", _MODELS)
    if simulated is not None:
        models = models.filter(pc.equal(booleans(models, "is_simulated"), simulated))
    return models.take(
        bits.by_price(floats(models, "pricing_input"), floats(models, "pricing_output"))
    ).combine_chunks()


def _catalog(reader: Reader, models: pa.Table) -> Catalog:
    keys = reader.texts(models, "id")
    names = pa.array(keys, pa.string())
    position = {key: index for index, key in enumerate(keys)}
    if len(position) != len(keys):
        raise reader.unreadable("a model is listed twice")
    priority = floats(models, "priority", high=100)
    if np.isnan(priority).any():
        raise reader.unreadable("a model's priority is not a number from 0 to 100")
    providers = reader.texts(models, "provider_id")
    provider_code, provider_codes = _coded(models, "provider_id")
    reader.texts(models.slice(0, 0), "model_type")
    model_type, model_types = _coded(models, "model_type")
    if None in model_types:
        raise reader.unreadable("column model_type has empty cells")
    price_in, price_out = floats(models, "pricing_input"), floats(models, "pricing_output")
    capabilities, none = _capabilities(models)
    allowed = reader.table("allowed_models", ("tenant_id", "role", "model"))
    meta = reader.meta
    return Catalog(
        names=names,
        keys=keys,
        position=position,
        providers=providers,
        display_names=reader.texts(models, "display_name"),
        provider_code=provider_code,
        provider_codes=provider_codes,
        model_type=model_type,
        model_types=model_types,
        priority=priority,
        tier=_tiers(models),
        context=floats(models, "ctx_length"),
        price_in=price_in,
        price_out=price_out,
        price=(3 * price_in + price_out) / 4,
        available=mask(booleans(models, "is_available")),
        enabled=mask(booleans(models, "is_enabled")),
        is_simulated=mask(booleans(models, "is_simulated")),
        capabilities=capabilities,
        no_capabilities=none,
        agents=Agents(reader.table("agent_models", _AGENTS), names),
        tenants={tenant: found for (tenant, role), found in _allowed(allowed, names) if role is None and tenant},
        roles={(role, tenant): found for (tenant, role), found in _allowed(allowed, names) if role},
        task_domains=_task_domains(reader.table("task_domains", ("task_type", "domain"))),
        tasks=_tasks(reader),
        policies=_policies(reader),
        default_model=meta("default_model", None, lambda value: value is None or isinstance(value, str)),
        tie_delta=float(meta("tie_delta", 0.01, is_amount)),
        stale_after_s=float(meta("stale_after_s", 21_600.0, is_amount)),
        caps=_caps(reader),
    )


def _caps(reader: Reader) -> VoteCaps:
    told = reader.meta("feedback", {}, is_object)
    try:
        return VoteCaps.of(told)
    except ValueError as error:
        raise reader.unreadable(f"the manifest's feedback makes no sense: {error}") from None


def _coded(table: pa.Table, name: str) -> tuple[NDArray[np.int32], dict[Any, int]]:
    codes, values = encoded(table, name)
    return codes.astype(np.int32, copy=False), {value: code for code, value in enumerate(values)}


def _tiers(models: pa.Table) -> Floats:
    codes, names = encoded(models, "cost_tier")
    places = [float(TIERS.index(name)) if name in TIERS else np.nan for name in names]
    tiers: Floats = np.array([*places, np.nan])[codes]
    return tiers


def _capabilities(models: pa.Table) -> tuple[dict[str, Words], Words]:
    """The models that are known to have each capability, and those of which none is known."""
    column = cast(models, "capabilities", pa.list_(pa.string()))
    size = len(column)
    if isinstance(column, pa.ChunkedArray):
        column = pa.array([], pa.list_(pa.string()))
    owners = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    codes, names = encoded(pa.table({"name": pc.list_flatten(column)}), "name")
    masks = np.zeros((len(names), size), dtype=np.bool_)
    masks[codes, owners] = True
    sets = {name: bits.pack(owned) for name, owned in zip(names, masks, strict=True) if name is not None}
    return sets, bits.pack(masks.sum(axis=0) == 0)


def _allowed(table: pa.Table, names: pa.Array) -> list[tuple[tuple[str | None, str | None], Positions]]:
    """What a tenant, or a role (of a tenant or of all), may use; a row without a model names none."""
    groups: dict[tuple[str | None, str | None], list[int]] = {}
    for name in ("tenant_id", "role"):
        text_type(table, name)
    positions = index_of(table, "model", names).tolist()
    for tenant, role, model in zip(table["tenant_id"].to_pylist(), table["role"].to_pylist(), positions, strict=True):
        if tenant is None and role is None:
            raise ValueError("a row of allowed_models names neither a tenant nor a role")
        group = groups.setdefault((tenant, role), [])
        if model >= 0:
            group.append(model)
    return [(key, np.unique(np.array(models, dtype=np.intp))) for key, models in groups.items()]


def _task_domains(table: pa.Table) -> dict[str, tuple[str, ...]]:
    mapped: dict[str, set[str]] = {}
    for task, domain in zip(table["task_type"].to_pylist(), table["domain"].to_pylist(), strict=True):
        mapped.setdefault(task, set()).add(domain)
    return {task: tuple(sorted(domains)) for task, domains in mapped.items()}


def _tasks(reader: Reader) -> TaskTable:
    table = reader.table("task_types", ("task_type", "source", "pattern"))
    try:
        return decode_tasks(table.to_pylist())
    except (ValueError, AttributeError) as error:
        raise reader.unreadable(f"its table of task types makes no sense: {error}") from None


def _policies(reader: Reader) -> Policies:
    """The table of policies, and before it the manifest's weights by name, as older snapshots have them."""
    named = reader.meta("policies", {}, is_object)
    columns = ("tenant_id", "agent", "user_id", "name", "version", "rules", "is_active")
    table = reader.table("policies", columns)
    for name in ("tenant_id", "agent", "user_id", "name", "rules"):
        text_type(table, name)
    table = table.set_column(columns.index("is_active"), "is_active", booleans(table, "is_active"))
    try:
        return decode_policies(named, table.to_pylist())
    except ValueError as error:
        raise reader.unreadable(f"its policies make no sense: {error}") from None
