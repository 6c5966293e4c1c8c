"""Written back is what changed, and nothing else, into either store."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from store.samples import T0, request, result, run
from store.test_restore import new_store
from supabase_project import Projects

from analytics.lake import Lake
from analytics.scoring import score, write_back
from analytics.store import Row, Store, new_id

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TABLES = ("model_metrics", "model_metrics_by_window", "model_totals", "model_performance_history", "daily_aggregates")


class Watched:
    """A store that notes what is written and deleted."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.written: dict[str, int] = {}
        self.deleted: dict[str, int] = {}
        self.read_all: Callable[[str], Sequence[Row]] = store.read_all

    def write(self, table: str, rows: Sequence[Any]) -> int:
        self.written[table] = len(rows)
        return self.store.write(table, rows)

    def delete(self, table: str, ids: Sequence[str]) -> int:
        self.deleted[table] = len(ids)
        return self.store.delete(table, ids)


@pytest.mark.parametrize("kind", ["sqlite", "supabase"])
def test_only_what_changed_is_written_and_what_is_gone_is_deleted(
    kind: str, projects: Projects, tmp_path: Path
) -> None:
    with new_store(kind, projects, tmp_path / "store.sqlite") as store:
        lake, watched = Lake(tmp_path / "lake"), Watched(store)

        def refresh(minute: int) -> dict[str, tuple[int, int]]:
            lake.extract(store)
            report = score(lake, tmp_path / "scoring", NOW + timedelta(minutes=minute))
            counts = write_back(watched, report)
            assert counts == {table: len(store.read_all(table)) for table in TABLES}
            return {table: (watched.written[table], watched.deleted[table]) for table in TABLES}

        store.write(
            "request_events", [request(model=model, domain="math", created_at=T0) for model in ("a/one", "a/two")]
        )
        store.write(
            "feedback_events",
            [{"id": new_id(), "message_id": "m", "user_id": "u", "model": "a/one", "rating": 0.5, "feedback_type": "explicit", "created_at": T0}],
        )  # fmt: skip
        first = refresh(0)
        assert first["model_metrics"] == (2, 0)
        assert first["model_metrics_by_window"] == (16, 0), "two models, four windows, math and all domains"
        assert (first["model_totals"], first["model_performance_history"]) == ((2, 0), (4, 0))
        assert set(refresh(1).values()) == {(0, 0)}

        store.write("request_events", [request(model="a/two", domain="math", created_at=T0)])
        second = refresh(2)
        assert (second["model_metrics"], second["model_metrics_by_window"]) == ((1, 0), (8, 0))
        assert (second["model_totals"], second["model_performance_history"]) == ((1, 0), (2, 0))
        assert {row["model"]: row["total_requests"] for row in store.read_all("model_totals")} == {
            "a/one": 1,
            "a/two": 2,
        }

        one = run(is_simulated=True)
        assert store.land_results([one], [result(one, model="a/gone")]).landed == 1
        assert refresh(3)["model_totals"] == (1, 0)
        store.delete("runs", [one["id"]])
        gone = refresh(4)
        assert (gone["model_totals"], gone["model_metrics_by_window"]) == ((0, 1), (0, 8))
        [rated] = [
            row
            for row in store.read_all("model_performance_history")
            if row["model"] == "a/one" and row["domain"] is None
        ]
        assert (rated["avg_rating"], rated["rating_count"], rated["date"]) == (0.5, 1, "2026-11-21")
