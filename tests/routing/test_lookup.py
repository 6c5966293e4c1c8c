"""What the lookup answers, question by question."""

import json
from typing import Any

import numpy as np
import pytest
from routing.worlds import Make, Row, accuracy, enabled, model, rating, score

from analytics.routing.ties import expected_loss, widest_gap


class TestTheDefaultPolicy:
    def test_it_is_three_tenths_priority_and_seven_tenths_experience(self, lookup: Make) -> None:
        ask = lookup([model("a/one", priority=80)], [rating("a/one", "code", 0.9, 10)])
        answer = ask(task="code")
        assert answer.score == pytest.approx(0.3 * 0.8 + 0.7 * 0.9)
        assert [(part.name, part.weight, part.value, part.basis) for part in answer.parts] == [
            ("priority", 0.3, 0.8, "catalog"),
            ("experience", 0.7, 0.9, "ratings"),
        ]

    def test_without_experience_priority_alone_decides(self, lookup: Make) -> None:
        answer = lookup([model("a/one", priority=80), model("b/two", priority=70)])(task="code")
        assert (answer.model, answer.score, answer.evidence) == ("a/one", 0.8, None)
        assert "no_experience" in answer.reason_codes or "unknown_task" in answer.reason_codes

    def test_weights_are_configuration(self, lookup: Make) -> None:
        policies = {"default": {"priority": 1.0, "quality": 0.0}}
        ask = lookup(
            [model("a/one", priority=80), model("b/two", priority=70)],
            [rating("a/one", "code", 0.1, 10), rating("b/two", "code", 1.0, 10)],
            policies=policies,
        )
        assert ask(task="code").model == "a/one"

    def test_an_agents_own_ratings_come_before_everyones_before_benchmarks(self, lookup: Make) -> None:
        one, two, three = (model(key) for key in ("a/one", "a/two", "a/three"))
        ask = lookup(
            [one, two, three],
            [
                *(accuracy(key, "coding", 0.5, 100) for key in ("a/one", "a/two", "a/three")),
                *(rating(key, "code", 0.6, 100) for key in ("a/one", "a/two")),
                rating("a/one", "code", 0.7, 100, agent="scribe"),
            ],
            [enabled("scribe", key) for key in ("a/one", "a/two", "a/three")],
        )
        bases = {key: ask(task="code", agent="scribe", allow=[key]).parts[1] for key in ("a/one", "a/two", "a/three")}
        assert {key: (part.basis, part.value) for key, part in bases.items()} == {
            "a/one": ("agent_ratings", 0.7),
            "a/two": ("ratings", 0.6),
            "a/three": ("domain_benchmarks", 0.5),
        }

    def test_an_agents_row_without_ratings_is_no_rating_of_its_own(self, lookup: Make) -> None:
        rows = [rating("a/one", "code", 0.6, 9), rating("a/one", "code", 0.1, 9, agent="scribe", evidence="benchmark")]
        answer = lookup([model("a/one")], rows, [enabled("scribe", "a/one")])(task="code", agent="scribe")
        assert answer.parts[1].value == 0.6

    def test_domains_of_a_task_weigh_as_much_as_their_samples(self, lookup: Make) -> None:
        ask = lookup(
            [model("a/one")],
            [accuracy("a/one", "coding", 1.0, 30), accuracy("a/one", "math", 0.5, 10)],
            tasks=[("code", "coding"), ("code", "math")],
        )
        evidence = ask(task="code").evidence
        assert evidence is not None
        assert (evidence.quality, evidence.n, evidence.kind) == (0.875, 40, "benchmark")
        assert evidence.low == pytest.approx(0.7389, abs=1e-4)  # Wilson's interval of 35 in 40
        assert evidence.high == pytest.approx(0.9454, abs=1e-4)

    def test_without_a_task_the_overall_record_counts(self, lookup: Make) -> None:
        answer = lookup([model("a/one")], [score("a/one", 0.75, 12, evidence="mixed")])()
        assert answer.parts[1].basis == "overall"
        assert answer.evidence is not None
        assert (answer.evidence.kind, answer.evidence.n) == ("mixed", 12)

    def test_a_tasks_benchmarks_serve_where_its_domains_are_not_published(self, lookup: Make) -> None:
        rows = [rating("a/one", "code", 0.75, 12, evidence="benchmark")]
        answer = lookup([model("a/one")], rows)(task="code")
        assert answer.parts[1].basis == "domain_benchmarks"
        assert answer.evidence is not None
        assert answer.evidence.kind == "benchmark"

    def test_an_agents_priority_replaces_the_base(self, lookup: Make) -> None:
        ask = lookup(
            [model("a/one", priority=90), model("b/two", priority=10)],
            agents=[enabled("scribe", "a/one"), enabled("scribe", "b/two", priority_override=95)],
        )
        answer = ask(agent="scribe")
        assert (answer.model, answer.priority, answer.parts[0].basis) == ("b/two", 95, "agent_override")
        assert ask().model == "a/one"


class TestTies:
    @staticmethod
    def world(gap: float, n: int, **dear: Any) -> tuple[list[Row], list[Row]]:
        models = [
            model("a/dear", **{"pricing_input": 10.0, "pricing_output": 30.0} | dear),
            model("b/cheap", pricing_input=0.1, pricing_output=0.3),
        ]
        return models, [rating("a/dear", "code", 0.9, n), rating("b/cheap", "code", 0.9 - gap, n)]

    def test_the_cheaper_wins_when_little_quality_is_expected_to_be_lost(self, lookup: Make) -> None:
        answer = lookup(*self.world(0.004, 100_000))(task="code")
        assert answer.model == "b/cheap"
        assert answer.reason_codes[0] == "cheaper_of_a_tie"
        assert "$0.15 per 1M tokens instead of $15.00 per 1M tokens" in answer.reasons[0]
        assert answer.fallbacks[0].model == "a/dear"

    def test_a_gap_wider_than_delta_is_no_tie(self, lookup: Make) -> None:
        assert lookup(*self.world(0.02, 100_000))(task="code").model == "a/dear"

    def test_few_samples_are_no_tie(self, lookup: Make) -> None:
        """Overlapping intervals say that little is known, not that the cheap one is as good."""
        assert lookup(*self.world(0.004, 10))(task="code").model == "a/dear"

    def test_delta_is_configuration(self, lookup: Make) -> None:
        assert lookup(*self.world(0.02, 100_000), tie_delta=0.05)(task="code").model == "b/cheap"

    def test_a_better_priority_is_not_given_away_for_a_lower_price(self, lookup: Make) -> None:
        assert lookup(*self.world(0, 100_000, priority=90))(task="code").model == "a/dear"

    def test_an_unknown_price_is_not_cheaper(self, lookup: Make) -> None:
        models, scores = self.world(0.004, 100_000)
        models[1] = dict(models[1]) | {"pricing_output": None}
        assert lookup(models, scores)(task="code").model == "a/dear"

    @pytest.mark.parametrize("quality", [0.898, 0.895])
    def test_an_unknown_price_hides_no_cheaper_one_of_a_tie(self, lookup: Make, quality: float) -> None:
        models, scores = self.world(0.004, 100_000)
        models.append(model("c/unknown", pricing_input=None, pricing_output=None))
        scores.append(rating("c/unknown", "code", quality, 100_000))
        ask = lookup(models, scores)
        assert [ask(task="code", **tokens).model for tokens in ({}, {"input_tokens": 9, "output_tokens": 9})] == [
            "b/cheap",
            "b/cheap",
        ]

    def test_equal_scores_go_to_the_cheaper(self, lookup: Make) -> None:
        answer = lookup(self.world(0, 1)[0])()
        assert answer.model == "b/cheap"

    def test_the_price_is_that_of_the_querys_own_tokens(self, lookup: Make) -> None:
        models = [
            model("a/talker", pricing_input=4.0, pricing_output=1.0),
            model("b/reader", pricing_input=1.0, pricing_output=8.0),
        ]
        ask = lookup(models)
        assert ask(input_tokens=1_000, output_tokens=10).model == "b/reader"
        assert ask(input_tokens=10, output_tokens=1_000).model == "a/talker"

    def test_the_expected_loss_is_that_of_a_normal_gap(self) -> None:
        assert expected_loss(0.5, 0) == 0.5
        assert expected_loss(0, 1) == pytest.approx(0.3989422804)
        assert expected_loss(1, 1) == pytest.approx(1.0833154706)

    @pytest.mark.parametrize("se", [0.0, 0.001, 0.01, 0.02, 0.025, 0.03, 5.0])
    def test_beyond_the_widest_gap_nothing_ties(self, se: float) -> None:
        widest = float(widest_gap(np.array([se]), 0.01)[0])
        assert 0 <= widest <= 0.01
        assert expected_loss(widest + 1e-9, se) >= 0.01


class TestAgents:
    AGENTS = (
        enabled("scribe", "a/one"),
        enabled("scribe", "b/two", is_enabled=False),
        enabled("coder", "b/two", tenant_id="acme"),
    )
    MODELS = (model("a/one"), model("b/two", priority=90))

    def test_an_agent_gets_only_what_is_enabled_for_it(self, lookup: Make) -> None:
        answer = lookup(self.MODELS, agents=self.AGENTS)(agent="scribe")
        assert (answer.model, answer.fallbacks, answer.rejected) == ("a/one", (), {"agent": 1})

    def test_an_agent_without_rows_gets_none_never_all(self, lookup: Make) -> None:
        answer = lookup(self.MODELS, agents=self.AGENTS)(agent="stranger")
        assert (answer.model, answer.source, answer.reason_codes[0]) == (None, "none", "agent_unknown")
        assert (
            answer.reasons[0] == 'No model is enabled for the agent "stranger", and an agent without models gets none.'
        )

    def test_another_tenants_agent_gets_none(self, lookup: Make) -> None:
        ask = lookup(self.MODELS, agents=self.AGENTS)
        assert ask(agent="coder", tenant="acme").model == "b/two"
        assert ask(agent="coder", tenant="rival").model is None

    def test_of_two_rows_for_one_model_the_one_that_disables_wins(self, lookup: Make) -> None:
        agents = [
            enabled("scribe", "a/one", is_enabled=on, tenant_id=who) for on, who in ((False, "acme"), (True, None))
        ]
        assert lookup(self.MODELS, agents=agents)(agent="scribe").model is None

    def test_nobody_is_told_to_drop_the_agent(self, lookup: Make) -> None:
        answer = lookup(self.MODELS, agents=self.AGENTS)(agent="scribe", deny=["a/one"])
        assert [code for code in answer.reason_codes if code.startswith("relax")] == ["relax_deny"]


class TestFallbacks:
    def test_another_provider_comes_first(self, lookup: Make) -> None:
        models = [
            model("a/one", priority=90),
            model("a/two", priority=80),
            model("b/three", priority=10),
            model("c/four", priority=5),
        ]
        answer = lookup(models)(top=4)
        assert [fallback.model for fallback in answer.fallbacks] == ["b/three", "c/four", "a/two"]

    def test_they_pass_the_same_limits(self, lookup: Make) -> None:
        models = [model(f"{provider}/m", priority=priority) for provider, priority in (("a", 90), ("b", 80), ("c", 70))]
        answer = lookup(models)(ignore=["b"], top=5)
        assert [fallback.model for fallback in answer.fallbacks] == ["c/m"]

    def test_top_one_names_one_model(self, lookup: Make) -> None:
        assert lookup([model("a/one"), model("b/two")])(top=1).fallbacks == ()


class TestSorting:
    MODELS = (
        model("a/one", pricing_input=1.0, pricing_output=1.0),
        model("b/two", pricing_input=0.5, pricing_output=0.5),
        model("c/three", pricing_input=None, pricing_output=None, priority=100),
    )
    SCORES = (
        score("a/one", 0.5, 9, latency_p50_ms=90.0, tps_mean=20.0),
        score("b/two", 0.9, 9, latency_p50_ms=1_200.0, tps_mean=4.25),
    )

    @pytest.mark.parametrize(
        ("sort", "best", "said"),
        [
            ("price", "b/two", "Two has the lowest price of the models that fit: $0.50 per 1M tokens."),
            ("latency", "a/one", "One has the shortest median latency of the models that fit: 90 ms."),
            (
                "throughput",
                "a/one",
                "One has the highest throughput of the models that fit: 20 tokens a second on average.",
            ),
            ("quality", "b/two", "Two has the highest quality of the models that fit: 0.90 out of 1."),
        ],
    )
    def test_one_figure_decides_and_unknown_comes_last(self, lookup: Make, sort: str, best: str, said: str) -> None:
        answer = lookup(self.MODELS, self.SCORES)(sort=sort)
        assert (answer.model, answer.reasons[0], answer.reason_codes[0]) == (best, said, f"sorted_by_{sort}")
        assert answer.fallbacks[-1].model == "c/three"

    def test_price_counts_the_querys_own_tokens(self, lookup: Make) -> None:
        models = [
            model("a/talker", pricing_input=4.0, pricing_output=1.0),
            model("b/reader", pricing_input=1.0, pricing_output=8.0),
        ]
        answer = lookup(models)(sort="price", input_tokens=10, output_tokens=1_000)
        assert answer.reasons[0] == "Talker has the lowest price of the models that fit: $0.0010 for this query."

    def test_when_nothing_is_known_the_score_leads(self, lookup: Make) -> None:
        answer = lookup([model("a/one"), model("b/two", priority=80)])(sort="latency")
        assert answer.reasons[0] == "The latency of no model that fits is known, so Two leads by its score of 0.80."


class TestReasons:
    def test_a_full_answer_reads_well(self, lookup: Make) -> None:
        rows = [
            score("a/one", 0.8, 200, latency_p50_ms=840.0, ttft_p50_ms=210.0, tps_mean=95.4),
            accuracy("a/one", "coding", 0.92, 118, quality_low=0.86, quality_high=0.96),
        ]
        answer = lookup([model("a/one", display_name="Aurora Large", priority=80), model("b/two")], rows)(task="code")
        assert answer.reasons == (
            "Aurora Large scores 0.88, the best of the models that fit.",
            "It answered 92 % of 118 benchmark questions for code correctly (95 % interval: 86 % to 96 %).",
            "Its score is 0.3 x priority 0.80 + 0.7 x experience 0.92 = 0.88.",
            "It typically answers in 840 ms, with the first word after 210 ms, and writes 95 tokens a second on average.",
        )

    def test_ratings_say_whose_they_are(self, lookup: Make) -> None:
        rows = [rating("a/one", "code", 0.91, 34, agent="scribe", quality_low=0.84, quality_high=0.95)]
        answer = lookup([model("a/one")], rows, [enabled("scribe", "a/one", priority_override=70)])(
            task="code", agent="scribe"
        )
        assert answer.reasons == (
            "One is the only model that fits.",
            "For this agent its code answers were rated 0.91 out of 1 on average, over 34 ratings (95 % interval: 0.84 to 0.95).",
            "Its score is 0.3 x priority 0.70 set for this agent + 0.7 x experience 0.91 = 0.85.",
        )

    def test_ratings_of_all_tasks_and_mixed_evidence_are_named(self, lookup: Make) -> None:
        rows = [
            score("a/one", 0.75, 1, evidence="feedback", ttft_p50_ms=90_000.0, tps_mean=1.25),
            score("b/two", 0.7, 4, evidence="mixed"),
        ]
        ask = lookup([model("a/one"), model("b/two")], rows)
        assert ask(allow=["a/one"]).reasons[1::2] == (
            "Its answers were rated 0.75 out of 1 on average, over 1 rating.",
            "It typically begins to answer after 90 s and writes 1.2 tokens a second on average.",
        )
        assert ask(allow=["b/two"]).reasons[1] == (
            "Ratings and benchmark answers together put its quality at 0.70 out of 1, from 4 of them."
        )

    def test_an_unknown_task_is_said_to_be_unknown(self, lookup: Make) -> None:
        answer = lookup([model("a/one")], [score("a/one", 0.9, 50)])(task="juggling")
        assert "unknown_task" in answer.reason_codes
        assert answer.reasons[1] == (
            'Nothing is known about the task "juggling" from ratings or benchmarks, '
            "so its base priority of 50 out of 100 decides alone."
        )

    def test_an_answer_is_one_json_document(self, lookup: Make) -> None:
        answer = lookup(
            [model("a/one"), model("b/two")], [score("a/one", 0.9, 50, quality_low=0.8, quality_high=0.97)]
        )()
        document = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
        assert document["model"] == "a/one"
        assert document["evidence"]["as_of"] == "2026-11-21T02:00:00.000000Z"
        assert document["fallbacks"][0]["provider"] == "b"
        assert document["age_s"] == 60
        assert document["parts"][1] == {"name": "experience", "weight": 0.7, "value": 0.9, "basis": "overall"}

    def test_every_decision_has_an_id_of_its_own(self, lookup: Make) -> None:
        ask = lookup([model("a/one")])
        ids = [ask().decision_id for _ in range(100)]
        assert len(set(ids)) == 100
        assert [id_[14] for id_ in ids] == ["7"] * 100
