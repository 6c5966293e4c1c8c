"""PostgreSQL's own: events lie in a partition of their month, and a view says there what it says in SQLite."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from store.postgres_rows import AT, Connection, insert, one
from supabase_project import Project, Projects

from analytics.store import schema, stable_id


@pytest.fixture(scope="module")
def address(projects: Projects) -> Iterator[str]:
    with projects.database() as db_url:
        yield db_url


@pytest.fixture
def db(address: str) -> Iterator[Connection]:
    """A migrated database; what a test does in it is undone."""
    with psycopg.connect(address) as connection:
        yield connection
        connection.rollback()


# -- partitions --------------------------------------------------------------------------------------------------


def months(connection: Connection, table: str = "request_events") -> list[str]:
    found = connection.execute(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = %s::regclass order by 1",
        (f"public.{table}",),
    )
    return [name.removeprefix(f"{table}_") for (name,) in found]


def ahead(number: int) -> str:
    now = datetime.now(UTC)
    year, month = divmod(now.year * 12 + now.month - 1 + number, 12)
    return f"{year}_{month + 1:02}"


def test_partitions_of_the_coming_months_are_made_ahead_once(db: Connection) -> None:
    assert months(db) == [*(ahead(number) for number in range(4)), "default"]
    made = one(db, "select make_partitions(5)")["made"]
    assert made == [f"{table}_{ahead(number)}" for table in ("request_events", "feedback_events") for number in (4, 5)]
    assert one(db, "select make_partitions(5)") == {"made": []}
    for wrong in (-1, 1000):
        with pytest.raises(psycopg.errors.InvalidParameterValue), db.transaction():
            db.execute("select make_partitions(%s)", (wrong,))


def test_a_row_of_a_month_without_a_partition_waits_and_moves_as_it_is(db: Connection) -> None:
    before = datetime.now(UTC) - timedelta(days=95)
    ids = [
        insert(db, "request_events", model="m", success=True, created_at=moment)
        for moment in (before, datetime(1999, 1, 1, tzinfo=UTC), datetime.now(UTC))
    ]
    rows = "select id::text, commit_seq, txid::text, created_at from request_events order by commit_seq"
    where = "select tableoid::regclass::text from request_events where id = %s"
    was = db.execute(rows).fetchall()
    assert one(db, where, ids[0]) == "partitions.request_events_default"
    db.execute("select make_partitions(3)")
    assert one(db, where, ids[0]) == f"partitions.request_events_{before:%Y_%m}"
    assert one(db, where, ids[1]) == "partitions.request_events_default", "older than anything that is kept"
    assert db.execute(rows).fetchall() == was
    assert [row[0] for row in was] == ids
    insert(db, "request_events", model="m", success=True, created_at=before)
    assert one(db, "select count(*) from only partitions.request_events_default") == 1, "the month has its place now"


def test_an_old_month_goes_when_nothing_is_left_of_it(db: Connection) -> None:
    before = datetime.now(UTC) - timedelta(days=95)
    old = insert(
        db, "feedback_events", model="m", message_id="x", rating=1, feedback_type="explicit", created_at=before
    )
    db.execute("select make_partitions(3)")
    db.execute("select make_partitions(3)")
    assert f"{before:%Y_%m}" in months(db, "feedback_events")
    db.execute("delete from feedback_events where id = %s", (old,))
    db.execute("select make_partitions(3)")
    assert f"{before:%Y_%m}" not in months(db, "feedback_events")
    assert months(db, "feedback_events") == [*(ahead(number) for number in range(4)), "default"]


def test_a_new_partition_is_guarded_and_indexed_like_its_table(db: Connection) -> None:
    db.execute("select make_partitions(6)")
    shapes = db.execute(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity, (select count(*) from pg_index x where x.indrelid = c.oid) "
        "from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'public.request_events'::regclass"
    ).fetchall()
    assert len({shape[1:] for shape in shapes}) == 1
    assert all(shape[1] for shape in shapes)


def test_the_service_makes_partitions_by_rest_and_nobody_else(project: Project) -> None:
    def call(token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{project.url}/rest/v1/rpc/make_partitions", json={"months_ahead": 4}, headers=headers)

    assert call(project.token("platform_admin", tenant_id="acme")).status_code == 403
    made = call(project.service_key)
    assert (made.status_code, made.json()) == (
        200,
        {"made": [f"{table}_{ahead(4)}" for table in ("request_events", "feedback_events")]},
    )


# -- views -------------------------------------------------------------------------------------------------------


def _world() -> dict[str, list[dict[str, Any]]]:
    """Rows that both dialects take: a corrected price, a quarantined one, an override, two opinions on one message."""

    def of(kind: str, number: int = 0) -> str:
        return stable_id(kind, str(number))

    born = {"created_at": AT, "updated_at": AT}
    shared = {"run_id": of("run"), "provider": "aurora", "model": "aurora/small", "is_simulated": False, "workload_id": "w", "workload_version": "1",
              "success": True, "created_at": AT}  # fmt: skip
    return {
        "providers": [
            {"id": of("provider"), "key": "aurora", "name": "Aurora", "provider_type": "custom", "base_url": "u", **born},
            {"id": of("provider", 1), "key": "off", "name": "Off", "provider_type": "groq", "base_url": "u", "is_active": False, **born},
        ],
        "models": [
            {"id": of("model"), "key": "aurora/small", "name": "small", "provider_id": of("provider"), "display_name": "Small", **born},
            {"id": of("model", 1), "key": "off/x", "name": "x", "provider_id": of("provider", 1), "display_name": "X", **born},
        ],
        "model_overrides": [{"model_id": of("model"), "priority": 90, "is_enabled": False, "updated_at": AT}],
        "prices": [
            {"id": of("price", number), "provider_id": of("provider"), "model_id": of("model"), "input_price_per_m": price,
             "output_price_per_m": 2 * price, "source": source, "timestamp": f"2026-11-2{number}T02:00:00.000000Z", "quarantine_reason": why}
            for number, (price, source, why) in enumerate([(1.0, "admin", None), (2.0, "genai-prices", None), (99.0, "provider_api", "a jump")])
        ],
        "runs": [{"id": of("run"), "run_name": "r", "triggered_by": "t", "seed": 1, "planned": 3, "started_at": AT}],
        "benchmark_results": [
            shared | {"id": of("result", number), "outcome": outcome, "input_tokens": 1000, "output_tokens": 10, "cached_input_tokens": cached,
                      "cost_usd": 0.5, "cost_source": source, "price_id": price}
            for number, (outcome, source, price, cached) in enumerate(
                [("ok", "price", of("price", 1), 400), ("ok", "price", of("price", 1), None), ("failed", "provider", None, 0), ("skipped", None, None, None)]
            )
        ],
        "repricings": [
            {"id": of("repricing", number), "price_id": of("price", 1), "input_price_per_m": 10.0 * number, "output_price_per_m": 3.0,
             "cached_input_price_per_m": 1.0, "reason": "wrong", "created_at": f"2026-11-2{number}T03:00:00.000000Z"}
            for number in (1, 2)
        ],
        "request_events": [
            {"id": of("event", number), "model": "aurora/small", "success": True, "message_id": message, "conversation_id": "c", "tokens_input": 5,
             "tokens_output": 7, "total_tokens": total, "tenant_id": "acme", "user_id": "u", "cost": 0.25, "created_at": AT}
            for number, (message, total) in enumerate([("m1", None), ("m2", 15), (None, None)])
        ],
        "feedback_events": [
            {"id": of("opinion", number), "message_id": "m1", "model": "aurora/small", "rating": rating, "feedback_type": "explicit",
             "user_id": "u", "created_at": f"2026-11-2{number}T03:00:00.000000Z"}
            for number, rating in ((1, 0.25), (2, 0.75))
        ],
    }  # fmt: skip


@pytest.mark.parametrize("view", sorted(name for name, table in schema.warehouse().items() if table.is_view))
def test_a_view_says_the_same_in_both_dialects(db: Connection, view: str) -> None:
    with schema.empty_warehouse() as lite:
        for table, rows in _world().items():
            for row in rows:
                insert(db, table, **row)
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                lite.execute(f"insert into {table} ({names}) values ({marks})", list(row.values()))
        lite.row_factory = sqlite3.Row
        columns = schema.table(view).columns
        theirs = [dict(row) for row in lite.execute(f"select * from {view}")]
    with db.cursor(row_factory=dict_row) as cursor:
        ours = cursor.execute(sql.SQL("select to_jsonb(v) from {} v").format(sql.Identifier(view))).fetchall()
    told = [{name: _plain(row["to_jsonb"][name], column.kind) for name, column in columns.items()} for row in ours]
    expected = [{name: _plain(row[name], column.kind) for name, column in columns.items()} for row in theirs]
    assert sorted(told, key=str) == sorted(expected, key=str)
    assert told


def _plain(value: Any, kind: str) -> Any:
    """A value as either database gives it, in one form."""
    if value is None:
        return None
    match kind:
        case "boolean":
            return bool(value)
        case "json":
            return json.loads(value) if isinstance(value, str) else value
        case "time":
            return datetime.fromisoformat(value)
        case "real":
            return pytest.approx(value, rel=1e-12)
        case _:
            return value
