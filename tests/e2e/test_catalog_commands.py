"""`scorehouse models` and `scorehouse providers`: what an admin does to the catalog, and how old it says that it is."""

import json
from datetime import timedelta

import pytest
from e2e.conftest import Run
from house import AURORA, BOREALIS, CASCADE, House

from analytics.store import from_text, to_text

__all__ = ["Run"]


def enabled(house: House) -> set[str]:
    return {row["id"] for row in house.rows("catalog", is_enabled=True)}


def test_models_are_disabled_and_enabled_by_filter(run: Run, house: House) -> None:
    house.ready()
    everything = enabled(house)
    of_aurora = {key for key in everything if key.startswith(f"{AURORA}/")}
    ran = run("models", "disable", "--provider", AURORA, "--json")
    assert (ran.code, ran.json) == (0, {"disabled_count": len(of_aurora), "models_disabled": sorted(of_aurora)})
    assert enabled(house) == everything - of_aurora
    low = {row["id"] for row in house.rows("catalog", cost_tier="low")}
    assert low
    assert run("models", "enable", "--cost-tier", "low").code == 0
    assert enabled(house) == (everything - of_aurora) | low
    sees = {row["id"] for row in house.rows("catalog") if "vision" in row["capabilities"]}
    assert run("models", "disable", "--capability", "vision").code == 0
    assert enabled(house) == ((everything - of_aurora) | low) - sees
    ran = run("models", "enable", "--provider", CASCADE, "--capability", "nothing")
    assert (ran.code, ran.out) == (0, "")
    assert "No model matches" in ran.err


def test_named_models_and_a_filter_narrow_each_other(run: Run, house: House) -> None:
    house.ready(AURORA, CASCADE)
    ours, theirs = f"{AURORA}/aurora-mini", f"{CASCADE}/cascade-swift"
    everything = enabled(house)
    ran = run("models", "disable", ours, theirs, "--provider", AURORA)
    assert f"{ours}: disabled." in ran.err
    assert enabled(house) == everything - {ours}
    ran = run("models", "disable", ours, theirs, "--json")
    assert ran.json == {"disabled_count": 1, "models_disabled": [theirs]}
    assert f"{ours}, {theirs}: disabled (1 already)." in ran.err
    assert enabled(house) == everything - {ours, theirs}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("models disable", "Nothing to disable: name models, or give --provider, --cost-tier or --capability."),
        ("models enable", "Nothing to enable"),
        ("models disable --provider nobody", "There is no provider 'nobody'"),
        ("models disable --cost-tier cheap", "--cost-tier 'cheap' is not free, low, standard or premium"),
        ("models disable sim-aurora/aurora-mini nothing", "There is no model 'nothing'"),
        ("models set sim-aurora/aurora-mini --model-type=", "--model-type is empty"),
        ("models add sim-aurora/x --capability=", "--capability is empty"),
    ],
)
def test_a_switch_that_means_nothing_changes_nothing(run: Run, house: House, words: str, said: str) -> None:
    house.ready(AURORA)
    before = enabled(house)
    ran = run(*words.split())
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert said in ran.err
    assert enabled(house) == before


def test_what_an_admin_disabled_stays_so_after_a_sync(run: Run, house: House) -> None:
    house.ready(AURORA)
    assert run("models", "disable", "--provider", AURORA).code == 0
    house.sync()
    assert enabled(house) == set()


def test_a_model_added_by_hand_has_its_admins_words(run: Run, house: House) -> None:
    house.ready(AURORA)
    words = ("models", "add", f"{AURORA}/deployment", "--capability", "vision", "--capability", "text", "--context-window", "9000",
             "--input-price-per-m", "0.1", "--output-price-per-m", "0.2", "--display-name", "Ours")  # fmt: skip
    assert run(*words).code == 0
    house.sync()
    (row,) = house.rows("catalog", id=f"{AURORA}/deployment")
    assert row["capabilities"] == {"vision": "admin", "text": "admin"}
    assert (row["cost_tier"], row["model_type"], row["ctx_length"], row["price_source"]) == (
        "low",
        "chat",
        9000,
        "admin",
    )
    assert (row["is_available"], row["is_active"], row["is_manual"], row["display_name"]) == (True, True, True, "Ours")
    assert run("models", "set", f"{AURORA}/deployment", "--model-type", "embedding", "--domain", "coding").code == 0
    (row,) = house.rows("catalog", id=f"{AURORA}/deployment")
    assert (row["model_type"], row["domains"]) == ("embedding", ["coding"])


def test_a_catalog_has_its_age_and_is_called_stale_when_its_sync_failed(run: Run, house: House) -> None:
    house.ready(AURORA, CASCADE)
    house.register(BOREALIS)
    house.misbehave(AURORA, "refuse_401")
    house.misbehave(BOREALIS, "refuse_401")
    for row in house.rows("providers"):
        if row["last_synced"] is not None:
            earlier = to_text(from_text(row["last_synced"]) - timedelta(days=3, hours=1))
            with house.store() as store:
                store.write("providers", [row | {"last_synced": earlier}])
    before = house.rows("catalog", "id")
    assert run("models", "sync", AURORA, BOREALIS).code == 1
    listed = {line["id"]: line for line in run("providers", "list", "--json").lines}
    assert [listed[key]["is_catalog_stale"] for key in (AURORA, BOREALIS, CASCADE)] == [True, True, False]
    assert listed[BOREALIS]["catalog_age_s"] is None
    for key in (AURORA, CASCADE):
        assert 0 <= listed[key]["catalog_age_s"] - (3 * 24 + 1) * 3600 < 600
    assert house.rows("catalog", "id") == before, "the last known catalog stays in use"
    shown = " ".join(run("providers", "list").out.split())
    assert "stale, 3 d old" in shown
    assert "none yet, the sync failed" in shown
    one = run("providers", "show", AURORA, "--json").json
    assert (one["is_catalog_stale"], "401" in one["last_sync_error"]) == (True, True)
    ran = run("status", "--json")
    assert ran.json["providers"]["state"] == "stale"
    assert sorted(ran.json["providers"]["last_sync_failed"]) == [AURORA, BOREALIS]
    assert ran.json["providers"]["catalog_age_s"] == {
        key: pytest.approx(line["catalog_age_s"], abs=600) if line["catalog_age_s"] is not None else None
        for key, line in listed.items()
    }
    said = " ".join(run("status").out.split())
    assert f"{AURORA} (catalog stale, 3 d old)" in said
    assert f"{BOREALIS} (catalog none yet, the sync failed)" in said


def test_a_provider_is_changed_word_by_word(run: Run, house: House) -> None:
    house.register(AURORA)
    assert run("providers", "add", "mine", "--type", "custom", "--base-url", "https://a.example/v1").code == 0
    ran = run("providers", "set", "mine", "--display-name", "Mine", "--rate-limit-rpm", "30")
    assert (ran.code, ran.err) == (0, "mine: name is Mine, rate_limit_rpm is 30.\n")
    ran = run("providers", "set", "mine", "--base-url", "https://b.example/v1")
    assert "Its key is not sent there until 'scorehouse keys set mine' stores it for the new address." in ran.err
    (row,) = house.rows("provider_registry", id="mine")
    assert (row["display_name"], row["rate_limit_rpm"], row["api_base"]) == ("Mine", 30, "https://b.example/v1")
    taken = json.loads(run("providers", "show", AURORA, "--json").out)["display_name"]
    for words, said in (
        (("--display-name", taken), "There is a provider called"),
        (("--display-name", " "), "--display-name is empty"),
        (("--base-url", "http://b.example/v1"), "in clear"),
        (("--models-endpoint", "https://c.example/v1/models"), "models_endpoint must be on https://b.example"),
    ):
        ran = run("providers", "set", "mine", *words)
        assert (ran.code, said in ran.err) == (2, True), ran.err
    assert house.rows("provider_registry", id="mine") == [row]
