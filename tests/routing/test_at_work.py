"""The lookup answers while a snapshot is being read, however long that takes, and from millions of models."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from routing.publishing import point, publish
from routing.worlds import AS_OF, NOW_S, configure, further, model, score, scored

from analytics.routing import Lookup, RouteQuery


def test_questions_are_answered_while_the_next_snapshot_is_being_read(tmp_path: Path) -> None:
    """The next manifest is a pipe that nobody has written to yet: whoever reads it waits."""
    configure(tmp_path, [model("a/one", priority=80), model("b/two", priority=60)])
    first = scored(tmp_path, [score("a/one", 0.5, 100), score("b/two", 0.9, 100)])
    lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)
    (tmp_path / "scoring" / "next").mkdir()
    pipe = tmp_path / "scoring" / "next" / "manifest.json"
    os.mkfifo(pipe)
    point(tmp_path / "scoring", "next")
    reading = threading.Thread(target=lookup.reload, daemon=True)
    reading.start()
    writer = os.open(pipe, os.O_WRONLY)  # opens once the reader has
    try:
        for number in range(1_000):
            answer = lookup.route(RouteQuery(min_context=number))
            assert (answer.model, answer.snapshot_id, answer.reason_codes) == ("b/two", first.name, ("best_score",))
        assert reading.is_alive()
    finally:
        os.write(writer, b"{}")
        os.close(writer)
    reading.join(timeout=20)
    assert not reading.is_alive()
    answer = lookup.route()
    assert (answer.model, answer.snapshot_id) == ("b/two", first.name)
    assert "snapshot_corrupt" in answer.reason_codes


def test_when_evidence_turns_real_and_the_catalog_is_gone_the_old_answers_stay(tmp_path: Path) -> None:
    configuration = configure(tmp_path, [model("a/one"), model("s/one", is_simulated=True)])
    first = scored(tmp_path, [score("s/one", 0.9, 10)], simulated=True)
    lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)
    (configuration / "models.parquet").rename(tmp_path / "away")
    second = scored(tmp_path, [score("a/one", 0.9, 10)])
    lookup.reload()
    answer = lookup.route()
    assert (answer.model, answer.is_simulated, answer.snapshot_id) == ("s/one", True, first.name)
    assert any(code.startswith("configuration_") for code in answer.reason_codes)
    (tmp_path / "away").rename(configuration / "models.parquet")
    lookup.reload()
    answer = lookup.route()
    assert (answer.model, answer.is_simulated, answer.snapshot_id) == ("a/one", False, second.name)
    assert lookup.problems == ()


@pytest.mark.parametrize("size", [50_000, pytest.param(5_000_000, marks=pytest.mark.soak)])
def test_the_best_of_so_many_models_is_found_at_once(tmp_path: Path, size: int) -> None:
    """Each model is a hair better than the one before it, and dearer: limits move the answer to the last that passes."""
    numbers = np.arange(size)
    keys = [f"p{number % 20:02}/m{number:07}" for number in range(size)]
    constant = {
        "model_type": "chat",
        "cost_tier": "low",
        "is_available": True,
        "is_enabled": True,
        "is_simulated": False,
    }
    models = {
        "id": keys,
        "provider_id": [key[:3] for key in keys],
        "display_name": keys,
        "capabilities": [["text"]] * size,
        "domains": [["general"]] * size,
        "priority": np.full(size, 50),
        "ctx_length": numbers,
        "pricing_input": numbers / size,
        "pricing_output": numbers / size,
        **{name: [value] * size for name, value in constant.items()},
    }
    nobody = {name: pa.array([], pa.string()) for name in ("agent", "tenant_id", "model")}
    nobody |= {"is_enabled": pa.array([], pa.bool_()), "priority_override": pa.array([], pa.int64())}
    tasks = {"task_type": ["code"], "domain": ["coding"]}
    configuration = {"models": pa.table(models), "agent_models": pa.table(nobody), "task_domains": pa.table(tasks)}
    configuration |= further()
    about = {
        "kind": "configuration",
        "default_model": keys[0],
        "policies": {},
        "tie_delta": 0.0,
        "stale_after_s": 86_400,
    }
    publish(tmp_path / "configuration", "c1", configuration, **about)
    figures = (
        "quality_low",
        "quality_high",
        "usage_count",
        "requests",
        "failure_rate",
        "latency_p50_ms",
        "latency_p95_ms",
    )
    figures += ("ttft_p50_ms", "ttft_p95_ms", "tps_mean", "cost_per_query")
    scores = {
        "model": keys,
        "scope": ["overall"] * size,
        "evidence": ["benchmark"] * size,
        "quality": numbers / size,
        "quality_n": np.full(size, 100),
        "quality_se": np.full(size, 0.001),
        **{name: pa.nulls(size, pa.string()) for name in ("task_type", "agent", "tenant_id")},
        **{name: pa.nulls(size, pa.float64()) for name in figures},
        "window_days": pa.nulls(size, pa.int64()),
        "last_seen": pa.nulls(size, pa.timestamp("us", tz="UTC")),
    }
    publish(tmp_path / "scoring", "s1", {"routing_scores": pa.table(scores)}, is_simulated=False, as_of=AS_OF)
    lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)
    assert not lookup.problems
    lookup.route(RouteQuery(policy="best"))
    begun = time.thread_time()
    asked = [RouteQuery(policy="best", max_price={"prompt": number / 100}) for number in range(1, 100)]
    found = [lookup.route(query).model for query in asked]
    assert found == [keys[min(size - 1, size * number // 100)] for number in range(1, 100)]
    assert (time.thread_time() - begun) / len(asked) < 0.25
