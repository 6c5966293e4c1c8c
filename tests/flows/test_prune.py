"""Retention by table: what leaves the store, when, and what never does."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from house import AURORA, House, ago
from supabase_project import Project

from analytics.errors import LeaseHeld
from analytics.lake import Lake
from analytics.store import Row, new_id, to_text
from flows.errors import UsageError
from flows.jobs.prune import run_prune
from flows.jobs.score import run_score
from flows.settings import load_settings


def old_rows(house: House, days: int) -> None:
    """A live request and an opinion of so many days ago."""
    common: Row = {"model": f"{AURORA}/aurora-mini", "is_simulated": True, "created_at": to_text(ago(days=days))}
    with house.store() as store:
        store.write("request_events", [{"id": new_id(), "success": True, **common}])
        opinion = {"message_id": f"m{days}", "user_id": "u", "rating": 1.0, "feedback_type": "explicit"}
        store.write("feedback_events", [{"id": new_id(), **opinion, **common}])


@pytest.fixture
def aged(house: House) -> House:
    """Requests and opinions of 50, 100 and 200 days ago, scored."""
    house.ready(AURORA)
    for days in (50, 100, 200):
        old_rows(house, days)
    run_score(house.settings)
    return house


def test_each_table_has_a_retention_of_its_own(aged: House) -> None:
    aged.sections = {"retention": {"store": {"feedback_events": 150, "request_events": 30}}}
    report = run_prune(aged.settings)
    assert report.removed == {"benchmark_results": 0, "request_events": 3, "feedback_events": 1}
    now = datetime.now(UTC)
    ages = {table: (now - datetime.fromisoformat(moment)).days for table, moment in report.before.items()}
    assert ages == {"benchmark_results": 90, "request_events": 30, "feedback_events": 150}


def test_a_table_that_is_named_goes_alone(aged: House) -> None:
    report = run_prune(aged.settings, tables=("feedback_events",), older_than_days=60)
    assert report.removed == {"feedback_events": 2}
    assert len(aged.rows("request_events")) == 3


def test_a_dry_run_says_what_would_go_of_each_table_and_from_when(aged: House) -> None:
    before = aged.rows("request_events")
    report = run_prune(aged.settings, dry_run=True)
    lines = [(place, table, rows) for place, table, _, rows in report.lines()]
    assert lines == [
        ("store", "benchmark_results", 0),
        ("store", "request_events", 2),
        ("store", "feedback_events", 2),
    ]
    assert aged.rows("request_events") == before


def test_scores_are_the_same_after_the_store_was_pruned(aged: House) -> None:
    """The partials stay: what is gone from the store still counts."""
    moment = datetime.now(UTC)
    before = run_score(aged.settings, as_of=moment).report.snapshots
    assert sum(run_prune(aged.settings).removed.values()) == 4
    assert run_score(aged.settings, as_of=moment).report.snapshots == before
    assert run_score(aged.settings, as_of=moment, full=True).report.snapshots == before


# -- the lake ----------------------------------------------------------------------------------------------------------------


def days_of_the_lake(house: House) -> int:
    return len(Lake(house.settings.home.lake).files("request_events"))


def test_without_a_word_of_it_the_lake_keeps_everything(aged: House) -> None:
    assert run_prune(aged.settings).raw == ()
    assert days_of_the_lake(aged) == 3


def test_old_days_leave_the_lake_and_their_sums_stay(aged: House) -> None:
    """Scores are the same by a refresh, and when all is added up anew from what is left and what was sealed."""
    moment = datetime.now(UTC)
    before = run_score(aged.settings, as_of=moment).report.snapshots
    aged.sections = {"retention": {"lake": {"request_events": 150}}}
    planned = run_prune(aged.settings, dry_run=True)
    assert [(one.table, one.rows) for one in planned.raw] == [("request_events", 1)]
    assert planned.to_dict()["lake"][0]["day"] == f"{ago(days=200):%Y-%m-%d}"
    assert days_of_the_lake(aged) == 3, "nothing changes in a dry run"
    report = run_prune(aged.settings)
    assert (report.raw, days_of_the_lake(aged)) == (planned.raw, 2)
    assert report.lines()[-1] == ("lake", "request_events", planned.raw[0].day, 1)
    assert run_score(aged.settings, as_of=moment).report.snapshots == before
    assert run_score(aged.settings, as_of=moment, full=True).report.snapshots == before
    again = run_prune(aged.settings)
    assert (again.raw, again.problems) == ((), ())


def test_a_day_that_is_in_no_sum_yet_stays_in_the_lake(aged: House) -> None:
    aged.sections = {"retention": {"lake": {"request_events": 91}}}
    old_rows(aged, 300)
    with aged.store() as store:
        Lake(aged.settings.home.lake).extract(store)  # and not scored
    ages = [(datetime.now(UTC).date() - date.fromisoformat(one.day)).days for one in run_prune(aged.settings).raw]
    assert ages == [200, 100]


def test_a_table_of_which_the_lake_lacks_rows_is_not_taken_out_of_it(aged: House) -> None:
    aged.sections = {"retention": {"lake": {"request_events": 91}}}
    lake = Lake(aged.settings.home.lake)
    (lake.directory / lake.files("request_events")[0].path).write_bytes(b"spoiled")
    report = run_prune(aged.settings)
    assert (report.raw, days_of_the_lake(aged)) == ((), 3)
    assert "missing" in report.problems[0]


def test_a_scorer_is_waited_for_and_then_named(aged: House) -> None:
    aged.sections = {"retention": {"lake": {"request_events": 91}}}
    with Lake(aged.settings.home.lake).lease(), pytest.raises(LeaseHeld):
        run_prune(aged.settings, patience_s=0.01)
    assert days_of_the_lake(aged) == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[retention.store]\nrequest_events = 0\n", "greater than or equal to 1"),
        ("[retention.store]\nmodels = 30\n", "retention.store.models"),
        ("[retention.lake]\nrequest_events = 90\n", "greater than 90"),
        ("[retention]\nraw_days = 200\n[retention.lake]\nrequest_events = 100\n", "less than the store's 200"),
        ("[retention.lake]\nfeedback_events = 400\n", "retention.lake.feedback_events"),
    ],
)
def test_a_retention_that_cannot_be_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, complaint: str
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    monkeypatch.setenv("SCOREHOUSE_CONFIG", str(tmp_path / "mine.toml"))
    with pytest.raises(UsageError, match=complaint):
        load_settings(tmp_path)


def test_pruning_a_project_drops_the_month_of_which_nothing_is_left(
    house: House, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", project.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", project.service_key)
    house.register(AURORA)
    old_rows(house, 130)
    run_score(house.settings)
    month = f"request_events_{datetime.now(UTC) - timedelta(days=130):%Y_%m}"
    there = "select to_regclass(%s) is not null"
    with psycopg.connect(project.db_url, autocommit=True) as connection:
        with house.store() as store:
            store.make_partitions()
        assert connection.execute(there, (f"partitions.{month}",)).fetchone() == (True,)
        run_prune(house.settings, dry_run=True)
        assert connection.execute(there, (f"partitions.{month}",)).fetchone() == (True,)
        assert run_prune(house.settings).removed["request_events"] == 1
        assert connection.execute(there, (f"partitions.{month}",)).fetchone() == (False,)
