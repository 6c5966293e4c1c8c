"""What a process that measures does about its event loop and its garbage."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, on uvloop where it is installed."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


@contextmanager
def without_long_pauses() -> Iterator[None]:
    """Meanwhile the garbage collector leaves alone what exists by now.

    A full collection looks at all that was ever imported: 30 ms and more, in which no socket is read.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  # it does not exist for every system
    except ImportError:
        return None
    return uvloop.new_event_loop
