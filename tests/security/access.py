"""Who may do what to whose rows, as a table; and rows of everybody's in every table, so that it can be tried."""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

VERBS = ("select", "insert", "update", "delete")
OWNERS = ("mine", "colleagues", "strangers", "nobodys")

# Whose rows a letter stands for, as seen by user 1 and agent 1 of the tenant acme.
SCOPES = {
    "-": set[str](),
    "A": set(OWNERS),
    "T": {"mine", "colleagues"},
    "t": {"mine", "colleagues", "nobodys"},  # the tenant's, and defaults that are nobody's
    "O": {"mine"},
    "o": {"mine", "nobodys"},
}

# Table -> select, insert, update, delete of platform_admin, tenant_admin, user, agent. The service may do everything, a visitor nothing.
_CATALOG = ("AAAA", "A---", "A---", "A---")
_SCORES = ("A---", "A---", "A---", "A---")
_EVIDENCE = ("A---", "----", "----", "----")
_TRAIL = ("A---", "T---", "----", "----")
EXPECTED: dict[str, tuple[str, str, str, str]] = {
    "providers": _CATALOG,
    "models": _CATALOG,
    "model_overrides": _CATALOG,
    "domains": _CATALOG,
    "task_domains": _CATALOG,
    "prices": ("AAA-", "A---", "A---", "A---"),
    "domain_benchmarks": ("AAAA", "----", "----", "----"),  # gold answers
    "model_metrics": _SCORES,
    "model_metrics_by_window": _SCORES,
    "model_performance_history": _SCORES,
    "runs": _EVIDENCE,
    "benchmark_results": _EVIDENCE,
    "tombstones": _EVIDENCE,
    "repricings": _EVIDENCE,
    "store_epoch": _EVIDENCE,
    "model_totals": _EVIDENCE,  # of all tenants together
    "daily_aggregates": _EVIDENCE,
    "audit_log": _TRAIL,
    "request_logs": _TRAIL,
    "compliance_log": _TRAIL,
    "cache_metrics": _TRAIL,
    "billing_records": _TRAIL,
    "batch_metrics": ("A---", "T---", "O---", "----"),
    "organizations": ("AAAA", "T---", "T---", "----"),
    "agents": ("AAAA", "TTTT", "----", "O---"),
    "agent_models": ("AAAA", "TTTT", "----", "O---"),
    "request_events": ("A---", "T---", "O---", "OO--"),
    "routing_decisions": ("A---", "T---", "O---", "OO--"),
    "feedback_events": ("A---", "T---", "OO--", "OO--"),
    "routing_configs": ("AAAA", "tTTT", "oOOO", "o---"),
    "routing_experiments": ("AAAA", "TTTT", "----", "----"),
    "user_sessions": ("A---", "T--T", "OOOO", "OOO-"),
    "budgets": ("AAAA", "TTTT", "O---", "O---"),
    "budget_reservations": ("A---", "T---", "O---", "O---"),
}

_TENANTS = {"mine": "acme", "colleagues": "acme", "strangers": "other", "nobodys": None}
_USERS = {owner: None if owner == "nobodys" else str(uuid.UUID(int=n, version=4)) for n, owner in enumerate(OWNERS, 1)}
_AGENTS = {owner: None if owner == "nobodys" else f"agent-{n}" for n, owner in enumerate(OWNERS, 1)}
USER, AGENT = _USERS["mine"], _AGENTS["mine"]

# What a valid row of a table needs beside what its types say.
_VALID: dict[str, dict[str, Any]] = {
    "providers": {"provider_type": "custom"},
    "benchmark_results": {"outcome": "ok"},
    "feedback_events": {"feedback_type": "self_eval", "rating": 0.5},
    "routing_decisions": {"source": "none"},
    "billing_records": {"period_start_at": "2026-11-01T00:00:00Z", "period_end_at": "2026-12-01T00:00:00Z"},
}
_SAMPLES = {
    "text": "x",
    "int8": 1,
    "float8": 0.5,
    "bool": True,
    "timestamptz": "2026-11-21T02:00:00Z",
    "date": "2026-11-21",
}


@dataclass(frozen=True)
class Actor:
    """Somebody at the door: PostgreSQL role, claims of the token, and what the table says of the kind."""

    name: str
    database_role: str
    claims: dict[str, Any] = field(default_factory=dict)
    column: int | None = None  # of EXPECTED
    has_tenant: bool = True

    def may(self, table: str, verb: str) -> set[str]:
        """Owners whose rows the actor may treat so."""
        if self.database_role == "service_role":
            return SCOPES["A"]
        letter = "-" if self.column is None else EXPECTED[table][self.column][VERBS.index(verb)]
        return SCOPES[letter] if self.has_tenant or letter == "A" else SCOPES[letter] - {"mine", "colleagues"}


def _account(name: str, column: int | None, **metadata: Any) -> Actor:
    claims = {"role": "authenticated", "sub": USER, "app_metadata": metadata}
    return Actor(name, "authenticated", claims, column, has_tenant="tenant_id" in metadata)


ACTORS = (
    Actor("visitor", "anon", {"role": "anon"}),
    Actor("service", "service_role", {"role": "service_role"}),
    _account("platform_admin", 0, role="platform_admin", tenant_id="acme"),
    _account("tenant_admin", 1, role="tenant_admin", tenant_id="acme"),
    _account("user", 2, role="user", tenant_id="acme"),
    _account("user without a role", 2, tenant_id="acme"),
    _account("agent", 3, role="agent", tenant_id="acme", agent_id=AGENT),
    _account("user without a tenant", 2, role="user"),
    _account("tenant_admin without a tenant", 1, role="tenant_admin"),
    _account("unknown role", None, role="superuser", tenant_id="acme"),
    Actor(
        "self-styled admin",
        "authenticated",
        {
            "role": "authenticated",
            "sub": USER,
            "app_metadata": {},
            "user_metadata": {"role": "platform_admin", "tenant_id": "acme"},
            "tenant_id": "acme",
        },
        2,
        has_tenant=False,
    ),
)


class World:
    """A database with a row of each owner in every table. `ids` has the key of each: (table, owner) -> (column, value)."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.columns: dict[str, dict[str, tuple[str, bool]]] = {}
        for table, column, kind, needed in connection.execute(
            "select c.relname, a.attname, coalesce(b.typname, t.typname), a.attnotnull and not a.atthasdef and a.attidentity = '' "
            "from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped "
            "join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = t.typbasetype and t.typtype = 'd' "
            "where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by a.attnum"
        ):
            self.columns.setdefault(table, {})[column] = (kind, needed)
        self.ids: dict[tuple[str, str], tuple[str, Any]] = {}
        for table in ("providers", "models", "agents", "request_events"):  # others point to them
            self._fill(table)
        for table in sorted(set(self.columns) & set(EXPECTED) - {"providers", "models", "agents", "request_events"}):
            self._fill(table)

    def owners(self, table: str) -> tuple[str, ...]:
        """Owners that rows of this table can have."""
        match self.columns[table]:
            case {"tenant_id": (_, needed), **rest}:
                owned = OWNERS[:-1] if needed else OWNERS
                return (
                    owned
                    if {"user_id", "agent_id", "key"} & set(rest)
                    else tuple({_TENANTS[o]: o for o in owned[::-1]}.values())
                )
            case _:
                return ("nobodys",)

    def row(self, table: str, owner: str) -> dict[str, Any]:
        """A new, valid row of this owner."""
        fresh = uuid.uuid4()
        row: dict[str, Any] = {"id": str(fresh)} if "id" in self.columns[table] else {}
        for column, (kind, needed) in self.columns[table].items():
            if needed and column not in row:
                row[column] = {"uuid": str(uuid.uuid4()), "jsonb": json.dumps({})}.get(kind, _SAMPLES.get(kind))
                if kind == "text":
                    row[column] = f"x-{fresh}"
        row |= _VALID.get(table, {}) | self._links(table, owner)
        for column, values in (("tenant_id", _TENANTS), ("user_id", _USERS), ("agent_id", _AGENTS)):
            if column in self.columns[table] and self.columns[table][column][0] == "text":
                row[column] = values[owner]
        if table == "agents":
            row["key"] = _AGENTS[owner] or "agent-of-nobody"
        if table == "request_events":
            row |= {"model": "m", "message_id": f"message-{owner}"}
        if table == "feedback_events":
            row |= {"model": "m", "message_id": f"message-{owner}"}
        if table == "budgets":
            row["period"] = "day"
        return row

    def _links(self, table: str, owner: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if "provider_id" in self.columns[table] and table != "benchmark_results":
            made["provider_id"] = self.ids["providers", "nobodys"][1]
        if "model_id" in self.columns[table] and table != "benchmark_results":
            made["model_id"] = self._insert("models", self.row("models", "nobodys"))[1]
        if table == "agent_models":
            made["agent_id"] = self.ids["agents", owner][1]
        if table == "benchmark_results":
            made["run_id"] = self._insert("runs", self.row("runs", "nobodys"))[1]
        if table in {"domain_benchmarks", "task_domains"}:
            made["domain"] = self._insert("domains", self.row("domains", "nobodys"), "name")[1]
        return made

    def _fill(self, table: str) -> None:
        for owner in self.owners(table):
            key = "id" if "id" in self.columns[table] else next(iter(self.columns[table]))
            self.ids[table, owner] = self._insert(table, self.row(table, owner), key)

    def _insert(self, table: str, row: dict[str, Any], key: str = "id") -> tuple[str, Any]:
        self.connection.execute(insertion(table, row), list(row.values()))
        return key, row[key]


def insertion(table: str, row: dict[str, Any]) -> sql.Composed:
    """An INSERT with a placeholder for each value of the row."""
    return sql.SQL("insert into public.{} ({}) values ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join([sql.Placeholder()] * len(row)),
    )
