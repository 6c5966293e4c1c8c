"""What the lookup stands on: the two published snapshots of a home directory, read and joined into a board.

A snapshot that cannot be read is a `Problem`, a sentence in every answer, never an exception; what was read before
stays in use.
"""

from dataclasses import dataclass
from pathlib import Path

from .board import Board
from .columns import decode_catalog, decode_scores
from .published import Published, SnapshotUnreadable, read_pointer, read_published

REAL, SIMULATED = "CURRENT", "CURRENT-simulated"
_POINTERS = (("scoring", REAL), ("scoring", SIMULATED), ("configuration", REAL))


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with what is published: `code` for a program, `text` for a reader."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything an answer may use, swapped as one. `marks` is what the pointers said when it was made."""

    board: Board | None = None
    scoring: Published | None = None
    configuration: Published | None = None
    problems: tuple[Problem, ...] = ()
    marks: tuple[str, ...] = ()


def marks(home: Path) -> tuple[str, ...]:
    """What the pointer files say now: a cheap way to see that something was published."""
    return tuple(_mark(home / folder, pointer) for folder, pointer in _POINTERS)


def _mark(root: Path, pointer: str) -> str:
    try:
        return read_pointer(root, pointer)
    except SnapshotUnreadable as error:
        return f"/{error.cause}"  # no snapshot's name has a slash


def load(home: Path, simulated: bool | None, before: State) -> State:
    """Read what is published now, keeping of `before` what cannot be replaced; never raises for the state of the data."""
    seen = marks(home)
    problems: list[Problem] = []
    configuration = _newest(home, "configuration", REAL, before.configuration, problems)
    scoring = _newest(home, "scoring", _scoring_pointer(home, simulated, before.scoring), before.scoring, problems)
    if before.board is not None and configuration is before.configuration and scoring is before.scoring:
        return State(before.board, scoring, configuration, tuple(problems), seen)
    for attempt in ((configuration, scoring), (configuration, before.scoring), (before.configuration, scoring)):
        try:
            return State(_join(home, *attempt, simulated), attempt[1], attempt[0], tuple(problems), seen)
        except SnapshotUnreadable as error:
            folder = "configuration" if home / "configuration" in error.path.parents else "scoring"
            kept = getattr(before, folder) is not None
            problem = _problem(home, folder, error, kept=kept)
            if problem not in problems:
                problems.append(problem)
    return State(before.board, before.scoring, before.configuration, tuple(problems), seen)


def _scoring_pointer(home: Path, simulated: bool | None, before: Published | None) -> str:
    """Real evidence, or simulated only where no real evidence was ever published."""
    if simulated is not None:
        return SIMULATED if simulated else REAL
    there, simulated_there = (_mark(home / "scoring", pointer) != "/missing" for pointer in (REAL, SIMULATED))
    had_real = before is not None and not before.meta.get("is_simulated")
    return SIMULATED if simulated_there and not there and not had_real else REAL


def _newest(
    home: Path, folder: str, pointer: str, before: Published | None, problems: list[Problem]
) -> Published | None:
    root = home / folder
    try:
        if before is not None and read_pointer(root, pointer) == before.snapshot_id:
            return before  # a published snapshot never changes
        published = read_published(root, pointer)
        if folder == "scoring":
            _check_kind(published, root, pointer)
    except SnapshotUnreadable as error:
        problems.append(_problem(home, folder, error, kept=before is not None))
        return before
    return published


def _check_kind(published: Published, root: Path, pointer: str) -> None:
    if published.meta.get("is_simulated") is not (pointer == SIMULATED):
        detail = f"its evidence is not of the kind that {pointer} stands for"
        raise SnapshotUnreadable("corrupt", root / published.snapshot_id, detail)


def _join(
    home: Path, configuration: Published | None, scoring: Published | None, simulated: bool | None
) -> Board | None:
    if configuration is None:
        return None
    kind = simulated if scoring is None else bool(scoring.meta["is_simulated"])
    catalog = decode_catalog(configuration, home / "configuration", simulated=kind)
    return Board.of(catalog, None if scoring is None else decode_scores(scoring, home / "scoring", catalog.keys))


def _problem(home: Path, folder: str, error: SnapshotUnreadable, *, kept: bool) -> Problem:
    noun = "snapshot" if folder == "scoring" else "configuration"
    path = error.path.relative_to(home) if error.path.is_relative_to(home) else error.path
    if error.cause == "missing":
        text = "Nothing has been scored yet" if folder == "scoring" else "No configuration has been published yet"
        text = f"{text}: there is no {path}."
    else:
        text = f"The newest {noun} cannot be used: {path}: {error.detail}."
    return Problem(f"{noun}_{error.cause}", text + (" The one before it stays in use." if kept else ""))
