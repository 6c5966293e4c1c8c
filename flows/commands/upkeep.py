"""`scorehouse status`, `prune`, `db` and `deploy`: running it every day."""

import asyncio
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows import render
from flows.commands.options import Json
from flows.commands.running import run_job
from flows.errors import FlowError, UsageError
from flows.settings import load_settings
from flows.warehouse import make_store, open_store

_POOL = "local"  # of prefect.yaml; `prefect deploy --all` takes no other


class _Prunable(StrEnum):
    """The tables whose rows grow old."""

    RESULTS = "benchmark_results"
    REQUESTS = "request_events"
    FEEDBACK = "feedback_events"


db = typer.Typer(no_args_is_help=True, help="The store: migrate, check, restore.")


def status(json: Json = False) -> None:
    """Health and freshness: the store, the spool, the lake, the snapshots, the last run. Exit 1 if something is wrong."""
    from flows.jobs.status import house_status

    found = house_status(load_settings())
    if json:
        render.show_json(found.to_dict())
    else:
        render.show_table(
            None, ("part", "state", "detail"), ((part.name, part.state, part.detail) for part in found.parts)
        )
    if not found.is_healthy:
        raise typer.Exit(1)


def prune(
    older_than: Annotated[
        int | None, typer.Option(metavar="DAYS", min=1, max=36_500, help="Default: the configured retention.")
    ] = None,
    table: Annotated[list[_Prunable] | None, typer.Option(metavar="TABLE", help="Only this one; repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and delete nothing.")] = False,
    json: Json = False,
) -> None:
    """Delete old raw rows from the store, and from the lake where the configuration says so. Scores keep what they added up to."""
    from flows.jobs.prune import run_prune

    settings = load_settings()
    tables = tuple(one.value for one in table or ())
    report = run_job(
        settings,
        "prune",
        lambda: asyncio.to_thread(run_prune, settings, older_than_days=older_than, tables=tables, dry_run=dry_run),
    )
    if json:
        render.show_json(report.to_dict())
    else:
        render.show_table(None, ("place", "table", "before", "rows"), report.lines())
    for problem in report.problems:
        render.say(f"Left alone, store and lake are not the same: {problem}.")
    verb = "would leave" if dry_run else "left"
    render.say(f"{sum(report.removed.values())} rows {verb} the store.")
    if report.raw:
        render.say(f"{sum(one.rows for one in report.raw)} rows {verb} the lake; what they add up to is sealed there.")


@db.command("migrate")
def migrate(
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Of a Supabase project: record migrations that were pasted by hand; run nothing."),
    ] = False,
) -> None:
    """Bring the store's tables up to this program's: those of the database at SUPABASE_DB_URL, else of the local file."""
    settings = load_settings()
    if settings.supabase_db_url is not None:
        from analytics.store import migrate_postgres

        applied = migrate_postgres.migrate(settings.supabase_db_url.get_secret_value(), adopt=adopt)
    elif adopt:
        raise UsageError("--adopt is for a Supabase project: set SUPABASE_DB_URL.")
    else:
        with make_store(settings) as store:
            applied = store.migrate()
    done = "Recorded" if adopt else "Applied"
    render.say(f"{done} {', '.join(applied)}." if applied else "The schema is up to date.")


@db.command("check")
def check() -> None:
    """Say whether the store can be reached and has this program's schema (exit 1 if not)."""
    settings = load_settings()
    if settings.supabase_db_url is not None:
        from analytics.store import migrate_postgres

        migrate_postgres.check(settings.supabase_db_url.get_secret_value())
    if settings.supabase_db_url is None or settings.supabase_url is not None:
        if settings.supabase_url is None and not settings.home.store.exists():
            raise FlowError(f"There is no store at {settings.home.store} yet; 'scorehouse db migrate' makes it.")
        with make_store(settings) as store:
            store.check()
    render.say("The store answers, and its schema is this program's.")


@db.command("restore")
def restore(json: Json = False) -> None:
    """Give the store every row of the lake that it lacks: a lost store, or a new one. What is there stays; safe to repeat."""
    from analytics.lake import Lake
    from analytics.lake.restore import restore as restore_from

    settings = load_settings()
    with open_store(settings) as store:
        done = restore_from(Lake(settings.home.lake), store)
    if json:
        render.show_json({"rows": done.rows, "dropped": done.dropped, "problems": list(done.problems)})
    else:
        render.show_table(None, ("table", "rows"), done.rows.items())
    for problem in done.problems:
        render.say(f"Left out: {problem}")
    render.say(f"{sum(done.rows.values())} rows came back from {settings.home.lake}.")
    if done.problems:
        raise typer.Exit(1)


def deploy() -> None:
    """Register the deployments of prefect.yaml with the Prefect server at PREFECT_API_URL, and make their work pool."""
    import stamina

    stamina.instrumentation.set_on_retry_hooks([])  # a second try is no news; it would be printed to stdout
    settings = load_settings()
    if not Path("prefect.yaml").is_file():
        raise UsageError("There is no prefect.yaml in this folder; run 'scorehouse deploy' in Scorehouse's own folder.")
    if not settings.prefect_api_url:
        raise UsageError(
            "PREFECT_API_URL is not set; start 'prefect server start' and set it to http://127.0.0.1:4200/api."
        )
    if _prefect("work-pool", "create", _POOL, "--type", "process", check=False) != 0:
        _prefect("work-pool", "inspect", _POOL)  # it was there already, or the server cannot be reached
    # Safe to repeat, and worth it: a busy server with an SQLite database answers 500 now and then ("database is locked").
    for attempt in stamina.retry_context(on=FlowError, attempts=3, wait_initial=1.0):
        with attempt:
            _prefect("--no-prompt", "deploy", "--all")
    with open_store(settings):  # the worker's first run then finds its tables
        pass
    render.say(f"Deployed. Start a worker: prefect worker start --pool {_POOL}")


def _prefect(*words: str, check: bool = True) -> int:
    done = subprocess.run([sys.executable, "-m", "prefect", *words], capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    if check and done.returncode != 0:
        told = done.stderr if done.stderr.strip() else done.stdout  # a traceback ends with what went wrong
        last = [line.strip() for line in told.splitlines() if line.strip()][-3:]
        raise FlowError(f"'prefect {' '.join(words)}' failed: {' '.join(last)}")
    return done.returncode
