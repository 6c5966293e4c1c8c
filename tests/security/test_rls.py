"""Nobody reads or writes another's rows: every table, verb, role and owner is tried, and has its expected result."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from security.access import ACTORS, EXPECTED, OWNERS, USER, VERBS, Actor, World, insertion
from supabase_project import Projects

_TABLES = """
select n.nspname || '.' || c.relname, c.relrowsecurity and c.relforcerowsecurity,
    (select count(*) from pg_policy p where p.polrelid = c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'partitions', 'scorehouse') and c.relkind in ('r', 'p')
"""


@pytest.fixture(scope="module")
def world(projects: Projects) -> Iterator[World]:
    """A database with rows of everybody's, by a role that is above the policies."""
    with projects.database() as db_url, psycopg.connect(db_url) as connection:
        made = World(connection)
        connection.commit()
        yield made
        connection.rollback()


@contextmanager
def acting(connection: psycopg.Connection[Any], actor: Actor) -> Iterator[None]:
    """As PostgREST acts for a token; afterwards nothing has happened."""
    with connection.transaction(force_rollback=True):
        connection.execute("select set_config('request.jwt.claims', %s, true)", (json.dumps(actor.claims),))
        connection.execute(f"set local role {actor.database_role}")
        yield


def succeeds(connection: psycopg.Connection[Any], statement: Any, values: Any) -> bool:
    """Whether one row was read or changed; the change is undone."""
    try:
        with connection.transaction(force_rollback=True):
            return connection.execute(statement, values).rowcount == 1
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.errors.UniqueViolation:
        return True  # policies are asked first: the row was allowed, and is one too many


def allowed(world: World, actor: Actor, table: str, verb: str) -> set[str]:
    """The owners whose rows the actor can in fact treat so."""
    name = sql.Identifier("public", table)
    rows = {owner: world.row(table, owner) for owner in world.owners(table)}
    with acting(world.connection, actor):
        privileged = {
            column
            for (column,) in world.connection.execute(
                "select a.attname from pg_attribute a where a.attrelid = %s::regclass and a.attnum > 0 "
                "and has_column_privilege(a.attrelid, a.attnum, %s)",
                (f"public.{table}", verb if verb in {"insert", "update"} else "select"),
            )
        }
        found = set()
        for owner, row in rows.items():
            key, value = world.ids[table, owner]
            where = sql.SQL("where {} = %s").format(sql.Identifier(key))
            match verb:
                case "select":
                    statement, values = sql.SQL("select 1 from {} {}").format(name, where), [value]
                case "delete":
                    statement, values = sql.SQL("delete from {} {}").format(name, where), [value]
                case "update":
                    column = sql.Identifier(next(iter(sorted(privileged - {key, "commit_seq"})), key))
                    statement = sql.SQL("update {} set {} = {} {}").format(name, column, column, where)
                    values = [value]
                case _:
                    given = {column: row[column] for column in row if column in privileged} or row
                    statement, values = insertion(table, given), list(given.values())
            if succeeds(world.connection, statement, values):
                found.add(owner)
        return found


@pytest.mark.parametrize("table", sorted(EXPECTED))
def test_everyone_may_do_what_the_table_says_and_no_more(world: World, table: str) -> None:
    for actor, verb in itertools.product(ACTORS, VERBS):
        expected = actor.may(table, verb) & set(world.owners(table))
        assert allowed(world, actor, table, verb) == expected, f"{actor.name}: {verb} {table}"


def test_the_matrix_has_every_table_and_owners_of_every_kind(world: World) -> None:
    assert set(world.columns) == set(EXPECTED)
    assert {owner for _, owner in world.ids} == set(OWNERS)


# -- a table that nobody thought of ------------------------------------------------------------------------------


def unguarded(connection: psycopg.Connection[Any]) -> set[str]:
    """Tables whose row-level security is off or not forced, or which the public interface serves without a policy."""
    return {
        name
        for name, is_forced, policies in connection.execute(_TABLES)
        if not is_forced or (name.startswith("public.") and not policies)
    }


def test_every_table_is_guarded_its_partitions_too(world: World) -> None:
    assert unguarded(world.connection) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "create table public.intruder (id int)",
        "create table public.intruder (id int); alter table public.intruder enable row level security",
        (
            "create table public.intruder (id int); "
            "alter table public.intruder enable row level security, force row level security"
        ),
    ],
)
def test_a_new_table_without_policies_is_noticed_and_is_nobodys(world: World, statement: str) -> None:
    connection = world.connection
    with connection.transaction(force_rollback=True):
        connection.execute(statement)
        assert unguarded(connection) == {"public.intruder"}
        for role in ("anon", "authenticated"):
            (may,) = connection.execute(
                "select has_table_privilege(%s, 'public.intruder', 'select, insert, update, delete')", (role,)
            ).fetchone()
            assert not may, role


def test_each_policy_is_for_one_verb_and_one_role(world: World) -> None:
    found = world.connection.execute(
        "select tablename, policyname, cmd, roles, qual, with_check from pg_policies"
    ).fetchall()
    kinds = {"platform_admin", "tenant_admin", "user", "agent", "service"}
    served: dict[str, set[str]] = {}
    for table, name, verb, roles, qual, check in found:
        kind, _, of = name.rpartition("_")
        served.setdefault(table, set()).add(name)
        assert (kind in kinds, of) == (True, verb.lower()), f"{table}: {name}"
        assert roles == (["service_role"] if kind == "service" else ["authenticated"]), f"{table}: {name}"
        if kind != "service":
            assert f"'{kind}'::text" in f"{qual} {check}", f"{table}: {name}"
        assert "user_metadata" not in f"{qual} {check}"
    assert set(served) >= set(EXPECTED)
    for table in EXPECTED:
        assert served[table] >= {f"service_{verb}" for verb in VERBS}, table


# -- what goes around tables -------------------------------------------------------------------------------------


def test_every_view_shows_its_reader_what_the_tables_would(world: World) -> None:
    views = dict(
        world.connection.execute(
            "select relname, coalesce(reloptions, '{}') from pg_class "
            "where relnamespace = 'public'::regnamespace and relkind in ('v', 'm')"
        ).fetchall()
    )
    assert {name for name, options in views.items() if "security_invoker=true" not in options} == set()
    assert {"catalog", "messages", "metrics", "request_analytics", "model_metric_events", "provider_registry"} <= set(
        views
    )
    tenant_admin = next(actor for actor in ACTORS if actor.name == "tenant_admin")
    visitor = next(actor for actor in ACTORS if actor.name == "visitor")
    with acting(world.connection, tenant_admin):
        tenants = world.connection.execute("select distinct tenant_id from request_analytics").fetchall()
        assert tenants == [("acme",)]
        assert world.connection.execute("select count(*) from result_costs").fetchone() == (0,)
    for name in views:
        with acting(world.connection, visitor), pytest.raises(psycopg.errors.InsufficientPrivilege):
            world.connection.execute(sql.SQL("select 1 from {}").format(sql.Identifier(name)))


def test_a_function_with_its_owners_rights_has_a_fixed_search_path(world: World) -> None:
    found = world.connection.execute(
        "select p.proname, p.proconfig from pg_proc p join pg_namespace n on n.oid = p.pronamespace "
        "where n.nspname in ('public', 'scorehouse') and p.prosecdef"
    ).fetchall()
    assert found
    for name, settings in found:
        assert 'search_path=""' in (settings or []), name


@pytest.mark.parametrize(("role", "reachable"), [("anon", set()), ("authenticated", set())])
def test_functions_of_the_public_interface_are_the_services_alone(world: World, role: str, reachable: set[str]) -> None:
    found = world.connection.execute(
        "select p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace and has_function_privilege(%s, p.oid, 'execute')",
        (role,),
    ).fetchall()
    assert {name for (name,) in found} == reachable


def test_partitions_are_reached_through_their_tables_only(world: World) -> None:
    for role in ("anon", "authenticated", "service_role"):
        (may,) = world.connection.execute("select has_schema_privilege(%s, 'partitions', 'usage')", (role,)).fetchone()
        assert not may, role


# -- rows that would reach further than they look -----------------------------------------------------------------


def named(name: str) -> Actor:
    return next(actor for actor in ACTORS if actor.name == name)


def refused(world: World, actor: str, statement: str, values: tuple[Any, ...] = ()) -> bool:
    with acting(world.connection, named(actor)):
        return not succeeds(world.connection, statement, values)


def test_a_tenants_row_about_a_strangers_agent_is_refused(world: World) -> None:
    row = world.row("agent_models", "mine") | {"agent_id": world.ids["agents", "strangers"][1]}
    with acting(world.connection, named("tenant_admin")):
        assert not succeeds(world.connection, insertion("agent_models", row), list(row.values()))


def test_a_row_cannot_be_moved_to_another_tenant(world: World) -> None:
    for table in ("agents", "routing_configs", "routing_experiments", "agent_models"):
        key, value = world.ids[table, "mine"]
        assert refused(world, "tenant_admin", f"update {table} set tenant_id = 'other' where {key} = %s", (value,)), (
            table
        )


def test_what_a_whole_tenant_may_spend_is_not_its_own_to_say(world: World) -> None:
    statement = "insert into budgets (tenant_id, user_id, period, limit_usd) values ('acme', %s, 'month', 1)"
    assert refused(world, "tenant_admin", statement, (None,))
    assert not refused(world, "tenant_admin", statement, (USER,))
    assert not refused(world, "platform_admin", statement, (None,))


@pytest.mark.parametrize(
    ("actor", "statement"),
    [
        ("platform_admin", "update budgets set spent_usd = 0"),
        ("tenant_admin", "update budgets set hour_requests = 0"),
        ("user", "update user_sessions set spent_usd = 0"),
        ("agent", "insert into request_events (model, success, tenant_id, agent_id, txid) values ('m', true, 'acme', 'agent-1', '3')"),
        ("agent", ("insert into request_events (model, success, tenant_id, agent_id, commit_seq) "
                  "overriding system value values ('m', true, 'acme', 'agent-1', 1)")),
        ("user", ("insert into feedback_events (message_id, model, rating, feedback_type, tenant_id, user_id, created_at) "
                 f"values ('message-mine', 'm', 1, 'explicit', 'acme', '{USER}', '2099-01-01')")),
    ],
)  # fmt: skip
def test_what_the_engine_counts_and_orders_is_not_written_by_others(world: World, actor: str, statement: str) -> None:
    assert refused(world, actor, statement)


@pytest.mark.parametrize(
    ("message", "model", "is_simulated", "may"),
    [
        ("message-mine", "m", False, True),
        ("message-mine", "another", False, False),
        ("message-mine", "m", True, False),
        ("message-colleagues", "m", False, False),
        ("message-strangers", "m", False, False),
        ("message-of-nobody", "m", False, False),
    ],
)
def test_an_opinion_is_on_a_message_that_one_was_answered(
    world: World, message: str, model: str, is_simulated: bool, may: bool
) -> None:
    statement = (
        "insert into feedback_events (message_id, model, is_simulated, rating, feedback_type, tenant_id, user_id) "
        "values (%s, %s, %s, 1, 'explicit', 'acme', %s)"
    )
    assert refused(world, "user", statement, (message, model, is_simulated, USER)) is not may


def test_a_persons_change_is_audited_and_the_engines_is_not(world: World) -> None:
    connection = world.connection
    key, value = world.ids["providers", "nobodys"]

    def trail(actor: str, statement: str) -> list[tuple[Any, ...]]:
        with acting(connection, named(actor)):
            headers = {"x-forwarded-for": "203.0.113.9, 10.0.0.1", "user-agent": "browser"}
            connection.execute("select set_config('request.headers', %s, true)", (json.dumps(headers),))
            connection.execute(statement, (value,))
            connection.execute("reset role")
            return connection.execute(
                "select actor_id, actor_role, action, object_type, object_id, ip_address, user_agent, "
                "old_value ->> 'is_active', new_value ->> 'is_active' from audit_log where object_id = %s", (value,)
            ).fetchall()  # fmt: skip

    disable = f"update providers set is_active = false where {key} = %s"
    told = (USER, "platform_admin", "update", "providers", value, "203.0.113.9", "browser", "true", "false")
    assert trail("platform_admin", disable) == [told]
    assert trail("service", disable) == []
    remove = trail("platform_admin", f"delete from providers where {key} = %s")
    assert [row[2] for row in remove] == ["delete"], "what went with it needs no rows of its own"
