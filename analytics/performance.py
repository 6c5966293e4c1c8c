"""How models did: mean rating, use and latency of each, over everything or at one task and for one agent."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analytics.errors import Corrupt
from analytics.lake import Lake
from analytics.routing.published import Published, SnapshotUnreadable, read_published

_POINTERS = ("CURRENT", "CURRENT-simulated")
_REQUESTS = ("model", "task_type", "agent_id", "is_simulated", "success", "latency_ms")


def performance(
    lake_folder: Path, scoring_folder: Path, *, task: str | None = None, agent: str | None = None
) -> list[dict[str, Any]]:
    """A row per model with `avg_rating` (0..1), `rating_n`, `usage_count` and `avg_latency_ms`, the best rated first.

    Ratings are those of the newest snapshot (of real evidence where there is any), of `task` and of `agent` where named. Use
    and latency are of all requests: use all-time, latency of the successful ones of 90 days; with a task or an agent, of the live
    requests that the lake holds of it. What is unknown is None; [] before the first snapshot. Raises Corrupt.
    """
    published = _published(scoring_folder)
    if published is None:
        return []
    ratings = {row["model"]: row for row in _ratings(published.tables["experience"], task, agent)}
    if task is None and agent is None:
        used = _used(published)
    else:
        used = _live(Lake(lake_folder), task, agent, is_simulated=published.meta["is_simulated"])
    rows = [
        {
            "model": model,
            "avg_rating": ratings[model]["rating_mean"] if model in ratings else None,
            "rating_n": ratings[model]["rating_n"] if model in ratings else 0,
            "usage_count": used[model][0] if model in used else 0,
            "avg_latency_ms": used[model][1] if model in used else None,
        }
        for model in ratings.keys() | used.keys()
    ]
    return sorted(rows, key=lambda row: (-1 if row["avg_rating"] is None else row["avg_rating"], row["usage_count"], row["model"]), reverse=True)  # fmt: skip


def is_simulated_left_out(scoring_folder: Path) -> bool:
    """Whether there is simulated evidence too, which `performance` does not tell of because there is real one."""
    return all((scoring_folder / pointer).is_file() for pointer in _POINTERS)


def _published(scoring_folder: Path) -> Published | None:
    for pointer in _POINTERS:
        try:
            return read_published(scoring_folder, pointer)
        except SnapshotUnreadable as error:
            if error.cause != "missing":
                raise Corrupt(f"the newest snapshot cannot be used: {error.path}: {error.detail}") from None
    return None


def _ratings(experience: pa.Table, task: str | None, agent: str | None) -> list[dict[str, Any]]:
    wanted = {"task_type": task, "agent": agent, "tenant_id": None}
    keep = pc.greater(experience["rating_n"], 0)
    for name, value in wanted.items():
        if name in experience.column_names:
            column = experience[name]
            same = pc.is_null(column) if value is None else pc.fill_null(pc.equal(column, value), fill_value=False)
            keep = pc.and_(keep, same)
    found: list[dict[str, Any]] = experience.filter(keep).select(["model", "rating_mean", "rating_n"]).to_pylist()
    return found


def _used(published: Published) -> dict[str, tuple[int, float | None]]:
    windows = published.tables["model_metrics_by_window"]
    recent = windows.filter(pc.and_(pc.equal(windows["window_name"], "90d"), pc.is_null(windows["domain"])))
    latency = dict(zip(recent["model"].to_pylist(), recent["latency_mean_ms"].to_pylist(), strict=True))
    scores = published.tables["routing_scores"]
    everyone = pc.and_(pc.equal(scores["scope"], "overall"), pc.is_valid(scores["usage_count"]))
    rows = scores.filter(everyone).select(["model", "usage_count"]).to_pylist()
    return {row["model"]: (row["usage_count"], latency.get(row["model"])) for row in rows}


def _live(
    lake: Lake, task: str | None, agent: str | None, *, is_simulated: bool
) -> dict[str, tuple[int, float | None]]:
    rows = lake.read("request_events", columns=_REQUESTS).rows
    keep = pc.equal(rows["is_simulated"], is_simulated)
    for name, value in (("task_type", task), ("agent_id", agent)):
        if value is not None:
            keep = pc.and_(keep, pc.fill_null(pc.equal(rows[name], value), fill_value=False))
    rows = rows.filter(keep)
    answered = pc.if_else(rows["success"], rows["latency_ms"], pa.scalar(None, pa.float64()))
    rows = rows.append_column("answered_ms", answered)
    counted = rows.group_by("model").aggregate([([], "count_all"), ("answered_ms", "mean")]).to_pylist()
    return {row["model"]: (row["count_all"], row["answered_ms_mean"]) for row in counted}
