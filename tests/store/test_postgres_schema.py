"""PostgreSQL itself holds what the warehouse promises: described columns, finite numbers, deletes, indexes."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from store.postgres_rows import AT, Connection, insert, model, one, provider, result, run
from supabase_project import Projects


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


# -- described ---------------------------------------------------------------------------------------------------


def test_every_table_view_and_column_is_described(db: Connection) -> None:
    bare = db.execute(
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0 "
        "and not a.attisdropped where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') "
        "and col_description(c.oid, a.attnum) is null"
    ).fetchall()
    assert bare == []
    untold = db.execute(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v') "
        "and obj_description(oid, 'pg_class') is null"
    ).fetchall()
    assert untold == []


def test_what_has_a_unit_says_it(db: Connection) -> None:
    units = {"_ms": "ms", "_usd": "USD", "_per_m": "USD per 1M", "_ms2": "ms squared", "_s": "seconds", "_at": "(UTC)"}
    described = db.execute(
        "select c.relname, a.attname, col_description(c.oid, a.attnum) from pg_class c join pg_attribute a on a.attrelid = c.oid "
        "and a.attnum > 0 and not a.attisdropped where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')"
    ).fetchall()
    for table, column, text in described:
        for ending, unit in units.items():
            if column.endswith(ending):
                assert unit in text, f"{table}.{column}: {text}"


def test_a_table_that_is_not_described_whole_is_no_migration(db: Connection) -> None:
    db.execute("create table public.notes (id uuid, note text)")
    with pytest.raises(psycopg.errors.RaiseException, match=r"notes\.note has no comment"), db.transaction():
        db.execute("select scorehouse.describe('public.notes', 'Notes')")
    with pytest.raises(psycopg.errors.UndefinedColumn), db.transaction():
        db.execute("""select scorehouse.describe('public.notes', 'Notes', '{"note": "x", "nothing": "y"}')""")


# -- refused -----------------------------------------------------------------------------------------------------


def test_no_column_takes_a_number_that_is_none(db: Connection) -> None:
    """Every floating-point column has one of the domains, and the domains refuse what no measure is."""
    naked = db.execute(
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 "
        "where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.atttypid in ('float8'::regtype, 'float4'::regtype)"
    ).fetchall()
    assert naked == []
    for domain, wrong in {
        "finite": ("NaN", "Infinity", "-Infinity"),
        "amount": ("NaN", "Infinity", "-1e-300", "1e999"),
        "share": ("NaN", "Infinity", "-0.001", "1.001"),
        "whole": ("-1",),
        "object": ("[]", '"x"', "1", "null"),
        "list": ("{}", '"x"'),
    }.items():
        for value in wrong:
            with (
                pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NumericValueOutOfRange)),
                db.transaction(),
            ):
                db.execute(sql.SQL("select cast({} as public.{})").format(sql.Literal(value), sql.Identifier(domain)))


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ("benchmark_results", {"outcome": "splendid"}),
        ("benchmark_results", {"ttft_ms": -1}),
        ("benchmark_results", {"cost_usd": float("nan")}),
        ("benchmark_results", {"confidence": 2}),
        ("benchmark_results", {"token_source": "guessed"}),
        ("providers", {"provider_type": "telepathy"}),
        ("providers", {"rate_limit_rpm": 0}),
        ("feedback_events", {"rating": 1.5}),
        ("feedback_events", {"rating": None}),
        ("feedback_events", {"feedback_type": "loud"}),
        ("feedback_events", {"signal": "shout"}),
        ("request_events", {"role": "prompter"}),
        ("request_events", {"tokens_input": -1}),
        ("routing_decisions", {"source": "dice"}),
        ("budgets", {"period": "decade"}),
        ("budgets", {"limit_usd": float("inf")}),
        ("billing_records", {"period_end_at": AT}),
        ("routing_experiments", {"treatment_share": 1.1}),
    ],
)
def test_a_state_or_range_that_cannot_be_is_refused(db: Connection, table: str, wrong: dict[str, Any]) -> None:
    good: dict[str, dict[str, Any]] = {
        "providers": {"key": "k", "name": "n", "provider_type": "custom", "base_url": "https://a.example"},
        "feedback_events": {"message_id": "m", "model": "m", "feedback_type": "explicit", "rating": 0.5},
        "request_events": {"model": "m", "success": True},
        "routing_decisions": {"source": "none", "policy": "default"},
        "budgets": {"tenant_id": "t", "period": "day"},
        "routing_experiments": {
            "name": "e", "control_policy": "a", "treatment_policy": "b", "treatment_share": 0.5, "salt": "s",
        },
        "billing_records": {
            "tenant_id": "t", "model": "m", "period_start_at": AT, "period_end_at": "2026-12-01", "is_simulated": False,
            "requests": 1, "requests_without_cost": 0,
        },
    }  # fmt: skip
    if table == "benchmark_results":
        run_id = run(db)
        with pytest.raises(psycopg.errors.CheckViolation):
            result(db, run_id, **wrong)
    else:
        with db.transaction(force_rollback=True):
            insert(db, table, **good[table])
        with pytest.raises(psycopg.errors.CheckViolation):
            insert(db, table, **good[table] | wrong)


def test_one_policy_of_an_owner_and_environment_is_active(db: Connection) -> None:
    policy = {"name": "fast", "version": 1, "rules": "{}", "is_active": True, "tenant_id": "acme"}
    insert(db, "routing_configs", **policy)
    insert(db, "routing_configs", **policy | {"environment": "staging"})
    insert(db, "routing_configs", **policy | {"user_id": "u"})
    insert(db, "routing_configs", **policy | {"version": 2, "is_active": False})
    with pytest.raises(psycopg.errors.UniqueViolation):
        insert(db, "routing_configs", **policy | {"version": 3})


# -- deleted -----------------------------------------------------------------------------------------------------


def test_a_deleted_run_takes_its_results_and_leaves_a_tombstone(db: Connection) -> None:
    gone, kept = run(db), run(db)
    result(db, gone)
    left = result(db, kept)
    db.execute("delete from runs where id = %s", (gone,))
    assert [str(row[0]) for row in db.execute("select id from benchmark_results")] == [left]
    assert [str(row[0]) for row in db.execute("select run_id from tombstones")] == [gone]


def test_a_deleted_provider_takes_its_models_and_prices_and_leaves_its_results_by_name(db: Connection) -> None:
    provider_id = provider(db)
    model_id = model(db, provider_id)
    insert(db, "prices", provider_id=provider_id, model_id=model_id, source="admin", timestamp=AT)
    insert(db, "model_overrides", model_id=model_id, priority=90)
    result(db, run(db), provider_id=provider_id, model_id=model_id)
    db.execute("delete from providers where id = %s", (provider_id,))
    for table in ("models", "prices", "model_overrides"):
        assert one(db, f"select count(*) from {table}") == 0
    kept = db.execute("select provider_id, model_id, provider, model from benchmark_results").fetchall()
    assert kept == [(None, None, "aurora", "aurora/small")]


# -- found -------------------------------------------------------------------------------------------------------


def test_every_foreign_key_has_an_index(db: Connection) -> None:
    bare = db.execute(
        "select c.conrelid::regclass::text, a.attname from pg_constraint c "
        "join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1] "
        "where c.contype = 'f' and c.connamespace = 'public'::regnamespace and not exists ("
        "  select 1 from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])"
    ).fetchall()
    assert bare == []


@pytest.fixture(scope="module")
def busy(projects: Projects) -> Iterator[Connection]:
    """Sixty days of results, live requests and prices: enough that a plan matters."""
    with projects.database() as db_url, psycopg.connect(db_url, autocommit=True) as connection:
        owner = provider(connection)
        models = [model(connection, owner, f"m{number}") for number in range(20)]
        connection.execute(
            "insert into models (key, name, provider_id, display_name) "
            "select 'aurora/x' || n, 'x' || n, %s, 'X' from generate_series(1, 5000) n",
            (owner,),
        )
        runs = [run(connection) for _ in range(60)]
        connection.execute(
            "update runs set started_at = n.at, finished_at = n.at + interval '5 minutes' from ("
            "  select id, now() - (row_number() over ()) * interval '1 day' as at from runs) n where n.id = runs.id"
        )
        connection.execute(
            "insert into benchmark_results (id, run_id, provider, model, is_simulated, workload_id, workload_version, outcome, success, "
            "  created_at, cost_usd) "
            "select gen_random_uuid(), (%s::uuid[])[1 + n %% 60], 'p' || n %% 5, 'p' || n %% 5 || '/m' || n %% 20, false, 'w', '1', "
            "  case when n %% 10 = 0 then 'failed' else 'ok' end, n %% 10 <> 0, now() - n * interval '2 minutes', 0.001 "
            "from generate_series(1, 43200) n",
            (runs,),
        )
        connection.execute(
            "insert into prices (provider_id, model_id, source, timestamp, input_price_per_m, output_price_per_m) "
            "select %s, (%s::uuid[])[1 + n %% 20], 'provider_api', now() - n * interval '1 hour', n, n from generate_series(1, 4000) n",
            (owner, models),
        )
        connection.execute(
            "insert into request_events (model, success, tenant_id, message_id, created_at) "
            "select 'm' || n % 20, true, 't' || n % 50, 'message-' || n, now() - n * interval '5 minutes' from generate_series(1, 17280) n"
        )
        connection.execute("select make_partitions(1)")
        connection.execute("analyze")
        yield connection


WINDOW = "created_at > now() - interval '24 hours' and created_at <= now()"
READS = {
    "provider_performance_24h, model_performance_24h, error_rate_24h": (
        f"select provider, avg(total_latency_ms) from benchmark_results where outcome = 'ok' and {WINDOW} group by provider",
        "benchmark_results_by_time",
    ),
    "run_results": (
        "select * from benchmark_results where run_id = (select id from runs limit 1) order by created_at, id",
        "benchmark_results_by_run",
    ),
    "one provider's results": (
        f"select * from benchmark_results where provider = 'p1' and {WINDOW}",
        "benchmark_results_by_(provider|time)",
    ),
    "one model's newest results": (
        "select * from benchmark_results where model = 'p1/m1' order by created_at desc limit 10",
        "benchmark_results_by_(model|time)",
    ),
    "recent_runs_24h": ("select * from runs where started_at > now() - interval '24 hours'", "runs_by_start"),
    "completed_runs": ("select * from runs where finished_at <= now() - interval '59 days' order by finished_at", "runs_by_end"),
    "latest_prices, the price in force": (
        ("select id from prices where model_id = (select id from models limit 1) and quarantine_reason is null "
        "order by timestamp desc, id desc limit 1"),
        "prices_by_model",
    ),
    "price_history_30d": (
        "select * from prices where timestamp > now() - interval '3 days' order by timestamp",
        "prices_by_time",
    ),
    "provider_models": ("select * from models where key = 'aurora/m1'", "models_key_key"),
    "extraction by horizon": (
        ("select * from benchmark_results where (txid, commit_seq) > ('3', 0) and txid < pg_snapshot_xmin(pg_current_snapshot()) "
        "order by txid, commit_seq limit 1000"),
        "benchmark_results_by_horizon",
    ),
    "a message's request": ("select * from request_events where message_id = 'message-17'", "message_id"),
    "one tenant's day": (f"select * from request_events where tenant_id = 't1' and {WINDOW}", "tenant_id|created_at"),
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
def test_a_ready_question_is_answered_by_an_index(busy: Connection, name: str) -> None:
    query, index = READS[name]
    with busy.transaction():
        busy.execute(
            "set local enable_seqscan = off" if "runs" in name else "set local enable_seqscan = on"
        )  # 60 runs are a page
        plan = "\n".join(row[0] for row in busy.execute(f"explain {query}"))
    named = one(busy, "select %s ~ %s", plan, f"Index.*({index})")
    assert named, plan


def test_a_months_question_reads_that_months_partition(busy: Connection) -> None:
    plan = "\n".join(
        row[0] for row in busy.execute("explain select count(*) from request_events where created_at >= '2099-01-01'")
    )
    assert "request_events_default" in plan
    assert plan.count("request_events_") == plan.count("request_events_default"), plan
