"""Options that several commands share."""

import getpass
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from analytics.store import Actor

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of a table.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="The tenant whose it is.")]
By = Annotated[
    str | None, typer.Option("--by", help="Who does this, for the audit log; else the account on this machine.")
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the audit log.")]


def actor_of(by: str | None, reason: str | None) -> "Actor":
    """Who changes something by the command. Whoever holds the store's key may do everything."""
    from analytics.store import Actor

    if by is None:
        with suppress(KeyError, OSError):  # a container may run as a number that has no name
            by = getpass.getuser()
    return Actor("platform_admin", by, reason)
