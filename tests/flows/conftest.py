"""One Prefect server for the session, started before it is needed: it takes its time while other tests run."""

from collections.abc import Iterator

import pytest
from flows_prefect import PrefectServer, prefect_server


@pytest.fixture(scope="session", autouse=True)
def starting_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrefectServer | None]:
    """A server on its way up, if any test of this session wants one."""
    if not any("server" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    with prefect_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture
def server(starting_server: PrefectServer) -> PrefectServer:
    """A real Prefect server that answers."""
    starting_server.wait()
    return starting_server
