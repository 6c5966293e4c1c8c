"""`scorehouse events import` and `scorehouse feedback`: evidence from outside the benchmarks."""

from pathlib import Path
from typing import Annotated

import typer

from flows import render
from flows.commands.options import Json
from flows.errors import UsageError
from flows.settings import load_settings
from flows.warehouse import open_store

events = typer.Typer(no_args_is_help=True, help="Live and external events: import.")


@events.callback()
def _subject() -> None:
    """Keep `import` a command of its own although it is the only one."""


@events.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines, CSV or Parquet.")],
    file_format: Annotated[
        str | None, typer.Option("--format", help="jsonl, csv or parquet, where the name does not say it.")
    ] = None,
    json: Json = False,
) -> None:
    """Import requests (and ratings) that others measured. All rows are checked first; a file imported twice lands once."""
    from analytics.events import import_events

    if not file.is_file():
        raise UsageError(f"There is no file '{file}'.")
    with open_store(load_settings()) as store:
        done = import_events(store, file, file_format)
    if json:
        render.show_json({name: getattr(done, name) for name in done.__slots__})
    render.say(
        f"{done.new_requests} of {done.requests} requests and {done.new_ratings} of {done.ratings} ratings are new. "
        "They count from the next 'scorehouse score' on."
    )
    if done.unknown_models:
        render.say(f"No catalog knows {', '.join(done.unknown_models[:8])}: kept under that name, and never routed to.")


def feedback(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="The message that is rated.")],
    rating: Annotated[float | None, typer.Option(min=0, max=1, help="0 (useless) to 1 (perfect).")] = None,
    signal: Annotated[
        str | None, typer.Option(help="What the reader did: regenerate, copy, continue or abandon.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Who answered, where the message was never imported.")] = None,
    task: Annotated[str | None, typer.Option(help="Its task type.")] = None,
    agent: Annotated[str | None, typer.Option(help="The agent that asked.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The tenant of the agent and of who rates.")] = None,
    user: Annotated[str | None, typer.Option(help="Who rates.")] = None,
    json: Json = False,
) -> None:
    """Rate one answer, by a number or by what its reader did."""
    from analytics.ratings import record_rating

    if (rating is None) == (signal is None):
        raise UsageError("Give either --rating or --signal.")
    given = {
        "model": model,
        "task_type": task,
        "agent_id": agent,
        "tenant_id": tenant,
        "user_id": user,
        "rating": rating,
        "signal": signal,
    }
    with open_store(load_settings()) as store:
        recorded = record_rating(store, message_id, given)
    if json:
        render.show_json(recorded)
    render.say(f"Recorded {recorded['rating']} for {recorded['model']}; it counts from the next 'scorehouse score' on.")
