"""A hundredth of what `python -m tests.routing.fuzz` asks."""

from routing.fuzz import fuzz


def test_broken_worlds_raise_nothing_and_no_limit_is_crossed() -> None:
    found = fuzz(10_000, seed=1)
    assert sum(found.values()) == 10_000
    sources = {reason.split()[0] for reason in found}
    assert sources == {"snapshot", "default", "none"}
