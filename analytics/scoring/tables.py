"""The SQL files of scoring as one program: a file is a table, and its order follows from the tables it reads."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa

from analytics import duck, sqlfiles


@cache
def scoring_sql() -> Mapping[str, str]:
    """The SELECT of each scoring table by its name."""
    return {name: path.read_text(encoding="utf-8") for name, path in sqlfiles.files("scoring").items()}


def needed(targets: Iterable[str], given: Iterable[str]) -> list[str]:
    """The tables to compute for `targets`, each after those it reads; `given` ones, and the lake's, are there already.

    Raises ValueError for tables that read each other in a circle.
    """
    files = scoring_sql()
    here = set(given)
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"scoring tables read each other in a circle: {' -> '.join((*path, name))}")
        if name in here or name not in files:
            return
        for source in sorted(duck.tables_read(files[name])):
            visit(source, (*path, name))
        here.add(name)
        order.append(name)

    for target in targets:
        visit(target, ())
    return order


@cache
def sources(target: str) -> frozenset[str]:
    """The lake's tables that a scoring table rests on."""
    files = scoring_sql()
    return frozenset(read for name in needed((target,), ()) for read in duck.tables_read(files[name])) - files.keys()


def compute(targets: Sequence[str], inputs: Mapping[str, pa.Table], values: Mapping[str, Any]) -> dict[str, pa.Table]:
    """The `targets` as Arrow tables, computed from `inputs` with `values` bound; tables on the way are computed too."""
    files = scoring_sql()
    made: dict[str, pa.Table] = {}
    with duck.open_engine() as engine:
        for name, table in inputs.items():
            engine.register(name, table)
        for name in needed(targets, inputs):
            made[name] = duck.select(engine, files[name], values)
            engine.register(name, made[name])
    return {name: made[name] if name in made else inputs[name] for name in targets}
