"""A provider's catalog brought up to date in SQLite, inside a transaction that the store opened."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from analytics.errors import BadRows, UnknownName
from analytics.store import schema
from analytics.store.protocol import CatalogChange
from analytics.store.rows import Row, clean, mended, new_id, stable_id, to_sqlite

_DESCRIBED = ("display_name", "model_type", "capabilities", "cost_tier", "context_window", "metadata")
_KEPT_PRICES = {"admin", "settings"}  # sources that a sync does not overrule


def apply(
    connection: sqlite3.Connection,
    provider_key: str,
    models: Sequence[Mapping[str, Any]],
    synced_at: str,
    active: Collection[str] | Literal["all"],
    price_source: str | None,
) -> CatalogChange:
    """What `Store.apply_catalog` says, for a transaction that is open."""
    provider_id, is_simulated = _provider(connection, provider_key)
    moment = _moment(synced_at)
    known = _known(connection, provider_id)
    if not models and any(model["is_available"] for model in known.values()):
        # A key of another scope or a fault of theirs: routing with yesterday's catalog beats routing with none.
        fail(connection, provider_key, "the provider listed no models; the last known catalog stays in use", synced_at)
        return CatalogChange()
    counts = {"added": 0, "updated": 0, "prices": 0}
    rejected: list[tuple[str, str]] = []
    listed: set[str] = set()
    for entry in models:
        name = mended(str(entry.get("external_id")))
        if name in listed:
            continue
        listed.add(name)
        connection.execute("savepoint entry")
        try:
            row = _described(entry, provider_key, provider_id, moment)
            fate = _apply_entry(connection, row, known.get(name), is_active=active == "all" or name in active)
            source = price_source or ("simulated" if is_simulated else "provider_api")
            priced = _apply_price(connection, entry, row, source, moment)
        except (BadRows, sqlite3.IntegrityError) as error:
            connection.execute("rollback to entry")
            rejected.append((name, str(error)))
        else:
            counts["prices"] += priced
            if fate or priced:
                counts["added" if fate == "added" else "updated"] += 1
        connection.execute("release entry")
    gone = [
        (moment, model["id"])
        for name, model in known.items()
        if name not in listed and model["is_available"] and not model["is_manual"]
    ]
    connection.executemany("update models set is_available = 0, updated_at = ? where id = ?", gone)
    connection.execute(
        "update providers set last_synced = ?, last_sync_error = null where id = ?", (moment, provider_id)
    )
    return CatalogChange(len(listed), vanished=len(gone), rejected=tuple(rejected), **counts)


def fail(connection: sqlite3.Connection, provider_key: str, error: str, at: str) -> None:
    """What `Store.catalog_failed` says, for a transaction that is open."""
    provider_id, _ = _provider(connection, provider_key)
    connection.execute(
        "update providers set last_sync_error = ? where id = ?", (mended(f"{_moment(at)} {error}"), provider_id)
    )


def _provider(connection: sqlite3.Connection, key: str) -> tuple[str, bool]:
    found = connection.execute("select id, is_simulated from providers where key = ?", (mended(key),)).fetchone()
    if found is None:
        keys = [name for (name,) in connection.execute("select key from providers order by key")]
        raise UnknownName(f"no provider is called {key!r}; there are: {', '.join(keys) or 'none yet'}")
    return found[0], bool(found[1])


def _moment(text: str) -> str:
    return str(clean(schema.table("models"), {"synced_at": text}, "sync", whole=False)["synced_at"])


def _known(connection: sqlite3.Connection, provider_id: str) -> dict[str, Row]:
    columns = ("id", "name", "is_available", "is_manual", *_DESCRIBED)
    found = connection.execute(
        f"select {', '.join(columns)} from models where provider_id = ?",  # noqa: S608  # names of ours
        (provider_id,),
    )
    return {row[1]: dict(zip(columns, row, strict=True)) for row in found}


def _described(entry: Mapping[str, Any], provider_key: str, provider_id: str, moment: str) -> Row:
    """A `models` row of what the provider says; the id follows from the key, so that it survives a new database."""
    name = entry.get("external_id")
    key = f"{provider_key}/{name}"
    row = {
        "id": stable_id("model", key),
        "key": key,
        "name": name,
        "provider_id": provider_id,
        "display_name": entry.get("display_name") or name,
        "model_type": entry.get("model_type") or "chat",
        "capabilities": entry.get("capabilities") or {},
        "cost_tier": entry.get("cost_tier"),
        "context_window": entry.get("context_window"),
        "metadata": entry.get("raw") or {},
        "synced_at": moment,
        "created_at": moment,
        "updated_at": moment,
    }
    return to_sqlite(clean(schema.table("models"), row, key))


def _apply_entry(connection: sqlite3.Connection, row: Row, known: Row | None, *, is_active: bool) -> str | None:
    """Insert or update one model; added, updated or None. `row` gets the id that is in the table."""
    if known is None:
        added = {**row, "is_active": is_active}
        names, values = ", ".join(added), ", ".join(f":{name}" for name in added)
        connection.execute(f"insert into models ({names}) values ({values})", added)  # noqa: S608  # known columns
        return "added"
    row["id"] = known["id"]
    # Of a model added by hand every word is its admin's; a sync only says that the provider lists it.
    described = () if known["is_manual"] else _DESCRIBED
    if known["is_available"] and all(row[name] == known[name] for name in described):
        return None
    settings = ", ".join(f"{name} = :{name}" for name in (*described, "synced_at", "updated_at"))
    connection.execute(f"update models set {settings}, is_available = 1 where id = :id", row)  # noqa: S608  # names of ours
    return "updated"


def _apply_price(
    connection: sqlite3.Connection, entry: Mapping[str, Any], model: Row, source: str, moment: str
) -> bool:
    """Add a price row if the provider gives a price and it is not the one in force."""
    price = clean(
        schema.table("prices"),
        {name: entry.get(name) for name in ("input_price_per_m", "output_price_per_m")},
        str(model["key"]),
        whole=False,
    )
    if all(value is None for value in price.values()):
        return False
    newest = connection.execute(
        "select input_price_per_m, output_price_per_m, source from prices where model_id = ? "
        "order by timestamp desc, id desc limit 1",
        (model["id"],),
    ).fetchone()
    if newest and (newest[2] in _KEPT_PRICES or newest[:2] == tuple(price.values())):
        return False
    connection.execute(
        "insert into prices (id, provider_id, model_id, input_price_per_m, output_price_per_m, source, timestamp) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        (new_id(), model["provider_id"], model["id"], *price.values(), source, moment),
    )
    return True
