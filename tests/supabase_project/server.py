"""A PostgreSQL for the session with the roles of a Supabase project, and databases by copy."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from supabase_project.programs import account, postgres_programs

_HERE = Path(__file__).parent
# Nothing here outlives the session, so no write has to reach the disk; everything else is as on a small server.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
}
_START_S = 60.0


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL; `folder` holds its socket, and those of whoever else wants one."""

    folder: Path

    def url(self, database: str, role: str = "postgres") -> str:
        """A libpq address. `postgres` owns what it migrates and is no superuser, as on Supabase; supabase_admin is one."""
        return f"postgresql://{role}@/{database}?host={self.folder}"

    def execute(self, database: str, *statements: str | bytes) -> None:
        """Run statements as the superuser, each by itself."""
        with psycopg.connect(self.url(database, "supabase_admin"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode() if isinstance(statement, str) else statement)

    def create(self, database: str, template: str) -> None:
        """A new database with everything that `template` has."""
        self.execute("postgres", f"create database {database} template {template} owner postgres strategy file_copy")

    def drop(self, database: str) -> None:
        self.execute("postgres", f"drop database if exists {database} with (force)")


@contextmanager
def running() -> Iterator[Server]:
    """A server with an empty Supabase project in the database `project`, for the length of the block."""
    programs = postgres_programs()
    folder = Path(tempfile.mkdtemp(prefix="scorehouse-"))  # short: a socket's path has at most 107 bytes
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    if user := account():
        shutil.chown(folder, user)
        shutil.chown(data, user)
    try:
        _run(
            programs / "initdb", "--pgdata", data, "--username", "supabase_admin", "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = [programs / "postgres", "-D", data, "-k", folder, *options]
        with program(command, folder / "postgres.log", ends_by=signal.SIGINT, user=user) as process:
            server = Server(folder)
            wait_until(lambda: _answers(server), process, folder / "postgres.log")
            server.execute("postgres", (_HERE / "bootstrap.sql").read_text("utf-8"))
            server.execute("postgres", "create database project owner postgres")
            server.execute("project", (_HERE / "project.sql").read_text("utf-8"))
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def program(
    command: Sequence[str | Path],
    log: Path,
    *,
    ends_by: signal.Signals = signal.SIGTERM,
    user: str | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program for the length of the block; it ends by the signal, also when this process is killed (on Linux)."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*_ending_with_us(ends_by), *command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            user=user,
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), **(environment or {})},
        )
    try:
        yield process
    finally:
        process.send_signal(ends_by)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask again until the program is ready. Raises RuntimeError with its log if it ended or takes too long."""
    deadline = time.monotonic() + _START_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start: {log.read_text('utf-8')[-2000:]}")
        time.sleep(0.02)


def _answers(server: Server) -> bool:
    try:
        psycopg.connect(server.url("postgres", "supabase_admin")).close()
    except psycopg.OperationalError:
        return False
    return True


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, user=account(), cwd="/", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")


def _ending_with_us(ends_by: signal.Signals) -> list[str]:
    setpriv = shutil.which("setpriv")  # Linux has it; elsewhere a test session that is killed leaves its servers behind
    return [setpriv, "--pdeathsig", ends_by.name.removeprefix("SIG"), "--"] if setpriv else []
