"""Scoring from a real store to a published snapshot."""

import math
import random
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store.samples import T0, entry, provider, request, result, run

from analytics import sqlfiles
from analytics.errors import CheckFailed, LeaseHeld
from analytics.lake import Lake
from analytics.routing.published import read_published
from analytics.scoring import ScoreReport, score, write_back
from analytics.scoring.checks import run_checks
from analytics.scoring.tables import needed, scoring_sql
from analytics.store import Row, SqliteStore, new_id, to_text

AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


class Bench:
    """A store, a lake and a scoring folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = SqliteStore(folder / "store.sqlite")
        self.store.migrate()
        self.store.write("providers", [provider()])
        self.store.apply_catalog("aurora", [entry("small"), entry("big")], T0)
        self.lake = Lake(folder / "lake")
        self.scoring = folder / "scoring"

    def land(self, rows: list[Row], **of_run: Any) -> str:
        one = run(is_simulated=False, **of_run)
        landed = self.store.land_results([one], [{**result(one), "is_simulated": False, **row} for row in rows])
        assert not landed.refused
        return str(one["id"])

    def refresh(self, as_of: datetime = AS_OF, **options: Any) -> ScoreReport:
        self.lake.extract(self.store)
        return score(self.lake, self.scoring, as_of, **options)

    def tables(self, pointer: str = "CURRENT") -> dict[str, pa.Table]:
        return dict(read_published(self.scoring, pointer).tables)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def test_results_become_a_published_routing_table(bench: Bench) -> None:
    bench.land([{"domain": "math", "benchmark_id": "q", "correct": True}, {"outcome": "failed", "success": False}])
    report = bench.refresh()
    published = read_published(bench.scoring)
    assert report.snapshots == {"real": published.snapshot_id}
    assert published.meta["is_simulated"] is False
    overall = next(row for row in bench.tables()["routing_scores"].to_pylist() if row["scope"] == "overall")
    assert (overall["model"], overall["quality"], overall["failure_rate"]) == ("aurora/small", 1.0, 0.5)
    assert overall["ttft_p50_ms"] == pytest.approx(31.25, rel=0.01)


def test_no_evidence_publishes_nothing(bench: Bench) -> None:
    report = bench.refresh()
    assert report.snapshots == {}
    assert not (bench.scoring / "CURRENT").exists()


def test_rows_that_count_nowhere_are_reported_but_make_no_snapshot(bench: Bench) -> None:
    bench.land([{"outcome": "skipped", "success": False}, {"total_latency_ms": 1e308}])
    report = bench.refresh()
    assert report.rejects == {"latency out of range": 1, "skipped": 1}
    assert report.snapshots == {}


def test_corrupt_tombstones_are_read_again(bench: Bench) -> None:
    bench.land([{}])
    deleted = bench.land([{}])
    bench.lake.extract(bench.store)
    bench.store.delete("runs", [deleted])
    bench.lake.extract(bench.store)
    (bench.lake.directory / bench.lake.files("tombstones")[0].path).write_bytes(b"")
    report = bench.refresh()
    assert report.rejects == {"its run was deleted": 1}
    assert len(report.corrupt) == 1


def test_the_figures_agree_with_plain_python(bench: Bench) -> None:
    """A slow, obvious second implementation: lists, `statistics` and interpolated ranks."""
    chance = random.Random(7)
    rows: list[dict[str, Any]] = [
        {
            "outcome": chance.choice(["ok", "ok", "ok", "failed", "incomplete"]),
            "domain": "math",
            "total_latency_ms": round(chance.lognormvariate(6, 1.5), 3),
            "ttft_ms": round(chance.lognormvariate(3, 1), 3),
            "tps": round(chance.uniform(1, 200), 2),
            "token_source": "provider",
            "benchmark_id": "q",
            "correct": chance.random() < 0.7,
            "cost_usd": round(chance.uniform(0, 0.01), 9),
        }
        for _ in range(300)
    ]
    bench.land([{**row, "success": row["outcome"] == "ok"} for row in rows])
    bench.refresh()
    found = next(row for row in bench.tables()["model_metrics_by_window"].to_pylist() if row["window_name"] == "24h")
    ok = [row for row in rows if row["outcome"] == "ok"]
    assert found["usage_count"] == 300
    assert found["failure_rate"] == pytest.approx(1 - len(ok) / 300)
    assert found["accuracy"] == pytest.approx(statistics.fmean(row["correct"] for row in ok))
    assert found["cost_per_query"] == pytest.approx(statistics.fmean(row["cost_usd"] for row in rows))
    for column, prefix in (("total_latency_ms", "latency"), ("ttft_ms", "ttft")):
        values = sorted(row[column] for row in ok)
        assert found[f"{prefix}_mean_ms"] == pytest.approx(statistics.fmean(values), rel=1e-4)
        assert found[f"{prefix}_variance_ms2"] == pytest.approx(statistics.variance(values), rel=1e-3)
        for share in (50, 95, 99):
            exact = statistics.quantiles(values, n=100, method="inclusive")[share - 1]
            assert found[f"{prefix}_p{share}_ms"] == pytest.approx(exact, rel=0.0101)
    assert found["tps_mean"] == pytest.approx(statistics.fmean(row["tps"] for row in ok))


def test_real_and_simulated_evidence_are_two_snapshots(bench: Bench) -> None:
    bench.land([{}])
    bench.land([{"is_simulated": True, "total_latency_ms": 900.0}])
    assert set(bench.refresh().snapshots) == {"real", "simulated"}
    for pointer, latency in (("CURRENT", 64.5), ("CURRENT-simulated", 900.0)):
        assert bench.tables(pointer)["model_metrics"]["latency_ms"].to_pylist() == [latency]


def test_a_refresh_reads_new_files_only(bench: Bench) -> None:
    bench.land([{"created_at": "2026-11-19T10:00:00.000000Z"}, {"created_at": "2026-11-20T10:00:00.000000Z"}])
    first = bench.refresh()
    assert (first.files_absorbed, first.is_rebuilt) == (2, True)
    bench.land([{"created_at": "2026-11-21T10:00:00.000000Z"}])
    report = bench.refresh()
    assert (report.files_absorbed, report.rows_absorbed, report.is_rebuilt) == (1, 1, False)
    bench.land([{"created_at": "2026-11-19T11:00:00.000000Z"}])
    assert bench.refresh().rows_absorbed == 1, "a late row is all that is read of its day"
    assert bench.tables()["model_metrics"]["usage_count"].to_pylist() == [4]
    full = bench.refresh(full=True)
    assert (full.rows_absorbed, full.is_rebuilt) == (4, True)


def test_the_same_input_gives_the_same_bytes(bench: Bench) -> None:
    bench.land([{"ttft_ms": 3.0 * number, "total_latency_ms": 7.0 * number} for number in range(50)])
    first = bench.refresh().snapshots
    assert bench.refresh().snapshots == first
    assert score(bench.lake, bench.folder / "again", AS_OF).snapshots == first
    assert bench.refresh(full=True).snapshots == first


def test_a_deleted_runs_results_leave_the_scores(bench: Bench) -> None:
    bench.land([{"total_latency_ms": 100.0}])
    deleted = bench.land([{"total_latency_ms": 900.0}, {"total_latency_ms": 900.0}])
    bench.refresh()
    bench.store.delete("runs", [deleted])
    report = bench.refresh()
    assert bench.tables()["model_metrics"]["latency_ms"].to_pylist() == [100.0]
    assert report.rejects == {"its run was deleted": 2}
    assert (report.rows_absorbed, report.is_rebuilt) == (3, False), "the file that holds the run"


def test_when_all_evidence_is_gone_the_snapshot_says_so(bench: Bench) -> None:
    deleted = bench.land([{}])
    bench.refresh()
    bench.store.delete("runs", [deleted])
    bench.refresh()
    assert bench.tables()["routing_scores"].num_rows == 0


def test_a_corrupt_lake_file_is_named_and_not_averaged_in(bench: Bench) -> None:
    bench.land([{"total_latency_ms": 100.0}])
    bench.lake.extract(bench.store)
    bench.land([{"total_latency_ms": 900.0}])
    bench.lake.extract(bench.store)
    bad = bench.lake.files("benchmark_results")[1].path
    whole = (bench.lake.directory / bad).read_bytes()
    (bench.lake.directory / bad).write_bytes(whole[:500] + b"\x00" + whole[501:])
    report = bench.refresh()
    assert len(report.corrupt) == 1
    assert bad in report.corrupt[0]
    assert bad in report.problems[0]
    assert bench.tables()["model_metrics"]["latency_ms"].to_pylist() == [100.0]
    (bench.lake.directory / bad).write_bytes(whole)
    assert bench.refresh().corrupt == ()
    assert bench.tables()["model_metrics"]["latency_ms"].to_pylist() == [500.0]


@pytest.mark.parametrize("damage", [b"", b"PAR1"])
@pytest.mark.parametrize("pattern", ["partials/dt=*/*", "state/*"])
def test_what_is_kept_is_computed_again_when_it_is_damaged(bench: Bench, damage: bytes, pattern: str) -> None:
    bench.land([{}])
    bench.store.write("feedback_events", [vote()])
    first = bench.refresh().snapshots
    for path in bench.scoring.glob(pattern):
        path.write_bytes(damage)
    report = bench.refresh()
    assert (report.is_rebuilt, report.snapshots) == (pattern == "state/*", first)


def test_partials_that_nothing_rests_on_are_removed(bench: Bench) -> None:
    for _ in range(3):
        bench.store.write("feedback_events", [vote()])
        bench.refresh()
    assert len(list((bench.scoring / "partials").glob("dt=2*/*.json"))) == 1


def test_an_unknown_model_is_kept_and_reported(bench: Bench) -> None:
    bench.store.write("request_events", [request(model="mystery", is_simulated=False)])
    report = bench.refresh()
    assert "mystery" in " ".join(report.warnings)
    assert bench.tables()["unknown_models"].to_pylist() == [
        {"provider_name": None, "model_name": "mystery", "requests": 1}
    ]
    assert "mystery" in bench.tables()["routing_scores"]["model"].to_pylist()


def test_a_mistyped_model_of_one_event_does_not_hide_the_simulated_evidence(bench: Bench) -> None:
    bench.land([{"is_simulated": True}])
    bench.store.write("request_events", [request(model="mystery", is_simulated=False)])
    report = bench.refresh()
    assert set(report.snapshots) == {"simulated"}
    assert "mystery" in " ".join(report.warnings)
    bench.land([{"is_simulated": False}])
    assert set(bench.refresh().snapshots) == {"real", "simulated"}


def test_two_scorers_at_once_are_refused(bench: Bench) -> None:
    bench.lake.extract(bench.store)
    with bench.lake.lease(), pytest.raises(LeaseHeld):
        score(bench.lake, bench.scoring, AS_OF)


def test_as_of_needs_a_time_zone(bench: Bench) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        score(bench.lake, bench.scoring, datetime(2026, 11, 21))  # the mistake itself


def test_a_failing_check_names_itself_and_the_rows(bench: Bench) -> None:
    bench.land([{}])
    bench.refresh()
    tables = bench.tables()
    doubled = tables | {"routing_scores": pa.concat_tables([tables["routing_scores"]] * 2)}
    with pytest.raises(CheckFailed, match=r"routing_scores_have_one_row_each.*aurora/small"):
        run_checks(doubled, {})


@pytest.mark.parametrize(
    ("table", "column", "value", "check"),
    [
        ("hourly_trends", "latency_ms", math.nan, "marts_are_plausible"),
        ("hourly_trends", "total_cost", -1.0, "marts_are_plausible"),
        ("organization_daily", "errors", 10**6, "marts_are_plausible"),
        ("error_breakdown", "error_rate", math.inf, "marts_are_plausible"),
        ("hourly_trends", None, None, "marts_have_one_row_each"),
        ("error_breakdown", None, None, "marts_have_one_row_each"),
        ("organization_daily", None, None, "marts_have_one_row_each"),
        ("price_history", None, None, "marts_have_one_row_each"),
    ],
)
def test_a_mart_that_cannot_be_is_not_published(
    bench: Bench, table: str, column: str | None, value: float | None, check: str
) -> None:
    """A figure that no requests have, or (`column` None) a row that is there twice."""
    bench.land([{"outcome": "failed", "success": False}])
    bench.store.write("request_events", [request(is_simulated=False, cost=0.5)])
    bench.refresh()
    tables = bench.tables()
    rows = tables[table].to_pylist()
    assert rows
    made = rows * 2 if column is None else [row | {column: value} for row in rows]
    with pytest.raises(CheckFailed, match=check):
        run_checks(tables | {table: pa.Table.from_pylist(made, schema=tables[table].schema)}, {})


def test_every_check_states_its_severity_and_claim() -> None:
    for name, path in sqlfiles.files("checks").items():
        first = path.read_text().splitlines()[0]
        assert first.startswith(("-- fail: ", "-- warn: ")), name


def test_every_scoring_file_says_its_grain_and_its_order() -> None:
    for name, sql in scoring_sql().items():
        assert sql.startswith("-- one row per "), name
        assert "\norder by " in sql, name


def test_a_table_comes_after_those_it_reads() -> None:
    order = needed(["routing_scores"], ())
    assert (
        order.index("events")
        < order.index("hourly_moments")
        < order.index("window_metrics")
        < order.index("experience")
    )
    assert order[-1] == "routing_scores"


def test_aggregates_are_written_back_and_follow_deletions(bench: Bench) -> None:
    bench.land([{"domain": "math"}])
    deleted = bench.land([{"domain": "coding", "created_at": "2026-11-20T00:00:00.000000Z"}])
    assert write_back(bench.store, bench.refresh()) == {
        "model_metrics": 2,
        "model_metrics_by_window": 11,
        "model_totals": 1,
        "model_performance_history": 4,
        "daily_aggregates": 2,
    }
    bench.store.delete("runs", [deleted])
    write_back(bench.store, bench.refresh())
    [metrics] = bench.store.read_all("model_metrics")
    assert (metrics["model"], metrics["domain"], metrics["usage_count"]) == ("aurora/small", "math", 1)
    assert metrics["last_updated"] == T0
    [day] = bench.store.read_all("daily_aggregates")
    assert (day["date"], day["requests"], day["error_rate"]) == ("2026-11-21", 1, 0.0)


def test_writing_back_one_kind_leaves_the_other(bench: Bench) -> None:
    bench.land([{"is_simulated": True}])
    write_back(bench.store, bench.refresh())
    real = Bench(_folder(bench.folder / "real"))
    real.land([{}])
    write_back(bench.store, real.refresh())
    real.store.close()
    assert [row["is_simulated"] for row in bench.store.read_all("model_metrics")].count(True) == 1
    assert len(bench.store.read_all("model_metrics")) == 2


KILLED = textwrap.dedent("""
    import os, signal, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from analytics.lake import Lake
    from analytics.scoring import score

    root, step, seen = sys.argv[1], int(sys.argv[2]), 0

    def watch(event, args):
        global seen
        if event in ("os.rename", "os.mkdir", "os.remove") or (event == "open" and str(args[0]).startswith(root + "/scoring")):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    score(Lake(Path(root) / "lake"), Path(root) / "scoring", datetime(2026, 11, 21, 12, 30, tzinfo=UTC))
""")


@pytest.mark.parametrize("step", [1, 12, 24, 30, 36])
def test_a_killed_scorer_leaves_a_whole_snapshot(bench: Bench, step: int) -> None:
    bench.land([{}])
    bench.refresh()
    bench.land([{}])
    bench.lake.extract(bench.store)
    done = subprocess.run([sys.executable, "-c", KILLED, str(bench.folder), str(step)], check=False, cwd=ROOT)
    assert done.returncode == -9, "there are at least 36 steps"
    assert bench.tables()["model_metrics"]["usage_count"].to_pylist() in ([1], [2])
    bench.refresh()
    assert bench.tables()["model_metrics"]["usage_count"].to_pylist() == [2]


def vote() -> Row:
    return {
        "id": new_id(),
        "message_id": "m",
        "model": "aurora/small",
        "rating": 1.0,
        "feedback_type": "explicit",
        "created_at": T0,
    }


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


MEASURES = st.one_of(st.none(), st.floats(0, 1e7), st.sampled_from([0.0, 0.004, 1e7]))
RESULTS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["aurora/small", "aurora/big", "aurora/gone"]),
        "domain": st.sampled_from([None, "math", "coding"]),
        "outcome": st.sampled_from(["ok", "ok", "ok", "failed", "incomplete", "aborted", "skipped"]),
        "is_simulated": st.booleans(),
        "benchmark_id": st.sampled_from([None, "q"]),
        "correct": st.sampled_from([None, True, False]),
        "total_latency_ms": MEASURES,
        "ttft_ms": MEASURES,
        "tps": MEASURES,
        "cost_usd": st.one_of(st.none(), st.floats(0, 10)),
        "token_source": st.sampled_from(["provider", "estimated"]),
        "created_at": st.tuples(st.sampled_from([0, 1, 30, 90]), st.integers(0, 80)).map(
            lambda age: to_text(AS_OF + timedelta(hours=1) - timedelta(days=age[0], minutes=age[1]))
        ),
    }
)
VOTES = st.fixed_dictionaries(
    {
        "message_id": st.sampled_from(["m1", "m2"]),
        "user_id": st.sampled_from([None, "u1"]),
        "model": st.just("aurora/small"),
        "rating": st.floats(0, 1),
        "feedback_type": st.just("explicit"),
        "task_type": st.sampled_from([None, "code"]),
        "agent_id": st.sampled_from([None, "helper"]),
        "created_at": st.integers(0, 1).map(lambda days: to_text(AS_OF - timedelta(days=days))),
    }
)
INCREMENTS = st.lists(st.tuples(st.lists(RESULTS, max_size=8), st.lists(VOTES, max_size=4)), min_size=1, max_size=3)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(INCREMENTS)
def test_a_refresh_in_increments_equals_one_rebuild(increments: list[tuple[list[Row], list[Row]]]) -> None:
    """Row for row and byte for byte, late rows included: the snapshot ids are made of the content."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        report = ScoreReport()
        for results, votes in increments:
            bench.land([{**row, "success": row["outcome"] == "ok"} for row in results])
            bench.store.write("feedback_events", [{"id": new_id(), **vote} for vote in votes])
            report = bench.refresh()
        rebuilt = Lake(Path(folder) / "rebuilt")
        rebuilt.extract(bench.store)
        assert score(rebuilt, Path(folder) / "rescored", AS_OF).snapshots == report.snapshots
        bench.store.close()
