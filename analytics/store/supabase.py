"""The store of a production Scorehouse: a Supabase project, by its REST interface and the service key.

Every verb is one function of the database (`sql/migrations/postgres`), called by RPC, hence one transaction; what is too large
for one request is staged in parts first. `SUPABASE_DB_URL`, where it is given, is for migrations and for reading in bulk.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from analytics import sqlfiles
from analytics.errors import BadRows, SchemaMismatch, UnknownName
from analytics.store import (
    budgets,
    feedback,
    migrate_postgres,
    policies,
    schema,
    sessions,
    supabase_budgets,
    supabase_catalog,
    supabase_steering,
)
from analytics.store.budgets import RESERVED_S, Reservation
from analytics.store.pricing import PriceLimits
from analytics.store.protocol import Actor, Batch, CatalogChange, Landing, Page, PolicyOwner, Tally
from analytics.store.rows import Row, clean, mended
from analytics.store.schema import Table
from analytics.store.sessions import SESSION_S
from analytics.store.supabase_rows import (
    ROWS_AT_ONCE,
    Group,
    by_columns,
    filters_of,
    from_json,
    groups,
    order_of,
    parts,
    place,
    watermark,
)
from analytics.store.supabase_wire import Refusal, Wire, remedy

if TYPE_CHECKING:
    from analytics.store.supabase_bulk import Copied

PATIENCE_S = 30.0
_EXPIRED_AT_ONCE = 10_000
_MONTHS_AHEAD = 3


class SupabaseStore:
    """A `Store` in a Supabase project. `url` and `service_key` are those of the project's API settings.

    `timeout_s` is how long the project may keep silent, `patience_s` for how long a call is tried again while what
    went wrong may pass; then StoreUnavailable. Opening costs nothing; the first call compares the tables with this program's.
    """

    def __init__(
        self,
        url: str,
        service_key: str,
        *,
        db_url: str | None = None,
        timeout_s: float = 60.0,
        patience_s: float | None = None,
    ) -> None:
        patience = PATIENCE_S if patience_s is None else patience_s
        self._wire = Wire(url, service_key, timeout_s=timeout_s, patience_s=patience)
        self._db_url = db_url
        self._is_checked = False

    # -- life --------------------------------------------------------------------------------------------------

    def migrate(self) -> list[str]:
        """Apply what is missing over `SUPABASE_DB_URL`. Without that address only compare: SchemaMismatch says what to apply."""
        try:
            self.check()
        except SchemaMismatch:
            if self._db_url is None:
                raise
            applied = migrate_postgres.migrate(self._db_url)
            self._wire.until_known(self.check)
            return applied
        return []

    def check(self) -> None:
        """Compare the migrations that are recorded, and then column by column what they made."""
        state = self._wire.call("store_state")
        recorded, columns = state["migrations"] or [], state["columns"]
        versions = {stem.partition("_")[0]: stem for stem in sqlfiles.files("migrations/postgres")}
        # None recorded: they were pasted, and what is recorded is somebody else's.
        for version, stem in versions.items() if versions.keys() & set(recorded) else ():
            if version not in recorded:
                raise SchemaMismatch(f"{self._wire.name} lacks the migration {stem}; {remedy(stem)}")
        for name, table in sorted(schema.warehouse().items(), key=lambda named: named[1].is_view):
            missing = sorted(set(table.columns) - set(columns.get(name, ())))
            if missing:
                what = f"{name} lacks {', '.join(missing)}" if name in columns else f"there is no {name}"
                raise SchemaMismatch(f"{self._wire.name}: {what}; {remedy(f'public.{name}')}")
        self._is_checked = True

    def epoch(self) -> str:
        return str(self.call("current_epoch")["epoch"])

    def close(self) -> None:
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- generic verbs -----------------------------------------------------------------------------------------

    def write(self, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
        shape = schema.writable(table)
        cleaned = [clean(shape, row, f"{table}, row {index}") for index, row in enumerate(rows)]
        if not cleaned:
            return 0
        try:
            written = self.send("write_rows", groups(shape, cleaned))["written"]
        except Refusal as error:
            place_of = {str(row.get(str(shape.key))): index for index, row in reversed(list(enumerate(cleaned)))}
            index = place_of.get(str(error.key))
            raise BadRows(f"{table}{'' if index is None else f', row {index}'}: {error}") from None
        return int(written) if shape.is_event else len(cleaned)

    def delete(self, table: str, ids: Sequence[str]) -> int:
        schema.holds_no_events(table)
        found = [mended(row_id) for row_id in ids]
        gone: int = 0
        for start in range(0, len(found), ROWS_AT_ONCE):
            gone += self.call("delete_rows", p_table=table, p_ids=found[start : start + ROWS_AT_ONCE])["deleted"]
        return gone

    def read(self, table: str, after: int | None = None, limit: int = 10_000) -> Batch:
        shape = schema.events(table)
        rows, mark = list[Row](), after or 0
        while len(rows) < limit:
            wanted = min(limit - len(rows), ROWS_AT_ONCE)
            txid, seq = place(mark)
            found = self.call("read_events", p_table=table, p_txid=txid, p_seq=seq, p_limit=wanted)["rows"]
            if found:
                mark = watermark(int(found[-1]["txid"]), found[-1]["commit_seq"])
                rows += from_json(shape, found)
            if len(found) < wanted:
                break
        return Batch(rows, mark)

    @property
    def can_copy(self) -> bool:
        """Whether event tables can be read in bulk."""
        return self._db_url is not None

    def copy(self, table: str, columns: Sequence[str], after: int | None, limit: int) -> "Copied | None":
        """What `read` would give after the watermark `after`, at most `limit` rows, by COPY; None if there is nothing."""
        from analytics.store import supabase_bulk  # noqa: PLC0415  # and pyarrow, which the store itself does without

        assert self._db_url is not None, "can_copy says so"
        return supabase_bulk.copy(self._db_url, table, columns, after, limit)

    def tally(self, table: str, after: int | None = None, until: int | None = None) -> list[Tally]:
        schema.events(table)
        txid, seq = place(after)
        bounds = {"p_txid": txid, "p_seq": seq}
        if until is not None:
            bounds |= dict(zip(("p_until_txid", "p_until_seq"), place(until), strict=True))
        days = self.call("tally_events", p_table=table, **bounds)["days"]
        return [Tally(day, rows, int(ids)) for day, rows, ids in days]

    def read_all(self, table: str) -> list[Row]:
        return self.select(table).items

    def select(
        self,
        table: str,
        filters: Mapping[str, Any] | None = None,
        order: str | None = None,
        page: int = 1,
        per_page: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Page:
        shape = schema.table(table)
        wanted = filters_of(shape, filters or {})
        terms = order_of(shape, order)
        asked = None if columns is None else [schema.column(shape, name) for name in columns]
        if page < 1 or (per_page is not None and per_page < 1):
            raise UnknownName(f"there is no page {page} of {per_page} rows; both count from 1")
        if per_page is None and shape.key is not None:
            needed = None if asked is None else sorted({*asked, shape.key, *(column for column, _ in terms)})
            items = [row for found in self.pages(table, wanted, needed) for row in found]
            for column, is_descending in reversed(terms):
                known = [row for row in items if row[column] is not None]
                known.sort(key=itemgetter(column), reverse=is_descending)
                items = known + [row for row in items if row[column] is None]
            return Page(items if asked is None else [{name: row[name] for name in asked} for row in items], len(items))
        items, total = self._window(shape, wanted, terms, asked, page, per_page)
        return Page(items, total)

    # -- commands: each is one transaction ---------------------------------------------------------------------

    def land_results(self, runs: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> Landing:
        run_rows = [clean(schema.table("runs"), run, f"runs, row {index}") for index, run in enumerate(runs)]
        cleaned, refused = list[Row](), list[tuple[str, str]]()
        for index, result in enumerate(results):
            try:
                cleaned.append(clean(schema.table("benchmark_results"), result, f"benchmark_results, row {index}"))
            except BadRows as error:
                refused.append((str(result.get("id")), str(error)))
        grouped, places = by_columns("benchmark_results", cleaned)
        try:
            answer = self.send("land_results", grouped, p_runs=run_rows)
        except Refusal as error:
            raise BadRows(f"run: {error}") from None
        counts = {"landed": len(cleaned) - len(answer["fates"]), "already": 0, "dropped": 0}
        alarms = list[str]()
        for index, fate, why in answer["fates"]:
            result_id = str(cleaned[places[index]]["id"])
            if fate == "refused":
                refused.append((result_id, str(why)))
            elif fate == "alarm":
                alarms.append(result_id)
            else:
                counts[fate] += 1
        return Landing(str(answer["epoch"]), **counts, alarms=tuple(alarms), refused=tuple(refused))

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
        return supabase_catalog.apply(self, provider_key, models, synced_at, active, price_source, price_limits)

    def catalog_failed(self, provider_key: str, error: str, at: str) -> None:
        moment = clean(schema.table("models"), {"synced_at": at}, "sync", whole=False)["synced_at"]
        said = mended(f"{moment} {error}")
        if not self.call("catalog_failed", p_provider=mended(provider_key), p_error=said)["found"]:
            supabase_catalog.require_provider(self, provider_key)

    def note_rejected_parameters(self, model_id: str, changes: Mapping[str, str | None]) -> None:
        times = {name: at for name, at in changes.items() if at is not None}
        row = clean(schema.table("models"), {"rejected_parameters": times}, f"model {model_id}", whole=False)
        patch = mended(dict.fromkeys(changes)) | row["rejected_parameters"]
        self.call("note_rejected_parameters", p_model=model_id, p_changes=patch)

    def submit_feedback(self, row: Mapping[str, Any]) -> Row:
        given = feedback.prepared(row)
        try:
            stored = self.call("submit_feedback", p_row=given)["feedback"]
        except Refusal as error:
            raise BadRows(f"feedback: {error}") from None
        if stored is None:
            raise feedback.unknown_message(given)
        return from_json(schema.table("feedback_events"), [stored])[0]

    def change_rows(
        self, table: str, rows: Sequence[Mapping[str, Any]], *, action: str, actor: Actor, at: str | None = None
    ) -> int:
        return supabase_steering.change_rows(self, table, rows, action, actor, at)

    def remove_rows(self, table: str, ids: Sequence[str], *, action: str, actor: Actor, at: str | None = None) -> int:
        return supabase_steering.remove_rows(self, table, ids, action, actor, at)

    def add_events(
        self, table: str, rows: Sequence[Mapping[str, Any]], *, action: str, actor: Actor, at: str | None = None
    ) -> None:
        supabase_steering.add_events(self, table, rows, action, actor, at)

    def set_agent_models(
        self,
        agent: str,
        changes: Sequence[Mapping[str, Any]],
        *,
        tenant: str | None = None,
        actor: Actor,
        at: str | None = None,
    ) -> list[Row]:
        return supabase_steering.set_agent_models(self, agent, changes, tenant, actor, at)

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
        return supabase_steering.add_policy(self, policies.prepared(name, rules, owner, description, actor, at), actor)

    def activate_policy(
        self, name: str, *, version: int | None = None, owner: PolicyOwner, actor: Actor, at: str | None = None
    ) -> Row:
        return supabase_steering.activate_policy(self, name, version, owner, actor, at)

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
        asked = budgets.prepared(
            {"id": reservation_id, "tenant_id": tenant, "user_id": user, "agent_id": agent, "session_id": session, "model": model,
             "cost_usd": cost_usd, "created_at": at},
            ttl_s,
        )  # fmt: skip
        return supabase_budgets.reserve(self, asked, asked["created_at"], ttl_s)

    def settle_budget(self, reservation_id: str, cost_usd: float | None, *, at: str | None = None) -> Reservation:
        return supabase_budgets.settle(self, budgets.settlement(reservation_id, cost_usd, at))

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
        asked = sessions.prepared(
            {"session_id": session_id, "tenant_id": tenant, "user_id": user, "agent_id": agent, "model": model, "policy": policy,
             "preferences": preferences, "budget_usd": budget_usd, "last_activity_at": at},
            ttl_s,
        )  # fmt: skip
        return supabase_budgets.touch(self, asked, ttl_s)

    def expire(self, table: str, before: str, watermark: int | None, *, dry_run: bool = False) -> int:
        shape = schema.expirable(table)
        txid, seq = place(watermark)
        due = {
            "p_table": table,
            "p_before": clean(shape, {"created_at": before}, "expire", whole=False)["created_at"],
            "p_txid": txid,
            "p_seq": seq,
            "p_limit": _EXPIRED_AT_ONCE,
        }
        expired = 0
        while True:
            gone: int = self.call("expire_events", **due, p_dry_run=dry_run)["expired"]
            expired += gone
            if dry_run or gone < _EXPIRED_AT_ONCE:
                return expired

    def make_partitions(self) -> list[str]:
        return list(self.call("make_partitions", months_ahead=_MONTHS_AHEAD)["made"])

    # -- the functions behind all of it ------------------------------------------------------------------------------

    def call(self, function: str, **values: Any) -> dict[str, Any]:
        """What a function of the project answers."""
        if not self._is_checked:
            self.check()
        return self._wire.call(function, **values)

    def send(self, function: str, grouped: Sequence[Group], **values: Any) -> dict[str, Any]:
        """Call a function that takes groups of rows: at once, or staged in parts if they are too many."""
        if not self._is_checked:
            self.check()
        return self._wire.send(function, list(parts(grouped)), **values)

    def pages(
        self, table: str, filters: Mapping[str, Any], columns: Sequence[str] | None = None
    ) -> Iterator[list[Row]]:
        """Everything that matches, a page at a time by key: rows that come or go meanwhile shift no other."""
        shape, after = schema.table(table), None
        while True:
            found = self.call(
                "select_rows", p_table=table, p_filters=filters, p_limit=ROWS_AT_ONCE, p_key=shape.key, p_after=after,
                p_columns=columns,
            )["rows"]  # fmt: skip
            yield from_json(shape, found)
            if len(found) < ROWS_AT_ONCE:
                return
            after = str(found[-1][str(shape.key)])

    def _window(
        self,
        shape: Table,
        filters: Mapping[str, Any],
        terms: Sequence[tuple[str, bool]],
        columns: Sequence[str] | None,
        page: int,
        per_page: int | None,
    ) -> tuple[list[Row], int]:
        """One page by its offset, in calls of at most 1,000 rows; and how many rows match."""
        first = 0 if per_page is None else (page - 1) * per_page
        items, total = list[Row](), -1
        while True:
            wanted = ROWS_AT_ONCE if per_page is None else min(per_page - len(items), ROWS_AT_ONCE)
            answer = self.call(
                "select_rows", p_table=shape.name, p_filters=filters, p_limit=wanted, p_order=[list(term) for term in terms],
                p_offset=first + len(items), p_total=total < 0, p_columns=columns,
            )  # fmt: skip
            total = int(answer["total"]) if total < 0 else total
            items += from_json(shape, answer["rows"])
            if len(answer["rows"]) < wanted or len(items) == per_page:
                return items, total
