"""Finds a canary in whatever a program may have left behind: as it is, and inside what encodes, compresses or stores it."""

import base64
import binascii
import html
import io
import json
import pickletools
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

_DEPTH = 5  # wrappings inside one another
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_WRAPPED = re.compile(rb"(?<=[A-Za-z0-9+/=])\\?(?:\r?\n|\\n)(?=[A-Za-z0-9+/=])")  # base64 in lines of 76
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){12,}")
_ESCAPE = re.compile(rb"\\u00([0-9A-Fa-f]{2})|\\x([0-9A-Fa-f]{2})")
_COMPRESSED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")


def find(canary: str, places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Where the canary is: the name of the place, and how it was wrapped there."""
    needle = canary.encode()
    return [f"{name}: {way}" for name, data in places if (way := _search(needle, data, "as it is", 0, set()))]


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below some folders, its own name included in what is searched."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield str(path), str(path).encode() + b"\n" + path.read_bytes()
                yield f"{path} (decoded)", path.read_bytes()


def _search(needle: bytes, data: bytes, way: str, depth: int, seen: set[int]) -> str | None:
    if needle in data or needle[::-1] in data:
        return way
    if depth == _DEPTH or len(data) < len(needle) or hash(data) in seen:
        return None
    seen.add(hash(data))
    inside = chain(_stored(data) if depth == 0 else _stored_perhaps(data), _inside(data))
    for kind, inner in inside:
        if found := _search(needle, inner, kind if depth == 0 else f"{way}, {kind}", depth + 1, seen):
            return found
    return None


def _inside(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What these bytes are when they are read as each thing that they may be."""
    if b"\0" in data:
        yield "UTF-16 or UTF-32", data.replace(b"\0", b"")
    if _ESCAPE.search(data):
        yield "escapes", _ESCAPE.sub(lambda match: bytes([int(match[1] or match[2], 16)]), data)
    if b"%" in data:
        yield "a URL", unquote_to_bytes(data)
    if b"&#" in data:
        yield "HTML", html.unescape(data.decode("latin-1")).encode("latin-1", "replace")
    for match in _COMPRESSED.finditer(data):
        with suppress(zlib.error):
            yield "gzip or zlib", zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data[match.start() :], 1 << 26)
    yield from _encoded(data)


def _encoded(data: bytes) -> Iterator[tuple[str, bytes]]:
    for text in {data, _WRAPPED.sub(b"", data)}:
        for match in _RUN.finditer(text):
            run = match[0].translate(bytes.maketrans(b"-_", b"+/"))
            for start in range(4):  # it may begin anywhere in a longer word
                part = run[start:]
                with suppress(binascii.Error):
                    yield "base64", base64.b64decode(part[: len(part) // 4 * 4] + _rest(part))
    for match in _HEX.finditer(data):
        yield "hex", binascii.unhexlify(match[0])
    for match in re.finditer(rb"[A-Z2-7]{24,}={0,6}", data):
        with suppress(binascii.Error):
            yield "base32", base64.b32decode(match[0] + b"=" * (-len(match[0]) % 8))


def _rest(part: bytes) -> bytes:
    rest = part[len(part) // 4 * 4 :]
    return rest + b"=" * (-len(rest) % 4) if len(rest) > 1 else b""


def _stored(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[:4] == b"PAR1":
        yield "Parquet", _values(pq.read_table(io.BytesIO(data)))
    if data[:6] == b"ARROW1":
        yield "Arrow", _values(pa.ipc.open_file(io.BytesIO(data)).read_all())
    if data[:16] == b"SQLite format 3\0":
        yield "SQLite", _rows(data)
    if data[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield "zip", archive.read(name)
    if data[:1] == b"\x80" or data[-1:] == b".":
        with suppress(Exception):  # whatever ends with a full stop may be no pickle
            words = [argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, (str, bytes))]
            yield "pickle", b"\n".join(map(_bytes, words))


def _stored_perhaps(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What was decoded may only begin like a file that it is not; a file that cannot be read is an error of the scan."""
    with suppress(pa.ArrowInvalid, sqlite3.Error, zipfile.BadZipFile, OSError):
        yield from _stored(data)


def _values(table: pa.Table) -> bytes:
    columns = [value for column in table.columns for value in column.to_pylist()]
    return b"\n".join(_bytes(value) for value in [*columns, dict(table.schema.metadata or {})] if value is not None)


def _rows(data: bytes) -> bytes:
    """Every value of every table; a long one is in pieces in the file."""
    with sqlite3.connect(":memory:") as base:
        # A copy of a database whose journal is elsewhere is read as it stands: bytes 18 and 19 say 'no journal'.
        base.deserialize(data[:18] + b"\1\1" + data[20:])
        tables = [name for (name,) in base.execute("select name from sqlite_master where type = 'table'")]
        rows = [row for table in tables for row in base.execute(f'select * from "{table}"')]
    base.close()
    return b"\n".join(_bytes(value) for row in rows for value in row if value is not None)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return json.dumps(value, default=str, ensure_ascii=False).encode() if not isinstance(value, (int, float)) else b""
