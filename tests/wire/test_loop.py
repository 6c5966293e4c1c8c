"""The event loop to measure on."""

import asyncio
import gc
import sys

import pytest

from providers.loop import run


async def here() -> str:
    assert gc.get_freeze_count() > 0
    return type(asyncio.get_running_loop()).__module__


def test_it_is_uvloop_where_there_is_one() -> None:
    pytest.importorskip("uvloop")
    assert run(here()) == "uvloop"


def test_without_uvloop_it_is_pythons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(here()).startswith("asyncio")


def test_what_it_raises_comes_through_and_the_collector_sees_everything_again() -> None:
    async def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        run(fail())
    assert gc.get_freeze_count() == 0
