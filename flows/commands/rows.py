"""What the commands on providers and models share: finding a row, showing it, telling the lookup."""

from typing import Annotated

import typer

from analytics.store import Row, Store
from analytics.store.pricing import ESTIMATED
from flows import render
from flows.errors import UsageError
from flows.settings import Settings

ProviderKey = Annotated[
    str, typer.Argument(metavar="PROVIDER", help="The provider's key, as 'providers list' shows it.")
]
ModelKey = Annotated[str, typer.Argument(metavar="MODEL", help="The model's key: provider/name.")]


def find_row(store: Store, table: str, key: str, noun: str, by: str = "id") -> Row:
    """The row whose `by` is `key`; UsageError names the command that lists what there is."""
    found = store.select(table, {by: key}).items
    if not found:
        raise UsageError(f"There is no {noun} '{key}'; 'scorehouse {noun}s list' shows those that are there.")
    return found[0]


def show_row(row: Row, *, as_json: bool) -> None:
    """One row, a line per column or as JSON."""
    if as_json:
        render.show_json(row)
        return
    for name, value in row.items():
        render.out.print(f"{name:20}", render.plain(render.cell(value)), soft_wrap=True)


def whose(source: str | None, input_price_per_m: float | None, output_price_per_m: float | None) -> str:
    """Whose word a price is, for a person: a price library's figures are estimates, and nobody's are unknown."""
    if source is None or (input_price_per_m is None and output_price_per_m is None):
        return "unknown"
    return f"{source} (estimated)" if source == ESTIMATED else source


def publish(settings: Settings, store: Store) -> None:
    """Tell the lookup at once."""
    from flows.jobs.configuration import publish as publish_configuration

    publish_configuration(settings, store)
