"""The engine's sums against SQL over all rows: the same columns, the same counts, the same sums, to the last bit."""

import hashlib
import math
import random
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store.samples import T0, entry, provider, request, result, run

from analytics.lake import EVENTS, Lake, LakeFile, to_arrow
from analytics.lake.manifest import write_manifest
from analytics.routing.published import read_published
from analytics.scoring import VoteCaps, score
from analytics.scoring.build import _DIMENSIONS, POINTERS
from analytics.scoring.days import program
from analytics.scoring.state import State
from analytics.scoring.tables import compute
from analytics.scoring.windows import windows
from analytics.store import SqliteStore, to_text

AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
TABLES = (
    "window_moments",
    "window_quantiles",
    "seen_keys",
    "daily_aggregates",
    "left_out",
    "model_totals",
    "model_performance_history",
    "model_metrics_by_window",
    "hourly_trends",
    "error_breakdown",
    "organization_daily",
    "price_history",
)
PUBLISHED_BY = {
    "daily_aggregates": ["date"],
    "left_out": ["source", "reason"],
    "model_totals": ["model"],
    "model_performance_history": ["model", "domain", "date"],
    "model_metrics_by_window": ["model", "domain", "window_name"],
    "hourly_trends": ["hour", "source", "provider"],
    "error_breakdown": ["date", "source", "provider", "model", "outcome", "error_type", "status_code"],
    "organization_daily": ["date", "tenant_id"],
    "price_history": ["price_id"],
}
ODD = (1e308, 0.0, 0.004, 1e-300, 1e8, 1e8 + 1)


class House:
    """A store, a lake, and a chance that fills them."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.store = SqliteStore(folder / "store.sqlite")
        self.store.migrate()
        self.store.write("providers", [provider()])
        self.store.apply_catalog("aurora", [entry("small"), entry("big")], T0)
        self.lake = Lake(folder / "lake")
        self.as_of = AS_OF

    def land(self, rows: int) -> str:
        one = run(is_simulated=False)
        made = [self.result(one) for _ in range(rows)]
        self.store.land_results([one], made)  # it refuses what is negative or not finite
        self.store.write("request_events", [self.request() for _ in range(rows // 2)])
        return str(one["id"])

    def result(self, one: dict[str, Any]) -> dict[str, Any]:
        pick = self.chance.choice
        outcome = pick(["ok"] * 6 + ["failed", "incomplete", "aborted", "skipped"])
        return {
            **result(one), "model": pick(["aurora/small", "aurora/big", "aurora/gone"]), "outcome": outcome,
            "is_simulated": pick([False, False, True]), "domain": pick([None, "math", "coding"]), "success": outcome == "ok",
            "benchmark_id": pick([None, "q"]), "correct": pick([None, True, False]), "total_latency_ms": self.measure(),
            "ttft_ms": self.measure(), "tps": self.measure(), "inter_token_p50_ms": self.measure(), "cost_usd": pick([None, 0.1, 1e-9, 3.3]),
            "token_source": pick(["provider", "estimated"]), "created_at": self.moment(), "confidence": pick([None, 0.5, 0.25]),
            "error_type": pick([None, "server", "tls"]), "status_code": pick([None, 500, 429]),
        }  # fmt: skip

    def request(self) -> dict[str, Any]:
        pick = self.chance.choice
        return request(
            model=pick(["aurora/small", "mystery"]), is_simulated=pick([False, False, True]), domain=pick([None, "math"]),
            task_type=pick([None, "code", "chat"]), success=pick([True, True, False]), latency_ms=self.measure(),
            cache_hit=pick([None, False, True]), created_at=self.moment(), tokens_input=pick([None, 3, 10**12 + 1, 7]),
            tenant_id=pick([None, "acme", "globex"]), error_type=pick([None, "timeout"]), cost=pick([None, 0.5, 1e-9]),
        )  # fmt: skip

    def measure(self) -> float | None:
        if self.chance.random() < 0.05:
            return self.chance.choice(ODD)
        return self.chance.choice(
            [None, round(self.chance.lognormvariate(6, 1.5), 2), self.chance.lognormvariate(4, 1)]
        )

    def moment(self) -> str:
        age = self.chance.choice([-1, 0, 1, 2, 23, 24, 25, 26, 167, 168, 169, 719, 720, 721, 2159, 2160, 2161, 4000])
        return to_text(AS_OF - timedelta(hours=age, minutes=self.chance.randrange(30)))

    def refresh(self, **options: Any) -> Any:
        self.lake.extract(self.store)
        return score(self.lake, self.folder / "scoring", self.as_of, **options)

    def state(self) -> State:
        return State.open(self.folder / "scoring" / "state", program())

    def check(self) -> None:
        """What the engine holds is what SQL makes of all rows."""
        manifest = self.lake.manifest()
        tables = {name: self.lake.load_all(name, manifest.table(name).files).rows for name in (*EVENTS, *_DIMENSIONS)}
        for kind in (False, True):
            values = {"is_simulated": kind, "as_of": self.as_of, "half_life_days": 60.0, **asdict(VoteCaps())}
            expected = compute(TABLES, tables, values)
            state = self.state()
            found = windows(state, int(kind), None)
            for name in ("window_moments", "window_quantiles"):
                by = ["window_name", "model", "domain"] + (["metric"] if name == "window_quantiles" else [])
                _same(found[name], expected[name], by)
            keys = ["is_simulated", "source", "provider_name", "model_name", "domain", "task_type"]
            _same(state.keys.seen(), expected["seen_keys"], keys)
            published = read_published(self.folder / "scoring", POINTERS[kind]).tables
            for name, by in PUBLISHED_BY.items():
                _same(published[name], expected[name], by)


def _same(found: pa.Table, expected: pa.Table, by: list[str]) -> None:
    order = [(name, "ascending") for name in by]
    assert set(found.column_names) == set(expected.column_names)
    mine, theirs = found.select(expected.column_names).sort_by(order), expected.sort_by(order)
    assert mine.num_rows == theirs.num_rows
    for name in expected.column_names:
        one, other = mine.column(name).to_pylist(), theirs.column(name).to_pylist()
        if expected.schema.field(name).type == pa.float64():
            other = [None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12) for value in other]
        assert one == other, name


@pytest.mark.timeout(600)  # dozens of refreshes, each held against SQL over all rows
def test_sums_are_those_of_sql_however_they_came_about(tmp_path: Path) -> None:
    """New and late rows, another hour, a step back, a deleted run, a corrected price, a compacted day: and each time all is as SQL says."""
    house = House(tmp_path)
    house.land(120)
    assert house.refresh().is_rebuilt
    house.check()
    gone = house.land(80)
    assert not house.refresh().is_rebuilt
    house.check()
    for hours in (1, 30, -5, 2000):
        house.as_of += timedelta(hours=hours)
        assert not house.refresh().is_rebuilt
        house.check()
    house.store.delete("runs", [gone])
    assert not house.refresh().is_rebuilt
    house.check()
    house.store.apply_catalog("aurora", [entry("small"), entry("big"), entry("gone")], T0)
    house.store.apply_catalog("aurora", [entry("small"), entry("big"), entry("mystery")], T0)
    assert not house.refresh().is_rebuilt
    house.check()
    for _ in range(17):
        house.land(2)
        report = house.refresh()
        assert not report.is_rebuilt
    house.check()
    first = report.snapshots
    assert house.refresh(full=True).snapshots == first
    house.store.close()


def lake_file(house: House, rows: list[dict[str, Any]], number: int) -> None:
    """Rows as a file of the lake, past the store, which would refuse what is not finite."""
    path = Path("benchmark_results") / f"dt={AS_OF:%Y-%m-%d}" / f"part-{number}.parquet"
    (house.lake.directory / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(to_arrow("benchmark_results", rows), house.lake.directory / path, row_group_size=7)
    sha256 = hashlib.sha256((house.lake.directory / path).read_bytes()).hexdigest()
    moments = sorted(row["created_at"] for row in rows)
    file = LakeFile(path.as_posix(), sha256, len(rows), moments[0], moments[-1])
    manifest = house.lake.manifest()
    held = manifest.table("benchmark_results")
    tables = {**manifest.tables, "benchmark_results": replace(held, files=(*held.files, file))}
    write_manifest(house.lake.directory / "manifest.json", replace(manifest, tables=tables))


def test_what_is_not_finite_in_a_lake_file_counts_nowhere(tmp_path: Path) -> None:
    """The first rows that there are, and rows that come later: by arrays and by SQL, and never in a mean."""
    house = House(tmp_path)
    one = run(is_simulated=False)
    names = ("total_latency_ms", "ttft_ms", "tps", "inter_token_p50_ms", "cost_usd", "confidence")
    bad = [{**dict.fromkeys(names), name: value} for name in names for value in (math.nan, math.inf, -math.inf)]
    for number in range(2):
        rows = [
            {**house.result(one), "id": f"{number}-{at}", "outcome": "ok", "token_source": "provider"}
            for at in range(40)
        ]
        rows = [{**row, **odd} for row, odd in zip(rows, [*bad, *[{}] * 22], strict=True)]
        lake_file(house, rows, number)
        report = score(house.lake, house.folder / "scoring", house.as_of)
        assert report.is_rebuilt == (number == 0)
        reasons = ("latency", "ttft_ms", "tps", "inter_token_ms", "cost", "confidence")
        assert all(report.rejects[f"{name} out of range"] >= 3 * (number + 1) for name in reasons)
        house.check()
    house.store.close()


def test_the_order_of_rows_and_files_changes_nothing_and_a_row_twice_counts_twice(tmp_path: Path) -> None:
    """A file in another order, in other pieces, or one of which some rows are there again: a refresh is a rebuild, to the last bit."""
    one = run(is_simulated=False)
    made = House(tmp_path / "made")
    rows = [{**made.result(one), "id": f"{at:03}"} for at in range(120)]
    again = [{**row, "id": f"again-{row['id']}"} for row in rows[:30]]
    made.store.close()
    found = []
    for seed in range(3):
        house = House(tmp_path / str(seed), seed)
        mixed = [*rows, *again]
        house.chance.shuffle(mixed)
        cut = house.chance.randrange(1, len(mixed))
        reports = []
        for number, piece in enumerate((mixed[:cut], mixed[cut:])):
            lake_file(house, piece, number)
            reports.append(score(house.lake, house.folder / "scoring", house.as_of))
        assert [report.is_rebuilt for report in reports] == [True, False]
        house.check()
        rebuilt = score(house.lake, house.folder / "scoring", house.as_of, full=True)
        assert rebuilt.snapshots == reports[-1].snapshots
        found.append(dict(rebuilt.snapshots))
        house.store.close()
    assert found[0] == found[1] == found[2]
