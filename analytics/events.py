"""Live and external events from files: JSON Lines, CSV or Parquet in, rows of `request_events` and `feedback_events` out.

All rows are checked before any is written. A row without an `id` gets one made from its content and its line, so that the
same file imported twice lands once. A model that the catalog knows is stored under its key, however the file names it.
"""

import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from analytics.errors import BadRows
from analytics.store import Row, Store, stable_id, to_text

_TEXT = (
    "id", "request_id", "model", "provider", "domain", "task_type", "status", "error_type", "batch_id", "agent_id", "tenant_id",
    "user_id", "team_alias", "session_id", "message_id",
)  # fmt: skip
_AMOUNTS = ("latency_ms", "ttft_ms", "cost")
_COUNTS = ("tokens_input", "tokens_output")
_SHARES = ("confidence", "rating", "score")
_FLAGS = ("success", "correct", "cache_hit", "is_simulated")
_KNOWN = {*_TEXT, *_AMOUNTS, *_COUNTS, *_SHARES, *_FLAGS, "feedback_type", "created_at", "metadata"}
_TRUE, _FALSE = {"true", "1", "yes", "t"}, {"false", "0", "no", "f"}


class ModelNames:
    """Who is meant by a model's name: a key, a provider's own name for it, or one that a single provider uses."""

    def __init__(self, catalog: Sequence[Mapping[str, Any]]) -> None:
        self._by_key = {row["id"]: row for row in catalog}
        self._providers = {
            name: row["provider_id"] for row in catalog for name in (row["provider_name"], row["provider_id"])
        }
        self._by_name: dict[str, list[Mapping[str, Any]]] = {}
        for row in catalog:
            self._by_name.setdefault(row["external_id"], []).append(row)

    def knows(self, model: str) -> bool:
        """Whether `model` is a key, or a name that one provider alone uses."""
        return model in self._by_key or len(self._by_name.get(model, [])) == 1

    def resolve(self, row: Row) -> Row:
        """`row` with its model's key, marked simulated if its provider is; as it came where nobody in the catalog is meant.

        A provider that the catalog knows decides: `openai/gpt-4o` of OpenRouter is not that of OpenAI.
        """
        provider = self._providers.get(row.get("provider", ""))
        named = self._by_name.get(row["model"], [])
        meant = [known for known in named if known["provider_id"] == provider] if provider else []
        if not meant:
            keyed = self._by_key.get(row["model"])
            if keyed and provider in {None, keyed["provider_id"]}:
                meant = [keyed]
            elif "provider" not in row and len(named) == 1:
                meant = named
        if not meant:
            return row
        simulated = {"is_simulated": True} if meant[0]["is_simulated"] else {}
        return row | {"model": meant[0]["id"]} | simulated


@dataclass(frozen=True, slots=True)
class Import:
    """What a file held, and how much of it is new to the store; `unknown_models` are names that no catalog entry has."""

    requests: int
    new_requests: int
    ratings: int
    new_ratings: int
    unknown_models: tuple[str, ...]


def import_events(store: Store, path: Path, file_format: str | None = None, *, now: datetime | None = None) -> Import:
    """Write the events of `path` into the store.

    `file_format` is jsonl, csv or parquet, by default what the file's name says. Needed are `model`, one of `domain` and
    `task_type`, and one of `success` and `score`; the other columns are those of `request_events`, and `rating`
    (0..1) makes a feedback event of the row's `message_id`. Raises BadRows with the line, the column and what is wrong;
    then nothing was written.
    """
    imported_at = now or datetime.now(UTC)
    names = ModelNames(store.read_all("catalog"))
    requests: list[Row] = []
    ratings: list[Row] = []
    for number, raw in _records(path, file_format or path.suffix.lstrip(".").lower()):
        where = f"{path.name}, row {number}"
        request, rating = _event(raw, where, number, imported_at, names)
        requests.append(request)
        if rating:
            ratings.append(rating)
    new_requests = store.write("request_events", requests)
    new_ratings = store.write("feedback_events", ratings)
    unknown = tuple(sorted({row["model"] for row in requests if not names.knows(row["model"])}))
    return Import(len(requests), new_requests, len(ratings), new_ratings, unknown)


def _records(path: Path, file_format: str) -> Iterator[tuple[int, Any]]:
    readers: dict[str, Callable[[Path], Iterator[tuple[int, Any]]]] = {
        "jsonl": _json_lines,
        "ndjson": _json_lines,
        "csv": _csv,
        "parquet": _parquet,
    }
    if file_format not in readers:
        raise BadRows(f"{path.name}: format '{file_format}' is not known; say --format jsonl, csv or parquet")
    try:
        yield from readers[file_format](path)
    except OSError as error:
        raise BadRows(f"cannot read {path}: {error.strerror or error}") from None
    except BadRows:
        raise
    except (pa.ArrowException, ValueError) as error:
        raise BadRows(f"{path.name} is not valid {file_format}: {error}") from None


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise BadRows(f"{path.name}, row {number}: not JSON ({error})") from None


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    # Every column is read as text and checked here: a guessed type would turn the id 007 into 7.
    with path.open("rb") as file:
        header = file.readline()
        names = pa.csv.read_csv(pa.BufferReader(header + b"\n")).column_names if header.strip() else []
    if not names:
        return
    _require_once(names, path)
    options = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    yield from enumerate(pa.csv.read_csv(path, convert_options=options).to_pylist(), 2)


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    table = pq.read_table(path)
    _require_once(table.column_names, path)
    yield from enumerate(table.to_pylist(), 1)


def _require_once(names: Sequence[str], path: Path) -> None:
    twice = sorted(name for name in set(names) if names.count(name) > 1)
    if twice:
        raise BadRows(f"{path.name}: the column '{twice[0]}' is there twice")


def _event(raw: Any, where: str, number: int, now: datetime, names: ModelNames) -> tuple[Row, Row | None]:
    if not isinstance(raw, Mapping):
        raise BadRows(f"{where}: not an object with columns")
    unknown = sorted(set(raw) - _KNOWN)
    if unknown:
        raise BadRows(f"{where}: there is no column '{unknown[0]}'; known are {', '.join(sorted(_KNOWN))}")
    given = {name: value for name, value in raw.items() if value is not None}
    row: Row = {name: _text(given[name], where, name) for name in _TEXT if name in given}
    row |= {name: _number(given[name], where, name) for name in _AMOUNTS if name in given}
    row |= {name: _count(given[name], where, name) for name in _COUNTS if name in given}
    row |= {name: _share(given[name], where, name) for name in _SHARES if name in given}
    row |= {name: _flag(given[name], where, name) for name in _FLAGS if name in given}
    _check_whole(row, where)
    row = names.resolve(row)
    row["created_at"] = _moment(given.get("created_at", now), where)
    content = json.dumps({name: str(value) for name, value in sorted(given.items())}, sort_keys=True)
    message_id = row.get("message_id") or row.get("id")
    row |= _identity(row) if "id" in row else {"id": stable_id("event", f"{number}:{content}")}
    if "metadata" in given:
        row["metadata"] = _metadata(given["metadata"], where)
    score, rating = row.pop("score", None), row.pop("rating", None)
    row.setdefault("success", score is None or score >= 0.5)
    if rating is None and score is not None:
        rating = score  # a score without a rating is an outcome in 0..1: the same evidence
    if rating is None:
        return row, None
    rated = row | {"message_id": message_id or row["id"]}
    return row, _rating(rated, rating, str(given.get("feedback_type", "explicit")), where)


def _identity(row: Row) -> Row:
    """The row's id as a UUID; a caller's id of another form makes one, and stays as its request id."""
    try:
        return {"id": str(uuid.UUID(row["id"]))}
    except ValueError:
        return {"id": stable_id("event", row["id"]), "request_id": row.get("request_id", row["id"])}


def _check_whole(row: Row, where: str) -> None:
    if not row.get("model"):
        raise BadRows(f"{where}: model is missing")
    if not row.get("domain") and not row.get("task_type"):
        raise BadRows(f"{where}: one of domain and task_type is needed")
    if "success" not in row and "score" not in row:
        raise BadRows(f"{where}: one of success and score is needed")


def _rating(row: Row, rating: float, feedback_type: str, where: str) -> Row:
    if feedback_type not in {"explicit", "implicit", "self_eval"}:
        raise BadRows(f"{where}: feedback_type '{feedback_type}' is not explicit, implicit or self_eval")
    shared = ("model", "task_type", "agent_id", "tenant_id", "user_id", "is_simulated", "created_at")
    return {name: row[name] for name in shared if name in row} | {
        "id": stable_id("rating", row["id"]),
        "message_id": row["message_id"],
        "conversation_id": row.get("session_id"),
        "rating": rating,
        "feedback_type": feedback_type,
    }


def _metadata(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        return {"text": str(value)}
    try:
        json.dumps(value, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRows(f"{where}: metadata is no JSON object ({error})") from None
    return value


def _text(value: Any, where: str, name: str) -> str:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise BadRows(f"{where}: {name} must be text, found {value!r}")
    return str(value).strip()


def _number(value: Any, where: str, name: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise BadRows(f"{where}: {name} must be a number from 0 up, found {value!r}")
    return number


def _count(value: Any, where: str, name: str) -> int:
    number = _number(value, where, name)
    if number != int(number):
        raise BadRows(f"{where}: {name} must be a whole number, found {value!r}")
    return int(number)


def _share(value: Any, where: str, name: str) -> float:
    number = _number(value, where, name)
    if number > 1:
        raise BadRows(f"{where}: {name} must lie between 0 and 1, found {value!r}")
    return number


def _flag(value: Any, where: str, name: str) -> bool:
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise BadRows(f"{where}: {name} must be true or false, found {value!r}")
    return word in _TRUE


def _moment(value: Any, where: str) -> str:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return to_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise BadRows(f"{where}: created_at must be an ISO 8601 time, found {value!r}") from None
