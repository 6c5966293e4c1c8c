"""A malformed query is refused at once, with the field and the value."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from analytics.routing import RouteQuery


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("task", value) for value in ("", 3, "x" * 501)],
        *[("model_type", value) for value in ("", None)],
        *[("need", value) for value in ("vision", None, [""], [1], 5)],
        *[("allow", value) for value in ("a/one", [None])],
        *[("max_tier", value) for value in ("cheap", 1)],
        *[("max_usd_per_query", value) for value in (-1, float("nan"), float("inf"), "1", True, 1e400)],
        *[("min_context", value) for value in (-1, 1.5, "8k", True)],
        *[("max_failure_rate", value) for value in (-0.1, 1.1, "5 %")],
        *[("min_quality", value) for value in (-0.1, 1.1, float("nan"))],
        *[("min_samples", value) for value in (-1, 2.0)],
        *[("sort", value) for value in ("speed", "")],
        *[("top", value) for value in (0, 101, 2.0, True, None)],
        *[("allow_unknown", value) for value in (None, 1, "yes")],
        *[("output_tokens", value) for value in (-5,)],
    ],
)
def test_a_malformed_query_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be "):
        RouteQuery(**{field: value})


def test_a_refusal_shows_the_value_but_not_all_of_a_long_one() -> None:
    with pytest.raises(ValueError, match="not 'cheap'"):
        RouteQuery(max_tier="cheap")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\.\.\.$"):
        RouteQuery(task="x" * 10_000)


def test_token_counts_come_together() -> None:
    with pytest.raises(ValueError, match="output_tokens must be given together with input_tokens"):
        RouteQuery(input_tokens=5)


def test_lists_sets_and_numbers_of_other_kinds_are_taken() -> None:
    query = RouteQuery(
        need=["vision", "code", "code"],  # type: ignore[arg-type]
        deny={"b/two", "a/one"},  # type: ignore[arg-type]
        max_usd_per_query=Decimal("0.5"),  # type: ignore[arg-type]
        min_samples=np.int64(3),  # type: ignore[arg-type]
        max_age_s=60,
    )
    assert query.need == ("code", "vision")
    assert query.deny == ("a/one", "b/two")
    assert (query.max_usd_per_query, query.min_samples, query.max_age_s) == (0.5, 3, 60.0)
    assert hash(query) == hash(
        RouteQuery(
            need=("code", "vision"), deny=("a/one", "b/two"), max_usd_per_query=0.5, min_samples=3, max_age_s=60.0
        )
    )
