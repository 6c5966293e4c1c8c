"""The same rows give the same scores and the same configuration, whichever store they come from: byte for byte."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import files_of
from store.samples import T0, entry, provider, request, result, run
from supabase_project import Project

from analytics.lake import Lake
from analytics.scoring import score, write_back
from analytics.scoring.configuration import publish_configuration
from analytics.store import SqliteStore, Store, new_id, stable_id, to_text
from analytics.store.supabase import SupabaseStore

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODELS = ("small", "large", "größe/ä")


def measurements(seed: int = 5) -> dict[str, list[dict[str, Any]]]:
    """Ten days of both kinds of evidence, of known and unknown models, with figures as odd as clocks and prices make them."""
    dice = random.Random(seed)

    def when() -> str:
        return to_text(NOW - timedelta(microseconds=dice.randrange(10 * 86_400_000_000)))

    measured = run(finished_at=T0)
    results = []
    for _ in range(400):
        good = dice.random() < 0.9
        results.append(
            result(
                measured, model=f"aurora/{dice.choice(MODELS)}", domain=dice.choice(("math", "coding", None)), created_at=when(),
                is_simulated=dice.random() < 0.5, outcome="ok" if good else "failed", success=good, ttft_ms=dice.expovariate(0.01),
                total_latency_ms=dice.expovariate(0.001), tps=dice.random() * 90 if good else None, cost_usd=dice.random() ** 9,
                cost_source="price", correct=dice.choice((True, False, None)), confidence=dice.random(), output_tokens=dice.randrange(500),
            )
        )  # fmt: skip
    requests = [
        request(
            model=dice.choice(("aurora/small", "small", "nobody/knows")), task_type=dice.choice(("code", "math", None)),
            created_at=when(), latency_ms=dice.expovariate(0.001), cost=dice.choice((None, dice.random() / 3)), user_id=f"u{n % 7}",
            tenant_id=dice.choice(("acme", None)), agent_id=dice.choice(("a1", None)), message_id=f"m{n}", cache_hit=dice.choice((True, False, None)),
        )
        for n in range(300)
    ]  # fmt: skip
    feedback = [
        {"id": new_id(), "message_id": f"m{n}", "model": "aurora/small", "rating": dice.random(), "feedback_type": "explicit",
         "task_type": "code", "user_id": f"u{n % 7}", "created_at": when()}
        for n in range(100)
    ]  # fmt: skip
    return {"runs": [measured], "benchmark_results": results, "request_events": requests, "feedback_events": feedback}


def fill(store: Store, rows: dict[str, list[dict[str, Any]]], catalog: dict[str, list[dict[str, Any]]]) -> None:
    for table, given in catalog.items():
        store.write(table, given)
    assert store.land_results(rows["runs"], rows["benchmark_results"]).landed == len(rows["benchmark_results"])
    for table in ("request_events", "feedback_events"):
        store.write(table, rows[table])


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """A catalog as a sync leaves it; its prices have ids of their own, so both stores get the same rows."""
    with SqliteStore(tmp_path_factory.mktemp("catalog") / "store.sqlite") as store:
        store.migrate()
        store.write("providers", [provider()])
        store.apply_catalog(
            "aurora", [entry(name, input_price_per_m=0.1 + 0.2, raw={"pi": 3.14159, "n": 1}) for name in MODELS], T0
        )
        tables = {table: store.read_all(table) for table in ("providers", "models", "prices")}
    domain = {"id": stable_id("domain", "math"), "name": "math", "description": "Sums", "created_at": T0}
    task = {"id": stable_id("task_domain", "code/math"), "task_type": "code", "domain": "math"}
    return {**tables, "domains": [domain], "task_domains": [task]}


@pytest.mark.parametrize("is_bulk", [False, True], ids=["pages", "copy"])
def test_the_same_rows_give_the_same_snapshot(
    project: Project, tmp_path: Path, catalog: dict[str, list[dict[str, Any]]], is_bulk: bool
) -> None:
    rows = measurements()
    db_url = project.db_url if is_bulk else None
    stores: dict[str, Store] = {
        "sqlite": SqliteStore(tmp_path / "store.sqlite"),
        "supabase": SupabaseStore(project.url, project.service_key, db_url=db_url),
    }
    snapshots, written = {}, {}
    for name, store in stores.items():
        with store:
            store.migrate()
            fill(store, rows, catalog)
            lake = Lake(tmp_path / name / "lake")
            lake.extract(store)
            report = score(lake, tmp_path / name / "scoring", NOW)
            assert set(report.snapshots) == {"real", "simulated"}
            assert report.corrupt == ()
            snapshots[name] = dict(report.snapshots)
            publish_configuration(store, tmp_path / name / "configuration")
            assert write_back(store, report) == write_back(store, report)
            written[name] = {table: store.read_all(table) for table in ("model_metrics", "daily_aggregates")}
    assert snapshots["sqlite"] == snapshots["supabase"]
    assert written["sqlite"] == written["supabase"]
    assert len(written["sqlite"]["model_metrics"]) > 5
    for folder in ("scoring", "configuration"):
        ours, theirs = (_tables(tmp_path / name / folder) for name in stores)
        assert ours == theirs


def _tables(folder: Path) -> dict[str, bytes]:
    """Every table below `folder` with its bytes; a configuration's folder is named by the moment of its publication."""
    return {path.split("/", 1)[-1]: data for path, data in files_of(folder).items() if path.endswith(".parquet")}
