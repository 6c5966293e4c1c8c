"""Runs one answer's program, shut in: the part of grader `code` that is a process of its own.

It takes `{"program", "expressions", "cpu_s", "wall_s", "memory_bytes"}` as JSON on stdin, shuts itself in, writes one line that names the
layers that hold, runs the program and writes the values of the expressions as a JSON list of texts. Any error ends it without
that second line. What the values should be is not known in here, so that no program can claim them.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any

_NEW_NAMESPACES = 0x10000000 | 0x40000000 | 0x20000000 | 0x08000000  # user, network, processes, System V IPC
_NO_NEW_PRIVILEGES, _DIE_WITH_PARENT = 38, 1
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_LARGEST_FILE = 1 << 20

# What an import of the standard library reads. Nothing else can be opened, and nothing at all written.
_LIBRARY = os.path.dirname(os.__file__)  # noqa: PTH120  # the less is imported here, the less the program finds
_READABLE = (_LIBRARY, "/lib", "/lib64", "/usr/lib", "/usr/lib64")
_FORBIDDEN = (
    "socket.", "subprocess.", "ctypes.", "shutil.", "tempfile.", "glob.", "mmap.", "pty.", "syslog.", "sqlite3.", "webbrowser.",
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "os.kill", "os.remove", "os.rename", "os.rmdir",
    "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.utime", "os.chdir", "os.fchdir", "os.putenv",
    "os.setxattr", "os.removexattr", "os.lockf", "signal.pthread_kill", "resource.", "fcntl.",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main() -> None:
    """Read the task, shut the door, run it."""
    task = json.loads(sys.stdin.read())
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    signal.alarm(task["wall_s"])  # should the one who started this no longer be there to end it
    layers = _shut_in(task["cpu_s"], task["memory_bytes"])
    answer.write(json.dumps(layers) + "\n")
    answer.flush()
    namespace: dict[str, Any] = {"__name__": "answer"}
    exec(compile(task["program"], "answer", "exec"), namespace)  # noqa: S102  # this is what the process is for
    values = [show(eval(expression, namespace)) for expression in task["expressions"]]  # noqa: S307
    answer.write(json.dumps(values) + "\n")
    answer.flush()
    os._exit(0)  # whatever the program left to be done at the end is not done


def show(value: object) -> str:
    """A value as text, the same for values that Python calls equal: whole floats are whole numbers, sets and keys are in order."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    match value:
        case bool() | None:
            return repr(value)
        case int() | float() | str() | bytes():
            kind = next(kind for kind in (int, float, str, bytes) if isinstance(value, kind))
            return kind.__repr__(value)  # of an enumeration's member too
        case list():
            text = f"[{', '.join(map(show, value))}]"
        case tuple():
            text = f"({', '.join(map(show, value))})"
        case set() | frozenset():
            text = f"set({', '.join(sorted(map(show, value)))})"
        case Mapping():
            text = f"{{{', '.join(sorted(f'{show(key)}: {show(held)}' for key, held in value.items()))}}}"
        case _:
            text = repr(value)
    return text


def _shut_in(cpu_s: int, memory_bytes: int) -> list[str]:
    """Limits and as many walls as this machine permits; returns the names of those that stand."""
    os.nice(19)  # a measurement that goes on meanwhile comes first
    libc = ctypes.CDLL(None, use_errno=True)
    layers = ["limits", "audit"]
    if sys.platform == "linux":
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if libc.unshare(_NEW_NAMESPACES) == 0:
            layers.append("namespaces")
            _become_first_process(libc)
        if _only_libraries_can_be_read(libc):
            layers.append("landlock")
    for what, limit in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, _LARGEST_FILE),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    for name in ("ctypes", "_ctypes", "resource"):
        sys.modules.pop(name, None)
    sys.addaudithook(_refuse)
    return layers


def _become_first_process(libc: ctypes.CDLL) -> None:
    """Go on as process 1 of the new namespace: when it ends, the kernel ends every process that it ever started."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def _only_libraries_can_be_read(libc: ctypes.CDLL) -> bool:
    """Have the kernel refuse every file but those of `_READABLE`, by Landlock. False where it has none."""
    abi = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if abi < 1:
        return False
    rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)  # how many kinds of access that version of the kernel governs
    governed = ctypes.c_uint64((1 << rights) - 1)
    ruleset = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(governed), 8, 0)
    for path in _READABLE:
        if os.path.isdir(path):  # noqa: PTH112
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = (_EXECUTE | _READ_FILE | _READ_DIR).to_bytes(8, sys.byteorder) + beneath.to_bytes(
                4, sys.byteorder
            )
            libc.syscall(_LANDLOCK_ADD, ruleset, 1, allowed, 0)
            os.close(beneath)
    held: int = libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)
    return held == 0


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """The interpreter's own wall: it stands everywhere, and programs that go around the interpreter pass it."""
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"{event} is not for programs that are graded")
    if event == "import" and arguments[0] in {"ctypes", "_ctypes", "resource"}:
        raise ImportError(f"{arguments[0]} is not for programs that are graded")
    if event in {"open", "os.listdir", "os.scandir"} and not isinstance(arguments[0], int):
        writes = event == "open" and (set(arguments[1] or "") & set("wax+") or (arguments[2] or 0) & _WRITING)
        path = os.path.realpath(os.fsdecode(arguments[0] or "."))
        if writes or not f"{path}/".startswith(tuple(f"{folder}/" for folder in _READABLE)):
            raise PermissionError("files are not for programs that are graded")


if __name__ == "__main__":
    main()
