"""Values on their way into a store: what is taken, what it becomes, what is refused."""

import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st

from analytics.errors import BadRows, UnknownName
from analytics.store import from_text, new_id, now_text, rows, schema, stable_id, to_text

EAST = timezone(timedelta(hours=5, minutes=30))
UUID = "0191fbd1-a1ca-74fb-a9f3-f17ca8e13801"


def cleaned(table: str, column: str, value: Any) -> Any:
    return rows.clean(schema.table(table), {column: value}, "row", whole=False)[column]


@given(
    st.datetimes(timezones=st.sampled_from([UTC, EAST]), min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1))
)
def test_a_time_comes_back_as_the_same_moment(moment: datetime) -> None:
    assert from_text(to_text(moment)) == moment


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2))
def test_the_order_of_texts_is_the_order_of_times(moments: list[datetime]) -> None:
    assert [from_text(text) for text in sorted(map(to_text, moments))] == sorted(moments)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(BadRows, match="no time zone"):
        to_text(datetime(2026, 11, 21, 2))


def test_now_is_in_canonical_form() -> None:
    now = now_text()
    assert to_text(from_text(now)) == now


def test_later_ids_sort_later_and_stable_ids_stay() -> None:
    ids = [new_id() for _ in range(100)]
    assert ids == sorted(ids)
    assert (
        stable_id("provider", "openrouter") == stable_id("provider", "openrouter") != stable_id("model", "openrouter")
    )


@pytest.mark.parametrize(
    ("table", "column", "value", "stored"),
    [
        ("providers", "id", uuid.UUID(UUID), UUID),
        ("providers", "id", uuid_utils.UUID(UUID), UUID),
        ("providers", "is_active", 0, False),
        ("providers", "last_synced", datetime(2026, 11, 21, 7, 30, tzinfo=EAST), "2026-11-21T02:00:00.000000Z"),
        ("providers", "last_synced", "2026-11-21T07:30:00+05:30", "2026-11-21T02:00:00.000000Z"),
        ("providers", "rate_limit_rpm", 60.0, 60),
        ("prices", "input_price_per_m", Decimal("0.15"), 0.15),
        ("prices", "input_price_per_m", 3, 3.0),
        ("models", "capabilities", {"vision": "declared"}, {"vision": "declared"}),
        ("models", "domains", ("math", "code"), ["math", "code"]),
        ("models", "domains", {"math", "code"}, ["code", "math"]),
        ("models", "domains", '["math"]', ["math"]),
        ("models", "metadata", {"at": datetime(2026, 1, 1, tzinfo=UTC), "price": Decimal("1.5")},
         {"at": "2026-01-01T00:00:00.000000Z", "price": 1.5}),
        ("models", "metadata", schema.migrations(), dict(schema.migrations())),
    ],
)  # fmt: skip
def test_values_take_their_column_s_form(table: str, column: str, value: Any, stored: Any) -> None:
    found = cleaned(table, column, value)
    assert (found, type(found)) == (stored, type(stored))


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        ("providers", "key", 5, "text was expected, not 5"),
        ("providers", "key", b"x", "text was expected"),
        ("providers", "is_active", 2, "true or false was expected, not 2"),
        ("providers", "is_active", 1.0, "true or false was expected, not 1.0"),
        ("providers", "rate_limit_rpm", True, "a whole number was expected, not True"),
        ("providers", "last_synced", 1700000000, "a time was expected"),
        ("providers", "last_synced", "2026-13-01T00:00:00.000000Z", "month must be in"),
        ("prices", "input_price_per_m", Decimal("NaN"), "not a finite number"),
        ("prices", "input_price_per_m", 10**400, "too large"),
        ("prices", "input_price_per_m", True, "a number was expected, not True"),
        ("models", "metadata", 5, "a list or an object was expected, not 5"),
        ("models", "metadata", '"text"', "a list or an object was expected"),
        ("models", "metadata", {"x": object()}, "is no JSON value"),
        ("models", "metadata", "x" * 500, "Expecting value"),
        ("models", "name", ["x" * 500], "..."),
    ],
)
def test_values_that_do_not_fit_are_refused_by_column(table: str, column: str, value: Any, said: str) -> None:
    with pytest.raises(BadRows) as caught:
        cleaned(table, column, value)
    assert str(caught.value).startswith(f"row: {column}: ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_commit_number_from_elsewhere_is_left_out() -> None:
    row = rows.clean(schema.table("tombstones"), {"commit_seq": 5, "run_id": UUID}, "row", whole=False)
    assert row == {"run_id": UUID}


def test_an_unknown_table_lists_those_that_exist() -> None:
    with pytest.raises(UnknownName, match="agent_models, agents, audit_log, batch_metrics, benchmark_results"):
        schema.table("benchmarks")
