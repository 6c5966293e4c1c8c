"""The command, run in this process as its user runs it."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from house import House

from flows.cli import main


@dataclass(frozen=True)
class Ran:
    """What one command did: its exit code, what it printed for programs and what for people."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout; fails if there is anything beside it."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON Lines on stdout; fails if there is anything beside them."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture
def run(house: House, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `scorehouse` with these words in an empty home."""

    def command(*words: object) -> Ran:
        sys.stdout.flush()
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        assert isinstance(left.value.code, int)
        sys.stdout.flush()
        captured = capfd.readouterr()
        return Ran(left.value.code, captured.out, captured.err)

    return command
