"""A million questions to broken worlds: never an exception, always an answer or a reason, and never a model outside its limits.

    python -m tests.routing.fuzz --queries 1000000 --seed 1

Each world is generated, published, and then spoiled at random: figures that are poisoned, bytes that are changed or cut, tables
and columns that are gone, pointers that lead nowhere, snapshots swapped while the lookup is open, clocks that are off, policies
that make no sense. After each question the rows that were published say whether the named models may be named.
"""

import argparse
import hashlib
import json
import math
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it, so that both import the same modules

import pyarrow as pa
import pyarrow.parquet as pq
from routing import full_scan
from routing.full_scan_world import World, rules_of
from routing.generated import make_query, make_world
from routing.worlds import NOW_S, configure, model, policy, scored

from analytics.routing import Lookup, RouteAnswer, RouteQuery

QUESTIONS = 400  # of one world, in its several states
POISON = [-1.0, -0.0, 0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, None]
FIGURES = [
    "quality",
    "quality_se",
    "quality_low",
    "quality_high",
    "failure_rate",
    "latency_p50_ms",
    "latency_p95_ms",
    "ttft_p95_ms",
    "tps_mean",
    "cost_per_query",
]
PRICES = ["pricing_input", "pricing_output"]
SENSELESS = [
    '{"weights": {"beauty": 1}}',
    "[]",
    "{",
    '{"limits": {"max_tier": "cheap"}}',
    '{"weights": {"quality": 0}}',
    '{"rules": 1}',
    "null",
]


class Crossed(AssertionError):
    """A model was named that may not be."""


def poisoned(rng: random.Random, rows: Any, names: list[str], share: float) -> list[dict[str, Any]]:
    """The rows with some figures that nothing can be."""
    return [
        dict(row) | {name: rng.choice(POISON) for name in names if rng.random() < share and name in row} for row in rows
    ]


def spoil_file(rng: random.Random, home: Path) -> None:
    files = sorted(path for path in home.rglob("*") if path.is_file())
    if not files:
        return
    path = rng.choice(files)
    data = bytearray(path.read_bytes())
    match rng.randrange(5):
        case 0 if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
        case 1:
            path.write_bytes(data[: rng.randrange(len(data) + 1)])
        case 2:
            path.unlink()
        case 3:
            path.write_bytes(rng.randbytes(rng.randrange(200)))
        case _:
            shutil.rmtree(path.parent) if path.parent.parent.parent == home.parent else path.unlink()


def spoil_table(rng: random.Random, directory: Path) -> None:
    """Remove or retype a column, with a manifest that says it belongs so."""
    manifest = json.loads((directory / "manifest.json").read_text())
    name = rng.choice(sorted(manifest["tables"]))
    entry = manifest["tables"][name]
    table = pq.read_table(directory / entry["file"])
    column = rng.randrange(table.num_columns)
    if rng.random() < 0.5:
        table = table.remove_column(column)
    else:
        # No texts: another name in a configuration is another configuration, and nobody could tell.
        values: Any = rng.choice([[1], [b"\xff"], [[1.5]], [{"a": 1}]])
        table = table.set_column(column, table.column_names[column], pa.array(values * table.num_rows))
    pq.write_table(table, directory / entry["file"])
    del manifest["tables"][name]
    digest = hashlib.sha256((directory / entry["file"]).read_bytes()).hexdigest()
    manifest["tables"][name] = entry | {"sha256": digest, "rows": table.num_rows}
    (directory / "manifest.json").write_text(json.dumps(manifest))


def with_senseless(rng: random.Random, policies: Any) -> list[dict[str, Any]]:
    """The policies with one of its owner's that makes no sense."""
    changes = rng.choice([{"user_id": "ann"}, {"agent": "coder"}, {"tenant_id": "acme"}, {}])
    senseless = dict(policy(rng.choice(["odd", "best"]), is_active=rng.random() < 0.7, **changes))
    senseless["rules"] = rng.choice(SENSELESS)
    owner = ("user_id", "agent", "tenant_id")
    others = [dict(row) for row in policies if any(row[key] != senseless[key] for key in ("name", *owner))]
    for row in others:
        row["is_active"] &= not (senseless["is_active"] and all(row[key] == senseless[key] for key in owner))
    return [*others, senseless]


class House:
    """A home that is published and spoiled, and what it would have said had nobody touched it."""

    def __init__(self, home: Path, rng: random.Random) -> None:
        self.home, self.rng = home, rng
        self.worlds: dict[str, World] = {}
        self.now = NOW_S

    def publish(self) -> None:
        rng = self.rng
        world = make_world(rng, rng.choice([1, 3, 20, 60, 200]))
        share = rng.choice([0, 0, 0.01, 0.3])
        world.models = poisoned(rng, world.models, PRICES, share)
        if rng.random() < 0.05:
            world.models = [dict(row) | {"priority": rng.choice([-1, 101, None, 50])} for row in world.models]
        if rng.random() < 0.1:
            world.models = [*world.models, model("a/" + "x" * 200, display_name="<script>\x00\u202e")]
        rows = poisoned(rng, world.scores, FIGURES, share)
        if rng.random() < 0.3:
            world.policies = with_senseless(rng, world.policies)
        default = rng.choice([None, "no/such", *(row["id"] for row in world.models[:3])])
        directory = configure(
            self.home,
            world.models,
            world.agents,
            world.tasks,
            allowed=world.allowed,
            stored=world.policies,
            default_model=default,
        )
        self.worlds[directory.name] = world
        scores = scored(self.home, rows) if rng.random() < 0.95 else directory
        if rng.random() < 0.1:
            spoil_table(rng, rng.choice([directory, scores]))
        for _ in range(rng.choice([0, 0, 0, 0, 0, 0, 1, 1, 3])):
            spoil_file(rng, self.home)

    def check(self, answer: RouteAnswer, query: RouteQuery, configuration: str | None) -> None:
        """Raises `Crossed` for a model that the published rows do not allow."""
        named = [] if answer.model is None else [answer.model, *(fallback.model for fallback in answer.fallbacks)]
        if (answer.source == "none") != (not named) or not answer.reason_codes:
            raise Crossed(f"neither a model nor a reason: {answer}")
        if not named:
            return
        world = None if configuration is None else self.worlds[configuration]
        if world is None:
            if query.agent or query.tenant or query.role or query.policy:
                raise Crossed("a model without a catalog to know by that it may be named")
            return
        limits: Mapping[str, Any] = rules_of(world, query).limits
        for key in named:
            self._check_model(world, query, limits, key)

    @staticmethod
    def _check_model(world: World, query: RouteQuery, limits: Mapping[str, Any], key: str) -> None:
        row = world.by_id[key]
        reason = full_scan.unusable(world, query, row)
        if reason not in {None, "failing"}:  # the figures were poisoned; everything else stands as published
            raise Crossed(f"{key} is out of bounds ({reason}) for {query}")
        for field, passed in full_scan.tests(
            world, query, {k: v for k, v in limits.items() if k in SURE}, row, fades=False
        ):
            if not passed:
                raise Crossed(f"{key} does not pass {field} for {query}")


SURE = {"allow", "deny", "only", "ignore", "need", "max_tier", "min_context"}  # what was not poisoned


def fuzz(queries: int, seed: int) -> Counter[str]:
    """Ask so many; the answers by source and first reason. Raises what the lookup raised, or `Crossed`."""
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    asked = 0
    while asked < queries:
        with tempfile.TemporaryDirectory() as folder:
            house = House(Path(folder), rng)
            house.publish()
            lookup = Lookup.open(
                folder, watch=False, default_model=rng.choice([None, "a/m0000"]), clock=lambda house=house: house.now
            )
            for number in range(min(QUESTIONS, queries - asked)):
                if rng.random() < 0.005:
                    disturb(rng, house, lookup)
                state = lookup._state
                world = house.worlds[
                    state.configuration.snapshot_id if state.configuration else next(iter(house.worlds))
                ]
                query = make_query(rng, world)
                answer = lookup.route(query)
                house.check(
                    answer, query, state.configuration.snapshot_id if state.board and state.configuration else None
                )
                if number % 10 == 0:
                    json.dumps(answer.to_dict(), allow_nan=False)
                found[f"{answer.source} {answer.reason_codes[0]}"] += 1
                asked += 1
    return found


def disturb(rng: random.Random, house: House, lookup: Lookup) -> None:
    """Something happens while the lookup is open."""
    house.now = NOW_S + rng.choice([0, 0, -1e6, 1e6, 1e12, -NOW_S])
    match rng.randrange(4):
        case 0:
            house.publish()
        case 1:
            spoil_file(rng, house.home)
        case 2:
            (house.home / "scoring").mkdir(exist_ok=True)
            (house.home / "scoring" / "CURRENT").write_text(rng.choice(["", "..", "gone", "s\x00", "x" * 300]))
        case _:
            pass
    lookup.reload()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.routing.fuzz", description="Questions to broken worlds.")
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = fuzz(options.queries, options.seed)
    for reason, count in found.most_common():
        print(f"{count:>9,}  {reason}")
    print(f"{sum(found.values()):>9,}  questions, no exception, every named model within its limits")


if __name__ == "__main__":
    main()
