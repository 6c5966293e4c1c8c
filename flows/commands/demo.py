"""`scorehouse demo`: the main job on simulated providers, start to end."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import render
from flows.commands.measuring import report_json
from flows.commands.options import Json
from flows.commands.routing import show_answer
from flows.settings import Home, load_settings

if TYPE_CHECKING:
    from flows.demo import DemoReport


def demo(
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another small world of models.")] = 7,
    sample: Annotated[int, typer.Option(min=1, help="Questions of each domain to each model.")] = 10,
    serve: Annotated[bool, typer.Option("--serve", help="Let the simulated providers go on answering.")] = False,
    json: Json = False,
) -> None:
    """Sync, measure, score and route on three simulated providers, its flows under Prefect; all in SCOREHOUSE_HOME/demo."""
    home = home_of_demo(load_settings().home.path)
    # A project that is configured is production's: the simulated providers are none of its business.
    elsewhere = dict.fromkeys(("supabase_url", "supabase_service_role_key", "supabase_db_url"))
    settings = load_settings(home).model_copy(update=elsewhere)
    (home / "prefect").mkdir(parents=True, exist_ok=True)
    # Prefect reads its environment when it is imported: its state lies in the demo's folder, its server runs for the demo alone.
    os.environ |= {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    os.environ.pop("PREFECT_API_URL", None)
    from flows.demo import run_demo
    from flows.watch import Watch

    def show(done: "DemoReport") -> None:
        if json:
            render.show_json({"run": report_json(done.report), "route": done.answer.to_dict(), "home": str(home)})
        else:
            _show(done, settings.home)
        command = f"SCOREHOUSE_HOME={home} {sys.argv[0]}"
        render.say(f"Ask on: {command} route --task analysis --sort price")
        if serve:
            render.say(f"The simulated providers go on answering until Ctrl-C; try: {command} bench --workload short")
            signal.pause()

    run_demo(settings, Watch(), seed=seed, sample=sample, say=render.say, show=show)


def home_of_demo(home: Path) -> Path:
    """Where the demo lives below `home`; a folder that a demo made is its own, so that its providers answer there again."""
    return home if home.name == "demo" and (home / "prefect").is_dir() else home / "demo"


def _show(done: "DemoReport", home: Home) -> None:
    from flows.watch import COLUMNS, summary_rows

    title = "What was measured (simulated providers; medians over successes)"
    render.show_table(title, COLUMNS, summary_rows(done.summaries))
    render.out.print()
    render.out.print(render.plain(f"Which model for task '{done.task}'?"), style="bold")
    show_answer(done.answer)
    render.out.print()
    places = {"store": home.store, "lake": home.lake, "snapshots": home.scoring, "logs": home.logs}
    for what, path in places.items():
        render.out.print(f"{what:10}", render.plain(path), soft_wrap=True)
