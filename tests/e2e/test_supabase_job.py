"""The main job with a Supabase project as its store, set by the environment alone."""

import os

import pytest
from e2e.conftest import Run
from house import AURORA, House
from supabase_project import Project

from flows.settings import Settings


@pytest.fixture
def configured(project: Project, house: House, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("SUPABASE_URL", project.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", project.service_key)
    return project


def test_the_main_job_completes_on_a_supabase_project(run: Run, house: House, configured: Project) -> None:
    for row in house.simulated.providers:
        words = ["providers", "add", row["key"], "--type", row["provider_type"], "--base-url", row["base_url"]]
        assert run(*words, "--simulated", "--display-name", row["name"]).code == 0
    assert sum(report["models_added"] for report in run("models", "sync", "--json").lines) == 8
    measured = run("bench", "--workload", "gold", "--sample", 1, "--concurrency", 4, "--json")
    assert (measured.code, measured.json["requests"], measured.json["waiting"]) == (0, 32, 0)
    scored = run("score", "--json").json
    assert scored["extracted"]["benchmark_results"] == 32
    answer = run("route", "--task", "code", "--json").json
    assert answer["snapshot_id"] == scored["snapshots"]["simulated"]
    status = run("status", "--json").json
    assert (status["healthy"], status["store"]["benchmark_results"], status["lake"]["rows_behind"]) == (True, 32, 0)
    assert run("prune", "--older-than", 1, "--json").json["removed"]["benchmark_results"] == 0
    assert not house.settings.home.store.exists(), "nothing went to a file of our own"
    assert {row["model"] for row in house.rows("model_metrics")} >= {f"{AURORA}/aurora-mini"}
    assert len(house.rows("daily_aggregates")) == 1


def test_events_and_feedback_reach_the_scores(run: Run, house: House, configured: Project) -> None:
    house.ready(AURORA)
    events = house.home.parent / "events.jsonl"
    events.write_text(
        '{"model": "aurora-mini", "provider": "sim-aurora", "task_type": "code", "success": true, "message_id": "m1"}\n'
    )
    assert run("events", "import", events).code == 0
    assert run("feedback", "m1", "--rating", 1).code == 0
    assert run("score", "--json").json["extracted"]["feedback_events"] == 1


def test_half_a_configuration_is_a_usage_error(run: Run, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://a.example")
    ran = run("providers", "list")
    assert ran.code == 2
    assert "SUPABASE_SERVICE_ROLE_KEY is not set" in ran.err


def test_no_secret_is_shown_when_the_project_is_away(run: Run, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "canary-service-key")
    monkeypatch.setattr("analytics.store.supabase.PATIENCE_S", 0.2)
    ran = run("providers", "list")
    assert ran.code == 1
    assert "could not be reached" in ran.err
    assert "canary" not in ran.out + ran.err


def test_the_demo_leaves_a_configured_project_alone(run: Run, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://production.example")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "key")
    monkeypatch.setattr(os, "environ", dict(os.environ))  # the command sets some variables for good
    used = list[Settings]()
    monkeypatch.setattr("flows.demo.run_demo", lambda settings, *_, **__: used.append(settings))
    assert run("demo").code == 0
    assert (used[0].supabase_url, used[0].supabase_service_role_key, used[0].supabase_db_url) == (None, None, None)
