"""Landing measured results in SQLite, inside a transaction that the store opened."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from analytics.errors import BadRows
from analytics.store import schema
from analytics.store.protocol import Landing
from analytics.store.rows import clean, to_sqlite

_FOLLOWED = {"provider_id": "providers", "model_id": "models"}  # null once what they point to is gone


def land(
    connection: sqlite3.Connection, runs: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], epoch: str
) -> Landing:
    """What `Store.land_results` says, for a transaction that is open."""
    deleted = {run_id for (run_id,) in connection.execute("select run_id from tombstones")}
    for index, run in enumerate(runs):
        _land_run(connection, to_sqlite(clean(schema.table("runs"), run, f"runs, row {index}")), deleted)
    counts = {"landed": 0, "already": 0, "dropped": 0}
    alarms: list[str] = []
    refused: list[tuple[str, str]] = []
    for index, result in enumerate(results):
        try:
            fate = _land_result(connection, result, f"benchmark_results, row {index}", deleted)
        except (BadRows, sqlite3.IntegrityError) as error:
            refused.append((str(result.get("id")), str(error)))
            continue
        if fate == "alarm":
            alarms.append(str(result["id"]))
        else:
            counts[fate] += 1
    return Landing(epoch, **counts, alarms=tuple(alarms), refused=tuple(refused))


def rehearse(run: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """Land a run in an empty warehouse in memory; BadRows if a store would refuse it or one of its results."""
    with schema.empty_warehouse() as connection:
        try:
            landing = land(connection, [run], results, "rehearsal")
        except sqlite3.IntegrityError as error:
            raise BadRows(f"run: {error}") from None
    for result_id, why in landing.refused:
        raise BadRows(f"planned result {result_id}: {why}")
    if landing.already or landing.alarms:
        raise BadRows("a result is planned twice")


def _land_run(connection: sqlite3.Connection, run: dict[str, Any], deleted: set[str]) -> None:
    if run["id"] in deleted:
        return
    if (
        run.get("slot")
        and connection.execute("select 1 from runs where slot = ? and id <> ?", (run["slot"], run["id"])).fetchone()
    ):
        run["slot"] = None  # another run fills it; what this one measured is kept all the same
    names, values = ", ".join(run), ", ".join(f":{name}" for name in run)
    connection.execute(
        f"insert into runs ({names}) values ({values}) "  # noqa: S608  # `clean` let only known columns through
        "on conflict (id) do update set finished_at = excluded.finished_at "
        "where runs.finished_at is null and excluded.finished_at is not null",
        run,
    )


def _land_result(connection: sqlite3.Connection, result: Mapping[str, Any], where: str, deleted: set[str]) -> str:
    """Insert one result; landed, already (the same is there), alarm (something else is) or dropped (its run was deleted)."""
    row = to_sqlite(clean(schema.table("benchmark_results"), result, where))
    if row["run_id"] in deleted:
        return "dropped"
    if not connection.execute("select 1 from runs where id = ?", (row["run_id"],)).fetchone():
        raise BadRows(f"{where}: there is no run {row['run_id']}")
    for column, table in _FOLLOWED.items():
        wanted = row.get(column)
        if wanted and not connection.execute(f"select 1 from {table} where id = ?", (wanted,)).fetchone():  # noqa: S608  # names of ours
            row[column] = None
    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    inserted = connection.execute(
        f"insert into benchmark_results ({names}) values ({values}) on conflict (id) do nothing",  # noqa: S608  # known columns
        row,
    )
    if inserted.rowcount:
        return "landed"
    compared = [name for name in row if name not in _FOLLOWED]
    stored = connection.execute(
        f"select {', '.join(compared)} from benchmark_results where id = ?",  # noqa: S608  # known columns
        (row["id"],),
    ).fetchone()
    return "already" if all(row[name] == value for name, value in zip(compared, stored, strict=True)) else "alarm"
