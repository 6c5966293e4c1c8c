"""Grader `code`: a Python program, right when the question's own tests hold.

The tests are lines `assert EXPRESSION == LITERAL` (or `assert EXPRESSION`). The expressions are evaluated where the program runs
(`child.py`: a process of its own, without network, with limits); the literals stay here.
"""

import ast
import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from analytics.errors import BadRows, GradingUnavailable
from analytics.grading.answers import fences, tail
from analytics.grading.child import show

# As strict as -I, but for the seed of hashes: the same program does the same each time. -S: the standard library alone.
_FLAGS = ("-P", "-s", "-S", "-X", "utf8")
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}
_CHILD = str(Path(__file__).with_name("child.py"))
_LONGEST_VERDICT = 1 << 20
_LONGEST_END_MS = 5_000  # what the kernel may take to end a killed process
_PYTHON_TAGS = frozenset({"python", "py", "python3"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use: seconds of processor, seconds by the clock, bytes of address space."""

    cpu_s: int = 5
    wall_s: float = 20.0
    memory_bytes: int = 512 << 20


def code(expected: str, response: str) -> bool:
    """Whether the program of the reply passes the tests `expected`.

    The program is the reply's fenced Python blocks one after another (else its blocks without a language), else the whole reply.
    Blocks until the program ends or its time is over. Raises `GradingUnavailable` when no process could be started.
    """
    return passes(expected, _program(tail(response)))


def passes(tests: str, program: str, limits: Limits | None = None) -> bool:
    """Whether `program` passes `tests` within `limits`. Raises as `code` does."""
    expectations = read_tests(tests)
    layers, values = run(program, [expression for expression, _ in expectations], limits or Limits())
    if layers is None:
        raise GradingUnavailable("a process for grader code could not be started; the reply was not graded")
    return values == [wanted for _, wanted in expectations]


def read_tests(tests: str) -> list[tuple[str, str]]:
    """(expression, its value as `show` has it) of each assertion. Raises `BadRows` for anything else."""
    try:
        statements = ast.parse(tests).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadRows(f"expected_answer holds no tests for grader code: {error}") from None
    if not statements:
        raise BadRows("expected_answer holds no tests for grader code")
    return [_expectation(statement) for statement in statements]


def run(program: str, expressions: list[str], limits: Limits) -> tuple[list[str] | None, list[str] | None]:
    """The walls that stood around the program (None: it never began), and the values of the expressions (None: it failed)."""
    task = {
        "program": program,
        "expressions": expressions,
        "cpu_s": limits.cpu_s,
        "wall_s": math.ceil(limits.wall_s) + 1,
        "memory_bytes": limits.memory_bytes,
    }
    with (
        tempfile.TemporaryDirectory(prefix="scorehouse-code-") as folder,
        tempfile.TemporaryFile() as told,
        tempfile.TemporaryFile() as answered,
    ):
        told.write(json.dumps(task).encode())
        told.seek(0)
        _run_child(folder, told, answered, limits.wall_s)
        answered.seek(0)
        lines = answered.read(_LONGEST_VERDICT).split(b"\n")
    return _texts(lines[0]), _texts(lines[1]) if len(lines) > 1 else None


def _run_child(folder: str, told: IO[bytes], answered: IO[bytes], wall_s: float) -> None:
    """Run the child, and come back when neither it nor anything that it started is left.

    Each process of the child holds the reading end of a pipe until it is gone; the killed ones beside the first have no other sign.
    """
    held, watched = os.pipe()
    try:
        try:
            child = subprocess.Popen(  # noqa: S603  # our own interpreter and file; what it is told, it runs shut in
                [sys.executable, *_FLAGS, _CHILD], stdin=told, stdout=answered, stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT, cwd=folder, start_new_session=True, pass_fds=(held,),
            )  # fmt: skip
        except OSError:
            return  # nothing is answered, which the caller sees
        finally:
            os.close(held)
        try:
            with suppress(subprocess.TimeoutExpired):
                child.wait(wall_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            ended = select.poll()
            ended.register(watched, 0)  # an error is told unasked: nobody reads any more
            ended.poll(_LONGEST_END_MS)
    finally:
        os.close(watched)


def _texts(line: bytes) -> list[str] | None:
    """A line of the child, which the program may have written itself."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, list) and all(isinstance(value, str) for value in values) else None


def _expectation(statement: ast.stmt) -> tuple[str, str]:
    if not isinstance(statement, ast.Assert):
        raise BadRows(f"expected_answer: '{ast.unparse(statement)[:80]}' is no assertion, as grader code needs")
    match statement.test:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            try:
                return ast.unparse(left), show(ast.literal_eval(right))
            except ValueError:
                text = f"expected_answer: '{ast.unparse(right)[:80]}' is no literal, as grader code needs on the right of =="
                raise BadRows(text) from None
        case condition:
            return f"bool({ast.unparse(condition)})", "True"


def _program(text: str) -> str:
    blocks = fences(text)
    tagged = [body for tag, body in blocks if tag in _PYTHON_TAGS]
    untagged = [body for tag, body in blocks if not tag]
    return "\n".join(tagged or untagged) if tagged or untagged else text
