"""From ratings to answers: what `score` learns, published, and asked for by agents and tenants."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from routing.worlds import configure, enabled, model

from analytics.lake import DIMENSIONS, EVENTS, to_arrow
from analytics.routing import Lookup, RouteAnswer, RouteQuery
from analytics.scoring.publish import publish
from analytics.scoring.tables import compute

NOW = datetime(2026, 11, 21, tzinfo=UTC)
GOOD, BAD = "a/good", "b/bad"
Said = tuple[str, float, int, Mapping[str, Any]]


def said(key: str, rating: float, times: int, **about: Any) -> Said:
    """So many people's rating of a model; `about` may say days_ago, tenant_id, agent_id, task_type."""
    return key, rating, times, about


def learned(
    home: Path, opinions: Iterable[Said], agents: Sequence[Any] = (), *, half_life_days: float = 60.0
) -> Lookup:
    """The opinions through the SQL of scoring, published with two models of equal base priority, and opened."""
    events: list[dict[str, Any]] = []
    for key, rating, times, about in opinions:
        told = {"task_type": "code", **about}
        when = NOW - timedelta(days=told.pop("days_ago", 0), seconds=1)
        for _ in range(times):
            name = f"{len(events):04}"
            events.append(
                {
                    "id": f"f{name}",
                    "message_id": f"m{name}",
                    "user_id": f"u{name}",
                    "model": key,
                    "rating": rating,
                    "feedback_type": "explicit",
                    "is_simulated": False,
                    "created_at": when.isoformat(),
                    **told,
                }
            )
    catalog = [
        {"id": key, "provider_id": key[0], "external_id": key, "priority": 50, "is_simulated": False}
        for key in (GOOD, BAD)
    ]
    inputs = {name: to_arrow(name, ()) for name in (*EVENTS, *DIMENSIONS)}
    inputs |= {"feedback_events": to_arrow("feedback_events", events), "catalog": to_arrow("catalog", catalog)}
    values = {"is_simulated": False, "as_of": NOW, "half_life_days": half_life_days}
    values |= {"user_share": 0.2, "user_votes": 5, "tenant_share": 0.2, "tenant_votes": 10}
    about_it = {"kind": "scoring", "is_simulated": False, "as_of": NOW.isoformat(timespec="microseconds"), "inputs": {}}
    publish(home / "scoring", compute(("routing_scores",), inputs, values), about_it)
    configure(home, [model(GOOD, priority=50), model(BAD, priority=50)], agents, policies={})
    lookup = Lookup.open(home, watch=False, clock=NOW.timestamp)
    assert not lookup.problems
    return lookup


def ask(lookup: Lookup, **fields: Any) -> RouteAnswer:
    return lookup.route(RouteQuery(task="code", policy="learned", **fields))


def test_what_was_good_long_ago_gives_way_to_what_is_good_now(tmp_path: Path) -> None:
    """Twelve of each: the older ones speak for the one model, the newer ones for the other."""
    opinions = [said(GOOD, 0.9, 12, days_ago=180), said(GOOD, 0.3, 8), said(BAD, 0.6, 20)]
    fading = ask(learned(tmp_path / "fading", opinions))
    lasting = ask(learned(tmp_path / "lasting", opinions, half_life_days=1e9))
    assert (fading.model, lasting.model) == (BAD, GOOD)
    assert fading.evidence is not None
    assert fading.evidence.n == 20, "the count is of all ratings, however old"


def test_a_tenant_is_answered_by_its_own_ratings_once_it_has_enough(tmp_path: Path) -> None:
    others = [said(key, rating, 10, tenant_id=name) for name in ("x", "y") for key, rating in ((GOOD, 0.8), (BAD, 0.5))]
    few = learned(
        tmp_path / "few", [*others, said(GOOD, 0.4, 1, tenant_id="acme"), said(BAD, 0.6, 1, tenant_id="acme")]
    )
    many = learned(
        tmp_path / "many", [*others, said(GOOD, 0.4, 40, tenant_id="acme"), said(BAD, 0.6, 40, tenant_id="acme")]
    )
    asked = [(ask(lookup).model, ask(lookup, tenant="acme").model) for lookup in (few, many)]
    assert asked == [(GOOD, GOOD), (GOOD, BAD)]
    leaning, own = (ask(lookup, tenant="acme").evidence for lookup in (few, many))
    assert leaning is not None
    assert own is not None
    assert leaning.own_share is not None
    assert own.own_share is not None
    assert leaning.own_share < 0.6
    assert own.own_share > 0.9
    assert own.basis == "tenant_ratings"


def test_an_agents_ratings_count_for_that_agent_alone(tmp_path: Path) -> None:
    others = [said(GOOD, 0.8, 20, agent_id="clerk"), said(BAD, 0.5, 20, agent_id="clerk")]
    own = [said(GOOD, 0.2, 20, agent_id="scribe"), said(BAD, 0.9, 20, agent_id="scribe")]
    agents = [enabled(agent, key) for agent in ("clerk", "scribe") for key in (GOOD, BAD)]
    lookup = learned(tmp_path, [*others, *own], agents)
    assert (ask(lookup, agent="clerk").model, ask(lookup, agent="scribe").model) == (GOOD, BAD)
    evidence = ask(lookup, agent="scribe").evidence
    assert evidence is not None
    assert (evidence.basis, evidence.n) == ("agent_ratings", 20)


def test_a_model_rated_at_no_such_task_is_judged_by_its_other_tasks(tmp_path: Path) -> None:
    essays = [said(GOOD, 0.9, 20, task_type="essay"), said(BAD, 0.2, 20, task_type="essay")]
    lookup = learned(tmp_path, [*essays, said(BAD, 0.3, 20)])
    answer = ask(lookup)
    assert answer.model == GOOD
    assert answer.evidence is not None
    assert (answer.evidence.n, answer.evidence.own_share, answer.evidence.basis) == (0, 0, "overall")
