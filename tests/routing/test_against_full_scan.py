"""The lookup gives the answers of a plain full scan, on thousands of generated questions."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from routing import column_scan, full_scan
from routing.full_scan_world import World
from routing.generated import MAPPED, PROVIDERS, make_query, make_world
from routing.worlds import NOW_S, configure, model, rating, scored

from analytics.routing import Lookup, RouteAnswer, RouteQuery
from analytics.routing.board import Board


def crowd(rng: random.Random, size: int) -> World:
    """Many models of nearly the same, well-known quality: nearly every answer is a tie."""
    keys = [f"{rng.choice(PROVIDERS)}/m{index:04}" for index in range(size)]
    models = [model(key, pricing_input=rng.choice([None, *(n / 64 for n in range(1, 500))])) for key in keys]
    rows = [
        rating(
            key,
            "code",
            rng.randint(920, 936) / 1024,
            rng.choice([4, 4096, 65_536]),
            quality_se=rng.choice([0.0, 0.0, 0.001, 0.001, 0.02, 0.024]),
        )
        for key in keys
    ]
    return World(models, [], MAPPED, rows, NOW_S)


@pytest.mark.parametrize(("size", "questions"), [(12, 100), (300, 60), (1_500, 15)])
def test_ties_of_a_crowd_are_settled_like_a_full_scan(tmp_path: Path, size: int, questions: int) -> None:
    rng = random.Random(size)
    world = crowd(rng, size)
    configure(tmp_path, world.models, world.agents, world.tasks, allowed=world.allowed, stored=world.policies)
    scored(tmp_path, world.scores)
    lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)
    ties = 0
    for _ in range(questions):
        deny = rng.sample([row["id"] for row in world.models], size // rng.choice([2, 3, 10]))
        tokens: dict[str, Any] = (
            {"input_tokens": rng.randint(1, 999), "output_tokens": rng.randint(1, 999)} if rng.random() < 0.7 else {}
        )
        query = RouteQuery(task="code", deny=tuple(deny), top=rng.choice([1, 4, 100]), **tokens)
        answer, expected = lookup.route(query), full_scan.route(world, query)
        assert (answer.model, [fallback.model for fallback in answer.fallbacks]) == (
            expected.model,
            expected.fallbacks,
        ), query
        ties += answer.reason_codes[0] == "cheaper_of_a_tie"
    assert ties > questions / 3


def opened(home: Path, world: World) -> Lookup:
    configure(home, world.models, world.agents, world.tasks, allowed=world.allowed, stored=world.policies)
    scored(home, world.scores)
    lookup = Lookup.open(home, watch=False, clock=lambda: NOW_S)
    assert lookup.problems == ()
    return lookup


def assert_same(answer: RouteAnswer, expected: full_scan.Expected, query: RouteQuery) -> None:
    found = (answer.model, answer.score, [fallback.model for fallback in answer.fallbacks], answer.rejected)
    assert found == (expected.model, expected.score, expected.fallbacks, expected.rejected), query
    relaxed = {code.removeprefix("relax_") for code in answer.reason_codes if code.startswith("relax_")}
    assert relaxed == (set() if answer.model else set(expected.relax)), query
    if answer.score is not None:
        assert sum(part.weight * part.value for part in answer.parts) == pytest.approx(answer.score)


@pytest.mark.parametrize(
    ("seed", "size", "questions"),
    [(1, 1, 100), (2, 8, 1_500), (3, 30, 2_000), (4, 30, 2_000), (5, 60, 1_500), (6, 900, 100)],
)
def test_the_fast_path_equals_a_full_scan(tmp_path: Path, seed: int, size: int, questions: int) -> None:
    rng = random.Random(seed)
    world = make_world(rng, size)
    lookup = opened(tmp_path, world)
    answered = 0
    for _ in range(questions):
        query = make_query(rng, world)
        answer = lookup.route(query)
        assert_same(answer, full_scan.route(world, query), query)
        answered += answer.model is not None
    assert size < 30 or questions / 5 < answered < questions


@pytest.mark.parametrize(("seed", "size", "questions"), [(7, 8, 1_000), (8, 60, 1_000), (9, 400, 50)])
def test_the_scan_by_columns_equals_the_scan_by_rows(seed: int, size: int, questions: int) -> None:
    rng = random.Random(seed)
    world = make_world(rng, size)
    columns = column_scan.Columns(world)
    for _ in range(questions):
        query = make_query(rng, world)
        expected, found = full_scan.route(world, query), column_scan.route(columns, query)
        assert found == expected, query


@pytest.mark.parametrize(
    ("size", "questions"),
    [
        (1_000, 1_000),
        (11_000, 250),
        pytest.param(1_000, 100_000, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
        pytest.param(11_000, 100_000, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
        pytest.param(100_000, 2_000, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
)
def test_large_catalogs_are_answered_like_a_full_scan(tmp_path: Path, size: int, questions: int) -> None:
    rng = random.Random(size)
    world = make_world(rng, size)
    lookup, columns = opened(tmp_path, world), column_scan.Columns(world)
    for _ in range(questions):
        query = make_query(rng, world)
        assert_same(lookup.route(query), column_scan.route(columns, query), query)


@pytest.mark.parametrize(("seed", "size", "questions"), [(10, 30, 1_000), (11, 400, 300)])
def test_a_catalog_beyond_its_cache_is_answered_like_a_full_scan(
    tmp_path: Path, seed: int, size: int, questions: int
) -> None:
    """As millions of models are: no view has the rows of all of them at hand, and hardly anything is kept."""
    rng = random.Random(seed)
    world = make_world(rng, size)
    lookup, columns = opened(tmp_path, world), column_scan.Columns(world)
    board = lookup._state.board
    assert board is not None
    lookup._state = replace(lookup._state, board=Board.of(board.catalog, board.scores, cache_bytes=0))
    for _ in range(questions):
        query = make_query(rng, world)
        assert_same(lookup.route(query), column_scan.route(columns, query), query)
    assert lookup._state.board is not None
    assert all(view.whole is None for view in lookup._state.board.views.values())


def test_bounds_between_any_two_figures_are_taken_to_the_letter(tmp_path: Path) -> None:
    rng = random.Random(8)
    world = make_world(rng, 400)
    lookup, columns = opened(tmp_path, world), column_scan.Columns(world)
    bounds: dict[str, Any] = {
        "max_usd_per_query": lambda: rng.uniform(0, 0.01),
        "max_price": lambda: {"prompt": rng.choice([0, 0.1, rng.uniform(0, 3)]), "completion": rng.uniform(0, 11)},
        "min_context": lambda: rng.choice([4_000, 4_001, rng.randrange(130_000)]),
        "max_ttft_p95_ms": lambda: rng.uniform(90, 3_000),
        "max_latency_p95_ms": lambda: rng.uniform(90, 3_000),
        "min_tps": lambda: rng.uniform(90, 3_000),
        "max_failure_rate": lambda: rng.choice([0, 0.25, rng.random()]),
        "min_quality": lambda: rng.choice([0.75, 0.984375, rng.uniform(0.6, 1)]),
        "min_samples": lambda: rng.choice([1, 4, 5, 64, 4_097, rng.randrange(70_000)]),
        "max_age_s": lambda: rng.uniform(0, 90_000),
    }
    for _ in range(300):
        limits = {name: bounds[name]() for name in rng.sample(sorted(bounds), rng.randint(1, 3))}
        tokens = {name: rng.choice([0, rng.randrange(4_000)]) for name in ("input_tokens", "output_tokens")}
        query = RouteQuery(
            task=rng.choice(["code", "analysis"]),
            allow_unknown=rng.random() < 0.3,
            **limits,
            **tokens if rng.random() < 0.7 else {},
        )
        assert_same(lookup.route(query), column_scan.route(columns, query), query)
