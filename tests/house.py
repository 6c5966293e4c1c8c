"""A whole Scorehouse in a temporary folder, for tests of flows and of the command: real parts, simulated providers."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from analytics.store import Row, Store, now_text, stable_id
from flows.jobs.benchmark import BenchmarkReport, BenchmarkRequest, run_benchmark
from flows.jobs.progress import Progress
from flows.jobs.sync import SyncReport, sync_catalogs
from flows.settings import Settings, load_settings
from flows.warehouse import open_store
from providers.simulated import Simulated

AURORA, BOREALIS, CASCADE = "sim-aurora", "sim-borealis", "sim-cascade"


@dataclass
class House:
    """One home folder, and the simulated providers that it may register; `sections` override settings by section."""

    home: Path
    simulated: Simulated
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """As configured, with `sections` laid over it."""
        settings = load_settings(self.home)
        changed = {name: getattr(settings, name).model_copy(update=values) for name, values in self.sections.items()}
        return settings.model_copy(update=changed)

    def store(self) -> Store:
        return open_store(self.settings)

    def register(self, *keys: str, **columns: Any) -> None:
        """Add or change simulated providers (all without `keys`); `columns` replace what they say of themselves."""
        now = now_text()
        rows = [
            {"id": stable_id("provider", row["key"]), **row, "created_at": now, "updated_at": now, **columns}
            for row in self.simulated.providers
            if not keys or row["key"] in keys
        ]
        with self.store() as store:
            store.write("providers", rows)

    def add_gateway(self, key: str, *models: str, at: Simulated | None = None, **columns: Any) -> None:
        """A provider that is not marked simulated, wants a key, and in truth is the simulated Aurora."""
        now = now_text()
        row: Row = {
            "id": stable_id("provider", key), "key": key, "name": key, "provider_type": "openai",
            "base_url": f"http://127.0.0.1:{(at or self.simulated).port}/aurora/v1", "created_at": now, "updated_at": now, **columns,
        }  # fmt: skip
        known = [
            {"id": stable_id("model", f"{key}/{name}"), "key": f"{key}/{name}", "name": name, "provider_id": row["id"], "display_name": name,
             "is_active": True, "is_manual": True, "created_at": now, "updated_at": now}
            for name in models
        ]  # fmt: skip
        with self.store() as store:
            store.write("providers", [row])
            store.write("models", known)

    def misbehave(self, key: str, fault: str) -> None:
        """From now on everything that this provider answers has that fault."""
        (row,) = (row for row in self.simulated.providers if row["key"] == key)
        self.register(key, base_url=row["base_url"].replace("/v1", f"/fault/{fault}/v1"))

    def sync(self, *keys: str) -> list[SyncReport]:
        return asyncio.run(sync_catalogs(self.settings, keys))

    def ready(self, *keys: str) -> "House":
        """With these providers registered and their catalogs synced."""
        self.register(*keys)
        self.sync()
        return self

    def bench(self, progress: Progress | None = None, **request: Any) -> BenchmarkReport:
        """Measure; one short question to each model unless `request` says otherwise."""
        return asyncio.run(run_benchmark(self.settings, BenchmarkRequest(**{"workload": "short"} | request), progress))

    def rows(self, table: str, order: str | None = None, **filters: Any) -> list[Row]:
        with self.store() as store:
            return store.select(table, filters, order).items

    def asked(self, since: int) -> list[dict[str, Any]]:
        """What the simulated providers were asked to complete since the `since`th line of their log, as they saw it."""
        done = self.simulated.log()[since:]
        return [entry for entry in done if entry["event"] == "done" and entry["model"] is not None]

    @property
    def mark(self) -> int:
        """Where the simulated providers' log ends now."""
        return len(self.simulated.log())


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its bytes: two equal pictures say that nothing was written."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)
