"""The event loop to measure on."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, on uvloop where it is installed, and without the long pauses of a garbage collection.

    A full collection looks at all that was ever imported: 30 ms in which no socket is read. What exists now lives on
    anyway, so it is left out until `main` is over.
    """
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(main)
    finally:
        gc.unfreeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  # it does not exist for every system
    except ImportError:
        return None
    return uvloop.new_event_loop
