"""The part of a store's contract that is about prices: whose price counts, and which ones never do."""

from decimal import Decimal
from typing import Any

import pytest
from store.samples import T0, T1, T2, Row, entry, provider, result, run

from analytics.errors import BadRows
from analytics.store import Store, new_id
from analytics.store.pricing import PriceLimits, accepted

T3, T4 = "2026-11-23T02:00:00.000000Z", "2026-11-24T02:00:00.000000Z"


def priced(one: Any, two: Any, cached: Any = None, **given: Any) -> Row:
    prices = {"input_price_per_m": one, "output_price_per_m": two, "cached_input_price_per_m": cached}
    return entry("small", **prices, **given)


def history(store: Store) -> list[tuple[Any, ...]]:
    """Input price, output price, source and whether it counts, oldest first."""
    rows = store.select("prices", order="timestamp,id").items
    return [
        (row["input_price_per_m"], row["output_price_per_m"], row["source"], row["quarantine_reason"] is None)
        for row in rows
    ]


def in_force(store: Store) -> tuple[Any, ...]:
    (row,) = store.read_all("catalog")
    return row["pricing_input"], row["pricing_output"], row["cost_tier"]


class PriceContract:
    """What holds for the prices in every store."""

    def ready(self, store: Store, *entries: Row) -> None:
        store.write("providers", [provider()])
        for number, one in enumerate(entries):
            store.apply_catalog("aurora", [one], (T0, T1, T2, T3)[number])

    def test_a_price_is_kept_with_all_that_is_known_of_it(self, store: Store) -> None:
        library = {"price_source": "genai-prices", "source_version": "0.2.3", "matched_model": "small-2"}
        self.ready(store, priced(Decimal("0.15"), Decimal("0.6"), Decimal("0.075"), **library))
        (row,) = store.read_all("prices")
        assert (row["input_price_per_m"], row["output_price_per_m"], row["cached_input_price_per_m"]) == (
            0.15,
            0.6,
            0.075,
        )
        assert (row["source"], row["source_version"], row["matched_model"]) == ("genai-prices", "0.2.3", "small-2")
        (shown,) = store.read_all("catalog")
        assert (shown["pricing_cached_input"], shown["price_source"], shown["is_price_estimated"]) == (
            0.075,
            "genai-prices",
            True,
        )
        assert shown["price_id"] == row["id"]

    def test_an_unknown_price_is_no_estimate_either(self, store: Store) -> None:
        self.ready(store, priced(None, None))
        (shown,) = store.read_all("catalog")
        assert [shown[name] for name in ("pricing_input", "price_id", "price_source", "is_price_estimated")] == [
            None
        ] * 4

    def test_each_change_is_one_row_and_the_rest_is_none(self, store: Store) -> None:
        self.ready(store, priced(1, 2), priced(1, 2), priced(1, 3), priced(1, 3, 0.5))
        assert history(store) == [
            (1, 2, "provider_api", True),
            (1, 3, "provider_api", True),
            (1, 3, "provider_api", True),
        ]
        assert store.apply_catalog("aurora", [priced(1, 3, 0.5)], T4).prices == 0

    def test_another_source_is_a_change(self, store: Store) -> None:
        self.ready(store, priced(1, 2, price_source="genai-prices", source_version="0.2.3"), priced(1, 2))
        assert [row[2] for row in history(store)] == ["genai-prices", "provider_api"]

    def test_a_source_that_does_not_exist_is_refused(self, store: Store) -> None:
        store.write("providers", [provider()])
        change = store.apply_catalog("aurora", [priced(1, 2, price_source="rumour")], T0)
        assert [name for name, _ in change.rejected] == ["small"]

    def test_a_price_that_is_no_longer_given_is_unknown_from_then_on(self, store: Store) -> None:
        self.ready(store, priced(1, 2), priced(None, None, cost_tier=None), priced(None, None, cost_tier=None))
        assert history(store) == [(1, 2, "provider_api", True), (None, None, "provider_api", True)]
        assert in_force(store) == (None, None, None)

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            (-999.0, 2),
            (float("nan"), 2),
            (float("inf"), 2),
            (Decimal("1e999"), 2),
            (10**400, 2),
            (1, -0.5),
            (200_000, 2),
            (10.5, 2),
            (1, 0.19),
            (0, 0),
            (0, 2),
        ],
        ids=lambda value: f"{value!s:.12}",
    )
    def test_a_poisoned_price_never_counts_and_is_kept_once(self, store: Store, one: Any, two: Any) -> None:
        self.ready(store, priced(1, 2))
        poison = priced(one, two, cost_tier="free")
        change = store.apply_catalog("aurora", [poison], T1)
        ((name, why),) = change.quarantined
        assert (name, change.prices, change.updated) == ("small", 0, 0)
        assert "price" in why
        assert in_force(store) == (1, 2, "low"), "nor does the tier follow it"
        again = store.apply_catalog("aurora", [poison], T2)
        assert (again.quarantined, again.prices, again.updated) == ((), 0, 0)
        assert [row[3] for row in history(store)] == [True, False]
        (shown,) = store.read_all("quarantined_prices")
        assert (shown["model"], shown["provider"], shown["quarantine_reason"]) == ("aurora/small", "aurora", why)

    def test_a_first_price_that_is_absurd_leaves_none(self, store: Store) -> None:
        self.ready(store, priced(200_000, 2, cost_tier="premium"))
        assert in_force(store) == (None, None, None)
        assert store.read_all("quarantined_prices")[0]["input_price_per_m"] == 200_000

    def test_a_first_price_may_be_anything_below_the_cap(self, store: Store) -> None:
        self.ready(store, priced(0, 99_999))
        assert in_force(store)[:2] == (0, 99_999)

    def test_ten_times_is_no_leap_and_thresholds_are_the_callers(self, store: Store) -> None:
        self.ready(store, priced(1, 2), priced(10, 0.2))
        assert in_force(store)[:2] == (10, 0.2)
        strict = PriceLimits(highest_per_m=50, jump=2)
        assert store.apply_catalog("aurora", [priced(21, 0.2)], T2, price_limits=strict).quarantined
        assert store.apply_catalog("aurora", [priced(20, 0.2)], T3, price_limits=strict).prices == 1
        assert store.apply_catalog("aurora", [priced(51, 0.2)], T4, price_limits=PriceLimits(50, 10)).quarantined

    def test_what_was_told_to_be_no_price_is_in_quarantine(self, store: Store) -> None:
        problem = "the input price '1e999' is no price"
        self.ready(store, priced(1, 2), priced(None, None, price_problem=problem))
        assert in_force(store)[:2] == (1, 2)
        assert store.read_all("quarantined_prices")[0]["quarantine_reason"] == problem

    def test_a_leap_of_the_cached_price_is_a_leap_too(self, store: Store) -> None:
        self.ready(store, priced(1, 2, 0.5), priced(1, 2, 0))
        assert [row[3] for row in history(store)] == [True, False]

    def test_a_good_price_after_a_poisoned_one_ends_the_matter(self, store: Store) -> None:
        self.ready(store, priced(1, 2), priced(600, 2), priced(1, 2))
        assert [row[3] for row in history(store)] == [True, False, True]
        assert store.read_all("quarantined_prices") == []
        assert in_force(store)[:2] == (1, 2)

    def test_a_price_that_goes_away_does_not_open_the_door(self, store: Store) -> None:
        self.ready(store, priced(1, 2), priced(None, None), priced(0, 0))
        assert in_force(store)[:2] == (None, None)

    def test_an_accepted_price_counts_from_then_on_and_the_history_stays(self, store: Store) -> None:
        self.ready(store, priced(1, 2), priced(600, 2))
        (held,) = store.select("prices", {"input_price_per_m": 600}).items
        store.write("prices", [accepted(held, T2)])
        assert in_force(store)[:2] == (600, 2)
        assert store.read_all("quarantined_prices") == []
        assert store.apply_catalog("aurora", [priced(600, 2)], T3).prices == 0
        assert [row[3] for row in history(store)] == [True, False, True]
        assert store.apply_catalog("aurora", [priced(300, 2)], T4).prices == 1, "the leap is measured from it"

    def test_what_is_no_price_cannot_be_accepted(self, store: Store) -> None:
        self.ready(store, priced(1, 2), priced(-999, 2))
        good, bad = store.select("prices", order="timestamp").items
        with pytest.raises(BadRows, match=r"-999(\.0)? is no price"):
            accepted(bad, T2)
        with pytest.raises(BadRows, match="not in quarantine"):
            accepted(good, T2)

    def test_an_admins_price_stands_until_it_is_cleared(self, store: Store) -> None:
        self.ready(store, priced(1, 2))
        (model,) = store.read_all("models")
        mine = {"provider_id": provider()["id"], "model_id": model["id"], "source": "admin"}
        store.write("prices", [mine | {"id": new_id(), "input_price_per_m": 50, "output_price_per_m": 60, "timestamp": T1}])  # fmt: skip
        for offer in (priced(1, 2), priced(3, 4), priced(-999, 0), priced(None, None)):
            change = store.apply_catalog("aurora", [offer | {"cost_tier": "premium"}], T2)
            assert (change.prices, change.quarantined) == (0, ())
        assert in_force(store) == (50, 60, "low"), "the tier is whoever set the price's to say"
        store.write("prices", [mine | {"id": new_id(), "timestamp": T3}])
        assert in_force(store)[:2] == (None, None)
        assert store.apply_catalog("aurora", [priced(3, 4)], T4).prices == 1
        assert in_force(store)[:2] == (3, 4), "the leap is measured from the last price from outside"

    def test_a_setting_is_overruled_by_the_api_and_never_doubted(self, store: Store) -> None:
        self.ready(
            store,
            priced(1, 2, price_source="genai-prices"),
            priced(90, 0, price_source="settings"),
            priced(5, 6),
        )
        assert history(store) == [(1, 2, "genai-prices", True), (90, 0, "settings", True), (5, 6, "provider_api", True)]

    def test_a_sync_that_began_before_another_word_speaks_after_it(self, store: Store) -> None:
        self.ready(store, priced(1, 2))
        (model,) = store.read_all("models")
        store.write("prices", [{"id": new_id(), "provider_id": provider()["id"], "model_id": model["id"], "source": "settings",
                                "input_price_per_m": 7, "output_price_per_m": 7, "timestamp": T2}])  # fmt: skip
        store.apply_catalog("aurora", [priced(3, 4)], T1)
        assert in_force(store)[:2] == (3, 4)

    def test_many_models_are_judged_each_by_its_own_history(self, store: Store) -> None:
        store.write("providers", [provider()])
        names = [f"m{number}" for number in range(1200)]
        listed = [entry(name, input_price_per_m=1 + number / 100) for number, name in enumerate(names)]
        assert store.apply_catalog("aurora", listed, T0).prices == 1200
        assert store.apply_catalog("aurora", listed, T1).prices == 0
        dear = [one | {"input_price_per_m": one["input_price_per_m"] * (100 if number % 100 == 0 else 1)} for number, one in enumerate(listed)]  # fmt: skip
        change = store.apply_catalog("aurora", dear, T2)
        assert (change.prices, len(change.quarantined)) == (0, 12)

    def test_a_result_costs_by_the_newest_correction_of_its_price(self, store: Store) -> None:
        measured = run()
        paid = {"cost_source": "price", "price_id": new_id(), "input_tokens": 1000, "cached_input_tokens": 400, "output_tokens": 10, "cost_usd": 9.0}  # fmt: skip
        reported = {"cost_source": "provider", "cost_usd": 8.0}
        store.land_results([measured], [result(measured, **paid), result(measured, **reported)])
        for moment, one, cached in ((T0, 7.0, None), (T1, 1.0, 0.5)):
            store.write("repricings", [{"id": new_id(), "price_id": paid["price_id"], "input_price_per_m": one, "output_price_per_m": 10.0,
                                        "cached_input_price_per_m": cached, "reason": "wrong", "created_at": moment}])  # fmt: skip
        found = {row["cost_source"]: row for row in store.read_all("result_costs")}
        assert found["price"]["cost_usd"] == pytest.approx((600 + 200 + 100) / 1e6)
        assert (found["price"]["original_cost_usd"], found["provider"]["cost_usd"]) == (9.0, 8.0)
        assert found["provider"]["repricing_id"] is None
        assert [row["cost_usd"] for row in store.read("benchmark_results").rows] == [9.0, 8.0]
