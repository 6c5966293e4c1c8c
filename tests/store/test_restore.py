"""What the lake holds comes back into a store that lost it, once, and the lake goes on from there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from store.samples import T0, T2, entry, provider, request, result, run
from supabase_project import Projects

from analytics.lake import EVENTS, Lake
from analytics.lake.restore import restore
from analytics.store import SqliteStore, Store, new_id
from analytics.store.supabase import SupabaseStore

TABLES = ("providers", "models", "prices", "runs", "domains", "task_domains")


@contextmanager
def new_store(kind: str, projects: Projects, path: Path) -> Iterator[Store]:
    if kind == "sqlite":
        with SqliteStore(path) as store:
            store.migrate()
            yield store
        return
    with projects.fresh() as project, SupabaseStore(project.url, project.service_key) as remote:
        yield remote


def fill(store: Store) -> str:
    """Some of everything that reaches the lake, and a run that was deleted after it had; that run's id."""
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small"), entry("ünï/large:free", input_price_per_m=None)], T0)
    kept, deleted = run(finished_at=T2, slot="benchmark@2026-11-21T02:00:00.000000Z"), run()
    store.land_results(
        [kept, deleted], [result(kept, rate_limits={"a": [1, None]}, response_text=text) for text in ("", "a\n,ü", "x")]
    )
    store.land_results([deleted], [result(deleted), result(deleted)])
    store.write(
        "request_events",
        [request(message_id="m1", metadata={"z": 1}), request(success=False, latency_ms=None, created_at=T2)],
    )
    store.submit_feedback({"id": new_id(), "message_id": "m1", "rating": 1, "created_at": T0})
    repricing = {
        "id": new_id(),
        "price_id": "p",
        "input_price_per_m": 1.0,
        "output_price_per_m": 2.0,
        "reason": "wrong",
        "created_at": T0,
    }
    store.write("repricings", [repricing])
    return str(deleted["id"])


def contents(store: Store) -> dict[str, list[dict[str, object]]]:
    """All rows by id, without the store's own numbers."""
    found = {table: store.read(table).rows for table in EVENTS} | {table: store.read_all(table) for table in TABLES}
    return {
        table: sorted(({name: value for name, value in row.items() if name != "commit_seq"} for row in rows), key=lambda row: str(row["id"]))
        for table, rows in found.items()
    }  # fmt: skip


@pytest.mark.parametrize(("lost", "new"), [("sqlite", "sqlite"), ("sqlite", "supabase"), ("supabase", "supabase")])
def test_a_new_store_gets_everything_that_the_lake_holds(
    projects: Projects, tmp_path: Path, lost: str, new: str
) -> None:
    lake = Lake(tmp_path / "lake")
    with new_store(lost, projects, tmp_path / "lost.sqlite") as old:
        run_id = fill(old)
        lake.extract(old)
        old.delete("runs", [run_id])
        lake.extract(old)
        before = contents(old)
    with new_store(new, projects, tmp_path / "new.sqlite") as store:
        done = restore(lake, store)
        assert (done.rows["benchmark_results"], done.dropped, done.problems) == (3, 2, ())
        assert contents(store) == before
        assert set(restore(lake, store).rows.values()) == {0}, "a second time finds everything there"
        again = lake.extract(store)
        assert (again.restored, set(again.rows.values())) == (True, {0}), "the lake knows these rows"
        fresh = run()
        store.land_results([fresh], [result(fresh)])
        assert lake.extract(store).rows["benchmark_results"] == 1


def test_what_is_in_the_store_stays_and_what_was_deleted_stays_deleted(tmp_path: Path, projects: Projects) -> None:
    lake = Lake(tmp_path / "lake")
    with new_store("sqlite", projects, tmp_path / "store.sqlite") as store:
        run_id = fill(store)
        lake.extract(store)
        store.delete("runs", [run_id])
        store.write("providers", [provider(name="Renamed since")])
        before = contents(store)
        assert restore(lake, store).dropped == 2
        assert contents(store) == before


def test_a_corrupt_file_is_named_and_the_rest_comes_back(tmp_path: Path, projects: Projects) -> None:
    lake = Lake(tmp_path / "lake")
    with new_store("sqlite", projects, tmp_path / "lost.sqlite") as old:
        fill(old)
        lake.extract(old)
    damaged = lake.files("request_events")[0].path
    (lake.directory / damaged).write_bytes(b"PAR1")
    with new_store("sqlite", projects, tmp_path / "new.sqlite") as store:
        done = restore(lake, store)
        assert done.problems == (f"{damaged} does not match its recorded sha256",)
        assert (done.rows["request_events"], done.rows["benchmark_results"]) == (1, 5)
