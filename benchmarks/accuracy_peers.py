"""Benchmark programs of others, run beside `measure_accuracy.py` by their commands where these are installed.

Each gets the truth server, so many streams and requests, and exports what it measured, request by request. The truth of each is
found by the request's id: aiperf sends it, guidellm notes the one that the events bear.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 600
# All text is one unknown token: the server says how many there were.
_TOKENIZER = {
    "tokenizer.json": {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "post_processor": None,
        "decoder": None, "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
    },
    "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """What a client measured of one request; `tps` is None when all tokens were read at once, `uncertainty_ms`
    where the client does not say.
    """

    ttft_ms: float
    total_ms: float
    tps: float | None
    uncertainty_ms: float | None = None
    source: str | None = None


def aiperf(url: str, streams: int, requests: int, folder: Path) -> Iterator[tuple[str, Sample]]:
    """By `aiperf profile`: its records of the requests that are no warm-up."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text('{"text": "Count."}\n', encoding="utf-8")
    _run(
        "aiperf", "profile", "--model", "truth", "--url", url.rpartition("/")[0],
        "--endpoint-type", "chat", "--custom-endpoint", f"/{url.rpartition('/')[2]}/v1/chat/completions", "--streaming",
        "--concurrency", streams, "--request-count", requests, "--warmup-request-count", streams,
        "--input-file", prompts, "--custom-dataset-type", "single_turn",
        "--use-server-token-count", "--tokenizer", _tokenizer(folder),
        "--no-gpu-telemetry", "--no-server-metrics", "--ui", "none", "--export-level", "records",
        "--artifact-dir", folder / "out",
    )  # fmt: skip
    for line in (folder / "out" / "profile_export.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["metadata"]["benchmark_phase"] == "profiling":
            found = {name: metric["value"] for name, metric in record["metrics"].items()}
            pace = found.get("output_token_throughput_per_user")
            yield (
                record["metadata"]["x_request_id"],
                Sample(found["time_to_first_token"], found["request_latency"], pace),
            )


def guidellm(url: str, streams: int, requests: int, folder: Path) -> Iterator[tuple[str, Sample]]:
    """By `guidellm run`: the requests of its one benchmark that are no warm-up and succeeded."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text('{"text": "Count."}\n' * (requests + streams), encoding="utf-8")
    report = folder / "benchmarks.json"
    _run(
        "guidellm", "run",
        "--backend", json.dumps({"kind": "openai_http", "target": url, "model": "truth", "validate_backend": False, "http2": False}),
        "--profile", json.dumps({"kind": "concurrent", "streams": [streams]}),
        "--constraint", json.dumps({"kind": "max_requests", "count": requests + streams}),
        "--data", json.dumps({"kind": "json_file", "path": str(prompts)}),
        "--tokenizer", json.dumps({"kind": "huggingface_auto", "model": str(_tokenizer(folder))}),
        "--output", json.dumps({"kind": "json", "path": str(report)}),
    )  # fmt: skip
    (benchmark,) = json.loads(report.read_text(encoding="utf-8"))["benchmarks"]
    done = sorted(benchmark["requests"]["successful"], key=lambda request: float(request["request_start_time"]))
    for request in done[streams:]:
        gap = request["inter_token_latency_ms"]
        total = request["request_latency"] * 1000
        yield request["response_id"], Sample(request["time_to_first_token_ms"], total, 1000 / gap if gap else None)


PEERS: Mapping[str, Callable[[str, int, int, Path], Iterator[tuple[str, Sample]]]] = {
    "aiperf": aiperf,
    "guidellm": guidellm,
}


def installed() -> list[str]:
    """The peers whose commands are there."""
    return [name for name in PEERS if shutil.which(name)]


def samples(name: str, url: str, streams: int, gap_ms: float, requests: int) -> dict[str, Sample]:
    """What a peer measured, by request id. Raises RuntimeError with its last words if its command fails."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        return dict(PEERS[name](f"{url}/gap_ms={gap_ms}", streams, requests, Path(folder)))


def _run(*command: Any) -> None:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=os.environ
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}")


def _tokenizer(folder: Path) -> Path:
    """A tokenizer that needs no download."""
    where = folder / "tokenizer"
    where.mkdir()
    for name, content in _TOKENIZER.items():
        (where / name).write_text(json.dumps(content), encoding="utf-8")
    return where
