"""Feedback counts at once in the process that heard it, capped, until a snapshot holds it."""

import random
from pathlib import Path
from typing import Any

import pytest
from routing.worlds import NOW_S, configure, enabled, model, rating, scored

from analytics.routing import Lookup, RouteQuery
from analytics.routing.fresh import MOST

KEYS = ("a/one", "b/two", "c/three")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    configure(tmp_path, [model(key, priority=50) for key in KEYS], [enabled("helper", key) for key in KEYS])
    scored(tmp_path, [rating(key, "code", quality, 20) for key, quality in zip(KEYS, (0.8, 0.7, 0.6), strict=True)])
    return tmp_path


def opened(home: Path, after_s: float = 60) -> Lookup:
    return Lookup.open(home, watch=False, clock=lambda: NOW_S + after_s)


def best(lookup: Lookup, **fields: Any) -> str | None:
    return lookup.route(RouteQuery(**({"task": "code"} | fields))).model


def test_a_bad_rating_moves_the_next_answer_and_the_answer_says_so(home: Path) -> None:
    lookup = opened(home)
    before = lookup.route(RouteQuery(task="code"))
    for number in range(10):
        lookup.note_feedback("a/one", 0.0, task="code", user=f"u{number}", message_id=f"m{number}")
    after = lookup.route(RouteQuery(task="code"))
    assert (before.model, after.model) == ("a/one", "b/two")
    one = lookup.route(RouteQuery(task="code", allow=("a/one",)))
    assert one.evidence is not None
    assert (one.evidence.n, one.evidence.quality) == (30, pytest.approx(0.8 * 20 / 30))
    assert "fresh_feedback" in one.reason_codes
    assert one.score == pytest.approx(sum(part.weight * part.value for part in one.parts))


def test_other_tasks_are_not_touched(home: Path) -> None:
    lookup = opened(home)
    lookup.note_feedback("a/one", 0.0, task="poetry")
    answer = lookup.route(RouteQuery(task="code"))
    assert answer.score == pytest.approx(0.3 * 0.5 + 0.7 * 0.8)
    assert "fresh_feedback" not in answer.reason_codes


def test_of_a_user_and_a_message_the_newest_opinion_counts(home: Path) -> None:
    lookup = opened(home)
    for stars in [0.0] * 50 + [1.0]:
        lookup.note_feedback("a/one", stars, task="code", user="u", message_id="m")
    answer = lookup.route(RouteQuery(task="code", allow=("a/one",)))
    assert answer.evidence is not None
    assert (answer.evidence.n, answer.evidence.quality) == (21, pytest.approx((0.8 * 20 + 1) / 21))


def test_an_agents_opinion_counts_most_for_that_agent(home: Path) -> None:
    lookup = opened(home)
    for number in range(10):
        lookup.note_feedback("a/one", 0.0, task="code", agent="helper", tenant="t", message_id=f"m{number}")
    assert best(lookup, agent="helper") == "b/two"
    own = lookup.route(RouteQuery(task="code", agent="helper", allow=("a/one",)))
    assert own.parts[1].basis == "agent_ratings"
    assert lookup.route(RouteQuery(task="code", tenant="other", allow=("a/one",))).parts[1].basis == "ratings"


def test_a_thousand_votes_of_one_tenant_count_as_ten_for_everyone(home: Path) -> None:
    lookup = opened(home)
    for number in range(1000):
        lookup.note_feedback("c/three", 1.0, task="code", tenant="t", user=f"u{number}", message_id=f"m{number}")
    answer = lookup.route(RouteQuery(task="code", allow=("c/three",)))
    assert answer.evidence is not None
    assert answer.evidence.n == 30
    everyone = lookup.route(RouteQuery(task="code", top=3))
    order = [everyone.model, *(fallback.model for fallback in everyone.fallbacks)]
    assert order.index("c/three") >= 1, "a thousand votes move it by one place at most"


def test_the_overlay_is_bounded(home: Path) -> None:
    lookup = opened(home)
    for number in range(MOST + 50):
        lookup.note_feedback("a/one", 1.0, task="code", message_id=f"m{number}")
    board = lookup._state.board
    assert board is not None
    assert len(board.fresh.opinions) == MOST
    assert board.fresh.opinions[-1].message_id == f"m{MOST + 49}"


def test_a_snapshot_that_holds_it_takes_its_place_and_an_older_one_does_not(home: Path) -> None:
    lookup = opened(home, after_s=100)
    for number in range(10):
        lookup.note_feedback("a/one", 0.0, task="code", message_id=f"m{number}")
    assert best(lookup) == "b/two"
    rows = [rating(key, "code", quality, 20) for key, quality in zip(KEYS, (0.8, 0.7, 0.6), strict=True)]
    scored(home, rows, as_of="2026-11-21T02:01:00.000000Z")  # 60 s: before they were given
    assert lookup.refresh()
    assert best(lookup) == "b/two"
    scored(home, rows, as_of="2026-11-21T02:02:00.000000Z")
    assert lookup.refresh()
    answer = lookup.route(RouteQuery(task="code"))
    assert (answer.model, "fresh_feedback" in answer.reason_codes) == ("a/one", False)
    board = lookup._state.board
    assert board is not None
    assert board.fresh.opinions == ()


def test_a_new_configuration_keeps_the_overlay(home: Path) -> None:
    lookup = opened(home)
    for number in range(10):
        lookup.note_feedback("a/one", 0.0, task="code", message_id=f"m{number}")
    configure(home, [model(key, priority=50, display_name="x") for key in KEYS])
    assert lookup.refresh()
    assert best(lookup) == "b/two"


@pytest.mark.parametrize("stars", [-0.1, 1.1, float("nan"), "0.5", None, True])
def test_a_rating_that_is_none_is_named(home: Path, stars: Any) -> None:
    with pytest.raises(ValueError, match="rating"):
        opened(home).note_feedback("a/one", stars, task="code")


def test_before_there_are_scores_and_of_unknown_models_feedback_is_harmless(tmp_path: Path, home: Path) -> None:
    empty = opened(tmp_path / "empty")
    empty.note_feedback("a/one", 1.0)
    assert empty.route().source == "none"
    lookup = opened(home)
    lookup.note_feedback("nobody/knows", 1.0, task="code")
    assert best(lookup) == "a/one"


def test_the_quick_way_equals_the_slow_one_under_an_overlay(tmp_path: Path) -> None:
    """Every model's score by itself, in order, against the answer over all: 300 models, opinions at random."""
    chance = random.Random(5)
    keys = [f"p{number % 7}/m{number}" for number in range(300)]
    configure(
        tmp_path,
        [model(key, priority=chance.randrange(101)) for key in keys],
        [enabled("helper", key) for key in keys[:40]],
    )
    scored(
        tmp_path,
        [rating(key, "code", chance.random(), chance.randrange(1, 50)) for key in keys if chance.random() < 0.5],
    )
    lookup = opened(tmp_path)
    for number in range(60):
        lookup.note_feedback(
            chance.choice(keys), chance.random(), task=chance.choice(["code", None]), agent=chance.choice(["helper", None]),
            tenant=chance.choice(["t", "s", None]), user=f"u{number % 9}", message_id=f"m{number}",
        )  # fmt: skip
    for fields in (
        {}, {"agent": "helper"}, {"tenant": "t"}, {"agent": "helper", "tenant": "s"}, {"min_quality": 0.7},
        {"min_samples": 20, "tenant": "t"}, {"weights": {"quality": 1, "cost": 1}}, {"sort": "quality"}, {"task": None},
    ):  # fmt: skip
        asked = {"task": "code", "top": 1} | fields
        answer = lookup.route(RouteQuery(**asked))
        alone = [lookup.route(RouteQuery(**asked, allow=(key,))) for key in keys]
        fitting = [one for one in alone if one.model is not None]
        assert answer.model in {one.model for one in fitting}
        scores = {one.model: one.score for one in fitting}
        assert answer.score == pytest.approx(scores[answer.model])
        if "sort" not in fields:
            assert max(filter(None, scores.values())) - answer.score < 0.02, "the best, or a tie with it"
