r"""A file of checked lines that survives a kill, a full disk and a power cut.

A line is `<crc32 as 8 hex digits> <json>\n`. `append` returns once its lines are on the disk. The file is locked by the
process that has it open (flock: the lock ends with the process, however it ends). Behind the last line there may be
zeros: room that was reserved, so that a later line finds space on a disk that has filled up meanwhile.
"""

import errno
import fcntl
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from analytics.durable import make_directory, sync_directory
from analytics.errors import Corrupt
from analytics.store.rows import to_text

Record = Mapping[str, Any]

_RESERVED_AT_ONCE = 1024 * 1024
_NO_RESERVING = {errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP}


class Span(NamedTuple):
    """Where a line lies: its first byte and its length with the newline."""

    offset: int
    length: int


class Contents(NamedTuple):
    """What a file holds: the sound lines with their places, the damaged ones as they are, and where the next one goes."""

    lines: list[tuple[dict[str, Any], Span]]
    damaged: list[bytes]
    end: int


class Journal:
    """One such file, open and locked. Not thread-safe: its owner has a lock anyway."""

    def __init__(self, descriptor: int, path: Path, end: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._end = end
        self._reserved = end
        self._is_torn = False

    @classmethod
    def create(cls, path: Path, records: Sequence[Record]) -> Self:
        """A new file that holds `records`: it is at `path` locked, whole and durable, or not at all. OSError if it can't."""
        make_directory(path.parent)
        draft = path.with_name(f".{path.name}.draft")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            journal = cls(descriptor, path, 0)
            journal.append(records)
            draft.rename(path)
            sync_directory(path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    @classmethod
    def open(cls, path: Path) -> tuple[Self, Contents] | None:
        """The file at `path` with what it holds, or None if another process has it or has just removed it."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened = os.fstat(descriptor)
            # Whoever held the lock before may have removed the file between our open and our lock.
            if opened.st_nlink == 0:
                os.close(descriptor)
                return None
            contents = parse(_read_all(descriptor, opened.st_size))
            journal = cls(descriptor, path, contents.end)
            os.ftruncate(descriptor, contents.end)  # a torn last line never counted; the next one needs its place
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return journal, contents

    def append(self, records: Sequence[Record]) -> list[Span]:
        """Add one line per record and return their places once all are on the disk. OSError: none of them counts."""
        if self._is_torn:
            # What an earlier attempt half wrote must not stand behind the next line.
            os.ftruncate(self._descriptor, self._end)
            self._reserved, self._is_torn = self._end, False
        spans, data, offset = [], bytearray(), self._end
        for record in records:
            line = _line(record)
            spans.append(Span(offset, len(line)))
            offset += len(line)
            data += line
        self._is_torn = True
        _write_all(self._descriptor, bytes(data), self._end)
        os.fdatasync(self._descriptor)
        self._is_torn = False
        self._end = offset
        self._reserved = max(self._reserved, offset)
        return spans

    def reserve(self, size: int) -> None:
        """Have the disk keep `size` bytes behind the last line. OSError if it has no such room."""
        missing = self._end + size - self._reserved
        if missing > 0 and hasattr(os, "posix_fallocate"):
            step = -(-missing // _RESERVED_AT_ONCE) * _RESERVED_AT_ONCE
            try:
                os.posix_fallocate(self._descriptor, self._reserved, step)
            except OSError as error:
                if error.errno not in _NO_RESERVING:
                    raise
                return  # a file system that cannot promise room: `append` finds out
            self._reserved += step

    def read(self, span: Span) -> dict[str, Any]:
        """The record at `span`; Corrupt if its bytes are no longer those that were written."""
        record = _record(os.pread(self._descriptor, span.length, span.offset).removesuffix(b"\n"))
        if record is None:
            raise Corrupt(f"{self._path.name}: the line at byte {span.offset} is damaged")
        return record

    def close(self) -> None:
        """Let go of the file and its lock, and give back what was reserved."""
        with suppress(OSError):  # zeros behind the last line, or half a line, are no content
            os.ftruncate(self._descriptor, self._end)
        os.close(self._descriptor)

    def remove(self) -> None:
        """Delete the file, then let go of it: nobody else can have got its lock in between."""
        try:
            self._path.unlink(missing_ok=True)
            sync_directory(self._path.parent)
        finally:
            os.close(self._descriptor)


def first_record(path: Path) -> dict[str, Any] | None:
    """What the first line of a file says, whoever has it open; None if the file is gone or its first line damaged."""
    try:
        with path.open("rb") as file:
            return _record(file.readline().removesuffix(b"\n"))
    except FileNotFoundError:
        return None


def parse(data: bytes) -> Contents:
    """What a file's bytes hold. A line without its newline was never finished and is left out."""
    lines: list[tuple[dict[str, Any], Span]] = []
    damaged: list[bytes] = []
    offset = 0
    while (newline := data.find(b"\n", offset)) >= 0:
        line = data[offset:newline]
        record = _record(line)
        if record is None:
            damaged.append(line)
        else:
            lines.append((record, Span(offset, newline + 1 - offset)))
        offset = newline + 1
    return Contents(lines, damaged, offset)


def add_lines(path: Path, records: Sequence[Record]) -> None:
    """Append plain JSON lines for people to read, fsynced, leaving out those that the file already has."""
    make_directory(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        data = _read_all(descriptor, os.fstat(descriptor).st_size)
        end = data.rfind(b"\n") + 1
        known = set(data[:end].split(b"\n"))
        new = dict.fromkeys(line for record in records if (line := _json(record)) not in known)
        os.ftruncate(descriptor, end)
        _write_all(descriptor, b"".join(line + b"\n" for line in new), end)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def _line(record: Record) -> bytes:
    text = _json(record)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:  # NaN, which is no JSON: the slower reader takes it, the store refuses it by name
        found = json.loads(text)
    return found if isinstance(found, dict) else None


def _json(record: Record) -> bytes:
    # ASCII, so that no text can contain a newline or fail to encode; NaN passes, for the store to refuse by name.
    return json.dumps(record, default=_plain, separators=(",", ":")).encode("ascii")


def _plain(value: Any) -> Any:
    """Whatever json cannot write is kept in some readable form: a row that was paid for is never lost to a TypeError."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return to_text(value)
    if isinstance(value, Decimal):
        return float(value)
    return dict(value) if isinstance(value, Mapping) else str(value)


def _read_all(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (piece := os.pread(descriptor, size - len(data), len(data))):
        data += piece
    return bytes(data)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
