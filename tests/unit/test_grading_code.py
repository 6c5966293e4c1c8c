"""Grader `code`: right and wrong programs, and hostile ones that neither pass nor get out."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from analytics.errors import GradingUnavailable
from analytics.grading import grade
from analytics.grading.child import show
from analytics.grading.program import Limits, passes, run

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
TESTS = "assert double(21) == 42\nassert double([1]) == [1, 1]\nassert double(0) == 0"
DOUBLE = "def double(x):\n    return x * 2"
TIGHT = Limits(cpu_s=1, wall_s=10, memory_bytes=256 << 20)

RIGHT = [
    DOUBLE,
    f"```python\n{DOUBLE}\n```",
    f"Here it is:\n\n```py\n{DOUBLE}\n```\nRun it with\n```sh\npython double.py\n```\nDone.",
    f"```\n{DOUBLE}\n```",
    f"```python\n{DOUBLE}",
    f"```python\nimport functools, math, decimal\n```\nand then\n```python\n{DOUBLE}\n```",
    f"```python\n{DOUBLE}\nprint('x' * 100_000)\n```",
    f"{DOUBLE}\nif __name__ == '__main__':\n    raise SystemExit(input())",
    "double = lambda x: x + x",
]
WRONG = [
    "",
    "I do not know.",
    "def double(x):\n    return x",
    "def double(x):\n    return x * 2 if x else None",
    "def double(x):\n    return str(x * 2)",
    "def double(x)\n    return x * 2",
    "def other(x):\n    return x * 2",
    f"{DOUBLE}\nraise ValueError",
    f"{DOUBLE}\nimport numpy",  # the standard library alone
    "\x00",
    "def double(x):\n    return double(x)",
]
# None of these may pass. Each does first what it should not be able to do, and answers rightly if it could.
HOSTILE = {
    "it loops for ever": f"{DOUBLE}\nwhile True: pass",
    "it takes all memory": f"{DOUBLE}\nx = bytearray(2 << 30)",
    "it takes memory bit by bit": f"{DOUBLE}\nx = []\nwhile True: x.append(bytes(1 << 20))",
    "it forks": f"{DOUBLE}\nimport os\nif os.fork() == 0: os._exit(0)",
    "it is a fork bomb": f"{DOUBLE}\nimport os\nwhile True: os.fork()",
    "it starts a program": f"{DOUBLE}\nimport subprocess\nsubprocess.run(['true'], check=True)",
    "it asks the shell": f"{DOUBLE}\nimport os\nassert os.system('true') == 0",
    "it reads a file": f"{DOUBLE}\nopen('/etc/hostname').read()",
    "it reads a file by a way around": f"{DOUBLE}\nimport os\nos.open('/usr/lib/../../etc/hostname', os.O_RDONLY)",
    "it lists a folder": f"{DOUBLE}\nimport os\nos.listdir('/')",
    "it writes a file": f"{DOUBLE}\nopen('mine', 'w').write('x')",
    "it removes a file": f"{DOUBLE}\nimport os\nos.remove('/tmp/does-not-matter')",
    "it opens a socket": f"{DOUBLE}\nimport socket\nsocket.socket()",
    "it binds a socket": f"{DOUBLE}\nimport socket\nsocket.create_server(('127.0.0.1', 0))",
    "it resolves a name": f"{DOUBLE}\nimport socket\nsocket.getaddrinfo('localhost', 80)",
    "it goes to C": f"{DOUBLE}\nimport ctypes",
    "it lifts its limits": f"{DOUBLE}\nimport resource",
    "it kills its parent": f"{DOUBLE}\nimport os\nos.kill(os.getppid(), 9)",
    "it leaves as if all were well": "import os\nos._exit(0)",
    "it says that it passed": 'import os\nfor fd in range(3, 32):\n    try: os.write(fd, b\'["42", "[1, 1]", "0", "0"]\\n\')\n    except OSError: pass\nos._exit(0)',
    "it equals everything": "class Same:\n    def __eq__(self, other): return True\ndef double(x): return Same()",
    "it looks for the tests": "import sys, gc\ndef double(x):\n    return next(y for y in gc.get_objects() if y == 42)",
    "it floods its answer": f"{DOUBLE}\nimport os\nwhile True: os.write(3, b'x' * 65536)",
    "it nests too deeply": "def double(x):\n    y = []\n    for _ in range(100_000): y = [y]\n    return y",
}


@pytest.mark.parametrize("reply", RIGHT)
def test_a_program_that_passes_the_tests_is_right(reply: str) -> None:
    assert grade("code", TESTS, reply) is True


@pytest.mark.parametrize("reply", WRONG)
def test_a_program_that_does_not_is_wrong(reply: str) -> None:
    assert grade("code", TESTS, reply) is False


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_program_never_passes_and_always_ends(text: str) -> None:
    began = time.monotonic()
    assert passes(TESTS, text, TIGHT) is False
    assert time.monotonic() - began < 10


def test_a_program_that_sleeps_is_ended_by_the_clock() -> None:
    began = time.monotonic()
    assert passes(TESTS, f"{DOUBLE}\nimport time; time.sleep(60)", Limits(1, 0.7, 256 << 20)) is False
    assert time.monotonic() - began < 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who was left behind")
def test_nothing_of_a_program_outlives_it(orphans: Callable[[], list[int]]) -> None:
    escape = (
        f"{DOUBLE}\nimport _posixsubprocess, sys, time\nimport _thread\n_thread.start_new_thread(time.sleep, (60,))"
    )
    slow_to_end = (
        f"{DOUBLE}\nimport time\nheld = b'x' * (200 << 20)\ntime.sleep(60)"  # the kernel has much to take back
    )
    for program in (escape, slow_to_end):
        passes(TESTS, program, Limits(1, 0.7, 256 << 20))
        assert orphans() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who was left behind")
def test_a_process_left_behind_is_seen(orphans: Callable[[], list[int]]) -> None:
    """What the claim above rests on."""
    shell = subprocess.run(["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"], capture_output=True, check=True)
    try:
        assert orphans() == [int(shell.stdout)]
    finally:
        os.kill(int(shell.stdout), signal.SIGKILL)


@pytest.fixture
def orphans() -> Iterator[Callable[[], list[int]]]:
    """Asks for the processes that this test's children left behind and that still hold a file: the kernel gives them to this one."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    before = set(children())
    yield lambda: [pid for pid in set(children()) - before if holds_files(pid)]
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    for pid in set(children()) - before:
        os.waitpid(pid, 0)


def children() -> list[int]:
    """The processes whose parent is this one, those among them that have ended unasked too."""
    mine = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just gone
            if int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                mine.append(int(path.parent.name))
    return mine


def holds_files(pid: int) -> bool:
    """Whether the process goes on, or is still giving back what it had: its memory goes before its files."""
    try:
        return any(Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return False


def test_a_program_sees_no_environment_and_an_empty_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "sk-canary")
    looks = "import os, sys\nseen = sorted(os.environ)\npath = sys.path"
    _, values = run(looks, ["[name for name in seen if name not in ('LC_CTYPE', 'PYTHONHASHSEED')]"], TIGHT)
    assert values == ["[]"]
    _, values = run(looks, ["any('site-packages' in entry for entry in path)"], TIGHT)
    assert values == ["False"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's walls are Linux's")
def test_the_kernels_walls_hold_where_the_interpreters_are_passed() -> None:
    layers, _ = run("", ["1"], TIGHT)
    assert layers is not None
    if not {"namespaces", "landlock"} <= set(layers):
        pytest.skip(f"this machine permits only {layers}")
    # fork_exec is called without an audit event, so the interpreter's wall does not see it.
    start = (
        "import _posixsubprocess, os\n"
        "readable, written = os.pipe()\n"
        "pid = _posixsubprocess.fork_exec([b'/bin/ls', b'/root'], [b'/bin/ls'], True, (readable, written), None, None, -1, -1, -1, -1, -1, -1,\n"
        "    readable, written, False, False, 0, None, None, None, -1, None, False)\n"
        "said = os.waitpid(pid, 0)[1]\n"
    )
    _, values = run(start, ["said"], TIGHT)
    assert values not in (None, ["0"])  # the new process ran, and was not let become that program


def test_the_same_program_gives_the_same_answer_each_time() -> None:
    hashes = "def f():\n    return list({'a', 'b', 'c', 'd', 'e'})"
    assert len({str(run(hashes, ["f()"], TIGHT)[1]) for _ in range(3)}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2, 2.0),
        ({3, 1, 2}, {1, 2, 3}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([(1.0, None)], [(1, None)]),
        (frozenset({1}), {1}),
    ],
)
def test_values_that_python_calls_equal_are_shown_alike(one: object, other: object) -> None:
    assert show(one) == show(other)


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), ([1], (1,)), ({}, set()), ("1", 1), (b"a", "a"), (None, False), (0.5, 0.25)]
)
def test_values_that_differ_are_shown_differently(one: object, other: object) -> None:
    assert show(one) != show(other)


def test_where_no_process_can_be_had_nothing_is_said_of_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(GradingUnavailable, match="not graded"):
        grade("code", TESTS, DOUBLE)
