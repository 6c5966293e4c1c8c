"""`scorehouse score`, `query` and `export`: from rows to evidence, and out of the house."""

import asyncio
from collections.abc import Sequence
from json import loads
from pathlib import Path
from typing import Annotated

import typer

from flows import render
from flows.commands.options import Json
from flows.commands.running import run_job
from flows.errors import UsageError
from flows.settings import load_settings


def score(
    full: Annotated[bool, typer.Option("--full", help="Add up everything anew instead of what is new.")] = False,
    json: Json = False,
) -> None:
    """Extract what is new, refresh the scores it touches, publish a snapshot."""
    from flows.jobs.score import run_score

    settings = load_settings()
    done = run_job(settings, "score", lambda: asyncio.to_thread(run_score, settings, full=full))
    if json:
        render.show_json(done.to_dict())
    for line in done.sentences():
        render.say(line)


def query(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A ready query; --list shows them.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="The ready queries.")] = False,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A value that the query asks for; repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Ask a ready question of the lake and the newest scores."""
    from analytics.lake import Lake
    from analytics.queries import list_queries, run_query

    if listing or name is None:
        rows = [
            {"name": one.name, "parameters": list(one.parameters), "answers": one.description} for one in list_queries()
        ]
        if json:
            render.show_json_lines(rows)
        else:
            render.show_rows(None, rows, "There are no ready queries.")
        return
    parameters = dict(_parameter(text) for text in param or [])
    home = load_settings().home
    found = run_query(Lake(home.lake), name, parameters=parameters, scoring=home.scoring)
    _say_left_out(loads(found.schema.metadata[b"left_out"]))
    answer = found.to_pylist()
    if json:
        render.show_json_lines(answer)
    else:
        (answers,) = (one.description.partition("; $")[0] for one in list_queries() if one.name == name)
        title = f"{answers[0].upper()}{answers[1:]}"  # says of what the columns are means
        render.show_rows(title, answer, "No rows: nothing of that kind has been measured and scored yet.")


def export(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A table of the lake or of the newest snapshot.")],
    out: Annotated[Path, typer.Option(help="FILE.parquet, FILE.csv or FILE.jsonl.")],
) -> None:
    """Write one table to a file."""
    from analytics.export import exportable, write_table

    if out.suffix not in {".parquet", ".csv", ".jsonl"}:
        raise UsageError(f"--out {out}: the name must end in .parquet, .csv or .jsonl.")
    home = load_settings().home
    tables = exportable(home.lake, home.scoring)
    if table not in tables:
        known = ", ".join(sorted(tables)) or "nothing yet: run 'scorehouse score' first"
        raise UsageError(f"There is no table '{table}' to export; there is {known}.")
    reading = tables[table]()
    write_table(reading.rows, out)
    _say_left_out(reading.corrupt)
    render.say(f"{reading.rows.num_rows} rows of {table} are in {out}.")


def _say_left_out(corrupt: Sequence[str]) -> None:
    for sentence in corrupt:
        render.say(f"Left out: {sentence}.")


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--param '{text}' is not of the form NAME=VALUE.")
    return name, value
