"""`window_metrics` of all keys: the rows of touched keys computed by SQL, put in place of those that were there.

What was computed last is kept beside the state, marked with the state's generation; where that is not the one expected, or the file is
damaged, all keys are computed.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analytics.durable import make_directory
from analytics.scoring.state import State
from analytics.scoring.tables import compute, scoring_sql
from analytics.scoring.windows import windows

Ints = npt.NDArray[np.int64]


class Metrics:
    """The kept tables in the state's directory; `generation` is the one that they have to be of."""

    def __init__(self, directory: Path, generation: int) -> None:
        self._directory = directory
        self._generation = generation

    def refreshed(self, state: State, kind: int, touched: Ints | None) -> pa.Table:
        """`window_metrics` of one kind as of now; raises `StateDamaged`."""
        kept = None if touched is None else self._read(kind)
        if kept is not None and touched is not None and not (touched[:, 0] == kind).any():
            self._write(kind, kept, state.generation)
            return kept
        made = compute(["window_metrics"], windows(state, kind, None if kept is None else touched), {})[
            "window_metrics"
        ]
        if kept is not None and touched is not None:
            made = _merged(state, kind, touched, kept, made)
        self._write(kind, made, state.generation)
        return made

    def _path(self, kind: int) -> Path:
        return self._directory / f"cache-window_metrics-{('real', 'simulated')[kind]}.arrow"

    def _read(self, kind: int) -> pa.Table | None:
        try:
            data = self._path(kind).read_bytes()
            if int.from_bytes(data[:8], "little") != zlib.crc32(memoryview(data)[8:]):
                return None
            table = pa.ipc.open_file(pa.py_buffer(memoryview(data)[8:])).read_all()
            mark = json.loads(table.schema.metadata[b"mark"])
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return None
        return table.replace_schema_metadata() if mark == [self._generation, scoring_sql()["window_metrics"]] else None

    def _write(self, kind: int, table: pa.Table, generation: int) -> None:
        """Without syncing: what is lost is computed again."""
        mark = json.dumps([generation, scoring_sql()["window_metrics"]])
        sink = pa.BufferOutputStream()
        marked = table.replace_schema_metadata({"mark": mark})
        with pa.ipc.new_file(sink, marked.schema) as writer:
            writer.write_table(marked)
        data = sink.getvalue()
        path = self._path(kind)
        make_directory(path.parent)
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            file.write(zlib.crc32(data).to_bytes(8, "little"))
            file.write(data)
        draft.replace(path)


def _merged(state: State, kind: int, touched: Ints, kept: pa.Table, new: pa.Table) -> pa.Table:
    """The kept rows but those of touched keys, and the new ones, in the order of window, model and domain."""
    models, domains = ([text for _, text in one.values] for one in (state.keys.models, state.keys.domains))
    stride = len(domains) + 1
    mine = touched[touched[:, 0] == kind]
    wanted = mine[:, 1] * stride + np.where(mine[:, 2] < 0, len(domains), mine[:, 2])
    stays = ~np.isin(_codes(kept, models, domains), wanted)
    rows = pa.concat_tables([kept.filter(pa.array(stays)), new]).combine_chunks()
    code = _codes(rows, models, domains)
    model_rank, domain_rank = _ranks(models), np.append(_ranks(domains), len(domains))  # a null domain comes last
    names = sorted(pc.unique(rows.column("window_name")).to_pylist())
    window = pc.index_in(rows.column("window_name"), pa.array(names, pa.string())).to_numpy()
    order = np.argsort((window * len(models) + model_rank[code // stride]) * stride + domain_rank[code % stride])
    return rows.take(pa.array(order))


def _codes(rows: pa.Table, models: list[str | None], domains: list[str | None]) -> Ints:
    model = pc.index_in(rows.column("model"), pa.array(models, pa.string())).to_numpy().astype(np.int64)
    domain = pc.fill_null(
        pc.index_in(rows.column("domain"), pa.array(domains, pa.string()), skip_nulls=True), len(domains)
    )
    codes: Ints = model * (len(domains) + 1) + domain.to_numpy()
    return codes


def _ranks(texts: list[str | None]) -> Ints:
    ranks = np.empty(len(texts), np.int64)
    ranks[sorted(range(len(texts)), key=lambda at: str(texts[at]))] = np.arange(len(texts))
    return ranks
