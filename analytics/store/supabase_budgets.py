"""Budgets and sessions of a Supabase project: each command is one call of one function."""

from typing import Any, Protocol

from analytics.errors import BadRows
from analytics.store import budgets, schema, sessions
from analytics.store.budgets import Reservation
from analytics.store.rows import Row
from analytics.store.supabase_rows import from_json
from analytics.store.supabase_wire import Refusal


class _Project(Protocol):
    """What this module needs of the store."""

    def call(self, function: str, **values: Any) -> dict[str, Any]: ...


def reserve(project: _Project, asked: Row, at: str | None, ttl_s: float) -> Reservation:
    """What `Store.reserve_budget` says of a row that `budgets.prepared` made."""
    try:
        answer = project.call(
            "reserve_budget", p_reservation=asked["id"], p_cost=asked["cost_usd"], p_tenant=asked["tenant_id"],
            p_user=asked["user_id"], p_agent=asked["agent_id"], p_session=asked["session_id"], p_model=asked["model"],
            p_at=at, p_ttl_s=ttl_s,
        )  # fmt: skip
    except Refusal as error:
        raise BadRows(f"reservation {asked['id']}: {error}") from None
    left = answer.get("left_usd"), answer.get("left_requests")
    return budgets.answered(_row(answer["reservation"]), asked, answer["refusal"], left)


def settle(project: _Project, asked: Row) -> Reservation:
    """What `Store.settle_budget` says of what `budgets.settlement` made."""
    try:
        answer = project.call(
            "settle_budget", p_reservation=asked["id"], p_cost=asked["actual_usd"], p_at=asked["settled_at"]
        )
    except Refusal as error:
        raise BadRows(f"reservation {asked['id']}: {error}") from None
    row = _row(answer["reservation"])
    if row is None:
        raise budgets.unknown_reservation(asked["id"])
    return budgets.answered(row, asked, over=answer["over"])


def touch(project: _Project, asked: Row, ttl_s: float) -> Row:
    """What `Store.touch_session` says of a row that `sessions.prepared` made."""
    try:
        session = project.call(
            "touch_session", p_session=asked["session_id"], p_tenant=asked["tenant_id"], p_user=asked["user_id"],
            p_agent=asked["agent_id"], p_model=asked["model"], p_policy=asked["policy"],
            p_preferences=asked["preferences"], p_budget_usd=asked["budget_usd"], p_at=asked["last_activity_at"], p_ttl_s=ttl_s,
        )["session"]  # fmt: skip
    except Refusal as error:
        raise BadRows(f"session {asked['session_id']}: {error}") from None
    if session is None:
        raise sessions.others_session(asked["session_id"])
    return from_json(schema.table("user_sessions"), [session])[0]


def _row(found: Row | None) -> Row | None:
    return None if found is None else from_json(schema.table("budget_reservations"), [found])[0]
