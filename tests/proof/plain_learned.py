"""What is learned of ratings once more, slowly and obviously: lists and sums (docs/decisions/0017, the headers of sql/scoring)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

from proof.plain import Row, World, grouped, mean
from proof.plain_beliefs import NOTHING, Add, Belief, Cell, Ratings, by_cell, heard, in_steps, joined
from proof.plain_votes import Caps, experience

USUAL = {"of_models": 0.0225, "of_tasks": 0.01, "of_benchmarks": 0.02, "of_groups": 0.005}
FAR, GIVE_OR_TAKE = 0.25, 0.1


@dataclass(frozen=True)
class Graded:
    """Right and wrong answers of a model in a task's domains (task of None: in all), about what the task's models show."""

    graded: int
    level: float
    deviation: float
    variance: float


def graded_cells(world: World, kind: bool, caps: Caps, add: Add) -> dict[Cell, Graded]:
    """One right and one wrong answer are added, so that few are never taken for certain."""
    shares, found = {}, {}
    for (model, task, tenant, agent), row in experience(world, kind, caps).items():
        if row["graded"] and tenant is agent is None:
            shares[model, task] = ((row["correct"] + 1) / (row["graded"] + 2), row["graded"])
    for task, cells in grouped(shares, lambda cell: cell[1]).items():
        level = add((shares[cell][0] for cell in cells), 10**9) / len(cells)
        for model, _ in cells:
            share, n = shares[model, task]
            found[model, task] = Graded(n, level, share - level, share * (1 - share) / n)
    return found


@dataclass(frozen=True)
class Rated:
    """Everyone's ratings of a model at a task, and what its other tasks say: all about the tasks' levels."""

    ratings: Ratings
    level: float
    deviation: float
    precision: float  # of what this cell says of the model's others: however many ratings, little
    others: Belief


def noise_of(cells: Iterable[Ratings], add: Add) -> float:
    """The variance of one rating about its cell; two of 0.05 stand in where hardly any cell has two."""
    several = [cell for cell in cells if cell.effective_n > 1]
    spread = add((cell.effective_n * cell.spread for cell in several), 10**9)
    return (spread + 2 * 0.05) / (add((cell.effective_n - 1 for cell in several), 10**9) + 2)


def rated_cells(cells: dict[Cell, Ratings], noise: float, add: Add) -> dict[Cell, Rated]:
    """A task's level is its mean rating once the models' own levels are taken out (one step of backfitting)."""

    def weighted(values: dict[Cell, float], place: Literal[0, 1]) -> dict[Any, float]:
        """Means over the cells of a model (place 0) or a task (place 1); sums are of millionths of a rating by millionths of a vote."""
        groups = grouped(values, lambda cell: cell[place])
        return {
            one: add((values[cell] * cells[cell].weights for cell in group), 10**6) / sum(cells[cell].weights for cell in group)
            for one, group in groups.items()
        }  # fmt: skip

    first = weighted({cell: ratings.mean for cell, ratings in cells.items()}, 1)
    models = weighted({cell: ratings.mean - first[cell[1]] for cell, ratings in cells.items()}, 0)
    levels = weighted({cell: ratings.mean - models[cell[0]] for cell, ratings in cells.items()}, 1)
    deviations = {cell: ratings.mean - levels[cell[1]] for cell, ratings in cells.items()}
    says = {cell: Belief(1 / (noise / cells[cell].effective_n + 0.01), deviations[cell]) for cell in cells}
    return {
        cell: Rated(
            ratings, levels[cell[1]], deviations[cell], says[cell].precision,
            record([said for other, said in says.items() if other[0] == cell[0] and other != cell], add),
        )
        for cell, ratings in cells.items()
    }  # fmt: skip


def record(says: Sequence[Belief], add: Add) -> Belief:
    """What some of a model's cells say together."""
    precision = add((precision for precision, _ in says), 10**9)
    return Belief(precision, add((p * middle for p, middle in says), 10**9) / precision) if says else NOTHING


def spread_of(kind: str, pairs: Sequence[tuple[float, float]], add: Add) -> float:
    """How far one thing lies from what foretells it, as a variance: pairs of a squared distance and what of it sampling makes."""
    usual = USUAL[kind]
    trust = [(usual / (sampling + usual)) ** 2 for _, sampling in pairs]
    excess = add(((d2 - sampling) * share for (d2, sampling), share in zip(pairs, trust, strict=True)), 10**12)
    found = (excess + 4 * usual) / (add(trust, 10**12) + 4)
    if kind == "of_tasks":  # by the median too, which a few specialities do not move
        rest = max(0.0, median(d2 for d2, _ in pairs) / 0.455 - median(s for _, s in pairs)) if pairs else 0.0
        found = min(found, (len(pairs) * rest + 4 * usual) / (len(pairs) + 4))
    return max(1e-4, found)


def far(surprise: float, variance: float, about: float, above: float, below: float) -> tuple[float, float]:
    """How likely a cell lies far above, and far below, rather than like most."""

    def density(off: float, wide: float) -> float:
        return math.exp(-0.5 * off**2 / wide) / math.sqrt(wide)

    like_most = (1 - above - below) * density(surprise, variance)
    up = above * density(surprise - about, variance + GIVE_OR_TAKE**2)
    down = below * density(surprise + about, variance + GIVE_OR_TAKE**2)
    return up / (like_most + up + down), down / (like_most + up + down)


class Learning:
    """All of one world's evidence, and what it is worth.

    With sums of whole numbers, like the SQL's, what is learned is the same but for the order of a few operations on floating-point numbers, so
    that 1e-9 is ample. As they are, one term of a sum is off by half a step: by 0.5e-9 or less in sums of precisions, noise and shares, and in the
    levels by half a millionth of what the oldest vote weighs.
    """

    def __init__(self, world: World, kind: bool, caps: Caps, half_life: float, add: Add = in_steps) -> None:
        listed = {row["id"]: row.get("priority") for row in world["catalog"] if row["is_simulated"] == kind}
        points = {model: 50 if priority is None else priority for model, priority in listed.items()}
        self.base = {model: (point - float(mean([*points.values()]) or 0)) / 100 for model, point in points.items()}
        self.add, self.heard = add, heard(world, kind, caps, half_life)
        everyone = {cell: Ratings(rows) for (cell,), rows in by_cell(self.heard.everyone).items()}
        self.noise = noise_of(everyone.values(), add)
        self.rated = rated_cells(everyone, self.noise, add)
        self.graded = graded_cells(world, kind, caps, add)
        self.records = {
            model: record([Belief(self.rated[cell].precision, self.rated[cell].deviation) for cell in group], add)
            for model, group in grouped([*self.rated], lambda cell: cell[0]).items()
        }
        self.spreads: dict[str, float] = {}
        self.pairs: dict[str, list[tuple[float, float]]] = {kind: [] for kind in USUAL}
        self._measure()
        self.above = self.below = 0.025
        self._find_specialities()

    def others(self, row: Row, part: str) -> Ratings:
        """What everyone hears at the cell of a vote, without what is of its tenant, or of its agent."""
        same = [vote for vote in self.heard.everyone if vote["cell"] == row["cell"]]
        return Ratings([vote for vote in same if vote[part] != row[part]])

    def _measure(self) -> None:
        """Of pairs that are further apart than sampling alone would have them, and of the base priority's worth."""
        models = [(self.base.get(model, 0.0), said.mean, 1 / said.precision) for model, said in self.records.items()]
        trust = [0.02 / (sampling + 0.02) for _, _, sampling in models]
        both = self.add((p * d * t for (p, d, _), t in zip(models, trust, strict=True)), 10**12)
        own = self.add((p * p * t for (p, _, _), t in zip(models, trust, strict=True)), 10**12)
        self.slope = min(1.0, max(0.0, (both + 0.05) / (own + 0.05)))
        pairs = self.pairs
        pairs["of_models"] = [((d - self.slope * p) ** 2, sampling) for p, d, sampling in models]
        for cell, rated in self.rated.items():
            if cell[1] is not None and cell in self.graded:
                off = rated.deviation - self.graded[cell].deviation
                pairs["of_benchmarks"].append((off**2, self._sampling(rated.ratings) + self.graded[cell].variance))
        for part in ("tenant", "agent"):
            for rows in by_cell(self.heard.everyone, part).values():
                ours, others = Ratings(rows), self.others(rows[0], part)
                if others.n:
                    off = ours.mean - others.mean
                    pairs["of_groups"].append((off**2, self._sampling(ours) + self._sampling(others)))
        for kind in ("of_models", "of_benchmarks", "of_groups"):
            self.spreads[kind] = spread_of(kind, pairs[kind], self.add)
        for cell, rated in self.rated.items():
            if rated.others.precision:
                foretold = self.level(cell[0], rated.others)
                off = rated.deviation - foretold.mean
                pairs["of_tasks"].append((off**2, self._sampling(rated.ratings) + 1 / foretold.precision))
        self.spreads["of_tasks"] = spread_of("of_tasks", pairs["of_tasks"], self.add)

    def _sampling(self, ratings: Ratings) -> float:
        return self.noise / ratings.effective_n

    def level(self, model: str, other_tasks: Belief) -> Belief:
        """How far a model lies from the rest, by its base priority and some of its tasks."""
        return joined(Belief(1 / self.spreads["of_models"], self.slope * self.base.get(model, 0.0)), other_tasks)

    def _find_specialities(self) -> None:
        """Three steps of expectation and maximization from 2.5 % above and below, which count as 20 cells."""
        cells = []
        for (model, task), rated in self.rated.items():
            if rated.others.precision and task is not None:
                foretold = self.level(model, rated.others).loosened(self.spreads["of_tasks"])
                variance = self._sampling(rated.ratings) + 1 / foretold.precision
                cells.append((rated.deviation - foretold.mean, variance))
        for _ in range(3):
            odds = [far(*cell, FAR, self.above, self.below) for cell in cells]
            self.above = (self.add((up for up, _ in odds), 10**9) + 20 * 0.025) / (len(cells) + 20)
            self.below = (self.add((down for _, down in odds), 10**9) + 20 * 0.025) / (len(cells) + 20)

    def graded_belief(self, cell: Cell) -> Belief:
        found = self.graded.get(cell)
        return (
            NOTHING if found is None else Belief(1 / (found.variance + self.spreads["of_benchmarks"]), found.deviation)
        )

    def everyone(self) -> dict[Cell, "Everyone"]:
        """Every model with any evidence at every task with any; task of None: at all. Then what is rated, though everyone hears none of it."""
        levels = {task: found.level for (_, task), found in self.graded.items()}
        whole = Ratings(self.heard.everyone).mean if self.heard.everyone else levels.get(None, 0.5)
        levels |= {task: found.level for (_, task), found in self.rated.items()}
        found: dict[Cell, Everyone] = {}
        for model in {model for model, _ in (*self.rated, *self.graded)}:
            for task in {task for task in levels if task is not None}:
                found[model, task] = self._at_a_task((model, task), levels[task])
            graded, said = self.graded_belief((model, None)), self.records.get(model, NOTHING)
            base = self.level(model, NOTHING)
            basis = "domain_benchmarks" if graded.precision > base.precision else "priority"
            # the whole record counts by its tasks, not by its ratings, which may nearly all be of one
            found[model, None] = Everyone(
                base.precision,
                joined(base, graded).above(whole),
                basis,
                said.above(whole),
                "overall",
                sum(row["key"] == model for row in self.heard.everyone),
                self.graded_n((model, None)),
                special=0.0,
            )
        for row in (*self.heard.own, *self.heard.of_agents):
            model, task = row["cell"]
            if task is not None and (model, task) not in found:
                found[model, task] = replace(self._at_a_task((model, task), levels.get(task, whole)), is_told=False)
        return found

    def graded_n(self, cell: Cell) -> int:
        return self.graded[cell].graded if cell in self.graded else 0

    def _at_a_task(self, cell: Cell, level: float) -> "Everyone":
        rated, graded = self.rated.get(cell), self.graded_belief(cell)
        others = self.records.get(cell[0], NOTHING) if rated is None else rated.others
        tasks = self.level(cell[0], others)
        about = tasks.loosened(self.spreads["of_tasks"])
        basis = "overall" if others.precision * 2 > tasks.precision else "priority"
        basis = "domain_benchmarks" if graded.precision > about.precision else basis
        broad, own = joined(about, graded).above(level), NOTHING
        up = down = 0.0
        if rated is not None:  # perhaps a speciality: then what is broader is moved there, and counts less
            own = rated.ratings.belief(self.noise)
            up, down = far(own.mean - broad.mean, 1 / own.precision + 1 / broad.precision, FAR, self.above, self.below)
            moved = FAR * (up - down)
            more = (up + down) * (FAR**2 + GIVE_OR_TAKE**2) - moved**2
            broad = broad.above(moved).loosened(more)
        base = 1 / (self.spreads["of_models"] + self.spreads["of_tasks"])
        n = 0 if rated is None else rated.ratings.n
        return Everyone(base, broad, basis, own, "ratings", n, self.graded_n(cell), special=up + down)


@dataclass(frozen=True)
class Everyone:
    """What everyone's ratings of a cell say (`own`) and what anything broader says; what each rests on."""

    base_precision: float
    broad: Belief
    broad_basis: str
    own: Belief
    own_basis: str
    n: int
    graded: int
    special: float  # how likely it is a speciality
    is_told: bool = True  # to everyone; else only those who rated it lean on it


def learned_experience(known: Learning) -> dict[tuple[str, str | None, str | None, str | None], Row]:
    """By model, task, tenant and agent."""
    cells, noise = known.everyone(), known.noise
    found: dict[Any, Row] = {
        (*cell, None, None): said(at.own, at.own_basis, at.broad, at.broad_basis, at.base_precision, noise) | {"n": at.n, "graded": at.graded}
        for cell, at in cells.items() if at.is_told
    }  # fmt: skip
    groups = [("tenant", ("tenant",), known.heard.own), ("agent", ("agent",), known.heard.of_agents)]
    for kind, parts, rows in (*groups, ("tenant_agent", ("tenant", "agent"), known.heard.own)):
        for (cell, *_), ours in by_cell(rows, *parts).items():
            at, own = cells[cell], Ratings(ours).belief(noise)
            others = known.others(ours[0], parts[0]).belief(noise)
            outer = joined(at.broad, others).loosened(known.spreads["of_groups"])
            colleagues, parent, steps = NOTHING, outer, 1
            if kind == "tenant_agent":
                same = [row for row in known.heard.own if (row["cell"], row["tenant"]) == (cell, ours[0]["tenant"])]
                colleagues = Ratings([row for row in same if row["agent"] != ours[0]["agent"]]).belief(noise)
                parent, steps = joined(outer, colleagues).loosened(known.spreads["of_groups"]), 2
            basis = "ratings" if others.precision > at.broad.precision else at.broad_basis
            basis = "tenant_ratings" if colleagues.precision > outer.precision else basis
            own_basis = "tenant_ratings" if kind == "tenant" else "agent_ratings"
            base = 1 / (1 / at.base_precision + steps * known.spreads["of_groups"])
            tenant, agent = (ours[0][part] if part in parts else None for part in ("tenant", "agent"))
            found[*cell, tenant, agent] = said(own, own_basis, parent, basis, base, noise) | {
                "n": len(ours), "graded": 0,
            }  # fmt: skip
    return found


def said(own: Belief, own_basis: str, broad: Belief, broad_basis: str, base_precision: float, noise: float) -> Row:
    """The columns of one cell, of its own ratings and of anything broader."""
    all_of_it = joined(own, broad)
    return {
        "learned_quality": min(1.0, max(0.0, all_of_it.mean)),
        "learned_se": 1 / math.sqrt(all_of_it.precision),
        "learned_n": max(1e-9, noise * (all_of_it.precision - base_precision)),
        "own_share": own.precision / all_of_it.precision,
        "basis": own_basis if own.precision * 2 >= all_of_it.precision else broad_basis,
    }
