"""Fresh feedback is capped by the published settings, as `score` will cap it when it has it."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from routing.worlds import AS_OF, NOW_S, configure, model, rating, scored

from analytics.lake import DIMENSIONS, EVENTS, to_arrow
from analytics.routing import Lookup, RouteQuery
from analytics.routing.caps import VoteCaps, counted
from analytics.routing.fresh import Opinion
from analytics.scoring.tables import compute

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("caps", "heard"),
    [
        ({}, 10),
        ({"tenant_votes": 3, "tenant_share": 0.0}, 3),
        ({"tenant_share": 0.5}, 20),
        ({"tenant_share": 1.0}, 50),
        ({"user_votes": 1, "user_share": 0.0, "tenant_share": 1.0}, 2),
    ],
)
def test_votes_count_as_the_published_configuration_says(tmp_path: Path, caps: dict[str, Any], heard: int) -> None:
    """Fifty votes of two users of one tenant, beside twenty that were scored."""
    configure(tmp_path, [model("a/one")], feedback={"user_share": 1.0} | caps)
    scored(tmp_path, [rating("a/one", "code", 0.5, 20)])
    lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S + 60)
    for number in range(50):
        user = f"u{number % 2}"
        lookup.note_feedback("a/one", 1.0, task="code", tenant="acme", user=user, message_id=f"m{number}")
    answer = lookup.route(RouteQuery(task="code"))
    assert answer.evidence is not None
    assert answer.evidence.n == 20 + heard


@pytest.mark.parametrize("told", [{"user_share": 2}, {"user_votes": 0}, {"tenant_votes": "ten"}, {"votes": 1}, []])
def test_caps_that_make_no_sense_stop_the_configuration(tmp_path: Path, told: Any) -> None:
    configure(tmp_path, [model("a/one")], feedback=told)
    answer = Lookup.open(tmp_path, watch=False).route()
    assert (answer.source, answer.reason_codes[0]) == ("none", "configuration_corrupt")


def test_a_house_of_one_tenant_hears_all_of_it(tmp_path: Path) -> None:
    configure(tmp_path, [model("a/one")])
    own = [rating("a/one", "code", 0.5, 20), rating("a/one", "code", 0.5, 20, tenant_id="acme")]
    scored(tmp_path, own, as_of=AS_OF)
    lookup = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S + 60)
    for number in range(50):
        lookup.note_feedback("a/one", 1.0, task="code", tenant="acme", user=f"u{number}", message_id=f"m{number}")
    answer = lookup.route(RouteQuery(task="code"))
    assert answer.evidence is not None
    assert answer.evidence.n == 70


@pytest.mark.parametrize("seed", range(6))
def test_what_counts_at_once_is_what_counts_when_it_is_scored(seed: int) -> None:
    """The same votes through `capped_votes.sql`: the same of them count for everyone."""
    chance = random.Random(seed)
    caps = VoteCaps(
        chance.choice([0.1, 0.2, 0.5]), chance.randint(1, 4), chance.choice([0.1, 0.3]), chance.randint(1, 6)
    )
    votes = [
        Opinion(
            "a/one", 0.5, "code", None, chance.choice(["t", "t", "t", "s", None]), chance.choice(["u", "v", "w", None]),
            f"m{number:03}", number,
        )
        for number in range(60)
    ]  # fmt: skip
    events = [
        {
            "id": f"f{vote.message_id}",
            "message_id": vote.message_id,
            "user_id": vote.user,
            "tenant_id": vote.tenant,
            "model": vote.model,
            "task_type": vote.task,
            "rating": vote.rating,
            "feedback_type": "explicit",
            "is_simulated": False,
            "created_at": (NOW - timedelta(seconds=100 - vote.at)).isoformat(),
        }
        for vote in votes
    ]
    inputs = {name: to_arrow(name, ()) for name in (*EVENTS, *DIMENSIONS)}
    inputs["feedback_events"] = to_arrow("feedback_events", events)
    inputs["catalog"] = to_arrow(
        "catalog", [{"id": "a/one", "provider_id": "a", "external_id": "a/one", "is_simulated": False}]
    )
    values = {"is_simulated": False, "as_of": NOW, "half_life_days": 60.0}
    values |= {name: getattr(caps, name) for name in VoteCaps.__dataclass_fields__}
    rows = compute(("capped_votes",), inputs, values)["capped_votes"].to_pylist()
    scored_ids = sorted(row["message_id"] for row in rows if row["audience"] == "everyone")
    now = counted(caps, votes[::-1], 0, only_user=False, only_tenant=False)
    assert sorted(vote.message_id or "" for vote in now) == scored_ids, json.dumps(values, default=str)
    assert 0 < len(now) < len(votes)
