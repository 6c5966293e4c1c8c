"""The ready queries over a real lake. What each answers is tested by tables in `tests/sql`."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from store.samples import T0, Row, entry, provider, request, result, run

from analytics import duck
from analytics.errors import BadRows, UnknownName
from analytics.lake import Lake
from analytics.queries import list_queries, run_query
from analytics.scoring import score
from analytics.store import SqliteStore

AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "store.sqlite") as opened:
        opened.migrate()
        opened.write("providers", [provider()])
        opened.apply_catalog("aurora", [entry("small")], T0)
        yield opened


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.mark.parametrize("name", [query.name for query in list_queries()])
def test_every_query_runs_on_an_empty_and_on_a_filled_lake(store: SqliteStore, lake: Lake, name: str) -> None:
    [query] = [query for query in list_queries() if query.name == name]
    one = run(finished_at=T0)
    values = {"model": "small", "provider": "aurora", "run_id": one["id"]}
    given = {parameter: values[parameter] for parameter in query.parameters}
    assert run_query(lake, name, AS_OF, given).num_rows == 0
    store.land_results([one], [result(one), result(one, outcome="failed", success=False, error_type="server")])
    store.write("request_events", a_steady_week_and_a_slow_day())
    lake.extract(store)
    score(lake, lake.directory.with_name("scoring"), AS_OF)
    assert run_query(lake, name, AS_OF, given).num_rows >= 1


def a_steady_week_and_a_slow_day() -> list[Row]:
    """Live requests, five a day: what asks about live traffic, or about an unusual day, finds something."""
    days = [AS_OF - timedelta(days=back, hours=1) for back in range(8)]
    return [
        request(
            created_at=day.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), latency_ms=800.0 if day == days[0] else 80.0, cost=0.001
        )
        for day in days
        for _ in range(5)
    ]


def test_every_query_has_a_description() -> None:
    assert len(list_queries()) >= 14
    for query in list_queries():
        assert query.description[0].islower(), query.name
        assert "select" not in query.description, query.name


def test_deleted_runs_are_not_in_the_answers(store: SqliteStore, lake: Lake) -> None:
    one, two = run(), run()
    store.land_results([one, two], [result(one), result(two)])
    lake.extract(store)
    store.delete("runs", [two["id"]])
    lake.extract(store)
    assert run_query(lake, "provider_performance_24h", AS_OF)["requests"].to_pylist() == [1]


def test_corrupt_files_are_left_out_and_named(store: SqliteStore, lake: Lake) -> None:
    one = run()
    store.land_results([one], [result(one)])
    lake.extract(store)
    path = lake.directory / lake.files("benchmark_results")[0].path
    path.write_bytes(path.read_bytes()[:-1])
    answer = run_query(lake, "provider_performance_24h", AS_OF)
    assert answer.num_rows == 0
    assert path.name in json.loads(answer.schema.metadata[b"left_out"])[0]


def test_an_unknown_query_lists_the_others(lake: Lake) -> None:
    with pytest.raises(UnknownName, match="latest_prices"):
        run_query(lake, "cheapest")


@pytest.mark.parametrize("given", [{}, {"model": "a", "b": "c"}])
def test_values_must_be_those_that_are_asked_for(lake: Lake, given: dict[str, str]) -> None:
    with pytest.raises(BadRows, match="wants model"):
        run_query(lake, "model_prices", parameters=given)


def test_a_value_is_bound_and_never_run(store: SqliteStore, lake: Lake) -> None:
    lake.extract(store)
    assert run_query(lake, "model_prices", AS_OF, {"model": "'; drop table prices; --"}).num_rows == 0


@pytest.mark.parametrize(
    "sql", ["select * from '/etc/passwd'", "select * from read_csv('/etc/passwd')", "install httpfs"]
)
def test_the_engine_reaches_no_file_and_no_extension(sql: str) -> None:
    with duck.open_engine() as engine, pytest.raises(duckdb.Error):
        engine.execute(sql)


def test_the_engines_settings_are_locked() -> None:
    with duck.open_engine() as engine, pytest.raises(duckdb.Error, match="locked"):
        engine.execute("set enable_external_access = true")


def test_the_tables_of_a_select_are_found_behind_its_local_names() -> None:
    sql = (
        "with a as (select * from x) select * from a join (select * from y) as b on true where exists (select 1 from z)"
    )
    assert duck.tables_read(sql) == {"x", "y", "z"}


def test_sql_that_does_not_parse_is_refused() -> None:
    with pytest.raises(ValueError, match="does not parse"):
        duck.tables_read("select from where")


def test_a_parameter_in_a_comment_is_none() -> None:
    assert duck.parameters("-- $a\nselect $b_c -- $d") == {"b_c"}


def test_what_was_published_answers_and_a_damaged_snapshot_is_named(store: SqliteStore, lake: Lake) -> None:
    """Of simulated evidence too; a snapshot that cannot be read is left out, and said."""
    one, two = run(is_simulated=False), run(is_simulated=True)
    store.land_results([one, two], [result(one, is_simulated=False), result(two, is_simulated=True)])
    lake.extract(store)
    scoring = lake.directory.with_name("elsewhere")
    report = score(lake, scoring, AS_OF)
    assert run_query(lake, "error_rate_7d", AS_OF).num_rows == 0, "nothing was published beside the lake"
    answer = run_query(lake, "error_rate_7d", AS_OF, scoring=scoring)
    assert answer["is_simulated"].to_pylist() == [False, True]
    (scoring / report.snapshots["real"] / "hourly_trends.parquet").write_bytes(b"spoiled")
    answer = run_query(lake, "error_rate_7d", AS_OF, scoring=scoring)
    assert answer["is_simulated"].to_pylist() == [True]
    assert "hourly_trends.parquet" in json.loads(answer.schema.metadata[b"left_out"])[0]


def test_prices_are_told_before_anything_was_measured(store: SqliteStore, lake: Lake) -> None:
    lake.extract(store)
    assert score(lake, lake.directory.with_name("scoring"), AS_OF).snapshots == {}
    assert run_query(lake, "price_history_30d", AS_OF)["model"].to_pylist() == ["aurora/small"]
