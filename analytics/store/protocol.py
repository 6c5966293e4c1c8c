"""What every store can do. One contract test class (`tests/store/base.py`) runs on each of them.

A store keeps rows and gives them back; it never aggregates. Generic verbs serve all tables; a named command exists only
where several tables must change in one transaction. Tables and columns are those of `sql/migrations`; rows have the form
that `analytics.store.rows` describes.

Every call may raise StoreUnavailable (nothing was changed, or the caller cannot know: every write may be repeated safely)
and SchemaMismatch (the store's tables are older or newer than this program; nothing was changed).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from analytics.store.budgets import RESERVED_S, Reservation
from analytics.store.pricing import PriceLimits
from analytics.store.rows import Row
from analytics.store.sessions import SESSION_S


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of an event table in commit order, and the watermark to read on from.

    A watermark is the store's own number: only the order of two of them means anything. A `watermark` below the one that
    was asked for says that the store was put back to an older state.
    """

    rows: list[Row]
    watermark: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The events of one UTC day (`YYYY-MM-DD` of created_at): how many, and the sum of their `id_number`s."""

    day: str
    rows: int
    ids: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a selection, and how many rows there are on all pages."""

    items: list[Row]
    total: int


@dataclass(frozen=True, slots=True)
class Landing:
    """What became of results that were to land.

    `landed` are new, `already` were there with the same content, `dropped` belong to a run that was deleted. `alarms` are ids
    that were there with other content (the stored row stays). `refused` are (id, reason) of rows that no store would take.
    `epoch` is that of the store that committed them.
    """

    epoch: str
    landed: int = 0
    already: int = 0
    dropped: int = 0
    alarms: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """What a sync changed: counts of models and of new prices, (external id, reason) of entries it could not take and of prices
    that it put into quarantine now.
    """

    discovered: int = 0
    added: int = 0
    updated: int = 0
    vanished: int = 0
    prices: int = 0
    rejected: tuple[tuple[str, str], ...] = ()
    quarantined: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change, for the audit log: the role acted in, the person's or program's id there, and why."""

    role: Literal["platform_admin", "tenant_admin", "user", "agent", "service"]
    id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyOwner:
    """Whose a routing policy is: a user's or an agent's (of a tenant, or of any), a tenant's, or everyone's; and where it holds."""

    tenant: str | None = None
    user: str | None = None
    agent: str | None = None
    environment: str = "production"


class Store(Protocol):
    """The system of record. Safe to use from several threads, and from several processes at once."""

    def migrate(self) -> list[str]:
        """Bring the tables up to this program's; the names of the migrations applied now, [] if it was up to date."""

    def check(self) -> None:
        """Return if the store can be reached and its tables are this program's; else the error says what to do."""

    def epoch(self) -> str:
        """The identity of this database: another one after it was made anew, and watermarks of the old one are void."""

    def write(self, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Upsert `rows` by the table's key, all or none; safe to repeat.

        In an event table a row is inserted once and never changed: the answer counts the new ones. In another table every
        given column but `created_at` is overwritten, and the answer counts the rows. BadRows names the row and the column.
        """

    def delete(self, table: str, ids: Sequence[str]) -> int:
        """Delete rows of a table that holds no events, with all that hangs on them; the answer counts those that were there.

        A deleted run takes its results along and leaves a tombstone; results outlive their provider and model.
        """

    def read(self, table: str, after: int | None = None, limit: int = 10_000) -> Batch:
        """At most `limit` rows of an event table that were committed after the watermark `after` (None: from the beginning).

        No row ever becomes visible at or below a watermark that was given out. Each row carries its `commit_seq`.
        """

    def tally(self, table: str, after: int | None = None, until: int | None = None) -> list[Tally]:
        """Count the events behind the watermark `after` up to the watermark `until` (None: all there are now), by day.

        Without `until`, rows count as well that `read` has to hold back because an older transaction is still under way.
        """

    def read_all(self, table: str) -> list[Row]:
        """All rows of a table or view, in the order of its key."""

    def select(
        self,
        table: str,
        filters: Mapping[str, Any] | None = None,
        order: str | None = None,
        page: int = 1,
        per_page: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Page:
        """One page of the rows that match all `filters`: column -> value, list of values (any of them) or None (is null).

        `order` names columns, by commas, each with a leading minus if descending; nulls come last; the key breaks ties.
        `per_page` None gives everything. `columns` are those that the rows have (None: all): a catalog without its `metadata` is a
        twentieth of it. UnknownName for a table or column that is not there.
        """

    def land_results(self, runs: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> Landing:
        """Land measured results and the runs they belong to in one transaction; safe to repeat.

        A run is inserted once; later only its `finished_at` is filled. A provider or model that is gone lands as null. A
        result that cannot be stored is refused alone. BadRows only if a run itself cannot be stored: then nothing landed.
        """

    def apply_catalog(
        self,
        provider_key: str,
        models: Sequence[Mapping[str, Any]],
        synced_at: str,
        *,
        active: Collection[str] | Literal["all"] = (),
        price_source: str | None = None,
        price_limits: PriceLimits | None = None,
    ) -> CatalogChange:
        """Make the catalog of one provider what it lists now; `models` have the fields of `providers.records.Model`.

        Models keep their ids; one that is no longer listed becomes unavailable, unless it was added by hand. `active` are the
        external ids that are benchmarked from their first appearance on. A price row is added when a price changed, from
        `price_source` (by default provider_api, or simulated) or the entry's own; `analytics.store.pricing` says which price
        counts, and what `price_limits` keep in quarantine. What an admin set is never touched: overrides, models added by hand,
        prices from `admin`. An empty list where there were models counts as a failed sync.
        UnknownName if there is no such provider.
        """

    def catalog_failed(self, provider_key: str, error: str, at: str) -> None:
        """Record that a sync failed, and why; the catalog and `last_synced` stay as they are."""

    def note_rejected_parameters(self, model_id: str, changes: Mapping[str, str | None]) -> None:
        """Change what is known of the parameters that a model rejects: name -> UTC time of the refusal, or None to forget it.

        The others stay, whoever writes meanwhile; a sync never touches any. A model that is gone is no error.
        """

    def submit_feedback(self, row: Mapping[str, Any]) -> Row:
        """Record one opinion and return the recorded row; the same id again returns the row that is there.

        `row` has `message_id` and `rating` (0..1) or `signal` (regenerate, copy, continue, abandon), and may have the other
        columns of `feedback_events`. Model, task type, agent, tenant and user come from the message's request unless given.
        UnknownName if the message is unknown and no model was given.
        """

    def change_rows(
        self, table: str, rows: Sequence[Mapping[str, Any]], *, action: str, actor: Actor, at: str | None = None
    ) -> int:
        """Make a person's change of a table that holds no events: each row is inserted or, where its key is there, changed in the columns given.

        All are made or none. Each row that changed has one row in `audit_log`, in the same transaction, with what it said before
        and after; a row that says already what was given stays as it is, and has none: safe to repeat. Times and `set_by` are
        written by the store, from `at` (None: now) and the `actor`. The answer counts the rows that changed just now. The engine's own
        changes go by `write`, which audits nothing. BadRows names the row and the column.
        """

    def remove_rows(self, table: str, ids: Sequence[str], *, action: str, actor: Actor, at: str | None = None) -> int:
        """Make a person's deletion of rows by key, all or none, with one row in `audit_log` for each that was there; how many were."""

    def add_events(
        self, table: str, rows: Sequence[Mapping[str, Any]], *, action: str, actor: Actor, at: str | None = None
    ) -> None:
        """Add what a person says to an event table, all or none, each row with one in `audit_log` in the same transaction.

        Safe to repeat: an event that is there stays as it is, and has its one row. BadRows names the row and the column.
        """

    def set_agent_models(
        self,
        agent: str,
        changes: Sequence[Mapping[str, Any]],
        *,
        tenant: str | None = None,
        actor: Actor,
        at: str | None = None,
    ) -> list[Row]:
        """Change which models an agent may use; the rows of the models named, as they stand now, in the order given.

        Each of `changes` has `model` (its key) and `is_enabled`, `priority_override` (0..100, None to clear it) or both; all are
        made or none. What was not said stays; a priority alone enables nothing. `agent` is a key; an unknown agent becomes one of
        `tenant`. With a `tenant` the agent has to be that tenant's. Each row that changed has one row in `audit_log`.
        UnknownName for a model or agent that is not there, BadRows for a change that makes no sense.
        """

    def add_policy(
        self,
        name: str,
        rules: Mapping[str, Any],
        *,
        owner: PolicyOwner,
        description: str | None = None,
        actor: Actor,
        at: str | None = None,
    ) -> Row:
        """Add a policy, or the next version of one, and return its row. It is not in force before `activate_policy`. Audited.

        Whether the `rules` make sense is the caller's to check (`analytics.routing.policies.policy_of`).
        """

    def activate_policy(
        self, name: str, *, version: int | None = None, owner: PolicyOwner, actor: Actor, at: str | None = None
    ) -> Row:
        """Put one version (None: the newest) of an owner's policy in force in place of the one that was; its row. Audited.

        At any time at most one of an owner's is active in an environment. UnknownName lists those that the owner has.
        """

    def reserve_budget(
        self,
        reservation_id: str,
        cost_usd: float,
        *,
        tenant: str,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        model: str | None = None,
        at: str | None = None,
        ttl_s: float = RESERVED_S,
    ) -> Reservation:
        """Reserve what a call is expected to cost in every budget that holds for the caller, or in none; call only if it `is_granted`.

        Budgets hold by tenant, user and agent, for a day, a month (UTC) or altogether; a session may have one of its own. A budget
        may also limit the requests of an hour. `reservation_id` is a UUID of the caller's: asked again, it gets what was reserved.
        A reservation that nobody settled for `ttl_s` seconds is released when the tenant reserves next. `at` is the time of
        asking (None: now). Amounts are kept to a billionth of a dollar. BadRows if the id is another tenant's.
        """

    def settle_budget(self, reservation_id: str, cost_usd: float | None, *, at: str | None = None) -> Reservation:
        """Count what a reserved call cost instead of what was reserved; None: it was not made, which releases the reservation.

        The actual cost may be more than what was reserved: it is recorded all the same, and the answer's `exceeded_usd` and `over` say
        so. It counts in the period in which it was reserved, also if the reservation expired meanwhile. What was settled once
        stays so. UnknownName if nothing was reserved under this id, or more than 30 days ago.
        """

    def touch_session(
        self,
        session_id: str,
        *,
        tenant: str | None = None,
        user: str | None = None,
        agent: str | None = None,
        model: str | None = None,
        policy: str | None = None,
        preferences: Mapping[str, Any] | None = None,
        budget_usd: float | None = None,
        at: str | None = None,
        ttl_s: float = SESSION_S,
    ) -> Row:
        """Note a request of a session, which begins with its first, and return its row; what is None is left as it is.

        The session is over when nobody touched it for `ttl_s` seconds: it then forgets its `model`, but not what it spent. BadRows if it is
        another user's.
        """

    def expire(self, table: str, before: str, watermark: int | None, *, dry_run: bool = False) -> int:
        """Delete the events created before `before` that were already read: those up to `watermark` (None: nothing was).

        The answer counts them; with `dry_run` nothing is deleted. Tombstones and runs are not expired.
        """

    def make_partitions(self) -> list[str]:
        """Where events lie by month: make the places of the months to come, and drop old ones that are empty. The names made;
        [] if they were there, or if this store keeps all months in one. Safe to repeat.
        """

    def close(self) -> None:
        """Let go of connections; a closed store may not be used again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
