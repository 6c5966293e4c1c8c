"""What a refresh costs as history grows: `python benchmarks/scoring.py [--millions 1 10 100] [--postgres] [--json]`.

2,000 models x 20 domains, by Zipf, 90 days, made straight as lake files (seeded), a day at a time. Side by side for each size:

* `decode`: pure Parquet decode of the columns that scoring reads;
* `decode and judge`: and arrays of the rows that count;
* `moments only`: and their exact moments by key and age ring. Decode is to be 50 % of it;
* `moments and histograms`: and their histograms, those of models over all domains too, in the state's files. Decode is to be 30 % of it;
* `rebuild`: and the tables by hour and day, the state committed, windows and quantiles, all marts, checks and publication. Its share of
  decode is printed too;
* refreshes after 10,000 new rows (the median of some in the same hour, and one when an hour has passed), and the highest resident memory.

Each size is measured in a process of its own; seconds are CPU of all threads, with the wall's behind them.

With `--postgres` the same rows are copied into a real PostgreSQL, and two cron jobs aggregate them there: the requirement's (means, rates
and variance of all rows), and a good one, with percentile_cont for median, p95 and p99 of latency and TTFT. Their seconds are the wall's, as the
server works elsewhere.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from analytics.lake import Lake
from analytics.lake.manifest import LakeFile, Manifest, TableFiles, write_manifest
from analytics.lake.schema import to_arrow
from analytics.scoring import score
from analytics.scoring.absorb import Fresh, contribute, contribute_moments
from analytics.scoring.reading import Corrections, read_rows
from analytics.scoring.refresh import ring_of_each
from analytics.scoring.rings import hour_of
from analytics.scoring.state import State

AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
MODELS, DOMAINS, DAYS, NEW = 2_000, 20, 90, 10_000
REFRESHES = 5
ROOT = Path(__file__).parents[1]
_US = 1_000_000
_TABLE = """
    create unlogged table model_metric_events (
        model text, domain text, latency_ms float8, ttft_ms float8, tokens_input int8, tokens_output int8, cost float8, success bool,
        benchmark_id text, correct bool, created_at timestamptz)
"""
_MEANS = """
    model, domain, avg(correct::int) filter (where benchmark_id is not null) as accuracy, avg(latency_ms) as latency_ms,
    avg(cost) as cost_per_query, avg((not success)::int) as failure_rate, var_samp(latency_ms) as variance,
    avg(tokens_output) as avg_output_length, avg(tokens_input + tokens_output) as tokens_per_query, count(*) as usage_count,
    max(created_at) as last_updated
"""
_PERCENTILES = ", ".join(
    f"percentile_cont(array[0.5, 0.95, 0.99]) within group (order by {column}) as {column}_p"
    for column in ("latency_ms", "ttft_ms")
)
CRONS = {
    "naive cron": f"create table naive as select {_MEANS} from model_metric_events group by model, domain",  # ours
    "good cron": f"create table good as select {_MEANS}, {_PERCENTILES} from model_metric_events group by model, domain",
}


def events(chance: np.random.Generator, rows: int, begin: datetime, seconds: float, prefix: str) -> pa.Table:
    """`rows` benchmark results of the `seconds` after `begin`, in the order of a lake file."""
    pair = chance.zipf(1.1, rows * 2) - 1
    pair = pair[pair < MODELS * DOMAINS][:rows]
    pair = np.concatenate([pair, chance.integers(0, MODELS * DOMAINS, rows - len(pair))])
    pair = pair * 7_919 % (MODELS * DOMAINS)
    model, domain = np.divmod(pair, DOMAINS)
    created = int(begin.timestamp() * _US) + chance.integers(0, max(1, int(seconds * _US)), rows)
    order = np.lexsort((created, domain, model))
    model, domain, created = model[order], domain[order], created[order]
    is_ok = chance.random(rows) < 0.97
    speed = np.exp(np.sin(model * 1.7) * 0.8)
    ttft = np.round(chance.lognormal(5.3, 0.4, rows) * speed, 2)
    total = np.round(ttft + chance.lognormal(6.8, 0.6, rows) * speed, 2)
    tokens = chance.integers(20, 900, rows)
    names = pa.array([f"maker-{number % 25:02}/model-{number:04}" for number in range(MODELS)])
    domains = pa.array([f"domain-{number:02}" for number in range(DOMAINS)])
    makers = pa.array([f"maker-{number:02}" for number in range(25)])
    outcomes = pa.array(["ok", "failed"])
    return pa.table(
        {
            "id": pa.array([f"{prefix}-{number:09}" for number in range(rows)]),
            "provider": makers.take(pa.array(model % 25)),
            "model": names.take(pa.array(model)),
            "is_simulated": pa.array(np.zeros(rows, np.bool_)),
            "domain": domains.take(pa.array(domain)),
            "benchmark_id": pa.array([f"q-{number:03}" for number in range(200)]).take(
                pa.array(chance.integers(0, 200, rows))
            ),
            "outcome": outcomes.take(pa.array((~is_ok).astype(np.int64))),
            "success": pa.array(is_ok),
            "input_tokens": pa.array(chance.integers(50, 2_000, rows)),
            "output_tokens": pa.array(tokens),
            "token_source": pa.array(["provider"]).take(pa.array(np.zeros(rows, np.int64))),
            "ttft_ms": pa.array(ttft, mask=~is_ok),
            "total_latency_ms": pa.array(total, mask=~is_ok),
            "inter_token_p50_ms": pa.array(np.round((total - ttft) / tokens, 2), mask=~is_ok),
            "tps": pa.array(np.round(tokens / (total - ttft) * 1000, 2), mask=~is_ok),
            "cost_usd": pa.array(np.round(tokens * 1.5e-6, 9), mask=~is_ok),
            "correct": pa.array(chance.random(rows) < 0.7, mask=~is_ok),
            "created_at": pa.array(created).cast(pa.timestamp("us", tz="UTC")),
        }
    )


class Made:
    """A lake of generated files."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(folder / "lake")
        self.scoring = folder / "scoring"
        self.files: list[LakeFile] = []
        self.chance = np.random.default_rng(16)

    def add(self, rows: int, begin: datetime, seconds: float) -> None:
        """One file of results."""
        table = events(self.chance, rows, begin, seconds, f"{len(self.files):05}")
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=122_880, compression="zstd", write_page_checksum=True)
        data = sink.getvalue()
        path = Path("benchmark_results") / f"dt={begin:%Y-%m-%d}" / f"part-{len(self.files):05}.parquet"
        whole = self.lake.directory / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(data)
        span = (begin, begin + timedelta(seconds=seconds))
        low, high = (f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}" for moment in span)
        self.files.append(LakeFile(path.as_posix(), hashlib.sha256(data).hexdigest(), rows, low, high))

    def commit(self) -> None:
        """Let the manifest name the files there are."""
        write_manifest(
            self.lake.directory / "manifest.json",
            Manifest("e", {"benchmark_results": TableFiles(1, tuple(self.files))}),
        )


def timed(step: Callable[[], Any]) -> dict[str, float]:
    """CPU (of all threads) and wall seconds of one step."""
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    return {"cpu_s": round(time.process_time() - cpu, 3), "wall_s": round(time.perf_counter() - wall, 3)}


def decode(made: Made) -> None:
    """Read and decode what scoring reads, and do nothing with it."""
    wanted = (
        "provider", "model", "is_simulated", "domain", "benchmark_id", "outcome", "input_tokens", "output_tokens", "token_source", "ttft_ms",
        "total_latency_ms", "inter_token_p50_ms", "tps", "cost_usd", "correct", "created_at",
    )  # fmt: skip
    texts = ["provider", "model", "domain", "benchmark_id", "outcome", "token_source"]
    for file in made.files:
        parquet = made.lake.open_file(file, dictionaries=texts)
        for first in range(0, parquet.num_row_groups, 8):
            parquet.read_row_groups(list(range(first, min(first + 8, parquet.num_row_groups))), columns=list(wanted))


def read_only(made: Made) -> None:
    """What decode does, and then arrays of what counts."""
    none = Corrections(frozenset(), to_arrow("repricings", ()))
    for file in made.files:
        for _ in read_rows(made.lake, "benchmark_results", file, none):
            pass


def moments_only(made: Made) -> None:
    """Read every file and add up its exact moments by key and age ring: a rebuild without histograms, marts and publication."""
    none = Corrections(frozenset(), to_arrow("repricings", ()))
    with tempfile.TemporaryDirectory(dir=made.lake.directory.parent) as place:
        state = State(Path(place), "", era=1, hour=hour_of(AS_OF))
        sink = Fresh(state)
        for file in made.files:
            for portion in read_rows(made.lake, "benchmark_results", file, none):
                contribute_moments(portion.rows, ring_of_each(portion.rows, state.hour), state.keys, sink)
        sink.settled()


def moments_and_histograms(made: Made) -> None:
    """What a rebuild does until the sums are whole: moments and histograms of all files, and of models over all domains; no day tables, no
    marts, no publication.
    """
    none = Corrections(frozenset(), to_arrow("repricings", ()))
    with tempfile.TemporaryDirectory(dir=made.lake.directory.parent) as place:
        state = State(Path(place), "", era=1, hour=hour_of(AS_OF))
        state.make_room()
        sink, keys = Fresh(state), state.keys
        for file in made.files:
            for portion in read_rows(made.lake, "benchmark_results", file, none):
                contribute(portion.rows, ring_of_each(portion.rows, state.hour), keys, sink)
        # every name is the model that it says it is
        keys.model_of = np.tile(np.arange(len(keys.names.values)), (2, 1))
        keys.domain_of = np.arange(len(keys.places.values))
        raw = np.flatnonzero(~keys.is_rollup)
        sink.finish(raw, keys.rollups(keys.kind[raw], keys.model()[raw]))


def peak_mb() -> int:
    """The highest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure(millions: float, folder: Path) -> dict[str, Any]:
    """All figures of one size."""
    made = Made(folder)
    rows = int(millions * 1e6)
    for day in range(DAYS):
        begin = (AS_OF - timedelta(days=DAYS - day)).replace(hour=0, minute=0)
        made.add(rows // DAYS, begin, 86_399.0)
    made.commit()
    found: dict[str, Any] = {"rows": rows, "files": len(made.files)}
    found["decode"] = timed(lambda: decode(made))
    found["decode and judge"] = timed(lambda: read_only(made))
    found["moments only"] = timed(lambda: moments_only(made))
    found["moments and histograms"] = timed(lambda: moments_and_histograms(made))
    found["peak MB before"] = peak_mb()
    found["rebuild"] = timed(lambda: score(made.lake, made.scoring, AS_OF))
    found["peak MB rebuild"] = peak_mb()
    each = []
    for number in range(REFRESHES):
        made.add(NEW, AS_OF.replace(minute=10 + number), 300.0)
        made.commit()
        each.append(timed(lambda: score(made.lake, made.scoring, AS_OF)))
    found["refresh"] = {name: statistics.median(one[name] for one in each) for name in each[0]}
    made.add(NEW, AS_OF.replace(minute=50), 300.0)
    made.commit()
    found["refresh, next hour"] = timed(lambda: score(made.lake, made.scoring, AS_OF + timedelta(hours=1)))
    found["peak MB"] = peak_mb()
    return found


def copied(made: Made) -> Iterator[bytes]:
    """The rows as CSV, in the columns of `model_metric_events`."""
    names = (
        "model", "domain", "total_latency_ms", "ttft_ms", "input_tokens", "output_tokens", "cost_usd", "success", "benchmark_id", "correct",
        "created_at",
    )  # fmt: skip
    for file in made.files:
        parquet = made.lake.open_file(file)
        for batch in parquet.iter_batches(columns=list(names)):
            sink = io.BytesIO()
            csv.write_csv(pa.table(batch).select(names), sink, csv.WriteOptions(include_header=False))
            yield sink.getvalue()


def measure_postgres(millions: float, folder: Path) -> dict[str, Any]:
    """The two cron jobs over the same rows."""
    sys.path.insert(0, str(ROOT / "tests"))
    psycopg, server = import_module("psycopg"), import_module("supabase_project.server")
    made = Made(folder)
    for day in range(DAYS):
        begin = (AS_OF - timedelta(days=DAYS - day)).replace(hour=0, minute=0)
        made.add(int(millions * 1e6) // DAYS, begin, 86_399.0)
    found: dict[str, Any] = {}
    with server.running() as running:
        running.execute("postgres", "create database bench")
        with psycopg.connect(running.url("bench", "supabase_admin"), autocommit=True) as connection:
            connection.execute("set work_mem = '256MB'")
            connection.execute(_TABLE)
            with connection.cursor().copy("copy model_metric_events from stdin with (format csv)") as copy:
                for data in copied(made):
                    copy.write(data)
            connection.execute("vacuum analyze model_metric_events")
            for name, sql in CRONS.items():
                begun = time.perf_counter()
                connection.execute(sql)
                found[name] = {"cpu_s": None, "wall_s": round(time.perf_counter() - begun, 3)}
    return found


def targets(sizes: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What was aimed at, what was wanted, and what came out."""
    lines = []
    for one in sizes:
        size, decoded = f"{one['rows'] / 1e6:g} M", one["decode"]["cpu_s"]
        lines += [
            (f"moments as a share of decode, {size}", ">= 50 %", f"{decoded / one['moments only']['cpu_s']:.0%}"),
            (
                f"histograms too, as a share of decode, {size}",
                ">= 30 %",
                f"{decoded / one['moments and histograms']['cpu_s']:.0%}",
            ),
            (f"rebuild, all published, as a share of decode, {size}", "-", f"{decoded / one['rebuild']['cpu_s']:.0%}"),
            (f"refresh after {NEW:,} rows, CPU / wall, {size}", "< 1 s", f"{shown(one['refresh'])} s"),
            (f"memory, {size}", "< 1,000 MB", f"{one['peak MB']:,} MB"),
        ]
        for cron, times in (("naive cron", 30), ("good cron", 100)):
            if cron in one:
                ratio = one[cron]["wall_s"] / one["refresh"]["cpu_s"]
                lines.append((f"{cron} against a refresh, {size}", f">= {times} x", f"{ratio:.1f} x"))
    if len(sizes) > 1:
        cpu, wall = (sizes[-1]["refresh"][name] / sizes[0]["refresh"][name] for name in ("cpu_s", "wall_s"))
        lines.append(("refresh, largest against smallest, CPU / wall", "<= 1.3 x", f"{cpu:.2f} / {wall:.2f} x"))
    return lines


def shown(value: Any) -> str:
    """A figure as text: CPU and wall seconds, or a number."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        cpu = "" if value["cpu_s"] is None else f"{value['cpu_s']:.2f} / "
        return f"{cpu}{value['wall_s']:.2f}"
    return f"{value:,}"


def main() -> None:
    """Measure each size in its own process and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--postgres", action="store_true", help="at up to 10 million rows, the cron jobs too")
    parser.add_argument("--folder", help="where the rows are made (100 million take 8 GB); default: the system's")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            step = measure_postgres if given.postgres else measure
            print(json.dumps(step(given.one, Path(folder))))
        return
    sizes = []
    for size in given.millions:
        figures: dict[str, Any] = {}
        for further in [[], ["--postgres"]] if given.postgres and size <= 10 else [[]]:
            place = ["--folder", given.folder] if given.folder else []
            command = [sys.executable, __file__, "--one", str(size), *further, *place]
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
            figures |= json.loads(done.stdout)
        sizes.append(figures)
        if given.json:
            print(json.dumps(figures), flush=True)
    if given.json:
        return
    print(f"{platform.platform()}, {os.cpu_count()} processors; CPU / wall seconds")
    for name in dict.fromkeys(name for one in sizes for name in one):
        print(f"{name:24}" + "".join(f"{shown(one.get(name)):>20}" for one in sizes))
    for claim, wanted, came in targets(sizes):
        print(f"{claim:54} {wanted:>12} {came:>14}")


if __name__ == "__main__":
    main()
