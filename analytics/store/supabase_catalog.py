"""A provider's catalog brought up to date in a Supabase project.

What a sync changes is decided by the code that decides it for SQLite, in an empty SQLite database in memory that holds a copy of
the provider, its models and the prices that matter. Only the rows that changed go back, and they are committed in
one transaction, if nobody changed that catalog meanwhile; else it is read and decided anew.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from analytics.errors import StoreUnavailable
from analytics.store import catalog_sync, schema
from analytics.store.pricing import PriceLimits
from analytics.store.protocol import CatalogChange
from analytics.store.rows import Row, clean, from_sqlite, mended, to_sqlite
from analytics.store.supabase_rows import Group, from_json, groups
from analytics.store.supabase_wire import Refusal

_TABLES = ("providers", "models", "prices")
_TRIES = 5
_MODELS_AT_ONCE = 500


class Project(Protocol):
    """What this module needs of the store."""

    def call(self, function: str, **values: Any) -> dict[str, Any]: ...
    def send(self, function: str, grouped: Sequence[Group], **values: Any) -> dict[str, Any]: ...
    def pages(self, table: str, filters: Mapping[str, Any]) -> Iterator[list[Row]]: ...


def apply(
    project: Project,
    provider_key: str,
    models: Sequence[Mapping[str, Any]],
    synced_at: str,
    active: Collection[str] | Literal["all"],
    price_source: str | None,
    price_limits: PriceLimits | None = None,
) -> CatalogChange:
    """What `Store.apply_catalog` says. StoreUnavailable if others changed the same catalog each time."""
    refused: dict[str, str] = {}
    tries = 0
    while tries < _TRIES:
        state = project.call("catalog_state", p_provider=mended(provider_key))["catalog"]
        if state is None:
            require_provider(project, provider_key)
            continue
        provider = state["provider"]
        listed = [_spoiled(entry) if _name(entry) in refused else entry for entry in models]
        with schema.empty_warehouse() as memory:
            _load(memory, project, provider)
            change = catalog_sync.apply(memory, provider_key, listed, synced_at, active, price_source, price_limits)
            changed = _changed(memory)
            try:
                version = state["version"]
                written = project.send("commit_catalog", changed, p_provider=provider["id"], p_version=version)[
                    "written"
                ]
            except Refusal as error:
                name = _culprit(memory, error)
                if name is None or name in refused:
                    raise
                refused[name] = str(error)  # what SQLite took and PostgreSQL does not is left out alone
                continue
        if written is not None:
            rejected = tuple((name, refused.get(name, why)) for name, why in change.rejected)
            return replace(change, rejected=rejected)
        tries += 1
    raise StoreUnavailable(f"the catalog of {provider_key} is being changed by others; sync it again")


def require_provider(project: Project, key: str) -> None:
    """Raise UnknownName unless there is such a provider."""
    with schema.empty_warehouse() as memory:
        for page in project.pages("providers", {}):
            _insert(memory, "providers", page)
        catalog_sync.fail(memory, key, "", "1970-01-01T00:00:00.000000Z")


def _load(memory: sqlite3.Connection, project: Project, provider: Mapping[str, Any]) -> None:
    """Copy the provider's catalog into the database in memory, and have that note what changes from now on."""
    memory.execute("begin")
    _insert(memory, "providers", from_json(schema.table("providers"), [provider]))
    for page in project.pages("models", {"provider_id": [provider["id"]]}):
        _insert(memory, "models", page)
        for start in range(0, len(page), _MODELS_AT_ONCE):
            ids = [model["id"] for model in page[start : start + _MODELS_AT_ONCE]]
            prices = project.call("catalog_prices", p_models=ids)["prices"]
            _insert(memory, "prices", from_json(schema.table("prices"), prices))
    memory.execute("create temp table changed (name text, id text, primary key (name, id))")
    for table in _TABLES:
        for event in ("insert", "update"):
            memory.execute(
                f"create temp trigger {table}_{event} after {event} on main.{table} "  # noqa: S608  # names of ours
                f"begin insert or ignore into changed values ('{table}', new.id); end"
            )


def _insert(memory: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    shape = schema.table(table)
    columns = list(shape.columns)  # a column that somebody added is none of ours
    names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    cleaned = [to_sqlite(clean(shape, {name: row.get(name) for name in columns}, table, whole=False)) for row in rows]
    memory.executemany(f"insert into {table} ({names}) values ({values})", cleaned)  # noqa: S608  # known columns


def _changed(memory: sqlite3.Connection) -> list[Group]:
    """Whole rows of what was inserted or changed, providers first: others point to them."""
    found = list[Group]()
    for name in _TABLES:
        cursor = memory.execute(
            f"select * from {name} where id in (select id from changed where name = ?)",  # noqa: S608  # names of ours
            (name,),
        )
        table = schema.table(name)
        found += groups(table, from_sqlite(table, [column[0] for column in cursor.description], cursor.fetchall()))
    return found


def _culprit(memory: sqlite3.Connection, error: Refusal) -> str | None:
    """The external id of the model whose row, or whose price, was refused."""
    model_id = error.key
    if error.table == "prices":
        found = memory.execute("select model_id from prices where id = ?", (error.key,)).fetchone()
        model_id = found[0] if found else None
    found = memory.execute("select name from models where id = ?", (model_id,)).fetchone()
    return found[0] if found else None


def _name(entry: Mapping[str, Any]) -> str:
    return str(mended(str(entry.get("external_id"))))


def _spoiled(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry as one that is listed and that no store takes."""
    return {**entry, "context_window": "refused"}
