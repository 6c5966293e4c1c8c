"""Small published homes for tests: rows as plain dictionaries, and the tables made of them."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from routing.publishing import publish

from analytics.routing import RouteAnswer

Row = Mapping[str, Any]
Ask = Callable[..., RouteAnswer]
Make = Callable[..., Ask]
CODE = [("code", "coding")]

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()
AS_OF = "2026-11-21T02:00:00.000000Z"
META: Mapping[str, Any] = {
    "default_model": "a/one",
    "policies": {"default": {"priority": 0.3, "quality": 0.7}},
    "tie_delta": 0.01,
    "stale_after_s": 21_600,
}
_TIME = pa.timestamp("us", tz="UTC")
_MODELS = pa.schema(
    [
        *[(name, pa.string()) for name in ("id", "provider_id", "display_name", "model_type")],
        ("capabilities", pa.list_(pa.string())),
        ("priority", pa.int64()),
        ("cost_tier", pa.string()),
        ("domains", pa.list_(pa.string())),
        ("ctx_length", pa.int64()),
        *[(name, pa.float64()) for name in ("pricing_input", "pricing_output")],
        *[(name, pa.bool_()) for name in ("is_available", "is_enabled", "is_simulated")],
    ]
)
_AGENTS = pa.schema(
    [
        *[(name, pa.string()) for name in ("agent", "tenant_id", "model")],
        ("is_enabled", pa.bool_()),
        ("priority_override", pa.int64()),
    ]
)
_TASKS = pa.schema([("task_type", pa.string()), ("domain", pa.string())])
_ALLOWED = pa.schema([(name, pa.string()) for name in ("tenant_id", "role", "model")])
_WORDS = pa.schema([(name, pa.string()) for name in ("task_type", "source", "pattern")])
_POLICIES = pa.schema(
    [
        *[(name, pa.string()) for name in ("tenant_id", "agent", "user_id", "name")],
        ("version", pa.int64()),
        ("rules", pa.string()),
        ("is_active", pa.bool_()),
    ]
)
_SCORES = pa.schema(
    [
        *[(name, pa.string()) for name in ("model", "task_type", "scope", "agent", "tenant_id")],
        ("quality", pa.float64()),
        ("quality_n", pa.int64()),
        *[(name, pa.float64()) for name in ("quality_se", "quality_low", "quality_high")],
        *[
            (name, pa.float64())
            for name in ("learned_quality", "learned_n", "learned_se", "learned_low", "learned_high")
        ],
        ("own_share", pa.float64()),
        ("learned_basis", pa.string()),
        ("evidence", pa.string()),
        ("usage_count", pa.int64()),
        *[(name, pa.int64()) for name in ("window_days", "requests")],
        *[(name, pa.float64()) for name in ("failure_rate", "latency_p50_ms", "latency_p95_ms")],
        *[(name, pa.float64()) for name in ("ttft_p50_ms", "ttft_p95_ms", "tps_mean", "cost_per_query")],
        ("last_seen", _TIME),
    ]
)
_names = itertools.count(1)


def model(key: str, **changes: Any) -> Row:
    """A chat model that is available and enabled, named after its key."""
    provider, _, name = key.partition("/")
    return {
        "id": key,
        "provider_id": provider,
        "display_name": name.capitalize(),
        "model_type": "chat",
        "capabilities": ["text"],
        "priority": 50,
        "cost_tier": "standard",
        "domains": [],
        "ctx_length": 8_000,
        "pricing_input": 1.0,
        "pricing_output": 2.0,
        "is_available": True,
        "is_enabled": True,
        "is_simulated": False,
    } | changes


def enabled(agent: str, key: str, **changes: Any) -> Row:
    return {"agent": agent, "tenant_id": None, "model": key, "is_enabled": True, "priority_override": None} | changes


def score(key: str, quality: float | None = None, n: int | None = None, **changes: Any) -> Row:
    """What is known of a model: overall, if `changes` name no scope."""
    row: dict[str, Any] = dict.fromkeys(_SCORES.names)
    known: dict[str, Any] = {
        "model": key,
        "scope": "overall",
        "quality": quality,
        "quality_n": n,
        "evidence": "benchmark",
        "last_seen": NOW,
    }
    if n:
        known["quality_se"] = 0.5 / n**0.5
    return row | known | changes


def learned(quality: float, worth: float, se: float, **changes: Any) -> dict[str, Any]:
    """What was learned of a model, beside the plain means of its row; worth so many ratings."""
    known = {"learned_quality": quality, "learned_n": worth, "learned_se": se, "own_share": 0.5}
    known |= {"learned_low": max(0.0, quality - 2 * se), "learned_high": min(1.0, quality + 2 * se)}
    return known | {"learned_basis": "ratings"} | changes


def policy(name: str, rules: Mapping[str, Any] | None = None, *, is_active: bool = False, **changes: Any) -> Row:
    """A policy of everyone's, if `changes` name no owner."""
    row = {"tenant_id": None, "agent": None, "user_id": None, "name": name, "version": 1, "is_active": is_active}
    return row | {"rules": json.dumps(dict(rules or {}))} | changes


def asked(requests: int, failed: int, days: int = 7) -> dict[str, Any]:
    """What an overall row says of a model's requests in the last `days`."""
    return {"window_days": days, "requests": requests, "failure_rate": failed / requests}


def rating(key: str, task: str, quality: float, n: int, **changes: Any) -> Row:
    return score(key, quality, n, **{"scope": "task", "task_type": task, "evidence": "feedback"} | changes)


def accuracy(key: str, domain: str, quality: float, n: int, **changes: Any) -> Row:
    return score(key, quality, n, **{"scope": "domain", "task_type": domain} | changes)


def further(
    allowed: Iterable[tuple[str | None, str | None, str | None]] = (),
    stored: Sequence[Row] = (),
    words: Sequence[tuple[str, str, str]] = (),
) -> dict[str, pa.Table]:
    """The tables of a configuration that may be empty: without rows nobody is restricted, and the presets serve."""
    return {
        "allowed_models": pa.Table.from_pylist(
            [{"tenant_id": tenant, "role": role, "model": key} for tenant, role, key in allowed], _ALLOWED
        ),
        "policies": pa.Table.from_pylist(list(stored), _POLICIES),
        "task_types": pa.Table.from_pylist(
            [{"task_type": task, "source": source, "pattern": pattern} for task, source, pattern in words], _WORDS
        ),
    }


def configure(
    home: Path,
    models: Sequence[Row],
    agents: Sequence[Row] = (),
    tasks: Iterable[tuple[str, str]] = (),
    *,
    allowed: Iterable[tuple[str | None, str | None, str | None]] = (),
    stored: Sequence[Row] = (),
    words: Sequence[tuple[str, str, str]] = (),
    **meta: Any,
) -> Path:
    """Publish a configuration snapshot; returns its directory. `allowed` is (tenant, role, model), `words` (task, source, pattern)."""
    pairs = [{"task_type": task, "domain": domain} for task, domain in tasks]
    tables = {
        "models": pa.Table.from_pylist(list(models), _MODELS),
        "agent_models": pa.Table.from_pylist(list(agents), _AGENTS),
        "task_domains": pa.Table.from_pylist(pairs, _TASKS),
        **further(allowed, stored, words),
    }
    return publish(
        home / "configuration", f"c{next(_names)}", tables, **(dict(META) | {"kind": "configuration"} | meta)
    )


def scored(home: Path, rows: Sequence[Row], *, simulated: bool = False, as_of: str = AS_OF, **meta: Any) -> Path:
    """Publish a scoring snapshot; returns its directory."""
    table = pa.Table.from_pylist(list(rows), _SCORES)
    if table["learned_quality"].null_count == table.num_rows:  # as it was published before there was any
        table = table.drop_columns([name for name in _SCORES.names if "learned" in name or name == "own_share"])
    tables = {"routing_scores": table}
    pointer = "CURRENT-simulated" if simulated else "CURRENT"
    described: dict[str, Any] = {"kind": "scoring", "is_simulated": simulated, "as_of": as_of} | meta
    return publish(home / "scoring", f"s{next(_names)}", tables, pointer=pointer, **described)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
