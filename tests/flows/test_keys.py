"""Keys: a provider that needs one and has none gets no request, and nothing but its request ever holds one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import AURORA, House, files_of

from flows.keys import variable_name
from flows.workloads import gold_files
from providers.simulated import Simulated, running

CANARY = "sk-canary-7f3a9c51d2e84b06"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Providers that answer only to the right key."""
    with running(seed=1, gold=gold_files(), key=CANARY, log=tmp_path_factory.mktemp("guarded") / "log") as simulated:
        yield simulated


def test_a_provider_without_its_key_gets_no_request_and_the_others_finish(house: House) -> None:
    house.ready(AURORA)
    house.add_gateway("my-gateway", "aurora-mini")
    mark = house.mark
    house.bench(repeats=2)
    (row, other) = house.rows("benchmark_results", provider="my-gateway")
    assert {row["outcome"], other["outcome"]} == {"skipped"}
    assert row["error_type"] == "secret_unavailable"
    assert "MY_GATEWAY_API_KEY" in row["error_message"]
    assert len(house.asked(mark)) == 6
    assert {row["outcome"] for row in house.rows("benchmark_results", provider=AURORA)} == {"ok"}


def test_outside_development_mode_the_environment_is_not_consulted(
    house: House, monkeypatch: pytest.MonkeyPatch, guarded: Simulated
) -> None:
    monkeypatch.setenv("MY_GATEWAY_API_KEY", CANARY)
    house.add_gateway("my-gateway", "aurora-mini", at=guarded)
    assert [result.error_type for result in house.bench().results] == ["secret_unavailable"]
    (report,) = house.sync()
    assert "No key for provider my-gateway" in (report.error or "")
    assert guarded.log() == []


def test_in_development_mode_the_key_comes_from_the_environment_and_stays_in_the_request(
    house: House, monkeypatch: pytest.MonkeyPatch, guarded: Simulated
) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    monkeypatch.setenv("MY_GATEWAY_API_KEY", CANARY)
    house.add_gateway("my-gateway", "aurora-mini", at=guarded)
    house.add_gateway("other", "aurora-mini", at=guarded)
    assert [report.error is None for report in house.sync()] == [True, False]
    rows = {result.provider: result for result in house.bench().results}
    assert (rows["my-gateway"].outcome, rows["other"].error_type) == ("ok", "secret_unavailable")
    assert not [name for name, data in files_of(house.home).items() if CANARY.encode() in data]


def test_a_wrong_key_is_a_failed_row_that_does_not_repeat_it(
    house: House, monkeypatch: pytest.MonkeyPatch, guarded: Simulated
) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    monkeypatch.setenv("MY_GATEWAY_API_KEY", "sk-wrong-51d2e84b06")
    house.add_gateway("my-gateway", "aurora-mini", at=guarded)
    (result,) = house.bench().results
    assert (result.outcome, result.status_code, result.error_type) == ("failed", 401, "authentication")
    assert not [name for name, data in files_of(house.home).items() if b"sk-wrong-51d2e84b06" in data]


def test_an_empty_variable_is_no_key(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    monkeypatch.setenv("MY_GATEWAY_API_KEY", "")
    house.add_gateway("my-gateway", "aurora-mini")
    assert [result.error_type for result in house.bench().results] == ["secret_unavailable"]


@pytest.mark.parametrize(
    ("provider", "variable"),
    [("openai", "OPENAI_API_KEY"), ("my-gateway.eu", "MY_GATEWAY_EU_API_KEY"), ("a b", "A_B_API_KEY")],
)
def test_a_providers_variable_follows_from_its_key(provider: str, variable: str) -> None:
    assert variable_name(provider) == variable


def test_a_provider_that_works_without_a_key_is_asked_without_one(house: House, tmp_path: Path) -> None:
    house.add_gateway("local", "aurora-mini", provider_type="custom")
    assert [result.outcome for result in house.bench().results] == ["ok"]
