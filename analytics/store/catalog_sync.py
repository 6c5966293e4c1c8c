"""A provider's catalog brought up to date in SQLite, inside a transaction that the store opened.

What the provider lists is compared with what is there while the rows are read, one at a time, so that 50,000 unchanged models
cost one pass, no write and no second copy of them in memory. Rows are written by the hundred; a batch that the database refuses
is written again row by row, so that one bad row is set aside alone.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from analytics.errors import BadRows, UnknownName
from analytics.store import schema
from analytics.store.protocol import CatalogChange
from analytics.store.rows import clean, mended, new_id, stable_id, to_sqlite

_DESCRIBED = ("display_name", "model_type", "capabilities", "cost_tier", "context_window", "metadata")
_PRICES = ("input_price_per_m", "output_price_per_m")
_KEPT_PRICES = {"admin", "settings"}  # sources that a sync does not overrule
_AT_ONCE = 500  # rows a batch

_Values = tuple[Any, ...]


@dataclass(slots=True)
class _Listing:
    """What a provider lists, by external id: how its row shall read (in the order of `_DESCRIBED`), and its prices.

    `names` are all that it lists, those included that are `rejected`, with the reason.
    """

    rows: dict[str, _Values] = field(default_factory=dict)
    prices: dict[str, _Values] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)

    def reject(self, refused: Mapping[str, str]) -> None:
        """Set these aside."""
        for name in refused:
            del self.rows[name]
        self.rejected |= refused


@dataclass(slots=True)
class _Difference:
    """What a listing says anew: ids of all models there are by external id, and which of them changed, came back or vanished."""

    ids: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


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
    if not models and _has_available(connection, provider_id):
        # A key of another scope or a fault of theirs: routing with yesterday's catalog beats routing with none.
        fail(connection, provider_key, "the provider listed no models; the last known catalog stays in use", synced_at)
        return CatalogChange()
    listing = _read(models, provider_key)
    known = _compare(connection, provider_id, listing)
    updated = set(_update(connection, listing, known, moment))
    added = _insert(connection, listing, known, (provider_key, provider_id), active, moment)
    source = price_source or ("simulated" if is_simulated else "provider_api")
    priced = _apply_prices(connection, provider_id, listing, {**known.ids, **added}, source, moment)
    connection.executemany(
        "update models set is_available = 0, updated_at = ? where id = ?", [(moment, model) for model in known.gone]
    )
    connection.execute(
        "update providers set last_synced = ?, last_sync_error = null where id = ?", (moment, provider_id)
    )
    rejected = [(name, listing.rejected[name]) for name in listing.names if name in listing.rejected]
    return CatalogChange(
        discovered=len(listing.names),
        added=len(added),
        updated=len((updated | priced) - added.keys()),
        vanished=len(known.gone),
        prices=len(priced),
        rejected=tuple(rejected),
    )


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


def _has_available(connection: sqlite3.Connection, provider_id: str) -> bool:
    statement = "select 1 from models where provider_id = ? and is_available limit 1"
    return connection.execute(statement, (provider_id,)).fetchone() is not None


def _read(models: Iterable[Mapping[str, Any]], provider_key: str) -> _Listing:
    """Each entry once, the first of its name, as the database will have it."""
    listing = _Listing()
    for entry in models:
        name = mended(str(entry.get("external_id")))
        if name in listing.names:
            continue
        listing.names[name] = None
        try:
            described, prices = _described(entry, f"{provider_key}/{name}")
        except BadRows as error:
            listing.rejected[name] = str(error)
        else:
            listing.rows[name], listing.prices[name] = described, prices
    return listing


def _described(entry: Mapping[str, Any], key: str) -> tuple[_Values, _Values]:
    """An entry's values of `_DESCRIBED`, and of `_PRICES`."""
    name = entry.get("external_id")
    if name is None:
        raise BadRows(f"{key}: name is missing")
    given = {
        "name": name,
        "display_name": entry.get("display_name") or name,
        "model_type": entry.get("model_type") or "chat",
        "capabilities": entry.get("capabilities") or {},
        "cost_tier": entry.get("cost_tier"),
        "context_window": entry.get("context_window"),
    }
    row = to_sqlite(clean(schema.table("models"), given, key, whole=False))
    row["metadata"] = _metadata(entry.get("raw") or {}, key)
    prices = clean(schema.table("prices"), {price: entry.get(price) for price in _PRICES}, key, whole=False)
    if any(price is not None and price < 0 for price in prices.values()):
        raise BadRows(f"{key}: a price is below 0")
    return tuple(row[column] for column in _DESCRIBED), tuple(prices[price] for price in _PRICES)


def _metadata(raw: Any, key: str) -> str:
    """The provider's entry as JSON text; text is taken as it stands, if it is a JSON object."""
    if isinstance(raw, str) and "\\u0000" not in raw:
        try:
            if isinstance(orjson.loads(raw), dict):
                return raw
        except orjson.JSONDecodeError:
            pass  # in another way it may still be JSON: `clean` knows
    return str(to_sqlite(clean(schema.table("models"), {"metadata": raw}, key, whole=False))["metadata"])


def _compare(connection: sqlite3.Connection, provider_id: str, listing: _Listing) -> _Difference:
    """Hold the provider's models against the listing. Of a model added by hand every word is its admin's."""
    found = _Difference()
    columns = ", ".join(("id", "name", "is_available", "is_manual", *_DESCRIBED))
    statement = f"select {columns} from models where provider_id = ?"  # noqa: S608  # names of ours
    for model_id, name, is_available, is_manual, *described in connection.execute(statement, (provider_id,)):
        found.ids[name] = model_id
        row = listing.rows.get(name)
        if name not in listing.names:
            if is_available and not is_manual:
                found.gone.append(model_id)
        elif row is not None and is_manual:
            if not is_available:
                found.back.append(name)
        elif row is not None and not (is_available and _is_same(tuple(described), row)):
            found.changed.append(name)
    return found


def _is_same(known: _Values, now: _Values) -> bool:
    """Whether two descriptions say the same; the entry itself (the last of `_DESCRIBED`) may be written in another way."""
    if known == now:
        return True
    return known[:-1] == now[:-1] and orjson.loads(known[-1]) == orjson.loads(now[-1])


def _update(connection: sqlite3.Connection, listing: _Listing, known: _Difference, moment: str) -> list[str]:
    """Write what changed; the external ids of models that did."""
    settings = ", ".join(f"{column} = ?" for column in (*_DESCRIBED, "synced_at", "updated_at"))
    refused = _write(
        connection,
        f"update models set {settings}, is_available = 1 where id = ?",  # noqa: S608  # names of ours
        known.changed,
        lambda name: (*listing.rows[name], moment, moment, known.ids[name]),
    )
    refused |= _write(
        connection,
        "update models set synced_at = ?, updated_at = ?, is_available = 1 where id = ?",
        known.back,
        lambda name: (moment, moment, known.ids[name]),
    )
    listing.reject(refused)
    return [name for name in (*known.changed, *known.back) if name not in refused]


def _insert(
    connection: sqlite3.Connection,
    listing: _Listing,
    known: _Difference,
    provider: tuple[str, str],
    active: Collection[str] | Literal["all"],
    moment: str,
) -> dict[str, str]:
    """Write what is new; its ids by external id. An id follows from the key, so that it survives a new database."""
    provider_key, provider_id = provider
    columns = ("id", "key", "name", "provider_id", "is_active", "synced_at", "created_at", "updated_at", *_DESCRIBED)
    new = {name: stable_id("model", f"{provider_key}/{name}") for name in listing.rows if name not in known.ids}

    def row(name: str) -> _Values:
        is_active = active == "all" or name in active
        key = f"{provider_key}/{name}"
        return new[name], key, name, provider_id, is_active, moment, moment, moment, *listing.rows[name]

    statement = f"insert into models ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"  # noqa: S608  # names of ours
    refused = _write(connection, statement, list(new), row)
    listing.reject(refused)
    return {name: model_id for name, model_id in new.items() if name not in refused}


def _write(
    connection: sqlite3.Connection, statement: str, names: Sequence[str], row: Callable[[str], _Values]
) -> dict[str, str]:
    """Run the statement for each name's row; those that the database refuses, with its reason."""
    refused = {}
    for start in range(0, len(names), _AT_ONCE):
        batch = names[start : start + _AT_ONCE]
        connection.execute("savepoint batch")
        try:
            connection.executemany(statement, map(row, batch))
        except sqlite3.IntegrityError:
            connection.execute("rollback to batch")
            for name in batch:
                try:
                    connection.execute(statement, row(name))
                except sqlite3.IntegrityError as error:
                    refused[name] = str(error)
        connection.execute("release batch")
    return refused


def _apply_prices(
    connection: sqlite3.Connection,
    provider_id: str,
    listing: _Listing,
    ids: Mapping[str, str],
    source: str,
    moment: str,
) -> set[str]:
    """Add a price row where the provider gives a price and it is not the one in force; the external ids of these models."""
    newest = {
        model: (tuple(prices), known_source)
        for model, known_source, *prices in connection.execute(
            f"select p.model_id, p.source, p.{', p.'.join(_PRICES)} from models as m inner join prices as p on p.id = ("  # noqa: S608  # names of ours
            "select q.id from prices as q where q.model_id = m.id order by q.timestamp desc, q.id desc limit 1"
            ") where m.provider_id = ?",
            (provider_id,),
        )
    }
    rows = {}
    for name in listing.rows:
        prices, known = listing.prices[name], newest.get(ids[name])
        is_kept = known is not None and (known[1] in _KEPT_PRICES or known[0] == prices)
        if not is_kept and any(price is not None for price in prices):
            rows[name] = (new_id(), provider_id, ids[name], source, moment, *prices)
    columns = ", ".join(("id", "provider_id", "model_id", "source", "timestamp", *_PRICES))
    connection.executemany(f"insert into prices ({columns}) values (?, ?, ?, ?, ?, ?, ?)", rows.values())  # noqa: S608  # names of ours
    return set(rows)
