"""A price that was wrong: from the next `score` on every result that names it costs by the corrected one."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from store.samples import provider, result, run

from analytics.export import exportable
from analytics.lake import Lake
from analytics.queries import run_query
from analytics.results import read_results
from analytics.routing.published import read_published
from analytics.scoring import ScoreReport, score
from analytics.store import Row, SqliteStore, new_id

AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
MONDAY, TUESDAY = "2026-11-16T10:00:00.000000Z", "2026-11-17T10:00:00.000000Z"


class House:
    """A store, a lake and a scoring folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "store.sqlite")
        self.store.migrate()
        self.store.write("providers", [provider()])
        self.lake = Lake(folder / "lake")
        self.scoring = folder / "scoring"

    def land(self, *rows: Row) -> str:
        one = run(is_simulated=False)
        priced = {"cost_source": "price", "price_id": "p1", "input_tokens": 1000, "output_tokens": 100, "cost_usd": 0.5}
        found = [{**result(one), "is_simulated": False, **priced, **row} for row in rows]
        assert self.store.land_results([one], found).landed == len(rows)
        return str(one["id"])

    def correct(self, price_id: str, input_price: float, output_price: float, **given: Any) -> Row:
        row = {"id": new_id(), "price_id": price_id, "input_price_per_m": input_price, "output_price_per_m": output_price,
               "reason": "it was wrong", "created_at": TUESDAY, **given}  # fmt: skip
        self.store.write("repricings", [row])
        return row

    def refresh(self, **options: Any) -> ScoreReport:
        self.lake.extract(self.store)
        return score(self.lake, self.scoring, AS_OF, **options)

    def published(self, table: str) -> list[Row]:
        rows: list[Row] = read_published(self.scoring).tables[table].to_pylist()
        return rows


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


def test_only_files_whose_results_name_the_price_are_read_again(house: House) -> None:
    house.land({"created_at": MONDAY}, {"created_at": TUESDAY, "price_id": "p2"})
    assert house.refresh().files_absorbed == 2
    house.correct("p1", 1, 10)
    report = house.refresh()
    assert (report.files_absorbed, report.is_rebuilt) == (1, False)
    report = house.refresh()
    assert (report.files_absorbed, report.is_rebuilt) == (0, False)


def test_scores_and_daily_sums_follow_a_correction_and_the_newest_one_counts(house: House) -> None:
    house.land({"created_at": MONDAY}, {"created_at": TUESDAY, "price_id": "p2", "cost_usd": 0.004})
    house.refresh()
    house.correct("p1", 70, 70)
    house.refresh()
    house.correct("p1", 1, 10, created_at="2026-11-18T00:00:00.000000Z")
    house.refresh()
    (overall,) = (row for row in house.published("model_metrics") if row["model"] == "aurora/small")
    assert overall["cost_per_query"] == pytest.approx((0.002 + 0.004) / 2)
    assert [row["total_cost"] for row in house.published("daily_aggregates") if row["requests"]] == [0.002, 0.004]


def test_what_a_provider_reported_is_not_corrected(house: House) -> None:
    house.land({"cost_source": "provider"}, {"cost_source": None, "cost_usd": None, "price_id": None})
    house.correct("p1", 1, 10)
    house.refresh()
    assert [row["cost_usd"] for row in read_results(house.lake).rows.to_pylist()].count(0.5) == 1


def test_a_full_refresh_gives_the_same_figures(house: House) -> None:
    house.land({"created_at": MONDAY}, {"created_at": TUESDAY})
    house.refresh()
    house.correct("p1", 1, 10)
    house.refresh()
    before = house.published("model_metrics")
    house.refresh(full=True)
    assert house.published("model_metrics") == before


def test_results_stay_as_they_were_computed_and_queries_and_exports_are_corrected(house: House, tmp_path: Path) -> None:
    kept, gone = house.land({}), house.land({})
    correction = house.correct("p1", 1, 10)
    house.store.delete("runs", [gone])
    house.refresh()
    assert [row["cost_usd"] for row in house.store.read("benchmark_results").rows] == [0.5]
    (answer,) = run_query(house.lake, "cost_30d", AS_OF).to_pylist()
    assert (answer["requests"], answer["total_cost_usd"]) == (1, pytest.approx(0.002))
    (row,) = run_query(house.lake, "run_results", AS_OF, {"run_id": kept}).to_pylist()
    assert row["cost_usd"] == pytest.approx(0.002)
    (exported,) = exportable(tmp_path / "lake", tmp_path / "scoring")["benchmark_results"]().rows.to_pylist()
    assert (exported["run_id"], exported["cost_usd"]) == (kept, pytest.approx(0.002))
    (now,) = house.store.read_all("result_costs")
    assert (now["cost_usd"], now["original_cost_usd"]) == (pytest.approx(0.002), 0.5)
    assert (now["price_id"], now["repricing_id"]) == ("p1", correction["id"])
    (event,) = house.store.read_all("model_metric_events")
    assert event["cost"] == pytest.approx(0.002)


def test_corrupt_corrections_are_read_again(house: House) -> None:
    house.land({})
    house.correct("p1", 1, 10)
    house.lake.extract(house.store)
    (house.lake.directory / house.lake.files("repricings")[0].path).write_bytes(b"")
    report = house.refresh()
    assert len(report.corrupt) == 1
    (overall,) = (row for row in house.published("model_metrics") if row["model"] == "aurora/small")
    assert overall["cost_per_query"] == pytest.approx(0.002)


def test_store_and_lake_compute_the_same_cost_as_a_run_does(house: House) -> None:
    from flows.plan import cost_usd

    chance = random.Random(5)
    rows = []
    for number in range(200):
        tokens = chance.randrange(0, 100_000)
        cached = chance.choice([None, 0, chance.randrange(0, 100_000)])
        rows.append({"price_id": f"p{number % 7}", "input_tokens": tokens, "cached_input_tokens": cached, "output_tokens": chance.randrange(0, 9_000)})  # fmt: skip
    house.land(*rows)
    prices = {f"p{n}": (chance.uniform(0, 50), chance.uniform(0, 50), chance.choice([None, chance.uniform(0, 50)])) for n in range(7)}  # fmt: skip
    for price_id, (one, two, three) in prices.items():
        house.correct(price_id, one, two, cached_input_price_per_m=three)
    house.refresh()
    in_store = {row["id"]: row["cost_usd"] for row in house.store.read_all("result_costs")}
    for row in read_results(house.lake).rows.to_pylist():
        one, two, three = prices[row["price_id"]]
        wanted = cost_usd(row["input_tokens"], row["output_tokens"], one, two, row["cached_input_tokens"], three)
        assert row["cost_usd"] == pytest.approx(wanted, rel=1e-12)
        assert in_store[row["id"]] == pytest.approx(wanted, rel=1e-12)
