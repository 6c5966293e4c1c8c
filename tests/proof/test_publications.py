"""Publications under readers in processes of their own: none torn, none missing, none backwards.

Here hours pass quickly: what was published 50 times before counts as older than its grace, and goes.
"""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections import deque
from pathlib import Path

import pyarrow as pa
import pytest

from analytics.scoring import publish
from analytics.scoring.publish import GRACE

ROOT = Path(__file__).parents[2]
READERS = 8
YOUNG = 50
READER = textwrap.dedent("""
    import json, os, sys
    from pathlib import Path
    from analytics.routing.published import SnapshotUnreadable, read_published

    os.nice(15)  # eight that read without a pause would leave the publisher hardly any time
    root, seen = Path(sys.argv[1]), {"reads": 0, "torn": 0, "missing": 0, "backwards": 0}
    newest = -1
    print("ready", flush=True)
    while not (root / "stop").exists():
        try:
            found = read_published(root)
        except SnapshotUnreadable as error:
            seen["torn" if error.cause == "corrupt" else "missing"] += 1
            continue
        numbers = {found.meta["number"], *found.tables["a"]["number"].to_pylist(), *found.tables["b"]["number"].to_pylist()}
        seen["reads"] += 1
        seen["torn"] += len(numbers) > 1
        seen["backwards"] += max(numbers) < newest
        newest = max(numbers)
    print(json.dumps(seen), flush=True)
""")


def table(number: int) -> pa.Table:
    return pa.table({"number": [number] * 4})


def put(root: Path, number: int) -> str:
    meta = {"kind": "scoring", "as_of": "2026-11-21T12:00:00+00:00", "number": number}
    return publish(root, {"a": table(number), "b": table(number)}, meta)


@pytest.mark.parametrize(
    ("publications", "at_most_s"),
    [(100, 60), pytest.param(100_000, 5400, marks=[pytest.mark.soak, pytest.mark.timeout(6000)])],
)
def test_eight_readers_see_whole_snapshots_one_after_the_other(
    tmp_path: Path, publications: int, at_most_s: float
) -> None:
    put(tmp_path, 0)
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(READERS)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
        begun = time.monotonic()
        young: deque[str] = deque()
        for number in range(1, publications + 1):
            young.append(put(tmp_path, number))
            if len(young) > YOUNG:
                old = time.time() - 2 * GRACE.total_seconds()
                os.utime(tmp_path / young.popleft(), (old, old))
            assert time.monotonic() - begun < at_most_s, f"{number} publications took too long"
    finally:
        (tmp_path / "stop").touch()
        outputs = [reader.communicate(timeout=60)[0] for reader in readers]
    seen = [json.loads(output) for output in outputs]
    assert [(one["torn"], one["missing"], one["backwards"]) for one in seen] == [(0, 0, 0)] * READERS
    assert min(one["reads"] for one in seen) > 0
    assert sum(1 for _ in tmp_path.iterdir()) < YOUNG + 10, "old snapshots went"
