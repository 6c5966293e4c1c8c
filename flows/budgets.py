"""A budget as people see it: whose it is, and how it stands now."""

from collections.abc import Mapping
from typing import Any

from analytics.store import Row
from analytics.store.budgets import start_of


def shown(row: Row, moment: str) -> dict[str, Any]:
    """A budget as it stands at a moment: of a period or hour that is over nothing counts any more."""
    is_over = row["period"] != "total" and row["period_start_at"] < start_of(row["period"], moment)
    is_new_hour = row["hour_start_at"] is None or row["hour_start_at"] < start_of("hour", moment)
    spent, reserved = (0.0, 0.0) if is_over else (row["spent_usd"], row["reserved_usd"])
    left = None if row["limit_usd"] is None else max(0.0, row["limit_usd"] - spent - reserved)
    names = ("tenant_id", "user_id", "agent_id", "period", "limit_usd")
    return {name: row[name] for name in names} | {
        "spent_usd": spent, "reserved_usd": reserved, "left_usd": left, "requests_per_hour": row["requests_per_hour"],
        "hour_requests": 0 if is_new_hour else row["hour_requests"], "is_active": row["is_active"], "set_by": row["set_by"],
    }  # fmt: skip


def owner_of(row: Mapping[str, Any]) -> str:
    """Whose budget it is, in words."""
    owners = [
        f"{noun} {row[name]}" for noun, name in (("user", "user_id"), ("agent", "agent_id")) if row[name] is not None
    ]
    return f"{' with '.join(owners)} of tenant {row['tenant_id']}" if owners else f"the whole tenant {row['tenant_id']}"
