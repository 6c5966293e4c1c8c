"""The door of the database: a token that is forged, stale or somebody else's opens nothing, and none shows nothing."""

import base64
import json
from collections.abc import Iterator

import httpx
import jwt
import psycopg
import pytest
from supabase_project import Project, Projects

from analytics.store import new_id, schema

USER = "11111111-1111-4111-8111-111111111111"
OK, CREATED, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN = 200, 201, 400, 401, 403


@pytest.fixture(scope="module")
def door(projects: Projects) -> Iterator[Project]:
    """A project with one live request of each of two tenants."""
    with projects.fresh() as project:
        with psycopg.connect(project.db_url) as connection:
            for tenant in ("acme", "other"):
                connection.execute(
                    "insert into request_events (model, success, tenant_id, user_id, message_id) values ('m', true, %s, %s, %s)",
                    (tenant, USER, f"message-{tenant}"),
                )
        yield project


def ask(project: Project, token: str | None, path: str, method: str = "GET", **more: object) -> httpx.Response:
    headers = {"apikey": project.anon_key} | ({"Authorization": f"Bearer {token}"} if token else {})
    return httpx.request(method, f"{project.url}/rest/v1/{path}", headers=headers, timeout=30, **more)


def tenants(answer: httpx.Response) -> list[str]:
    assert answer.status_code == OK, answer.text
    return sorted(row["tenant_id"] for row in answer.json())


def test_a_good_token_shows_what_its_role_may_see(door: Project) -> None:
    path = "request_events?select=tenant_id"
    assert tenants(ask(door, door.token("platform_admin"), path)) == ["acme", "other"]
    assert tenants(ask(door, door.token("tenant_admin", tenant_id="acme"), path)) == ["acme"]
    assert tenants(ask(door, door.token("user", tenant_id="other", user_id=USER), path)) == ["other"]
    assert tenants(ask(door, door.token("user", tenant_id="acme"), path)) == [], "another account of the tenant"
    assert tenants(ask(door, door.service_key, path)) == ["acme", "other"]


def test_what_an_account_says_of_itself_is_not_believed(door: Project) -> None:
    token = door.token(
        "user", app_metadata={}, user_metadata={"role": "platform_admin", "tenant_id": "acme"}, tenant_id_claim="acme"
    )
    assert tenants(ask(door, token, "request_events?select=tenant_id")) == []


def tampered(token: str) -> str:
    """The same token with another tenant under the old signature."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["app_metadata"]["tenant_id"] = "other"
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


@pytest.mark.parametrize(
    "bad", ["none", "wrong key", "expired", "not yet", "audience", "tampered", "no token", "role", "rs256"]
)
def test_a_forged_or_stale_token_is_refused(door: Project, bad: str) -> None:
    good = {"role": "tenant_admin", "tenant_id": "acme"}
    match bad:
        case "none":
            token = door.token(**good, algorithm="none")
        case "wrong key":
            token = door.token(**good, secret="x" * 64)
        case "expired":
            token = door.token(**good, expires_in_s=-60)
        case "not yet":
            token = door.token(**good, nbf=4_000_000_000)
        case "audience":
            token = door.token(**good, aud="somebody else")
        case "tampered":
            token = tampered(door.token(**good))
        case "no token":
            token = "nonsense"
        case "role":  # a service key under another key
            token = door.token("service_role", secret="x" * 64)
        case _:
            claims = jwt.decode(door.token(**good), options={"verify_signature": False})
            head = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT"}').decode().rstrip("=")
            body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
            token = f"{head}.{body}.{jwt.encode(claims, door.secret, 'HS256').split('.')[2]}"
    answer = ask(door, token, "request_events?select=tenant_id")
    assert answer.status_code == UNAUTHORIZED, answer.text
    assert "acme" not in answer.text


@pytest.mark.parametrize("role", ["postgres", "authenticator", "supabase_admin", "no_such_role"])
def test_a_signed_token_reaches_no_role_that_tokens_are_not_for(door: Project, role: str) -> None:
    token = door.token("service_role")
    claims = jwt.decode(token, options={"verify_signature": False}) | {"role": role}
    answer = ask(door, jwt.encode(claims, door.secret, "HS256"), "request_events?select=tenant_id")
    assert answer.status_code in {BAD_REQUEST, UNAUTHORIZED, FORBIDDEN}, answer.text
    assert "acme" not in answer.text


@pytest.mark.parametrize("token", ["anon", None])
def test_without_an_account_nothing_is_seen_or_called(door: Project, token: str | None) -> None:
    key = door.anon_key if token else None
    for name, table in schema.warehouse().items():
        assert ask(door, key, f"{name}?limit=1").status_code == UNAUTHORIZED, name
        for method, body in (("POST", {}), ("PATCH", {table.key or "id": new_id()}), ("DELETE", None)):
            status = ask(door, key, name, method, json=body).status_code
            # PostgreSQL refuses to write to a view of several tables before it asks who wants to.
            assert status == UNAUTHORIZED or (table.is_view and status >= BAD_REQUEST), f"{method} {name}: {status}"
    with psycopg.connect(door.db_url) as connection:
        found = connection.execute(
            "select distinct proname from pg_proc where pronamespace = 'public'::regnamespace"
        ).fetchall()
    for (name,) in found:
        assert ask(door, key, f"rpc/{name}", "POST", json={}).status_code in {UNAUTHORIZED, 404}, name
    answer = ask(door, key, "rpc/make_partitions", "POST", json={"months_ahead": 1})
    assert answer.status_code == UNAUTHORIZED


def test_partitions_and_helpers_are_not_served(door: Project) -> None:
    for name in ("request_events_default", "partitions.request_events_default", "staged", "schema_migrations"):
        assert ask(door, door.service_key, f"{name}?limit=1").status_code in {404, 406}, name


def test_a_user_gives_an_opinion_and_nobody_else_can_in_the_users_name(door: Project) -> None:
    opinion = {
        "id": new_id(), "message_id": "message-acme", "model": "m", "rating": 1, "feedback_type": "explicit",
        "tenant_id": "acme", "user_id": USER,
    }  # fmt: skip
    thief = door.token("user", tenant_id="other", user_id=USER)
    assert ask(door, thief, "feedback_events", "POST", json=opinion).status_code == FORBIDDEN
    colleague = door.token("user", tenant_id="acme")
    assert ask(door, colleague, "feedback_events", "POST", json=opinion).status_code == FORBIDDEN
    own = door.token("user", tenant_id="acme", user_id=USER)
    assert ask(door, own, "feedback_events", "POST", json=opinion).status_code == CREATED
    (message,) = ask(door, own, "messages?select=id,rating").json()
    assert message == {"id": "message-acme", "rating": 1}
