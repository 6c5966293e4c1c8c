"""What is learned of ratings agrees with a slow, obvious second implementation (tests/proof/plain_learned.py), in worlds that reach
every kind of evidence: models with and without a record, specialities, loud voters, graded answers, agents and tenants, old ratings.
"""

import random
from datetime import timedelta
from pathlib import Path

import pytest
from proof import plain_votes
from proof.plain import Row
from proof.plain_beliefs import as_they_are
from proof.plain_learned import USUAL, Learning, learned_experience
from proof.worlds import AS_OF, STRANGE, House, at, result, vote

from analytics.scoring import VoteCaps

TASKS = [
    ("code", "coding"), ("fix", "coding"), ("review", "coding"), ("proof", "math"), ("sums", "math"), ("chat", "talk"), ("plan", "talk"),
    ("plan", "math"), ("poem", "art"),
]  # fmt: skip
HARD = {task: number / 40 for number, (task, _) in enumerate(TASKS)}
USERS = [
    (f"u{number}", tenant) for number in range(24) for tenant in ("north", "south", "east", None)[number % 4 :][:1]
]


class Market:
    """Models with a quality at each task, some far above or below themselves; `told` is what base priorities say of them (-1: the contrary)."""

    def __init__(self, dice: random.Random, *, told: float = 1.0) -> None:
        self.dice = dice
        self.levels = {f"acme/m{number:02}": dice.gauss(0.55, 0.15) for number in range(14)}
        self.catalog = [
            {
                "id": model, "provider_id": "acme", "external_id": model[5:], "is_simulated": number % 7 == 6,
                "priority": None if number == 3 else round(50 + told * 100 * (level - 0.55)),
            }
            for number, (model, level) in enumerate(self.levels.items())
        ]  # fmt: skip
        self.levels |= {"who": 0.6, "nobody/knows": 0.2, "acme/m00": 0.3}
        self.truth = {
            (model, task): level - HARD[task] + dice.gauss(0, 0.05) + dice.choice((0,) * 30 + (0.5, -0.5))
            for model, level in self.levels.items()
            for task in HARD
        } | {("acme/m00", "code"): 0.95}

    def is_simulated(self, model: str) -> bool:
        return any(row["id"] == model and row["is_simulated"] for row in self.catalog)

    def name(self, model: str) -> str:
        """As a key, or as its provider calls it."""
        return self.dice.choice((model, model.removeprefix("acme/")))

    def opinions(self, count: int, first: int, oldest: float) -> list[Row]:
        """Of most models, many of what an agent likes; a loud user; some at no task; some worthless, some to come, some said twice."""
        dice, found = self.dice, []
        models = [*self.levels][:-5] * 4 + [*self.levels][-3:]
        for number in range(first, first + count):
            is_usual = dice.random() < 0.9
            model, task = (dice.choice(models), dice.choice([*HARD][:-1])) if is_usual else ("acme/m00", "code")
            task = "chat" if model == "nobody/knows" else task
            user, tenant = dice.choice([*USERS, *[("loud", "north")] * 12, (None, None)])
            quality = min(1.0, max(0.0, dice.gauss(self.truth[model, task], 0.1)))
            rating = dice.choice((quality, quality, quality, float(dice.random() < quality), round(2 * quality) / 2))
            made = AS_OF - timedelta(days=dice.choice((0, 1, 9, 60, 420, oldest)), hours=dice.choice((-1, 0, 1, 5)))
            found.append(
                vote(
                    number, message_id=f"m{dice.randrange(first, first + count)}" if dice.random() < 0.1 else f"m{number}",
                    user_id=user, tenant_id=tenant, agent_id=dice.choice((None, None, "helper", "critic")) if is_usual else "helper", model=self.name(model),
                    task_type=None if dice.random() < 0.05 else task, is_simulated=self.is_simulated(model),
                    rating=dice.choice((*STRANGE, None)) if dice.random() < 0.03 else rating,
                    created_at="soon" if dice.random() < 0.02 else at(made), feedback_type=dice.choice(("explicit", "implicit", "self_eval")),
                )
            )  # fmt: skip
        return found

    def kept_to_themselves(self, first: int) -> list[Row]:
        """Of a model, and at a task, that one tenant alone rates, with an agent that it alone has: everyone is told nothing of them."""
        told = [("north/own", "code"), ("north/own", "secret"), ("acme/m01", "secret")]
        return [
            vote(
                number, message_id=f"m{number}", user_id=f"n{number % 5}", tenant_id="north", agent_id=self.dice.choice((None, "hermit", "helper")),
                model=model, task_type=task, rating=self.dice.random(), created_at=at(AS_OF - timedelta(days=self.dice.randrange(200))),
            )
            for number, (model, task) in enumerate(told * 8, first)
        ]  # fmt: skip

    def answers(self, count: int, first: int) -> list[Row]:
        """To gold questions of every domain, one of which no task has, and of that alone for one of the two that nobody rates."""
        dice = self.dice
        told = [(model, task) for model, task in self.truth if model != "acme/m00"] + [("acme/m11", "fix")] * 100
        picked = [dice.choice(told) for _ in range(count)]
        return [
            result(
                number, model=self.name(model), provider="acme" if model.startswith("acme/") else None, run_id=f"run-{dice.randrange(8)}",
                is_simulated=self.is_simulated(model), domain="sports" if model == "acme/m12" else dice.choice((dict(TASKS)[task], "sports")), benchmark_id="q",
                correct=dice.random() < self.truth[model, task], outcome=dice.choice(("ok", "ok", "ok", "failed")),
                total_latency_ms=dice.choice((*STRANGE, *[5.0] * 40)), created_at=at(AS_OF - timedelta(hours=dice.randrange(3000))),
            )
            for number, (model, task) in enumerate(picked, first)
        ]  # fmt: skip


def grown(folder: Path, market: Market, *, half_life: float, caps: VoteCaps, size: int, oldest: float) -> House:
    """A house whose scores were brought up to what came twice, late rows among it and two runs that go, and agree."""
    house = House(folder, caps=caps, half_life=half_life, catalog=market.catalog, tasks=TASKS)
    house.feed(feedback_events=market.opinions(size, 0, oldest), benchmark_results=market.answers(size // 2, 0))
    gone = [{"id": f"t{run}", "run_id": f"run-{run}", "created_at": at(AS_OF)} for run in range(2)]
    later = {
        "feedback_events": market.opinions(size, 10_000, oldest) + market.kept_to_themselves(20_000),
        "benchmark_results": market.answers(size // 2, 10_000),
    }
    house.agree(house.feed(tombstones=gone, **later))
    return house


@pytest.mark.parametrize(
    ("seed", "told", "half_life", "caps"),
    [
        (1, 1.0, 60.0, VoteCaps()),
        (2, -1.0, 7.5, VoteCaps(user_votes=1, tenant_votes=2)),
        *(
            pytest.param(seed, (1.0, -1.0, 0.1)[seed % 3], (1.0, 60.0, 1e9)[seed % 3], VoteCaps(user_votes=seed % 4 + 1), marks=pytest.mark.soak)
            for seed in range(3, 40)
        ),
    ],
)  # fmt: skip
def test_what_is_learned_agrees_and_every_branch_is_met(
    tmp_path: Path, seed: int, told: float, half_life: float, caps: VoteCaps
) -> None:
    market = Market(random.Random(seed), told=told)
    house = grown(tmp_path, market, half_life=half_life, caps=caps, size=400, oldest=1500.0)
    known = house.learning(False)
    assert seed != 2 or known.slope == 0  # what priorities foretell there is the contrary
    assert len(known.heard.everyone) < len(plain_votes.votes(house.world, False))
    if seed == 1:
        _assert_rich(known)
        # Nothing rounded: each term of a sum is then off by half a billionth, however old the ratings are.
        exact = learned_experience(house.learning(False, as_they_are))
        for key, row in learned_experience(known).items():
            assert row["learned_quality"] == pytest.approx(exact[key]["learned_quality"], abs=1e-8)


def _assert_rich(known: Learning) -> None:
    rows, everyone = learned_experience(known), known.everyone()
    kinds = {row["basis"] for row in rows.values()}
    assert kinds == {"overall", "domain_benchmarks", "ratings", "tenant_ratings", "agent_ratings", "priority"}
    assert {"who"} <= {model for model, *_ in rows}
    untold = {cell for cell, at_it in everyone.items() if not at_it.is_told}
    assert {("north/own", "code"), ("north/own", "secret"), ("acme/m01", "secret")} <= untold
    assert {(*cell, None, None) for cell in untold}.isdisjoint(rows)
    assert {key[2:] for key in rows if key[:2] == ("north/own", "secret")} >= {
        ("north", None),
        (None, "hermit"),
        ("north", "hermit"),
    }
    assert {(tenant is None, agent is None) for _, _, tenant, agent in rows} == {
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    }
    assert {cell.special > 0.5 for cell in everyone.values()} == {True, False}
    assert {cell.own.precision > 0 for cell in everyone.values()} == {True, False}
    assert {cell.others.precision > 0 for cell in known.rated.values()} == {True, False}
    assert {task is None for _, task in known.rated} == {True, False}
    assert {task for _, task in known.graded} - {task for _, task in known.rated} == {"poem"}
    assert {row["weight"] for row in known.heard.everyone} >= {1, 1_000_000}
    assert all(known.pairs.values())
    assert all(known.spreads[kind] != usual for kind, usual in USUAL.items())
    assert len({known.above, known.below, 0.025}) == 3
    assert 0 < known.slope < 1
