"""The part of a store's contract that a person changes providers, models and budgets by: each change with its row in the audit log."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from store.samples import T0, T1, T2, Row, entry, provider
from store.spending import budget

from analytics.errors import BadRows, UnknownName
from analytics.store import Actor, Store, new_id

OPS = Actor("platform_admin", id="ops", reason="too slow")
STAMPED = {"set_by", "created_at", "updated_at"}


def correction(**given: Any) -> Row:
    """A price that was wrong."""
    return {"id": new_id(), "price_id": "p1", "input_price_per_m": 1.0, "output_price_per_m": 4.0, "reason": "a zero too many",
            "created_at": T0, **given}  # fmt: skip


def trail(store: Store) -> list[Row]:
    """The audit log, oldest row first."""
    return store.read("audit_log").rows


class ChangesContract:
    """What holds for a person's changes in every store."""

    def test_a_provider_switched_off_is_audited_with_what_it_was_before(self, store: Store) -> None:
        store.write("providers", [provider(rate_limit_rpm=60, api_key_vault_path="scorehouse/aurora")])
        (before,) = store.read_all("providers")
        off = {"id": before["id"], "is_active": False}
        assert store.change_rows("providers", [off], action="disable_provider", actor=OPS, at=T1) == 1
        assert store.read_all("providers") == [before | {"is_active": False, "updated_at": T1}], "and nothing else"
        (row,) = trail(store)
        assert (row["actor_id"], row["actor_role"], row["reason"]) == ("ops", "platform_admin", "too slow")
        assert (row["action"], row["object_type"], row["object_id"]) == ("disable_provider", "providers", before["id"])
        assert (row["created_at"], row["tenant_id"]) == (T1, None)
        told = {name: value for name, value in before.items() if not name.endswith("_at") and name != "last_synced"}
        assert (row["old_value"], row["new_value"]) == (told, told | {"is_active": False})

    def test_a_change_that_changes_nothing_is_neither_made_nor_audited(self, store: Store) -> None:
        store.write("providers", [provider()])
        off = {"id": provider()["id"], "is_active": False}
        assert store.change_rows("providers", [off], action="disable_provider", actor=OPS, at=T1) == 1
        assert store.change_rows("providers", [off], action="disable_provider", actor=Actor("service"), at=T2) == 0
        assert store.read_all("providers")[0]["updated_at"] == T1
        assert len(trail(store)) == 1

    def test_a_models_override_is_told_with_the_models_key(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small"), entry("large")], T0)
        ids = {row["key"]: row["id"] for row in store.read_all("models")}
        small, large = ids["aurora/small"], ids["aurora/large"]
        assert trail(store) == [], "what the engine syncs is nobody's change"

        def switch(*models: str, enabled: bool, at: str) -> int:
            rows = [{"model_id": model, "is_enabled": enabled} for model in models]
            return store.change_rows("model_overrides", rows, action="switch", actor=OPS, at=at)

        assert switch(small, enabled=False, at=T0) == 1
        assert switch(small, large, enabled=False, at=T1) == 1
        assert switch(small, enabled=True, at=T2) == 1
        store.change_rows(
            "model_overrides", [{"model_id": small, "capabilities": {"vision": "admin"}}], action="set", actor=OPS
        )
        told = [
            (value and {name: value[name] for name in ("model", "is_enabled", "capabilities")})
            for row in trail(store) for value in (row["old_value"], row["new_value"])
        ]  # fmt: skip
        off = {"model": "aurora/small", "is_enabled": False, "capabilities": None}
        on = off | {"is_enabled": True}
        assert told == [
            None, off, None, off | {"model": "aurora/large"}, off, on, on, on | {"capabilities": {"vision": "admin"}}
        ]  # fmt: skip
        rows = {row["model_id"]: row for row in store.read_all("model_overrides")}
        assert rows[large]["set_by"] == "ops"
        assert rows[large]["updated_at"] == T1

    def test_a_budgets_limits_and_its_end_are_its_tenants_trail(self, store: Store) -> None:
        given = {name: value for name, value in budget(limit_usd=5.0).items() if name not in STAMPED}
        store.change_rows("budgets", [given], action="set_budget", actor=OPS, at=T0)
        raised = {"id": given["id"], "limit_usd": 7.5, "requests_per_hour": 60}
        store.change_rows("budgets", [raised], action="set_budget", actor=Actor("platform_admin", "bea"), at=T1)
        (row,) = store.read_all("budgets")
        assert (row["limit_usd"], row["set_by"], row["created_at"], row["updated_at"]) == (7.5, "bea", T0, T1)
        assert store.remove_rows("budgets", [given["id"]], action="clear_budget", actor=OPS, at=T2) == 1
        assert store.remove_rows("budgets", [given["id"]], action="clear_budget", actor=OPS, at=T2) == 0
        assert store.read_all("budgets") == []
        rows = trail(store)
        assert {row["tenant_id"] for row in rows} == {given["tenant_id"]}
        assert [(row["action"], row["actor_id"], row["created_at"]) for row in rows] == [
            ("set_budget", "ops", T0), ("set_budget", "bea", T1), ("clear_budget", "ops", T2)
        ]  # fmt: skip
        limits = [
            [value and (value["limit_usd"], value["requests_per_hour"]) for value in (row["old_value"], row["new_value"])]
            for row in rows
        ]  # fmt: skip
        assert limits == [[None, (5.0, None)], [(5.0, None), (7.5, 60)], [(7.5, 60), None]]

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"is_active": False}, "providers, row 1: id is missing"),
            ({"id": provider("b")["id"], "is_active": "maybe"}, "providers, row 1: is_active: true or false"),
            ({"id": provider("b")["id"], "colour": "red"}, "has no column 'colour'"),
            (provider("b", provider_type=None), "providers, row 1: .*provider_type"),
            (provider("b", name="Aurora"), "providers, row 1: .*name"),
        ],
    )
    def test_a_change_of_which_a_row_is_refused_is_not_made_at_all(self, store: Store, wrong: Row, said: str) -> None:
        store.write("providers", [provider()])
        off = {"id": provider()["id"], "is_active": False}
        with pytest.raises(BadRows, match=said):
            store.change_rows("providers", [off, wrong], action="disable_provider", actor=OPS)
        assert [row["is_active"] for row in store.read_all("providers")] == [True]
        assert trail(store) == []

    def test_a_price_that_a_person_sets_is_told_with_its_figures_and_the_models_key(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        (model,) = store.read_all("models")
        price = {"id": new_id(), "provider_id": model["provider_id"], "model_id": model["id"], "input_price_per_m": 0.1,
                 "output_price_per_m": 0.4, "source": "admin", "timestamp": T1}  # fmt: skip
        for _ in range(2):
            store.change_rows("prices", [price], action="set_price", actor=OPS, at=T1)
        (row,) = trail(store)
        assert (row["action"], row["object_type"], row["object_id"]) == ("set_price", "prices", price["id"])
        assert (row["actor_id"], row["reason"], row["created_at"]) == ("ops", "too slow", T1)
        told = price | {"model": "aurora/small"} | dict.fromkeys(
            ("cached_input_price_per_m", "matched_model", "quarantine_reason", "source_version")
        )  # fmt: skip
        del told["timestamp"]
        assert row["new_value"] == told

    def test_a_price_that_a_person_sets_is_told_with_the_one_that_was_in_force_before(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small"), entry("large")], T0)
        small, large = store.select("models", order="-name").items

        def price(one: float, at: str, model: Row = small, **given: Any) -> Row:
            return {"id": new_id(), "provider_id": model["provider_id"], "model_id": model["id"], "input_price_per_m": one,
                    "source": "provider_api", "timestamp": at, **given}  # fmt: skip

        (listed,) = store.select("prices", {"model_id": small["id"]}).items
        store.write("prices", [price(7.0, T1, large), price(900.0, T1, quarantine_reason="a leap")])
        by_hand = price(2.0, T1, source="admin")
        gone = {**price(0.0, T2, source="admin"), "input_price_per_m": None}
        for row, action in ((by_hand, "set_price"), (gone, "clear_price")):
            store.change_rows("prices", [row], action=action, actor=OPS, at=T2)
        told = [(row["old_value"], row["new_value"]) for row in trail(store)]
        assert [(old["id"], new["id"]) for old, new in told] == [
            (listed["id"], by_hand["id"]),
            (by_hand["id"], gone["id"]),
        ]
        assert [old["input_price_per_m"] for old, _ in told] == [listed["input_price_per_m"], 2.0]
        assert {old["model"] for old, _ in told} == {small["key"]}
        assert store.select("prices", {"id": listed["id"]}).items == [listed], "nothing of the past changes"

    def test_what_a_model_refused_is_forgotten_by_a_person_with_what_was_known(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        (model,) = store.read_all("models")
        store.note_rejected_parameters(model["id"], {"top_p": T0})
        assert trail(store) == [], "what the engine notes is nobody's change"
        forgotten = {"id": model["id"], "rejected_parameters": {}}
        for _ in range(2):
            store.change_rows("models", [forgotten], action="retry_parameters", actor=OPS, at=T1)
        assert store.read_all("models") == [model | {"updated_at": T1}]
        (row,) = trail(store)
        assert [row[name]["rejected_parameters"] for name in ("old_value", "new_value")] == [{"top_p": T0}, {}]

    def test_an_event_that_a_person_adds_is_there_once_and_audited_once(self, store: Store) -> None:
        first, second = correction(), correction(price_id="p2", cached_input_price_per_m=0.5)
        store.add_events("repricings", [], action="reprice", actor=OPS)
        store.add_events("repricings", [first, second], action="reprice", actor=OPS, at=T1)
        again = first | {"input_price_per_m": 9.0}
        store.add_events("repricings", [again, second], action="reprice", actor=Actor("service"), at=T2)
        assert {row["id"]: row["input_price_per_m"] for row in store.read("repricings").rows} == {
            first["id"]: 1.0, second["id"]: 1.0
        }  # fmt: skip
        rows = {row["object_id"]: row for row in trail(store)}
        assert len(trail(store)) == 2
        for given in (first, second):
            row = rows[given["id"]]
            assert (row["action"], row["object_type"], row["created_at"]) == ("reprice", "repricings", T1)
            assert (row["actor_id"], row["actor_role"], row["reason"]) == ("ops", "platform_admin", "too slow")
            assert row["old_value"] is None
            assert row["new_value"] == {name: value for name, value in given.items() if name != "created_at"}

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"price_id": None}, "repricings, row 1: price_id"),
            ({"input_price_per_m": "much"}, "repricings, row 1: input_price_per_m"),
            ({"input_price_per_m": -1.0}, "repricings, row 1: "),
            ({"colour": "red"}, "repricings, row 1: .*has no column 'colour'"),
        ],
    )
    def test_events_of_which_one_is_refused_are_not_added_at_all(self, store: Store, wrong: Row, said: str) -> None:
        with pytest.raises(BadRows, match=said):
            store.add_events("repricings", [correction(), correction(**wrong)], action="reprice", actor=OPS)
        assert store.read("repricings").rows == trail(store) == []

    @pytest.mark.parametrize("table", ["prices", "catalog", "store_epoch", "nothing"])
    def test_what_holds_no_events_gets_none(self, store: Store, table: str) -> None:
        with pytest.raises(UnknownName, match=table):
            store.add_events(table, [{"id": new_id()}], action="add", actor=OPS)

    @pytest.mark.parametrize("table", ["audit_log", "benchmark_results", "catalog", "store_epoch", "nothing"])
    def test_events_and_views_are_nobodys_to_change(self, store: Store, table: str) -> None:
        with pytest.raises(UnknownName, match=table):
            store.change_rows(table, [{"id": "x"}], action="change", actor=OPS)
        with pytest.raises(UnknownName, match=table):
            store.remove_rows(table, ["x"], action="change", actor=OPS)

    def test_more_models_than_one_call_carries_change_as_one(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry(f"m{number}") for number in range(1_100)], T0)
        rows: list[dict[str, Any]] = [{"model_id": row["id"], "is_enabled": False} for row in store.read_all("models")]
        assert store.change_rows("model_overrides", rows, action="disable_models", actor=OPS) == 1_100
        assert {row["object_id"] for row in trail(store)} == {row["model_id"] for row in rows}
        nobodys = {"model_id": provider()["id"], "is_enabled": True}
        with pytest.raises(BadRows, match="model_overrides, row 1100"):
            store.change_rows(
                "model_overrides", [*(row | {"is_enabled": True} for row in rows), nobodys], action="enable_models", actor=OPS
            )  # fmt: skip
        assert not any(row["is_enabled"] for row in store.read_all("model_overrides"))
        assert len(trail(store)) == 1_100

    def test_eight_who_change_a_provider_at_once_leave_a_trail_without_a_gap(self, store: Store) -> None:
        store.write("providers", [provider(rate_limit_rpm=1_000)])

        def change(number: int) -> None:
            row = {"id": provider()["id"], "rate_limit_rpm": number}
            store.change_rows("providers", [row], action="set_provider", actor=OPS)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(change, range(1, 9)))
        told = [(row["old_value"]["rate_limit_rpm"], row["new_value"]["rate_limit_rpm"]) for row in trail(store)]
        assert sorted(new for _, new in told) == list(range(1, 9))
        followed, last = dict(told), 1_000
        for _ in range(8):
            last = followed[last]
        assert store.read_all("providers")[0]["rate_limit_rpm"] == last
