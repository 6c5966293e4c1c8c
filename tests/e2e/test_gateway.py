"""What a person is told who registers a gateway of their own: where it failed, which key is read, what comes next."""

import pytest
from e2e.conftest import Run
from house import House

from providers.simulated import running

KEY = "sk-of-the-gateway-0123456789"


def test_adding_a_provider_says_which_variable_holds_its_key(run: Run) -> None:
    added = run("providers", "add", "my-gateway", "--type", "custom", "--base-url", "http://127.0.0.1:4000")
    assert "MY_GATEWAY_API_KEY" in added.err
    assert "Next: scorehouse models sync my-gateway" in added.err


def test_a_gateway_that_is_not_there_is_named_with_its_address(run: Run) -> None:
    run("providers", "add", "gateway", "--type", "custom", "--base-url", "http://127.0.0.1:9/v1")
    synced = run("models", "sync", "gateway")
    assert synced.code == 1
    assert "gateway: No connection to http://127.0.0.1:9/v1: " in synced.err
    assert "It has no catalog yet." in synced.err


def test_a_refused_sync_says_whether_it_was_asked_with_a_key(
    run: Run, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "1")
    with running(key=KEY) as locked:
        house.add_gateway("gateway", at=locked, provider_type="custom")
        without = run("models", "sync").err
        monkeypatch.setenv("GATEWAY_API_KEY", "sk-wrong-0123456789")
        with_wrong = run("models", "sync").err
        monkeypatch.setenv("GATEWAY_API_KEY", KEY)
        right = run("models", "sync")
    assert "HTTP 401 (authentication)" in without
    assert "asked without a key; in development mode it is read from GATEWAY_API_KEY" in without
    assert "HTTP 401 (authentication)" in with_wrong
    assert "asked without a key" not in with_wrong
    assert right.code == 0
    assert "gateway: none of its models is active." in right.err
    assert KEY not in without + with_wrong + right.out + right.err


def test_a_model_named_without_its_provider_is_found_for_its_user(run: Run, house: House) -> None:
    house.add_gateway("gateway", "aurora-mini", provider_type="custom")
    asked = run("bench", "--model", "aurora-mini")
    assert asked.code == 2
    assert "did you mean gateway/aurora-mini?" in asked.err


def test_a_sum_of_costs_says_how_many_are_unknown_and_a_reason_is_one_line(run: Run, house: House) -> None:
    house.add_gateway("gateway", "aurora-mini", "aurora-plus", "fault/rate_429", provider_type="custom")
    run("models", "set", "gateway/fault/rate_429", "--active")
    with house.store() as store:
        (row,) = store.select("models", {"key": "gateway/aurora-mini"}).items
        price = {"id": "p-1", "provider_id": row["provider_id"], "model_id": row["id"], "input_price_per_m": 1.0, "output_price_per_m": 1.0,
                 "source": "admin", "timestamp": row["created_at"]}  # fmt: skip
        store.write("prices", [price])
    seen = run("bench", "--workload", "short", "--repeats", "2")
    assert "4 of 6 requests ok" in seen.err
    assert "USD and the unknown cost of 2; run" in seen.err
    assert "gateway/fault/rate_429: 0 of 2 ok\n" in seen.err
