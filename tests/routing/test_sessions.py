"""A conversation stays with its model as long as that costs little, and the answer says when it moves and why."""

from pathlib import Path
from typing import Any

import pytest
from routing.worlds import NOW_S, configure, model, policy, rating, scored

from analytics.routing import Lookup, RouteAnswer, RouteQuery

TWINS = [f"{'abc'[n % 3]}/m{n}" for n in range(12)]


def opened(home: Path, models: Any, scores: Any, **more: Any) -> Lookup:
    configure(home, models, [], [], **more)
    scored(home, scores)
    return Lookup.open(home, watch=False, clock=lambda: NOW_S)


def talk(lookup: Lookup, session: str = "talk", **more: Any) -> RouteAnswer:
    return lookup.route(RouteQuery(task="code", session=session, **more))


@pytest.fixture
def twins(tmp_path: Path) -> Lookup:
    """A dozen models that are as good and as cheap as each other, and one that is worse."""
    scores = [rating(key, "code", 0.9, 5_000, quality_se=0.001) for key in TWINS]
    scores.append(rating("a/worse", "code", 0.7, 5_000, quality_se=0.001))
    return opened(tmp_path, [model(key) for key in [*TWINS, "a/worse"]], scores)


def test_a_session_gets_the_same_model_every_time_and_sessions_are_spread(twins: Lookup) -> None:
    first = talk(twins)
    assert first.model in TWINS
    assert first.model not in [fallback.model for fallback in first.fallbacks]
    assert "session_hashed" in first.reason_codes
    assert {talk(twins).model for _ in range(5)} == {first.model}
    used = {talk(twins, f"s{n}").model for n in range(200)}
    assert used == set(TWINS)
    assert twins.route(RouteQuery(task="code")).model == "a/m0", "without a session nothing is different"


def test_a_model_that_goes_moves_its_own_sessions_and_no_other(twins: Lookup) -> None:
    before = {f"s{n}": str(talk(twins, f"s{n}").model) for n in range(60)}
    gone = before["s0"]
    after = {session: talk(twins, session, deny=(gone,)).model for session in before}
    assert {session for session in before if before[session] != after[session]} == {
        session for session, key in before.items() if key == gone
    }


def test_the_sessions_model_is_kept_though_the_hash_would_choose_another(twins: Lookup) -> None:
    hashed = talk(twins).model
    other = next(key for key in TWINS if key != hashed)
    answer = talk(twins, session_model=other)
    assert (answer.model, answer.reason_codes[0]) == (other, "session_kept")
    assert answer.reasons[0].startswith("The session stays with M")


def test_a_session_moves_from_a_model_that_fails_a_limit_and_says_which(twins: Lookup) -> None:
    answer = talk(twins, session_model="a/m0", ignore=("a",))
    assert str(answer.model).startswith(("b/", "c/"))
    assert answer.reason_codes[0] == "session_moved"
    assert answer.reasons[0].startswith("The session moves from M0 to M")
    assert answer.reasons[0].endswith("M0 is of an ignored provider.")
    assert "old/one is not in the catalog any more" in talk(twins, session_model="old/one").reasons[0]
    assert talk(twins, session_model="a/m0", only=("nobody",)).source == "none"


def test_a_session_moves_when_staying_costs_too_much_quality(tmp_path: Path) -> None:
    def asked(quality: float) -> RouteAnswer:
        scores = [
            rating("a/one", "code", 0.9, 5_000, quality_se=0.0),
            rating("b/two", "code", quality, 5_000, quality_se=0.0),
        ]
        lookup = opened(tmp_path, [model("a/one"), model("b/two", pricing_input=9.0)], scores)
        return talk(lookup, session_model="b/two")

    kept = asked(0.86)
    assert (kept.model, kept.reason_codes[0], [one.model for one in kept.fallbacks]) == (
        "b/two",
        "session_kept",
        ["a/one"],
    )
    assert (
        kept.reasons[0]
        == "The session stays with Two: One scores higher, but staying is expected to lose only 4.00 % of quality."
    )
    moved = asked(0.84)
    assert (moved.model, moved.reason_codes[:2]) == ("a/one", ("session_moved", "best_score"))
    assert moved.reasons[0] == "The session moves from Two to One: staying would be expected to lose 6.00 % of quality."


@pytest.mark.parametrize(("kept_within", "kept"), [(0, "a/one"), (3.9, "a/one"), (4.1, "b/two"), (None, "b/two")])
def test_a_policy_says_how_much_a_session_may_lose_by_staying(
    tmp_path: Path, kept_within: float | None, kept: str
) -> None:
    scores = [rating(key, "code", quality, 5_000, quality_se=0.0) for key, quality in (("a/one", 0.9), ("b/two", 0.86))]
    rules = {"weights": {"quality": 1}, "tie_delta": 0.01, "kept_within": kept_within}
    configure(
        tmp_path, [model("a/one"), model("b/two", pricing_input=9.0)], stored=[policy("calm", rules, is_active=True)]
    )
    scored(tmp_path, scores)
    lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S)
    assert talk(lookup, session_model="b/two").model == kept


def test_under_a_sort_the_session_follows_the_figure(tmp_path: Path) -> None:
    models = [model("a/one", pricing_input=1.0), model("b/two", pricing_input=1.0), model("c/dear", pricing_input=5.0)]
    lookup = opened(tmp_path, models, [rating(row["id"], "code", 0.9, 100) for row in models])
    assert talk(lookup, sort="price", session_model="b/two").model == "b/two"
    moved = talk(lookup, sort="price", session_model="c/dear")
    assert (moved.model, moved.reason_codes[0]) == ("a/one", "session_moved")
    assert moved.reasons[0].endswith("One, which comes first by price.")


def test_a_session_takes_no_dearer_model_than_the_best(tmp_path: Path) -> None:
    models = [model("a/one", pricing_input=1.0), model("b/dear", pricing_input=5.0)]
    lookup = opened(tmp_path, models, [rating(row["id"], "code", 0.9, 5_000, quality_se=0.001) for row in models])
    assert {talk(lookup, f"s{n}").model for n in range(20)} == {"a/one"}


def test_a_policy_that_cannot_be_used_answers_no_session(tmp_path: Path) -> None:
    broken = dict(policy("odd", is_active=True)) | {"rules": "{"}
    lookup = opened(tmp_path, [model("a/one")], [rating("a/one", "code", 0.9, 10)], stored=[broken])
    assert (talk(lookup).source, talk(lookup, session_model="a/one").model) == ("none", None)


def test_a_sessions_model_needs_its_session() -> None:
    with pytest.raises(ValueError, match="session must be given together with session_model"):
        RouteQuery(session_model="a/one")
    with pytest.raises(ValueError, match="session must be a text"):
        RouteQuery(session="")
