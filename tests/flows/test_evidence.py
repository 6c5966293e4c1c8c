"""The jobs `score`, `prune` and `status`: from rows to evidence, and what may be forgotten."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from house import AURORA, CASCADE, House, ago
from supabase_project import Project

from analytics.errors import LeaseHeld
from analytics.events import import_events
from analytics.export import exportable, write_table
from analytics.lake import Lake
from analytics.routing import Lookup, RouteQuery
from analytics.store import SqliteStore, to_text
from flows.jobs.prune import run_prune
from flows.jobs.score import run_score
from flows.jobs.status import house_status

QUICK = f"{AURORA}/aurora-mini"


@pytest.fixture
def measured(house: House) -> House:
    """A home in which one model answered four gold questions."""
    house.ready(AURORA)
    house.bench(workload="gold", sample=1, models=(QUICK,), concurrency=4)
    return house


def live(house: House, *rows: str) -> None:
    path = house.home / "events.csv"
    path.write_text("\n".join(["model,task_type,success,rating,user_id,created_at", *rows]) + "\n")
    with house.store() as store:
        import_events(store, path)


# -- score ----------------------------------------------------------------------------------------------------------------


def test_scoring_brings_every_row_into_the_lake_and_publishes(measured: House) -> None:
    done = run_score(measured.settings)
    assert done.extraction.rows["benchmark_results"] == 4
    assert set(done.report.snapshots) == {"simulated"}
    results = measured.rows("benchmark_results", "id")
    assert Lake(measured.settings.home.lake).read("benchmark_results").rows["id"].to_pylist() == [
        row["id"] for row in results
    ]
    with Lookup.open(measured.home, watch=False) as lookup:
        answer = lookup.route(RouteQuery(task="code"))
    assert answer.model
    assert (answer.source, answer.is_simulated) == ("snapshot", True)
    (metric, *_) = measured.rows("model_metrics", model=QUICK)
    assert metric["is_simulated"] is True


def test_scoring_again_without_new_rows_reads_nothing(measured: House) -> None:
    run_score(measured.settings)
    again = run_score(measured.settings)
    assert sum(again.extraction.rows.values()) == 0
    assert (again.report.files_absorbed, again.report.is_rebuilt) == (0, False)
    full = run_score(measured.settings, full=True)
    assert full.report.files_absorbed > 0


def test_scoring_an_empty_house_says_that_there_is_nothing(house: House) -> None:
    done = run_score(house.settings)
    assert done.to_dict()["snapshots"] == {}
    assert any("nothing to score" in sentence for sentence in done.sentences())


def test_a_second_scorer_is_turned_away_and_the_snapshot_stays(measured: House) -> None:
    first = run_score(measured.settings)
    with Lake(measured.settings.home.lake).lease(), pytest.raises(LeaseHeld):
        run_score(measured.settings, patience_s=0.05)
    with Lookup.open(measured.home, watch=False) as lookup:
        assert lookup.route(RouteQuery()).snapshot_id == first.report.snapshots["simulated"]


def test_a_second_scorer_waits_for_the_first(measured: House) -> None:
    with ThreadPoolExecutor(1) as pool:
        with Lake(measured.settings.home.lake).lease():
            second = pool.submit(run_score, measured.settings)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
        assert second.result(timeout=60).report.snapshots


def test_real_and_simulated_evidence_never_meet(measured: House) -> None:
    measured.add_gateway("local", "aurora-mini", provider_type="custom")
    live(measured, "local/aurora-mini,code,true,1.0,u,", f"{QUICK},code,true,0.0,u,", "aurora-code,code,true,0.0,u,")
    done = run_score(measured.settings)
    assert set(done.report.snapshots) == {"real", "simulated"}
    tables = {pointer: _models(measured, pointer) for pointer in ("CURRENT", "CURRENT-simulated")}
    assert tables["CURRENT"] == {"local/aurora-mini"}
    assert "local/aurora-mini" not in tables["CURRENT-simulated"]
    assert QUICK in tables["CURRENT-simulated"]


def _models(house: House, pointer: str) -> set[str]:
    from analytics.routing.published import read_published

    return set(read_published(house.settings.home.scoring, pointer).tables["routing_scores"]["model"].to_pylist())


def test_scoring_lands_what_a_killed_run_left_in_the_spool(house: House) -> None:
    from analytics.store import new_id
    from flows.warehouse import open_spool

    house.ready(AURORA)
    run = {
        "id": new_id(),
        "run_name": "killed",
        "triggered_by": "test",
        "is_simulated": True,
        "seed": 1,
        "planned": 1,
        "started_at": to_text(ago(hours=1)),
    }
    plan = {"id": new_id(), "run_id": run["id"], "provider": AURORA, "model": QUICK, "is_simulated": True, "workload_id": "short",
            "workload_version": "1"}  # fmt: skip
    journal = open_spool(house.settings).open_run(run, [plan])
    journal.intend(plan["id"])
    journal._journal.close()  # what a kill does
    done = run_score(house.settings)
    assert done.extraction.rows["benchmark_results"] == 1
    assert [row["outcome"] for row in house.rows("benchmark_results")] == ["aborted"]


# -- prune ------------------------------------------------------------------------------------------------------------------


def old_events(house: House) -> None:
    days = (1, 100)
    live(house, *(f"{QUICK},code,true,1.0,u,{ago(days=day).isoformat()}" for day in days))


def test_prune_removes_what_is_old_and_in_the_lake_and_nothing_else(house: House) -> None:
    house.ready(AURORA)
    old_events(house)
    run_score(house.settings)
    live(house, f"{QUICK},code,true,0.5,late,{ago(days=200).isoformat()}")  # old, and not yet read
    report = run_prune(house.settings)
    assert report.removed == {"benchmark_results": 0, "request_events": 1, "feedback_events": 1}
    left = house.rows("request_events", "created_at")
    assert [row["user_id"] for row in left] == ["late", "u"]
    assert run_score(house.settings).extraction.rows["request_events"] == 1
    assert Lake(house.settings.home.lake).read("request_events").rows.num_rows == 3


def test_pruning_a_project_makes_the_partitions_of_the_coming_months(
    house: House, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = "select count(*) from pg_class where relnamespace = 'partitions'::regnamespace and relkind = 'r'"
    with psycopg.connect(project.db_url, autocommit=True) as connection:
        before = connection.execute(partitions).fetchone()
        connection.execute(
            "do $$ declare name text; begin for name in select inhrelid::regclass from pg_inherits "
            "where inhparent = 'request_events'::regclass and inhrelid::regclass::text !~ 'default' "
            "loop execute 'drop table ' || name; end loop; end $$"
        )
        monkeypatch.setenv("SUPABASE_URL", project.url)
        monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", project.service_key)
        run_prune(house.settings, dry_run=True)
        assert connection.execute(partitions).fetchone() < before
        run_prune(house.settings)
        assert connection.execute(partitions).fetchone() == before


def test_prune_holds_the_lake_against_the_store_and_leaves_alone_what_the_lake_lacks(house: House) -> None:
    house.ready(AURORA)
    old_events(house)
    run_score(house.settings)
    assert run_prune(house.settings, older_than_days=60).problems == ()
    assert states(house)["reconciliation"] == "ok"
    lake = Lake(house.settings.home.lake)
    for file in lake.files("request_events"):
        (lake.directory / file.path).write_bytes(b"spoiled")
    report = run_prune(house.settings, older_than_days=2)
    assert "request_events" not in report.removed
    assert "missing" in report.problems[0]
    assert states(house)["reconciliation"] == "failed"
    assert house.rows("request_events"), "they are still in the store"


def test_nothing_is_pruned_before_the_lake_has_it(house: House) -> None:
    house.ready(AURORA)
    old_events(house)
    assert set(run_prune(house.settings, older_than_days=1).removed.values()) == {0}
    assert len(house.rows("request_events")) == 2


def test_a_dry_run_counts_what_would_go_and_deletes_nothing(house: House) -> None:
    house.ready(AURORA)
    old_events(house)
    run_score(house.settings)
    report = run_prune(house.settings, older_than_days=40, dry_run=True)
    assert (report.removed["request_events"], report.dry_run) == (1, True)
    assert len(house.rows("request_events")) == 2
    assert run_prune(house.settings, older_than_days=40).removed["request_events"] == 1


def test_a_store_made_anew_loses_nothing_to_the_old_ones_watermark(house: House) -> None:
    house.ready(AURORA)
    old_events(house)
    run_score(house.settings)
    for file in house.home.glob("store.sqlite*"):
        file.unlink()
    old_events(house)
    assert set(run_prune(house.settings, older_than_days=1).removed.values()) == {0}


def test_scores_stay_when_raw_rows_go(house: House) -> None:
    house.ready(AURORA)
    old_events(house)
    run_score(house.settings)
    before = exportable(house.settings.home.lake, house.settings.home.scoring)["model_metrics"]().rows
    run_prune(house.settings, older_than_days=1)
    run_score(house.settings, full=True)
    after = exportable(house.settings.home.lake, house.settings.home.scoring)["model_metrics"]().rows
    assert before["usage_count"].to_pylist() == after["usage_count"].to_pylist()


# -- status, export -----------------------------------------------------------------------------------------------------------


def states(house: House) -> dict[str, str]:
    return {part.name: part.state for part in house_status(house.settings).parts}


def test_an_empty_house_is_healthy_and_says_what_is_empty(house: House) -> None:
    status = house_status(house.settings)
    assert status.is_healthy
    assert {name: state for name, state in states(house).items() if state == "empty"}.keys() == {
        "providers", "prices", "budgets", "last_run", "lake", "reconciliation", "snapshot", "simulated_snapshot"
    }  # fmt: skip


def test_status_follows_the_data_through_the_house(measured: House) -> None:
    assert states(measured)["lake"] == "empty"
    run_score(measured.settings)
    found = states(measured)
    assert (found["store"], found["last_run"], found["lake"], found["simulated_snapshot"]) == ("ok", "ok", "ok", "ok")
    live(measured, f"{QUICK},code,true,1,u,")
    assert states(measured)["lake"] == "waiting"
    assert house_status(measured.settings).to_dict()["lake"]["rows_behind"] == 2
    measured.sections["routing"] = {"stale_after_s": 1e-9}
    assert states(measured)["simulated_snapshot"] == "stale"


def test_a_run_of_which_nothing_came_is_not_in_order(house: House) -> None:
    house.ready(CASCADE)
    house.misbehave(CASCADE, "error_503")
    house.bench(workload="short")
    status = house_status(house.settings)
    assert (states(house)["last_run"], status.is_healthy) == ("failed", False)
    assert "0 of 2 requests ok" in next(part.detail for part in status.parts if part.name == "last_run")


def test_status_names_a_provider_whose_sync_failed(house: House) -> None:
    house.ready(AURORA, CASCADE)
    house.misbehave(AURORA, "error_503")
    house.sync()
    status = house_status(house.settings).to_dict()
    assert (status["providers"]["state"], status["providers"]["last_sync_failed"]) == ("stale", [AURORA])


def test_a_broken_part_is_reported_and_the_others_are_still_looked_at(measured: House) -> None:
    run_score(measured.settings)
    home = measured.settings.home
    (home.lake / "manifest.json").write_text("{")
    (home.scoring / "CURRENT-simulated").write_text("nowhere")
    assert states(measured) | {"spool": ""} == states(measured) | {
        "lake": "failed",
        "simulated_snapshot": "failed",
        "store": "ok",
        "spool": "",
    }
    assert not house_status(measured.settings).is_healthy


def test_a_store_of_a_newer_program_is_a_failed_part(house: House) -> None:
    with house.store() as store:
        assert isinstance(store, SqliteStore)
        with store._transaction() as connection:
            connection.execute("insert into schema_migrations values ('9999_future', 'now')")
    assert states(house)["store"] == "failed"


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_every_table_can_be_exported(measured: House, tmp_path: Path, ending: str) -> None:
    live(measured, f"{QUICK},code,true,1,u,")
    run_score(measured.settings)
    tables = exportable(measured.settings.home.lake, measured.settings.home.scoring)
    assert {
        "benchmark_results",
        "request_events",
        "feedback_events",
        "model_metrics",
        "routing_scores",
        "daily_aggregates",
    } <= set(tables)
    for name, read in tables.items():
        reading = read()
        assert reading.corrupt == ()
        write_table(reading.rows, tmp_path / f"{name}.{ending}")
        assert (tmp_path / f"{name}.{ending}").stat().st_size > 0 or reading.rows.num_rows == 0
    assert not list(tmp_path.glob(".*"))


def test_what_is_corrupt_in_the_lake_is_named_by_an_export(measured: House) -> None:
    run_score(measured.settings)
    (file,) = (measured.settings.home.lake / "benchmark_results").rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    reading = exportable(measured.settings.home.lake, measured.settings.home.scoring)["benchmark_results"]()
    assert reading.rows.num_rows == 0
    assert file.name in reading.corrupt[0]
