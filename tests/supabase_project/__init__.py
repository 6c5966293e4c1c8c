"""A real Supabase project on loopback: PostgreSQL with Supabase's roles, PostgREST over it, and its front door.

`projects` (a session's fixture) gives `fresh()`: a database of its own with every migration applied, in well under a second.
The `project` fixture is one of those. What Supabase has beside its REST interface (sign-in, storage, realtime) is not here;
tokens are signed by the test instead, as the sign-in service would.
"""

import itertools
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from analytics.store.migrate_postgres import migrate
from supabase_project import server as postgres
from supabase_project.programs import postgrest
from supabase_project.proxy import Fault, Proxy

__all__ = ["Fault", "Project", "Projects", "project", "projects"]

_MAX_ROWS = 1000  # of one answer, as on hosted projects
_NOT_READY = 503


@dataclass(frozen=True)
class Project:
    """One project: `url` and a key for supabase-py, `db_url` for psycopg, `proxy` for what goes wrong on the way."""

    url: str
    service_key: str
    anon_key: str
    db_url: str
    proxy: Proxy
    secret: str

    def token(
        self,
        role: str = "user",
        *,
        tenant_id: str | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        expires_in_s: float = 3600,
        secret: str | None = None,
        algorithm: str = "HS256",
        **claims: Any,
    ) -> str:
        """A JWT as Supabase signs one in: `role` is anon, service_role, or one that an administrator gave to the account.

        The latter, the tenant and the agent lie in `app_metadata`, which an account cannot change by itself; `claims` overrule.
        """
        now = time.time()
        body: dict[str, Any] = {"iat": int(now), "exp": int(now + expires_in_s)}
        if role in {"anon", "service_role"}:
            body |= {"iss": "supabase", "role": role}
        else:
            given = {"role": role, "tenant_id": tenant_id, "agent_id": agent_id}
            body |= {
                "aud": "authenticated",
                "role": "authenticated",
                "sub": user_id or "00000000-0000-4000-8000-000000000000",
                "app_metadata": {name: value for name, value in given.items() if value is not None},
                "user_metadata": {},
            }
        key = "" if algorithm == "none" else secret or self.secret
        return jwt.encode(body | claims, key, algorithm)


class Projects:
    """Projects on one PostgreSQL server. The migrations are applied once, to the database that every project is copied from."""

    def __init__(self, server: postgres.Server) -> None:
        self.server = server
        self._numbers = itertools.count(1)
        self._program = postgrest()
        self._is_migrated = False

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The libpq address of a new database, without REST, for the length of the block."""
        name = f"p{next(self._numbers)}"
        self.server.create(name, self._template() if migrated else "project")
        try:
            yield self.server.url(name)
        finally:
            self.server.drop(name)

    @contextmanager
    def fresh(self, *, migrated: bool = True) -> Iterator[Project]:
        """A new project for the length of the block, with every migration applied (or with none)."""
        with self.database(migrated=migrated) as db_url, self.serve(db_url) as served:
            yield served

    @contextmanager
    def serve(self, db_url: str) -> Iterator[Project]:
        """PostgREST and its front door over a database, for the length of the block."""
        number = next(self._numbers)
        socket, log = self.server.folder / f"rest{number}", self.server.folder / f"rest{number}.log"
        secret = secrets.token_hex(32)
        configuration = {
            "PGRST_DB_URI": db_url.replace("postgresql://postgres@", "postgresql://authenticator@"),
            "PGRST_DB_SCHEMAS": "public",
            "PGRST_DB_EXTRA_SEARCH_PATH": "public, extensions",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_MAX_ROWS": str(_MAX_ROWS),
            "PGRST_JWT_SECRET": secret,
            "PGRST_JWT_AUD": "authenticated",
            "PGRST_SERVER_UNIX_SOCKET": str(socket),
            "PGRST_LOG_LEVEL": "error",
        }
        proxy = Proxy(socket)
        with postgres.program([self._program], log, environment=configuration) as process, proxy.running():
            postgres.wait_until(lambda: _is_ready(proxy, socket), process, log)
            bare = Project(proxy.url, "", "", db_url, proxy, secret)
            ten_years = 10 * 365 * 86_400
            service, anon = (bare.token(role, expires_in_s=ten_years) for role in ("service_role", "anon"))
            yield Project(proxy.url, service, anon, db_url, proxy, secret)

    def _template(self) -> str:
        if not self._is_migrated:
            self.server.create("migrated", "project")
            migrate(self.server.url("migrated"))
            self._is_migrated = True
        return "migrated"


def _is_ready(proxy: Proxy, socket: Path) -> bool:
    """Whether PostgREST has read the database's schema: until then every answer is 503."""
    if not socket.exists():
        return False
    connection = proxy.connect()
    try:
        connection.request("GET", "/no_such_table")
        return connection.getresponse().status != _NOT_READY
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="session")
def projects() -> Iterator[Projects]:
    """A PostgreSQL server for the session, from which each test takes projects of its own."""
    with postgres.running() as server:
        yield Projects(server)


@pytest.fixture
def project(projects: Projects) -> Iterator[Project]:
    """A project of this test alone, with every migration applied."""
    with projects.fresh() as fresh:
        yield fresh
