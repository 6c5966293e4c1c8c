"""The configuration snapshot: what the lookup must know beside the scores, published by the same machinery."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import pyarrow as pa
from filelock import FileLock

from analytics.durable import make_directory
from analytics.routing.caps import USUAL_CAPS, VoteCaps
from analytics.routing.policies import decode_policies
from analytics.routing.published import SnapshotUnreadable, read_published
from analytics.routing.tasks import decode_tasks
from analytics.scoring.publish import publish

DEFAULT_POLICIES: Mapping[str, Mapping[str, float]] = {"default": {"priority": 0.3, "quality": 0.7}}

_TEXTS = pa.list_(pa.string())
_MODELS = pa.schema(
    [
        ("id", pa.string()),
        ("provider_id", pa.string()),
        ("display_name", pa.string()),
        ("model_type", pa.string()),
        ("capabilities", _TEXTS),
        ("priority", pa.int64()),
        ("cost_tier", pa.string()),
        ("domains", _TEXTS),
        ("ctx_length", pa.int64()),
        ("pricing_input", pa.float64()),
        ("pricing_output", pa.float64()),
        ("is_available", pa.bool_()),
        ("is_enabled", pa.bool_()),
        ("is_simulated", pa.bool_()),
    ]
)
_AGENT_MODELS = pa.schema(
    [
        ("agent", pa.string()),
        ("tenant_id", pa.string()),
        ("model", pa.string()),
        ("is_enabled", pa.bool_()),
        ("priority_override", pa.int64()),
    ]
)
_SET_FOR_AGENTS = ("agent_id", "model_id", "tenant_id", "is_enabled", "priority_override")
_TASK_DOMAINS = pa.schema([("task_type", pa.string()), ("domain", pa.string())])
# What the lookup reads beside these (empty: the presets serve, nobody is restricted).
FURTHER = {
    "policies": pa.schema(
        [
            *((name, pa.string()) for name in ("tenant_id", "agent", "user_id", "name")),
            ("version", pa.int64()),
            ("rules", pa.string()),
            ("is_active", pa.bool_()),
        ]
    ),
    "allowed_models": pa.schema([(name, pa.string()) for name in ("tenant_id", "role", "model")]),
    "task_types": pa.schema([(name, pa.string()) for name in ("task_type", "source", "pattern")]),
}


class _Rows(Protocol):
    @property
    def items(self) -> Sequence[Mapping[str, Any]]: ...


class Dimensions(Protocol):
    """What this module needs of a store."""

    def read_all(self, table: str) -> Sequence[Mapping[str, Any]]: ...

    def select(self, table: str, *, columns: Sequence[str]) -> _Rows: ...


def publish_configuration(
    store: Dimensions,
    directory: Path,
    *,
    default_model: str | None = None,
    policies: Mapping[str, Mapping[str, float]] = DEFAULT_POLICIES,
    tie_delta: float = 0.01,
    stale_after_s: float = 7200,
    environment: str = "production",
    caps: VoteCaps = USUAL_CAPS,
    further: Mapping[str, Sequence[Mapping[str, Any]]] = MappingProxyType({}),
) -> str:
    """Publish catalog, agents and rules into `directory`; the snapshot's id, that of the current one if nothing changed.

    `policies` are weights by policy name, `tie_delta` is in quality (0..1), `caps` hold for feedback that no score has yet. Stored policies (`routing_configs`
    of one `environment`) go along with their owners. `further` holds rows of `allowed_models` (all that a tenant, or a role of
    it, may use) and of `task_types` (more rows for task detection). Raises `ValueError` for `policies` or task types that make
    no sense, so that no lookup ever sees them, and what the store and `publish` raise. Of several at once the last to read is
    the last to publish: what somebody switched off does not come back by one who read before.
    """
    decode_policies(policies)
    decode_tasks(further.get("task_types", ()))
    meta = {
        "kind": "configuration",
        "default_model": default_model,
        "policies": {name: dict(weights) for name, weights in policies.items()},
        "tie_delta": tie_delta,
        "stale_after_s": stale_after_s,
        "feedback": asdict(caps),
    }
    with FileLock(make_directory(Path(directory)) / ".configuration.lock"):
        tables = _tables(store, environment, further)
        if (unchanged := _current(directory, tables, meta)) is not None:
            return unchanged
        return publish(directory, tables, {**meta, "as_of": datetime.now(UTC).isoformat()})


def _tables(
    store: Dimensions, environment: str, further: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, pa.Table]:
    return {
        "models": _models(store),
        "agent_models": pa.Table.from_pylist(_agent_models(store), schema=_AGENT_MODELS),
        "task_domains": pa.Table.from_pylist(
            _sorted(store.read_all("task_domains"), "task_type", "domain"), schema=_TASK_DOMAINS
        ),
        **_further({"policies": _policies(store, environment), **further}),
    }


def _further(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, pa.Table]:
    unknown = sorted(set(rows) - set(FURTHER))
    if unknown:
        raise ValueError(f"the configuration has no table {unknown[0]}; it has {', '.join(FURTHER)}")
    return {
        name: pa.Table.from_pylist(
            [{key: row.get(key) for key in schema.names} for row in rows.get(name, ())], schema=schema
        )
        for name, schema in FURTHER.items()
    }


def _policies(store: Dimensions, environment: str) -> list[dict[str, Any]]:
    """Every stored version; which of them counts is the lookup's to say. Its agent is named by key, as agents ask."""
    stored = [row for row in store.read_all("routing_configs") if row["environment"] == environment]
    agents = {row["id"]: row["key"] for row in store.read_all("agents")} if stored else {}
    rows = [
        {
            **row,
            "agent": agents.get(row["agent_id"], row["agent_id"]),
            "rules": json.dumps(row["rules"], sort_keys=True),
        }
        for row in stored
    ]
    return sorted(rows, key=lambda row: [str(row[key]) for key in ("tenant_id", "agent", "user_id", "name", "version")])


def _current(directory: Path, tables: Mapping[str, pa.Table], meta: Mapping[str, Any]) -> str | None:
    """The id of the snapshot in force if it says exactly this; one that cannot be read is published anew."""
    try:
        published = read_published(directory)
    except SnapshotUnreadable:
        return None
    is_same = set(published.tables) == set(tables) and all(
        published.tables[name].equals(tables[name]) for name in tables
    )
    return published.snapshot_id if is_same and meta.items() <= published.meta.items() else None


def _models(store: Dimensions) -> pa.Table:
    rows = sorted(store.select("catalog", columns=_MODELS.names).items, key=itemgetter("id"))
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in _MODELS.names}
    for name in ("capabilities", "domains"):
        columns[name] = [sorted(value) if value else [] for value in columns[name]]
    return pa.table(columns, schema=_MODELS)


def _agent_models(store: Dimensions) -> list[dict[str, Any]]:
    enabled = store.select("agent_models", columns=_SET_FOR_AGENTS).items
    if not enabled:
        return []
    agents = {row["id"]: row for row in store.read_all("agents")}
    models = {row["id"]: row["key"] for row in store.select("models", columns=("id", "key")).items}
    rows = [
        {
            "agent": agents[row["agent_id"]]["key"],
            "tenant_id": row["tenant_id"] or agents[row["agent_id"]]["tenant_id"],
            "model": models[row["model_id"]],
            "is_enabled": row["is_enabled"],
            "priority_override": row["priority_override"],
        }
        for row in enabled
        if row["agent_id"] in agents and row["model_id"] in models
    ]
    return _sorted(rows, "agent", "model")


def _sorted(rows: Sequence[Mapping[str, Any]], *keys: str) -> list[dict[str, Any]]:
    return sorted(map(dict, rows), key=lambda row: tuple(row[key] for key in keys))
