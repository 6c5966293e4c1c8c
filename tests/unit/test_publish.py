"""Publication and the configuration snapshot, read back by the lookup's own reader."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from store.samples import T0, entry, provider

from analytics.routing.published import SnapshotUnreadable, read_published
from analytics.scoring import publish, publish_configuration, remove_old
from analytics.scoring.publish import Part, current
from analytics.store import Actor, Row, SqliteStore, stable_id

META = {"kind": "scoring", "is_simulated": False, "as_of": "2026-11-21T12:00:00.000000+00:00"}


def table(*numbers: int) -> pa.Table:
    return pa.table({"number": list(numbers), "square": [number * number for number in numbers]})


def at(hour: int) -> dict[str, object]:
    return META | {"as_of": f"2026-11-21T{hour:02}:00:00+00:00"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "store.sqlite") as opened:
        opened.migrate()
        yield opened


def test_what_was_published_is_read_back(tmp_path: Path) -> None:
    name = publish(tmp_path, {"numbers": table(1, 2)}, META)
    found = read_published(tmp_path)
    assert found.snapshot_id == name
    assert name.startswith("20261121T120000Z-")
    assert found.tables["numbers"].equals(table(1, 2))
    assert found.meta["as_of"] == META["as_of"]


def test_the_same_tables_as_of_the_same_time_are_one_snapshot(tmp_path: Path) -> None:
    names = {publish(tmp_path / folder, {"numbers": table(1)}, META) for folder in ("a", "a", "b")}
    assert len(names) == 1
    a, b = (next((tmp_path / folder).glob("*/numbers.parquet")).read_bytes() for folder in ("a", "b"))
    assert a == b


def test_other_rows_are_another_snapshot(tmp_path: Path) -> None:
    assert publish(tmp_path, {"numbers": table(1)}, META) != publish(tmp_path, {"numbers": table(2)}, META)
    assert read_published(tmp_path).tables["numbers"].equals(table(2))


def test_pointers_stand_side_by_side(tmp_path: Path) -> None:
    publish(tmp_path, {"numbers": table(1)}, META)
    publish(tmp_path, {"numbers": table(2)}, META | {"is_simulated": True}, "CURRENT-simulated")
    assert read_published(tmp_path).tables["numbers"].equals(table(1))
    assert read_published(tmp_path, "CURRENT-simulated").tables["numbers"].equals(table(2))


def test_a_damaged_snapshot_is_never_written_to_again(tmp_path: Path) -> None:
    name = publish(tmp_path, {"numbers": table(1)}, META)
    path = tmp_path / name / "numbers.parquet"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert publish(tmp_path, {"numbers": table(1)}, META) == f"{name}-2"
    assert read_published(tmp_path).tables["numbers"].equals(table(1))


def parts(made: list[str], **numbers: int) -> list[Part]:
    """A table of one part for each name; its number is what it is made of."""

    def make(name: str, number: int) -> pa.Table:
        made.append(name)
        return table(number)

    return [Part(name, str(number), partial(make, name, number)) for name, number in numbers.items()]


def test_a_part_that_did_not_change_is_neither_made_nor_written_again(tmp_path: Path) -> None:
    made: list[str] = []
    first = publish(tmp_path, {"days": parts(made, a=1, b=2)}, at(1))
    second = publish(tmp_path, {"days": parts(made, a=1, b=3)}, at(2))
    assert made == ["a", "b", "b"]
    assert read_published(tmp_path).tables["days"]["number"].to_pylist() == [1, 3]
    old, new = (tmp_path / name / "days.a.parquet" for name in (first, second))
    assert old.stat().st_ino == new.stat().st_ino
    assert publish(tmp_path / "other", {"days": parts(made, a=1, b=3)}, at(2)) == second


def test_a_damaged_part_is_made_again_before_long(tmp_path: Path) -> None:
    numbers = {name: number for number, name in enumerate("abcdefghi")}
    name = publish(tmp_path, {"days": parts([], **numbers)}, at(1))
    for path in (tmp_path / name).glob("days.*.parquet"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    for hour in range(2, 5):
        publish(tmp_path, {"days": parts([], **numbers)}, at(hour))
    assert read_published(tmp_path).tables["days"]["number"].to_pylist() == list(range(9))


def test_a_part_whose_file_is_gone_is_made_again(tmp_path: Path) -> None:
    made: list[str] = []
    name = publish(tmp_path, {"days": parts(made, a=1)}, at(1))
    (tmp_path / name / "days.a.parquet").unlink()
    publish(tmp_path, {"days": parts(made, a=1)}, at(2))
    assert made == ["a", "a"]


def test_drafts_of_a_killed_publisher_are_removed(tmp_path: Path) -> None:
    draft = tmp_path / ".draft-20261121T120000Z-00000000"
    draft.mkdir()
    (draft / "numbers.parquet").write_bytes(b"half")
    publish(tmp_path, {"numbers": table(1)}, META)
    assert not draft.exists()


def test_the_last_three_stay_and_younger_ones_for_an_hour(tmp_path: Path) -> None:
    names = [publish(tmp_path, {"numbers": table(hour)}, at(hour)) for hour in range(6)]
    assert all((tmp_path / name).is_dir() for name in names)
    for number, name in enumerate(names):
        os.utime(tmp_path / name, (number, number))
    assert remove_old(tmp_path) == names[:3]
    assert [name for name in names if (tmp_path / name).exists()] == names[3:]


def test_a_snapshot_that_a_pointer_names_stays(tmp_path: Path) -> None:
    kept = publish(tmp_path, {"numbers": table(0)}, META | {"is_simulated": True}, "CURRENT-simulated")
    names = [publish(tmp_path, {"numbers": table(hour)}, at(hour)) for hour in range(5)]
    later = datetime.now(UTC) + timedelta(hours=2)
    removed = remove_old(tmp_path, now=later)
    assert kept not in removed
    assert len(removed) == len(names) - 3
    read_published(tmp_path, "CURRENT-simulated")


def test_a_full_disk_leaves_the_old_snapshot(tmp_path: Path) -> None:
    """A file-size limit stands for the full disk: the write fails half way, with an OSError."""
    old = publish(tmp_path, {"numbers": table(1)}, META)
    script = textwrap.dedent("""
        import resource, signal, sys
        import pyarrow as pa
        from pathlib import Path
        from analytics.scoring import publish
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        rows = pa.table({"number": [hash((i, "x")) for i in range(100_000)]})
        publish(Path(sys.argv[1]), {"numbers": rows}, {"as_of": "2026-11-21T13:00:00+00:00"})
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert current(tmp_path) == old
    publish(tmp_path, {"numbers": table(3)}, META)
    assert not list(tmp_path.glob(".draft-*"))


ROOT = Path(__file__).parents[2]
KILLED = textwrap.dedent("""
    import os, signal, sys
    import pyarrow as pa
    from pathlib import Path
    from analytics.scoring import publish

    step, seen = int(sys.argv[2]), 0

    def watch(event, args):
        global seen
        if event in ("os.rename", "os.mkdir") or (event == "open" and str(args[0]).startswith(sys.argv[1])):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    publish(Path(sys.argv[1]), {"numbers": pa.table({"number": [7]})}, {"as_of": "2026-11-21T13:00:00+00:00"})
""")


@pytest.mark.parametrize("step", [1, 3, 6, 9, 12, 15, 17])
def test_a_kill_at_any_step_shows_the_old_snapshot_or_the_new_one(tmp_path: Path, step: int) -> None:
    root = tmp_path / "scoring"
    publish(root, {"numbers": table(1)}, META)
    done = subprocess.run([sys.executable, "-c", KILLED, str(root), str(step)], check=False, cwd=ROOT)
    assert done.returncode == -9, "there are at least 17 steps"
    assert read_published(root).tables["numbers"]["number"].to_pylist() in ([1], [7])
    publish(root, {"numbers": table(2)}, META)
    assert read_published(root).tables["numbers"]["number"].to_pylist() == [2]


def test_readers_never_see_half_a_snapshot(tmp_path: Path) -> None:
    publish(tmp_path, {"a": table(0), "b": table(0)}, at(0))
    torn: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                found = read_published(tmp_path)
            except SnapshotUnreadable as error:
                torn.append(error)
            else:
                torn.extend([found] if not found.tables["a"].equals(found.tables["b"]) else [])

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 40):
        publish(tmp_path, {"a": table(number), "b": table(number)}, at(number % 24))
    stop.set()
    reader.join()
    assert torn == []


def test_the_configuration_holds_what_the_lookup_needs(store: SqliteStore, tmp_path: Path) -> None:
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small"), entry("big", input_price_per_m=None, output_price_per_m=None)], T0)
    store.write("domains", [{"id": "d", "name": "coding", "description": "code", "created_at": T0}])
    store.write("task_domains", [{"id": "t", "task_type": "code", "domain": "coding"}])
    store.write("agents", [{"id": "a", "key": "helper", "tenant_id": "acme", "created_at": T0}])
    model_id = store.select("catalog", {"id": "aurora/small"}).items[0]["model_id"]
    store.write(
        "agent_models",
        [{"id": stable_id("x", "y"), "agent_id": "a", "model_id": model_id, "priority_override": 90, "enabled_at": T0}],
    )
    publish_configuration(store, tmp_path / "configuration", default_model="aurora/small", stale_after_s=60)
    found = read_published(tmp_path / "configuration")
    assert found.meta["default_model"] == "aurora/small"
    assert found.meta["policies"] == {"default": {"priority": 0.3, "quality": 0.7}}
    assert (found.meta["tie_delta"], found.meta["stale_after_s"]) == (0.01, 60)
    big, small = found.tables["models"].to_pylist()
    assert (big["id"], big["pricing_input"], small["pricing_input"]) == ("aurora/big", None, 1.0)
    assert (small["capabilities"], small["ctx_length"], small["is_available"], small["is_enabled"]) == (
        ["text"],
        8192,
        True,
        True,
    )
    assert found.tables["agent_models"].to_pylist() == [
        {"agent": "helper", "tenant_id": "acme", "model": "aurora/small", "is_enabled": True, "priority_override": 90}
    ]
    assert found.tables["task_domains"].to_pylist() == [{"task_type": "code", "domain": "coding"}]


def test_an_unchanged_configuration_is_not_published_again(store: SqliteStore, tmp_path: Path) -> None:
    first = publish_configuration(store, tmp_path)
    assert publish_configuration(store, tmp_path) == first
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small")], T0)
    second = publish_configuration(store, tmp_path)
    assert second != first
    assert publish_configuration(store, tmp_path, tie_delta=0.5) != second


def test_what_was_switched_off_does_not_come_back_by_one_who_read_before(store: SqliteStore, tmp_path: Path) -> None:
    """Two publish at once: the second changes something when the first has read all of it, and is not published yet."""
    store.write("providers", [provider()])
    store.apply_catalog("aurora", [entry("small")], T0)
    agent, on, off = (
        Actor("service"),
        {"model": "aurora/small", "is_enabled": True},
        {"model": "aurora/small", "is_enabled": False},
    )
    store.set_agent_models("writer", [on], actor=agent)

    def switch_off() -> None:
        store.set_agent_models("writer", [off], actor=agent)
        publish_configuration(store, tmp_path)

    second = threading.Thread(target=switch_off)

    class Slow:
        select = staticmethod(store.select)

        def read_all(self, name: str) -> list[Row]:
            rows = store.read_all(name)
            if name == "routing_configs":  # the last table
                second.start()
                second.join(0.2)
            return rows

    publish_configuration(Slow(), tmp_path)
    second.join()
    (row,) = read_published(tmp_path).tables["agent_models"].to_pylist()
    assert row["is_enabled"] is False


def test_a_damaged_configuration_is_published_anew(store: SqliteStore, tmp_path: Path) -> None:
    name = publish_configuration(store, tmp_path)
    (tmp_path / name / "manifest.json").write_text(json.dumps({"snapshot_id": name}))
    publish_configuration(store, tmp_path)
    assert read_published(tmp_path).tables["models"].num_rows == 0
