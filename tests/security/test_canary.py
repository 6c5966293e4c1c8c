"""A key that went through everything is nowhere afterwards; and the scanner that says so finds one wherever it is planted."""

import base64
import gzip
import html
import io
import json
import logging
import pickle
import sqlite3
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from house import House
from security.conftest import CANARY, GATEWAY, Run
from security.openbao import ROOT_TOKEN, OpenBao
from security.scanner import files, find

from providers.simulated import Simulated

MISBEHAVING = (
    "fault/refuse_401",
    "fault/error_500",
    "fault/cut_stream",
    "fault/html_200",
    "fault/garbage_json",
    "fault/error_event",
)


def typed(text: str) -> io.TextIOWrapper:
    """Standard input with this text."""
    return io.TextIOWrapper(io.BytesIO(text.encode()))


def test_a_key_leaves_no_trace(
    bao: OpenBao, house: House, guarded: Simulated, run: Run, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, tmp_path: Path,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    house.add_gateway(GATEWAY, "aurora-mini", *MISBEHAVING, at=guarded)
    monkeypatch.setattr(sys, "stdin", typed(f"{CANARY}\n"))
    spoken = [run("keys", "set", GATEWAY)]
    commands = (
        "keys check", "keys check --json", "models sync", "bench --workload gold --sample 1", "score", "status --json",
        "providers show my-gateway --json", "models list --json", "query provider_performance_24h",
        f"export benchmark_results --out {tmp_path}/out.parquet",
    )  # fmt: skip
    spoken += [run(*words.split()) for words in commands]
    with bao.sealed():
        spoken += [run("bench", "--workload", "short"), run("keys", "check")]
    outcomes = {row["outcome"] for row in house.rows("benchmark_results", provider=GATEWAY)}
    assert {"ok", "failed", "skipped"} <= outcomes
    assert (tmp_path / "out.parquet").is_file()
    assert list((house.home / "lake").rglob("*.parquet"))
    said = "\n".join(one.out + one.err for one in spoken).encode()
    places = [*files(tmp_path, guarded.log_path.parent), ("output", said), ("logging", caplog.text.encode())]
    assert len(places) > 20
    assert find(CANARY, places) == []
    assert find(ROOT_TOKEN, places) == []
    assert bao.get(GATEWAY)["api_key"] == CANARY


def in_sqlite(secret: str) -> bytes:
    base = sqlite3.connect(":memory:")
    base.execute("create table kept (id integer, content text)")
    base.execute("insert into kept values (1, ?)", (base64.b64encode(pickle.dumps({"key": secret})).decode(),))
    base.commit()
    data = base.serialize()
    base.close()
    return data


def across_pages_of_sqlite(secret: str) -> bytes:
    base = sqlite3.connect(":memory:")
    base.execute("pragma page_size = 512")
    base.execute("create table kept (content text)")
    for length in range(480, 520):
        base.execute("insert into kept values (?)", ("x" * length + secret + "y" * 900,))
    base.execute("update kept set content = replace(content, 'x', 'z')")
    base.commit()
    data = base.serialize()
    base.close()
    return data


def in_parquet(secret: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [None, f"Bearer {secret}"], "nested": [[{"a": 1}], []]}), sink, compression="zstd")
    return sink.getvalue()


def in_arrow(secret: str) -> bytes:
    table = pa.table({"text": pa.array([secret, "b" * 99]).dictionary_encode()})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def in_zip(secret: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", "a" * 500 + secret)
    return sink.getvalue()


PLANTED: dict[str, Callable[[str], bytes]] = {
    "plain": lambda secret: f"...{secret}...".encode(),
    "UTF-16": lambda secret: secret.encode("utf-16"),
    "base64": lambda secret: base64.b64encode(secret.encode()),
    "base64 of a longer text": lambda secret: base64.b64encode(f'{{"token": "{secret}"}}'.encode()),
    "base64 after a word": lambda secret: b"keyis" + base64.b64encode(b"a" + secret.encode() + b"zzzz"),
    "URL-safe base64 without its padding": lambda secret: base64.urlsafe_b64encode(b"\xff\xfe" + secret.encode()).rstrip(b"="),
    "base64 in lines": lambda secret: base64.encodebytes(b"a" * 50 + secret.encode() + b"b" * 50),
    "base32": lambda secret: base64.b32encode(secret.encode()),
    "hex": lambda secret: secret.encode().hex().encode(),
    "JSON escapes": lambda secret: json.dumps("".join(f"\\u{ord(one):04x}" for one in secret)).replace("\\\\", "\\").encode(),
    "percent encoding": lambda secret: "".join(f"%{ord(one):02X}" for one in secret).encode(),
    "HTML": lambda secret: "".join(f"&#{ord(one)};" for one in secret).encode() + html.escape("<").encode(),
    "gzip": lambda secret: gzip.compress(b"a" * 500 + secret.encode()),
    "zlib inside something": lambda secret: b"header " + zlib.compress(b"a" * 500 + secret.encode()),
    "zip": in_zip,
    "pickle": lambda secret: pickle.dumps({"key": secret}),
    "pickle of protocol 0": lambda secret: pickle.dumps({"key": secret}, protocol=0),
    "a base64 pickle in JSON": lambda secret: json.dumps({"result": base64.b64encode(pickle.dumps([secret])).decode()}).encode(),
    "base64 of gzip of a pickle": lambda secret: base64.b64encode(gzip.compress(pickle.dumps([secret] * 3))),
    "SQLite": in_sqlite,
    "SQLite, across pages": across_pages_of_sqlite,
    "Parquet": in_parquet,
    "Arrow": in_arrow,
    "backwards": lambda secret: secret[::-1].encode(),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
def test_the_scanner_finds_a_planted_canary(tmp_path: Path, kind: str) -> None:
    (tmp_path / "planted").write_bytes(PLANTED[kind](CANARY))
    (tmp_path / "clean").write_bytes(PLANTED[kind]("sk-something-quite-different"))
    found = find(CANARY, files(tmp_path))
    assert found
    assert all("planted" in where for where in found)


def test_the_scanner_finds_a_canary_in_a_files_name(tmp_path: Path) -> None:
    (tmp_path / f"result-{CANARY}.json").touch()
    assert find(CANARY, files(tmp_path))
