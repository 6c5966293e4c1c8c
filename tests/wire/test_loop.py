"""What a process that measures does about its event loop and its garbage."""

import asyncio
import gc
import sys

import pytest

from providers.loop import run, without_long_pauses


async def kind() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_the_loop_is_uvloop_where_there_is_one() -> None:
    pytest.importorskip("uvloop")
    assert run(kind()) == "uvloop"


def test_without_uvloop_the_loop_is_pythons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(kind()).startswith("asyncio")


def test_the_collector_leaves_alone_what_exists_until_it_is_over_even_badly() -> None:
    frozen = 0

    def fail() -> None:
        nonlocal frozen
        with without_long_pauses():
            frozen = gc.get_freeze_count()
            raise KeyError("k")

    with pytest.raises(KeyError):
        fail()
    assert frozen > 1000
    assert gc.get_freeze_count() == 0
