"""Retention by table: what leaves the store, when, and what never does."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from house import AURORA, House, ago
from supabase_project import Project

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


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[retention.store]\nrequest_events = 0\n", "greater than or equal to 1"),
        ("[retention.store]\nmodels = 30\n", "retention.store.models"),
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
