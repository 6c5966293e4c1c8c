"""What a run will measure, and what it may cost at most."""

from collections import Counter
from itertools import count
from typing import Any

import pytest

from flows.plan import Plan, cost_usd, make_plan, sample
from flows.workloads import Item, Workload, load_workload
from providers.records import Prompt

WORKLOAD = Workload(
    "w",
    "1",
    "prompt",
    "",
    (
        Item(Prompt("abcd", max_output_tokens=100), "math"),
        Item(Prompt("é", max_output_tokens=100), "math"),
        Item(Prompt("x", max_output_tokens=100), "law"),
    ),
)


def row(key: str, **more: Any) -> dict[str, Any]:
    provider, _, name = key.partition("/")
    return {"id": key, "provider_id": provider, "external_id": name, "model_id": f"id of {key}", "is_simulated": True,
            "price_id": "p", "pricing_input": 1.0, "pricing_output": 2.0, "pricing_cached_input": None,
            "is_price_estimated": False} | more  # fmt: skip


def plan(*rows: dict[str, Any], seed: int = 1, repeats: int = 1, workload: Workload = WORKLOAD) -> Plan:
    number = count()
    ids = {one["provider_id"]: f"id of {one['provider_id']}" for one in rows}
    return make_plan(rows, ids, workload, repeats=repeats, seed=seed, new_id=lambda: str(next(number)))


def test_every_model_gets_every_prompt_as_often_as_asked() -> None:
    made = plan(row("a/1"), row("a/2"), row("b/1"), repeats=2)
    assert made.size == 3 * 3 * 2
    assert made.models == ("a/1", "a/2", "b/1")
    planned = [request for requests in made.requests.values() for request in requests]
    assert set(Counter((request.model, request.item.prompt.text, request.repeat) for request in planned).values()) == {
        1
    }
    assert len({request.id for request in planned}) == 18


def test_the_order_follows_from_the_seed_and_not_from_that_of_the_catalog() -> None:
    def order(made: Plan) -> list[tuple[str, str]]:
        return [(request.model, request.item.prompt.text) for request in made.requests["a"]]

    rows = [row(f"a/{number}") for number in range(6)]
    assert order(plan(*rows)) == order(plan(*reversed(rows))) != order(plan(*rows, seed=2))


def test_models_are_interleaved_so_that_none_always_goes_first() -> None:
    made = plan(*(row(f"a/{number}") for number in range(4)), repeats=5)
    models = [request.model for request in made.requests["a"]]
    assert models != sorted(models)
    assert len(set(models[:12])) > 2


def test_the_bound_counts_every_byte_as_a_token_and_the_whole_output_limit() -> None:
    (one, *_) = sorted(plan(row("a/1")).requests["a"], key=lambda request: -len(request.item.prompt.text))
    assert one.most_usd == cost_usd(4 + 64, 100, 1.0, 2.0) == pytest.approx((68 + 200) / 1e6)
    accented = next(request for request in plan(row("a/1")).requests["a"] if request.item.prompt.text == "é")
    assert accented.most_usd == cost_usd(2 + 64, 100, 1.0, 2.0)


@pytest.mark.parametrize(("cached", "dearest"), [(0.1, 1.0), (0.0, 1.0), (3.0, 3.0)])
def test_no_cached_price_lowers_the_bound(cached: float, dearest: float) -> None:
    (one, *_) = sorted(
        plan(row("a/1", pricing_cached_input=cached)).requests["a"], key=lambda request: -len(request.item.prompt.text)
    )
    assert one.most_usd == cost_usd(4 + 64, 100, dearest, 2.0)
    for tokens in (0, 30, 68):
        paid = cost_usd(68, 100, one.input_price_per_m, 2.0, tokens, one.cached_input_price_per_m)
        assert paid is not None
        assert one.most_usd is not None
        assert paid <= one.most_usd + 1e-15


def test_models_with_an_estimated_price_are_named() -> None:
    assert plan(row("a/1"), row("a/2", is_price_estimated=True)).estimated_models == ("a/2",)
    assert plan(row("a/1", is_price_estimated=None)).estimated_models == ()


def test_a_model_without_a_price_is_named_beside_the_bound() -> None:
    made = plan(row("a/1"), row("a/2", pricing_output=None))
    assert made.unpriced_models == ("a/2",)
    assert made.most_usd == plan(row("a/1")).most_usd


@pytest.mark.parametrize("unknown", [(None, 1, 1.0, 1.0), (1, None, 1.0, 1.0), (1, 1, None, 1.0), (1, 1, 1.0, None)])
def test_a_cost_is_unknown_as_soon_as_one_of_its_factors_is(unknown: tuple[Any, ...]) -> None:
    assert cost_usd(*unknown) is None


@pytest.mark.parametrize(
    ("cached", "price", "paid"),
    [(None, 0.5, 1000), (400, 0.5, 800), (400, None, 1000), (400, 0.0, 600), (5000, 0.5, 500), (0, 0.5, 1000)],
)
def test_cached_input_is_charged_at_the_cached_price_where_it_is_known(
    cached: int | None, price: float | None, paid: float
) -> None:
    """`input_tokens` is the inclusive total; a count above it is taken for all of it."""
    assert cost_usd(1000, 10, 1.0, 10.0, cached, price) == pytest.approx((paid + 100) / 1e6)


def test_a_free_model_costs_nothing_which_is_not_unknown() -> None:
    assert cost_usd(10, 10, 0.0, 0.0) == 0


def test_a_sample_keeps_the_first_of_each_domain_under_the_same_version() -> None:
    few = sample(WORKLOAD, 1)
    assert [item.prompt.text for item in few.items] == ["abcd", "x"]
    assert few.version == WORKLOAD.version
    gold = sample(load_workload("gold"), 3)
    assert set(Counter(item.domain for item in gold.items).values()) == {3}


def test_unique_prompts_differ_within_a_run_and_follow_from_its_seed() -> None:
    item = Item(Prompt("Request {nonce}. Hello"), is_unique=True)
    workload = Workload("w", "1", "prompt", "", (item, item), times=2)

    def sent(seed: int) -> list[str]:
        made = plan(row("a/1"), row("a/2"), row("b/1"), repeats=3, seed=seed, workload=workload)
        return [request.item.prompt.text for requests in made.requests.values() for request in requests]

    assert len(sent(1)) == len(set(sent(1))) == 3 * 2 * 2 * 3
    assert sent(1) == sent(1)
    assert not set(sent(1)) & set(sent(2))


def test_nothing_bounds_an_answer_without_a_limit() -> None:
    endless = Workload("endless", "1", "prompt", "", (Item(Prompt("Count.")),))
    made = make_plan([row("a/1")], {"a": "id of a"}, endless, repeats=1, seed=7, new_id=lambda: "1")
    assert made.most_usd == 0
    assert made.unpriced_models == ("a/1",)
