"""The part of a store's contract that is about catalogs: what a sync adds, changes and leaves alone."""

from decimal import Decimal

import pytest
from store.samples import T0, T1, T2, entry, provider

from analytics.errors import UnknownName
from analytics.store import Store, new_id


class CatalogContract:
    """What holds for a provider's catalog in every store."""

    def test_a_sync_reports_what_it_added_updated_and_lost(self, store: Store) -> None:
        store.write("providers", [provider()])
        change = store.apply_catalog("aurora", [entry("small"), entry("large")], T0, active={"small"})
        assert (change.discovered, change.added, change.updated, change.vanished, change.prices) == (2, 2, 0, 0, 2)
        ids = {row["name"]: row["id"] for row in store.read_all("models")}
        change = store.apply_catalog("aurora", [entry("small", context_window=16384), entry("new")], T1, active="all")
        assert (change.discovered, change.added, change.updated, change.vanished, change.prices) == (2, 1, 1, 1, 1)
        models = {row["id"]: row for row in store.read_all("catalog")}
        assert {key: (row["is_available"], row["is_active"]) for key, row in models.items()} == {
            "aurora/small": (True, True),
            "aurora/large": (False, False),
            "aurora/new": (True, True),
        }
        assert models["aurora/small"]["model_id"] == ids["small"]
        assert models["aurora/small"]["ctx_length"] == 16384
        assert store.read_all("providers")[0]["last_synced"] == T1

    def test_a_model_that_comes_back_is_the_same_model(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small"), entry("large")], T0)
        before = store.read_all("models")
        store.apply_catalog("aurora", [entry("small")], T1)
        change = store.apply_catalog("aurora", [entry("small"), entry("large")], T2)
        assert (change.added, change.updated) == (0, 1)
        assert [row["id"] for row in store.read_all("models")] == [row["id"] for row in before]
        assert all(row["is_available"] for row in store.read_all("models"))

    def test_an_unchanged_catalog_updates_no_model_and_adds_no_price(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        before = store.read_all("models"), store.read_all("prices")
        change = store.apply_catalog("aurora", [entry("small"), entry("small")], T1, active="all")
        assert (change.discovered, change.added, change.updated, change.prices) == (1, 0, 0, 0)
        assert (store.read_all("models"), store.read_all("prices")) == before

    def test_a_changed_price_is_a_new_row_and_unknown_is_none_at_all(self, store: Store) -> None:
        store.write("providers", [provider()])
        unknown = {"input_price_per_m": None, "output_price_per_m": None}
        store.apply_catalog("aurora", [entry("small"), entry("free", **unknown)], T0)
        change = store.apply_catalog("aurora", [entry("small", input_price_per_m=Decimal("0.5"))], T1)
        assert (change.prices, change.updated) == (1, 1)
        prices = store.select("prices", order="timestamp").items
        assert [(row["input_price_per_m"], row["source"], row["timestamp"]) for row in prices] == [
            (1.0, "provider_api", T0),
            (0.5, "provider_api", T1),
        ]
        catalog = {row["id"]: row["pricing_input"] for row in store.read_all("catalog")}
        assert catalog == {"aurora/small": 0.5, "aurora/free": None}

    def test_prices_of_a_simulated_provider_say_so(self, store: Store) -> None:
        store.write("providers", [provider(is_simulated=True)])
        store.apply_catalog("aurora", [entry("small")], T0)
        assert store.read_all("prices")[0]["source"] == "simulated"

    def test_a_sync_never_touches_what_an_admin_set(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        (model,) = store.read_all("models")
        override = {"model_id": model["id"], "priority": 90, "display_name": "Ours", "is_enabled": False}
        store.write("model_overrides", [override | {"updated_at": T0}])
        by_hand = {
            "id": new_id(), "key": "aurora/hand", "name": "hand", "provider_id": provider()["id"],
            "display_name": "By hand", "is_manual": True, "created_at": T0, "updated_at": T0,
        }  # fmt: skip
        store.write("models", [by_hand])
        price = {"id": new_id(), "provider_id": provider()["id"], "model_id": by_hand["id"], "input_price_per_m": 9.0}
        store.write("prices", [price | {"source": "admin", "timestamp": T0}])
        store.apply_catalog("aurora", [entry("small", display_name="Theirs")], T1)
        catalog = {row["id"]: row for row in store.read_all("catalog")}
        assert catalog["aurora/hand"]["is_available"], "a model added by hand does not vanish"
        store.apply_catalog("aurora", [entry("small"), entry("hand")], T2)
        catalog = {row["id"]: row for row in store.read_all("catalog")}
        small, hand = catalog["aurora/small"], catalog["aurora/hand"]
        assert (small["priority"], small["display_name"], small["is_enabled"]) == (90, "Ours", False)
        assert (hand["display_name"], hand["pricing_input"], hand["model_id"]) == ("By hand", 9.0, by_hand["id"])

    def test_an_entry_that_cannot_be_stored_is_left_out_alone(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        poison = [entry("small", display_name=5), entry("bad", context_window=-1), entry("large")]
        change = store.apply_catalog("aurora", poison, T1)
        assert (change.discovered, change.added, change.vanished) == (3, 1, 0)
        assert [name for name, _ in change.rejected] == ["small", "bad"]
        assert {row["id"]: row["pricing_input"] for row in store.read_all("catalog")} == {
            "aurora/small": 1.0,
            "aurora/large": 1.0,
        }

    def test_a_failed_sync_keeps_the_catalog_and_says_why(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        before = store.read_all("models")
        store.catalog_failed("aurora", "connect: refused", T1)
        (found,) = store.read_all("providers")
        assert (found["last_synced"], found["last_sync_error"]) == (T0, f"{T1} connect: refused")
        assert store.read_all("models") == before
        store.apply_catalog("aurora", [entry("small")], T2)
        assert store.read_all("providers")[0]["last_sync_error"] is None

    def test_a_catalog_with_text_that_no_database_keeps_is_stable(self, store: Store) -> None:
        store.write("providers", [provider()])
        odd = [entry("sm\x00all", raw={"x": "\ud800"})]
        assert store.apply_catalog("aurora", odd, T0).added == 1
        change = store.apply_catalog("aurora", odd, T1)
        assert (change.added, change.updated, change.vanished, change.rejected) == (0, 0, 0, ())
        store.catalog_failed("aurora", "html \ud800\x00", T1)
        assert store.delete("providers", ["\ud800"]) == 0

    def test_an_empty_list_is_a_failed_sync(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [], T0)
        assert store.read_all("providers")[0]["last_synced"] == T0, "a provider may have no models yet"
        store.apply_catalog("aurora", [entry("small")], T1)
        assert store.apply_catalog("aurora", [], T2).vanished == 0
        (found,) = store.read_all("providers")
        assert found["last_synced"] == T1
        assert "listed no models" in found["last_sync_error"]
        assert store.read_all("catalog")[0]["is_available"] is True

    def test_models_of_a_disabled_provider_are_not_available(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        store.write("providers", [provider(is_active=False)])
        assert store.read_all("catalog")[0]["is_available"] is False

    def test_a_catalog_needs_its_provider(self, store: Store) -> None:
        store.write("providers", [provider()])
        with pytest.raises(UnknownName, match="there are: aurora"):
            store.apply_catalog("borealis", [entry("small")], T0)
        with pytest.raises(UnknownName):
            store.catalog_failed("borealis", "refused", T0)
