"""The job `sync-models`: the catalog is what the providers list now, and an admin's word stands."""

import pytest
from house import AURORA, BOREALIS, CASCADE, House

from analytics.routing.published import read_published
from analytics.store import Row
from flows.errors import UsageError


def model(house: House, key: str) -> Row:
    (row,) = house.rows("catalog", id=key)
    return row


def test_a_first_sync_adds_what_each_provider_lists(house: House) -> None:
    house.register()
    changes = {report.provider: report.to_dict() for report in house.sync()}
    assert {key: change["models_added"] for key, change in changes.items()} == {AURORA: 3, BOREALIS: 3, CASCADE: 2}
    assert all(
        change["models_discovered"] == change["models_added"] == change["prices_changed"] for change in changes.values()
    )
    assert all(change["error"] is None and change["synced_at"] for change in changes.values())
    row = model(house, f"{AURORA}/aurora-plus")
    assert (row["pricing_input"], row["pricing_output"], row["cost_tier"]) == (2.5, 10.0, "standard")
    assert (row["ctx_length"], row["is_available"], row["is_active"], row["is_simulated"]) == (
        200_000,
        True,
        True,
        True,
    )


def test_a_second_sync_changes_nothing(house: House) -> None:
    house.ready()
    before = house.rows("catalog", "id")
    for report in house.sync():
        change = report.to_dict()
        assert (
            change["models_added"]
            == change["models_updated"]
            == change["models_vanished"]
            == change["prices_changed"]
            == 0
        )
    assert house.rows("catalog", "id") == before


def test_what_a_provider_says_anew_is_updated_and_what_it_no_longer_lists_vanishes(house: House) -> None:
    house.ready(AURORA)
    (provider,) = house.rows("providers")
    known = model(house, f"{AURORA}/aurora-mini")
    with house.store() as store:
        gone = {"id": "01900000-0000-7000-8000-000000000000", "key": f"{AURORA}/aurora-old", "name": "aurora-old", "provider_id": provider["id"],
                "display_name": "Old", "created_at": provider["created_at"], "updated_at": provider["created_at"]}  # fmt: skip
        store.write("models", [gone])
        (stored,) = store.select("models", {"key": known["id"]}).items
        store.write("models", [{**stored, "display_name": "Its former name", "context_window": 5}])
    (report,) = house.sync()
    change = report.to_dict()
    assert (change["models_added"], change["models_updated"], change["models_vanished"]) == (0, 1, 1)
    assert model(house, known["id"])["display_name"] == known["display_name"]
    assert model(house, known["id"])["model_id"] == known["model_id"]
    assert model(house, f"{AURORA}/aurora-old")["is_available"] is False


def test_what_an_admin_set_survives_a_sync(house: House) -> None:
    house.ready(AURORA)
    row = model(house, f"{AURORA}/aurora-mini")
    mine = {
        "display_name": "Ours",
        "priority": 90,
        "cost_tier": "premium",
        "is_enabled": False,
        "capabilities": {"audio": "admin"},
    }
    with house.store() as store:
        store.write("model_overrides", [{"model_id": row["model_id"], **mine, "updated_at": row["updated_at"]}])
    house.sync()
    after = model(house, row["id"])
    assert {name: after[name] for name in mine} == mine


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("error_503", "overloaded"),
        ("html_200", "no JSON"),
        ("garbage_json", "no JSON"),
        ("stall_headers", "did not answer within 300 ms"),
        ("empty", "no usable models"),
        ("refuse_401", "key"),
    ],
)
def test_a_provider_that_fails_keeps_its_last_known_catalog_and_says_why(house: House, fault: str, words: str) -> None:
    house.ready(AURORA, CASCADE)
    before = house.rows("catalog", "id")
    (synced,) = house.rows("providers", key=AURORA)
    house.misbehave(AURORA, fault)
    house.sections["catalog"] = {"timeout_ms": 300.0}
    reports = {report.provider: report for report in house.sync()}
    assert words in (reports[AURORA].error or "")
    assert reports[AURORA].last_synced == synced["last_synced"]
    assert reports[CASCADE].error is None
    assert [{**row, "updated_at": None} for row in house.rows("catalog", "id")] == [
        {**row, "updated_at": None} for row in before
    ]
    (failed,) = house.rows("providers", key=AURORA)
    assert failed["last_sync_error"]
    assert failed["last_synced"] == synced["last_synced"]


def test_a_sync_that_succeeds_again_clears_the_error(house: House) -> None:
    house.ready(AURORA)
    house.misbehave(AURORA, "error_503")
    house.sync()
    house.register(AURORA)
    house.sync()
    assert house.rows("providers")[0]["last_sync_error"] is None


def test_only_named_providers_are_synced_once_each_and_unknown_ones_are_refused(house: House) -> None:
    house.register(AURORA, CASCADE)
    assert [report.provider for report in house.sync(CASCADE, CASCADE)] == [CASCADE]
    assert {row["provider_id"] for row in house.rows("catalog")} == {CASCADE}
    with pytest.raises(UsageError, match="no provider 'nobody'"):
        house.sync(AURORA, "nobody")
    assert {row["provider_id"] for row in house.rows("catalog")} == {CASCADE}


def test_the_lookup_knows_of_a_sync_at_once(house: House) -> None:
    house.register(AURORA)
    house.sync()
    first = read_published(house.settings.home.configuration)
    assert {row["id"] for row in first.tables["models"].to_pylist()} == {row["id"] for row in house.rows("catalog")}
    house.register(CASCADE)
    house.sync()
    second = read_published(house.settings.home.configuration)
    assert second.snapshot_id != first.snapshot_id
    assert len(second.tables["models"]) == 5
    house.sync()
    assert read_published(house.settings.home.configuration).snapshot_id == second.snapshot_id


def test_of_a_real_provider_only_its_types_default_models_are_benchmarked_from_the_start(house: House) -> None:
    house.add_gateway("gateway", provider_type="custom")
    house.sync()
    rows = house.rows("catalog")
    assert len(rows) == 3
    assert not any(row["is_active"] or row["is_simulated"] for row in rows)
