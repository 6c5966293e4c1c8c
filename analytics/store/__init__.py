"""Where rows are kept: the `Store` protocol, SQLite behind it, and the spool through which results land."""

from analytics.store.budgets import Reservation
from analytics.store.protocol import Actor, Batch, CatalogChange, Landing, Page, PolicyOwner, Store, Tally
from analytics.store.rows import Row, from_text, new_id, now_text, stable_id, to_text
from analytics.store.run_spool import RunSpool
from analytics.store.spool import Recovery, Spool
from analytics.store.sqlite import SqliteStore

__all__ = [
    "Actor",
    "Batch",
    "CatalogChange",
    "Landing",
    "Page",
    "PolicyOwner",
    "Recovery",
    "Reservation",
    "Row",
    "RunSpool",
    "Spool",
    "SqliteStore",
    "Store",
    "Tally",
    "from_text",
    "new_id",
    "now_text",
    "stable_id",
    "to_text",
]
