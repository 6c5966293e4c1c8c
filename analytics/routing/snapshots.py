"""What the lookup stands on: the two published snapshots of a home directory, read and joined into a board.

A snapshot that cannot be read is a `Problem`, a sentence in every answer, never an exception; what was read before
stays in use.
"""

import ctypes
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from .board import Board
from .catalog import Catalog, decode_catalog
from .published import Published, SnapshotUnreadable, read_pointer, read_published, read_snapshot
from .scores import Scores, decode_scores

REAL, SIMULATED = "CURRENT", "CURRENT-simulated"
_POINTERS = (("scoring", REAL), ("scoring", SIMULATED), ("configuration", REAL))
# Columns that say the same few texts again and again, read as codes.
_DICTIONARIES = {
    "scoring": ("model", "scope", "task_type", "agent", "tenant_id", "evidence"),
    "configuration": ("agent", "tenant_id", "model", "model_type", "provider_id", "cost_tier"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with what is published: `code` for a program, `text` for a reader."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything an answer may use, swapped as one. `marks` is what the pointers said when it was made."""

    board: Board | None = None
    scores: Scores | None = None
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
    problems, of_scores = list[Problem](), list[Problem]()
    pointer = _scoring_pointer(home, simulated, before.scores)
    with ThreadPoolExecutor(
        1, "scorehouse-scores"
    ) as beside:  # both are mostly decompressed and hashed, which need no turns
        reading = beside.submit(_scores, home, pointer, before.scores, of_scores)
        configuration = _configuration(home, before.configuration, problems)
        early = _early(home, configuration, before, kind=pointer == SIMULATED)
        scores = reading.result()
    problems += of_scores
    try:
        board = _join(home, configuration, scores, simulated, before, early)
    except SnapshotUnreadable as error:
        configuration = before.configuration
        problem = _problem(home, "configuration", error, kept=configuration is not None)
        problems.insert(0, problem)
        try:
            board = _join(home, configuration, scores, simulated, before)
        except (
            SnapshotUnreadable
        ):  # these scores want models of another kind, and the files of the kept catalog are gone
            scores, board = before.scores, before.board
    del early
    configuration = _without_tables(configuration)
    pa.default_memory_pool().release_unused()
    if before.board is None:
        _give_back()
    return State(board, scores, configuration, tuple(problems), seen)


def _give_back() -> None:
    """Let the system have again what decoding took and no longer needs, a quarter of all: glibc would keep it.

    It holds up whoever wants memory meanwhile, so it is not for a reload: the next one uses what the last one left.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # other C libraries do it by themselves
        trim(0)


def _early(home: Path, configuration: Published | None, before: State, *, kind: bool) -> tuple[bool, Catalog] | None:
    """The catalog of the kind that is most likely wanted, while the scores are read; None where it is not worth it."""
    if configuration is None or configuration is before.configuration:
        return None
    try:
        return kind, decode_catalog(configuration, home / "configuration", simulated=kind)
    except SnapshotUnreadable:
        return None  # `_join` says what is wrong


def _without_tables(configuration: Published | None) -> Published | None:
    """The catalog has what is needed of them; should another kind of models be wanted, they are read again."""
    return replace(configuration, tables={}) if configuration is not None and configuration.tables else configuration


def _with_tables(home: Path, configuration: Published) -> Published:
    if configuration.tables:
        return configuration
    root = home / "configuration"
    return read_snapshot(root / configuration.snapshot_id, dictionaries=_DICTIONARIES["configuration"])


def _scoring_pointer(home: Path, simulated: bool | None, before: Scores | None) -> str:
    """Real evidence, or simulated only where no real evidence was ever published."""
    if simulated is not None:
        return SIMULATED if simulated else REAL
    there, simulated_there = (_mark(home / "scoring", pointer) != "/missing" for pointer in (REAL, SIMULATED))
    had_real = before is not None and not before.is_simulated
    return SIMULATED if simulated_there and not there and not had_real else REAL


def _configuration(home: Path, before: Published | None, problems: list[Problem]) -> Published | None:
    root = home / "configuration"
    try:
        if before is not None and read_pointer(root) == before.snapshot_id:
            return before  # a published snapshot never changes
        return read_published(root, dictionaries=_DICTIONARIES["configuration"])
    except SnapshotUnreadable as error:
        problems.append(_problem(home, "configuration", error, kept=before is not None))
        return before


def _scores(home: Path, pointer: str, before: Scores | None, problems: list[Problem]) -> Scores | None:
    root = home / "scoring"
    try:
        if before is not None and read_pointer(root, pointer) == before.snapshot_id:
            return before
        published = read_published(root, pointer, dictionaries=_DICTIONARIES["scoring"])
        _check_kind(published, root, pointer)
        try:
            return decode_scores(published, root)
        finally:
            del published
            pa.default_memory_pool().release_unused()
    except SnapshotUnreadable as error:
        problems.append(_problem(home, "scoring", error, kept=before is not None))
        return before


def _check_kind(published: Published, root: Path, pointer: str) -> None:
    if published.meta.get("is_simulated") is not (pointer == SIMULATED):
        detail = f"its evidence is not of the kind that {pointer} stands for"
        raise SnapshotUnreadable("corrupt", root / published.snapshot_id, detail)


def _join(
    home: Path,
    configuration: Published | None,
    scores: Scores | None,
    simulated: bool | None,
    before: State,
    early: tuple[bool, Catalog] | None = None,
) -> Board | None:
    """The board of both; of `before` the catalog if nothing changed in it, and what was asked of it is made ready."""
    if configuration is None or (configuration is before.configuration and scores is before.scores):
        return before.board
    kind = simulated if scores is None else scores.is_simulated
    old = before.board
    was = simulated if before.scores is None else before.scores.is_simulated
    if old is not None and configuration is before.configuration and kind is was:
        catalog = old.catalog
    elif early is not None and early[0] is kind:
        catalog = early[1]
    else:
        catalog = decode_catalog(_with_tables(home, configuration), home / "configuration", simulated=kind)
    board = Board.of(catalog, scores)
    if old is not None:
        for prepare in board.as_asked(old):
            prepare()
            time.sleep(0)  # lets a thread that asks go first
    return board


def _problem(home: Path, folder: str, error: SnapshotUnreadable, *, kept: bool) -> Problem:
    noun = "snapshot" if folder == "scoring" else "configuration"
    path = error.path.relative_to(home) if error.path.is_relative_to(home) else error.path
    if error.cause == "missing":
        text = "Nothing has been scored yet" if folder == "scoring" else "No configuration has been published yet"
        text = f"{text}: there is no {path}."
    else:
        text = f"The newest {noun} cannot be used: {path}: {error.detail}."
    return Problem(f"{noun}_{error.cause}", text + (" The one before it stays in use." if kept else ""))
