"""Opinions once more, slowly and obviously: which is the newest, whose counts for whom, and what they come to."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from proof.plain import Row, World, counted, grouped, mean, model_key, ratings, rounded, variance, wilson


@dataclass(frozen=True)
class Caps:
    """Shares that one user and one tenant may have of what counts, and how many of theirs count in any case."""

    user_share: Fraction = Fraction(1, 5)
    user_votes: int = 5
    tenant_share: Fraction = Fraction(1, 5)
    tenant_votes: int = 10


def votes(world: World, kind: bool) -> list[Row]:
    """One opinion of each user on each message as of the moment of scoring: said before told, the newest of its sort."""
    valid = [
        row
        for row in ratings(world)
        if row["left_out"] is None and row["is_simulated"] == kind and row["at"] <= world.as_of
    ]
    opinions = grouped(valid, lambda row: (row.get("message_id"), row.get("user_id")))
    chosen = []
    for rows in opinions.values():
        for kinds in (("explicit",), ("implicit", "peer"), ("self_eval",)):
            of_kind = [row for row in rows if row["feedback_type"] in kinds]
            if of_kind:
                chosen.append(max(of_kind, key=lambda row: (row["at"], row["id"])))
                break
    return [{**row, "key": model_key(world, kind, None, row["model"]) or row["model"]} for row in chosen]


def newest_first(rows: Sequence[Row]) -> list[Row]:
    def rank(row: Row) -> Any:
        return (-row["at"].timestamp(), row.get("message_id") or "~", row.get("user_id") or "~")

    return sorted(rows, key=rank)


def tenant_of(row: Row) -> str:
    return row.get("tenant_id") or ""


def rater_of(row: Row) -> tuple[str, str]:
    return tenant_of(row), row.get("user_id") or ""


def beside(others: int, share: Fraction) -> int:
    """So many votes that, beside the others, they are at most that share of all."""
    return math.floor(share * others / (1 - share))


def capped(circle: Sequence[Row], caps: Caps) -> list[Row]:
    """What counts in a circle (everyone's ratings, or all those of one agent's answers), model by model and task by task."""
    only_rater = len({rater_of(row) for row in circle}) == 1
    only_tenant = len({tenant_of(row) for row in circle}) == 1
    found: list[Row] = []
    for cell in grouped(circle, lambda row: (row["key"], row.get("task_type"))).values():
        of_users: list[Row] = []
        for mine in grouped(cell, rater_of).values():
            others = len(cell) - len(mine)
            free = only_rater or caps.user_share == 1
            most = 0 if free else max(caps.user_votes, beside(others, caps.user_share))
            of_users += mine if free else newest_first(mine)[:most]
        for ours in grouped(of_users, tenant_of).values():
            others = len(of_users) - len(ours)
            free = only_tenant or caps.tenant_share == 1
            most = 0 if free else max(min(caps.tenant_votes, others), beside(others, caps.tenant_share))
            found += ours if free else newest_first(ours)[:most]
    return found


def experience(
    world: World, kind: bool, caps: Caps = Caps()
) -> dict[tuple[str, str | None, str | None, str | None], Row]:
    """By model, task type (None: all), tenant and agent (None: everyone): what was said and what was graded."""
    said: dict[Any, list[Row]] = defaultdict(list)
    given = votes(world, kind)
    for row in capped(given, caps):
        for task in {None, row.get("task_type")}:
            said[row["key"], task, None, None].append(row)
    by_agent = grouped(given, lambda row: row.get("agent_id"))
    for agent, rows in by_agent.items():
        for row in capped(rows, caps) if agent is not None else ():
            for task in {None, row.get("task_type")}:
                said[row["key"], task, None, agent].append(row)
    for row in given:  # a tenant hears all of its own, by task only
        if row.get("tenant_id") is not None and row.get("task_type") is not None:
            for agent in {None, row.get("agent_id")}:
                said[row["key"], row["task_type"], row["tenant_id"], agent].append(row)
    graded: dict[Any, list[Row]] = defaultdict(list)
    tasks = grouped(world["task_domains"], lambda row: row["domain"])
    for row in counted(world, kind):
        for task in {None, *(mapping["task_type"] for mapping in tasks.get(row["in_domain"], ()))}:
            graded[row["key"], task, None, None].append(row)
    found = {}
    for key in {*said, *graded}:
        marks = [row["correct"] for row in graded[key] if row["correct"] is not None]
        steps = [rounded(row["rating"], 10**6) for row in said[key]]
        if not marks and not steps:
            continue
        found[key] = {
            "rating_n": len(steps), "rating_mean": mean(steps, 10**6), "rating_variance": variance(steps, 10**6), "graded": len(marks),
            "correct": marks.count(True), "accuracy": mean([int(mark) for mark in marks]),
            "last_seen": max(row["at"] for row in (*said[key], *graded[key])),
        }  # fmt: skip
        found[key]["rating_mean_low"], found[key]["rating_mean_high"] = wilson(mean(steps, 10**6), len(steps))
    return found
