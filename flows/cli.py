"""Which model should a task go to, within these limits, and why? Scorehouse answers from evidence.

Data goes to stdout, everything else to stderr; `--json` gives one JSON document or JSON Lines.

Exit codes: 0 ok, 1 failed, 2 bad usage (nothing was changed), 3 no model to answer with, 130 interrupted.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module, metadata
from typing import Annotated

import typer
from typer._click.exceptions import (
    ClickException,
    NoArgsIsHelpError,
)  # Typer carries its own click and exports no base class

from analytics.errors import AnalyticsError, BadRows, UnknownName
from flows import render
from flows.errors import FlowError, UsageError
from providers.errors import BadProvider, ProviderError

# Each command or group of commands, in the order of the help, by the module of `flows.commands` that has it under that name.
_COMMANDS = {
    "demo": "demo", "providers": "providers", "keys": "keys", "models": "models", "prices": "prices", "bench": "measuring",
    "workloads": "workloads", "score": "evidence", "route": "routing", "explain": "decisions", "performance": "decisions",
    "agents": "agents", "policies": "policies", "budgets": "budgets", "audit": "audit", "events": "events", "feedback": "events",
    "query": "evidence", "export": "evidence", "mcp": "serving", "status": "upkeep", "prune": "upkeep", "db": "upkeep",
    "deploy": "upkeep",
}  # fmt: skip


def make_app(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command with all its commands; with that one alone which `arguments` name first, as loading the others takes a while."""
    app = typer.Typer(
        name="scorehouse",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=__doc__)(_scorehouse)
    first = arguments[0] if arguments else None
    for name in [first] if first in _COMMANDS else [] if first == "--version" else _COMMANDS:
        command = getattr(import_module(f"flows.commands.{_COMMANDS[name]}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _tell_version(asked: bool) -> None:
    if asked:
        render.out.print(render.plain(metadata.version("scorehouse")))
        raise typer.Exit


def _scorehouse(
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
        words = sys.argv[1:] if arguments is None else arguments
        _check_text(words)
        code = make_app(words)(words, standalone_mode=False)
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
