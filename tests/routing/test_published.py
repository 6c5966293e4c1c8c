"""Snapshots are read whole and verified, or not at all; what is wrong is named."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from routing.publishing import point, publish

from analytics.routing.published import SnapshotUnreadable, read_published, read_snapshot

TABLE = pa.table({"model": ["a/x", "a/y"], "quality": [0.5, None]})


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_published_snapshot_is_read_back(tmp_path: Path, suffix: str) -> None:
    publish(tmp_path, "s1", {"t": TABLE}, suffix=suffix, as_of="2026-11-21T02:00:00.000000Z")
    snapshot = read_published(tmp_path)
    assert snapshot.snapshot_id == "s1"
    assert snapshot.meta == {"snapshot_id": "s1", "as_of": "2026-11-21T02:00:00.000000Z"}
    assert snapshot.tables["t"].equals(TABLE)


def test_a_snapshot_can_be_read_before_a_pointer_names_it(tmp_path: Path) -> None:
    directory = publish(tmp_path, "s1", {"t": TABLE})
    (tmp_path / "CURRENT").unlink()
    assert read_snapshot(directory).tables["t"].num_rows == 2


def test_pointers_of_one_root_are_independent(tmp_path: Path) -> None:
    publish(tmp_path, "s1", {"t": TABLE})
    publish(tmp_path, "s2", {"t": TABLE}, pointer="CURRENT-simulated")
    assert read_published(tmp_path).snapshot_id == "s1"
    assert read_published(tmp_path, "CURRENT-simulated").snapshot_id == "s2"


def test_nothing_published_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SnapshotUnreadable, match="nothing has been published") as caught:
        read_published(tmp_path / "never")
    assert caught.value.cause == "missing"
    assert caught.value.path == tmp_path / "never" / "CURRENT"


def test_a_dangling_pointer_names_what_is_not_there(tmp_path: Path) -> None:
    directory = publish(tmp_path, "s1", {"t": TABLE})
    shutil.rmtree(directory)
    with pytest.raises(SnapshotUnreadable, match=r"s1/manifest\.json") as caught:
        read_published(tmp_path)
    assert caught.value.cause == "dangling"


@pytest.mark.parametrize("name", ["", "../elsewhere", "a/b", ".hidden", "x" * 201, "a\nb"])
def test_a_pointer_cannot_lead_out_of_its_root(tmp_path: Path, name: str) -> None:
    (tmp_path / "CURRENT").write_text(name)
    with pytest.raises(SnapshotUnreadable, match="is not the name of a snapshot") as caught:
        read_published(tmp_path)
    assert caught.value.cause == "corrupt"


def test_a_pointer_that_is_a_directory_or_no_text_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").mkdir()
    (tmp_path / "OTHER").write_bytes(b"\xff\xfe")
    for pointer in ("CURRENT", "OTHER"):
        with pytest.raises(SnapshotUnreadable, match="pointer cannot be read"):
            read_published(tmp_path, pointer)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = publish(tmp_path, "s1", {"t": TABLE}) / "t.parquet"
    original = path.read_bytes()
    for position in range(len(original)):
        path.write_bytes(original[:position] + bytes([original[position] ^ 1]) + original[position + 1 :])
        with pytest.raises(SnapshotUnreadable, match=r"t\.parquet: its sha256"):
            read_published(tmp_path)


def test_unverified_bytes_that_cannot_be_decoded_are_corrupt(tmp_path: Path) -> None:
    path = publish(tmp_path, "s1", {"t": TABLE}) / "t.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SnapshotUnreadable, match="cannot be decoded"):
        read_published(tmp_path, verify=False)


def test_a_table_whose_path_is_a_directory_is_corrupt(tmp_path: Path) -> None:
    path = publish(tmp_path, "s1", {"t": TABLE}) / "t.parquet"
    path.unlink()
    path.mkdir()
    with pytest.raises(SnapshotUnreadable, match="cannot be read"):
        read_published(tmp_path)


def edit(directory: Path, **changes: object) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tables": None}, "no `tables` object"),
        ({"snapshot_id": "s2"}, "is of snapshot 's2'"),
        ({"tables": {"t": {"file": "../t.parquet", "sha256": "", "rows": 2}}}, "`file` beside the manifest"),
        ({"tables": {"t": {"file": "t.parquet", "sha256": "", "rows": "2"}}}, "number of `rows`"),
        ({"tables": {"t": []}}, "table 't' needs"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_corrupt(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    edit(publish(tmp_path, "s1", {"t": TABLE}), **changes)
    with pytest.raises(SnapshotUnreadable, match=said) as caught:
        read_published(tmp_path)
    assert caught.value.cause == "corrupt"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00"])
def test_a_manifest_that_is_no_object_is_corrupt(tmp_path: Path, text: str) -> None:
    (publish(tmp_path, "s1", {"t": TABLE}) / "manifest.json").write_text(text)
    with pytest.raises(SnapshotUnreadable, match=r"manifest\.json"):
        read_published(tmp_path)


def test_a_row_count_that_differs_is_corrupt(tmp_path: Path) -> None:
    directory = publish(tmp_path, "s1", {"t": TABLE})
    entries = json.loads((directory / "manifest.json").read_text())["tables"]
    entries["t"]["rows"] = 3
    edit(directory, tables=entries)
    with pytest.raises(SnapshotUnreadable, match="it has 2 rows, published were 3"):
        read_published(tmp_path)


@contextmanager
def when_read(steps: Sequence[tuple[Path, Callable[[], object]]]) -> Iterator[None]:
    """Files that a thread serves in turn: each read of one waits until its step was done, then sees bytes of no use."""
    for path, _ in steps:
        path.unlink()
        os.mkfifo(path)

    def serve() -> None:
        for path, step in steps:
            with path.open("wb") as pipe:  # opens when the reader does
                step()
                pipe.write(b"?")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_a_snapshot_removed_during_the_read_gives_the_next_one(tmp_path: Path) -> None:
    old = publish(tmp_path, "s1", {"t": TABLE})
    publish(tmp_path, "s2", {"t": TABLE})
    point(tmp_path, "s1")

    def swap() -> None:
        point(tmp_path, "s2")
        shutil.rmtree(old)

    with when_read([(old / "t.parquet", swap)]):
        assert read_published(tmp_path).snapshot_id == "s2"


def test_a_pointer_that_never_rests_is_given_up(tmp_path: Path) -> None:
    directories = [publish(tmp_path, f"s{n}", {"t": TABLE}) for n in range(5)]
    point(tmp_path, "s0")
    steps = [(directories[n] / "manifest.json", partial(point, tmp_path, f"s{n + 1}")) for n in range(4)]
    with when_read(steps), pytest.raises(SnapshotUnreadable, match=r"s3/manifest\.json"):
        read_published(tmp_path)
