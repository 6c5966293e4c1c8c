"""What must be true after any number of kills, once everything is settled: looked up in the files, not asked of the program."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from analytics.lake import Lake
from analytics.routing.published import SnapshotUnreadable, read_published
from analytics.scoring import score
from analytics.store.journal import parse
from flows.settings import Home, Settings
from flows.warehouse import make_store

Findings = dict[str, list[str]]

_MEASURED = {"ok", "failed", "incomplete"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was counted, and under each sentence of what is wrong the things that it is wrong of."""

    runs: int
    outcomes: Mapping[str, int]
    calls: int
    findings: Findings


def plans_in_the_spool(spool: Path) -> set[str]:
    """The ids that runs in the spool have planned; for a moment in which no run is alive."""
    files = [parse(path.read_bytes()) for path in spool.glob("*.jsonl")]
    return {record["row"]["id"] for contents in files for record, _ in contents.lines if record["kind"] == "plan"}


def judge(settings: Settings, log: Sequence[Mapping[str, Any]], planned: set[str]) -> Verdict:
    """Compare the plans, the simulated providers' log, the store, the lake and the snapshot."""
    home = settings.home
    with make_store(settings) as store:
        runs = store.read_all("runs")
        rows = store.read("benchmark_results", limit=10_000_000).rows
    lake = Lake(home.lake)
    in_lake = lake.read("benchmark_results").rows.select(["id", "outcome"]).to_pylist()
    calls = Counter(str(entry["request_id"]) for entry in log if entry["event"] == "received" and _is_paid(entry))
    findings = {
        **_places("the store", rows, planned),
        **_places("the lake", in_lake, planned),
        **_calls(rows, calls),
        **_runs(runs, rows),
        "in the store and the lake with another outcome": _differing(rows, in_lake),
        "corrupt in the lake": list(lake.verify()),
        "left in the spool": [path.name for path in home.spool.rglob("*.jsonl")],
        "logged as an error": _errors(home.logs),
        "scored otherwise than by a computation from nothing": _misscored(home, lake),
    }
    outcomes = Counter(row["outcome"] for row in rows)
    return Verdict(len(runs), outcomes, calls.total(), {what: found for what, found in findings.items() if found})


def _is_paid(entry: Mapping[str, Any]) -> bool:
    return not str(entry["path"]).endswith("/models")


def _places(where: str, rows: Iterable[Mapping[str, Any]], planned: set[str]) -> Findings:
    """Every planned result stands there once, and nothing else does."""
    there = Counter(row["id"] for row in rows)
    return {
        f"planned, but not in {where}": sorted(planned - there.keys()),
        f"in {where}, but never planned": sorted(there.keys() - planned),
        f"more than once in {where}": sorted(result_id for result_id, count in there.items() if count > 1),
    }


def _calls(rows: Sequence[Mapping[str, Any]], calls: Counter[str]) -> Findings:
    """Every call has a row that admits it, no id was called twice, and nothing was measured without a call."""
    outcomes = {row["id"]: row["outcome"] for row in rows}
    return {
        "called, but without a row": sorted(calls.keys() - outcomes.keys()),
        "called, but its row says skipped": sorted(name for name in calls if outcomes.get(name) == "skipped"),
        "called more than once": sorted(name for name, count in calls.items() if count > 1),
        "measured, but never called": sorted(
            name for name, outcome in outcomes.items() if outcome in _MEASURED and name not in calls
        ),
    }


def _runs(runs: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> Findings:
    """Every run has an end and as many results as it planned, one for each question to each model."""
    of_run = Counter(row["run_id"] for row in rows)
    asked = Counter((row["run_id"], row["model"], row["benchmark_id"], row["repeat"]) for row in rows)
    return {
        "a run without an end": [run["id"] for run in runs if run["finished_at"] is None],
        "a run with more or fewer results than planned": [
            f"{run['id']} ({of_run[run['id']]} of {run['planned']})"
            for run in runs
            if of_run[run["id"]] != run["planned"]
        ],
        "results of a run that is not there": sorted(of_run.keys() - {run["id"] for run in runs}),
        "landed twice": [" ".join(map(str, request)) for request, count in asked.items() if count > 1],
    }


def _differing(rows: Iterable[Mapping[str, Any]], in_lake: Iterable[Mapping[str, Any]]) -> list[str]:
    outcomes = {row["id"]: row["outcome"] for row in rows}
    return sorted(row["id"] for row in in_lake if outcomes.get(row["id"], row["outcome"]) != row["outcome"])


def _errors(logs: Path) -> list[str]:
    lines = [line for path in sorted(logs.glob("*.log")) for line in path.read_text("utf-8").splitlines()]
    return [line for line in lines if json.loads(line)["level"] == "error"]


def _misscored(home: Home, lake: Lake) -> list[str]:
    """The last snapshot, made of partials that survived the kills, is byte for byte the one that needs none of them."""
    try:
        published = read_published(home.scoring, "CURRENT-simulated", verify=True)
        name, as_of = published.snapshot_id, datetime.fromisoformat(published.meta["as_of"])
    except SnapshotUnreadable as error:
        if error.cause != "missing":
            return [str(error)]
        name, as_of = None, datetime.now(UTC)  # right if there is nothing to score
    with TemporaryDirectory() as scratch:
        anew = score(lake, Path(scratch), as_of).snapshots.get("simulated")
    return [] if anew == name else [f"{name} instead of {anew}"]
