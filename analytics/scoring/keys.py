"""Who the rows are of: keys as numbers, and the model and domain that each is counted under.

A *raw key* is what rows say of themselves: is_simulated, source, provider_name, model_name, domain, task_type. `model_names.sql` and
`event_domains.sql` say which model and domain are meant; the catalog may change its mind later, so raw keys are what is kept. A
*roll-up* is a model over all its domains: a key of its own, because adding up twenty keys each time would cost more.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analytics.scoring.entries import begins, lengths
from analytics.scoring.reading import Rows, Texts

SOURCES = ("benchmark", "live")
_ROLLUP = 1 << 62

Ints = npt.NDArray[np.int64]
Pair = tuple[str | None, str | None]


class Vocabulary:
    """Things by number, in the order in which they were first seen."""

    def __init__(self, values: Sequence[Pair] = ()) -> None:
        self.values = list(values)
        self._numbers = {value: number for number, value in enumerate(self.values)}

    def number(self, value: Pair) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def numbers(self, one: Texts, other: Texts, at: Ints) -> Ints:
        """The numbers of what two columns say in those rows."""
        size = len(one.values) + 1
        codes = (other.codes[at] + 1).astype(np.int64) * size + (one.codes[at] + 1)
        distinct, which = _ranked(codes)
        # the first of each column stands for nothing
        pairs = zip(
            map([None, *one.values].__getitem__, (distinct % size).tolist()),
            map([None, *other.values].__getitem__, (distinct // size).tolist()),
            strict=True,
        )
        return np.array(list(map(self.number, pairs)), np.int64)[which]


@dataclass(slots=True, eq=False)
class Keys:
    """All keys by number. `requests` and `later` are of raw keys: rows of all time, and those that as_of has not reached.

    `model_of[kind, name]` and `domain_of[place]` are numbers in `models` and `domains`, -1 where nothing was asked yet.
    """

    names: Vocabulary = field(default_factory=Vocabulary)  # (provider_name, model_name)
    places: Vocabulary = field(default_factory=Vocabulary)  # (domain, task_type)
    models: Vocabulary = field(default_factory=Vocabulary)  # (None, model)
    domains: Vocabulary = field(default_factory=Vocabulary)
    codes: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    requests: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    later: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    model_of: Ints = field(default_factory=lambda: np.zeros((2, 0), np.int64))
    domain_of: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    _ordered: tuple[Ints, Ints] | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def numbers(self, codes: Ints) -> Ints:
        """The key of each code; codes that are new get the next ones."""
        if self._ordered is None:
            order = np.argsort(self.codes)
            self._ordered = order, np.append(self.codes[order], -1)  # a code greater than all is compared with -1
        order, ordered = self._ordered
        at = np.searchsorted(ordered[:-1], codes)
        is_new = ordered[at] != codes
        if is_new.any():
            new = np.unique(codes[is_new])
            self.codes = np.concatenate([self.codes, new])
            self.requests, self.later = (np.pad(counts, (0, len(new))) for counts in (self.requests, self.later))
            self._ordered = None
            return self.numbers(codes)
        return order[at]

    @property
    def is_rollup(self) -> npt.NDArray[np.bool_]:
        return self.codes >= _ROLLUP

    @property
    def kind(self) -> Ints:
        """0 for real, 1 for simulated."""
        return self.codes & 1

    @property
    def source(self) -> Ints:
        return (self.codes >> 1) & 1

    @property
    def place(self) -> Ints:
        return (self.codes >> 2) & ((1 << 30) - 1)

    @property
    def name(self) -> Ints:
        return self.codes >> 32

    def model(self) -> Ints:
        """The model of each key, -1 where its name was never resolved."""
        made = np.full(len(self), -1)
        rollup = self.is_rollup
        made[rollup] = (self.codes[rollup] - _ROLLUP) >> 1
        raw = np.flatnonzero(~rollup)
        names, kinds = self.name[raw], self.kind[raw]
        known = names < self.model_of.shape[1]
        made[raw[known]] = self.model_of[kinds[known], names[known]]
        return made

    def domain(self) -> Ints:
        """The domain of each key, -1 for roll-ups and where it was never resolved."""
        made = np.full(len(self), -1)
        raw = np.flatnonzero(~self.is_rollup)
        places = self.place[raw]
        known = places < len(self.domain_of)
        made[raw[known]] = self.domain_of[places[known]]
        return made

    def rollups(self, kinds: Ints, models: Ints) -> Ints:
        """The roll-up key of each model of a kind."""
        return self.numbers(_ROLLUP + (models << 1) + kinds)

    def seen(self) -> pa.Table:
        """One row per raw key that has rows: what it says of itself, and how many (`later`: of them those after as_of)."""
        at = np.flatnonzero(~self.is_rollup & (self.requests > 0))
        name, place = self.name[at], self.place[at]
        return pa.table(
            {
                "is_simulated": pa.array(self.kind[at].astype(np.bool_)),
                "source": _taken([(None, source) for source in SOURCES], 1, self.source[at]),
                "provider_name": _taken(self.names.values, 0, name),
                "model_name": _taken(self.names.values, 1, name),
                "domain": _taken(self.places.values, 0, place),
                "task_type": _taken(self.places.values, 1, place),
                "requests": pa.array(self.requests[at]),
                "later": pa.array(self.later[at]),
            }
        )

    def coded(self, seen: pa.Table) -> Ints:
        """The codes of keys as `seen` tells them."""
        columns = ("is_simulated", "source", "provider_name", "model_name", "domain", "task_type")
        texts = zip(*(seen.column(name).to_pylist() for name in columns), strict=True)
        codes = [
            (self.names.number((provider, model)) << 32)
            | (self.places.number((domain, task)) << 2)
            | (SOURCES.index(source) << 1)
            | int(kind)
            for kind, source, provider, model, domain, task in texts
        ]
        return np.array(codes, np.int64)

    def resolve(self, kind: int, names: pa.Table, domains: pa.Table) -> None:
        """Take over what `model_names` of that kind and `event_domains` say."""
        resolved = np.full((2, len(self.names.values)), -1)
        resolved[:, : self.model_of.shape[1]] = self.model_of
        for row in names.select(["provider_name", "model_name", "model"]).to_pylist():
            number = self.names.number((row["provider_name"], row["model_name"]))
            if number < resolved.shape[1]:
                resolved[kind, number] = self.models.number((None, row["model"]))
        placed = np.full(len(self.places.values), -1)
        placed[: len(self.domain_of)] = self.domain_of
        for row in domains.to_pylist():
            number = self.places.number((row["event_domain"], row["task_type"]))
            if number < len(placed):
                placed[number] = self.domains.number((None, row["domain"]))
        self.model_of, self.domain_of = resolved, placed

    def to_bytes(self) -> bytes:
        """For `from_bytes`."""
        texts = [self.names.values, self.places.values, self.models.values, self.domains.values]
        buffer = BytesIO()
        np.savez(
            buffer, codes=self.codes, requests=self.requests, later=self.later, model_of=self.model_of,
            domain_of=self.domain_of, texts=np.frombuffer(json.dumps(texts).encode(), np.uint8),
        )  # fmt: skip
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Keys":
        with np.load(BytesIO(data), allow_pickle=False) as found:
            texts = [Vocabulary([(one, two) for one, two in values]) for values in json.loads(found["texts"].tobytes())]
            names, places, models, domains = texts
            return cls(
                names, places, models, domains,
                found["codes"], found["requests"], found["later"], found["model_of"], found["domain_of"],
            )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Runs of rows of one key and ring: they begin at `starts` of the rows, taken in `order` if there is one. Each key and ring once."""

    starts: Ints
    order: Ints | None
    codes: Ints  # of the key
    rings: Ints


def group(rows: Rows, rings: Ints, keys: Keys) -> Groups:
    """The rows by key and ring (`rings` is of each row). A lake file is in order of its names: mostly there is nothing to sort."""
    texts = [rows.texts[name] for name in ("provider_name", "model_name", "domain", "task_type")]
    provider, model, domain, task = texts
    differs = np.ones(len(rows), np.bool_)
    differs[1:] = rings[1:] != rings[:-1]
    for column in (rows.is_simulated, *(text.codes for text in texts)):
        differs[1:] |= column[1:] != column[:-1]
    starts, order = np.flatnonzero(differs), None
    names, places = keys.names.numbers(provider, model, starts), keys.places.numbers(domain, task, starts)
    codes = (names << 32) | (places << 2) | (SOURCES.index(rows.source) << 1) | rows.is_simulated[starts]
    ring = rings[starts]
    whole = (codes << 3) | ring
    distinct = _distinct(whole)
    if len(distinct) < len(starts):
        of_row = np.repeat(whole, lengths(starts, len(rows)))
        order = np.argsort(of_row, kind="stable")
        starts = begins(of_row[order])
        codes, ring = distinct >> 3, distinct & 7
    return Groups(starts, order, codes, ring)


def _distinct(values: Ints) -> Ints:
    """Those numbers (0 and above) in order, each once; np.unique hashes them, which takes longer."""
    ordered = np.sort(values)
    return ordered[begins(ordered)]


def _ranked(values: Ints) -> tuple[Ints, Ints]:
    """Those numbers in order, each once, and where among them each stands."""
    highest = int(values.max(initial=0))
    if highest > 4 * len(values):
        distinct = _distinct(values)
        return distinct, np.searchsorted(distinct, values)
    occurs = np.zeros(highest + 1, np.bool_)
    occurs[values] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[values]


def _taken(pairs: Sequence[Pair], side: int, at: Ints) -> pa.Array:
    return pa.array([pair[side] for pair in pairs], pa.string()).take(pa.array(at))
