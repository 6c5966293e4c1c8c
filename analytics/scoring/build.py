"""From the lake to published scores: day partials, merged windows, checks, one snapshot per kind of evidence."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analytics.lake import Lake, Manifest
from analytics.scoring.checks import run_checks
from analytics.scoring.partials import TABLES as PARTIALS
from analytics.scoring.partials import Partials
from analytics.scoring.publish import current, publish
from analytics.scoring.tables import compute

PUBLISHED = (
    "model_metrics",
    "model_metrics_by_window",
    "experience",
    "routing_scores",
    "daily_aggregates",
    "model_totals",
    "model_performance_history",
    "left_out",
    "unknown_models",
)
POINTERS = {False: "CURRENT", True: "CURRENT-simulated"}
_DIMENSIONS = ("catalog", "task_domains")
_COUNTED = ("hourly_moments", "day_votes")


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What a refresh did.

    `snapshots` maps a kind of evidence (real, simulated) to the snapshot in force now, `tables` maps whether it is
    simulated to what was published, `rows` a table to its rows over both kinds, `rejects` a reason to rows that count nowhere (aborted
    and skipped ones too). `corrupt` (files that were left out) and `warnings` are sentences.
    """

    snapshots: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    days_computed: int = 0
    days_reused: int = 0
    corrupt: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    tables: Mapping[bool, Mapping[str, pa.Table]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def problems(self) -> tuple[str, ...]:
        """What somebody should look at."""
        return (*self.corrupt, *self.warnings)


@dataclass(frozen=True, slots=True, eq=False)
class _Evidence:
    """All the day partials together with the dimensions they are read by; `digests` is of each day."""

    tables: dict[str, pa.Table]
    digests: dict[str, str]
    reused: int
    corrupt: tuple[str, ...]

    def has(self, kind: bool, *tables: str) -> bool:
        """Whether one of those partial tables has a row of that kind."""
        columns = (self.tables[name].column("is_simulated") for name in tables)
        return any(pc.any(pc.equal(column, kind), min_count=0).as_py() for column in columns)


HALF_LIFE_DAYS = 60.0


@dataclass(frozen=True, slots=True)
class VoteCaps:
    """How much of everyone's ratings of a model at a task one user and one tenant can make up (shares, 0..1; 1: all of it), and how
    many of them count in any case (of a tenant's, no more than the others' together).
    """

    user_share: float = 0.2
    user_votes: int = 5
    tenant_share: float = 0.2
    tenant_votes: int = 10


def score(
    lake: Lake,
    scoring_dir: Path,
    as_of: datetime,
    *,
    full: bool = False,
    half_life_days: float = HALF_LIFE_DAYS,
    caps: VoteCaps = VoteCaps(),
) -> ScoreReport:
    """Refresh the scores as of a moment and publish them; `full` computes every day anew; a rating counts half as much
    in the learned experience every `half_life_days`; `caps` keep anybody from shouting others down.

    A kind of evidence (real, simulated) is published when some of it counts, or once did: then without rows. Every check runs on both
    before either is published. Raises LeaseHeld, CheckFailed, Corrupt (the lake's manifest), ValueError (`as_of` without a
    time zone, or a half-life of no length), OSError; the old snapshots stay then.
    """
    if as_of.tzinfo is None:
        raise ValueError(f"as_of {as_of.isoformat()} has no time zone")
    if not half_life_days > 0:
        raise ValueError(f"half_life_days is {half_life_days}; it must be more than 0")
    begun = time.monotonic()
    scoring_dir = Path(scoring_dir)
    with lake.lease():
        partials = Partials(scoring_dir / "partials")
        evidence = _gather(lake, partials, full=full)
        scored, warnings = {}, []
        for kind, pointer in POINTERS.items():
            if evidence.has(kind, *PARTIALS) or current(scoring_dir, pointer):
                scored[kind], found = _score_kind(evidence, kind, as_of, half_life_days, caps)
                warnings += [f"{_name(kind)}: {warning}" for warning in found]
        # Rows that count nowhere are reported, but make no snapshot: an empty real one would hide the simulated one.
        snapshots = {
            _name(kind): publish(scoring_dir, tables, _meta(evidence, kind, as_of), POINTERS[kind])
            for kind, tables in scored.items()
            if evidence.has(kind, *_COUNTED) or current(scoring_dir, POINTERS[kind])
        }
        partials.forget_all_but(evidence.digests)
    return ScoreReport(
        snapshots=snapshots,
        rows={name: sum(tables[name].num_rows for tables in scored.values()) for name in PUBLISHED},
        rejects=_rejects(scored),
        days_computed=len(evidence.digests) - evidence.reused,
        days_reused=evidence.reused,
        corrupt=evidence.corrupt,
        warnings=tuple(warnings),
        seconds=time.monotonic() - begun,
        tables=scored,
    )


def _gather(lake: Lake, partials: Partials, *, full: bool) -> _Evidence:
    manifest = lake.manifest()
    deleted, corrupt = _deleted_runs(lake, manifest)
    repricings = lake.load_all("repricings", manifest.table("repricings").files)
    corrupt += repricings.corrupt
    parts = {name: [table] for name, table in partials.empty().items()}
    digests, reused = {}, 0
    for day_name in manifest.days():
        day = partials.day(lake, manifest, day_name, deleted, repricings.rows, anew=full)
        digests[day_name] = day.digest
        reused += day.is_reused
        corrupt += day.corrupt
        for name, table in day.tables.items():
            parts[name].append(table)
    tables = {name: pa.concat_tables(found) for name, found in parts.items()}
    for name in _DIMENSIONS:
        reading = lake.load_all(name, manifest.table(name).files)
        tables[name] = reading.rows
        corrupt += reading.corrupt
    return _Evidence(tables, digests, reused, corrupt)


def _deleted_runs(lake: Lake, manifest: Manifest) -> tuple[frozenset[str], tuple[str, ...]]:
    reading = lake.load_all("tombstones", manifest.table("tombstones").files, ["run_id"])
    return frozenset(reading.rows.column("run_id").to_pylist()), reading.corrupt


def _score_kind(
    evidence: _Evidence, kind: bool, as_of: datetime, half_life_days: float, caps: VoteCaps
) -> tuple[dict[str, pa.Table], tuple[str, ...]]:
    values: dict[str, Any] = {
        "is_simulated": kind,
        "as_of": as_of.astimezone(UTC),
        "half_life_days": half_life_days,
        **asdict(caps),
    }
    tables = compute(PUBLISHED, evidence.tables, values)
    return tables, run_checks(tables, values)


def _meta(evidence: _Evidence, kind: bool, as_of: datetime) -> dict[str, Any]:
    return {
        "kind": "scoring",
        "is_simulated": kind,
        "as_of": as_of.astimezone(UTC).isoformat(timespec="microseconds"),
        "inputs": {"days": evidence.digests, "corrupt": list(evidence.corrupt)},
    }


def _rejects(scored: Mapping[bool, Mapping[str, pa.Table]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for tables in scored.values():
        for row in tables["left_out"].to_pylist():
            total[row["reason"]] = total.get(row["reason"], 0) + row["rows_left_out"]
    return dict(sorted(total.items()))


def _name(kind: bool) -> str:
    return "simulated" if kind else "real"
