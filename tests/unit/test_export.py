"""Tables for others: whole files, harmless in a spreadsheet."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics.errors import UnknownName
from analytics.export import exportable, write_table

ROWS = pa.table(
    {
        "model": ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "plain", None, 'a,b\n"c"'],
        "n": pa.array([1, -2, 3, 4, 5, 6, 7, None, 9], pa.int64()),
        "names": pa.array([["=x"], [], None, ["a"], ["a"], ["a"], ["a"], ["a"], ["a"]], pa.list_(pa.string())),
        "kind": pa.array(["=cmd()"] * 9).dictionary_encode(),
        "at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 9, pa.timestamp("us", "UTC")),
        "sum": pa.array([1] * 9, pa.decimal128(38, 0)),
    }
)


def test_text_that_a_spreadsheet_would_run_gets_a_quote_in_front(tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "'\tx",
        "'\rx",
        "plain",
        "",
        'a,b\n"c"',
    ]
    assert {row["kind"] for row in rows} == {"'=cmd()"}
    assert [row["n"] for row in rows][:2] == ["1", "-2"]
    assert rows[0]["names"] == '["=x"]'


def test_json_lines_and_parquet_say_what_the_table_says(tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "t.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [row["model"] for row in rows] == ROWS["model"].to_pylist()
    assert [row["names"] for row in rows] == ROWS["names"].to_pylist()
    write_table(ROWS, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == ROWS.to_pylist()


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_a_table_without_rows_is_still_a_file(tmp_path: Path, name: str) -> None:
    write_table(ROWS.slice(0, 0), tmp_path / name)
    assert (tmp_path / name).exists()


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("old")
    unwritable = pa.table({"a": [1], "b": pa.array([b"\xff"], pa.binary())})
    write_table(unwritable, path)  # bytes become text in JSON
    assert json.loads(path.read_text())["a"] == 1
    (tmp_path / "is_a_folder.csv").mkdir()
    with pytest.raises(UnknownName, match="cannot write"):
        write_table(ROWS, tmp_path / "is_a_folder.csv")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["is_a_folder.csv", "t.jsonl"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("path", ["nowhere/t", "file.txt/t"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, path: str, ending: str) -> None:
    (tmp_path / "file.txt").touch()
    wanted = tmp_path / f"{path}{ending}"
    with pytest.raises(UnknownName) as said:
        write_table(ROWS, wanted)
    why = "Not a directory" if path.startswith("file") else "No such file or directory"
    assert str(said.value) == f"cannot write {wanted}: {why}"


def test_another_ending_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"\.parquet, \.csv or \.jsonl"):
        write_table(ROWS, tmp_path / "t.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_was_scored_there_is_nothing_to_export(tmp_path: Path) -> None:
    assert exportable(tmp_path / "lake", tmp_path / "scoring") == {}
