"""From the lake to published scores: what is new is added to the sums, what it touched is scored again, checked, and published."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analytics.lake import Lake
from analytics.routing.caps import USUAL_CAPS, VoteCaps
from analytics.routing.published import read_manifest, read_snapshot
from analytics.scoring import days as day_tables
from analytics.scoring.checks import run_checks
from analytics.scoring.history import HISTORY, TOTALS, history
from analytics.scoring.keys import Keys
from analytics.scoring.metrics import Metrics
from analytics.scoring.partials import Partials
from analytics.scoring.publish import Given, current, publish
from analytics.scoring.reading import Corrections
from analytics.scoring.refresh import Work, rebuild, refresh
from analytics.scoring.rings import hour_of
from analytics.scoring.state import State, StateDamaged
from analytics.scoring.tables import compute
from analytics.scoring.windows import totals

PUBLISHED = (
    "model_metrics",
    "model_metrics_by_window",
    "experience",
    "routing_scores",
    "daily_aggregates",
    "model_totals",
    "model_performance_history",
    "hourly_trends",
    "error_breakdown",
    "organization_daily",
    "price_history",
    "left_out",
    "unknown_models",
)
POINTERS = {False: "CURRENT", True: "CURRENT-simulated"}
_BY_WINDOW = "model_metrics_by_window"
_OWN = frozenset({_BY_WINDOW, HISTORY})  # made by ways of their own: their SQL says what they must come to
_DIMENSIONS = ("catalog", "task_domains", "providers", "models", "prices")


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What a refresh did.

    `snapshots` maps a kind of evidence (real, simulated) to the snapshot in force now, `tables` maps whether it is
    simulated to what was published, `rows` a table to its rows over both kinds, `rejects` a reason to rows that count nowhere (aborted
    and skipped ones too). `files_absorbed` and `rows_absorbed` are the lake files that were read because they were new or corrected,
    `is_rebuilt` says that all were. `corrupt` (files that were left out) and `warnings` are sentences.
    """

    snapshots: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    files_absorbed: int = 0
    rows_absorbed: int = 0
    is_rebuilt: bool = False
    corrupt: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    tables: Mapping[bool, Mapping[str, pa.Table]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def problems(self) -> tuple[str, ...]:
        """What somebody should look at."""
        return (*self.corrupt, *self.warnings)


HALF_LIFE_DAYS = 60.0


def score(
    lake: Lake,
    scoring_dir: Path,
    as_of: datetime,
    *,
    full: bool = False,
    half_life_days: float = HALF_LIFE_DAYS,
    caps: VoteCaps = USUAL_CAPS,
) -> ScoreReport:
    """Refresh the scores as of a moment and publish them; `full` adds everything up anew; a rating counts half as much
    in the learned experience every `half_life_days`; `caps` keep anybody from shouting others down.

    A kind of evidence (real, simulated) is published when some of it counts, or once did: then without rows. Real requests and
    ratings of which the catalog knows no model wait while there is simulated evidence. Every check runs on both
    before either is published. Raises LeaseHeld, CheckFailed, Corrupt (the lake's manifest), ValueError (`as_of` without a
    time zone, or a half-life of no length), OSError; the old snapshots stay then.
    """
    if not half_life_days > 0:
        raise ValueError(f"half_life_days is {half_life_days}; it must be more than 0")
    if as_of.tzinfo is None:
        raise ValueError(f"as_of {as_of.isoformat()} has no time zone")
    begun = time.monotonic()
    with lake.lease():
        run = _Run(lake, Path(scoring_dir), as_of.astimezone(UTC), {"half_life_days": half_life_days, **asdict(caps)})
        try:
            scored, warnings, snapshots = run.publish(full=full)
        except StateDamaged:
            scored, warnings, snapshots = run.publish(full=True)
        tables = {kind: _Tables(given, run.directory, snapshots.get(_name(kind))) for kind, given in scored.items()}
    return ScoreReport(
        snapshots=snapshots,
        rows={name: sum(tables[kind].rows(name) for kind in scored) for name in PUBLISHED},
        rejects=_rejects(scored),
        files_absorbed=run.work.files,
        rows_absorbed=run.work.rows,
        is_rebuilt=run.is_rebuilt,
        corrupt=tuple(run.corrupt),
        warnings=tuple(warnings),
        seconds=time.monotonic() - begun,
        tables=tables,
    )


class _Tables(Mapping[str, pa.Table]):
    """Tables by name; those that lie in parts are read from the snapshot when they are asked for."""

    def __init__(self, given: Mapping[str, Given], directory: Path, snapshot_id: str | None) -> None:
        self._given = dict(given)
        self._snapshot = None if snapshot_id is None else directory / snapshot_id

    def __getitem__(self, name: str) -> pa.Table:
        given = self._given[name]
        if isinstance(given, pa.Table):
            return given
        if self._snapshot is not None:
            return read_snapshot(self._snapshot, only=[name]).tables[name]
        return pa.concat_tables(given.make(list(given.of)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def rows(self, name: str) -> int:
        given = self._given[name]
        if isinstance(given, pa.Table) or self._snapshot is None:
            return int(self[name].num_rows)
        return int(read_manifest(self._snapshot)["tables"][name]["rows"])


class _Run:
    """One refresh: what it reads, and what comes of it. Only for the holder of the lake's lease."""

    work: Work

    def __init__(self, lake: Lake, directory: Path, as_of: datetime, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._lake, self.directory, self._as_of = lake, directory, as_of
        self._manifest = lake.manifest()
        self._read: list[str] = []
        self.is_rebuilt = False
        self._given = {name: self._load(name) for name in (*_DIMENSIONS, "repricings")}
        deleted = self._load("tombstones").column("run_id").to_pylist()
        self._deleted = frozenset(deleted)
        self._feedback = Partials(directory / "partials").all_days(lake, self._manifest)
        self._read += self._feedback.corrupt
        self._given["day_votes"] = self._feedback.tables["day_votes"]
        self._named: dict[bool, dict[str, pa.Table]] = {}
        self.to_check: dict[bool, dict[str, pa.Table]] = {}

    @property
    def corrupt(self) -> list[str]:
        return [*self._read, *self.work.corrupt]

    def score(self, *, full: bool) -> dict[bool, dict[str, Given]]:
        """The tables of each kind that has anything to say; raises `StateDamaged` unless everything is made anew (`full`)."""
        place, program, hour = self.directory / "state", day_tables.program(), hour_of(self._as_of)
        before = -1
        if full:
            corrections = Corrections(self._deleted, self._given["repricings"])
            self.work = rebuild(self._lake, self._manifest, place, program, hour, corrections, self._resolve)
        else:
            state = State.open(place, program)
            before = state.generation
            # Corrections are never taken back: those that cannot be read any more still hold.
            corrections = Corrections(self._deleted | state.deleted, self._given["repricings"])
            self.work = refresh(self._lake, self._manifest, state, hour, corrections, self._resolve)
        self.is_rebuilt = full
        metrics = Metrics(place, before)
        self._tables = self._evidence()
        return {
            kind: self._tables_of(kind, metrics)
            for kind, pointer in POINTERS.items()
            if self._has_rows(kind) or current(self.directory, pointer)
        }

    def publish(self, *, full: bool) -> tuple[dict[bool, dict[str, Given]], list[str], dict[str, str]]:
        """The tables of each kind, the warnings of their checks, and the snapshots by name; raises as `score` does.

        Some of what the state holds is read by publication alone: that it is damaged may show as late as that.
        """
        scored = self.score(full=full)
        warnings = [
            f"{_name(kind)}: {one}" for kind in scored for one in run_checks(self.to_check[kind], self.values(kind))
        ]
        # Rows that count nowhere are reported, but make no snapshot, and neither do real requests to models that nobody knows
        # beside simulated evidence: no question could be answered from them, and they would hide the simulated snapshot.
        snapshots = {
            _name(kind): publish(self.directory, given, self.meta(kind), POINTERS[kind])
            for kind, given in scored.items()
            if current(self.directory, POINTERS[kind])
            or (self.counts(kind) and (kind or self.is_known(kind) or not self.counts(True)))
        }
        return scored, warnings, snapshots

    def values(self, kind: bool) -> dict[str, Any]:
        """What the SQL of that kind wants bound."""
        return {"is_simulated": kind, "as_of": self._as_of, **self._settings}

    def meta(self, kind: bool) -> dict[str, Any]:
        """What the snapshot's manifest says besides its tables."""
        return {
            "kind": "scoring",
            "is_simulated": kind,
            "as_of": self._as_of.isoformat(timespec="microseconds"),
            "inputs": {"files": len(self.work.state.ledger), "corrupt": self.corrupt},
        }

    def counts(self, kind: bool) -> bool:
        """Whether any row of that kind counts."""
        return any(_has(self._tables[name], kind) for name in ("seen_keys", "day_votes"))

    def is_known(self, kind: bool) -> bool:
        """Whether any row of that kind was measured by a benchmark, or names a model that the catalog knows."""
        seen = self._tables["seen_keys"]
        measured = seen.filter((pc.field("is_simulated") == kind) & (pc.field("source") == "benchmark"))
        return bool(measured.num_rows) or True in self._named[kind]["model_names"].column("is_known").to_pylist()

    def _has_rows(self, kind: bool) -> bool:
        return self.counts(kind) or _has(self._tables["day_left_out"], kind)

    def _load(self, table: str) -> pa.Table:
        reading = self._lake.load_all(table, self._manifest.table(table).files)
        self._read += reading.corrupt
        return reading.rows

    def _resolve(self, keys: Keys) -> None:
        """Ask model_names.sql and event_domains.sql what is meant by the names seen so far."""
        tables = {"seen_keys": keys.seen(), **self._given}
        for kind in POINTERS:
            self._named[kind] = compute(("model_names", "event_domains"), tables, self.values(kind))
            keys.resolve(int(kind), self._named[kind]["model_names"], self._named[kind]["event_domains"])

    def _evidence(self) -> dict[str, pa.Table]:
        state = self.work.state
        left_out = [
            {"source": source, "is_simulated": kind, "reason": reason, "rows_left_out": rows, "example_id": example}
            for entry in state.ledger.values()
            for source, kind, reason, rows, example in entry.left_out
        ]
        of_feedback = self._feedback.tables["day_left_out"]
        return {
            **self._given,
            "seen_keys": state.keys.seen(),
            "day_left_out": pa.concat_tables([of_feedback, pa.Table.from_pylist(left_out, schema=of_feedback.schema)]),
            **{name: self._of_all_days(name) for name in day_tables.DAY_TABLES if name != TOTALS},
        }

    def _of_all_days(self, name: str) -> pa.Table:
        state = self.work.state
        files = state.tables.get(name, {})
        if name in day_tables.RECENT:
            first = f"{self._as_of - timedelta(days=day_tables.RECENT[name]):%Y-%m-%d}"
            files = {day: file for day, file in files.items() if day >= first[: len(day)]}
        found = [day_tables.read(state.directory, files[day]) for day in sorted(files)]
        return pa.concat_tables(found or [day_tables.empty(name)])

    def _tables_of(self, kind: bool, metrics: Metrics) -> dict[str, Given]:
        state, values = self.work.state, self.values(kind)
        tables = {**self._tables, **self._named[kind], "window_moments": totals(state, int(kind))}
        computed = metrics.refreshed(state, int(kind), self.work.touched)
        tables["window_metrics"] = computed.rows
        made = compute([*(name for name in PUBLISHED if name not in _OWN), "votes"], tables, values)
        parts = history(state, self._named[kind], made.pop("votes"), values)
        # What did not change was checked when it was computed.
        self.to_check[kind] = {**made, _BY_WINDOW: computed.by_window(kind, changed=True)}
        return {**made, _BY_WINDOW: computed.by_window(kind), HISTORY: parts}


def _has(table: pa.Table, kind: bool) -> bool:
    return kind in table.column("is_simulated").unique().to_pylist()


def _rejects(scored: Mapping[bool, Mapping[str, pa.Table]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for tables in scored.values():
        for row in tables["left_out"].to_pylist():
            total[row["reason"]] = total.get(row["reason"], 0) + row["rows_left_out"]
    return dict(sorted(total.items()))


def _name(kind: bool) -> str:
    return "simulated" if kind else "real"
