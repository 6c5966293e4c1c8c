"""The part of a store's contract that is about what a model rejects, and about slots of a schedule."""

import threading

import pytest
from store.samples import T0, T1, T2, Row, entry, provider, result, run

from analytics.errors import BadRows
from analytics.store import Store, new_id

SLOT = "benchmark@2026-11-21T04:15:00.000000Z"


class ParameterContract:
    """What holds for rejected parameters and slots in every store."""

    def model(self, store: Store) -> Row:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        (row,) = store.read_all("models")
        return row

    def rejected(self, store: Store) -> Row:
        (row,) = store.read_all("catalog")
        found: Row = row["rejected_parameters"]
        return found

    def test_a_model_is_not_known_to_reject_anything(self, store: Store) -> None:
        assert self.model(store)["rejected_parameters"] == {}
        assert self.rejected(store) == {}

    def test_rejected_parameters_add_up_and_are_forgotten_by_name(self, store: Store) -> None:
        model = self.model(store)["id"]
        store.note_rejected_parameters(model, {"temperature": T0, "role.developer": T0})
        store.note_rejected_parameters(model, {"temperature": T1, "stream_options": T1})
        assert self.rejected(store) == {"temperature": T1, "role.developer": T0, "stream_options": T1}
        store.note_rejected_parameters(model, {"temperature": None, "never_there": None})
        assert self.rejected(store) == {"role.developer": T0, "stream_options": T1}
        store.note_rejected_parameters(model, {})
        assert self.rejected(store) == {"role.developer": T0, "stream_options": T1}

    def test_a_sync_never_touches_what_a_model_rejects(self, store: Store) -> None:
        store.note_rejected_parameters(self.model(store)["id"], {"temperature": T0})
        store.apply_catalog("aurora", [entry("small", display_name="Renamed")], T1)
        store.apply_catalog("aurora", [entry("other")], T2)
        store.apply_catalog("aurora", [entry("small")], T2)
        known = {row["name"]: row["rejected_parameters"] for row in store.read_all("models")}
        assert known == {"small": {"temperature": T0}, "other": {}}

    def test_what_a_model_that_is_gone_rejects_is_no_error(self, store: Store) -> None:
        store.note_rejected_parameters(new_id(), {"temperature": T0})

    def test_threads_that_note_at_once_lose_nothing(self, store: Store) -> None:
        model = self.model(store)["id"]
        names = [f"parameter_{number}" for number in range(8)]
        threads = [threading.Thread(target=store.note_rejected_parameters, args=(model, {name: T0})) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert self.rejected(store) == dict.fromkeys(names, T0)

    def test_limits_and_dropped_parameters_come_back_as_they_went_in(self, store: Store) -> None:
        measured = run()
        limits = {"requests": {"limit": 500, "remaining": 499, "reset_s": 12.5}, "retry_after_s": 3.0}
        rows = [result(measured, rate_limits=limits, dropped_parameters=("temperature",)), result(measured)]
        assert store.land_results([measured], rows).landed == 2
        assert store.land_results([measured], rows).already == 2
        stored = store.read("benchmark_results").rows
        assert [(row["rate_limits"], row["dropped_parameters"]) for row in stored] == [
            (limits, ["temperature"]),
            (None, []),
        ]

    def test_a_slot_is_filled_by_one_run(self, store: Store) -> None:
        first, second = run(slot=SLOT), run(slot=SLOT)
        store.write("runs", [first])
        store.write("runs", [first])
        with pytest.raises(BadRows):
            store.write("runs", [second])
        store.write("runs", [run(), run()])
        assert [row["id"] for row in store.select("runs", {"slot": SLOT}).items] == [first["id"]]

    def test_results_of_a_run_whose_slot_another_one_fills_land_without_it(self, store: Store) -> None:
        first, second = run(slot=SLOT), run(slot=SLOT)
        assert store.land_results([first], [result(first)]).landed == 1
        landing = store.land_results([second], [result(second)])
        assert (landing.landed, landing.refused, landing.alarms) == (1, (), ())
        assert store.land_results([first], []).landed == 0
        assert {row["id"]: row["slot"] for row in store.read_all("runs")} == {first["id"]: SLOT, second["id"]: None}
