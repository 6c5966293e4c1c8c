"""Watching a run: a table that fills on a terminal, a line per finished model elsewhere."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from flows import render
from flows.plan import make_plan
from flows.watch import Watch
from flows.workloads import Item, Workload
from providers.records import BenchmarkResult, Prompt

CATALOG = [
    {"id": f"p/{name}", "provider_id": "p", "external_id": name, "model_id": name, "is_simulated": True, "price_id": None, "pricing_input": None,
     "pricing_output": None, "pricing_cached_input": None, "is_price_estimated": None}
    for name in ("a", "b")
]  # fmt: skip
PLAN = make_plan(
    CATALOG, {"p": "1"}, Workload("w", "1", "prompt", "", (Item(Prompt("x")),)), repeats=2, seed=1, new_id=lambda: "1"
)


def result(model: str, **more: Any) -> BenchmarkResult:
    return BenchmarkResult(**{
        "id": "1", "run_id": "r", "provider_id": None, "model_id": None, "provider": "p", "model": model, "is_simulated": True, "workload_id": "w",
        "workload_version": "1", "outcome": "ok", "success": True, "ttft_ms": 10.0, "total_latency_ms": 20.0, "status_code": 200,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC)} | more)  # fmt: skip


def watched(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    """What stderr shows of a run of two models, two requests each, whose name is full of markup."""
    shown = io.StringIO()
    monkeypatch.setattr(render, "err", Console(file=shown, force_terminal=terminal, width=150))
    watch = Watch()
    watch.begin("[bold]run[/nope]\x1b[2J", PLAN)
    for model in ("p/a", "p/b", "p/a", "p/b"):
        watch.measured(result(model))
    watch.end()
    watch.end()
    return shown.getvalue()


class _Gone(io.StringIO):
    """A reader that has left."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_leaves_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "err", render.Terminal(file=_Gone(), width=150))
    watch = Watch()
    watch.begin("run", PLAN)
    for model in ("p/a", "p/b", "p/a", "p/b"):
        watch.measured(result(model))
    watch.end()
    assert watch.seen == 4


def test_elsewhere_than_on_a_terminal_each_finished_model_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = watched(monkeypatch, terminal=False).splitlines()
    assert first == "[bold]run[/nope]\N{REPLACEMENT CHARACTER}[2J: 4 requests, 2 models, 1 providers"
    assert [line.split(":")[0].strip() for line in others] == ["[1/2] p/a", "[2/2] p/b"]
    assert all("2 of 2 ok" in line for line in others)


def test_on_a_terminal_a_table_fills_and_goes_when_the_run_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = watched(monkeypatch, terminal=True)
    assert "p/a" in shown
    assert "2/2" in shown
    assert "4/4" in shown
    assert "[bold]run[/nope]" in shown
    assert "\x1b[2J" not in shown
