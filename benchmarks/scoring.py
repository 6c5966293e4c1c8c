"""What a refresh costs as history grows: `python benchmarks/scoring.py [--millions 1 10 100] [--json]`.

2,000 models x 20 domains, by Zipf, 90 days, made straight as lake files (seeded), a day at a time. Printed for each size: pure Parquet decode of
the columns that scoring reads, full rebuild, refresh after 10,000 new rows in the same hour and after an hour has passed; CPU and wall
seconds, and the highest resident memory. Each size is measured in a process of its own.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.lake import Lake
from analytics.lake.manifest import LakeFile, Manifest, TableFiles, write_manifest
from analytics.lake.schema import to_arrow
from analytics.scoring import score
from analytics.scoring.reading import Corrections, read_rows

AS_OF = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
MODELS, DOMAINS, DAYS, NEW = 2_000, 20, 90, 10_000
_US = 1_000_000


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
    found["decode_and_judge"] = timed(lambda: read_only(made))
    found["rebuild"] = timed(lambda: score(made.lake, made.scoring, AS_OF))
    found["peak_mb_rebuild"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for number in range(2):
        made.add(NEW, AS_OF.replace(minute=10 + number), 300.0)
        made.commit()
        found[f"refresh_{number + 1}"] = timed(lambda: score(made.lake, made.scoring, AS_OF))
    made.add(NEW, AS_OF.replace(minute=50), 300.0)
    made.commit()
    found["refresh_next_hour"] = timed(lambda: score(made.lake, made.scoring, AS_OF + timedelta(hours=1)))
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found


def main() -> None:
    """Measure each size in its own process and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(given.one, Path(folder))))
        return
    for size in given.millions:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(size)], check=True, capture_output=True, text=True
        )
        figures = json.loads(done.stdout)
        if given.json:
            print(json.dumps(figures))
            continue
        print(f"{figures['rows']:>12,} rows, {figures['files']} files")
        for name, value in figures.items():
            print(f"    {name:20} {value}")


if __name__ == "__main__":
    main()
