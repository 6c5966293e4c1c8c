"""Fixtures that flows and the command share: one set of simulated providers for the session, a new home for each test."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House
from supabase_project import project, projects  # noqa: F401  # fixtures

from flows.workloads import gold_files
from providers.simulated import Simulated, running

# What measures time, kills at moments, or leaves deployments with the Prefect server: nothing may run beside it.
ALONE = (
    "wire/",
    "faults/test_kills.py",
    "faults/test_provider_rows.py",
    "flows/test_patience.py",
    "flows/test_slots.py",
    "unit/test_simulated_measured.py",
)
UNSET = ("SCOREHOUSE_CONFIG", "SCOREHOUSE_DEV", "SCOREHOUSE_DEFAULT_MODEL", "PREFECT_API_URL")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has to run alone."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(ALONE):
            item.add_marker("alone")


@pytest.fixture(scope="session")
def simulated_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """The simulated providers, for as long as the tests run."""
    log = tmp_path_factory.mktemp("simulated") / "log.jsonl"
    with running(seed=11, gold=gold_files(), log=log) as simulated:
        yield simulated


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulated_world: Simulated) -> House:
    """An empty home; nothing of the surroundings is configured."""
    for variable in [*UNSET, *(name for name in os.environ if name.startswith(("VAULT_", "SUPABASE_")))]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SCOREHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return House(tmp_path / "home", simulated_world)


@pytest.fixture
def unused_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
