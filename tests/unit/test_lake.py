"""The lake against a real store: what is extracted, once, whatever happens in between."""

import json
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store.samples import T0, T2, provider, request, result, run

from analytics.errors import BadRows, Corrupt, LeaseHeld, UnknownName
from analytics.lake import DIMENSIONS, EVENTS, UNKNOWN_DAY, Lake, schema, to_arrow
from analytics.lake.schema import conform
from analytics.store import Row, SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "store.sqlite") as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def land(store: SqliteStore, count: int = 3, **given: object) -> list[Row]:
    one = run()
    results = [result(one, **given) for _ in range(count)]
    assert store.land_results([one], results).landed == count
    return results


def ids(lake: Lake, table: str = "benchmark_results") -> list[str]:
    found: list[str] = lake.read(table).rows["id"].to_pylist()
    return sorted(found)


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_every_row_is_extracted_once(store: SqliteStore, lake: Lake) -> None:
    first = land(store)
    assert lake.extract(store).rows["benchmark_results"] == 3
    assert lake.extract(store).rows["benchmark_results"] == 0
    second = land(store)
    assert lake.extract(store).rows["benchmark_results"] == 3
    assert ids(lake) == sorted(row["id"] for row in first + second)


def test_files_lie_in_the_day_they_were_created(store: SqliteStore, lake: Lake) -> None:
    land(store, 1, created_at="2026-11-20T23:59:59.999999Z")
    land(store, 2, created_at="2026-11-21T00:00:00.000000Z")
    lake.extract(store)
    files = {file.day: file for file in lake.files("benchmark_results")}
    assert {day: file.rows for day, file in files.items()} == {"2026-11-20": 1, "2026-11-21": 2}
    assert files["2026-11-20"].max_created_at == "2026-11-20T23:59:59.999999Z"
    assert files["2026-11-20"].path.startswith("benchmark_results/dt=2026-11-20/part-")
    assert len(files["2026-11-20"].runs) == 1


def test_a_row_comes_back_as_it_was(store: SqliteStore, lake: Lake) -> None:
    [row] = land(store, 1, correct=True, error_message="naïve ☃")
    lake.extract(store)
    [read] = lake.read("benchmark_results").rows.to_pylist()
    assert read["created_at"] == datetime.fromisoformat(T0)
    assert (read["correct"], read["ttft_ms"], read["error_message"]) == (True, 31.25, "naïve ☃")
    assert read["cost_usd"] is None
    assert read["run_id"] == row["run_id"]


def test_dimensions_are_whole_and_written_anew_only_when_they_changed(store: SqliteStore, lake: Lake) -> None:
    store.write("providers", [provider("aurora")])
    lake.extract(store)
    before = lake.files("providers")
    lake.extract(store)
    assert lake.files("providers") == before
    store.write("providers", [provider("borealis")])
    lake.extract(store)
    [after] = lake.files("providers")
    assert after.rows == 2
    assert (lake.directory / before[0].path).exists(), "whoever reads the old manifest may still open its file"


def test_replaced_files_go_when_their_grace_is_over(store: SqliteStore, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", grace_s=0.0)
    lake.extract(store)
    [before] = lake.files("providers")
    store.write("providers", [provider()])
    for _ in range(3):
        lake.extract(store)
    assert not (lake.directory / before.path).exists()


def test_an_empty_store_gives_an_empty_lake(store: SqliteStore, lake: Lake) -> None:
    assert sum(lake.extract(store).rows.values()) == 0
    assert lake.manifest().days() == []
    assert lake.read("benchmark_results").rows.num_rows == 0
    assert lake.verify() == ()


def test_files_of_a_killed_extraction_are_removed(store: SqliteStore, lake: Lake) -> None:
    land(store)
    lake.extract(store)
    orphan = lake.directory / "benchmark_results" / "dt=2026-11-21" / "part-0.parquet"
    orphan.write_bytes(b"half a file")
    (lake.directory / ".manifest.json.1.draft").write_bytes(b"{")
    assert lake.extract(store).orphans == ("benchmark_results/dt=2026-11-21/part-0.parquet",)
    assert not orphan.exists()
    assert lake.verify() == ()


def test_a_second_extractor_is_refused_at_once(store: SqliteStore, lake: Lake) -> None:
    with lake.lease(), pytest.raises(LeaseHeld, match="another process"):
        Lake(lake.directory).extract(store)


def test_a_corrupt_file_is_named_and_left_out(store: SqliteStore, lake: Lake) -> None:
    land(store, 2)
    lake.extract(store)
    land(store, 3)
    lake.extract(store)
    bad, _ = lake.files("benchmark_results")
    flip(lake.directory / bad.path, 8 * (bad.rows + 100))
    reading = lake.read("benchmark_results")
    assert reading.rows.num_rows == 3
    assert len(reading.corrupt) == 1
    assert bad.path in reading.corrupt[0]
    assert lake.verify() == reading.corrupt


def test_any_flipped_bit_is_noticed(store: SqliteStore, lake: Lake) -> None:
    land(store, 1)
    lake.extract(store)
    [file] = lake.files("benchmark_results")
    path = lake.directory / file.path
    for bit in range(0, 8 * path.stat().st_size, 997):
        flip(path, bit)
        with pytest.raises(Corrupt, match="sha256"):
            lake.load("benchmark_results", file)
        flip(path, bit)
    lake.load("benchmark_results", file)


def test_a_missing_file_is_corrupt(store: SqliteStore, lake: Lake) -> None:
    land(store, 1)
    lake.extract(store)
    (lake.directory / lake.files("benchmark_results")[0].path).unlink()
    assert "cannot be read" in lake.read("benchmark_results").corrupt[0]


def test_a_corrupt_dimension_is_written_anew(store: SqliteStore, lake: Lake) -> None:
    store.write("providers", [provider()])
    lake.extract(store)
    flip(lake.directory / lake.files("providers")[0].path, 800)
    lake.extract(store)
    assert lake.read("providers").rows.num_rows == 1


def test_a_broken_manifest_is_named(store: SqliteStore, lake: Lake) -> None:
    lake.extract(store)
    (lake.directory / "manifest.json").write_text('{"epoch": 1')
    with pytest.raises(Corrupt, match=r"manifest\.json"):
        lake.extract(store)


def test_another_epoch_is_read_from_the_beginning_and_doubles_nothing(
    store: SqliteStore, lake: Lake, tmp_path: Path
) -> None:
    one = run()
    kept, new = [result(one) for _ in range(3)], [result(one) for _ in range(2)]
    store.land_results([one], kept)
    lake.extract(store)
    with SqliteStore(tmp_path / "restored.sqlite") as restored:
        restored.migrate()
        restored.land_results([one], kept[1:] + new)
        extraction = lake.extract(restored)
    assert extraction.restored
    assert extraction.rows["benchmark_results"] == 2
    assert ids(lake) == sorted(row["id"] for row in kept + new)


def test_what_the_store_expired_stays_in_the_lake(store: SqliteStore, lake: Lake) -> None:
    land(store, 3, created_at=T0)
    mark = lake.extract(store).watermark["benchmark_results"]
    assert store.expire("benchmark_results", T2, mark) == 3
    land(store, 1, created_at=T2)
    lake.extract(store)
    assert len(ids(lake)) == 4


def test_many_files_of_a_day_become_one(store: SqliteStore, lake: Lake) -> None:
    landed = []
    for _ in range(16):
        landed += land(store, 1)
        assert not lake.extract(store).compacted
    parts = [file.sha256 for file in lake.files("benchmark_results")]
    assert lake.extract(store).compacted == ("benchmark_results 2026-11-21",)
    (whole,) = lake.files("benchmark_results")
    assert ids(lake) == sorted(row["id"] for row in landed)
    assert len(whole.runs) == 16
    assert whole.of == tuple(sorted(parts)), "scoring knows that it has seen those rows"


def test_a_day_with_a_corrupt_file_is_not_compacted(store: SqliteStore, lake: Lake) -> None:
    for number in range(17):
        land(store, 1)
        if number == 15:
            flip(lake.directory / lake.files("benchmark_results")[0].path, 800)
        lake.extract(store)
    assert len(lake.read("benchmark_results").corrupt) == 1


def test_since_skips_older_files(store: SqliteStore, lake: Lake) -> None:
    land(store, 1, created_at=T0)
    land(store, 2, created_at=T2)
    lake.extract(store)
    assert lake.read("benchmark_results", since=datetime(2026, 11, 22, tzinfo=UTC)).rows.num_rows == 2


def test_live_requests_keep_their_json(store: SqliteStore, lake: Lake) -> None:
    store.write("request_events", [request(metadata={"b": 1, "a": [2]}, cache_hit=False)])
    lake.extract(store)
    [row] = lake.read("request_events").rows.to_pylist()
    assert json.loads(row["metadata"]) == {"a": [2], "b": 1}
    assert row["cache_hit"] is False


def test_an_unreadable_time_is_kept_apart() -> None:
    table = to_arrow("tombstones", [{"id": "a", "run_id": "r", "created_at": "soon"}])
    assert table["created_at"].to_pylist() == [None]


def test_rows_without_a_day_have_a_folder_of_their_own(tmp_path: Path) -> None:
    class Strange:
        """A store that answers one row nobody can date."""

        def epoch(self) -> str:
            return "e"

        def read(self, table: str, after: int | None, limit: int = 10_000) -> "Strange.Batch":
            rows = (
                [{"id": "x", "created_at": "soon", "run_id": "r"}] if table == "benchmark_results" and not after else []
            )
            return Strange.Batch(rows)

        def read_all(self, table: str) -> list[Row]:
            return []

        class Batch:
            def __init__(self, rows: list[Row]) -> None:
                self.rows, self.watermark = rows, 1

    lake = Lake(tmp_path)
    lake.extract(Strange())
    [file] = lake.files("benchmark_results")
    assert (file.day, file.min_created_at) == (UNKNOWN_DAY, None)
    assert lake.read("benchmark_results", since=datetime(2026, 1, 1, tzinfo=UTC)).rows.num_rows == 1


def test_a_value_of_the_wrong_type_names_its_column() -> None:
    with pytest.raises(BadRows, match=r"benchmark_results\.ttft_ms"):
        to_arrow("benchmark_results", [{"ttft_ms": "quick"}])


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(UnknownName, match="'nonsense' is no table of the lake"):
        schema("nonsense")


def test_a_file_from_before_a_column_existed_reads_as_null() -> None:
    old = schema("tombstones").empty_table().drop_columns(["run_id"])
    assert conform(old, "tombstones").schema == schema("tombstones")


@pytest.mark.parametrize("table", [*EVENTS, *DIMENSIONS])
def test_every_column_has_a_type(table: str) -> None:
    assert len(schema(table)) > 2
    assert "commit_seq" not in schema(table).names
    times = [field.type for field in schema(table) if field.name.endswith("_at")]
    assert all(kind == pa.timestamp("us", tz="UTC") for kind in times)


def test_pages_carry_checksums(store: SqliteStore, lake: Lake) -> None:
    land(store, 1)
    lake.extract(store)
    path = lake.directory / lake.files("benchmark_results")[0].path
    assert pq.ParquetFile(path, page_checksum_verification=True).read().num_rows == 1


KILLED = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from analytics.lake import Lake
    from analytics.store import SqliteStore

    step, seen = int(sys.argv[2]), 0

    def watch(event, args):
        global seen
        if event in ("os.rename", "os.mkdir", "os.remove") or (event == "open" and str(args[0]).startswith(sys.argv[1] + "/lake")):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    with SqliteStore(Path(sys.argv[1]) / "store.sqlite") as store:
        Lake(Path(sys.argv[1]) / "lake").extract(store)
""")


@pytest.mark.parametrize("step", [1, 3, 6, 9, 12, 15, 17, 18, 19])
def test_a_kill_at_any_step_loses_and_doubles_nothing(
    store: SqliteStore, lake: Lake, tmp_path: Path, step: int
) -> None:
    before = land(store, 2)
    lake.extract(store)
    after = land(store, 3)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(step)],
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == -signal.SIGKILL, "there are 19 steps"
    assert lake.verify() == ()
    assert len(ids(lake)) in {2, 5}
    lake.extract(store)
    assert ids(lake) == sorted(row["id"] for row in before + after)


def test_a_store_put_back_to_an_older_state_is_read_again(store: SqliteStore, lake: Lake, tmp_path: Path) -> None:
    one = run()
    early, late = [result(one) for _ in range(2)], [result(one) for _ in range(3)]
    store.land_results([one], early)
    backup = tmp_path / "backup.sqlite"
    with sqlite3.connect(tmp_path / "store.sqlite") as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    store.land_results([one], late)
    lake.extract(store)
    with SqliteStore(backup) as restored:
        assert lake.extract(restored).rows["benchmark_results"] == 0
        again = result(one)
        restored.land_results([one], [again])
        lake.extract(restored)
    assert ids(lake) == sorted(row["id"] for row in [*early, *late, again])
