"""One flipped bit, anywhere: it is noticed and named, or healed, or it changed nothing that anybody reads."""

import json
import random
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from store.samples import T0, T2, entry, provider, request, result, run

from analytics.errors import Corrupt
from analytics.lake import DIMENSIONS, EVENTS, Lake, LakeFile
from analytics.lake.manifest import read_manifest, write_manifest
from analytics.routing.published import SnapshotUnreadable, read_published
from analytics.scoring import prunable, score, seal
from analytics.store import SqliteStore

AS_OF = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
PARTS = {
    "lake": 0.4,
    "manifest": 0.2,
    "snapshot": 0.35,
    "engine": 0.05,
}  # of the flips; a flip in the engine costs a refresh


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake and its scores."""
    folder = tmp_path_factory.mktemp("flips")
    with SqliteStore(folder / "store.sqlite") as store:
        store.migrate()
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small"), entry("big", display_name="B\u00fcg")], T0)
        one = run(is_simulated=False)
        rows = [
            result(one, is_simulated=False, created_at=day, domain="math", total_latency_ms=9.5 * n + 1)
            for n in range(9)
            for day in (T0, T2)
        ]
        store.land_results([one], rows)
        store.write("request_events", [request(is_simulated=False, cost=0.25)])
        lake = Lake(folder / "lake")
        lake.extract(store)
        store.land_results([one], [result(one, is_simulated=False)])
        lake.extract(store)
    score(lake, folder / "scoring", AS_OF)
    return folder


def flip(path: Path, dice: random.Random) -> bytes:
    """Flip one bit; the bytes there were."""
    whole = path.read_bytes()
    bit = dice.randrange(8 * len(whole))
    data = bytearray(whole)
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return whole


def files_of(house: Path, part: str) -> list[Path]:
    """The files that hold a part; a small one is hit as often as a large one."""
    match part:
        case "lake":
            return sorted(house.glob("lake/**/part-*.parquet"))
        case "manifest":
            return [house / "lake" / "manifest.json"]
        case "snapshot":
            return [
                *sorted(path for path in house.glob("scoring/*/*") if path.parent.name[0] == "2"),
                house / "scoring" / "CURRENT",
            ]
        case _:
            kept = ("partials", "state")
            return sorted(
                path
                for name in kept
                for path in house.glob(f"scoring/{name}/**/*")
                if path.is_file() and path.stat().st_size
            )


def contents(lake: Lake) -> dict[str, tuple[pa.Table, tuple[str, ...]]]:
    readings = {table: lake.read(table) for table in (*EVENTS, *DIMENSIONS)}
    return {table: (reading.rows, reading.corrupt) for table, reading in readings.items()}


def lake_is_honest(house: Path, before: Mapping[str, Any], path: Path) -> bool:
    named = path.relative_to(house / "lake").as_posix()
    for table, (rows, corrupt) in contents(Lake(house / "lake")).items():
        if not rows.equals(before[table][0]) and not any(named in sentence for sentence in corrupt):
            return False
    return True


def manifest_is_honest(house: Path, before: Any, path: Path) -> bool:
    try:
        return bool(read_manifest(path) == before)
    except Corrupt as error:
        return "manifest.json" in str(error)


def snapshot_is_honest(house: Path, before: Any, path: Path) -> bool:
    try:
        found = read_published(house / "scoring")
    except SnapshotUnreadable:
        return True
    same = {name: table.equals(before.tables[name]) for name, table in found.tables.items()}
    return found.meta == before.meta and set(same) == set(before.tables) and all(same.values())


def engine_is_honest(house: Path, before: Any, path: Path) -> bool:
    """The next refresh says what it says without the flip: what is damaged was computed anew."""
    report = score(Lake(house / "lake"), house / "scoring", AS_OF)
    return all(
        table.equals(before[kind][name]) for kind, tables in report.tables.items() for name, table in tables.items()
    )


HONEST: dict[str, Callable[[Path, Any, Path], bool]] = {
    "lake": lake_is_honest,
    "manifest": manifest_is_honest,
    "snapshot": snapshot_is_honest,
    "engine": engine_is_honest,
}


@pytest.mark.parametrize("flips", [100, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_no_flipped_bit_is_read_silently_wrong(house: Path, tmp_path: Path, flips: int) -> None:
    before = {
        "lake": contents(Lake(house / "lake")),
        "manifest": read_manifest(house / "lake" / "manifest.json"),
        "snapshot": read_published(house / "scoring"),
        "engine": dict(score(Lake(house / "lake"), house / "scoring", AS_OF).tables),
    }
    dice = random.Random(flips)
    wrong: list[str] = []
    copy = tmp_path / "house"
    shutil.copytree(house, copy)
    for part, share in PARTS.items():
        for _ in range(round(flips * share)):
            path = dice.choice(files_of(copy, part))
            whole = flip(path, dice)
            if not HONEST[part](copy, before[part], path):
                wrong.append(str(path.relative_to(copy)))
            if path.exists():  # the engine forgets what it does not trust
                path.write_bytes(whole)
    assert wrong == []


def test_a_manifest_from_before_there_were_checksums_still_reads(house: Path, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest = read_manifest(house / "lake" / "manifest.json")
    write_manifest(path, manifest)
    document = json.loads(path.read_text())
    plain = {name: value for name, value in document.items() if name not in {"sha256", "version"}}
    path.write_text(json.dumps(plain))
    assert read_manifest(path) == manifest
    path.write_text(json.dumps(plain | {"epoch": "another", "version": document["version"]}))
    with pytest.raises(Corrupt, match="sha256"):
        read_manifest(path)


def test_a_flipped_bit_in_what_was_sealed_is_named_and_not_used(house: Path, tmp_path: Path) -> None:
    """Raw rows are gone, their sums are all there is: a damaged one is left out with a sentence, or it stops the refresh."""
    copy = tmp_path / "house"
    shutil.copytree(house, copy)
    lake, scoring, later = Lake(copy / "lake"), copy / "scoring", AS_OF + timedelta(days=120)
    score(lake, scoring, later)
    with lake.lease():
        days = seal(lake, scoring, prunable(lake, scoring, later.date()))
        gone: dict[str, list[LakeFile]] = {}
        for day in days:
            gone.setdefault(day.table, []).extend(day.files)
        lake.forget(gone)
    whole = {kind: dict(tables) for kind, tables in score(lake, scoring, later, full=True).tables.items()}
    sealed = sorted(path for path in (copy / "lake" / "partials").rglob("*") if path.is_file())
    assert {path.suffix for path in sealed} == {"", ".parquet"}
    dice = random.Random(5)
    for path in sealed:
        before = flip(path, dice)
        try:
            report = score(lake, scoring, later, full=True)
        except Corrupt as error:
            named = path.name == "SEALED" and path.name in str(error)
        else:
            named = any(path.name in sentence for sentence in report.corrupt)
            changed = [
                name
                for kind, tables in report.tables.items()
                for name, table in tables.items()
                if not table.equals(whole[kind][name])
            ]
            assert changed, "it was used"
        assert named, path
        path.write_bytes(before)
    report = score(lake, scoring, later, full=True)
    assert report.corrupt == ()
    assert all(
        table.equals(whole[kind][name]) for kind, tables in report.tables.items() for name, table in tables.items()
    )
