"""The file of checked lines: what was appended is read back, and nothing else is."""

import math
import os
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from analytics.errors import Corrupt
from analytics.store.journal import Journal, add_lines, parse


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "run.jsonl"


RECORDS: list[dict[str, Any]] = [
    {"kind": "run", "n": 1},
    {"text": "line\nbreak \u2028 ü \ud800"},
    {"kind": "result", "n": 3.25},
]


def test_what_was_appended_is_read_back(path: Path) -> None:
    journal = Journal.create(path, RECORDS[:1])
    spans = journal.append(RECORDS[1:])
    assert [journal.read(span) for span in spans] == RECORDS[1:]
    journal.close()
    opened = Journal.open(path)
    assert opened is not None
    assert [record for record, _ in opened[1].lines] == RECORDS
    opened[0].remove()
    assert not path.exists()


def test_values_that_json_does_not_know_are_kept_readable(path: Path) -> None:
    moment = datetime(2026, 11, 21, 2, tzinfo=UTC)
    journal = Journal.create(path, [{"at": moment, "cost": Decimal("0.5"), "odd": {1}.__class__, "nan": math.nan}])
    journal.close()
    ((record, _),) = parse(path.read_bytes()).lines
    assert (record["at"], record["cost"], record["odd"]) == ("2026-11-21T02:00:00.000000Z", 0.5, "<class 'set'>")
    assert math.isnan(record["nan"])


def test_only_one_owner_at_a_time(path: Path) -> None:
    journal = Journal.create(path, RECORDS)
    assert Journal.open(path) is None
    journal.close()
    opened = Journal.open(path)
    assert opened is not None
    assert Journal.open(path) is None
    opened[0].close()


def test_a_file_removed_between_open_and_lock_is_nobody_s(path: Path) -> None:
    Journal.create(path, RECORDS).close()

    def remove_before_the_lock(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument.__name__ == "flock":
            path.unlink()

    sys.setprofile(remove_before_the_lock)
    try:
        opened = Journal.open(path)
    finally:
        sys.setprofile(None)
    assert opened is None
    assert Journal.open(path) is None, "a file that is not there is nobody's either"


def test_reserved_room_is_no_content(path: Path) -> None:
    journal = Journal.create(path, RECORDS[:2])
    journal.reserve(300_000)
    assert path.stat().st_size > 300_000
    contents = parse(path.read_bytes())
    assert ([record for record, _ in contents.lines], contents.damaged) == (RECORDS[:2], [])
    journal.append(RECORDS[2:])
    assert [record for record, _ in parse(path.read_bytes()).lines] == RECORDS
    journal.close()
    assert path.stat().st_size < 1000, "what was reserved is given back"


def test_a_file_cut_anywhere_holds_the_lines_before_the_cut(path: Path) -> None:
    Journal.create(path, RECORDS).close()
    data = path.read_bytes()
    for cut in range(len(data) + 1):
        for tail in (b"", b"\0" * 50):
            contents = parse(data[:cut] + tail)
            whole = data[:cut].count(b"\n")
            assert [record for record, _ in contents.lines] == RECORDS[:whole]
            assert contents.damaged == []


def test_a_flipped_bit_never_changes_a_record(path: Path) -> None:
    Journal.create(path, RECORDS).close()
    data = path.read_bytes()
    for place in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[place] ^= 1 << bit
            found = [record for record, _ in parse(bytes(broken)).lines]
            assert all(record in RECORDS for record in found)
            assert len(found) >= len(RECORDS) - 2


def test_a_torn_line_is_written_over(path: Path) -> None:
    Journal.create(path, RECORDS[:1]).close()
    with path.open("ab") as file:
        file.write(b"12345678 {torn, and longer than what comes next" * 20)
    opened = Journal.open(path)
    assert opened is not None
    opened[0].append(RECORDS[1:])
    opened[0].close()
    contents = parse(path.read_bytes())
    assert ([record for record, _ in contents.lines], contents.damaged) == (RECORDS, [])


def test_a_line_that_changed_on_the_disk_is_corrupt(path: Path) -> None:
    journal = Journal.create(path, RECORDS[:1])
    (span,) = journal.append(RECORDS[1:2])
    with path.open("r+b") as file:
        file.seek(span.offset + 12)
        file.write(b"?")
    with pytest.raises(Corrupt, match="damaged"):
        journal.read(span)
    journal.close()


def test_a_write_that_failed_leaves_nothing_behind(path: Path) -> None:
    journal = Journal.create(path, RECORDS[:1])
    real = os.dup(journal._descriptor)
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, journal._descriptor)
    with pytest.raises(OSError, match="No space left"):
        journal.append(RECORDS[1:])
    os.dup2(real, journal._descriptor)
    os.close(real)
    os.close(full)
    journal.append(RECORDS[2:])
    journal.close()
    assert [record for record, _ in parse(path.read_bytes()).lines] == [RECORDS[0], RECORDS[2]]


def test_a_journal_that_cannot_be_made_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="exists"):
        Journal.create(tmp_path / "file" / "run.jsonl", RECORDS)


def test_lines_set_aside_are_added_once(path: Path) -> None:
    add_lines(path, RECORDS[:1])
    with path.open("ab") as file:
        file.write(b'{"torn')
    add_lines(path, RECORDS[:2])
    add_lines(path, RECORDS[:2])
    assert path.read_bytes().count(b"\n") == 2
