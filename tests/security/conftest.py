"""A real OpenBao for the session, and a house whose keys are in it."""

import socket
from collections.abc import Iterator

import pytest
from e2e.conftest import Run, run
from house import House
from security.openbao import ROOT_TOKEN, OpenBao, running

from flows.workloads import gold_files
from providers.simulated import Simulated
from providers.simulated import running as simulation

__all__ = ["Run", "run"]  # a fixture of the command's tests, used here as well

CANARY = "sk-canary-4be1c07d93a85f26"
GATEWAY = "my-gateway"


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """One OpenBao for all tests; each leaves it unsealed."""
    with running(tmp_path_factory.mktemp("openbao"), free_port()) as started:
        yield started


@pytest.fixture
def bao(server: OpenBao, house: House, monkeypatch: pytest.MonkeyPatch) -> OpenBao:
    """The OpenBao without a secret, configured with its root token."""
    for name in server.names():
        server.call("DELETE", f"secret/metadata/llm/{name}")
    monkeypatch.setenv("VAULT_ADDR", server.address)
    monkeypatch.setenv("VAULT_TOKEN", ROOT_TOKEN)
    return server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Providers that answer only to the canary."""
    with simulation(seed=1, gold=gold_files(), key=CANARY, log=tmp_path_factory.mktemp("guarded") / "log") as simulated:
        yield simulated


@pytest.fixture
def gateway(house: House, guarded: Simulated) -> House:
    """A house with one provider that wants the canary; nothing has been stored for it."""
    house.add_gateway(GATEWAY, "aurora-mini", at=guarded)
    return house


def origin_of(simulated: Simulated) -> str:
    return f"http://127.0.0.1:{simulated.port}"
