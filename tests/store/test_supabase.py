"""A Supabase project passes the contract of a store: real PostgreSQL, real PostgREST, the real client."""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from store.base import StoreContract
from store.changing import correction
from store.samples import T0, entry, provider, request
from store.spending import budget
from supabase_project import Fault, Project

from analytics.errors import BadRows, StoreUnavailable
from analytics.store import Actor, PolicyOwner
from analytics.store.supabase import SupabaseStore
from analytics.store.supabase_wire import _ANSWERS


@pytest.fixture
def store(project: Project) -> Iterator[SupabaseStore]:
    with SupabaseStore(project.url, project.service_key, timeout_s=10, patience_s=5) as opened:
        opened.migrate()
        yield opened


class TestSupabaseStore(StoreContract):
    """The contract, unchanged."""


def test_only_the_service_key_may_run_what_the_store_runs(project: Project) -> None:
    ours = "select p.oid::regprocedure::text, p.oid from pg_proc p where p.proname = any(%s) and p.pronamespace = 'public'::regnamespace"
    helpers = "select p.oid::regprocedure::text, p.oid from pg_proc p where p.pronamespace = 'scorehouse'::regnamespace and p.proname = any(%s)"
    inside = [
        "groups",
        "insert_group",
        "write_groups",
        "condition",
        "epoch",
        "land_group",
        "land_run",
        "catalog_version",
        "told_row",
        "record_change",
        "change_row",
    ]
    with psycopg.connect(project.db_url) as connection:
        found = connection.execute(ours, (sorted(_ANSWERS),)).fetchall()
        found += connection.execute(helpers, (inside,)).fetchall()
        assert len(found) == len(_ANSWERS) + len(inside)
        for name, oid in found:
            may = {
                role: connection.execute(
                    "select has_function_privilege(%s::name, %s::oid, 'execute')", (role, oid)
                ).fetchone()
                for role in ("anon", "authenticated", "service_role")
            }
            assert may == {"anon": (False,), "authenticated": (False,), "service_role": (True,)}, name
        for role in ("anon", "authenticated"):
            seen = connection.execute(
                "select has_table_privilege(%s, 'scorehouse.staged', 'select')", (role,)
            ).fetchone()
            assert seen == (False,)


def test_every_function_has_a_deadline_of_its_own_or_is_quick(project: Project) -> None:
    """A hosted project ends what the service key asks after 8 s, unless the function says otherwise: PostgREST takes that over."""
    slow = {
        "write_rows",
        "change_rows",
        "remove_rows",
        "land_results",
        "commit_catalog",
        "read_events",
        "tally_events",
        "expire_events",
        "select_rows",
        "stage_rows",
    }
    with psycopg.connect(project.db_url) as connection:
        found = connection.execute(
            "select proname from pg_proc where proconfig::text like '%%statement_timeout=120s%%' and proname = any(%s)",
            (sorted(slow),),
        ).fetchall()
    assert {name for (name,) in found} == slow


def test_what_was_staged_is_forgotten_once_it_is_written(store: SupabaseStore, project: Project) -> None:
    store.write("request_events", [request() for _ in range(2_100)])
    with psycopg.connect(project.db_url) as connection:
        assert connection.execute("select count(*) from scorehouse.staged").fetchone() == (0,)


def test_a_batch_of_which_a_part_is_gone_is_not_written_in_part(store: SupabaseStore, project: Project) -> None:
    real = store._wire.call

    def losing(function: str, **values: Any) -> dict[str, Any]:
        if function == "write_rows":
            with psycopg.connect(project.db_url) as connection:
                connection.execute("delete from scorehouse.staged where part = 1")
        return real(function, **values)

    store._wire.call = losing  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="is not whole"):
        store.write("request_events", [request() for _ in range(2_100)])
    assert store.read("request_events").rows == []


def test_the_same_event_at_another_time_is_the_same_event(store: SupabaseStore) -> None:
    """Partitions have no key across months; the first row stays all the same, whoever writes at once."""
    event = request()
    threads = [
        threading.Thread(
            target=store.write, args=("request_events", [event | {"created_at": f"2026-{month:02}-03T00:00:00Z"}])
        )
        for month in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.read("request_events").rows) == 1


def test_a_change_whose_reply_is_lost_is_made_and_audited_once(store: SupabaseStore, project: Project) -> None:
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small")], T0)
    owner, anna = PolicyOwner(tenant="acme"), Actor("tenant_admin", "anna")
    project.proxy.faults.append(Fault("drop", method="POST", after=True))
    (row,) = store.set_agent_models("writer", [{"model": "aurora/small", "is_enabled": True}], actor=anna)
    assert row["is_enabled"] is True
    project.proxy.faults.append(Fault("drop", method="POST", after=True))
    assert store.add_policy("house", {"sort": "price"}, owner=owner, actor=anna)["version"] == 1
    project.proxy.faults.append(Fault("drop", method="POST", after=True))
    assert store.activate_policy("house", owner=owner, actor=anna)["is_active"] is True
    assert [fault.times for fault in project.proxy.faults] == [0, 0, 0], "each was met"
    assert [row["action"] for row in store.read("audit_log").rows] == [
        "set_agent_models",
        "add_policy",
        "activate_policy",
    ]


def test_a_switch_or_a_budget_whose_reply_is_lost_is_made_and_audited_once(
    store: SupabaseStore, project: Project
) -> None:
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small")], T0)
    (model,) = store.read_all("models")
    limited = budget(limit_usd=5.0)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("providers", {"id": provider()["id"], "is_active": False}),
        ("model_overrides", {"model_id": model["id"], "is_enabled": False}),
        ("budgets", limited),
    ]
    for table, row in calls:
        project.proxy.faults.append(Fault("drop", method="POST", after=True))
        store.change_rows(table, [row], action="change", actor=Actor("platform_admin", "anna"))
    project.proxy.faults.append(Fault("drop", method="POST", after=True))
    store.remove_rows("budgets", [limited["id"]], action="remove", actor=Actor("platform_admin", "anna"))
    assert [fault.times for fault in project.proxy.faults] == [0, 0, 0, 0], "each was met"
    assert store.read_all("providers")[0]["is_active"] is False
    assert store.read_all("model_overrides")[0]["is_enabled"] is False
    assert store.read_all("budgets") == []
    assert [(row["action"], row["object_type"]) for row in store.read("audit_log").rows] == [
        ("change", "providers"), ("change", "model_overrides"), ("change", "budgets"), ("remove", "budgets")
    ]  # fmt: skip


def test_a_correction_whose_reply_is_lost_is_made_and_audited_once(store: SupabaseStore, project: Project) -> None:
    project.proxy.faults.append(Fault("drop", method="POST", path="write_rows", after=True))
    store.add_events("repricings", [correction()], action="reprice", actor=Actor("platform_admin", "anna"))
    assert [fault.times for fault in project.proxy.faults] == [0], "it was met"
    assert len(store.read("repricings").rows) == len(store.read("audit_log").rows) == 1


def test_what_cannot_be_audited_is_not_changed(store: SupabaseStore, project: Project) -> None:
    store.write("providers", [provider()])
    store.write("budgets", [limited := budget(limit_usd=5.0)])
    with psycopg.connect(project.db_url) as connection:
        connection.execute("alter table audit_log add constraint closed check (actor_id is null)")
    anna = Actor("platform_admin", "anna")
    with pytest.raises(BadRows, match="closed"):
        store.change_rows("providers", [{"id": provider()["id"], "is_active": False}], action="change", actor=anna)
    with pytest.raises(BadRows, match="closed"):
        store.remove_rows("budgets", [limited["id"]], action="remove", actor=anna)
    with pytest.raises(BadRows, match="closed"):
        store.add_events("repricings", [correction()], action="reprice", actor=anna)
    assert store.read("repricings").rows == []
    assert store.read_all("providers")[0]["is_active"] is True
    assert len(store.read_all("budgets")) == 1
