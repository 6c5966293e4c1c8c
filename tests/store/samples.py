"""Rows for the tests of the store: whole, valid and small."""

from typing import Any

from analytics.store import new_id, stable_id

T0 = "2026-11-21T02:00:00.000000Z"
T1 = "2026-11-21T03:00:00.000000Z"
T2 = "2026-11-22T02:00:00.000000Z"

Row = dict[str, Any]


def provider(key: str = "aurora", **given: Any) -> Row:
    return {
        "id": stable_id("provider", key),
        "key": key,
        "name": key.title(),
        "provider_type": "custom",
        "base_url": f"https://{key}.example/v1",
        "created_at": T0,
        "updated_at": T0,
    } | given


def entry(external_id: str, **given: Any) -> Row:
    """A model as a provider lists it: the fields of `providers.records.Model`."""
    return {
        "external_id": external_id,
        "display_name": external_id.title(),
        "model_type": "chat",
        "capabilities": {"text": "declared"},
        "context_window": 8192,
        "input_price_per_m": 1.0,
        "output_price_per_m": 2.0,
        "cost_tier": "low",
        "raw": {"id": external_id},
    } | given


def run(**given: Any) -> Row:
    return {
        "id": new_id(),
        "run_name": "test",
        "triggered_by": "manual",
        "workload_id": "default",
        "is_simulated": True,
        "seed": 7,
        "planned": 2,
        "started_at": T0,
        "finished_at": None,
    } | given


def plan(run_row: Row, **given: Any) -> Row:
    """A planned result: what is known before the call."""
    return {
        "id": new_id(),
        "run_id": run_row["id"],
        "provider_id": None,
        "model_id": None,
        "provider": "aurora",
        "model": "aurora/small",
        "is_simulated": True,
        "workload_id": "default",
        "workload_version": "1",
    } | given


def result(run_row: Row, **given: Any) -> Row:
    """A planned result with what the call told."""
    return (
        plan(run_row)
        | {
            "outcome": "ok",
            "success": True,
            "status_code": 200,
            "response_text": "Paris",
            "input_tokens": 12,
            "output_tokens": 3,
            "ttft_ms": 31.25,
            "total_latency_ms": 64.5,
            "connection_reused": False,
            "created_at": T0,
        }
        | given
    )


def request(**given: Any) -> Row:
    return {"id": new_id(), "model": "aurora/small", "success": True, "latency_ms": 80.0, "created_at": T0} | given
