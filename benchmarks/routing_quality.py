"""How good the routing is: regret, and quality for money, by policy, from outcomes that were held back.

    python benchmarks/routing_quality.py [--outcomes FILE] [--cells 10 100] [--seeds 5] [--first-seed 100] [--shapes ...] [--shuffled] [--json]

An outcomes table (CSV, JSONL or Parquet) has one row per answer: `task`, `model`, `score` (0..1), `cost` (USD), and perhaps
`split` (train or test), `priority` (0..100, of the model) and `created_at`. Without `split` a seeded half of each cell is held
back. Without a table, tables of several shapes are generated, where the true mean of each cell is known and stands for the
held-back half.

Training takes the real path: the outcomes are ratings, the SQL of `score` makes `routing_scores` of them, these are published
with a catalog, and the Lookup that agents use answers one question per task. Policies: `default`, `learned`, `means` (the
preset `best`: raw means), and beside them `single` (the model that did best on average), `cheapest` and `random`.

    regret    the mean over tasks of the best model's held-back score in hindsight, less that of the model chosen
    cost      of the models chosen, USD a query
    area      what a sweep of the weight of cost from 0 to 1 gains over mixing single models: the area between its quality-cost
              curve and the single models' upper hull, over the hull's cost range (log cost, 0..1)
    saving    1 - cost at which that sweep is as good as the best single model, over that model's cost; none if it never is
    lead      how much less `learned` loses (its regret below that of the other), on the same worlds

Over several worlds each figure is given with its standard error.
"""

import argparse
import csv
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analytics.lake import DIMENSIONS, EVENTS, to_arrow
from analytics.routing import Lookup, RouteQuery
from analytics.routing.policies import PRESETS, cost_value
from analytics.scoring.configuration import FURTHER
from analytics.scoring.publish import publish
from analytics.scoring.tables import compute

Floats = NDArray[np.float64]
NOW = datetime(2026, 11, 21, tzinfo=UTC)
SHAPES = ("independent", "factors", "specialists", "ties", "noisy", "binary", "drift")
POLICIES = {"default": "default", "learned": "learned", "means": "best"}
SEEDS_OF_CHOICE = 20  # seeds below this were looked at when constants were chosen: figures are given of others
MODELS, TASKS = 20, 20
WEIGHTS_OF_COST = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.9, 1.0)


@dataclass(frozen=True)
class World:
    """Outcomes to learn from, and what is true: `quality` (models x tasks) and `cost` (USD a query, by model)."""

    models: Sequence[str]
    tasks: Sequence[str]
    rows: Sequence[tuple[int, int, float, datetime]]  # model, task, score, time
    quality: Floats
    cost: Floats
    priority: Sequence[int]


class Figures(NamedTuple):
    """What one policy came to; `area` and `saving` are of its sweep of the weight of cost."""

    regret: float
    cost: float
    area: float
    saving: float


def _truth(shape: str, level: Floats, own: Floats, rng: np.random.Generator) -> Floats:
    """The mean score of each model at each task before anything bounds it."""
    match shape:
        case "independent":
            return 0.65 + 1.5 * own
        case "factors":
            return level + rng.normal(0, 0.06, (MODELS, 3)) @ rng.normal(0, 1, (3, TASKS))
        case "specialists":
            gifted = np.zeros(level.shape)
            gifted[rng.integers(MODELS, size=TASKS), np.arange(TASKS)] = 0.25
            return level + gifted
        case "ties":
            return np.round(level * 12) / 12 + own / 4
    return level + own


def generated(shape: str, per_cell: int, seed: int, *, base: str = "informed") -> World:
    """A world of one shape; the base priority is the true overall level with noise (`informed`), or that `shuffled`, or `none`."""
    rng = np.random.default_rng([seed, SHAPES.index(shape)])
    level = rng.normal(0, 0.08, (MODELS, 1)) + rng.normal(0, 0.05, (1, TASKS)) + 0.65
    own = rng.normal(0, 0.08, (MODELS, TASKS))
    truth = _truth(shape, level, own, rng)
    truth = np.clip(truth, 0.05, 0.95)
    drift = rng.normal(0, 0.2, truth.shape) if shape == "drift" else np.zeros(truth.shape)
    scatter = {"noisy": 0.45, "binary": None}.get(shape, 0.2)
    rows = []
    for model in range(MODELS):
        for task in range(TASKS):
            ages = rng.uniform(0, 120 if shape == "drift" else 1, per_cell)
            means = np.clip(truth[model, task] + drift[model, task] * ages / 120, 0.02, 0.98)
            if scatter is None:
                scores = (rng.random(per_cell) < means).astype(float)
            else:  # a beta of that mean, so that clipping moves none
                spread = np.minimum(scatter**2, 0.9 * means * (1 - means))
                count = means * (1 - means) / spread - 1
                scores = rng.beta(means * count, (1 - means) * count)
            rows += [
                (model, task, float(score), NOW - timedelta(days=float(age), seconds=1))
                for score, age in zip(scores, ages, strict=True)
            ]
    cost = 10 ** (rng.normal(-3, 0.4, MODELS) + 3 * (truth.mean(axis=1) - 0.65))
    standing = truth.mean(axis=1) + rng.normal(0, 0.08, MODELS)
    priority = np.clip(np.round(100 * standing), 0, 100).astype(int)
    if base == "shuffled":
        priority = rng.permutation(np.linspace(20, 90, MODELS).round().astype(int))
    elif base == "none":
        priority = np.full(MODELS, 50)
    names = [f"p{index % 4}/m{index:02}" for index in range(MODELS)]
    return World(names, [f"task-{index:02}" for index in range(TASKS)], rows, truth, cost, priority.tolist())


def read_outcomes(path: Path, seed: int) -> World:
    """A world of an outcomes table; raises `ValueError` that says what is wrong with it."""
    match path.suffix:
        case ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                found: list[dict[str, Any]] = list(csv.DictReader(file))
        case ".jsonl":
            found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        case ".parquet":
            found = pq.read_table(path).to_pylist()
        case other:
            raise ValueError(
                f"{path}: an outcomes table is .csv, .jsonl or .parquet, not {other or 'without an ending'}"
            )
    missing = sorted({"task", "model", "score", "cost"} - set(found[0] if found else ()))
    if missing:
        raise ValueError(f"{path}: there is no column {', '.join(missing)}")
    models, tasks = (sorted({str(row[name]) for row in found}) for name in ("model", "task"))
    rng = np.random.default_rng(seed)
    rows, held, costs = [], np.zeros((2, len(models), len(tasks))), np.zeros((2, len(models)))
    priority = [50] * len(models)
    for number, row in enumerate(found):
        model, task = models.index(str(row["model"])), tasks.index(str(row["task"]))
        score, cost = float(row["score"]), float(row["cost"])
        if not (0 <= score <= 1 and 0 <= cost < math.inf):
            raise ValueError(
                f"{path}: row {number}: score must lie on 0..1 and cost be 0 or more, not {score} and {cost}"
            )
        when = datetime.fromisoformat(str(row["created_at"])) if row.get("created_at") else NOW - timedelta(seconds=1)
        costs[:, model] += cost, 1
        if row.get("priority") not in (None, ""):
            priority[model] = int(row["priority"])
        if (row["split"] == "train") if row.get("split") else rng.random() < 0.5:
            rows.append((model, task, score, when if when.tzinfo else when.replace(tzinfo=UTC)))
        else:
            held[:, model, task] += score, 1
    with np.errstate(invalid="ignore"):
        quality, cost_of = held[0] / held[1], costs[0] / costs[1]
    kept = ~np.isnan(quality).all(axis=0)
    if not kept.any() or not rows:
        raise ValueError(f"{path}: nothing to learn from, or nothing held back to judge by")
    return World(models, tasks, rows, quality, cost_of, priority)


def train(world: World, home: Path) -> Lookup:
    """The outcomes as ratings through the SQL of scoring, published, and opened by the lookup."""
    events = [
        {
            "id": f"f{number:08}",
            "message_id": f"m{number:08}",
            "user_id": f"u{number:08}",
            "model": world.models[model],
            "task_type": world.tasks[task],
            "rating": score,
            "feedback_type": "explicit",
            "is_simulated": False,
            "created_at": when.isoformat(),
        }
        for number, (model, task, score, when) in enumerate(world.rows)
    ]
    catalog = [
        {
            "id": key,
            "provider_id": key.partition("/")[0],
            "external_id": key,
            "priority": priority,
            "is_simulated": False,
        }
        for key, priority in zip(world.models, world.priority, strict=True)
    ]
    inputs: dict[str, pa.Table] = {name: to_arrow(name, ()) for name in (*EVENTS, *DIMENSIONS)}
    inputs |= {"feedback_events": to_arrow("feedback_events", events), "catalog": to_arrow("catalog", catalog)}
    values = {"is_simulated": False, "as_of": NOW, "half_life_days": 60.0}
    values |= {"user_share": 1.0, "user_votes": 5, "tenant_share": 1.0, "tenant_votes": 10}  # every outcome counts
    meta = {"is_simulated": False, "as_of": NOW.isoformat(timespec="microseconds")}
    publish(home / "scoring", compute(("routing_scores",), inputs, values), {"kind": "scoring", **meta, "inputs": {}})
    publish(home / "configuration", _configuration(world), {"kind": "configuration", "as_of": meta["as_of"]})
    lookup = Lookup.open(home, watch=False, clock=NOW.timestamp)
    if lookup.problems:
        raise RuntimeError(f"the lookup does not take what was published: {lookup.problems}")
    return lookup


def _configuration(world: World) -> dict[str, pa.Table]:
    size = len(world.models)
    usd_per_m = pa.array((world.cost * 1e3).tolist(), pa.float64())  # a query of 1,000 tokens
    models = {
        "id": list(world.models),
        "provider_id": [key.partition("/")[0] for key in world.models],
        "display_name": list(world.models),
        "model_type": ["chat"] * size,
        "capabilities": pa.array([["text"]] * size),
        "priority": pa.array(list(world.priority), pa.int64()),
        "cost_tier": ["standard"] * size,
        "domains": pa.array([["general"]] * size),
        "ctx_length": pa.array([8_000] * size, pa.int64()),
        "pricing_input": usd_per_m,
        "pricing_output": usd_per_m,
        **{name: pa.array([name != "is_simulated"] * size) for name in ("is_available", "is_enabled", "is_simulated")},
    }
    nobody: dict[str, Any] = {name: pa.array([], pa.string()) for name in ("agent", "tenant_id", "model")}
    nobody |= {"is_enabled": pa.array([], pa.bool_()), "priority_override": pa.array([], pa.int64())}
    pairs = {name: pa.array([], pa.string()) for name in ("task_type", "domain")}
    return {
        **{name: schema.empty_table() for name, schema in FURTHER.items()},
        "models": pa.table(models),
        "agent_models": pa.table(nobody),
        "task_domains": pa.table(pairs),
        "policies": _swept(),
    }


def _swept() -> pa.Table:
    """Each policy with ever more weight on cost, everyone's, by the names that `swept_name` gives."""
    rows = []
    for name in POLICIES.values():
        for weight in WEIGHTS_OF_COST:
            weights = {key: value * (1 - weight) for key, value in PRESETS[name]["weights"].items()}
            rules = {**PRESETS[name], "weights": {**weights, "cost": weight}}
            rows.append(
                {"name": swept_name(name, weight), "rules": json.dumps(rules), "version": 1, "is_active": False}
            )
    owners = {owner: pa.array([None] * len(rows), pa.string()) for owner in ("tenant_id", "agent", "user_id")}
    return pa.table({**owners, **{name: [row[name] for row in rows] for name in rows[0]}})


def swept_name(policy: str, weight: float) -> str:
    return f"{policy}, cost {weight}"


def judge(world: World, picks: Sequence[int]) -> tuple[float, float]:
    """Regret and cost when each task goes to its pick; tasks where nothing of it was held back do not count."""
    tasks = [task for task, pick in enumerate(picks) if not math.isnan(world.quality[pick, task])]
    lost = [float(np.nanmax(world.quality[:, task]) - world.quality[picks[task], task]) for task in tasks]
    return float(np.mean(lost)), float(np.mean([world.cost[picks[task]] for task in tasks]))


def picked(world: World, lookup: Lookup, **fields: Any) -> list[int]:
    """The model that the lookup names for each task."""
    answers = [lookup.route(RouteQuery(task=task, **fields)).model for task in world.tasks]
    return [world.models.index(answer or "") for answer in answers]


def hull(cost: Floats, quality: Floats) -> list[tuple[float, float]]:
    """The upper hull of (log cost, quality), from the cheapest to the best."""
    kept: list[tuple[float, float]] = []
    for x, y in sorted(zip(np.log(np.maximum(cost, 1e-12)).tolist(), quality.tolist(), strict=True)):
        while len(kept) > 1 and (kept[-1][0] - kept[-2][0]) * (y - kept[-2][1]) >= (kept[-1][1] - kept[-2][1]) * (
            x - kept[-2][0]
        ):
            kept.pop()
        if not kept or y > kept[-1][1]:
            kept.append((x, y))
    return kept


def over_the_hull(world: World, sweep: Sequence[Sequence[int]]) -> tuple[float, float]:
    """Area over the single models' hull, and saving at the best single model's quality, of the picks of a sweep."""
    level = np.nanmean(world.quality, axis=1)
    single = hull(world.cost, level)
    points = []
    for picks in sweep:
        reached = np.nanmean([world.quality[pick, task] for task, pick in enumerate(picks)])
        points.append((float(np.mean(world.cost[list(picks)])), float(reached)))
    swept = hull(np.array([cost for cost, _ in points]), np.array([quality for _, quality in points]))
    grid = np.linspace(single[0][0], single[-1][0], 200)
    (swept_x, swept_y), (single_x, single_y) = np.array(swept).T, np.array(single).T
    gained = np.interp(grid, swept_x, swept_y, left=single[0][1]) - np.interp(grid, single_x, single_y)
    paid = min((cost for cost, quality in points if quality >= single[-1][1]), default=math.nan)
    return float(gained.mean()), float(1 - paid / math.exp(single[-1][0]))


def compare(world: World, seed: int = 0) -> dict[str, dict[str, float]]:
    """The figures of every policy, by name."""
    with tempfile.TemporaryDirectory() as folder:
        lookup = train(world, Path(folder))
        chosen = {name: picked(world, lookup, policy=policy) for name, policy in POLICIES.items()}
        sweeps = {
            name: [picked(world, lookup, policy=swept_name(policy, weight)) for weight in WEIGHTS_OF_COST]
            for name, policy in POLICIES.items()
        }
    sums = np.zeros((2, len(world.models)))
    for model, _, score, _ in world.rows:
        sums[:, model] += score, 1
    level, value = sums[0] / np.maximum(sums[1], 1), cost_value(world.cost * 1e3)
    count = len(world.tasks)
    chosen |= {"single": [int(np.argmax(level))] * count, "cheapest": [int(np.argmin(world.cost))] * count}
    chosen["random"] = np.random.default_rng(seed).integers(0, len(world.models), count).tolist()
    sweeps["single"] = [[int(np.argmax((1 - weight) * level + weight * value))] * count for weight in WEIGHTS_OF_COST]
    return {
        name: Figures(*judge(world, picks), *over_the_hull(world, sweeps.get(name, [picks])))._asdict()
        for name, picks in chosen.items()
    }


def repeated(shape: str, per_cell: int, seeds: Sequence[int], *, base: str = "informed") -> dict[str, Any]:
    """For each policy and figure the mean over the seeds and its standard error."""
    runs = [compare(generated(shape, per_cell, seed, base=base), seed) for seed in seeds]
    for run in runs:
        for name, figures in run.items():
            if name != "learned":
                figures["lead"] = figures["regret"] - run["learned"]["regret"]
    return {
        name: {figure: _mean_and_error([run[name][figure] for run in runs]) for figure in figures}
        for name, figures in runs[0].items()
    }


def _mean_and_error(figures: Sequence[float]) -> list[float]:
    values = np.array(figures)
    values = values[~np.isnan(values)]
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return [round(float(values.mean()), 6) if len(values) else math.nan, round(float(error), 6)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outcomes", type=Path)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--cells", type=int, nargs="+", default=[10, 100], help="outcomes of each model at each task")
    parser.add_argument("--seeds", type=int, default=5, help="how many worlds of each kind")
    parser.add_argument("--first-seed", type=int, default=100, help=f"below {SEEDS_OF_CHOICE}: those of the choices")
    parser.add_argument(
        "--shuffled", action="store_true", help="a base priority that means nothing, beside none, as data grows"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {}
    _measure(options, results)
    if options.json:
        print(json.dumps(results, allow_nan=True))


def _measure(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Fill in what was asked for, and show it as it comes."""
    if options.outcomes is not None:
        results[options.outcomes.name] = compare(read_outcomes(options.outcomes, seed=1))
        cases = []
    elif options.shuffled:
        cases = [("binary", cell, base) for cell in options.cells for base in ("shuffled", "none")]
    else:
        cases = [(shape, cell, "informed") for shape in options.shapes for cell in options.cells]
    first = options.first_seed
    for shape, cell, base in cases:
        name = f"{shape}, {cell} a cell, base {base}"
        results[name] = repeated(shape, cell, range(first, first + options.seeds), base=base)
        if not options.json:
            show(name, results[name])
    if options.outcomes is not None and not options.json:
        show(options.outcomes.name, results[options.outcomes.name])


def show(name: str, figures: Mapping[str, Mapping[str, Any]]) -> None:
    print(name)
    for policy, values in figures.items():
        said = [
            f"{figure} {value[0]:.4g} +- {value[1]:.2g}" if isinstance(value, list) else f"{figure} {value:.4g}"
            for figure, value in values.items()
        ]
        print(f"    {policy:<9}" + "   ".join(said))


if __name__ == "__main__":
    main()
