"""Bring the sums up to the lake: absorb what is new, move what crossed a border, put right what was corrected."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analytics.durable import make_directory
from analytics.errors import Corrupt
from analytics.lake import Lake, LakeFile, Manifest
from analytics.scoring import moments as sums
from analytics.scoring.absorb import Fresh, Pending, Sink, add_blocks, added_lists, contribute
from analytics.scoring.days import DayTables
from analytics.scoring.entries import BIN_BITS, packed
from analytics.scoring.keys import Keys, group
from analytics.scoring.ledger import ABSORBED, Entry, plan
from analytics.scoring.reading import Corrections, Rows, filtered, read_rows
from analytics.scoring.rings import HOUR_US, LATER, Ints, hour_of, is_of_the_oldest_ring, moves, rings_of
from analytics.scoring.sealing import unsealed
from analytics.scoring.state import SLOTS, Changes, State, StateDamaged, repricings_of, sweep

Resolve = Callable[[Keys], None]  # lets the keys know which models and domains are meant


@dataclass(slots=True, eq=False)
class Work:
    """What a refresh did: `touched` are the (kind, model, domain) whose scores may have changed, None: all of them."""

    state: State
    files: int = 0
    rows: int = 0
    corrupt: list[str] = field(default_factory=list)
    touched: npt.NDArray[np.int64] | None = None
    days: DayTables = field(default_factory=DayTables)
    changed_days: dict[str, list[str]] = field(default_factory=dict)


def refresh(
    lake: Lake, manifest: Manifest, state: State, hour: int, corrections: Corrections, resolve: Resolve
) -> Work:
    """Bring `state` up to the manifest and to the hour of as_of; raises `StateDamaged` where it must be built again."""
    work, sink, before = Work(state), Pending(), state.hour
    applied = Corrections(state.deleted, repricings_of(state))
    known = dict(state.ledger)
    _follow_the_manifest(lake, manifest, work, sink, hour, corrections)
    deleted = corrections.deleted - applied.deleted
    repriced = _changed_prices(applied.repricings, corrections.repricings)
    for path, entry in known.items():
        if path not in state.ledger or entry.is_kept:
            continue
        if deleted.intersection(entry.file.runs) or (repriced and _names_one_of(lake, entry, repriced)):
            try:
                _take_away(lake, entry, applied, before, state.keys, sink, work.days)
                state.ledger[path] = _absorb(
                    lake, entry.table, entry.file, corrections, hour, state.keys, sink, work.days
                )
            except Corrupt as error:
                raise StateDamaged(str(error)) from error
            work.files, work.rows = work.files + 1, work.rows + entry.file.rows
        elif hour != before and _crosses(entry.file, before, hour):
            try:
                _move(lake, entry, corrections, before, hour, work, sink)
            except Corrupt as error:
                raise StateDamaged(str(error)) from error
    has_changed = state.ledger != known or hour != before or corrections.deleted != applied.deleted or bool(repriced)
    state.hour, state.deleted, state.repricings = hour, corrections.deleted, _to_ipc(corrections.repricings)
    _commit(lake, work, sink, resolve, has_changed=has_changed)
    return work


def rebuild(
    lake: Lake, manifest: Manifest, directory: Path, program: str, hour: int, corrections: Corrections, resolve: Resolve
) -> Work:
    """A state of its own era from all the files there are; the old one stays in force until this one is whole."""
    make_directory(directory)
    numbers = [int(number) for path in directory.iterdir() for number in re.findall(r"-(\d+)\.", path.name)]
    era = max(numbers, default=0) + 1
    sweep(directory)
    state = State(directory, program, era=era, base=era, generation=era, hour=hour, mapping=era)
    work = Work(state)
    state.make_room()
    sink = Fresh(state)
    for entry in unsealed(lake, manifest, state.keys, sink, work.days, work.corrupt):
        state.ledger[entry.file.path] = entry
    found = [(table, file) for table in ABSORBED for file in manifest.table(table).files]
    for table, file in sorted(found, key=lambda one: (one[1].day, one[1].path)):
        _absorb_new(lake, work, table, file, corrections, hour, sink)
        if work.days.is_full:
            state.tables, _ = work.days.write(state.directory, state.tables)
    state.deleted, state.repricings = corrections.deleted, _to_ipc(corrections.repricings)
    resolve(state.keys)
    raw = np.flatnonzero(~state.keys.is_rollup)
    rollup_of = state.keys.rollups(state.keys.kind[raw], state.keys.model()[raw])
    sink.finish(raw, rollup_of)
    state.tables, work.changed_days = work.days.write(state.directory, state.tables)
    state.commit(None)
    return work


def _follow_the_manifest(
    lake: Lake, manifest: Manifest, work: Work, sink: Sink, hour: int, corrections: Corrections
) -> None:
    state = work.state
    todo = plan(state.ledger, manifest)
    for table, file, old in todo.swapped.values():
        entries = [state.ledger.pop(path) for path in old]
        state.ledger[file.path] = Entry(table, file, tuple(one for entry in entries for one in entry.left_out))
    for path in todo.gone:
        entry = state.ledger.pop(path)
        if entry.file.max_created_at and is_of_the_oldest_ring(_hours(entry.file)[1], state.hour):
            state.ledger[path] = replace(entry, is_kept=True)  # pruned: what it added up to stays
            continue
        try:
            applied = Corrections(state.deleted, repricings_of(state))
            _take_away(lake, entry, applied, state.hour, state.keys, sink, work.days)
        except Corrupt as error:
            raise StateDamaged(f"{path} is gone from the lake, and what it held is not known") from error
    for table, file in todo.new:
        _absorb_new(lake, work, table, file, corrections, hour, sink)


def _absorb_new(
    lake: Lake, work: Work, table: str, file: LakeFile, corrections: Corrections, hour: int, sink: Sink
) -> None:
    try:
        entry = _absorb(lake, table, file, corrections, hour, work.state.keys, sink, work.days)
    except Corrupt as error:
        work.corrupt.append(str(error))
        return
    work.state.ledger[file.path] = entry
    work.files, work.rows = work.files + 1, work.rows + file.rows


def _absorb(
    lake: Lake, table: str, file: LakeFile, corrections: Corrections, hour: int, keys: Keys, sink: Sink, days: DayTables
) -> Entry:
    left_out: dict[tuple[str, bool | None, str], tuple[int, str]] = {}
    for portion in read_rows(lake, table, file, corrections):
        contribute(portion.rows, ring_of_each(portion.rows, hour), keys, sink)
        days.add(portion.rows, hour)
        for key, (times, example) in portion.left_out.items():
            before, least = left_out.get(key, (0, example))
            left_out[key] = (before + times, min(least, example))
    return Entry(table, file, tuple((*key, *value) for key, value in sorted(left_out.items(), key=str)))


def _take_away(
    lake: Lake, entry: Entry, corrections: Corrections, hour: int, keys: Keys, sink: Sink, days: DayTables
) -> None:
    for portion in read_rows(lake, entry.table, entry.file, corrections):
        contribute(portion.rows, ring_of_each(portion.rows, hour), keys, sink, -1)
        days.add(portion.rows, hour, -1)


def _move(lake: Lake, entry: Entry, corrections: Corrections, before: int, now: int, work: Work, sink: Sink) -> None:
    """Take the rows that crossed a border out of the ring they were in and put them into the one they are in now."""
    for portion in read_rows(lake, entry.table, entry.file, corrections):
        old, new = ring_of_each(portion.rows, before), ring_of_each(portion.rows, now)
        crossed = np.flatnonzero(old != new)
        rows = filtered(portion.rows, crossed)
        contribute(rows, old[crossed], work.state.keys, sink, -1)
        contribute(rows, new[crossed], work.state.keys, sink)
        reached = filtered(portion.rows, np.flatnonzero((old == LATER) != (new == LATER)))
        work.days.add(reached, before, -1)
        work.days.add(reached, now)


def ring_of_each(rows: Rows, hour: int) -> Ints:
    """The ring of each row; mostly all are in one."""
    if not len(rows):
        return rows.hour
    first, last = (int(moment) // HOUR_US for moment in (rows.created_at.min(), rows.created_at.max()))
    oldest, newest = rings_of(np.array([first, last]), hour)
    if oldest == newest:
        return np.broadcast_to(oldest, len(rows))
    if last - first > len(rows) + 10_000:  # no file of one day: rows whose clock was wrong
        return rings_of(rows.hour, hour)
    return rings_of(np.arange(first, last + 1), hour)[rows.hour - first]


def _hours(file: LakeFile) -> tuple[int, int]:
    first, last = (hour_of(datetime.fromisoformat(str(text))) for text in (file.min_created_at, file.max_created_at))
    return first, last


def _crosses(file: LakeFile, before: int, now: int) -> bool:
    return file.max_created_at is not None and moves(*_hours(file), before, now)


def _commit(lake: Lake, work: Work, sink: Pending, resolve: Resolve, *, has_changed: bool) -> None:
    """Commit what was collected under the mapping that the sums were made by, then what a new mapping changes."""
    state = work.state
    keys = state.keys
    model_before, domain_before = keys.model_of, keys.domain_of
    resolve(keys)
    model_after, domain_after = keys.model_of, keys.domain_of
    keys.model_of = _where_known(model_before, model_after)
    keys.domain_of = _where_known(domain_before, domain_after)
    raw = np.flatnonzero(~keys.is_rollup)
    of_raw = keys.rollups(keys.kind[raw], keys.model()[raw])
    rollup_of = np.full(len(keys), -1)
    rollup_of[raw] = of_raw
    state.make_room()
    changes, stale = sink.changes(state, rollup_of)
    if len(stale):
        _find_newest(lake, state, changes, stale, rollup_of)
    touched = [_triples(keys, np.unique(changes.rows // SLOTS))]
    if has_changed or len(changes.rows):
        state.tables, work.changed_days = work.days.write(state.directory, state.tables)
        state.commit(changes)
    remapped = np.flatnonzero(~keys.is_rollup & (keys.requests > 0))
    old_model, old_domain = keys.model()[remapped], keys.domain()[remapped]
    keys.model_of, keys.domain_of = model_after, domain_after
    has_moved = (keys.model()[remapped] != old_model) | (keys.domain()[remapped] != old_domain)
    if has_moved.any():
        state.mapping = state.generation + 1
        moved = remapped[has_moved]
        kinds = keys.kind[moved]
        for models, domains in (
            (old_model[has_moved], old_domain[has_moved]),
            (keys.model()[moved], keys.domain()[moved]),
        ):
            touched += [np.stack([kinds, models, domains], 1), np.stack([kinds, models, np.full(len(kinds), -1)], 1)]
        _add_up_again(state, touched)
    state.tighten()
    work.touched = np.unique(np.concatenate(touched), axis=0)


def _where_known(before: Ints, after: Ints) -> Ints:
    made = after.copy()
    old = made[..., : before.shape[-1]]
    np.copyto(old, before, where=before >= 0)
    return made


def _triples(keys: Keys, at: Ints) -> Ints:
    return np.stack([keys.kind[at], keys.model()[at], keys.domain()[at]], 1)


def _add_up_again(state: State, touched: list[Ints]) -> None:
    """The roll-ups of the touched models anew, from their raw keys."""
    keys, changes = state.keys, Changes()
    pairs = np.unique(np.concatenate(touched)[:, :2], axis=0)
    rollups = keys.rollups(pairs[:, 0], pairs[:, 1])
    state.make_room()
    raw = np.flatnonzero(~keys.is_rollup & (keys.requests > 0))
    kind, model = keys.kind[raw], keys.model()[raw]
    made, entries, lengths = [], [], []
    for rollup, (its_kind, its_model) in zip(rollups.tolist(), pairs.tolist(), strict=True):
        blocks = state.read_moments(raw[(kind == its_kind) & (model == its_model)])
        places, counts = added_lists(state, blocks, np.full(len(blocks), rollup))
        made.append(add_blocks(blocks))
        entries.append(packed(places, counts))
        lengths.append(np.bincount((places >> BIN_BITS) - rollup * SLOTS, minlength=SLOTS))
    changes.rows = (rollups[:, None] * SLOTS + np.arange(SLOTS)).reshape(-1)
    changes.moments = np.concatenate(made)
    changes.moments[:, sums.LIST] = state.read_moments(rollups).reshape(-1, sums.WIDTH)[:, sums.LIST]
    state.add_lists(changes.moments, np.concatenate(entries), np.concatenate(lengths))
    changes.moments[:, sums.CHECK] = sums.checks(changes.moments, changes.rows)
    state.commit(changes)


def _find_newest(lake: Lake, state: State, changes: Changes, stale: Ints, rollup_of: Ints) -> None:
    """The newest row of places of which the newest was taken away: read the files from the newest on, until all are found."""
    newest = np.zeros(len(stale), np.int64)
    corrections = Corrections(state.deleted, repricings_of(state))
    entries = [entry for entry in state.ledger.values() if entry.file.max_created_at]
    for entry in sorted(entries, key=lambda entry: str(entry.file.max_created_at), reverse=True):
        end = datetime.fromisoformat(str(entry.file.max_created_at)).timestamp() * 1e6
        if newest.min(initial=0) > end + 1:
            break
        try:
            for portion in read_rows(lake, entry.table, entry.file, corrections):
                for at, last in _newest_of(portion.rows, state, rollup_of):
                    place = np.minimum(np.searchsorted(stale, at), len(stale) - 1)
                    hit = stale[place] == at
                    np.maximum.at(newest, place[hit], last[hit])
        except Corrupt:
            continue  # what cannot be read is not known to be newer
    where = np.searchsorted(changes.rows, stale)
    changes.moments[where, sums.LAST] = newest
    changes.moments[:, sums.CHECK] = sums.checks(changes.moments, changes.rows)


def _newest_of(rows: Rows, state: State, rollup_of: Ints) -> list[tuple[Ints, Ints]]:
    """The newest moment of these rows by place, of raw keys and of roll-ups."""
    if not len(rows):
        return []
    groups = group(rows, ring_of_each(rows, state.hour), state.keys)
    created = rows.created_at if groups.order is None else rows.created_at[groups.order]
    last, key = np.maximum.reduceat(created, groups.starts), state.keys.numbers(groups.codes)
    return [(key * SLOTS + groups.rings, last), (rollup_of[key] * SLOTS + groups.rings, last)]


def _changed_prices(before: pa.Table, now: pa.Table) -> frozenset[str]:
    """The prices that have another newest correction than before."""
    old, new = _newest(before), _newest(now)
    return frozenset(price for price in {*old, *new} if old.get(price) != new.get(price))


def _newest(repricings: pa.Table) -> dict[str, dict[str, object]]:
    rows = sorted(repricings.to_pylist(), key=lambda row: (str(row["created_at"]), row["id"]))
    return {row["price_id"]: row for row in rows}


def _names_one_of(lake: Lake, entry: Entry, prices: frozenset[str]) -> bool:
    if entry.table != "benchmark_results":
        return False
    try:
        found = lake.load(entry.table, entry.file, ["price_id"]).column("price_id")
    except Corrupt as error:
        raise StateDamaged(str(error)) from error
    return bool(pc.any(pc.is_in(found, pa.array(sorted(prices)))).as_py())


def _to_ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
