"""Rows for tests that ask PostgreSQL itself: inserted by SQL, whole, valid and small."""

import uuid
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]
AT = "2026-11-21T02:00:00.000000Z"


def insert(connection: Connection, table: str, **row: Any) -> str:
    """Insert one row; its id."""
    row = {"id": str(uuid.uuid4())} | row if table != "model_overrides" else row
    connection.execute(
        sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join([sql.Placeholder()] * len(row)),
        ),
        list(row.values()),
    )
    return str(row.get("id"))


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query, values or None).fetchone()
    assert row is not None
    return row[0]


def provider(connection: Connection, key: str = "aurora") -> str:
    return insert(connection, "providers", key=key, name=key, provider_type="custom", base_url="https://a.example")


def model(connection: Connection, provider_id: str, name: str = "small") -> str:
    key = f"aurora/{name}"
    return insert(connection, "models", key=key, name=name, provider_id=provider_id, display_name=name)


def run(connection: Connection) -> str:
    return insert(connection, "runs", run_name="r", triggered_by="test", seed=1, planned=1, started_at=AT)


def result(connection: Connection, run_id: str, **more: Any) -> str:
    row = {
        "run_id": run_id, "provider": "aurora", "model": "aurora/small", "is_simulated": False, "workload_id": "w",
        "workload_version": "1", "outcome": "ok", "success": True, "created_at": AT,
    }  # fmt: skip
    return insert(connection, "benchmark_results", **row | more)
