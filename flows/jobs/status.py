"""Is the house in order? What can be reached, how fresh it is, and what waits."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from analytics.errors import AnalyticsError
from analytics.lake import EVENTS, Lake
from analytics.lake.reconcile import last_reconciliation
from analytics.routing.published import SnapshotUnreadable, read_published
from analytics.store import Store, from_text, now_text
from flows.budgets import owner_of, shown
from flows.freshness import freshness
from flows.settings import Settings
from flows.warehouse import open_spool, open_store

_NEARLY = 0.8  # so much of a budget used is worth a word
_RECONCILED_S = 2 * 86_400.0  # the comparison is daily
State = Literal["ok", "empty", "waiting", "stale", "failed"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the house; `figures` are its detail for a program."""

    name: str
    state: State
    detail: str
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HouseStatus:
    """All parts, in the order in which data flows through them."""

    parts: tuple[Part, ...]

    @property
    def is_healthy(self) -> bool:
        """Nothing failed; empty, waiting and stale are states of a house that works."""
        return all(part.state != "failed" for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return {"healthy": self.is_healthy} | {part.name: {"state": part.state, **part.figures} for part in self.parts}


def house_status(settings: Settings) -> HouseStatus:
    """Look at every part; what cannot be looked at is a part that failed, not an error."""
    now = datetime.now(UTC)
    try:
        with open_store(settings) as store:
            parts = [
                _store(store),
                _providers(store, now),
                _prices(store),
                _last_run(store, now),
                _budgets(store),
                _spool(settings),
                _lake(settings, store),
                _reconciliation(settings, now),
            ]
    except AnalyticsError as error:
        parts = [Part("store", "failed", str(error), {"error": str(error)}), _spool(settings)]
    parts += [_snapshot(settings, pointer, now) for pointer in ("CURRENT", "CURRENT-simulated")]
    return HouseStatus(tuple(parts))


def _store(store: Store) -> Part:
    began = time.perf_counter()
    results = store.select("benchmark_results", page=1, per_page=1).total
    query_ms = (time.perf_counter() - began) * 1000
    return Part(
        "store",
        "ok",
        f"{results} results, answers in {query_ms:.1f} ms",
        {"benchmark_results": results, "query_ms": round(query_ms, 3)},
    )


def _providers(store: Store, now: datetime) -> Part:
    rows = store.read_all("provider_registry")
    failing = [row for row in rows if row["is_active"] and row["last_sync_error"]]
    figures = {
        "providers": len(rows),
        "active": sum(bool(row["is_active"]) for row in rows),
        "last_sync_failed": [row["id"] for row in failing],
        "catalog_age_s": {
            row["id"]: freshness(row, now).to_dict()["catalog_age_s"] for row in rows if row["is_active"]
        },
    }
    if failing:
        said = ", ".join(f"{row['id']} (catalog {freshness(row, now)})" for row in failing)
        return Part("providers", "stale", f"last sync failed for {said}: the last known catalog is in use", figures)
    return Part("providers", "ok" if rows else "empty", f"{figures['active']} of {len(rows)} active", figures)


def _prices(store: Store) -> Part:
    active = store.select("catalog", {"is_active": True, "is_available": True}).items
    priced = sum(row["pricing_input"] is not None and row["pricing_output"] is not None for row in active)
    waiting = store.select("quarantined_prices", page=1, per_page=1).total
    figures = {"active_models": len(active), "priced": priced, "quarantined": waiting}
    detail = f"known for {priced} of {len(active)} active models"
    if waiting:
        detail += f"; {waiting} in quarantine: 'scorehouse prices list --quarantined'"
        return Part("prices", "waiting", detail, figures)
    return Part("prices", "ok" if active else "empty", detail, figures)


def _budgets(store: Store) -> Part:
    """Budgets that are used up, or nearly so: it is their purpose to refuse, so that is no failure."""
    moment = now_text()
    rows = [
        shown(row, moment)
        for row in store.select("budgets", {"is_active": True}, order="tenant_id,user_id,agent_id,period").items
    ]
    used = [(_used(row), row) for row in rows]
    over = [f"{owner_of(row)} ({row['period']})" for share, row in used if share >= 1]
    near = [f"{owner_of(row)} ({row['period']})" for share, row in used if _NEARLY <= share < 1]
    figures = {"budgets": len(rows), "over": over, "near": near}
    if not over and not near:
        return Part(
            "budgets",
            "ok" if rows else "empty",
            f"{len(rows)} set, none near its limit" if rows else "none set",
            figures,
        )
    said = [f"{what}: {', '.join(names)}" for what, names in (("used up", over), ("nearly used up", near)) if names]
    return Part("budgets", "waiting", "; ".join(said), figures)


def _used(row: Mapping[str, Any]) -> float:
    """The share of a budget that is used, of its USD or its requests, whichever is more; a limit of 0 is used up."""
    pairs = [
        (row["limit_usd"], row["spent_usd"] + row["reserved_usd"]),
        (row["requests_per_hour"], row["hour_requests"]),
    ]
    return max((used / limit if limit else 1.0 for limit, used in pairs if limit is not None), default=0.0)


def _last_run(store: Store, now: datetime) -> Part:
    runs = store.select("runs", order="-started_at", page=1, per_page=1).items
    if not runs:
        return Part("last_run", "empty", "nothing was measured yet", {})
    run = runs[0]
    age = (now - from_text(run["started_at"])).total_seconds()
    ended = "finished" if run["finished_at"] else "running"
    good = store.select("benchmark_results", {"run_id": run["id"], "success": True}, page=1, per_page=1).total
    figures = {"run_id": run["id"], "run_name": run["run_name"], "finished_at": run["finished_at"], "age_s": round(age)}
    figures |= {"planned": run["planned"], "ok": good}
    nothing_came = run["finished_at"] is not None and run["planned"] > 0 and good == 0
    detail = f"{run['run_name']}, {ended}, {good} of {run['planned']} requests ok, begun {age:.0f} s ago"
    return Part("last_run", "failed" if nothing_came else "ok", detail, figures)


def _unusable(name: str, folder: Path) -> Part | None:
    """The part that lies in a `folder` which cannot be listed; None if it can, or is not there yet."""
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except FileNotFoundError:
        return None
    except OSError as error:
        said = f"{folder}: {error.strerror or error}"
        return Part(name, "failed", said, {"error": said})
    return None


def _spool(settings: Settings) -> Part:
    if failed := _unusable("spool", settings.home.spool):
        return failed
    waiting = open_spool(settings).run_ids()
    if not waiting:
        return Part("spool", "ok", "empty: everything has landed", {"runs_waiting": 0})
    return Part(
        "spool",
        "waiting",
        f"{len(waiting)} under way, or to be settled by the next bench or score",
        {"runs_waiting": len(waiting)},
    )


def _lake(settings: Settings, store: Store) -> Part:
    if failed := _unusable("lake", settings.home.lake):
        return failed
    lake = Lake(settings.home.lake)
    try:
        manifest = lake.manifest()
    except AnalyticsError as error:
        return Part("lake", "failed", str(error), {"error": str(error)})
    watermarks = {table: manifest.table(table).watermark for table in EVENTS} if manifest.epoch == store.epoch() else {}
    behind = sum(day.rows for table in EVENTS for day in store.tally(table, watermarks.get(table)))
    if not manifest.tables:
        return Part("lake", "empty", f"{behind} rows to extract", {"rows_behind": behind})
    rows = sum(file.rows for table in EVENTS for file in manifest.table(table).files)
    return Part(
        "lake",
        "ok" if not behind else "waiting",
        f"{rows} event rows, {behind} behind the store",
        {"rows": rows, "rows_behind": behind},
    )


def _reconciliation(settings: Settings, now: datetime) -> Part:
    if failed := _unusable("reconciliation", settings.home.lake):
        return failed
    try:
        found = last_reconciliation(Lake(settings.home.lake))
    except AnalyticsError as error:
        return Part("reconciliation", "failed", str(error), {"error": str(error)})
    if found is None:
        return Part("reconciliation", "empty", "store and lake were not compared yet: prune does it", {})
    age = (now - from_text(found.at)).total_seconds()
    figures = {
        "days": found.days,
        "rows": found.rows,
        "pruned_days": found.pruned,
        "differences": [str(difference) for difference in found.differences],
        "age_s": round(age),
    }
    if found.differences:
        more = f" and {len(found.differences) - 1} more" if len(found.differences) > 1 else ""
        return Part("reconciliation", "failed", f"{found.differences[0]}{more}", figures)
    state: State = "stale" if age > _RECONCILED_S else "ok"
    return Part(
        "reconciliation",
        state,
        f"{found.rows} rows of {found.days} closed days are in the lake, {age:.0f} s ago",
        figures,
    )


def _snapshot(settings: Settings, pointer: str, now: datetime) -> Part:
    name = "snapshot" if pointer == "CURRENT" else "simulated_snapshot"
    if failed := _unusable(name, settings.home.scoring):
        return failed
    if not (settings.home.scoring / pointer).is_file():
        return Part(name, "empty", "none published", {})
    try:
        published = read_published(settings.home.scoring, pointer)
    except SnapshotUnreadable as error:
        return Part(name, "failed", str(error), {"error": str(error)})
    age = (now - from_text(published.meta["as_of"])).total_seconds()
    figures = {"snapshot_id": published.meta["snapshot_id"], "as_of": published.meta["as_of"], "age_s": round(age)}
    state: State = "stale" if age > settings.routing.stale_after_s else "ok"
    return Part(name, state, f"{published.meta['snapshot_id']}, {age:.0f} s old", figures)
