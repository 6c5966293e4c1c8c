"""The contract of a store. A store is finished when it passes this class unchanged: it adds only the fixture `store`,
a store that was just made, migrated and holds nothing.
"""

import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from store.catalogs import CatalogContract
from store.changing import ChangesContract
from store.landings import LandingContract
from store.parameters import ParameterContract
from store.prices import PriceContract
from store.samples import T0, T1, T2, entry, plan, provider, request, result, run
from store.spending import SpendingContract
from store.steering import SteeringContract
from store.syncs import SyncContract

from analytics.errors import BadRows, StoreUnavailable, UnknownName
from analytics.store import Batch, Store, Tally, new_id
from analytics.store.rows import id_number


class StoreContract(
    CatalogContract,
    ChangesContract,
    LandingContract,
    ParameterContract,
    PriceContract,
    SpendingContract,
    SteeringContract,
    SyncContract,
):
    """What holds for every store."""

    # -- life --------------------------------------------------------------------------------------------------

    def test_migrating_again_changes_nothing(self, store: Store) -> None:
        epoch = store.epoch()
        assert store.migrate() == []
        assert store.epoch() == epoch
        store.check()

    def test_a_closed_store_says_so(self, store: Store) -> None:
        store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            store.read_all("providers")

    # -- write -------------------------------------------------------------------------------------------------

    def test_values_come_back_as_they_went_in(self, store: Store) -> None:
        row = request(metadata={"a": [1, None, "ü"]}, cache_hit=True, cost=Decimal("0.25"), tokens_input=5)
        row["created_at"] = datetime(2026, 11, 21, 2, tzinfo=UTC)
        assert store.write("request_events", [row]) == 1
        (found,) = store.read("request_events").rows
        assert found["metadata"] == {"a": [1, None, "ü"]}
        assert found["cache_hit"] is True
        assert found["success"] is True
        assert found["cost"] == 0.25
        assert found["created_at"] == T0
        assert found["confidence"] is None

    def test_writing_a_row_again_overwrites_all_but_its_birth(self, store: Store) -> None:
        store.write("providers", [provider(logo_url="https://a.example/logo.svg")])
        store.write("providers", [provider(name="Renamed", created_at=T1, updated_at=T1)])
        (found,) = store.read_all("providers")
        assert (found["name"], found["created_at"], found["updated_at"]) == ("Renamed", T0, T1)
        assert found["logo_url"] == "https://a.example/logo.svg", "a column that was not given stays"

    def test_overwriting_a_provider_keeps_its_models(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        store.write("providers", [provider(name="Renamed")])
        assert len(store.read_all("models")) == 1

    def test_an_event_is_inserted_once_and_never_changed(self, store: Store) -> None:
        event = request()
        assert store.write("request_events", [event, event]) == 1
        assert store.write("request_events", [{**event, "latency_ms": 1.0}, request()]) == 1
        assert [row["latency_ms"] for row in store.read("request_events").rows] == [80.0, 80.0]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"latencies": 1}, "row 1: request_events has no column 'latencies'"),
            ({"latency_ms": float("nan")}, "row 1: latency_ms: nan is not a finite number"),
            ({"latency_ms": float("inf")}, "row 1: latency_ms: inf is not a finite number"),
            ({"latency_ms": "fast"}, "row 1: latency_ms: a number was expected, not 'fast'"),
            ({"latency_ms": -1}, "row 1: "),
            ({"success": "yes"}, "row 1: success: true or false was expected, not 'yes'"),
            ({"model": None}, "row 1: model is missing"),
            ({"tokens_input": 2**63}, "row 1: tokens_input: 9223372036854775808 is beyond 64 bits"),
            ({"tokens_input": 1.5}, "row 1: tokens_input: a whole number was expected, not 1.5"),
            ({"tokens_input": float("inf")}, "row 1: tokens_input: "),
            ({"created_at": "2026-11-21T02:00:00"}, "row 1: created_at: the time 2026-11-21T02:00:00 has no time zone"),
            ({"created_at": "yesterday"}, "row 1: created_at: "),
            ({"metadata": "{"}, "row 1: metadata: "),
            ({"metadata": {"x": float("nan")}}, "row 1: metadata: "),
        ],
    )
    def test_a_bad_row_is_named_and_nothing_is_written(self, store: Store, change: dict[str, Any], said: str) -> None:
        with pytest.raises(BadRows) as caught:
            store.write("request_events", [request(), request() | change])
        assert said in str(caught.value)
        assert store.read("request_events").rows == []

    def test_text_that_no_database_keeps_is_mended(self, store: Store) -> None:
        store.write("request_events", [request(status="a\x00b\ud800c'; drop table models; --")])
        assert store.read("request_events").rows[0]["status"] == "a\ufffdb\ufffdc'; drop table models; --"

    def test_text_in_json_is_mended_too(self, store: Store) -> None:
        store.write("request_events", [request(metadata={"a\x00": ["\ud800", {"b": "\udfff"}]})])
        assert store.read("request_events").rows[0]["metadata"] == {"a\ufffd": ["\ufffd", {"b": "\ufffd"}]}

    def test_unknown_tables_and_views_cannot_be_written(self, store: Store) -> None:
        for name in ("nothing", "catalog", "store_epoch", "models; drop table models"):
            with pytest.raises(UnknownName):
                store.write(name, [])

    # -- read --------------------------------------------------------------------------------------------------

    def test_reading_on_from_a_watermark_gives_each_row_once_in_commit_order(self, store: Store) -> None:
        events = [request() for _ in range(5)]
        seen, after = list[str](), 0
        for event in events:
            store.write("request_events", [event])
            batch = store.read("request_events", after, limit=2)
            seen += [row["id"] for row in batch.rows]
            after = batch.watermark
        assert seen == [event["id"] for event in events]
        assert store.read("request_events", after) == Batch([], after)

    def test_an_empty_table_has_a_watermark_to_read_on_from(self, store: Store) -> None:
        watermark = store.read("request_events").watermark
        store.write("request_events", [request()])
        assert len(store.read("request_events", watermark).rows) == 1

    def test_reading_on_while_others_write_misses_nothing(self, store: Store) -> None:
        events = [request() for _ in range(80)]

        def write(part: list[dict[str, Any]]) -> None:
            for event in part:
                store.write("request_events", [event])

        threads = [threading.Thread(target=write, args=(events[start::2],)) for start in range(2)]
        for thread in threads:
            thread.start()
        seen, after, still_writing = list[str](), 0, True
        while still_writing:
            still_writing = any(thread.is_alive() for thread in threads)
            while (batch := store.read("request_events", after, limit=7)).rows:
                seen += [row["id"] for row in batch.rows]
                after = batch.watermark
        assert sorted(seen) == sorted(event["id"] for event in events)

    def test_a_tally_counts_what_lies_between_two_watermarks_by_day(self, store: Store) -> None:
        first, second, third = request(), request(created_at=T2), request()
        store.write("request_events", [first])
        begin = store.read("request_events").watermark
        store.write("request_events", [second, third])
        end = store.read("request_events").watermark
        assert store.tally("request_events", begin, end) == store.tally("request_events", begin)
        assert store.tally("request_events", begin) == [
            Tally(T0[:10], 1, id_number(third["id"])),
            Tally(T2[:10], 1, id_number(second["id"])),
        ]
        assert store.tally("request_events", None, begin) == [Tally(T0[:10], 1, id_number(first["id"]))]
        assert [day.rows for day in store.tally("request_events")] == [2, 1]
        assert store.tally("request_events", end) == []
        with pytest.raises(UnknownName):
            store.tally("providers")

    def test_only_events_have_a_commit_order(self, store: Store) -> None:
        with pytest.raises(UnknownName, match="read_all"):
            store.read("providers")

    def test_select_gives_the_columns_that_were_asked_for(self, store: Store) -> None:
        store.write("providers", [provider("p1", is_active=False), provider("p0")])
        assert store.select("providers", {"is_active": False}, columns=("key", "is_active")).items == [
            {"key": "p1", "is_active": False}
        ]
        page = store.select("providers", order="-key", page=1, per_page=1, columns=["name"])
        assert (page.items, page.total) == ([{"name": "P1"}], 2)
        with pytest.raises(UnknownName, match="has no column 'name; drop table models'"):
            store.select("providers", columns=["name; drop table models"])

    def test_select_filters_orders_and_pages(self, store: Store) -> None:
        rows = [provider(f"p{number}", rate_limit_rpm=number or None, is_active=number != 2) for number in range(5)]
        store.write("providers", rows)
        page = store.select("providers", {"is_active": True}, "-rate_limit_rpm", page=1, per_page=2)
        assert ([row["key"] for row in page.items], page.total) == (["p4", "p3"], 4)
        page = store.select("providers", {"is_active": True}, "-rate_limit_rpm", page=2, per_page=2)
        assert ([row["key"] for row in page.items], page.total) == (["p1", "p0"], 4), "null is last"
        assert [row["key"] for row in store.select("providers", order="rate_limit_rpm").items][-1] == "p0"
        assert store.select("providers", {"key": ["p1", "p3", "x"], "rate_limit_rpm": 3}).total == 1
        assert [row["key"] for row in store.select("providers", {"rate_limit_rpm": None}).items] == ["p0"]
        assert store.select("providers", {"key": []}).items == []
        assert store.select("providers", {"key": "' or true --"}).items == []

    def test_select_refuses_names_that_are_no_columns(self, store: Store) -> None:
        with pytest.raises(UnknownName, match="it has: api_key_vault_path"):
            store.select("providers", {"1=1; --": 1})
        with pytest.raises(UnknownName):
            store.select("providers", order="key desc; drop table models")
        with pytest.raises(UnknownName):
            store.select("sqlite_master")

    # -- what hangs together -----------------------------------------------------------------------------------

    def test_deleting_a_run_deletes_its_results_and_leaves_a_tombstone(self, store: Store) -> None:
        gone, kept = run(), run()
        store.land_results([gone, kept], [result(gone), result(kept)])
        assert store.delete("runs", [gone["id"], new_id()]) == 1
        assert [row["run_id"] for row in store.read("benchmark_results").rows] == [kept["id"]]
        assert [row["run_id"] for row in store.read("tombstones").rows] == [gone["id"]]

    def test_deleting_a_provider_keeps_its_results_by_name(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        (model,) = store.read_all("models")
        measured = run()
        store.land_results([measured], [result(measured, provider_id=provider()["id"], model_id=model["id"])])
        assert store.delete("providers", [provider()["id"]]) == 1
        assert store.read_all("models") == store.read_all("prices") == []
        (row,) = store.read("benchmark_results").rows
        assert (row["provider_id"], row["model_id"], row["provider"], row["model"]) == (
            None,
            None,
            "aurora",
            "aurora/small",
        )

    def test_events_are_not_deleted_one_by_one(self, store: Store) -> None:
        with pytest.raises(UnknownName):
            store.delete("benchmark_results", [new_id()])

    @pytest.mark.parametrize("order", ["name", "-name,key", "rate_limit_rpm,-name"])
    def test_all_rows_and_a_page_of_them_have_one_order(self, store: Store, order: str) -> None:
        names = ["Zeta", "alpha", "Älpha", "beta 2", "beta 10", "_", "ß"]
        rows = [provider(f"p{n}", name=name, rate_limit_rpm=n % 3 or None) for n, name in enumerate(names)]
        store.write("providers", rows)
        whole = [row["key"] for row in store.select("providers", order=order).items]
        paged = [row["key"] for n in (1, 2, 3) for row in store.select("providers", None, order, n, 3).items]
        assert paged == whole
        assert store.select("providers", order=order, page=4, per_page=3).items == []

    def test_more_rows_than_an_answer_may_have_come_whole(self, store: Store) -> None:
        events = [request(tenant_id="a" if n % 2 else None) for n in range(2_345)]
        assert store.write("request_events", events) == len(events)
        read = store.read("request_events")
        assert sorted(row["id"] for row in read.rows) == sorted(row["id"] for row in events)
        assert len(store.read("request_events", limit=1_500).rows) == 1_500
        assert store.read("request_events", read.watermark).rows == []
        assert len(store.read_all("request_events")) == len(events)
        page = store.select("request_events", {"tenant_id": "a"}, "-created_at", page=1, per_page=1_100)
        assert (len(page.items), page.total) == (1_100, 1_172)

    def test_a_bad_row_among_many_is_named_and_nothing_is_written(self, store: Store) -> None:
        events = [request() for _ in range(1_500)]
        events[1_234] |= {"latency_ms": -1.0}
        with pytest.raises(BadRows, match="request_events, row 1234: "):
            store.write("request_events", events)
        assert store.read("request_events").rows == []

    # -- submit_feedback ---------------------------------------------------------------------------------------

    def test_feedback_finds_model_and_agent_by_its_message(self, store: Store) -> None:
        known = {"task_type": "code", "agent_id": "a1", "tenant_id": "t1", "user_id": "u1", "is_simulated": True}
        store.write("request_events", [request(message_id="m1", **known), request(message_id="m2", model="other")])
        recorded = store.submit_feedback({"message_id": "m1", "rating": 0.75})
        assert {name: recorded[name] for name in known} == known
        assert (recorded["model"], recorded["rating"], recorded["feedback_type"]) == ("aurora/small", 0.75, "explicit")
        assert store.read("feedback_events").rows == [recorded]

    @pytest.mark.parametrize(
        ("signal", "rating"), [("regenerate", 0.0), ("copy", 1.0), ("continue", 0.5), ("abandon", None)]
    )
    def test_a_signal_is_an_implicit_rating(self, store: Store, signal: str, rating: float | None) -> None:
        recorded = store.submit_feedback({"message_id": "m1", "model": "aurora/small", "signal": signal})
        assert (recorded["rating"], recorded["feedback_type"]) == (rating, "implicit")

    def test_feedback_with_the_same_id_is_recorded_once(self, store: Store) -> None:
        given = {"id": new_id(), "message_id": "m1", "model": "aurora/small", "rating": 1}
        first = store.submit_feedback(given)
        assert store.submit_feedback(given | {"rating": 0}) == first
        assert len(store.read("feedback_events").rows) == 1

    def test_feedback_on_an_unknown_message_needs_a_model(self, store: Store) -> None:
        with pytest.raises(UnknownName, match="'m9'"):
            store.submit_feedback({"message_id": "m9", "rating": 1})

    @pytest.mark.parametrize(
        "change", [{"rating": 1.5}, {"rating": None}, {"signal": "love"}, {"rating": float("nan")}]
    )
    def test_feedback_that_is_no_rating_is_refused(self, store: Store, change: dict[str, Any]) -> None:
        with pytest.raises(BadRows):
            store.submit_feedback({"message_id": "m1", "model": "aurora/small"} | change)
        assert store.read("feedback_events").rows == []

    # -- expire ------------------------------------------------------------------------------------------------

    def test_only_old_events_that_were_read_expire(self, store: Store) -> None:
        old, read, new, unread = request(), request(), request(created_at=T2), request()
        store.write("request_events", [old, read, new])
        watermark = store.read("request_events").watermark
        store.write("request_events", [unread])
        assert store.expire("request_events", T1, watermark, dry_run=True) == 2
        assert len(store.read("request_events").rows) == 4
        assert store.expire("request_events", T1, watermark) == 2
        assert [row["id"] for row in store.read("request_events").rows] == [new["id"], unread["id"]]
        assert store.expire("request_events", T1, None) == 0, "what nobody has read stays"

    def test_expiry_leaves_runs_and_makes_no_tombstone(self, store: Store) -> None:
        measured = run()
        store.land_results([measured], [result(measured)])
        assert store.expire("benchmark_results", T1, store.read("benchmark_results").watermark) == 1
        assert len(store.read_all("runs")) == 1
        assert store.read("tombstones").rows == []

    def test_numbers_of_expired_events_are_not_used_again(self, store: Store) -> None:
        store.write("request_events", [request()])
        watermark = store.read("request_events").watermark
        store.expire("request_events", T1, watermark)
        store.write("request_events", [request()])
        assert len(store.read("request_events", watermark).rows) == 1

    @pytest.mark.parametrize("table", ["runs", "tombstones", "models", "nothing"])
    def test_other_tables_do_not_expire(self, store: Store, table: str) -> None:
        with pytest.raises(UnknownName):
            store.expire(table, T1, 10)

    def test_places_for_the_months_to_come_are_made_once_and_lose_no_row(self, store: Store) -> None:
        old = request(created_at="2026-08-21T02:00:00.000000Z")
        store.write("request_events", [old])
        store.make_partitions()
        assert store.make_partitions() == []
        store.write("request_events", [old, request()])
        assert store.read("request_events").rows[0]["id"] == old["id"]
        assert len(store.read("request_events").rows) == 2

    def test_a_plan_is_no_result(self, store: Store) -> None:
        measured = run()
        assert store.land_results([measured], [plan(measured)]).refused

    # -- views --------------------------------------------------------------------------------------------------------

    def test_metric_events_are_benchmarks_and_live_requests(self, store: Store) -> None:
        """Requirement B3: one row per query that was asked, whoever measured it."""
        measured = run()
        asked, skipped = result(measured, domain="math"), result(measured, outcome="skipped", success=False)
        store.land_results([measured], [asked, skipped])
        live = request(task_type="code")
        store.write("request_events", [live])
        events = {row["id"]: row for row in store.read_all("model_metric_events")}
        assert set(events) == {asked["id"], live["id"]}
        assert events[asked["id"]]["latency_ms"] == asked["total_latency_ms"]
        assert events[asked["id"]]["domain"] == "math"
