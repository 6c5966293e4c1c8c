"""Every command and snippet of the pages is run as it stands, top to bottom, one folder and one house per page.

A fence `sh` or `python` is run; `sh elsewhere` needs a network or a server, so each of its `scorehouse` lines is held against
the command line instead; `toml` and `json` are read by what reads them. Other fences may not be there.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from flows.cli import make_app
from flows.jobs.benchmark import BenchmarkRequest, run_benchmark
from flows.jobs.score import run_score
from flows.jobs.sync import sync_catalogs
from flows.settings import load_settings
from flows.warehouse import open_store
from flows.workloads import gold_files
from providers.simulated import running

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if "```" in path.read_text("utf-8")
)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
READ_ONLY = {"text", "console", "yaml"}


def fences(page: Path) -> list[tuple[str, str]]:
    return [(kind.strip(), body) for kind, body in FENCE.findall(page.read_text("utf-8"))]


def scorehouse_lines(body: str) -> list[str]:
    joined = body.replace("\\\n", " ")
    return [line.partition(" #")[0].strip() for line in joined.splitlines() if line.startswith("scorehouse ")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A house with the simulated providers measured and scored, as `make demo` leaves it; the providers still answer."""
    home = tmp_path_factory.mktemp("house")
    settings = load_settings(home)
    with running(seed=7, gold=gold_files()) as simulated:
        with open_store(settings) as store:
            moment = "2026-01-01T00:00:00.000000Z"
            rows = [{**row, "id": f"00000000-0000-7000-8000-00000000000{n}", "created_at": moment, "updated_at": moment}
                    for n, row in enumerate(simulated.providers)]  # fmt: skip
            store.write("providers", rows)
        asyncio.run(sync_catalogs(settings))
        asyncio.run(run_benchmark(settings, BenchmarkRequest(workload="gold", sample=6, seed=1, triggered_by="test")))
        run_score(settings)
        yield home


@pytest.fixture
def room(house: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of one page: a copy of the house, an empty working folder."""
    shutil.copytree(house, tmp_path / "home")
    (tmp_path / "work").mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SCOREHOUSE_", "PREFECT_", "PYTEST_", "VAULT_"))
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return kept | {"SCOREHOUSE_HOME": str(tmp_path / "home"), "PATH": path, "HOME": str(tmp_path), "PWD": str(ROOT)}


def run(command: list[str], room: dict[str, str], cwd: Path) -> None:
    done = subprocess.run(command, env=room, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_snippet_of_a_page_works(page: Path, room: dict[str, str], tmp_path: Path) -> None:
    """`make` lines are left to whoever runs the tests: they are the tests' own set-up."""
    for kind, body in fences(page):
        if kind == "sh":
            lines = "\n".join(
                line for line in body.splitlines() if not line.startswith(("make ", "export SCOREHOUSE_HOME="))
            )
            run(["bash", "-euo", "pipefail", "-c", lines], room, tmp_path / "work")
        elif kind == "python":
            run([sys.executable, "-c", body], room, tmp_path / "work")
        elif kind == "sh elsewhere":
            for line in scorehouse_lines(body):
                check_words(line)
        elif kind == "toml":
            check_configuration(body, tmp_path / "work", room)
        elif kind == "json":
            assert all(isinstance(json.loads(line), dict) for line in body.splitlines())
        else:
            assert kind in READ_ONLY, f"{page.name} has a fence of kind {kind!r}"


def check_words(line: str) -> None:
    """The command exists and takes these words; nothing is run."""
    command = typer.main.get_command(make_app())
    words = shlex.split(line)[1:]
    name, *rest = words
    command = command.commands[name]
    while hasattr(command, "commands") and rest:
        name, *rest = rest
        command = command.commands[name]
    command.make_context(name, rest)


def check_configuration(body: str, work: Path, room: dict[str, str]) -> None:
    """The file is taken, and names every key that there is with its default."""
    (work / "scorehouse.toml").write_text(body)
    defaults = tomllib.loads((ROOT / "flows" / "defaults.toml").read_text("utf-8"))
    assert tomllib.loads(body) == defaults
    run(["scorehouse", "status"], room, work)


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 100


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
