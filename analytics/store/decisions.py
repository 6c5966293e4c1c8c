"""Routing decisions on their way from the log of the answering processes into the store, and read again to be explained.

The log is a directory of JSON Lines that `analytics.routing.decisions` writes: `{"decision": row}`, and `{"dropped": n}` where so many
had to be given up. A file whose writer lives is read and stays; it is landed again under the same ids, which changes nothing.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analytics.errors import BadRows, UnknownName
from analytics.store import schema
from analytics.store.journal import add_lines
from analytics.store.protocol import Store
from analytics.store.rows import Row, clean

_TABLE = "routing_decisions"
_AT_ONCE = 500
_ANSWER = (
    *("model", "provider", "score", "parts", "evidence", "fallbacks", "reasons", "reason_codes", "rejected", "policy"),
    *("snapshot_id", "is_simulated", "age_s", "is_stale", "source"),
)
_OF_MODEL = ("display_name", "priority", "cost_tier")


@dataclass(frozen=True, slots=True)
class DecisionLanding:
    """What a drain came to: `landed` are new in the store, `dropped` were given up by their writers, `refused` are (decision's id,
    or file and line; reason) of lines that were set aside.
    """

    landed: int = 0
    dropped: int = 0
    refused: tuple[tuple[str, str], ...] = ()


def land_decisions(directory: Path, store: Store) -> DecisionLanding:
    """Bring every whole line of the log into the store; safe to repeat, and beside writers and other drains.

    A line that no store takes goes into `refused.txt` of the directory, with the reason. Raises StoreUnavailable, SchemaMismatch and
    OSError; then the files that were not landed stay.
    """
    landed = dropped = 0
    refused: list[tuple[str, str]] = []
    for path in sorted(directory.glob("*.jsonl")):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # another drain was quicker
            continue
        try:
            is_done = _is_left(descriptor)
            rows, given_up, bad = _read(path)
            landed += _land(store, rows, bad)
            if bad:
                add_lines(directory / "refused.txt", [{"where": where, "why": why} | more for where, why, more in bad])
            refused += [(where, why) for where, why, _ in bad]
            if is_done:
                dropped += given_up
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    return DecisionLanding(landed, dropped, tuple(refused))


def find_decision(decision_id: str, directory: Path, store: Store | None) -> Row:
    """The row of a decision, from the log, else from the store; UnknownName where neither has it."""
    for row in _logged(directory, decision_id):
        return row
    found = store.select(_TABLE, {"id": decision_id}).items if store is not None else []
    if not found:
        raise UnknownName(f"there is no decision {decision_id!r}: neither logged on this machine nor in the store")
    return found[0]


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """A decision as one JSON document: what was asked, the `answer` as `RouteAnswer.to_dict()` gave it, and the `candidates`.

    `passed` is how many models passed every limit (None: unknown), the candidates the first of them.
    """
    candidates = row.get("candidates") or []
    chosen: Mapping[str, Any] = next(
        (entry for entry in candidates if row.get("model") is not None and entry["model"] == row["model"]), {}
    )
    task = row.get("task_type")
    answer = {name: row.get(name) for name in _ANSWER} | {name: chosen.get(name) for name in _OF_MODEL}
    answer["task"] = None if task is None else {
        "task": task, "source": row.get("task_source"), "confidence": row.get("task_confidence"),
    }  # fmt: skip
    answer["decision_id"] = row["id"]
    return {
        "decision_id": row["id"],
        "created_at": row["created_at"],
        "query": row.get("route_query") or {},
        "answer": answer,
        "candidates": candidates,
        "passed": row.get("passed"),
        "configuration_id": row.get("configuration_id"),
        "decision_ms": row.get("decision_ms"),
    }


def _is_left(descriptor: int) -> bool:
    """Whether nobody writes the file any more; then it is ours until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


Bad = tuple[str, str, dict[str, Any]]


def _read(path: Path) -> tuple[list[Row], int, list[Bad]]:
    """The rows of a file, how many its writer gave up, and the lines that make no sense. Half a line at the end never counted."""
    table = schema.table(_TABLE)
    rows: dict[str, Row] = {}
    dropped, bad = 0, list[Bad]()
    for number, line in _lines(path):
        where = f"{path.name}, line {number}"
        try:
            record = json.loads(line)
            if isinstance(record.get("dropped"), int):
                dropped += record["dropped"]
            else:
                row = clean(table, record["decision"], where)
                rows[row["id"]] = row
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = str(error) if isinstance(error, BadRows) else f"{where}: not a decision"
            bad.append((where, why, {"line": line.decode("utf-8", "replace")}))
    return list(rows.values()), dropped, bad


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n") and line.strip():
                yield number, line


def _land(store: Store, rows: Sequence[Row], bad: list[Bad]) -> int:
    landed = 0
    for start in range(0, len(rows), _AT_ONCE):
        batch = rows[start : start + _AT_ONCE]
        try:
            landed += store.write(_TABLE, batch)
        except BadRows:  # one of them is at fault: the others must not wait for it
            for row in batch:
                try:
                    landed += store.write(_TABLE, [row])
                except BadRows as error:
                    bad.append((row["id"], str(error), {"row": row}))
    return landed


def _logged(directory: Path, decision_id: str) -> Iterator[Row]:
    wanted = json.dumps(decision_id).encode()
    for path in sorted(directory.glob("*.jsonl"), reverse=True):
        try:
            for _, line in _lines(path):
                if wanted in line:
                    row = json.loads(line).get("decision", {})
                    if row.get("id") == decision_id:
                        yield row
        except (
            FileNotFoundError,
            ValueError,
            AttributeError,
        ):  # drained meanwhile, or a damaged line: the store may know
            continue
