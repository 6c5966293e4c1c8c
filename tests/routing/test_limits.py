"""Hard limits, and models that fail: what is never answered, and what is said of it."""

from typing import Any

import pytest
from routing.worlds import Make, asked, model, score


class TestLimits:
    def test_unknown_data_does_not_pass_unless_allowed(self, lookup: Make) -> None:
        ask = lookup([model("a/one", cost_tier=None, ctx_length=None, capabilities=None, pricing_input=None)])
        for limit in (
            {"max_tier": "premium"},
            {"min_context": 1},
            {"need": ["vision"]},
            {"max_usd_per_query": 100},
            {"max_usd_per_query": 100, "input_tokens": 1, "output_tokens": 1},
            {"max_ttft_p95_ms": 1e9},
            {"max_latency_p95_ms": 1e9},
            {"min_tps": 0},
            {"max_failure_rate": 1},
            {"min_quality": 0},
            {"min_samples": 0},
            {"max_age_s": 1e9},
        ):
            assert ask(**limit).model is None, limit
            assert ask(**limit, allow_unknown=True).model == "a/one", limit

    def test_a_capability_that_others_have_is_still_missing_when_unknown_is_allowed(self, lookup: Make) -> None:
        ask = lookup([model("a/one", capabilities=["text"]), model("b/two", capabilities=["vision"])])
        assert ask(need=["vision"], allow_unknown=True, top=3).fallbacks == ()

    def test_disabled_and_unavailable_models_are_never_answered(self, lookup: Make) -> None:
        answer = lookup(
            [
                model("a/one", is_available=False),
                model("b/two", is_enabled=False),
                model("c/three", model_type="embedding"),
            ]
        )()
        assert answer.model is None
        assert answer.rejected == {"unavailable": 1, "disabled": 1, "model_type": 1}
        assert answer.reasons[0] == (
            "None of the 3 models in the catalog fits: 1 is not available now; 1 is disabled; 1 is of another type."
        )

    def test_contradictory_limits_say_what_to_relax(self, lookup: Make) -> None:
        ask = lookup(
            [
                model("a/one", cost_tier="premium"),
                model("b/two", cost_tier="free"),
                model("c/three", cost_tier="premium"),
            ],
            [score("a/one", 0.9, 10), score("b/two", 0.4, 10), score("c/three", 0.95, 10)],
        )
        answer = ask(min_quality=0.8, max_tier="low")
        assert (answer.source, answer.model, answer.rejected) == ("none", None, {"max_tier": 2, "min_quality": 1})
        assert answer.reason_codes == ("nothing_fits", "relax_max_tier", "relax_min_quality")
        assert (
            answer.reasons[1] == "Without tier <= low, 2 models would fit; without quality >= 0.8, 1 model would fit."
        )

    def test_an_empty_allow_list_allows_nothing(self, lookup: Make) -> None:
        answer = lookup([model("a/one")])(allow=[])
        assert answer.model is None
        assert answer.reasons[1] == "Without allow = nothing, 1 model would fit."

    def test_a_capability_nobody_has_is_named(self, lookup: Make) -> None:
        assert lookup([model("a/one")])(need=["flight"]).reasons[0] == (
            'No model in the catalog is known to have the capability "flight".'
        )

    def test_an_empty_catalog_answers_none(self, lookup: Make) -> None:
        assert lookup([])().reasons == ("The catalog holds no model of the kind that was scored.",)


class TestFailures:
    def test_a_model_that_never_answered_is_no_candidate(self, lookup: Make) -> None:
        models = [model("a/one", priority=100), model("b/two", priority=10)]
        answer = lookup(models, [score("a/one", **asked(58, 58))], default_model="a/one")(allow_unknown=True)
        assert (answer.model, answer.fallbacks, answer.rejected) == ("b/two", (), {"failing": 1})

    def test_it_is_not_answered_as_the_default_either_and_nobody_is_told_to_allow_it(self, lookup: Make) -> None:
        answer = lookup([model("a/one")], [score("a/one", **asked(58, 58))], default_model="a/one")(allow_unknown=True)
        assert (answer.model, answer.source, answer.reason_codes) == (None, "none", ("nothing_fits",))
        assert answer.reasons == (
            "None of the 1 model in the catalog fits: 1 has not answered any of its last 58 requests.",
        )

    def test_of_several_the_requests_are_counted_together(self, lookup: Make) -> None:
        models = [model("a/one"), model("b/two"), model("c/three", is_available=False)]
        rows = [score("a/one", **asked(58, 58)), score("b/two", **asked(3, 3)), score("c/three", **asked(9, 9))]
        answer = lookup(models, rows)()
        assert answer.rejected == {"unavailable": 1, "failing": 2}
        assert answer.reasons[0].endswith("2 have not answered any of their last 61 requests; 1 is not available now.")

    @pytest.mark.parametrize(("requests", "failed"), [(2, 2), (58, 57)])
    def test_two_requests_are_too_few_to_tell_and_one_answer_is_enough(
        self, lookup: Make, requests: int, failed: int
    ) -> None:
        assert lookup([model("a/one")], [score("a/one", **asked(requests, failed))])().model == "a/one"

    def test_a_share_of_failures_may_be_too_much(self, lookup: Make) -> None:
        rows = [score("a/one", 0.9, 9, **asked(40, 3)), score("b/two", 0.5, 9, **asked(40, 1))]
        ask = lookup([model("a/one"), model("b/two")], rows)
        answer = ask(max_failure_rate=0.05)
        assert (answer.model, answer.rejected) == ("b/two", {"max_failure_rate": 1})
        assert ask(max_failure_rate=0.075).model == "a/one"
        assert ask(max_failure_rate=0).reasons == (
            "None of the 2 models in the catalog fits: 2 fail more often, or were never asked.",
            "Without failure_rate <= 0, 2 models would fit.",
        )

    def test_of_equals_the_one_that_fails_less_comes_first(self, lookup: Make) -> None:
        models = [model(key) for key in ("a/one", "b/two", "c/three", "d/four")]
        rows = [score(key, **asked(100, failed)) for key, failed in (("a/one", 4), ("b/two", 2), ("c/three", 0))]
        answer = lookup(models, rows)(top=4)
        order = [answer.model, *(fallback.model for fallback in answer.fallbacks)]
        assert order == ["c/three", "b/two", "a/one", "d/four"]

    def test_a_lower_price_comes_before_fewer_failures(self, lookup: Make) -> None:
        models = [model("a/one"), model("b/two", pricing_input=0.5)]
        rows = [score("a/one", **asked(100, 0)), score("b/two", **asked(100, 40))]
        assert lookup(models, rows)().model == "b/two"

    @pytest.mark.parametrize(
        ("figures", "said"),
        [
            (asked(40, 3), "It failed 3 of 40 requests in the last 7 days."),
            (asked(1, 1, days=90), "It failed 1 of 1 request in the last 90 days."),
            (asked(2_000, 20, days=30), "It failed 20 of 2,000 requests in the last 30 days."),
        ],
    )
    def test_the_failures_of_the_chosen_are_said(self, lookup: Make, figures: dict[str, Any], said: str) -> None:
        answer = lookup([model("a/one")], [score("a/one", **figures)])()
        assert (answer.reasons[-1], answer.reason_codes[-1]) == (said, "failures")

    @pytest.mark.parametrize("figures", [asked(2_000, 19), asked(40, 0), {"failure_rate": 0.5}, {}])
    def test_hardly_any_or_unknown_failures_are_not(self, lookup: Make, figures: dict[str, Any]) -> None:
        answer = lookup([model("a/one")], [score("a/one", **figures)])()
        assert "failures" not in answer.reason_codes
