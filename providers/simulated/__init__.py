"""Simulated providers: a loopback server in a process of its own, with known truth about every model and request.

It speaks both dialects, answers gold questions right at a known rate, misbehaves when asked to (`faults.py`), and logs
the true times of each request. What is measured on it is marked simulated everywhere.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.records import ProviderSpec
from providers.simulated.world import providers
from providers.specs import make_spec


@dataclass(frozen=True, slots=True)
class Simulated:
    """A running simulation. `providers` are rows of the `providers` table, `log_path` is its log (JSON Lines)."""

    port: int
    providers: tuple[dict[str, Any], ...]
    log_path: Path
    pid: int

    def spec(self, key: str, *, fault: str | None = None) -> ProviderSpec:
        """The spec of one provider (`sim-aurora`, ...); with `fault`, all it answers has that fault."""
        row = next(row for row in self.providers if row["key"] == key)
        base_url = row["base_url"].replace("/v1", f"/fault/{fault}/v1") if fault else row["base_url"]
        return make_spec({**row, "base_url": base_url})

    def log(self) -> list[dict[str, Any]]:
        """The log so far, in order: a `received` line per request, a `done` line when it is over (`connection.Truth`).

        `outcome` is ok, listed (the models endpoint: `model` is None), the name of a fault, client_closed, not_found,
        bad_request or unauthorized. Times are nanoseconds of the monotonic clock that `time.monotonic_ns()` reads.
        """
        # A line that is being written now has no newline yet.
        lines = self.log_path.read_text("utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def truth(self, request_id: str, *, within_s: float = 5.0) -> dict[str, Any]:
        """The `done` line of one request, which is written just after its client has the last byte.

        Raises `TimeoutError` if it does not come.
        """
        deadline = time.monotonic() + within_s
        while True:
            for entry in self.log():
                if entry["event"] == "done" and entry["request_id"] == request_id:
                    return entry
            if time.monotonic() > deadline:
                raise TimeoutError(f"no request '{request_id}' was over within {within_s:g} s")
            time.sleep(0.002)


def provider_rows(port: int) -> list[dict[str, Any]]:
    """The simulated providers as rows of the `providers` table, as far as a provider describes itself."""
    return [
        {
            "key": provider.key,
            "name": provider.name,
            "provider_type": provider.provider_type,
            "base_url": f"http://127.0.0.1:{port}/{provider.path}/v1",
            "models_endpoint": None,
            "rate_limit_rpm": None,
            "is_simulated": True,
        }
        for provider in providers()
    ]


@contextmanager
def running(
    *, seed: int = 0, gold: Sequence[Path] = (), key: str | None = None, log: Path | None = None, port: int = 0
) -> Iterator[Simulated]:
    """Run the simulated providers in a process of their own for the length of the block.

    They can answer the gold questions of the files `gold`, want `key` from their callers if one is given, and append to `log`
    (a temporary file if None). The process ends with the block, or with this process, however that dies.
    Raises `RuntimeError` with the process's own words if it does not start.
    """
    with ExitStack() as stack:
        if log is None:
            log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="simulated-"))) / "log.jsonl"
        log.touch()
        errors = stack.enter_context(tempfile.TemporaryFile())
        command = [
            sys.executable,
            "-m",
            "providers.simulated",
            "--seed",
            str(seed),
            "--log",
            str(log),
            "--port",
            str(port),
        ]
        command += ["--gold", *map(str, gold)] + (["--key", key] if key else [])
        pipe = subprocess.PIPE
        # In a session of its own: a Ctrl-C meant for us must not end it under our last requests.
        process = stack.enter_context(
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, start_new_session=True)  # noqa: S603
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        ready = process.stdout.readline()
        if not ready:
            process.wait()
            errors.seek(0)
            raise RuntimeError(
                f"the simulated providers did not start: {errors.read().decode(errors='replace').strip()}"
            )
        described = json.loads(ready)
        yield Simulated(described["port"], tuple(described["providers"]), log, process.pid)
