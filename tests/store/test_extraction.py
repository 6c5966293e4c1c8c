"""Rows of a Supabase project reach the lake once each: by pages, in bulk, while others write, after a restore."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store.samples import T0, T1, T2, entry, provider, request, result, run
from supabase_project import Project

from analytics.lake import EVENTS, Lake
from analytics.store import SqliteStore, Store
from analytics.store.supabase import SupabaseStore

Rows = list[dict[str, Any]]

ODD = [
    'a\r\nb,"x"',
    "",
    "\\N",
    "\\.",
    "NULL",
    "null",
    "'; drop table models --",
    "ünïcødé \u2028",
    "t",
    "f",
    " lead",
    "x" * 40_000,
]


@pytest.fixture
def store(project: Project) -> Iterator[SupabaseStore]:
    with SupabaseStore(project.url, project.service_key, timeout_s=30, patience_s=5) as opened:
        yield opened


@pytest.fixture
def bulk(project: Project) -> Iterator[SupabaseStore]:
    with SupabaseStore(project.url, project.service_key, db_url=project.db_url, patience_s=5) as opened:
        yield opened


def odd_rows() -> tuple[Rows, Rows, Rows]:
    """Runs, results and requests with whatever a text, a number or a JSON value may be."""
    measured = run(finished_at=T1)
    results = [
        result(measured, response_text=text, ttft_ms=number, total_latency_ms=number * 3, cost_usd=1e-7 * number,
               rate_limits={"b": [1, 2.5, None], "a": {"ü": text[:9]}}, created_at=T0.replace("000000Z", f"{number:06.0f}Z"))
        for number, text in enumerate(ODD, start=1)
    ]  # fmt: skip
    results.append(
        result(measured, outcome="failed", success=False, ttft_ms=None, response_text=None, total_latency_ms=0.1 + 0.2)
    )
    requests = [
        request(metadata={"z": 1, "a": text[:50]}, status=text[:50], created_at=when)
        for text in ODD
        for when in (T0, T2)
    ]
    return [measured], results, requests


def fill(store: Store, runs: Rows, results: Rows, requests: Rows) -> None:
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small"), entry("large")], T0)
    landing = store.land_results(runs, results)
    assert (landing.landed, landing.refused) == (len(results), ())
    assert store.write("request_events", requests) == len(requests)
    store.submit_feedback(
        {"id": results[0]["id"], "message_id": "m", "model": "aurora/small", "rating": 1, "created_at": T0}
    )


def test_the_bulk_way_reads_the_same_rows_as_pages_do(
    store: SupabaseStore, bulk: SupabaseStore, tmp_path: Path
) -> None:
    fill(store, *odd_rows())
    store.delete("runs", [run()["id"]])
    by_pages, by_copy = Lake(tmp_path / "pages"), Lake(tmp_path / "copy")
    first, second = by_pages.extract(store), by_copy.extract(bulk)
    assert first.rows == second.rows
    assert first.watermark == second.watermark
    for table in EVENTS:
        assert by_pages.read(table).rows.equals(by_copy.read(table).rows), table
        sha256 = [[file.sha256 for file in lake.files(table)] for lake in (by_pages, by_copy)]
        assert sha256[0] == sha256[1], table
    assert by_copy.extract(bulk).rows == dict.fromkeys(EVENTS, 0)


def test_both_stores_give_the_lake_the_same_bytes(store: SupabaseStore, tmp_path: Path) -> None:
    rows = odd_rows()
    with SqliteStore(tmp_path / "store.sqlite") as embedded:
        embedded.migrate()
        fill(embedded, *rows)
        fill(store, *rows)
        ours, theirs = Lake(tmp_path / "sqlite"), Lake(tmp_path / "supabase")
        ours.extract(embedded)
        theirs.extract(store)
        for table in (*EVENTS, "providers", "models", "runs", "task_domains", "domains"):
            assert [file.sha256 for file in ours.files(table)] == [file.sha256 for file in theirs.files(table)], table
