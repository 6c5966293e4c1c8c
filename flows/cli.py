"""Which model should a task go to, within these limits, and why? Scorehouse answers from evidence.

Data goes to stdout, everything else to stderr; `--json` gives one JSON document or JSON Lines.

Exit codes: 0 ok, 1 failed, 2 bad usage (nothing was changed), 3 no model to answer with, 130 interrupted.
"""

import io
import os
import signal
import sys
from contextlib import suppress
from importlib import metadata
from typing import Annotated

import typer
from typer._click.exceptions import (
    ClickException,
    NoArgsIsHelpError,
)  # Typer carries its own click and exports no base class

from analytics.errors import AnalyticsError, BadRows, UnknownName
from flows import render
from flows.commands import (
    agents,
    audit,
    budgets,
    decisions,
    events,
    evidence,
    keys,
    measuring,
    models,
    policies,
    prices,
    providers,
    routing,
    serving,
    upkeep,
    workloads,
)
from flows.commands.demo import demo
from flows.errors import FlowError, UsageError
from providers.errors import BadProvider, ProviderError

app = typer.Typer(
    name="scorehouse",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo)
app.add_typer(providers.providers, name="providers")
app.add_typer(keys.keys, name="keys")
app.add_typer(models.models, name="models")
app.add_typer(prices.prices, name="prices")
app.command("bench")(measuring.bench)
app.add_typer(workloads.workloads, name="workloads")
app.command("score")(evidence.score)
app.command("route")(routing.route)
app.command("explain")(decisions.explain)
app.command("performance")(decisions.performance)
app.add_typer(agents.agents, name="agents")
app.add_typer(policies.policies, name="policies")
app.add_typer(budgets.budgets, name="budgets")
app.command("audit")(audit.audit)
app.add_typer(events.events, name="events")
app.command("feedback")(events.feedback)
app.command("query")(evidence.query)
app.command("export")(evidence.export)
app.command("mcp")(serving.mcp)
app.command("status")(upkeep.status)
app.command("prune")(upkeep.prune)
app.add_typer(upkeep.db, name="db")
app.command("deploy")(upkeep.deploy)


def _tell_version(asked: bool) -> None:
    if asked:
        render.out.print(render.plain(metadata.version("scorehouse")))
        raise typer.Exit


@app.callback(help=__doc__)
def scorehouse(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Carry the options of the command itself."""


_INTERRUPTED = 130
_STOPPED = "Interrupted; what was measured so far is kept."
_BAD_USAGE = (UsageError, BadRows, UnknownName, BadProvider)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; an error is one sentence on stderr."""
    try:
        _check_text(sys.argv[1:] if arguments is None else arguments)
        code = app(arguments, standalone_mode=False)
        if code == _INTERRUPTED:  # Typer makes an exit of Ctrl-C
            code = _complain(_STOPPED, code)
        sys.stdout.flush()
    except NoArgsIsHelpError as error:
        render.out.print(error.format_message(), markup=False)
        code = 2
    except ClickException as error:
        # Pydantic, which reads the options, opens some of its sentences like this.
        code = _complain(error.format_message().replace(": Value error, ", ": "), 2)
    except (typer.Abort, KeyboardInterrupt):
        code = _complain(_STOPPED, _INTERRUPTED)
    except _BAD_USAGE as error:
        code = _complain(str(error), 2)
    except (FlowError, AnalyticsError, ProviderError) as error:
        code = _complain(str(error), 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing more to say to it
        code = 1
    except OSError as error:  # a home folder that cannot be written, a file that cannot be read
        code = _complain(f"{error.filename or 'A file'}: {error.strerror or error}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _check_text(arguments: list[str]) -> None:
    for word in arguments:
        if any("\udc80" <= letter <= "\udcff" for letter in word):  # how Python hands in bytes that are no UTF-8
            raise UsageError(f"The argument {word!a} is not UTF-8 text")


def _complain(message: str, code: int) -> int:
    sentence = message.strip().replace("\n", " ")
    with suppress(OSError):  # nobody reads it: the exit code says the rest
        render.say(f"scorehouse: {sentence}{'' if sentence.endswith(('.', '?', '!')) else '.'}")
    return code


def run() -> None:
    """The entry point: `main` in a process of its own."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being told to stop is being interrupted
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to stop
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        if "prefect" not in sys.modules:
            # Arrow's and DuckDB's threads may still be ending, and an interpreter that tears itself down around them can
            # abort. Everything durable is on the disk already; only Prefect has something to say at exit.
            os._exit(end.code if isinstance(end.code, int) else 1)
        raise


if __name__ == "__main__":
    run()
