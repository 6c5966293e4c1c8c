"""How long a sync of one provider's catalog takes into SQLite, and how much memory it needs at most.

    python benchmarks/catalog_sync.py [--models 1000 50000] [--json]

A server in a process of its own answers as OpenRouter does (one listing, about 1.5 KB a model) and as Anthropic does (pages of
1,000). Each sync runs in a new process as `scorehouse models sync` runs it: HTTP, reading the entries, the store, and the
configuration for the lookup. Seconds are those of the sync without the start of Python; the memory is the process's own
peak (`ru_maxrss`), imports included. A first sync fills an empty house, a second finds everything unchanged, a third finds
1 % of the models changed.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SHAPES = ("openrouter", "anthropic")
PAGE = 1000
PIECE = 16 << 10  # a chunk of the server's answer, as a proxy cuts it
ABOUT = (
    "A mixture-of-experts model for everyday work: it follows long instructions, calls tools, reads pictures and answers in "
    "forty languages. It was trained on public text, code and licensed books, and tuned for answers that are short and right. "
)


def openrouter_entry(number: int, *, is_changed: bool) -> dict[str, Any]:
    """One entry of about 1.5 KB with the fields of OpenRouter's listing."""
    price = 1 + number % 97 + (0.5 if is_changed else 0)
    name = f"vendor-{number % 50}/model-{number}"
    return {
        "id": name,
        "canonical_slug": f"{name}-2026",
        "hugging_face_id": f"{name}-instruct",
        "name": f"Vendor {number % 50}: Model {number}",
        "created": 1_700_000_000 + number,
        "description": f"{ABOUT * 2}\u2014 \u201cquick\u201d and na\u00efve",  # one such letter doubles a text in memory
        "context_length": 8192 << number % 6,
        "architecture": {
            "modality": "text+image->text",
            "input_modalities": ["text", "image"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": {
            "prompt": f"{price / 1e7:.8f}",
            "completion": f"{price / 2e6:.8f}",
            "request": "0",
            "image": "0",
            "web_search": "0",
            "internal_reasoning": "0",
        },
        "top_provider": {
            "context_length": 8192 << number % 6,
            "max_completion_tokens": 8192,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": [
            "frequency_penalty", "max_tokens", "presence_penalty", "response_format", "seed", "stop", "structured_outputs",
            "temperature", "tool_choice", "tools", "top_k", "top_p",
        ],
        "default_parameters": {"temperature": 0.7, "top_p": None, "frequency_penalty": None},
        "knowledge_cutoff": "2026-01-31",
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{name}/endpoints"},
    }  # fmt: skip


def anthropic_entry(number: int, *, is_changed: bool) -> dict[str, Any]:
    """One entry with the fields of Anthropic's listing."""
    can = {"supported": True}
    return {
        "type": "model",
        "id": f"model-{number}",
        "display_name": f"Model {number}{' (new)' if is_changed else ''}",
        "created_at": "2026-05-01T00:00:00Z",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": {
            "batch": can,
            "citations": can,
            "code_execution": {"supported": False},
            "context_management": can,
            "image_input": can,
            "pdf_input": can,
            "structured_outputs": None,
            "thinking": can,
        },
    }


def listing(shape: str, models: int, percent: int) -> list[bytes]:
    """The bodies that a server of this shape answers with, a page each; `percent` of the models are changed."""
    make = openrouter_entry if shape == "openrouter" else anthropic_entry
    entries = [make(number, is_changed=number % 100 < percent) for number in range(models)]
    if shape == "openrouter":
        return [json.dumps({"data": entries}, ensure_ascii=False).encode()]
    pages = [entries[start : start + PAGE] for start in range(0, models, PAGE)]
    return [
        json.dumps({"data": page, "has_more": page is not pages[-1], "first_id": page[0]["id"], "last_id": page[-1]["id"]}).encode()
        for page in pages
    ]  # fmt: skip


def serve(models: int) -> None:
    """Answer /SHAPE/PERCENT/.../models until standard input ends."""
    bodies: dict[tuple[str, int], list[bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            _, shape, percent, *_ = url.path.split("/")
            key = shape, int(percent)
            if key not in bodies:
                bodies[key] = listing(shape, models, int(percent))
            after = parse_qs(url.query).get("after_id", ["model--1"])[0]
            body = bodies[key][(int(after.rpartition("-")[2]) + 1) // PAGE if shape == "anthropic" else 0]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(body), PIECE):
                piece = body[start : start + PIECE]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Nothing."""

    for shape in SHAPES:
        for percent in (0, 1):
            bodies[shape, percent] = listing(shape, models, percent)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        import threading

        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


def sync(home: Path, base_url: str, shape: str) -> None:
    """One sync in this process; its figures on stdout."""
    from analytics.store import now_text, stable_id
    from flows.jobs.sync import sync_catalogs
    from flows.settings import load_settings
    from flows.warehouse import open_store

    settings = load_settings(home)
    now = now_text()
    with open_store(settings) as store:
        row = {"id": stable_id("provider", "bench"), "key": "bench", "name": "Bench", "provider_type": shape, "base_url": base_url,
               "created_at": now, "updated_at": now}  # fmt: skip
        store.write("providers", [row])
    before = resource.getrusage(resource.RUSAGE_SELF)
    began, cpu = time.perf_counter(), time.process_time()
    (report,) = asyncio.run(sync_catalogs(settings))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = report.to_dict()
    figures = {
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu_s, 2),
        "peak_mb": round(after.ru_maxrss / 1024),
        "start_mb": round(before.ru_maxrss / 1024),
    }
    names = ("models_discovered", "models_added", "models_updated", "models_vanished", "prices_changed", "error")
    print(json.dumps(figures | {name.removeprefix("models_"): found[name] for name in names}))


def run(models: int, shape: str) -> list[dict[str, Any]]:
    """The three syncs of one catalog, each in a process of its own."""
    here = [sys.executable, __file__]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([*here, "--serve", str(models)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        address = f"http://127.0.0.1:{int(server.stdout.readline())}/{shape}"
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        environment = {**kept, "HOME": folder, "SCOREHOUSE_DEV": "1", "BENCH_API_KEY": "sk-bench"}
        lines = []
        for name, percent in (("first", 0), ("unchanged", 0), ("1 % changed", 1)):
            command = [*here, "--sync", folder, f"{address}/{percent}/v1", shape]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, cwd=folder)
            lines.append({"models": models, "shape": shape, "sync": name, **json.loads(done.stdout)})
        server.stdin.close()
        server.wait()
    return lines


def main() -> None:
    """Run what was asked and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, nargs="+", default=[1000, 50_000])
    parser.add_argument("--shape", choices=SHAPES, nargs="+", default=SHAPES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sync", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    if given.sync:
        home, base_url, shape = given.sync
        sync(Path(home), base_url, shape)
        return
    if not given.json:
        print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors")
        print(
            f"{'models':>7}  {'shape':10}  {'sync':11}  {'s':>6}  {'CPU s':>6}  {'peak MB':>7}  {'start MB':>8}  added  updated  prices"
        )
    for models in given.models:
        for shape in given.shape:
            for line in run(models, shape):
                if given.json:
                    print(json.dumps(line), flush=True)
                    continue
                assert line["error"] is None, line["error"]
                print(
                    f"{line['models']:7}  {line['shape']:10}  {line['sync']:11}  {line['seconds']:6.2f}  {line['cpu_s']:6.2f}  "
                    f"{line['peak_mb']:7}  {line['start_mb']:8}  {line['added']:5}  {line['updated']:7}  {line['prices_changed']:6}",
                    flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
