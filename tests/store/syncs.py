"""The part of a store's contract that is about syncs of many models: one bad row costs itself alone, and no change no write."""

import json
from typing import Any

from store.samples import T0, T1, T2, Row, entry, provider

from analytics.store import Store

MANY = 1_300  # more than a batch or two of any store


class SyncContract:
    """What holds for big syncs in every store."""

    def test_bad_rows_among_many_are_set_aside_alone(self, store: Store) -> None:
        store.write("providers", [provider()])
        entries = [entry(f"m{number}") for number in range(MANY)]
        bad: dict[int, Row] = {
            3: {"context_window": -1}, 4: {"context_window": 0}, 700: {"cost_tier": "cheap"}, 1299: {"model_type": 7}
        }  # fmt: skip
        for number, wrong in bad.items():
            entries[number] |= wrong
        change = store.apply_catalog("aurora", entries, T0)
        assert (change.discovered, change.added, change.prices) == (MANY, MANY - len(bad), MANY - len(bad))
        assert [name for name, _ in change.rejected] == [f"m{number}" for number in bad]
        assert all(reason for _, reason in change.rejected)
        listed = {row["name"] for row in store.select("models", columns=("name",)).items}
        assert listed == {f"m{number}" for number in range(MANY)} - {f"m{number}" for number in bad}

    def test_a_bad_change_leaves_what_was_known(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry(f"m{number}") for number in range(MANY)], T0)
        changed = [entry(f"m{number}", context_window=4096, input_price_per_m=1.5) for number in range(MANY)]
        changed[600] |= {"context_window": -4}
        change = store.apply_catalog("aurora", changed, T1)
        assert (change.added, change.updated, change.vanished, change.prices) == (0, MANY - 1, 0, MANY - 1)
        assert [name for name, _ in change.rejected] == ["m600"]
        rows = {row["external_id"]: row for row in store.read_all("catalog")}
        assert (rows["m600"]["ctx_length"], rows["m600"]["pricing_input"], rows["m600"]["is_available"]) == (
            8192,
            1.0,
            True,
        )
        assert {rows[f"m{number}"]["ctx_length"] for number in range(MANY) if number != 600} == {4096}

    def test_an_unchanged_sync_of_many_writes_nothing_but_its_time(self, store: Store) -> None:
        store.write("providers", [provider()])
        entries = [entry(f"m{number}", raw={"id": f"m{number}", "x": [number, 1e-7, "Ä"]}) for number in range(MANY)]
        store.apply_catalog("aurora", entries, T0)
        before = {table: store.read_all(table) for table in ("models", "prices", "catalog")}
        change = store.apply_catalog("aurora", entries, T1)
        assert (change.discovered, change.added, change.updated, change.vanished, change.prices) == (MANY, 0, 0, 0, 0)
        assert {table: store.read_all(table) for table in before} == before
        assert store.read_all("providers")[0]["last_synced"] == T1

    def test_an_entry_may_come_as_json_in_bytes(self, store: Store) -> None:
        """As `providers.records.Model` has it; the order of its names and the writing of its numbers make no change."""
        raw: dict[str, Any] = {"id": "m", "b": {"ü": 1e-7, "n": None}, "a": [1, 2.50]}
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("m", raw=raw)], T0)
        for form in (json.dumps(raw).encode(), json.dumps(raw, sort_keys=True, ensure_ascii=False).encode()):
            change = store.apply_catalog("aurora", [entry("m", raw=form)], T1)
            assert (change.added, change.updated, change.rejected) == (0, 0, ())
        change = store.apply_catalog("aurora", [entry("m", raw=b'{"id":"m","odd":"a\\u0000b"}')], T2)
        assert (change.updated, change.rejected) == (1, ())
        assert store.read_all("catalog")[0]["metadata"] == {"id": "m", "odd": "a\ufffdb"}
