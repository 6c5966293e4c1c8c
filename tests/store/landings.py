"""The part of a store's contract by which measured results land: each once, whatever is sent again."""

import threading
from typing import Any

import pytest
from store.samples import T1, T2, result, run

from analytics.errors import BadRows
from analytics.store import Store, stable_id


class LandingContract:
    """What holds for landing results in every store."""

    def test_landing_twice_lands_once(self, store: Store) -> None:
        measured = run()
        rows = [result(measured), result(measured, outcome="failed", success=False, ttft_ms=None)]
        first = store.land_results([measured], rows)
        again = store.land_results([measured], rows)
        assert (first.landed, first.already, first.epoch) == (2, 0, store.epoch())
        assert (again.landed, again.already, again.alarms, again.refused) == (0, 2, (), ())
        assert len(store.read("benchmark_results").rows) == 2

    def test_a_run_lands_while_it_is_going_and_gets_its_end_once(self, store: Store) -> None:
        measured = run()
        store.land_results([measured], [])
        assert store.read_all("runs")[0]["finished_at"] is None
        store.land_results([measured | {"finished_at": T1, "run_name": "other"}], [])
        store.land_results([measured | {"finished_at": T2}], [])
        store.land_results([measured], [])
        (found,) = store.read_all("runs")
        assert (found["finished_at"], found["run_name"]) == (T1, "test")

    def test_the_same_id_with_other_content_is_an_alarm_and_the_first_stays(self, store: Store) -> None:
        measured = run()
        row = result(measured)
        landing = store.land_results([measured], [row, row | {"response_text": "Rome"}])
        assert (landing.landed, landing.alarms) == (1, (row["id"],))
        assert store.read("benchmark_results").rows[0]["response_text"] == "Paris"

    def test_a_row_whose_provider_went_away_is_the_same_row(self, store: Store) -> None:
        measured = run()
        row = result(measured, provider_id=stable_id("provider", "gone"), model_id=stable_id("model", "gone"))
        assert store.land_results([measured], [row]).landed == 1
        assert store.land_results([measured], [row]).already == 1
        found = store.read("benchmark_results").rows[0]
        assert (found["provider_id"], found["model_id"]) == (None, None)

    @pytest.mark.parametrize(
        "change",
        [
            {"ttft_ms": float("nan")},
            {"ttft_ms": -1.0},
            {"outcome": "great"},
            {"outcome": None},
            {"created_at": "now"},
            {"surprise": 1},
            {"run_id": "01a1fbd1-0000-7000-8000-000000000000"},
            {"run_id": None},
            {"run_id": ["a list"]},
            {"id": None},
            {"input_tokens": 10**30},
        ],
        ids=str,
    )
    def test_a_poison_row_is_set_aside_alone(self, store: Store, change: dict[str, Any]) -> None:
        measured = run()
        poison = result(measured) | change
        landing = store.land_results([measured], [result(measured), poison, result(measured)])
        assert landing.landed == 2
        ((refused, why),) = landing.refused
        assert refused == str(poison["id"])
        assert why

    def test_results_of_a_deleted_run_are_dropped_and_counted(self, store: Store) -> None:
        gone, kept = run(), run()
        store.land_results([gone], [])
        store.delete("runs", [gone["id"]])
        landing = store.land_results([gone, kept], [result(gone), result(kept)])
        assert (landing.landed, landing.dropped, landing.refused) == (1, 1, ())
        assert [row["id"] for row in store.read_all("runs")] == [kept["id"]]

    def test_a_run_that_cannot_be_stored_lands_nothing(self, store: Store) -> None:
        good, bad = run(), run(planned=-1)
        with pytest.raises(BadRows):
            store.land_results([good, bad], [result(good)])
        assert store.read_all("runs") == store.read("benchmark_results").rows == []

    def test_threads_land_at_once_without_loss(self, store: Store) -> None:
        measured = run()
        store.land_results([measured], [])
        rows = [result(measured) for _ in range(40)]
        parts = [rows[start : start + 20] for start in (0, 10, 20)]
        threads = [threading.Thread(target=store.land_results, args=([measured], part)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(row["id"] for row in store.read("benchmark_results").rows) == sorted(row["id"] for row in rows)
