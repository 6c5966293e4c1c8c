"""`scorehouse prices`, as its user runs it."""

from typing import Any

import pytest
from e2e.conftest import Run
from house import AURORA, CASCADE, House

from analytics.store import new_id

MINI = f"{AURORA}/aurora-mini"


def quarantine(house: House, **given: Any) -> str:
    """A price of the model that was put into quarantine just now; its id."""
    (model,) = house.rows("models", key=MINI)
    row = {"id": new_id(), "provider_id": model["provider_id"], "model_id": model["id"], "input_price_per_m": 900.0, "output_price_per_m": 900.0,
           "source": "simulated", "quarantine_reason": "a leap", "timestamp": "2999-01-01T00:00:00.000000Z", **given}  # fmt: skip
    with house.store() as store:
        store.write("prices", [row])
    return str(row["id"])


def test_the_list_tells_every_models_price_and_whose_word_it_is(run: Run, house: House) -> None:
    house.ready(AURORA, CASCADE)
    run("models", "add", f"{AURORA}/mystery")
    rows = {row["model"]: row for row in run("prices", "list", "--json").lines}
    assert len(rows) == 6
    assert rows[MINI] == {
        "model": MINI, "provider": AURORA, "input_price_per_m": 0.1, "output_price_per_m": 0.4, "cached_input_price_per_m": None,
        "source": "simulated", "is_estimated": False, "price_id": rows[MINI]["price_id"],
    }  # fmt: skip
    unknown = rows[f"{AURORA}/mystery"]
    assert [unknown[name] for name in ("input_price_per_m", "source", "is_estimated", "price_id")] == [None] * 4
    assert {row["provider"] for row in run("prices", "list", "--provider", CASCADE, "--json").lines} == {CASCADE}
    assert [row["model"] for row in run("prices", "list", "--model", "RA-MINI", "--json").lines] == [MINI]
    table = run("prices", "list")
    assert table.code == 0
    assert "unknown" in next(line for line in table.out.splitlines() if "mystery" in line)
    assert "simulated" in next(line for line in table.out.splitlines() if MINI in line)


def test_an_unknown_price_says_so_wherever_a_model_is_shown(run: Run, house: House) -> None:
    house.ready(AURORA)
    model = f"{AURORA}/mystery"
    run("models", "add", model)
    listed = next(line for line in run("models", "list").out.splitlines() if "mystery" in line)
    assert "unknown" in listed
    assert f"Its price is unknown; 'scorehouse prices set {model}' sets one." in run("models", "show", model).err
    assert run("models", "show", model, "--json").json["pricing_input"] is None
    assert "is unknown" in run("prices", "show", model).err
    assert run("bench", "--dry-run", "--json").json["models_without_price"] == [model]


def test_an_estimate_is_called_one(run: Run, house: House) -> None:
    house.ready(AURORA)
    (model,) = house.rows("models", key=MINI)
    (price,) = house.rows("prices", model_id=model["id"])
    with house.store() as store:
        library = {"source": "genai-prices", "source_version": "0.2.3", "matched_model": "mini-2"}
        store.write("prices", [{**price, **library}])
    assert "genai-prices (estimated)" in next(line for line in run("prices", "list").out.splitlines() if MINI in line)
    listed = next(line for line in run("models", "list").out.splitlines() if MINI in line)
    assert "~0.1 " in listed
    assert "~0.4 " in listed
    (row,) = run("prices", "list", "--model", MINI, "--json").lines
    assert row["is_estimated"] is True
    shown = run("prices", "show", MINI, "--json").json["history"][0]
    assert (shown["source_version"], shown["matched_model"]) == ("0.2.3", "mini-2")
    assert run("models", "show", MINI, "--json").json["is_price_estimated"] is True


def test_a_setting_for_a_model_that_is_not_there_is_told(run: Run, house: House) -> None:
    house.ready(AURORA)
    (house.home.parent / "scorehouse.toml").write_text(
        '[prices."sim-aurora/aurora-mimi"]\ninput_price_per_m = 1\noutput_price_per_m = 1\n'
    )
    assert "sim-aurora/aurora-mimi" in run("prices", "list").err


def test_set_and_clear_and_the_history_between(run: Run, house: House) -> None:
    house.ready(AURORA)
    done = run("prices", "set", MINI, "--input", 1, "--output", 2, "--cached-input", 0.5, "--json")
    assert (done.code, done.json["source"], done.json["cached_input_price_per_m"]) == (0, "admin", 0.5)
    house.sync()
    assert run("prices", "list", "--model", MINI, "--json").lines[0]["input_price_per_m"] == 1
    assert run("route", "--max-tier", "low", "--json").code in {0, 3}
    cleared = run("prices", "clear", MINI, "--json").json
    assert (cleared["source"], cleared["input_price_per_m"]) == ("simulated", 0.1)
    document = run("prices", "show", MINI, "--json").json
    assert [(row["source"], row["input_price_per_m"], row["status"]) for row in document["history"]] == [
        ("simulated", 0.1, "in force"),
        ("admin", None, "past"),
        ("admin", 1.0, "past"),
        ("simulated", 0.1, "past"),
    ]
    table = run("prices", "show", MINI)
    assert (table.code, "in force" in table.out) == (0, True)


def test_a_quarantined_price_is_shown_and_counts_once_it_is_accepted(run: Run, house: House) -> None:
    house.ready(AURORA)
    price = quarantine(house)
    (row,) = run("prices", "list", "--quarantined", "--json").lines
    assert (row["price_id"], row["model"], row["quarantine_reason"]) == (price, MINI, "a leap")
    assert "a leap" in run("prices", "list", "--quarantined").out
    assert "1 in quarantine" in run("prices", "list").err
    assert run("status", "--json").json["prices"]["quarantined"] == 1
    assert run("prices", "show", MINI, "--json").json["history"][0]["status"] == "quarantined: a leap"
    accepted = run("prices", "accept", price, "--json").json
    assert (accepted["input_price_per_m"], accepted["source"]) == (900, "simulated")
    assert run("prices", "list", "--quarantined", "--json").lines == []
    assert run("models", "show", MINI, "--json").json["cost_tier"] == "premium"
    again = run("prices", "accept", price)
    assert (again.code, "is past" in again.err) == (2, True)


def test_a_correction_is_rehearsed_made_and_followed_by_scores_queries_and_exports(run: Run, house: House) -> None:
    house.ready(AURORA)
    run_id = run("bench", "--workload", "short", "--model", MINI, "--repeats", 2, "--json").json["run_id"]
    run("score")
    results = house.rows("benchmark_results")
    (price,) = {row["price_id"] for row in results}
    paid = sum(row["cost_usd"] for row in results)
    words = ("prices", "reprice", price, "--input", 1, "--output", 4, "--reason", "the page was read wrongly")
    rehearsal = run(*words, "--dry-run", "--json").json
    assert (rehearsal["results"], rehearsal["repricing_id"]) == (2, None)
    assert rehearsal["cost_usd_before"] == pytest.approx(paid)
    assert rehearsal["cost_usd_after"] == pytest.approx(10 * paid)
    assert house.rows("repricings") == []
    done = run(*words)
    assert done.code == 0
    assert "2 results cost" in done.err
    assert "still in force" in done.err
    run("score")
    (metric,) = house.rows("model_metrics", model=MINI)
    assert metric["cost_per_query"] == pytest.approx(10 * paid / 2)
    (day,) = house.rows("daily_aggregates")
    assert day["total_cost"] == pytest.approx(10 * paid)
    asked = run("query", "run_results", "--param", f"run_id={run_id}", "--json").lines
    assert sum(row["cost_usd"] for row in asked) == pytest.approx(10 * paid)
    assert sum(row["cost_usd"] for row in house.rows("benchmark_results")) == pytest.approx(paid)
    (fix,) = run("prices", "show", MINI, "--json").json["corrections"]
    assert (fix["reason"], fix["input_price_per_m"]) == ("the page was read wrongly", 1)
    assert "the page was read wrongly" in run("prices", "show", MINI).out
    second = run(*words, "--dry-run", "--json").json
    assert second["cost_usd_before"] == pytest.approx(10 * paid), "what it costs by the correction before"


def test_results_that_left_the_store_are_counted_too(run: Run, house: House) -> None:
    house.ready(AURORA)
    run("bench", "--workload", "short", "--model", MINI)
    run("score")
    (row,) = house.rows("benchmark_results")
    with house.store() as store:
        store.expire("benchmark_results", "2999-01-01T00:00:00.000000Z", store.read("benchmark_results").watermark)
    assert house.rows("benchmark_results") == []
    words = ("prices", "reprice", row["price_id"], "--input", 0, "--output", 0, "--reason", "it was free")
    assert run(*words, "--json").json["results"] == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("prices show nothing", "There is no model 'nothing'"),
        ("prices list --provider nobody", "There is no provider 'nobody'"),
        (f"prices set {MINI} --input 1", "'--output'"),
        (f"prices set {MINI} --input -1 --output 1", "'--input'"),
        (f"prices set {MINI} --input nan --output 1", "'--input'"),
        (f"prices set {MINI} --input 1 --output inf", "'--output'"),
        ("prices set nothing --input 1 --output 1", "There is no model 'nothing'"),
        (f"prices clear {MINI}", "No price of sim-aurora/aurora-mini was set by hand"),
        ("prices accept nothing", "There is no price 'nothing'"),
        ("prices reprice nothing --input 1 --output 1 --reason x", "There is no price 'nothing'"),
        ("prices reprice nothing --input 1 --output 1 --reason", "--reason"),
        ("prices reprice nothing --input 1 --output 1", "'--reason'"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(run: Run, house: House, words: str, sentence: str) -> None:
    house.ready(AURORA)
    before = house.rows("prices"), house.rows("repricings")
    ran = run(*words.split())
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert sentence in ran.err
    assert (house.rows("prices"), house.rows("repricings")) == before


def test_a_price_that_is_in_force_or_is_no_price_cannot_be_accepted(run: Run, house: House) -> None:
    house.ready(AURORA)
    (price,) = house.rows("catalog", id=MINI)
    ran = run("prices", "accept", price["price_id"])
    assert (ran.code, "not in quarantine" in ran.err) == (2, True)
    nothing = quarantine(house, input_price_per_m=None, output_price_per_m=None, quarantine_reason="'-999' is no price")
    ran = run("prices", "accept", nothing)
    assert (ran.code, "'-999' is no price" in ran.err, "prices set" in ran.err) == (2, True, True)
