"""A run's money."""

from hypothesis import given
from hypothesis import strategies as st

from flows.budget import Budget

usd = st.floats(0, 10, allow_nan=False)


def test_a_reservation_beyond_the_limit_sets_nothing_aside() -> None:
    budget = Budget(1.0)
    assert budget.reserve(0.6)
    assert not budget.reserve(0.6)
    assert budget.committed_usd == 0.6
    assert budget.reserve(0.4)


def test_what_a_call_did_not_cost_can_be_spent_on_others() -> None:
    budget = Budget(1.0)
    budget.reserve(0.9)
    budget.settle(0.9, 0.1, may_be_billed=True)
    assert budget.reserve(0.9)


def test_a_call_that_may_be_billed_at_an_unknown_cost_keeps_its_bound() -> None:
    budget = Budget(1.0)
    budget.reserve(0.9)
    budget.settle(0.9, None, may_be_billed=True)
    assert not budget.reserve(0.2)


def test_a_call_that_was_refused_gives_its_bound_back() -> None:
    budget = Budget(1.0)
    budget.reserve(0.9)
    budget.settle(0.9, None, may_be_billed=False)
    assert budget.committed_usd == 0


def test_a_cost_that_only_the_provider_knew_counts_afterwards() -> None:
    budget = Budget(1.0)
    assert budget.reserve(None)
    budget.settle(None, 0.8, may_be_billed=True)
    assert not budget.reserve(0.3)


@given(limit=usd, calls=st.lists(st.tuples(usd, st.floats(0, 1), st.booleans())))
def test_whatever_is_asked_the_bounds_let_through_never_exceed_the_limit(
    limit: float, calls: list[tuple[float, float, bool]]
) -> None:
    budget, spent = Budget(limit), 0.0
    for most, share, is_known in calls:
        if budget.reserve(most):
            spent += most * share
            budget.settle(most, most * share if is_known else None, may_be_billed=True)
    assert spent <= limit + 1e-9
