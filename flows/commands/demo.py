"""`scorehouse demo`: the main job on simulated providers, start to end."""

import os
from typing import Annotated

import typer

from flows import render
from flows.commands.measuring import report_json
from flows.commands.options import Json
from flows.commands.routing import show_answer
from flows.settings import load_settings


def demo(
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another small world of models.")] = 7,
    sample: Annotated[int, typer.Option(min=1, help="Questions of each domain to each model.")] = 10,
    json: Json = False,
) -> None:
    """Sync, measure, score and route on three simulated providers, its flows under Prefect; all in SCOREHOUSE_HOME/demo."""
    home = load_settings().home.path / "demo"
    settings = load_settings(home)
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
    from flows.watch import Watch, summary_table

    shown = run_demo(settings, Watch(), seed=seed, sample=sample, say=render.say)
    if json:
        render.show_json({"run": report_json(shown.report), "route": shown.answer.to_dict(), "home": str(home)})
        return
    render.out.print(
        summary_table(shown.summaries, title="What was measured (simulated providers; medians over successes)")
    )
    render.out.print()
    render.out.print(render.plain(f"Which model for task '{shown.task}'?"), style="bold")
    show_answer(shown.answer)
    render.out.print()
    for what, path in (
        ("store", settings.home.store),
        ("lake", settings.home.lake),
        ("snapshots", settings.home.scoring),
        ("logs", settings.home.logs),
    ):
        render.out.print(f"{what:10}", render.plain(path), soft_wrap=True)
    render.say(f"Ask on: SCOREHOUSE_HOME={home} scorehouse route --task analysis --sort price")
