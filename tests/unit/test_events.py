"""Events from files: checked as a whole, landed once, their models found in the catalog."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store.samples import T0, entry, provider

from analytics.errors import BadRows
from analytics.events import ModelNames, import_events
from analytics.store import Row, SqliteStore, stable_id

NOW = datetime(2026, 11, 21, 4, tzinfo=UTC)
GOOD = {"model": "aurora/mini", "task_type": "code", "success": True}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store that knows three providers; `mini` is a name of two of them, and one of them is simulated."""
    with SqliteStore(tmp_path / "store.sqlite") as store:
        store.migrate()
        store.write(
            "providers",
            [provider("aurora"), provider("borealis", name="Borealis AI"), provider("sim", is_simulated=True)],
        )
        store.apply_catalog("aurora", [entry("mini"), entry("plus")], T0)
        store.apply_catalog("borealis", [entry("mini"), entry("aurora/mini"), entry("aurora/plus")], T0)
        store.apply_catalog("sim", [entry("toy")], T0)
        yield store


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def events(store: SqliteStore) -> list[Row]:
    return store.read("request_events").rows


def test_an_event_keeps_every_column_it_came_with(store: SqliteStore, tmp_path: Path) -> None:
    given = GOOD | {
        "id": "e1", "request_id": 7, "provider": "aurora", "domain": "coding", "status": "200", "error_type": None, "latency_ms": 120, "ttft_ms": "30.5",
        "tokens_input": 10, "tokens_output": "20", "cost": 0.25, "confidence": 0.5, "correct": "yes", "cache_hit": 0, "batch_id": "b", "agent_id": "a",
        "tenant_id": "t", "user_id": "u", "team_alias": "team", "session_id": "s", "message_id": "m", "metadata": {"k": [1]},
        "created_at": "2026-11-20T12:00:00+02:00",
    }  # fmt: skip
    done = import_events(store, lines(tmp_path / "f.jsonl", given), now=NOW)
    assert (done.requests, done.new_requests, done.ratings) == (1, 1, 0)
    (row,) = events(store)
    del row["commit_seq"]
    kept = {name: value for name, value in row.items() if name in given or value is not None}
    assert kept == given | {"id": stable_id("event", "e1"), "request_id": "7", "tools_used": [], "ttft_ms": 30.5, "tokens_output": 20, "correct": True, "cache_hit": False, "is_simulated": False,
                           "created_at": "2026-11-20T10:00:00.000000Z"}  # fmt: skip


def test_the_three_formats_say_the_same(store: SqliteStore, tmp_path: Path) -> None:
    rows = [GOOD | {"id": str(number), "latency_ms": 1.5, "user_id": "007", "created_at": T0} for number in range(3)]
    lines(tmp_path / "a.jsonl", *rows)
    names = list(rows[0])
    (tmp_path / "a.csv").write_text(
        "\n".join([",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)])
    )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert import_events(store, tmp_path / "a.jsonl").new_requests == 3
    landed = events(store)
    assert {row["user_id"] for row in landed} == {"007"}
    for other in ("a.csv", "a.parquet"):
        assert import_events(store, tmp_path / other).new_requests == 0
    assert events(store) == landed


def test_the_format_may_be_said_where_the_name_does_not(store: SqliteStore, tmp_path: Path) -> None:
    path = lines(tmp_path / "export.txt", GOOD)
    with pytest.raises(BadRows, match=r"export\.txt: format 'txt' is not known"):
        import_events(store, path)
    assert import_events(store, path, "jsonl").new_requests == 1


def test_a_file_imported_twice_lands_once_also_without_ids(store: SqliteStore, tmp_path: Path) -> None:
    path = lines(tmp_path / "f.jsonl", GOOD, GOOD, GOOD | {"rating": 0.5})
    first, second = import_events(store, path), import_events(store, path)
    assert (first.requests, first.new_requests, first.new_ratings) == (3, 3, 1)
    assert (second.requests, second.new_requests, second.new_ratings) == (3, 0, 0)
    assert len(events(store)) == 3


def test_a_rating_becomes_feedback_on_its_message(store: SqliteStore, tmp_path: Path) -> None:
    path = lines(tmp_path / "f.jsonl", GOOD | {"message_id": "m1", "rating": 0.75, "user_id": "u", "agent_id": "a", "session_id": "s",
                                               "feedback_type": "self_eval"}, GOOD | {"id": "e2", "score": 0.25})  # fmt: skip
    del_success = {name: value for name, value in GOOD.items() if name != "success"}
    lines(path, *path.read_text().splitlines(), del_success | {"score": 0.9}, del_success | {"score": 0.1})
    assert import_events(store, path).new_ratings == 4
    first, second, *_ = store.read("feedback_events").rows
    assert (first["message_id"], first["rating"], first["feedback_type"], first["conversation_id"]) == (
        "m1",
        0.75,
        "self_eval",
        "s",
    )
    assert (first["model"], first["task_type"], first["user_id"], first["agent_id"]) == (
        "aurora/mini",
        "code",
        "u",
        "a",
    )
    assert (second["message_id"], second["rating"], second["feedback_type"]) == ("e2", 0.25, "explicit")
    assert [row["success"] for row in events(store)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("named", "provider_", "meant"),
    [
        ("aurora/mini", None, "aurora/mini"),
        ("plus", None, "aurora/plus"),
        ("mini", None, "mini"),
        ("mini", "borealis", "borealis/mini"),
        ("mini", "Borealis AI", "borealis/mini"),
        ("aurora/mini", "borealis", "borealis/aurora/mini"),
        ("aurora/mini", "aurora", "aurora/mini"),
        ("aurora/mini", "elsewhere", "aurora/mini"),
        ("plus", "borealis", "plus"),
        ("plus", "elsewhere", "plus"),
        ("gpt-unheard-of", None, "gpt-unheard-of"),
        ("aurora/plus", "sim", "aurora/plus"),
    ],
)
def test_a_models_name_means_what_the_catalog_says(
    store: SqliteStore, tmp_path: Path, named: str, provider_: str | None, meant: str
) -> None:
    import_events(store, lines(tmp_path / "f.jsonl", GOOD | {"model": named, "provider": provider_, "rating": 1}))
    assert [row["model"] for row in events(store)] == [meant]
    assert [row["model"] for row in store.read("feedback_events").rows] == [meant]


def test_a_simulated_providers_model_is_simulated_whatever_the_file_says(store: SqliteStore, tmp_path: Path) -> None:
    rows = [GOOD | {"model": name, "is_simulated": False, "rating": 1} for name in ("sim/toy", "toy", "plus")]
    import_events(store, lines(tmp_path / "f.jsonl", *rows, GOOD | {"is_simulated": True, "rating": 1}))
    for table in ("request_events", "feedback_events"):
        found = {(row["model"], row["is_simulated"]) for row in store.read(table).rows}
        assert found == {("sim/toy", True), ("aurora/plus", False), ("aurora/mini", True)}


def test_a_name_without_a_catalog_stays_as_it_came() -> None:
    assert ModelNames([]).resolve({"model": "m", "provider": "p"}) == {"model": "m", "provider": "p"}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"model": ""}, "model is missing"),
        ({"model": None}, "model is missing"),
        ({"model": ["m"]}, "model must be text"),
        ({"task_type": None}, "one of domain and task_type"),
        ({"success": None}, "one of success and score"),
        ({"success": "perhaps"}, "success must be true or false"),
        ({"latency_ms": -1}, "latency_ms must be a number from 0 up"),
        ({"latency_ms": "fast"}, "latency_ms must be a number"),
        ({"latency_ms": float("nan")}, "latency_ms must be a number"),
        ({"cost": float("inf")}, "cost must be a number"),
        ({"cost": 10**400}, "cost must be a number"),
        ({"cost": True}, "cost must be a number"),
        ({"tokens_input": 1.5}, "tokens_input must be a whole number"),
        ({"confidence": 2}, "confidence must lie between 0 and 1"),
        ({"rating": -0.1}, "rating must be a number from 0 up"),
        ({"rating": 1, "feedback_type": "loud"}, "feedback_type 'loud'"),
        ({"created_at": "yesterday"}, "created_at must be an ISO 8601 time"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "created_at must be an ISO 8601 time"),
        ({"metadata": {"x": float("nan")}}, "metadata is no JSON object"),
        ({"latency": 5}, "there is no column 'latency'"),
    ],
)
def test_a_bad_row_is_named_with_its_column_and_nothing_is_written(
    store: SqliteStore, tmp_path: Path, bad: dict[str, Any], words: str
) -> None:
    path = lines(tmp_path / "f.jsonl", GOOD | {"rating": 1}, GOOD | bad)
    with pytest.raises(BadRows) as caught:
        import_events(store, path)
    assert str(caught.value).startswith("f.jsonl, row 2: ")
    assert words in str(caught.value)
    assert events(store) == store.read("feedback_events").rows == []


@pytest.mark.parametrize("line", ["{", "nonsense", "3", '"text"', "[1]", "[" * 100_000, "\udcff"])
def test_a_line_that_is_no_object_is_named(store: SqliteStore, tmp_path: Path, line: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n\n" + line.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadRows, match=r"f\.jsonl, row 3: not"):
        import_events(store, path)
    assert events(store) == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("f.parquet", b"PAR1 is what it says"),
        ("f.csv", b"model,task_type,success\na,b\n"),
        ("f.csv", b"model,task_type,success\n\xff\xfe,b,true\n"),
        ("f.csv", b"model,model,task_type,success\na,b,c,true\n"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    store: SqliteStore, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadRows, match=name.replace(".", r"\.")):
        import_events(store, tmp_path / name)
    assert events(store) == []


@pytest.mark.parametrize("name", ["f.jsonl", "f.csv"])
def test_an_empty_file_holds_no_events(store: SqliteStore, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert import_events(store, tmp_path / name).requests == 0


def test_a_csv_of_a_spreadsheet_may_begin_with_a_byte_order_mark(store: SqliteStore, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_bytes(b"\xef\xbb\xbfmodel,task_type,success,user_id\r\nplus,code,TRUE,007\r\n")
    import_events(store, tmp_path / "f.csv")
    assert [(row["model"], row["user_id"]) for row in events(store)] == [("aurora/plus", "007")]


def test_a_time_without_a_zone_is_utc_and_a_missing_one_is_now(store: SqliteStore, tmp_path: Path) -> None:
    import_events(store, lines(tmp_path / "f.jsonl", GOOD | {"created_at": "2026-11-20 12:00"}, GOOD), now=NOW)
    assert [row["created_at"] for row in events(store)] == [
        "2026-11-20T12:00:00.000000Z",
        "2026-11-21T04:00:00.000000Z",
    ]
