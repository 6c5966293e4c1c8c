"""`scorehouse workloads`: what can be sent, and questions of others."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import render
from flows.commands.options import Json
from flows.errors import UsageError
from flows.settings import load_settings

if TYPE_CHECKING:
    from flows.workloads import Workload

workloads = typer.Typer(no_args_is_help=True, help="What a benchmark sends: prompts and graded questions.")


@workloads.command("list")
def list_all(json: Json = False) -> None:
    """Every workload, ours and imported ones."""
    from flows.workloads import list_workloads

    rows = [_summary(workload) for workload in list_workloads(load_settings().home.workloads)]
    if json:
        render.show_json_lines(rows)
    else:
        render.show_rows(None, rows, "There are no workloads.")


@workloads.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME")], json: Json = False) -> None:
    """One workload with what it sends and expects."""
    from flows.workloads import load_workload

    workload = load_workload(name, load_settings().home.workloads)
    items = [asdict(item) for item in workload.items]
    if json:
        render.show_json({**_summary(workload), "items": items})
        return
    rows = [
        {
            "domain": item["domain"],
            "prompt": _short(item["prompt"]["text"], 90),
            "expected": _short(item["expected_answer"], 30),
            "grader": item["grader"],
        }
        for item in items
    ]
    render.show_rows(f"{workload.id}, version {workload.version}: {workload.description}", rows, "It has no prompts.")


@workloads.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON Lines; shapes as GSM8K's and MMLU's are recognised.")
    ],
    name: Annotated[str | None, typer.Option(help="The workload's name; the file's without it.")] = None,
    domain: Annotated[
        str | None, typer.Option(help="The domain of lines that name none; the workload's name without it.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of an imported workload of that name.")
    ] = False,
    json: Json = False,
) -> None:
    """Take questions of others, all or none, as a workload of their own."""
    from flows.warehouse import open_store
    from flows.workloads import imported, load_workload

    if not file.is_file():
        raise UsageError(f"There is no file '{file}'.")
    settings = load_settings()
    folder = settings.home.workloads
    chosen = name or file.name.removesuffix(".jsonl").lower()
    found = imported.read_foreign(file, chosen, domain or chosen)
    if (folder / f"{chosen}.jsonl").exists():
        if not replace and imported.questions(folder, chosen) != found:
            raise UsageError(
                f"There is a workload '{chosen}' with other questions; --replace takes its place, --name chooses another."
            )
    elif chosen in _names():
        raise UsageError(f"'{chosen}' is a workload of Scorehouse itself; choose another name by --name.")
    with open_store(settings) as store:
        new = imported.add_rows(store, found, file.name)
    imported.keep(folder, chosen, found)
    workload = load_workload(chosen, folder)
    if json:
        render.show_json(_summary(workload))
    added = f", new: {', '.join(new)}" if new else ""
    domains = ", ".join(sorted({question.domain for question in found}))
    render.say(
        f"{len(found)} questions are the workload {chosen}, in {domains}{added}. Run: scorehouse bench --workload {chosen}"
    )


def _names() -> list[str]:
    from flows.workloads import list_workloads

    return [workload.id for workload in list_workloads()]


def _summary(workload: "Workload") -> dict[str, Any]:
    return {
        "workload": workload.id,
        "kind": workload.kind,
        "items": len(workload.items),
        "times": workload.times,
        "domains": sorted({item.domain for item in workload.items if item.domain}),
        "graders": sorted({item.grader for item in workload.items if item.grader}),
        "version": workload.version,
        "origin": workload.origin,
        "description": workload.description,
    }


def _short(text: str | None, length: int) -> str | None:
    if text is None:
        return None
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 3]}..."
