"""Every ready query answers over the lake and its scores what PostgreSQL answers by SQL of its own on the rows that the lake was made of.

The question's other text is `postgres_queries/<name>.sql`, written for PostgreSQL's tables and views and by other means where there are
some; its values are bound as `%(as_of)s`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from store.samples import T0, provider, request, result, run
from supabase_project import Projects

from analytics.lake import Lake
from analytics.queries import list_queries, run_query
from analytics.scoring import score
from analytics.store import new_id, stable_id, to_text
from analytics.store.supabase import SupabaseStore

HERE = Path(__file__).parent / "postgres_queries"
NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
PROVIDERS = ("aurora", "borealis", "sim-cascade")
MODELS = ("llama-3.1-8b", "small", "größe/ä", "unpriced")  # each at every provider
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Both:
    """A lake and the database it was extracted from; `values` are those that queries ask of their user."""

    lake: Lake
    db_url: str
    values: dict[str, str]


def moments(dice: random.Random) -> list[str]:
    """Both ends of every window to the microsecond, and any time of 31 days."""
    ends = [NOW - timedelta(hours=hours) for hours in (0, 24, 7 * 24, 30 * 24)]
    sharp = [end + timedelta(microseconds=step) for end in ends for step in (-1, 0, 1)]
    anywhere = [NOW - timedelta(microseconds=dice.randrange(31 * 86_400_000_000)) for _ in range(1200)]
    return [to_text(moment) for moment in (*sharp, *anywhere)]


def catalog() -> dict[str, Rows]:
    """Three providers with the same models; prices of several sources, some in quarantine, some withdrawn, one still to come."""
    rows: dict[str, Rows] = {"providers": [], "models": [], "prices": [], "model_overrides": []}
    for key in PROVIDERS:
        owner = provider(key, is_simulated=key.startswith("sim-"), is_active=key != "borealis", last_synced=T0)
        rows["providers"].append(owner)
        for rank, name in enumerate(MODELS):
            model_id = stable_id("model", f"{key}/{name}")
            rows["models"].append(
                {"id": model_id, "key": f"{key}/{name}", "name": name, "provider_id": owner["id"], "display_name": name.title(),
                 "context_window": 8192 if rank else None, "is_active": rank % 2 == 0, "created_at": T0, "updated_at": T0}
            )  # fmt: skip
            for age, source in enumerate(
                ("simulated", "genai-prices", "provider_api", "admin")[: (rank + 2) * (name != "unpriced")]
            ):
                figure = None if (name, source) == ("größe/ä", "admin") else (len(key) + rank) / 7 + age
                rows["prices"].append(
                    {"id": stable_id("price", f"{key}/{name}/{age}"), "provider_id": owner["id"], "model_id": model_id,
                     "input_price_per_m": figure, "output_price_per_m": figure, "cached_input_price_per_m": None, "source": source,
                     "timestamp": to_text(NOW - timedelta(days=40 - 15 * age, hours=age)),
                     "quarantine_reason": "ten times the last one" if (age, rank) == (2, 1) else None}
                )  # fmt: skip
    rows["model_overrides"].append(
        {
            "model_id": stable_id("model", "aurora/small"),
            "display_name": "Ours",
            "is_enabled": False,
            "cost_tier": "low",
            "updated_at": T0,
        }
    )
    return rows


def measurements(dice: random.Random, runs: Rows) -> Rows:
    """Results of every outcome, with what failures leave empty, at a rising latency; costs said, computed and unknown."""
    rows = []
    for moment in moments(dice):
        key, name = dice.choice(PROVIDERS), dice.choice(MODELS)
        outcome = dice.choices(("ok", "failed", "incomplete", "aborted", "skipped"), (80, 8, 4, 4, 4))[0]
        good = outcome == "ok"
        cost_source = dice.choice(("price", "provider", None)) if good else None
        rows.append(
            result(
                dice.choice(runs), id=str(UUID(int=dice.getrandbits(128), version=4)), created_at=moment, outcome=outcome, success=good,
                provider=key, model=f"{key}/{name}", is_simulated=key.startswith("sim-"), domain=dice.choice(("math", None)),
                status_code=200 if good else dice.choice((500, None)), error_type=None if good else dice.choice(("server", "tls")),
                ttft_ms=dice.choice((None, dice.expovariate(0.01))) if good else None, tps=dice.random() * 90 if good else None,
                total_latency_ms=dice.expovariate(0.001) if outcome in {"ok", "failed"} else None,
                token_source=dice.choice(("provider", "estimated", None)), output_tokens=dice.randrange(500) if good else None,
                cost_usd=dice.random() ** 9 if cost_source else None, cost_source=cost_source, correct=dice.choice((True, False, None)),
                price_id=stable_id("price", f"{key}/{name}/{dice.randrange(2)}") if cost_source == "price" and name != "unpriced" else None,
            )
        )  # fmt: skip
    return rows


def requests(dice: random.Random) -> Rows:
    """Live requests of tenants and of nobody, of known and unknown models, counted or not; and one model that has three strange days."""
    rows = [
        request(
            created_at=moment, model=dice.choice(("aurora/small", "borealis/small", "nobody/knows")), success=dice.random() < 0.9,
            provider=dice.choice(("aurora", None)), tenant_id=dice.choice(("acme", "globex", None)), task_type=dice.choice(("code", "math", None)),
            is_simulated=dice.random() < 0.2, latency_ms=dice.choice((None, dice.expovariate(0.001))),
            tokens_input=dice.choice((None, 0, dice.randrange(900))), tokens_output=dice.choice((None, dice.randrange(400))),
            cost=dice.choice((None, 0.0, dice.random() / 3)),
        )
        for moment in moments(dice)[::2]
    ]  # fmt: skip
    strange = {3: {"latency_ms": 900.0}, 5: {"success": False, "latency_ms": None}, 8: {"cost": 2.0}}
    return rows + [
        request(
            created_at=to_text(NOW - timedelta(days=day, minutes=minute)), model="aurora/steady", provider="aurora",
            **{"latency_ms": 100.0 + minute, "cost": 0.01} | strange.get(day, {}),
        )
        for day in range(25)
        for minute in range(6)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def both(projects: Projects, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    dice = random.Random(12)
    runs = [
        run(started_at=to_text(NOW - timedelta(hours=hours)), slot=None, is_simulated=hours % 2 == 0,
            finished_at=to_text(NOW - timedelta(hours=hours) + timedelta(seconds=hours * 1.25)) if hours != 7 else None)
        for hours in (0, 1, 7, 23, 24, 25, 600)
    ]  # fmt: skip
    with (
        projects.fresh() as project,
        SupabaseStore(project.url, project.service_key, db_url=project.db_url) as store,
    ):
        for table, rows in catalog().items():
            store.write(table, rows)
        results = measurements(dice, runs)
        assert store.land_results(runs, results).landed == len(results)
        store.write("request_events", requests(dice))
        corrected = stable_id("price", "aurora/small/0")
        store.write(
            "repricings",
            [{"id": new_id(), "price_id": corrected, "input_price_per_m": figure, "output_price_per_m": 2 * figure, "reason": "wrong",
              "cached_input_price_per_m": None, "created_at": to_text(NOW - timedelta(hours=figure))} for figure in (3, 2)],
        )  # fmt: skip
        lake = Lake(tmp_path_factory.mktemp("both") / "lake")
        lake.extract(store)
        store.delete("runs", [runs[-1]["id"]])  # after the lake had its results
        extracted = lake.extract(store)
        assert extracted.rows["tombstones"] == 1
        score(lake, lake.directory.with_name("scoring"), NOW)
        yield Both(lake, project.db_url, {"run_id": runs[0]["id"], "provider": "aurora", "model": "LLAMA-3.1"})


def in_postgres(both: Both, name: str) -> Rows:
    with psycopg.connect(both.db_url, row_factory=psycopg.rows.dict_row) as connection:
        connection.execute("set timezone = 'UTC'")
        text = (HERE / f"{name}.sql").read_text("utf-8")
        return connection.execute(text.encode(), {"as_of": NOW, **both.values}).fetchall()


def plain(rows: Rows) -> Rows:
    """Values as both sides can mean them: ids as text, numbers as floats, times in UTC."""

    def one(value: Any) -> Any:
        match value:
            case UUID():
                return str(value)
            case Decimal():
                return float(value)
            case datetime():
                return value.astimezone(UTC)
            case _:
                return value

    return [{name: one(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("query", list_queries(), ids=lambda query: query.name)
def test_a_ready_query_answers_as_postgres_does(query: Any, both: Both) -> None:
    asked = {name: both.values[name] for name in query.parameters}
    ours = plain(run_query(both.lake, query.name, NOW, asked).to_pylist())
    theirs = plain(in_postgres(both, query.name))
    assert len(theirs) > 1, "a question without an answer proves nothing"
    # Totals are added as decimals of 12 places here, as floats there.
    expected = [
        {name: pytest.approx(value, rel=1e-6 if name == "total_cost_usd" else 1e-9) if isinstance(value, float) else value
         for name, value in row.items()}
        for row in theirs
    ]  # fmt: skip
    assert ours == expected
    assert [list(row) for row in ours] == [list(row) for row in theirs], "the same columns in the same order"


def test_every_ready_query_has_its_question_in_postgres() -> None:
    assert {path.stem for path in HERE.iterdir()} == {query.name for query in list_queries()}


def test_three_strange_days_are_found_and_ordinary_ones_are_not(both: Both) -> None:
    found = [row for row in in_postgres(both, "anomalies_30d") if row["model"] == "aurora/steady"]
    days = {(NOW.date() - row["day"]).days: row["measure"] for row in found}
    assert days == {3: "latency_ms", 5: "error_rate", 8: "cost_usd"}
