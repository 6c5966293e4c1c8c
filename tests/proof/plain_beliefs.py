"""What ratings say and how surely, slowly and obviously: whose votes count for whom, what an old one still counts, what guesses say together.

Sums are of whole numbers, as stored (`in_steps`); with `as_they_are` nothing is rounded, which shows what rounding does.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from proof.plain import Row, World, grouped
from proof.plain_votes import Caps, capped, votes

Add = Callable[[Iterable[float], int], float]
Cell = tuple[str, str | None]  # a model, and a task (None: at none that was told)


def nearest(value: float) -> int:
    """The nearest whole number, halves away from zero."""
    whole = math.floor(Fraction(abs(value)) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def in_steps(terms: Iterable[float], steps: int) -> float:
    return sum(nearest(term * steps) for term in terms) / steps


def as_they_are(terms: Iterable[float], steps: int) -> float:
    return math.fsum(terms)


class Belief(NamedTuple):
    """A guess at a quality, and its precision: 1 / variance, 0 where nothing is known."""

    precision: float
    mean: float

    def loosened(self, variance: float) -> "Belief":
        return Belief(1 / (1 / self.precision + variance), self.mean)

    def above(self, level: float) -> "Belief":
        return Belief(self.precision, level + self.mean)


NOTHING = Belief(0.0, 0.0)


def joined(*beliefs: Belief) -> Belief:
    precision = sum(belief.precision for belief in beliefs)
    return Belief(precision, sum(p * middle for p, middle in beliefs) / precision) if precision else NOTHING


class Ratings:
    """Some votes: their number is exact, all else counts recent ones more."""

    def __init__(self, rows: Sequence[Row]) -> None:
        given = [(row["weight"], nearest(row["rating"] * 1e6)) for row in rows]
        self.n, self.weights = len(given), sum(weight for weight, _ in given)
        self.effective_n = self.mean = self.spread = 0.0
        if given:  # effective_n is Kish's: so many ratings of equal weight would say as much
            middle = Fraction(sum(weight * rating for weight, rating in given), self.weights)
            self.effective_n = self.weights**2 / sum(weight**2 for weight, _ in given)
            self.mean = float(middle) / 1e6
            squares = sum(weight * (rating - middle) ** 2 for weight, rating in given)
            self.spread = float(squares / self.weights / 10**12)

    def belief(self, noise: float) -> Belief:
        return Belief(self.effective_n / noise, self.mean)


@dataclass(frozen=True)
class Heard:
    """The votes that count for everyone, for each agent, and those of all tenants for themselves."""

    everyone: Sequence[Row]
    of_agents: Sequence[Row]
    own: Sequence[Row]


def heard(world: World, kind: bool, caps: Caps, half_life: float) -> Heard:
    """A vote counts half as much every half-life, by whole days, in millionths, at least one."""
    given = []
    for row in votes(world, kind):
        days = (world.as_of - row["at"]) // timedelta(days=1)
        given.append({**row, "cell": (row["key"], row.get("task_type")), "tenant": row.get("tenant_id"), "agent": row.get("agent_id"),
                      "weight": max(1, nearest(1e6 * 0.5 ** (days / half_life)))})  # fmt: skip
    circles = grouped((row for row in given if row["agent"] is not None), lambda row: row["agent"])
    of_agents = [row for circle in circles.values() for row in capped(circle, caps)]
    return Heard(capped(given, caps), of_agents, [row for row in given if row["tenant"] is not None])


def by_cell(rows: Iterable[Row], *parts: str) -> dict[tuple[Any, ...], list[Row]]:
    """By model and task, and by those parts of it that are told (a tenant, an agent)."""
    told = [
        row for row in rows if not parts or (row["cell"][1] is not None and None not in [row[part] for part in parts])
    ]
    return grouped(told, lambda row: (row["cell"], *(row[part] for part in parts)))
