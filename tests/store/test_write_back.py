"""Written back is what changed, and nothing else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from store.samples import T0, request

from analytics.lake import Lake
from analytics.scoring import score, write_back
from analytics.store import SqliteStore

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_rows_that_did_not_change_are_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SqliteStore(tmp_path / "store.sqlite") as store:
        store.migrate()
        lake = Lake(tmp_path / "lake")
        written: dict[str, list[Any]] = {}
        real = store.write

        def watched(table: str, rows: Any) -> int:
            written[table] = [row["model"] for row in rows if "model" in row]
            return real(table, rows)

        monkeypatch.setattr(store, "write", watched)
        for number, models in enumerate((("a/one", "a/two"), ("a/two",))):
            real("request_events", [request(model=model, domain="math", created_at=T0) for model in models])
            lake.extract(store)
            write_back(store, score(lake, tmp_path / "scoring", NOW + timedelta(minutes=number)))
            assert sorted(written["model_metrics"]) == sorted(models)
        assert {row["model"]: row["usage_count"] for row in store.read_all("model_metrics")} == {"a/one": 1, "a/two": 2}
