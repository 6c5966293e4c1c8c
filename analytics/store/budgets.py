"""What may be spent: reserved before a call in every budget that holds for the caller, settled after it with what it cost.

The SQLite side; `sql/migrations/postgres` has the same as functions. Each runs inside a transaction that the store opened, which has
the write lock, so that nobody reserves what somebody else reserves in the same moment.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from analytics.errors import BadRows, UnknownName
from analytics.store import schema
from analytics.store.rows import Row, clean, from_sqlite, from_text, now_text, to_sqlite, to_text

SLACK_USD = 1e-9
"""Sums of the same amounts differ by less than that, whatever their order."""

RESERVED_S = 600.0
"""How long a reservation stands unless its caller says otherwise: a call that takes longer has failed."""

_KEPT_DAYS = 30  # what is over is kept so long: until then asking again about it is answered
_AT_ONCE = 100
_STARTS: Mapping[str, tuple[int, str]] = {
    "hour": (13, ":00:00.000000Z"),
    "day": (10, "T00:00:00.000000Z"),
    "month": (7, "-01T00:00:00.000000Z"),
}


@dataclass(frozen=True, slots=True)
class Purse:
    """A budget, or a session with a budget of its own, that refused a reservation or was overspent.

    `what` was short: USD, or requests of this hour. `period` is day, month or total; None for a session.
    """

    what: Literal["usd", "requests"]
    kind: Literal["budget", "session"]
    id: str
    user_id: str | None
    agent_id: str | None
    period: str | None
    limit_usd: float | None
    requests_per_hour: int | None

    @property
    def name(self) -> str:
        """Whose budget it is, in words."""
        if self.kind == "session":
            return "the session's budget"
        owners = [
            f"{noun} {key}" for noun, key in (("user", self.user_id), ("agent", self.agent_id)) if key is not None
        ]
        owner = " with ".join(owners) or "the whole tenant"
        return f"the {'hourly limit' if self.what == 'requests' else f'{self.period} budget'} of {owner}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """What became of a reservation: `reserved` (the call may be made), `refused` by a budget (nothing was changed), `settled`
    with what the call cost, or `released`.

    `cost_usd` is what was reserved or asked for, `actual_usd` what the call cost. `left_usd` and `left_requests` are the least
    that any budget leaves now, None without a limit, or where the reservation had been made before. `over` are budgets that have spent
    more than their limit, known when settling. `model` is the one that it was made for, if that was said.
    """

    id: str
    state: Literal["reserved", "refused", "settled", "released"]
    cost_usd: float
    actual_usd: float | None = None
    expires_at: str | None = None
    refused_by: Purse | None = None
    left_usd: float | None = None
    left_requests: int | None = None
    over: tuple[Purse, ...] = ()
    model: str | None = None

    @property
    def is_granted(self) -> bool:
        """Whether the call may be made."""
        return self.state == "reserved"

    @property
    def exceeded_usd(self) -> float:
        """By how much the call cost more than was reserved for it."""
        return 0.0 if self.actual_usd is None else max(0.0, self.actual_usd - self.cost_usd)

    @property
    def reason(self) -> str | None:
        """Why it was refused, or what settling it showed, in one sentence; None if there is nothing to say."""
        if self.refused_by is not None:
            purse = self.refused_by
            if purse.what == "requests":
                return f"{_begun(purse.name)} allows {purse.requests_per_hour:,} requests an hour, and all were made."
            return (
                f"{_begun(purse.name)} has ${self.left_usd or 0:.6g} left of ${purse.limit_usd or 0:.6g}, "
                f"and the call is expected to cost ${self.cost_usd:.6g}."
            )
        if not self.exceeded_usd:
            return None
        text = f"The call cost ${self.actual_usd:.6g}, ${self.exceeded_usd:.6g} more than was reserved for it"
        return f"{text}; overspent: {', '.join(purse.name for purse in self.over)}." if self.over else f"{text}."


def prepared(given: Mapping[str, Any], ttl_s: float) -> Row:
    """The row of a reservation as it is asked for, but for its times; raises BadRows."""
    if not 0 < ttl_s <= 86_400:
        raise BadRows(f"reservation: ttl_s: more than 0 s and at most a day was expected, not {ttl_s!r}")
    row = clean(schema.table("budget_reservations"), given, "reservation", whole=False)
    _require_id(row["id"])
    if row["cost_usd"] is None or row["cost_usd"] < 0:
        raise BadRows(f"reservation: cost_usd: 0 or more was expected, not {row['cost_usd']!r}")
    if not row["tenant_id"]:
        raise BadRows("reservation: tenant_id is missing: a budget belongs to a tenant")
    return row


def settlement(reservation_id: str, cost_usd: float | None, at: str | None) -> Row:
    """What settles a reservation, checked; raises BadRows."""
    given = {"id": reservation_id, "actual_usd": cost_usd, "settled_at": at}
    row = clean(schema.table("budget_reservations"), given, "reservation", whole=False)
    _require_id(row["id"])
    if row["actual_usd"] is not None and row["actual_usd"] < 0:
        raise BadRows(f"reservation: cost_usd: 0 or more was expected, not {cost_usd!r}")
    return row


def answered(
    row: Row | None,
    asked: Row,
    refusal: Mapping[str, Any] | None = None,
    left: tuple[float | None, int | None] = (None, None),
    over: Iterable[Mapping[str, Any]] = (),
) -> Reservation:
    """What the store answers: the stored `row`, or what refused."""
    if row is None:
        if refusal is not None and refusal["what"] == "tenant":
            raise BadRows(f"reservation {asked['id']}: it is another tenant's; give each reservation an id of its own")
        assert refusal is not None, "without a row there is a refusal"
        return Reservation(
            asked["id"],
            "refused",
            asked["cost_usd"],
            refused_by=Purse(**refusal),
            left_usd=left[0],
            left_requests=left[1],
        )
    return Reservation(
        row["id"], row["state"], row["cost_usd"], row["actual_usd"], row["expires_at"], None, *left, tuple(Purse(**one) for one in over),
        row["model"],
    )  # fmt: skip


def unknown_reservation(reservation_id: str) -> UnknownName:
    """Why a reservation cannot be settled."""
    return UnknownName(f"there is no reservation {reservation_id!r}; reserve before the call, and settle after it")


def reserve(connection: sqlite3.Connection, asked: Row, at: str | None, ttl_s: float) -> Reservation:
    """What `Store.reserve_budget` says of a `prepared` row, for a transaction that is open."""
    moment = now_text() if at is None else at
    tenant = asked["tenant_id"]
    _release_expired(connection, tenant, moment, asked["id"])
    row = _find(connection, asked["id"])
    if row is not None and row["tenant_id"] != tenant:
        return answered(None, asked, {"what": "tenant"})
    if row is not None and row["state"] != "released":
        return answered(row, asked)
    budgets = _budgets(connection, asked, moment)
    session = _session(connection, tenant, asked["session_id"])
    purses = [*budgets, *session]
    usd = [purse["limit_usd"] - purse["used_usd"] for purse in purses if purse["limit_usd"] is not None]
    requests = [
        purse["requests_per_hour"] - purse["hour_requests"]
        for purse in purses
        if purse["requests_per_hour"] is not None
    ]
    left_usd, left_requests = max(0.0, min(usd)) if usd else None, max(0, min(requests)) if requests else None
    refusal = _refusal(purses, asked["cost_usd"])
    if refusal is not None:
        return answered(None, asked, refusal, (left_usd, left_requests))
    connection.executemany(
        "update budgets set reserved_usd = reserved_usd + ?, hour_requests = hour_requests + 1 where id = ?",
        [(asked["cost_usd"], purse["id"]) for purse in budgets],
    )
    connection.executemany(
        "update user_sessions set reserved_usd = reserved_usd + ? where id = ?",
        [(asked["cost_usd"], purse["id"]) for purse in session],
    )
    holds = [{"kind": purse["kind"], "id": purse["id"], "since": purse["since"]} for purse in purses]
    times = {"created_at": moment, "expires_at": to_text(from_text(moment) + timedelta(seconds=ttl_s))}
    stored = to_sqlite({**asked, "holds": holds, "state": "reserved", "actual_usd": None, "settled_at": None, **times})
    names, marks = ", ".join(stored), ", ".join(f":{name}" for name in stored)
    connection.execute(f"insert or replace into budget_reservations ({names}) values ({marks})", stored)  # noqa: S608  # known columns
    left = (
        None if left_usd is None else left_usd - asked["cost_usd"],
        None if left_requests is None else left_requests - 1,
    )
    return answered(_find(connection, asked["id"]), asked, left=left)


def settle(connection: sqlite3.Connection, asked: Row) -> Reservation:
    """What `Store.settle_budget` says of a `settlement`, for a transaction that is open."""
    row, cost = _find(connection, asked["id"]), asked["actual_usd"]
    if row is None:
        raise unknown_reservation(asked["id"])
    if row["state"] == "reserved" or (row["state"] == "released" and cost is not None):
        _let_go(connection, row["holds"], row["cost_usd"] if row["state"] == "reserved" else 0.0, cost or 0.0)
        connection.execute(
            "update budget_reservations set state = ?, actual_usd = ?, settled_at = ? where id = ?",
            ("released" if cost is None else "settled", cost, asked["settled_at"] or now_text(), asked["id"]),
        )
        row = _find(connection, asked["id"])
        assert row is not None, "it was there a moment ago"
    over = [purse for hold in row["holds"] for purse in _overspent(connection, hold)]
    return answered(row, asked, over=over)


def start_of(period: str, moment: str) -> str:
    """When the hour, day or month of a moment began (UTC)."""
    length, rest = _STARTS[period]
    return moment[:length] + rest


def _budgets(connection: sqlite3.Connection, asked: Row, moment: str) -> list[Row]:
    """The budgets that hold for the caller, in their present period and hour."""
    connection.execute(
        "update budgets set period_start_at = case period when 'day' then :day else :month end, spent_usd = 0, reserved_usd = 0 "
        "where tenant_id = :tenant and period <> 'total' and period_start_at < case period when 'day' then :day else :month end",
        {"tenant": asked["tenant_id"], "day": start_of("day", moment), "month": start_of("month", moment)},
    )
    connection.execute(
        "update budgets set hour_start_at = :hour, hour_requests = 0 where tenant_id = :tenant and coalesce(hour_start_at < :hour, true)",
        {"tenant": asked["tenant_id"], "hour": start_of("hour", moment)},
    )
    return _rows(
        connection,
        "select 'budget' as kind, id, user_id, agent_id, period, limit_usd, requests_per_hour, hour_requests, "
        "spent_usd + reserved_usd as used_usd, period_start_at as since from budgets where tenant_id = :tenant_id and is_active "
        "and (user_id is null or user_id = :user_id) and (agent_id is null or agent_id = :agent_id) order by id",
        {name: asked[name] for name in ("tenant_id", "user_id", "agent_id")},
    )


def _session(connection: sqlite3.Connection, tenant: str, session: str | None) -> list[Row]:
    return _rows(
        connection,
        "select 'session' as kind, id, user_id, agent_id, null as period, budget_usd as limit_usd, null as requests_per_hour, "
        "0 as hour_requests, spent_usd + reserved_usd as used_usd, null as since from user_sessions "
        "where coalesce(tenant_id, '') = ? and session_id = ?",
        (tenant, session),
    )


def _refusal(purses: Sequence[Row], cost: float) -> Row | None:
    """The purse that refuses: one without requests left before any other, then the one that has the least."""
    asked = [purse for purse in purses if purse["requests_per_hour"] is not None]
    empty = [purse for purse in asked if purse["hour_requests"] >= purse["requests_per_hour"]]
    limited = [purse for purse in purses if purse["limit_usd"] is not None]
    short = [purse for purse in limited if purse["limit_usd"] - purse["used_usd"] + SLACK_USD < cost]
    if empty:
        return _purse("requests", min(empty, key=lambda purse: str(purse["id"])))
    if short:
        return _purse("usd", min(short, key=lambda purse: (purse["limit_usd"] - purse["used_usd"], str(purse["id"]))))
    return None


def _purse(what: str, row: Row) -> Row:
    names = ("kind", "id", "user_id", "agent_id", "period", "limit_usd", "requests_per_hour")
    return {"what": what} | {name: row[name] for name in names}


def _overspent(connection: sqlite3.Connection, hold: Mapping[str, Any]) -> list[Row]:
    table, limit = ("budgets", "limit_usd") if hold["kind"] == "budget" else ("user_sessions", "budget_usd")
    more = "period, requests_per_hour" if hold["kind"] == "budget" else "null as period, null as requests_per_hour"
    rows = _rows(
        connection,
        f"select :kind as kind, id, user_id, agent_id, {limit} as limit_usd, {more} from {table} "  # noqa: S608  # words of ours
        f"where id = :id and spent_usd > {limit} + :slack",
        {"kind": hold["kind"], "id": hold["id"], "slack": SLACK_USD},
    )
    return [_purse("usd", row) for row in rows]


def _release_expired(connection: sqlite3.Connection, tenant: str, moment: str, but: str) -> None:
    """Release what nobody settled in time, and forget what was over long ago."""
    expired = _rows(
        connection,
        "select id, holds, cost_usd from budget_reservations where tenant_id = ? and state = 'reserved' and expires_at <= ? "
        "order by expires_at limit ?",
        (tenant, moment, _AT_ONCE),
    )
    for row in expired:
        _let_go(connection, json.loads(row["holds"]), row["cost_usd"], 0.0)
        connection.execute(
            "update budget_reservations set state = 'released', settled_at = ? where id = ?", (moment, row["id"])
        )
    old = to_text(from_text(moment) - timedelta(days=_KEPT_DAYS))
    connection.execute(
        "delete from budget_reservations where id in (select id from budget_reservations "
        "where tenant_id = ? and state <> 'reserved' and expires_at < ? and id <> ? limit ?)",
        (tenant, old, but, _AT_ONCE),
    )


def _let_go(
    connection: sqlite3.Connection, holds: Iterable[Mapping[str, Any]], reserved_usd: float, spent_usd: float
) -> None:
    """Take what was reserved out of what held it, and count there what was spent.

    A budget whose period has ended since then counts neither: a call belongs to the period in which it was reserved.
    """
    for hold in holds:
        change = "set reserved_usd = max(0, reserved_usd - :reserved), spent_usd = spent_usd + :spent where id = :id"
        values = {"reserved": reserved_usd, "spent": spent_usd, "id": hold["id"]}
        if hold["kind"] == "session":
            connection.execute(f"update user_sessions {change}", values)
        else:
            connection.execute(
                f"update budgets {change} and period_start_at = :since", values | {"since": hold["since"]}
            )


def _find(connection: sqlite3.Connection, reservation_id: str) -> Row | None:
    found = connection.execute("select * from budget_reservations where id = ?", (reservation_id,))
    names = [column[0] for column in found.description]
    return next(iter(from_sqlite(schema.table("budget_reservations"), names, found.fetchall())), None)


def _rows(connection: sqlite3.Connection, statement: str, values: Any) -> list[Row]:
    found = connection.execute(statement, values)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _require_id(value: str) -> None:
    try:
        is_id = str(uuid.UUID(value)) == value.lower()
    except ValueError:
        is_id = False
    if not is_id:
        raise BadRows(f"reservation: id: a UUID was expected, not {value[:80]!r}; an answer's decision_id is one")


def _begun(text: str) -> str:
    return text[0].upper() + text[1:]
