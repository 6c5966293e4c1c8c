"""Which policy ranks, whose it is, which limits hold, and what its formula says to the letter."""

import json
from pathlib import Path
from typing import Any

import pytest
from routing.worlds import NOW_S, configure, enabled, model, policy, rating, score, scored

from analytics.routing import Lookup, RouteAnswer, RouteQuery

CHEAP = model("a/cheap", priority=20, pricing_input=0.1, pricing_output=0.1, cost_tier="free")
GOOD = model("b/good", priority=50, pricing_input=10.0, pricing_output=30.0, cost_tier="premium")
FAST = model("c/fast", priority=80, pricing_input=1.0, pricing_output=1.0, cost_tier="low")
SCORES = [
    rating("a/cheap", "code", 0.5, 1_000),
    rating("b/good", "code", 0.9, 1_000),
    rating("c/fast", "code", 0.6, 1_000),
    score("a/cheap", latency_p50_ms=6_000.0, failure_rate=0.1, requests=100),
    score("b/good", latency_p50_ms=3_000.0, failure_rate=0.0, requests=100),
    score("c/fast", latency_p50_ms=500.0, failure_rate=0.02, requests=100),
]


def opened(home: Path, *stored: Any, agents: Any = (), scores: Any = SCORES, **more: Any) -> Lookup:
    configure(home, [CHEAP, GOOD, FAST], agents, stored=stored, **more)
    scored(home, scores)
    lookup = Lookup.open(home, watch=False, clock=lambda: NOW_S)
    assert lookup.problems == ()
    return lookup


def ask(lookup: Lookup, **fields: Any) -> RouteAnswer:
    return lookup.route(RouteQuery(**{"task": "code"} | fields))


@pytest.mark.parametrize(
    ("name", "best"),
    [("default", "b/good"), ("best", "b/good"), ("cheapest", "a/cheap"), ("fastest", "c/fast"), ("balanced", "c/fast")],
)
def test_presets(tmp_path: Path, name: str, best: str) -> None:
    answer = ask(opened(tmp_path), policy=name)
    assert (answer.model, answer.policy) == (best, name)


def test_the_formula_of_a_preset_to_the_letter(tmp_path: Path) -> None:
    answer = ask(opened(tmp_path), policy="balanced", allow=["b/good"])
    price = (3 * 10 + 30) / 4
    expected = 0.1 * 0.5 + 0.45 * 0.9 + 0.15 * 2_000 / (2_000 + 3_000) + 0.15 * 1 / (1 + price) + 0.15 * 1.0
    assert answer.score == pytest.approx(expected, abs=1e-15)
    assert [(part.name, part.weight) for part in answer.parts] == [
        ("priority", 0.1),
        ("experience", 0.45),
        ("latency", 0.15),
        ("cost", 0.15),
        ("reliability", 0.15),
    ]
    assert "0.15 x reliability 1.00" in answer.reasons[2]


@pytest.mark.parametrize(("n", "share"), [(1, 0.15), (9, 0.03), (1_000_000, 0.3 / 1_000_001)])
def test_learned_lets_the_base_fade_with_evidence(tmp_path: Path, n: int, share: float) -> None:
    answer = ask(opened(tmp_path, scores=[rating("b/good", "code", 0.9, n)]), policy="learned", allow=["b/good"])
    assert answer.score == pytest.approx(share * 0.5 + (1 - share) * 0.9)
    assert answer.parts[0].weight == pytest.approx(share)


def test_learned_without_evidence_is_the_priority_alone(tmp_path: Path) -> None:
    assert ask(opened(tmp_path, scores=[]), policy="learned", allow=["b/good"]).score == 0.5


def test_what_is_unknown_earns_nothing(tmp_path: Path) -> None:
    answer = ask(opened(tmp_path, scores=[]), weights={"latency": 1, "reliability": 1})
    assert answer.score == 0


def test_weights_of_a_query_are_relative_and_replace_the_policys(tmp_path: Path) -> None:
    lookup = opened(tmp_path, policy("cheapest", is_active=True))
    assert ask(lookup).model == "a/cheap"
    assert ask(lookup, weights={"priority": 7}).model == "c/fast"
    answer = ask(lookup, weights={"priority": 3, "quality": 7}, allow=["b/good"])
    assert answer.score == pytest.approx(0.3 * 0.5 + 0.7 * 0.9)


OWNERS: list[tuple[dict[str, str], dict[str, str]]] = [
    ({}, {}),
    ({"tenant_id": "acme"}, {"tenant": "acme"}),
    ({"agent": "scribe"}, {"agent": "scribe"}),
    ({"agent": "scribe", "tenant_id": "acme"}, {"agent": "scribe", "tenant": "acme"}),
    ({"user_id": "ann"}, {"user": "ann"}),
    ({"user_id": "ann", "tenant_id": "acme"}, {"user": "ann", "tenant": "acme"}),
]
AGENTS = [enabled("scribe", key) for key in ("a/cheap", "b/good", "c/fast")]


@pytest.mark.parametrize(("owner", "who"), OWNERS)
def test_an_active_policy_ranks_for_its_owner(tmp_path: Path, owner: dict[str, str], who: dict[str, str]) -> None:
    lookup = opened(tmp_path, policy("cheapest", is_active=True, **owner), agents=AGENTS)
    assert (ask(lookup, **who).model, ask(lookup, **who).policy) == ("a/cheap", "cheapest")
    stranger = {name: "somebody else" for name in who if name != "agent"}
    if stranger:
        assert ask(lookup, **stranger).policy == "default"


def test_the_most_specific_one_ranks(tmp_path: Path) -> None:
    names = ["default", "cheapest", "fastest", "best", "balanced", "learned"]
    stored = [policy(name, is_active=True, **owner) for name, (owner, _) in zip(names, OWNERS, strict=True)]
    lookup = opened(tmp_path, *stored, agents=AGENTS)
    who = {"tenant": "acme", "agent": "scribe", "user": "ann"}
    assert ask(lookup, **who).policy == "learned"
    assert ask(lookup, **who | {"user": "bob"}).policy == "best"
    assert ask(lookup, tenant="acme").policy == "cheapest"
    assert ask(lookup, **who, policy="fastest").policy == "fastest"


def test_limits_add_up_from_the_broadest_to_the_named(tmp_path: Path) -> None:
    """Nobody escapes a tenant's limits by having, or naming, a policy of his own."""
    lookup = opened(
        tmp_path,
        policy("house", {"limits": {"deny": ["a/cheap"], "max_tier": "standard"}}, tenant_id="acme", is_active=True),
        policy("mine", {"limits": {"max_tier": "premium", "min_quality": 0.1}}, user_id="ann", is_active=True),
    )
    for policy_named in (None, "best", "mine"):
        answer = ask(lookup, tenant="acme", user="ann", policy=policy_named, allow_unknown=True)
        assert (answer.model, answer.fallbacks) == ("c/fast", ())
        assert answer.rejected == {"deny": 1, "max_tier": 1}
    assert ask(lookup, user="ann").model == "b/good"


def test_a_limit_of_a_policy_is_named_when_nothing_fits(tmp_path: Path) -> None:
    answer = ask(opened(tmp_path, policy("house", {"limits": {"max_tier": "free"}}, is_active=True)), min_quality=0.8)
    assert answer.reason_codes == ("nothing_fits", "relax_max_tier", "relax_min_quality")
    assert answer.reasons[1] == "Without tier <= free, 1 model would fit; without quality >= 0.8, 1 model would fit."


def test_the_active_version_counts_else_the_newest(tmp_path: Path) -> None:
    stored = [
        policy("mine", {"sort": "price"}, version=1, is_active=True),
        policy("mine", {"sort": "latency"}, version=2),
        policy("other", {"sort": "price"}, version=1),
        policy("other", {"sort": "latency"}, version=2),
    ]
    lookup = opened(tmp_path, *stored)
    assert ask(lookup).model == "a/cheap"
    assert ask(lookup, policy="other").model == "c/fast"


def test_a_policy_that_is_not_there_answers_nothing(tmp_path: Path) -> None:
    """It may have had limits that nobody knows."""
    lookup = opened(tmp_path, policy("secret", {"sort": "price"}, user_id="ann"))
    answer = ask(lookup, policy="secret")
    assert (answer.model, answer.reason_codes) == (None, ("policy_unusable",))
    assert answer.reasons[0].startswith('The policy "secret" is not there; there are: balanced, best, cheapest')
    assert ask(lookup, policy="secret", user="ann").model == "a/cheap"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"weights": {"beauty": 1}}, "numbers by name"),
        ({"weights": {"quality": 0}}, "at least one"),
        ({"limits": {"top": 1}}, "there is no rule or limit top"),
        ({"limits": {"min_quality": 2}}, "from 0 to 1"),
        ({"wieghts": {}}, "there is no rule or limit wieghts"),
        ({"sort": "beauty"}, "sort must be"),
        ({"fades_k": -1}, "fades_k must be"),
        ([1], "not an object"),
    ],
)
def test_a_stored_policy_that_makes_no_sense_stops_its_owner_alone(tmp_path: Path, rules: Any, said: str) -> None:
    broken = policy("odd", user_id="ann", is_active=True) | {"rules": json.dumps(rules)}
    lookup = opened(tmp_path, broken)
    answer = ask(lookup, user="ann")
    assert (answer.model, answer.reason_codes) == (None, ("policy_unusable",))
    assert said in answer.reasons[0]
    assert ask(lookup, user="bob").model == "b/good"


def test_a_policys_delta_says_what_a_tie_is(tmp_path: Path) -> None:
    """Quality 0.9 and 0.6: with a delta of one half the cheaper is as good."""
    lookup = opened(tmp_path, policy("thrifty", {"weights": {"quality": 1}, "tie_delta": 0.5}))
    answer = ask(lookup, policy="thrifty")
    assert (answer.model, answer.reason_codes[0]) == ("a/cheap", "cheaper_of_a_tie")


ALLOWED = [
    ("acme", None, "a/cheap"),
    ("acme", None, "b/good"),
    (None, "clerk", "b/good"),
    (None, "clerk", "c/fast"),
    ("acme", "boss", "a/cheap"),
]


class TestWhoMayUseWhat:
    def test_a_tenant_with_models_of_its_own_gets_no_other(self, tmp_path: Path) -> None:
        lookup = opened(tmp_path, allowed=ALLOWED)
        answer = ask(lookup, tenant="acme", policy="fastest", top=5)
        assert (answer.model, [f.model for f in answer.fallbacks], answer.rejected) == (
            "b/good",
            ["a/cheap"],
            {"tenant": 1},
        )
        assert ask(lookup, tenant="other", policy="fastest").model == "c/fast"

    def test_a_role_gets_what_its_capsule_allows(self, tmp_path: Path) -> None:
        lookup = opened(tmp_path, allowed=ALLOWED)
        assert ask(lookup, role="clerk", policy="fastest").model == "c/fast"
        assert ask(lookup, role="clerk", tenant="acme", policy="fastest").model == "b/good"
        assert ask(lookup, role="boss", tenant="acme").model == "a/cheap"

    def test_a_role_that_nobody_knows_gets_nothing(self, tmp_path: Path) -> None:
        lookup = opened(tmp_path, allowed=ALLOWED)
        for who in ({"role": "stranger"}, {"role": "boss"}, {"role": "boss", "tenant": "other"}):
            assert ask(lookup, **who).rejected == {"role": 3}

    def test_the_default_model_keeps_to_it_too(self, tmp_path: Path) -> None:
        configure(tmp_path, [CHEAP, FAST], allowed=[("acme", None, "a/cheap")], default_model="c/fast")
        answer = Lookup.open(tmp_path, watch=False).route(RouteQuery(tenant="acme"))
        assert (answer.model, answer.rejected) == (None, {"tenant": 1})

    @pytest.mark.parametrize("table", ["allowed_models", "policies", "task_types"])
    def test_a_configuration_that_lost_a_table_does_not_pass_for_one_without_limits(
        self, tmp_path: Path, table: str
    ) -> None:
        manifest = configure(tmp_path, [CHEAP, FAST], allowed=ALLOWED, default_model="c/fast") / "manifest.json"
        manifest.write_text(manifest.read_text().replace(f'"{table}"', f'"{table[:-1]}r"'))
        scored(tmp_path, SCORES)
        answer = Lookup.open(tmp_path, watch=False).route(RouteQuery(tenant="acme"))
        assert (answer.model, answer.source) == (None, "none")
        assert f"it has no table {table}" in " ".join(answer.reasons)


def test_the_price_may_be_limited_as_openrouter_says_it(tmp_path: Path) -> None:
    lookup = opened(tmp_path)
    assert ask(lookup, max_price={"prompt": 1, "completion": 1}).model == "c/fast"
    assert ask(lookup, max_price={"completion": 0.5}).model == "a/cheap"
    answer = ask(lookup, max_price={"prompt": 0.01})
    assert answer.reasons[1] == "Without max_price = prompt <= 0.01, 3 models would fit."


def test_the_task_is_detected_where_it_is_not_said(tmp_path: Path) -> None:
    lookup = opened(tmp_path, words=[("code", "keyword", "kernel")])
    answer = ask(lookup, task=None, message="Write a kernel, please")
    assert (answer.model, answer.score) == (ask(lookup).model, ask(lookup).score)
    assert answer.to_dict()["task"] == {"task": "code", "source": "keyword", "confidence": "medium"}
    assert "task_by_keyword" in answer.reason_codes
    assert "The task was taken for code, by the words of the message (medium confidence)." in answer.reasons
    assert ask(lookup, task=None, tools=["code_execute"]).to_dict()["task"]["source"] == "tool"
    assert ask(lookup).to_dict()["task"]["source"] == "query"
    assert ask(lookup, task=None).task is None


def test_a_tenants_own_ratings_come_before_everyones_and_an_agents_before_its_tenants(tmp_path: Path) -> None:
    rows = [
        rating("b/good", "code", 0.9, 100),
        rating("b/good", "code", 0.2, 50, tenant_id="acme"),
        rating("b/good", "code", 0.6, 20, agent="scribe"),
        rating("b/good", "code", 0.3, 10, agent="scribe", tenant_id="acme"),
    ]
    lookup = opened(tmp_path, agents=AGENTS, scores=rows)
    found = {
        who: ask(lookup, allow=["b/good"], **dict(who)).parts[1]
        for who in ((), (("tenant", "acme"),), (("agent", "scribe"),), (("agent", "scribe"), ("tenant", "acme")))
    }
    assert [(part.basis, part.value) for part in found.values()] == [
        ("ratings", 0.9),
        ("tenant_ratings", 0.2),
        ("agent_ratings", 0.6),
        ("agent_ratings", 0.3),
    ]
    assert ask(lookup, allow=["b/good"], tenant="acme").evidence.n == 50  # type: ignore[union-attr]
