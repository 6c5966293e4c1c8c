"""The main job by its commands: from an empty folder to a routing answer that rests on measured evidence."""

import json
from pathlib import Path

import pytest
from e2e.conftest import Run
from house import AURORA, BOREALIS, CASCADE, House


def test_the_main_job_from_an_empty_folder_to_an_answer(run: Run, house: House) -> None:
    for row in house.simulated.providers:
        added = run("providers", "add", row["key"], "--type", row["provider_type"], "--base-url", row["base_url"], "--simulated",
                    "--display-name", row["name"], "--json")  # fmt: skip
        assert (added.code, added.json["id"], added.json["is_simulated"]) == (0, row["key"], True)
    synced = run("models", "sync", "--json")
    assert {report["provider"]: report["models_added"] for report in synced.lines} == {
        AURORA: 3,
        BOREALIS: 3,
        CASCADE: 2,
    }
    assert len(run("models", "list", "--json").lines) == 8

    planned = run("bench", "--workload", "gold", "--sample", 1, "--dry-run", "--json").json
    assert (planned["requests"], planned["models_without_price"]) == (32, [])
    measured = run("bench", "--workload", "gold", "--sample", 1, "--concurrency", 4, "--json")
    assert measured.code == 0
    assert (measured.json["requests"], len(measured.json["models"]), measured.json["waiting"]) == (32, 8, 0)
    assert measured.json["cost_usd"] <= planned["at_most_usd"]
    assert "requests ok in" in measured.err

    scored = run("score", "--json").json
    assert scored["extracted"]["benchmark_results"] == 32
    answer = run("route", "--task", "code", "--json")
    assert answer.code == 0
    assert answer.json["is_simulated"] is True
    assert answer.json["snapshot_id"] == scored["snapshots"]["simulated"]
    assert answer.json["model"] in {row["id"] for row in run("models", "list", "--json").lines}
    assert answer.json["reasons"]
    shown = run("route", "--task", "code")
    assert answer.json["model"] in shown.out
    assert "simulated evidence" in shown.out

    status = run("status", "--json").json
    assert status["healthy"] is True
    assert status["store"]["benchmark_results"] == 32


def test_tables_are_for_people_and_json_is_for_programs(run: Run, house: House) -> None:
    house.ready(AURORA)
    table = run("bench", "--workload", "short")
    assert table.code == 0
    assert f"{AURORA}/aurora-mini" in table.out
    for column in ("latency p50 ms", "TTFT p50 ms", "tokens/s p50", "cost USD", "status"):
        assert column in table.out
    assert "ok, medians: latency " in table.err
    assert "(simulated providers)" in table.out
    run("score")
    documents = [
        ["providers", "show", AURORA], ["models", "show", f"{AURORA}/aurora-mini"], ["status"], ["prune", "--dry-run"], ["score"], ["route"],
        ["bench", "--workload", "short"], ["bench", "--dry-run"], ["providers", "test"],
    ]  # fmt: skip
    for words in documents:
        assert isinstance(run(*words, "--json").json, dict), words
    for words in (["providers", "list"], ["models", "list"], ["models", "sync"], ["query", "--list"]):
        assert all(isinstance(line, dict) for line in run(*words, "--json").lines), words


def test_a_sorted_answer_names_the_figure_of_each_of_its_models(run: Run, house: House) -> None:
    house.ready(AURORA)
    run("models", "add", f"{AURORA}/mystery")
    house.bench(models=tuple(f"{AURORA}/aurora-{name}" for name in ("mini", "plus")), workload="gold", sample=2)
    run("score")
    measured = {row["model"]: row for row in run("query", "model_performance_24h", "--json").lines}

    def said(*words: str) -> dict[str, str]:
        answer, out = run("route", *words, "--json").json, run("route", *words).out.splitlines()
        lines = {
            key: line
            for key in (answer["model"], *(row["model"] for row in answer["fallbacks"]))
            for line in out
            if key in line
        }
        return {key.removeprefix(f"{AURORA}/aurora-"): line.partition(key)[2].partition(" score ")[0].strip() for key, line in lines.items()}  # fmt: skip

    price = said("--sort", "price", "--top", "9")
    assert (price["mini"], price["plus"]) == ("price $0.18 per 1M tokens", "price $4.38 per 1M tokens")
    assert price[f"{AURORA}/mystery"] == "price unknown"
    asked = said("--sort", "price", "--input-tokens", "1000", "--output-tokens", "500")
    assert asked["mini"] == "price $0.00030 for this query"
    tps = {
        name: f"throughput {measured[f'{AURORA}/aurora-{name}']['tps']:.0f} tokens a second on average"
        for name in ("mini", "plus")
    }
    assert {name: text for name, text in said("--sort", "throughput").items() if name in tps} == tps
    assert said("--sort", "latency")["mini"].startswith("latency ")
    best = run("route", "--sort", "quality", "--json").json
    known = f"quality {best['evidence']['quality']:.2f} out of 1"
    assert said("--sort", "quality")[best["model"].removeprefix(f"{AURORA}/aurora-")] == known
    assert said("--only", AURORA, "--policy", "cheapest", "--max-tier", "low")["mini"] == price["mini"], "the only one"
    assert set(said().values()) == {""}, "a policy that weighs has no such figure"


def test_a_query_says_of_what_its_figures_are_means(run: Run, house: House) -> None:
    house.ready(AURORA)
    house.bench()
    run("score")
    shown = run("query", "model_performance_24h").out.splitlines()
    assert shown[0].startswith("Mean latency, time to first token and speed by provider and model over the last 24 h")
    assert shown[1].startswith("provider ")


def test_every_ready_query_answers(run: Run, house: House, tmp_path: Path) -> None:
    house.ready(AURORA)
    run_id = run("bench", "--workload", "short", "--json").json["run_id"]
    live = tmp_path / "live.jsonl"
    lines = [{"model": "aurora-mini", "task_type": "code", "success": success} for success in (True, False)]
    live.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run("events", "import", live)
    run("score")
    values = {"run_id": run_id, "provider": AURORA, "model": f"{AURORA}/aurora-mini"}
    names = run("query", "--list", "--json").lines
    assert len(names) >= 10
    silent = set()
    for query in names:
        words = [word for name in query["parameters"] for word in ("--param", f"{name}={values[name]}")]
        ran = run("query", query["name"], *words, "--json")
        assert ran.code == 0, (query, ran.err)
        if not ran.lines:
            silent.add(query["name"])
        assert run("query", query["name"], *words).code == 0
    assert silent == {"anomalies_30d"}, "a first day has nothing to be unlike of"


def test_live_events_feedback_and_an_export(run: Run, house: House, tmp_path: Path) -> None:
    house.ready(AURORA)
    events = tmp_path / "events.jsonl"
    rows = [
        {"model": "aurora-mini", "task_type": "code", "success": True, "message_id": f"m{number}", "rating": 1}
        for number in range(3)
    ]
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("events", "import", events, "--json").json == {
        "requests": 3,
        "new_requests": 3,
        "ratings": 3,
        "new_ratings": 3,
        "unknown_models": [],
    }
    assert run("events", "import", events, "--json").json["new_requests"] == 0
    rated = run("feedback", "m1", "--signal", "regenerate", "--json").json
    assert (rated["model"], rated["rating"], rated["is_simulated"]) == (f"{AURORA}/aurora-mini", 0.0, True)
    named = run("feedback", "elsewhere", "--rating", "0.5", "--model", "aurora-code", "--tenant", "acme", "--json").json
    assert (named["model"], named["is_simulated"], named["tenant_id"]) == (f"{AURORA}/aurora-code", True, "acme")
    run("score")
    done = run("export", "feedback_events", "--out", tmp_path / "f.csv")
    assert done.code == 0
    assert done.out == ""
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 1 + 5


def test_what_an_admin_sets_counts_at_once(run: Run, house: House) -> None:
    house.ready(AURORA)
    run("bench", "--workload", "gold", "--sample", 1, "--concurrency", 4)
    run("score")
    best = run("route", "--json").json["model"]
    assert run("models", "disable", best).code == 0
    other = run("route", "--json").json["model"]
    assert other != best
    assert run("models", "enable", best).code == 0
    assert run("route", "--json").json["model"] == best
    assert run("models", "set", other, "--priority", 100, "--cost-tier", "free", "--capability", "audio").code == 0
    shown = run("models", "show", other, "--json").json
    assert (shown["priority"], shown["cost_tier"], shown["capabilities"]) == (100, "free", {"audio": "admin"})
    assert run("route", "--need", "audio", "--json").json["model"] == other
    assert run("providers", "disable", AURORA).code == 0
    assert run("route").code == 3
    assert run("bench").code == 1
    assert run("providers", "enable", AURORA).code == 0
    assert run("route").code == 0


def test_a_model_added_by_hand_is_measured_and_a_sync_leaves_it(run: Run, house: House) -> None:
    house.add_gateway("local", provider_type="custom")
    assert run("models", "add", "local/aurora-mini", "--input-price-per-m", 1, "--output-price-per-m", 2).code == 0
    measured = run("bench", "--workload", "short", "--json").json
    (one,) = measured["models"]
    assert one["cost_usd"] == (one["input_tokens"] + 2 * one["output_tokens"]) / 1e6
    assert run("models", "sync").code == 0
    shown = run("models", "show", "local/aurora-mini", "--json").json
    assert (shown["is_manual"], shown["pricing_output"], shown["is_simulated"]) == (True, 2.0, False)


@pytest.mark.parametrize("message", ["", " "])
def test_an_opinion_on_no_message_is_refused(run: Run, house: House, message: str) -> None:
    house.ready(AURORA)
    ran = run("feedback", message, "--rating", 1, "--model", f"{AURORA}/aurora-mini")
    assert (ran.code, "the message's id is empty" in ran.err) == (2, True)
    assert house.rows("feedback_events") == []


def test_a_house_without_models_says_how_to_get_some(run: Run) -> None:
    assert "'scorehouse models sync' asks the providers" in run("prices", "list").err
    assert "'scorehouse models sync' asks the providers" in run("models", "list").err
