"""A Supabase project down, slow, refusing, or behind something that lies: nothing is lost, nothing lands twice, the error says what to do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from faults.landing import begin, die, measure, outcomes, refused
from store.samples import T0, T1, T2, entry, provider, request, result, run
from supabase_project import Fault, Project, Projects

from analytics.errors import BadRows, SchemaMismatch, StoreUnavailable
from analytics.store import Spool, new_id
from analytics.store.supabase import SupabaseStore

ALWAYS = 1_000_000
DOWN = Fault("status", ALWAYS, status=503)

PASSING = {
    "the connection breaks": Fault("drop", 1),
    "the reply is lost after the commit": Fault("drop", 1, after=True),
    "502 of a gateway": Fault("status", 1, status=502, body=b"<html>bad gateway</html>"),
    "500 after the commit": Fault("status", 1, status=500, after=True),
    "503 of PostgREST without its database": Fault("status", 1, body=b'{"code":"PGRST002","message":"no schema cache"}'),
    "429": Fault("status", 1, status=429, body=b'{"message":"too many requests"}', headers={"Retry-After": "0"}),
    "409 of something on the way": Fault("status", 1, status=409, body=b"conflict"),
    "a deadlock": Fault("status", 1, status=500, body=b'{"code":"40P01","message":"deadlock detected"}'),
    "a statement that took too long": Fault("status", 1, status=500, body=b'{"code":"57014","message":"canceled"}'),
    "a page of a guest network": Fault("html", 1),
    "a page after the commit": Fault("html", 1, after=True),
    "JSON of another shape": Fault("status", 1, status=200, body=b'["hello"]'),
    "a number where an object belongs": Fault("status", 1, status=200, body=b"7"),
    "JSON that ends early": Fault("status", 1, status=200, body=b'{"epoch": "x", "fat'),
    "an answer to another question": Fault("status", 1, status=200, body=b'{"rows": {}, "written": "3", "staged": null}'),
    "an empty answer": Fault("status", 1, status=200, body=b""),
    "no content": Fault("status", 1, status=204, body=b""),
    "a redirect": Fault("status", 1, status=302, headers={"Location": "http://127.0.0.1:9/"}),
}  # fmt: skip


@pytest.fixture
def store(project: Project) -> Iterator[SupabaseStore]:
    with SupabaseStore(project.url, project.service_key, timeout_s=10, patience_s=10) as opened:
        opened.check()
        yield opened


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@contextmanager
def hasty(project: Project, **given: Any) -> Iterator[SupabaseStore]:
    """A store that soon gives up."""
    with SupabaseStore(
        project.url, given.pop("key", project.service_key), **{"patience_s": 0.2, "timeout_s": 5.0} | given
    ) as opened:
        yield opened


def _write(store: SupabaseStore) -> None:
    events = [request() for _ in range(3)]
    assert store.write("request_events", events) in {0, 3}, "new, or there since the try whose reply was lost"
    assert len(store.select("request_events", {"id": [row["id"] for row in events]}).items) == 3


def _stage(store: SupabaseStore) -> None:
    before = store.read("request_events").watermark
    store.write("request_events", [request() for _ in range(1_100)])
    assert sum(day.rows for day in store.tally("request_events", before)) >= 1_100


def _land(store: SupabaseStore) -> None:
    measured = run()
    landing = store.land_results([measured], [result(measured) for _ in range(3)])
    assert (landing.landed + landing.already, landing.alarms, landing.refused) == (3, (), ())
    assert len(store.select("benchmark_results", {"run_id": measured["id"]}).items) == 3


def _sync(store: SupabaseStore) -> None:
    one = provider(new_id())
    store.write("providers", [one])
    store.apply_catalog(one["key"], [entry("small"), entry("large")], T0)
    for table in ("models", "prices"):
        assert len(store.select(table, {"provider_id": one["id"]}).items) == 2
    assert store.select("providers", {"id": one["id"]}).items[0]["last_synced"] == T0


def _rate(store: SupabaseStore) -> None:
    given = {"id": new_id(), "message_id": "m", "model": "m", "rating": 0.5}
    assert store.submit_feedback(given)["rating"] == 0.5
    assert len(store.select("feedback_events", {"id": given["id"]}).items) == 1


def _delete(store: SupabaseStore) -> None:
    measured = run()
    store.land_results([measured], [result(measured)])
    store.delete("runs", [measured["id"]])
    of_it = {"run_id": measured["id"]}
    assert [store.select(table, of_it).total for table in ("benchmark_results", "tombstones")] == [0, 1]


@pytest.fixture(scope="module")
def lasting(projects: Projects) -> Iterator[tuple[Project, SupabaseStore]]:
    """One project for many small works, which know their own rows."""
    with (
        projects.fresh() as project,
        SupabaseStore(project.url, project.service_key, timeout_s=10, patience_s=10) as store,
    ):
        store.check()
        yield project, store


@pytest.mark.parametrize("work", [_write, _stage, _land, _sync, _rate, _delete])
@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_lived_through(
    lasting: tuple[Project, SupabaseStore], fault: str, work: Callable[[SupabaseStore], None]
) -> None:
    project, store = lasting
    project.proxy.faults[:] = [Fault(**{**vars(PASSING[fault]), "path": "/rpc/"})]
    work(store)
    assert project.proxy.faults[0].times == 0, "the fault happened"


def test_a_lost_sync_reply_does_not_price_a_model_twice(store: SupabaseStore, project: Project) -> None:
    store.write("providers", [provider()])
    project.proxy.faults.append(Fault("drop", after=True, path="/rpc/commit_catalog"))
    store.apply_catalog("aurora", [entry("small")], T0)
    assert len(store.read_all("prices")) == 1


def test_a_project_that_is_down_for_the_whole_run_gets_everything_later(spool: Spool, project: Project) -> None:
    project.proxy.faults.append(DOWN)
    opened, ids = begin(spool)
    with hasty(project) as store:
        for result_id in ids:
            measure(opened, result_id)
            with pytest.raises(StoreUnavailable, match="answered 503"):
                opened.land(store)
        opened.finish(T1)
        opened.close()
        ((run_id, why),) = spool.recover(store).waiting
        assert (run_id, "503" in why) == (opened.run_id, True)
        project.proxy.faults.clear()
        recovery = spool.recover(store, T2)
        assert (recovery.landed, recovery.aborted, recovery.skipped) == (3, 0, 0)
        assert outcomes(store) == dict.fromkeys(ids, "ok")
    assert spool.run_ids() == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop", ALWAYS),
        Fault("drop", ALWAYS, after=True),
        Fault("html", ALWAYS),
        Fault("expired", ALWAYS),
        Fault("status", ALWAYS, status=500),
        Fault("status", ALWAYS, status=413),
        Fault("slow", ALWAYS, delay_s=3.0),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status if fault.kind == 'status' else ''}{' after' if fault.after else ''}",
)
def test_what_does_not_pass_leaves_everything_in_the_spool(spool: Spool, project: Project, fault: Fault) -> None:
    opened, ids = begin(spool)
    for result_id in ids:
        measure(opened, result_id)
    opened.finish(T1)
    with hasty(project, timeout_s=0.3) as store:
        store.check()
        project.proxy.faults.append(fault)
        with pytest.raises(StoreUnavailable) as caught:
            opened.land(store)
    assert project.service_key not in str(caught.value)
    assert "http" not in str(caught.value)
    die(opened)
    project.proxy.faults.clear()
    with hasty(project, timeout_s=10.0) as store:
        assert spool.recover(store, T2).waiting == ()
        assert outcomes(store) == dict.fromkeys(ids, "ok")
        assert len(store.read_all("runs")) == 1
    assert spool.run_ids() == []


def test_half_a_batch_that_is_refused_keeps_the_other_half(
    spool: Spool, project: Project, store: SupabaseStore
) -> None:
    opened, ids = begin(spool, 40)
    for index, result_id in enumerate(ids):
        # What this program takes and PostgreSQL does not: a word too long for an index is one row's misfortune.
        measure(opened, result_id, **({"price_id": "x" * 1_000_000} if index % 2 else {}))
    with psycopg.connect(project.db_url) as connection:
        connection.execute("alter table public.benchmark_results add check (length(price_id) < 1000)")
    opened.finish(T1)
    landing = opened.land(store)
    assert (landing.landed, len(landing.refused)) == (20, 20)
    assert set(outcomes(store)) == set(ids[::2])
    opened.close()
    assert {kept["row"]["id"] for kept in refused(spool._directory)} == set(ids[1::2])


def test_a_token_that_is_too_old_says_which_variable_to_set(project: Project) -> None:
    with (
        hasty(project, key=project.token("service_role", expires_in_s=-100)) as store,
        pytest.raises(
            StoreUnavailable, match=r"does not take the service key \(401: JWT expired\); set SUPABASE_SERVICE_ROLE_KEY"
        ),
    ):
        store.check()


@pytest.mark.parametrize("key", ["anon", "of another project", "none at all"])
def test_another_key_than_the_service_key_is_refused_with_a_word(project: Project, key: str) -> None:
    given = {
        "anon": project.anon_key,
        "of another project": project.token("service_role", secret="other" * 10),
        "none at all": "sb_secret_not_a_token",
    }[key]
    with (
        hasty(project, key=given) as store,
        pytest.raises(StoreUnavailable, match="SUPABASE_SERVICE_ROLE_KEY") as caught,
    ):
        store.read_all("providers")
    assert given not in str(caught.value)


def test_a_project_that_cannot_be_reached_says_so(unused_port: int) -> None:
    with (
        SupabaseStore(f"http://127.0.0.1:{unused_port}", "canary", patience_s=0.2) as store,
        pytest.raises(
            StoreUnavailable, match=r"the Supabase project at 127\.0\.0\.1 could not be reached \(ConnectError\)"
        ) as caught,
    ):
        store.read_all("providers")
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("url", ["not an address", "ftp://a.example", ""])
def test_an_address_that_is_none_says_so(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="SUPABASE_URL"):
        SupabaseStore(url, "key")


# -- drift -------------------------------------------------------------------------------------------------------------


def alter(project: Project, statement: str) -> None:
    with psycopg.connect(project.db_url) as connection:
        connection.execute(statement.encode())
        connection.execute("notify pgrst, 'reload schema'")


def test_a_column_that_was_added_does_no_harm(project: Project, store: SupabaseStore) -> None:
    alter(project, "alter table public.request_events add column note text")
    store.check()
    store.write("request_events", [request()])
    assert store.read("request_events").rows[0]["note"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table public.benchmark_results drop column tps", "benchmark_results lacks tps; the migration 20261121050300_measurements"),
        ("drop table public.repricings cascade", "there is no repricings; the migration 20261121050300"),
        ("drop function public.land_results", "land_results.*; the migration 20261121090100_landing"),
    ],
)  # fmt: skip
def test_what_was_dropped_is_named_with_its_migration_and_the_spool_keeps_all(
    spool: Spool, project: Project, change: str, said: str
) -> None:
    alter(project, change)
    opened, ids = begin(spool, 1)
    measure(opened, ids[0])
    with hasty(project, patience_s=3) as store, pytest.raises(SchemaMismatch, match=said) as caught:
        opened.land(store)
    assert "scorehouse db migrate" in str(caught.value)
    opened.close()
    assert len(spool.run_ids()) == 1


def test_a_column_that_goes_while_we_work_refuses_no_row_for_good(
    spool: Spool, project: Project, store: SupabaseStore
) -> None:
    opened, ids = begin(spool, 1)
    measure(opened, ids[0], tps=5.0)
    opened.finish(T1)
    alter(project, "alter table public.benchmark_results rename column tps to old_tps")
    with pytest.raises(SchemaMismatch, match="tps"):
        opened.land(store)
    alter(project, "alter table public.benchmark_results rename column old_tps to tps")
    assert opened.land(store).landed == 1
    opened.close()
    assert refused(spool._directory) == []


def test_a_project_without_tables_says_what_to_do(projects: Projects) -> None:
    with projects.fresh(migrated=False) as bare, hasty(bare) as store:
        for call in (store.check, store.epoch, store.migrate, lambda: store.write("providers", [provider()])):
            with pytest.raises(SchemaMismatch, match="SUPABASE_DB_URL and run `scorehouse db migrate`"):
                call()


def test_a_project_without_tables_is_migrated_where_its_database_is_known(projects: Projects) -> None:
    with projects.fresh(migrated=False) as bare, hasty(bare, db_url=bare.db_url, patience_s=10) as store:
        assert len(store.migrate()) > 5
        assert store.migrate() == []
        store.write("providers", [provider()])


def test_a_row_that_the_database_refuses_is_no_reason_to_try_again(store: SupabaseStore, project: Project) -> None:
    before = len(project.proxy.seen)
    with pytest.raises(BadRows):
        store.write("providers", [provider(provider_type="odd")])
    assert len(project.proxy.seen) == before + 1


def test_a_sync_beside_another_of_the_same_provider_is_decided_anew(store: SupabaseStore, project: Project) -> None:
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small")], T0)
    project.proxy.faults.append(Fault("slow", path="/rpc/commit_catalog", delay_s=0.0))
    raced = list[int]()
    real = store.send

    def racing(function: str, *given: Any, **more: Any) -> Any:
        if function == "commit_catalog" and not raced:
            raced.append(1)
            with SupabaseStore(project.url, project.service_key) as other:
                other.apply_catalog("aurora", [entry("small"), entry("other")], T1)
        return real(function, *given, **more)

    store.send = racing  # type: ignore[method-assign]
    change = store.apply_catalog("aurora", [entry("small")], T2)
    assert change.vanished == 1, "what the other sync added is seen, and is not listed now"
    assert {row["name"]: row["is_available"] for row in store.read_all("models")} == {"small": True, "other": False}
