"""docs/coverage.md names every requirement, and only tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NUMBERS = {"A": 12, "B": 5, "C": 6, "D": 10, "E": 14}
ROW = re.compile(r"^\| ([A-E]\d+) \|([^|]*)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str, str]]:
    return ROW.findall((ROOT / "docs" / "coverage.md").read_text("utf-8"))


def test_every_requirement_has_its_row() -> None:
    expected = [f"{letter}{number}" for letter, count in NUMBERS.items() for number in range(1, count + 1)]
    assert [row[0] for row in rows()] == expected


def test_every_named_test_exists() -> None:
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    for line in (ROOT / "docs" / "coverage.md").read_text("utf-8").splitlines():
        for name in re.findall(r"`(test_\w+)`", line):
            assert f"def {name}(" in source, f"'{line[:40]}' names {name}"


def test_every_named_place_exists() -> None:
    for requirement, lives, _, _ in rows():
        for name in re.findall(r"`(\w+/[\w./]*)`", lives):
            assert (ROOT / name).exists(), f"{requirement} names {name}"


def test_what_is_not_there_says_so() -> None:
    for requirement, lives, shown, later in rows():
        assert (lives.strip() and shown.strip()) or later.strip(), requirement
