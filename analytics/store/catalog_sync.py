"""A provider's catalog brought up to date in SQLite, inside a transaction that the store opened.

What the provider lists is compared with what is there while the rows are read, one at a time, so that 50,000 unchanged models
cost one pass, no write and no second copy of them in memory. Rows are written by the hundred; a batch that the database refuses
is written again row by row, so that one bad row is set aside alone.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal

import orjson

from analytics.errors import BadRows, UnknownName
from analytics.store import schema
from analytics.store.pricing import HISTORY_COLUMNS, Offer, PriceLimits, histories, judge, offer_of
from analytics.store.protocol import CatalogChange
from analytics.store.rows import Row, clean, mended, stable_id, to_sqlite

_DESCRIBED = ("display_name", "model_type", "capabilities", "cost_tier", "context_window", "metadata")
_TIER = _DESCRIBED.index("cost_tier")
_AT_ONCE = 500  # rows a batch

_Values = tuple[Any, ...]


@dataclass(slots=True)
class _Listing:
    """What a provider lists, by external id: how its row shall read (in the order of `_DESCRIBED`), and its price.

    `names` are all that it lists, those included that are `rejected`, with the reason.
    """

    rows: dict[str, _Values] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
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
    price_limits: PriceLimits | None = None,
) -> CatalogChange:
    """What `Store.apply_catalog` says, for a transaction that is open."""
    provider_id, is_simulated = _provider(connection, provider_key)
    moment = _moment(synced_at)
    if not models and _has_available(connection, provider_id):
        # A key of another scope or a fault of theirs: routing with yesterday's catalog beats routing with none.
        fail(connection, provider_key, "the provider listed no models; the last known catalog stays in use", synced_at)
        return CatalogChange()
    listing = _read(models, provider_key, price_source or ("simulated" if is_simulated else "provider_api"))
    prices = _Prices(connection, provider_id, listing, moment, price_limits or PriceLimits())
    known = _compare(connection, provider_id, listing, prices)
    new = {name: stable_id("model", f"{provider_key}/{name}") for name in listing.rows if name not in known.ids}
    for name, model_id in new.items():
        prices.judge(name, model_id, tier=None)
    updated = set(_update(connection, listing, known, moment))
    added = _insert(connection, listing, new, (provider_key, provider_id), active, moment)
    told = {name: prices.added[name] for name in listing.rows if name in prices.added}
    _write_prices(connection, list(told.values()))
    priced = {name for name, row in told.items() if row["quarantine_reason"] is None}
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
        quarantined=tuple((name, row["quarantine_reason"]) for name, row in told.items() if name not in priced),
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


def _read(models: Iterable[Mapping[str, Any]], provider_key: str, price_source: str) -> _Listing:
    """Each entry once, the first of its name, as the database will have it."""
    listing = _Listing()
    for entry in models:
        name = mended(str(entry.get("external_id")))
        if name in listing.names:
            continue
        listing.names[name] = None
        try:
            listing.offers[name] = offer_of(entry, price_source)
            listing.rows[name] = _described(entry, f"{provider_key}/{name}")
        except BadRows as error:
            listing.rejected[name] = str(error)
    return listing


def _described(entry: Mapping[str, Any], key: str) -> _Values:
    """An entry's values of `_DESCRIBED`."""
    name = entry.get("external_id")
    if name is None:
        raise BadRows(f"{key}: name is missing")
    display_name, model_type = entry.get("display_name") or name, entry.get("model_type") or "chat"
    tier, context = entry.get("cost_tier"), entry.get("context_window")
    if not _is_plain(name, display_name, model_type, tier or "", context or 0):
        given = {"name": name, "display_name": display_name, "model_type": model_type, "cost_tier": tier}
        row = clean(schema.table("models"), given | {"context_window": context}, key, whole=False)
        display_name, model_type = row["display_name"], row["model_type"]
        tier, context = row["cost_tier"], row["context_window"]
    capabilities = _capabilities(entry.get("capabilities") or {}, key)
    metadata = _metadata(entry.get("raw") or b"{}", key)
    return display_name, model_type, capabilities, tier, context, metadata


def _is_plain(name: Any, display_name: Any, model_type: Any, tier: Any, context: Any) -> bool:
    """Whether `clean` would leave these as they are, at first sight: of thousands of models it does with nearly all."""
    if not (type(name) is type(display_name) is type(model_type) is type(tier) is str and type(context) is int):
        return False
    texts: str = name + display_name + model_type + tier
    return texts.isascii() and "\0" not in texts and context < 1 << 31


def _capabilities(value: Any, key: str) -> str:
    """Capability -> origin as JSON text."""
    if isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair):
        return _written(tuple(value.items()))
    return str(to_sqlite(clean(schema.table("models"), {"capabilities": value}, key, whole=False))["capabilities"])


@lru_cache(maxsize=4096)
def _written(capabilities: tuple[tuple[str, str], ...]) -> str:
    """Thousands of models have the same few: each is written once."""
    row = clean(schema.table("models"), {"capabilities": dict(capabilities)}, "", whole=False)
    return str(to_sqlite(row)["capabilities"])


def _metadata(raw: Any, key: str) -> bytes:
    """The provider's entry as JSON in UTF-8. Bytes are taken as they stand, as those of an object, if a database keeps all in them."""
    if isinstance(raw, bytes):
        if b"\\u0000" not in raw:
            return raw
        raw = raw.decode()
    return str(to_sqlite(clean(schema.table("models"), {"metadata": raw}, key, whole=False))["metadata"]).encode()


def _compare(connection: sqlite3.Connection, provider_id: str, listing: _Listing, prices: "_Prices") -> _Difference:
    """Hold the provider's models against the listing, prices first. Of a model added by hand every word is its admin's."""
    found = _Difference()
    columns = ", ".join(("id", "name", "is_available", "is_manual", *_DESCRIBED[:-1], "cast(metadata as blob)"))
    statement = f"select {columns} from models where provider_id = ?"  # noqa: S608  # names of ours
    for model_id, name, is_available, is_manual, *described in connection.execute(statement, (provider_id,)):
        found.ids[name] = model_id
        if name not in listing.names:
            if is_available and not is_manual:
                found.gone.append(model_id)
            continue
        if name not in listing.rows:
            continue
        prices.judge(name, model_id, tier=described[_TIER])
        if is_manual:
            if not is_available:
                found.back.append(name)
        elif not (is_available and _is_same(tuple(described), listing.rows[name])):
            found.changed.append(name)
    return found


def _is_same(known: _Values, now: _Values) -> bool:
    """Whether two descriptions say the same; the entry itself (the last of `_DESCRIBED`) may be written in another way."""
    if known == now:
        return True
    return known[:-1] == now[:-1] and orjson.loads(known[-1]) == orjson.loads(now[-1])


def _as_text(row: _Values) -> _Values:
    return *row[:-1], row[-1].decode()


def _update(connection: sqlite3.Connection, listing: _Listing, known: _Difference, moment: str) -> list[str]:
    """Write what changed; the external ids of models that did."""
    settings = ", ".join(f"{column} = ?" for column in (*_DESCRIBED, "synced_at", "updated_at"))
    refused = _write(
        connection,
        f"update models set {settings}, is_available = 1 where id = ?",  # noqa: S608  # names of ours
        known.changed,
        lambda name: (*_as_text(listing.rows[name]), moment, moment, known.ids[name]),
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
    new: Mapping[str, str],
    provider: tuple[str, str],
    active: Collection[str] | Literal["all"],
    moment: str,
) -> dict[str, str]:
    """Write what is `new`, ids by external id; those that were taken. An id follows from the key, so that it survives a new database."""
    provider_key, provider_id = provider
    columns = ("id", "key", "name", "provider_id", "is_active", "synced_at", "created_at", "updated_at", *_DESCRIBED)

    def row(name: str) -> _Values:
        is_active = active == "all" or name in active
        key = f"{provider_key}/{name}"
        return new[name], key, name, provider_id, is_active, moment, moment, moment, *_as_text(listing.rows[name])

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


class _Prices:
    """What becomes of the listed prices; `added` are the rows of `prices` to add, by external id."""

    def __init__(
        self, connection: sqlite3.Connection, provider_id: str, listing: _Listing, moment: str, limits: PriceLimits
    ) -> None:
        self.added: dict[str, Row] = {}
        self._listing = listing
        self._judge = partial(judge, provider_id=provider_id, moment=moment, limits=limits)
        statement = f"select {', '.join(HISTORY_COLUMNS)} from prices where provider_id = ? order by timestamp, id"  # noqa: S608  # names of ours
        self._history = histories(connection.execute(statement, (provider_id,)))

    def judge(self, name: str, model_id: str, *, tier: str | None) -> None:
        """Judge one model's price. If it does not count, the model keeps the cost tier that it has."""
        verdict = self._judge(self._listing.offers[name], self._history.get(model_id), model_id=model_id)
        if not verdict.counts:
            row = self._listing.rows[name]
            self._listing.rows[name] = (*row[:_TIER], tier, *row[_TIER + 1 :])
        if verdict.row is not None:
            self.added[name] = verdict.row


def _write_prices(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    if rows:
        columns = tuple(rows[0])
        statement = f"insert into prices ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"  # noqa: S608  # names of ours
        connection.executemany(statement, (tuple(row.values()) for row in rows))
