"""Migrations of a Supabase project's database: whole or not at all, once, recorded where the Supabase CLI looks, and never edited."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from house import House
from supabase_project import Projects
from supabase_project.programs import postgres_programs

from analytics import sqlfiles
from analytics.errors import SchemaMismatch, StoreUnavailable
from analytics.store import migrate_postgres
from analytics.store.migrate_postgres import check, migrate, migrations

FIRST, *_, LAST = migrations()


@pytest.fixture
def empty(projects: Projects) -> Iterator[str]:
    """The address of a project that nobody migrated."""
    with projects.database(migrated=False) as db_url:
        yield db_url


@pytest.fixture
def migrated(projects: Projects) -> Iterator[str]:
    """The address of a project with every migration applied."""
    with projects.database() as db_url:
        yield db_url


def run(db_url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(db_url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def with_migrations(monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]) -> Iterator[None]:
    """As if this were the program with other migrations."""
    with monkeypatch.context() as patch:
        patch.setattr(migrate_postgres, "migrations", lambda: changed)
        yield


def test_an_empty_project_gets_every_migration_once(empty: str) -> None:
    assert migrate(empty) == list(migrations())
    assert migrate(empty) == []
    check(empty)


def test_what_was_applied_is_where_the_supabase_cli_looks_for_it(migrated: str) -> None:
    found = run(migrated, "select version || '_' || name from supabase_migrations.schema_migrations order by version")
    assert [name for (name,) in found] == list(migrations())


def test_psql_runs_the_files_as_they_are_and_they_are_adopted(empty: str) -> None:
    for path in sqlfiles.files("migrations/postgres").values():
        command = [
            postgres_programs() / "psql",
            "--no-psqlrc",
            "--quiet",
            "-v",
            "ON_ERROR_STOP=1",
            "-1",
            "-f",
            path,
            empty,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    with pytest.raises(SchemaMismatch, match=r"pasted by hand; `scorehouse db migrate --adopt`"):
        migrate(empty)
    assert migrate(empty, adopt=True) == list(migrations())
    check(empty)
    assert migrate(empty) == []


def test_nothing_is_adopted_that_is_not_there(migrated: str) -> None:
    run(migrated, "delete from supabase_migrations.schema_migrations")
    run(migrated, "drop view public.catalog")
    run(migrated, "alter table public.prices drop column matched_model")
    with pytest.raises(SchemaMismatch, match=r"has no catalog|prices lacks matched_model"):
        migrate(migrated, adopt=True)
    assert run(migrated, "select * from supabase_migrations.schema_migrations") == []


def test_migrations_of_other_programs_in_the_same_project_are_left_alone(migrated: str) -> None:
    run(
        migrated,
        "insert into supabase_migrations.schema_migrations (version, name) values ('20990101000000', 'theirs')",
    )
    check(migrated)
    assert migrate(migrated) == []


def test_a_migration_that_fails_leaves_those_before_it_and_nothing_of_itself(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {FIRST: migrations()[FIRST], "20261121050001_broken": "create table public.half (id int); select 1 / 0;"}
    with (
        with_migrations(monkeypatch, broken),
        pytest.raises(
            SchemaMismatch, match=r"20261121050001_broken fails, and nothing of it was kept: division by zero"
        ),
    ):
        migrate(empty)
    assert run(empty, "select to_regclass('public.half'), to_regclass('public.store_epoch') is not null") == [
        (None, True)
    ]
    assert run(empty, "select version from supabase_migrations.schema_migrations") == [(FIRST.partition("_")[0],)]
    assert migrate(empty) == list(migrations())[1:]


def test_a_migration_that_was_edited_is_named(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = {**migrations(), LAST: migrations()[LAST] + "-- and more\n"}
    with with_migrations(monkeypatch, edited):
        for call in (check, migrate):
            with pytest.raises(SchemaMismatch, match=f"{LAST} was applied with another text"):
                call(migrated)


def test_what_the_cli_recorded_in_pieces_is_believed(migrated: str) -> None:
    run(migrated, "update supabase_migrations.schema_migrations set statements = array['create ...', 'create ...']")
    check(migrated)
    assert migrate(migrated) == []


def test_a_missing_migration_is_named(migrated: str, empty: str) -> None:
    with pytest.raises(SchemaMismatch, match=f"lacks the migration {FIRST}; run `scorehouse db migrate`"):
        check(empty)
    run(migrated, f"delete from supabase_migrations.schema_migrations where version = '{LAST.partition('_')[0]}'")
    with pytest.raises(SchemaMismatch, match=f"lacks the migration {LAST}"):
        check(migrated)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table public.feedback_events drop column conversation_id", "feedback_events lacks conversation_id"),
        ("drop table public.budgets", "has no budgets"),
        ("alter table public.runs no force row level security", "row-level security of runs is off"),
        ("alter table public.providers disable row level security", "row-level security of providers is off"),
    ],
)
def test_what_somebody_changed_by_hand_is_named(migrated: str, change: str, said: str) -> None:
    run(migrated, change)
    with pytest.raises(SchemaMismatch, match=said):
        check(migrated)


def test_programs_that_migrate_at_once_share_the_work(empty: str) -> None:
    applied: list[str] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            applied.extend(migrate(empty))
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(applied) == list(migrations())
    check(empty)


def test_a_role_that_policies_bind_may_not_migrate(projects: Projects, empty: str) -> None:
    projects.server.execute("postgres", "drop role if exists bound", "create role bound login")
    with pytest.raises(
        SchemaMismatch, match="the role bound is bound by row-level security; migrate as Supabase's role postgres"
    ):
        migrate(empty.replace("postgres@", "bound@"))


def test_a_database_that_is_no_supabase_project_is_refused(projects: Projects) -> None:
    projects.server.execute("postgres", "create database plain owner postgres")
    with pytest.raises(SchemaMismatch, match=r"no function auth\.jwt"):
        migrate(projects.server.url("plain"))
    projects.server.drop("plain")


@pytest.mark.parametrize("call", [migrate, check])
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://postgres:canary-password@127.0.0.1:1/postgres",
        "postgresql://postgres:canary-password@no-such-host.invalid/postgres",
        "postgresql://postgres:canary-password%@127.0.0.1/postgres",
        "canary-password",
        "postgresql://postgres:canary-password@127.0.0.1:port/postgres",
    ],
)
def test_an_address_that_leads_nowhere_is_one_sentence_without_its_password(
    call: Callable[[str], object], address: str
) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        call(address)
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "\n" not in str(caught.value)


def test_the_command_migrates_and_checks_the_project(
    empty: str, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli import main

    def command(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        return int(ended.value.code or 0), capsys.readouterr().err

    assert command("db", "migrate", "--adopt") == (
        2,
        "scorehouse: --adopt is for a Supabase project: set SUPABASE_DB_URL.\n",
    )
    monkeypatch.setenv("SUPABASE_DB_URL", empty)
    code, said = command("db", "check")
    assert (code, f"lacks the migration {FIRST}" in said) == (1, True)
    code, said = command("db", "migrate")
    assert (code, said.startswith(f"Applied {FIRST}, ")) == (0, True)
    assert command("db", "migrate") == (0, "The schema is up to date.\n")
    assert command("db", "check") == (0, "The store answers, and its schema is this program's.\n")
