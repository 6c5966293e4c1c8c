"""Rows of a Supabase project reach the lake once each: by pages, in bulk, while others write, after a restore."""

import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from store.samples import T0, T1, T2, entry, provider, request, result, run
from supabase_project import Project, Projects

from analytics.errors import SchemaMismatch, StoreUnavailable
from analytics.lake import EVENTS, Lake
from analytics.store import SqliteStore, Store, new_id
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


def test_a_time_beyond_the_calendar_is_none_in_bulk_as_by_pages(
    store: SupabaseStore, bulk: SupabaseStore, project: Project, tmp_path: Path
) -> None:
    times = ["infinity", "-infinity", "10000-01-01 00:00+00", "0044-03-15 BC", "9999-12-31 23:59:59.999999+00", T0]
    with psycopg.connect(project.db_url) as connection:
        for when in times:
            insert = "insert into public.request_events (id, model, success, created_at) values (%s, 'm', true, %s)"
            connection.execute(insert, (new_id(), when))
    by_pages, by_copy = Lake(tmp_path / "pages"), Lake(tmp_path / "copy")
    by_pages.extract(store)
    by_copy.extract(bulk)
    rows = by_copy.read("request_events").rows
    assert rows.column("created_at").null_count == 4
    assert rows.equals(by_pages.read("request_events").rows)


def test_a_row_of_many_megabytes_is_copied_whole(bulk: SupabaseStore, project: Project, tmp_path: Path) -> None:
    text = 'He said "so",\n' * 2_000_000
    with psycopg.connect(project.db_url) as connection:
        insert = "insert into public.request_events (id, model, success, created_at, status) values (%s, 'm', true, now(), %s)"
        connection.execute(insert, (new_id(), text))
    lake = Lake(tmp_path / "lake")
    lake.extract(bulk)
    assert lake.read("request_events").rows.column("status").to_pylist() == [text]


def test_a_database_that_cannot_be_read_is_told_without_its_address(project: Project) -> None:
    hidden = "postgresql://scorehouse:hidden@127.0.0.1:1/postgres"
    told = pytest.raises(StoreUnavailable, match=r"^the database of SUPABASE_DB_URL cannot be read \(")
    with SupabaseStore(project.url, project.service_key, db_url=hidden) as store, told as raised:
        store.copy("request_events", ["id"], None, 10)
    assert not {"hidden", "127.0.0.1"} & set(re.split(r"[^\w.]+", str(raised.value)))
    assert raised.value.__suppress_context__


def test_a_database_of_another_version_is_told_with_its_remedy(bulk: SupabaseStore, project: Project) -> None:
    bulk.write("request_events", [request()])
    with psycopg.connect(project.db_url) as connection:
        connection.execute("alter table public.request_events rename column status to state")
    with pytest.raises(SchemaMismatch, match=r"status does not exist; .*scorehouse db migrate"):
        bulk.copy("request_events", ["id", "status"], None, 10)


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


def _write_slowly(db_url: str, ids: list[str], seed: int, reads: list[threading.Event]) -> None:
    """Insert requests of these ids in transactions of 1 to 100 rows; one in four takes its time, one in ten is thrown away first.

    Past each quarter it goes on once so many reads found something, so that reader and writers meet however busy the machine is.
    """
    dice = random.Random(seed)  # no secret
    with psycopg.connect(db_url) as connection:
        start = 0
        while start < len(ids):
            for read in reads[: start * 4 // len(ids)]:
                assert read.wait(60)
            part = ids[start : start + dice.randint(1, 100)]
            with connection.cursor() as cursor:
                for row_id in part:
                    cursor.execute(
                        "insert into public.request_events (id, model, success, created_at) values (%s, 'aurora/small', true, %s)",
                        (row_id, dice.choice((T0, T2))),
                    )
                if dice.random() < 0.25:
                    cursor.execute("select pg_sleep(%s)", (dice.random() / 10,))
            if dice.random() < 0.1:
                connection.rollback()
                continue
            connection.commit()
            start += len(part)


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("way", ["pages", "copy"])
def test_extraction_misses_nothing_and_repeats_nothing_of_eight_slow_writers(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, way: str
) -> None:
    ids = [new_id() for _ in range(count)]
    reads = [threading.Event() for _ in range(3)]
    writers = [
        threading.Thread(target=_write_slowly, args=(project.db_url, ids[number::8], number, reads))
        for number in range(8)
    ]
    db_url = project.db_url if way == "copy" else None
    with SupabaseStore(project.url, project.service_key, db_url=db_url) as store:
        lake = Lake(tmp_path / "lake")
        read, read_meanwhile = getattr(store, "copy" if db_url else "read"), list[bool]()

        def watched(*asked: Any, **more: Any) -> Any:
            found = read(*asked, **more)
            read_meanwhile.append(
                bool(found and (db_url or found.rows)) and any(writer.is_alive() for writer in writers)
            )
            for event in reads[: sum(read_meanwhile)]:
                event.set()
            return found

        monkeypatch.setattr(store, "copy" if db_url else "read", watched)
        for writer in writers:
            writer.start()
        is_writing = True
        while is_writing:
            is_writing = any(writer.is_alive() for writer in writers)
            lake.extract(store)
    found = lake.read("request_events").rows.column("id").to_pylist()
    assert sum(read_meanwhile) > 2, "it read while they wrote"
    assert len(found) == len(set(found)), "nothing twice"
    assert set(found) == set(ids), "nothing missed"


def test_a_transaction_that_began_first_and_ends_last_is_not_skipped(store: SupabaseStore, project: Project) -> None:
    early, late = new_id(), new_id()
    insert = "insert into public.request_events (id, model, success, created_at) values (%s, 'm', true, now())"
    with psycopg.connect(project.db_url) as slow:
        slow.execute(insert, (early,))
        store.write("request_events", [request(id=late)])
        held_back = store.read("request_events")
        assert held_back.rows == [], "a row of a later transaction waits for the one before it"
        assert [day.rows for day in store.tally("request_events")] == [1], "and counts as lag meanwhile"
        slow.commit()
    read = store.read("request_events", held_back.watermark)
    assert [row["id"] for row in read.rows] == [early, late]
    assert store.read("request_events", read.watermark).rows == []


def test_a_database_put_back_under_another_cluster_is_read_again_without_doubles(
    store: SupabaseStore, project: Project, tmp_path: Path
) -> None:
    store.write("request_events", [request() for _ in range(3)])
    lake = Lake(tmp_path / "lake")
    assert lake.extract(store).rows["request_events"] == 3
    before = store.epoch()
    with psycopg.connect(project.db_url) as restored:
        # What a restored dump looks like: its epoch is another cluster's, and so are the numbers of its transactions.
        restored.execute("update public.store_epoch set epoch = left(epoch, 36) || '@1/1/1' where epoch like '%@%'")
        restored.execute("update public.request_events set txid = '900000000000'::xid8")
    assert store.epoch() != before
    store.write("request_events", [request()])
    again = lake.extract(store)
    assert (again.restored, again.rows["request_events"]) == (True, 1)
    assert lake.read("request_events").rows.num_rows == 4
    assert lake.extract(store).restored is False


def test_a_copy_of_a_database_is_another_one(projects: Projects, project: Project, store: SupabaseStore) -> None:
    store.write("request_events", [request()])
    mine = store.epoch()
    with projects.fresh() as other, SupabaseStore(other.url, other.service_key) as theirs:
        assert theirs.epoch() != mine
        assert theirs.epoch() == theirs.epoch()


def test_landing_says_which_database_took_it(store: SupabaseStore) -> None:
    measured = run()
    assert store.land_results([measured], [result(measured)]).epoch == store.epoch()
