"""What an agent asks and what it gets.

Durations are milliseconds (`_ms`) or seconds (`_s`), money is USD, qualities and scores lie on 0..1. Unknown is None.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol, get_args

Sort = Literal["price", "latency", "throughput", "quality"]
Tier = Literal["free", "low", "standard", "premium"]
Source = Literal["snapshot", "default", "none"]

SORTS = get_args(Sort)
TIERS: tuple[Tier, ...] = get_args(Tier)  # from cheap to dear

_TEXTS = ("task", "domain", "agent", "tenant", "role", "user", "policy", "model_type", "session", "session_model")
_NAME_LISTS = ("need", "allow", "deny", "only", "ignore", "tools", "attachments")
_OPEN_LISTS = ("allow", "only")  # None: everything; empty: nothing
_WHOLE_NUMBERS = ("input_tokens", "output_tokens", "min_context", "min_samples")
_SHARES = ("max_failure_rate", "min_quality")  # lie on 0..1
_NUMBERS = ("max_usd_per_query", "max_ttft_p95_ms", "max_latency_p95_ms", "min_tps", "max_age_s", *_SHARES)
_MOST = 100
_LONGEST_MESSAGE = 1_000_000

# The hard limits in the order in which they are applied and counted.
LIMIT_FIELDS = (
    *("allow", "deny", "only", "ignore", "need", "max_tier", "max_price", "max_usd_per_query", "min_context"),
    *(
        "max_ttft_p95_ms",
        "max_latency_p95_ms",
        "min_tps",
        "max_failure_rate",
        "min_quality",
        "min_samples",
        "max_age_s",
    ),
)


class Weights(NamedTuple):
    """How much each value counts in a score; policies.py says what the values are."""

    priority: float = 0.0
    quality: float = 0.0
    latency: float = 0.0
    cost: float = 0.0
    reliability: float = 0.0


class MaxPrice(NamedTuple):
    """The most that input (`prompt`) and output (`completion`) may cost, USD per 1M tokens; None: anything."""

    prompt: float | None = None
    completion: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteQuery:
    """A question to the lookup; what is left out is no limit.

    `task` and `domain` say what the answer's quality is judged by; without a `task` it is detected from `tools` (names of
    tools called), `attachments` (MIME types) and the `message`. `agent` (of `tenant`) narrows to the models enabled for
    it, `tenant` and `role` to those that the configuration allows them. Limits on the model: `need` (capabilities, all of them),
    `allow` and `deny` (model keys), `only` and `ignore` (provider keys), `max_tier`, `max_price` (`prompt` and `completion`,
    USD per 1M tokens), `max_usd_per_query` (by `input_tokens` and `output_tokens`, else by the cost measured per query),
    `min_context` (tokens), `model_type`. Limits on what was measured: `max_ttft_p95_ms`, `max_latency_p95_ms`, `min_tps`,
    `max_failure_rate` and `min_quality` (0..1), `min_samples`, `max_age_s` (since the model was last seen). A model without
    the data for a limit does not pass it, unless `allow_unknown`. An empty `allow` or `only` allows nothing. `policy` names
    a stored policy instead of the one active for `user`, `agent` or `tenant`; `weights` (priority, quality, latency, cost,
    reliability) replace the policy's; `sort` ranks by one figure instead. `top` is how many models to name, fallbacks
    included. `session` is the caller's id of a conversation that is to stay with one model; `session_model` the key of the model that it
    has had so far, where the caller knows it (`sticky` says how long it is kept). Raises `ValueError` naming the field and the value.
    """

    task: str | None = None
    domain: str | None = None
    agent: str | None = None
    tenant: str | None = None
    role: str | None = None
    user: str | None = None
    message: str | None = None
    tools: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    need: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    max_tier: Tier | None = None
    max_price: MaxPrice | Mapping[str, float] | None = None
    max_usd_per_query: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    min_context: int | None = None
    max_ttft_p95_ms: float | None = None
    max_latency_p95_ms: float | None = None
    min_tps: float | None = None
    max_failure_rate: float | None = None
    min_quality: float | None = None
    min_samples: int | None = None
    max_age_s: float | None = None
    policy: str | None = None
    weights: Weights | Mapping[str, float] | None = None
    sort: Sort | None = None
    top: int = 3
    allow_unknown: bool = False
    model_type: str = "chat"
    session: str | None = None
    session_model: str | None = None
    limits: tuple[tuple[str, Any], ...] = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_values()
        self._check_choices()
        if self.max_price is not None:
            object.__setattr__(self, "max_price", MaxPrice(**_numbers("max_price", self.max_price, MaxPrice._fields)))
        if self.weights is not None:
            object.__setattr__(self, "weights", _weights(self.weights))
        values = zip(LIMIT_FIELDS, _limits_of(self), strict=True)
        object.__setattr__(
            self,
            "limits",
            tuple(
                [
                    (name, value)
                    for name, value in values
                    if value not in (None, ()) or (value == () and name in _OPEN_LISTS)
                ]
            ),
        )
        object.__setattr__(self, "_hash", hash(_compared(self)))

    def __hash__(self) -> int:
        return self._hash  # asked for at every question

    def _check_values(self) -> None:
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and 0 < len(value) <= 500):
                raise _wrong(name, value, "a text of 1 to 500 characters")
        for name in _NAME_LISTS:
            value = getattr(self, name)
            if value != () and not (value is None and name in _OPEN_LISTS):
                object.__setattr__(self, name, _names(name, value))
        for name in _WHOLE_NUMBERS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _whole(name, value))
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _number(name, value))

    def _check_choices(self) -> None:
        if self.model_type is None:
            raise _wrong("model_type", None, "a text of 1 to 500 characters")
        if self.message is not None and not (isinstance(self.message, str) and len(self.message) <= _LONGEST_MESSAGE):
            raise _wrong("message", self.message, f"a text of at most {_LONGEST_MESSAGE:,} characters")
        if self.max_tier is not None and self.max_tier not in TIERS:
            raise _wrong("max_tier", self.max_tier, "one of " + ", ".join(TIERS))
        if self.sort is not None and self.sort not in SORTS:
            raise _wrong("sort", self.sort, "one of " + ", ".join(SORTS))
        if type(self.top) is not int or not 1 <= self.top <= _MOST:
            raise _wrong("top", self.top, f"a whole number from 1 to {_MOST}")
        if type(self.allow_unknown) is not bool:
            raise _wrong("allow_unknown", self.allow_unknown, "true or false")
        if self.session_model is not None and self.session is None:
            raise _wrong("session", None, "given together with session_model")
        if (self.input_tokens is None) != (self.output_tokens is None):
            missing, given = (
                ("input_tokens", "output_tokens") if self.input_tokens is None else ("output_tokens", "input_tokens")
            )
            raise _wrong(missing, None, f"given together with {given}")


_limits_of = attrgetter(*LIMIT_FIELDS)
_compared = attrgetter(*(entry.name for entry in fields(RouteQuery) if entry.compare))


@dataclass(frozen=True, slots=True)
class Part:
    """One term of a score: `weight` x `value`, both on 0..1, and what the value rests on.

    `basis` is `catalog` or `agent_override` for the priority; `agent_ratings`, `tenant_ratings`, `ratings`,
    `domain_benchmarks` or `overall` for the experience; `measured` for latency and reliability, `price` for the cost.
    """

    name: Literal["priority", "experience", "latency", "cost", "reliability"]
    weight: float
    value: float
    basis: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the experience rests on: `n` ratings or graded answers (`kind`: feedback, benchmark or mixed), their mean
    `quality` with its 95 % interval `low`..`high`, and the time `as_of` which they were scored. Of a quality that was shrunk to
    broader evidence (under `learned`), `own_share` is how much of it those ratings make up and `basis` what most of it rests on: agent_ratings,
    tenant_ratings, ratings, overall, domain_benchmarks or priority; None of a plain mean.
    """

    kind: str
    n: int
    quality: float
    low: float | None
    high: float | None
    as_of: datetime
    own_share: float | None = None
    basis: str | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """The next best model, within the same limits."""

    model: str
    provider: str
    display_name: str
    priority: int | None
    cost_tier: str | None
    score: float | None


@dataclass(frozen=True, slots=True)
class TaskGuess:
    """A task type, where it comes from (`query`, `tool`, `attachment` or `keyword`), and how sure that is."""

    task: str
    source: Literal["query", "tool", "attachment", "keyword"]
    confidence: Literal["high", "medium"]


class Explanation(Protocol):
    """Why an answer is what it is; each part is worked out when it is asked for, and kept."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The terms that the score is the sum of, weights and values on 0..1; () without a model."""

    @property
    def evidence(self) -> Evidence | None:
        """The samples, mean and interval (quality, 0..1) behind the model; None: there is none."""

    @property
    def reasons(self) -> tuple[tuple[str | None, str], ...]:
        """Code (None: nothing unusual) and sentence (empty: said already)."""

    @property
    def rejected(self) -> Mapping[str, int]:
        """How many models of the catalog failed, by the first limit that each failed."""


@dataclass(slots=True, kw_only=True, eq=False)  # not frozen: that would cost a tenth of the time of an answer
class RouteAnswer:
    """The model to take, and why; to be read only.

    `source` says where it comes from: the scoring snapshot, the configured default model, or `none` (then `model` is
    None). `reasons` are sentences for a reader, `reason_codes` the same for a program. `rejected` counts the models of
    the catalog that did not pass, each under the first limit it failed. `parts`, `evidence`, `reasons`, `reason_codes` and
    `rejected` are worked out when they are first read; until then the answer keeps its snapshot in memory.
    `age_s` is the snapshot's age, `task` the task type that was asked or detected.
    """

    model: str | None
    provider: str | None
    display_name: str | None
    priority: int | None
    cost_tier: str | None
    score: float | None
    fallbacks: tuple[Fallback, ...]
    task: TaskGuess | None
    policy: str
    snapshot_id: str | None
    is_simulated: bool
    age_s: float | None
    is_stale: bool
    source: Source
    explanation: Explanation = field(repr=False)
    notes: tuple[tuple[str, str], ...] = field(repr=False)
    stamp: tuple[int, int] = field(repr=False)

    @property
    def decision_id(self) -> str:
        """A UUIDv7 of `stamp` (milliseconds since 1970, 74 random bits): ids of later decisions sort after earlier ones."""
        ms, noise = self.stamp
        head, tail = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{noise & 0xFFF:03x}", f"{noise >> 12 & 0xFFFFFFFFFFFF:012x}"
        return f"{head}-{0x8000 | noise >> 60:04x}-{tail}"

    @property
    def parts(self) -> tuple[Part, ...]:
        """The terms whose sum is the score."""
        return self.explanation.parts

    @property
    def evidence(self) -> Evidence | None:
        """What the experience rests on."""
        return self.explanation.evidence

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, for a reader: what decided first, what to know before trusting it last."""
        return tuple([text for _, text in (*self.explanation.reasons, *self.notes) if text])

    @property
    def reason_codes(self) -> tuple[str, ...]:
        """Why, for a program."""
        return tuple([code for code, _ in (*self.explanation.reasons, *self.notes) if code is not None])

    @property
    def rejected(self) -> dict[str, int]:
        """How many models of the catalog failed which limit first."""
        return dict(self.explanation.rejected)

    def to_dict(self) -> dict[str, Any]:
        """The answer as one JSON document: lists, objects, numbers and text, times as ISO 8601 UTC."""
        document: dict[str, Any] = {name: getattr(self, name) for name in _DOCUMENT}
        for name in ("parts", "fallbacks"):
            document[name] = [asdict(entry) for entry in document[name]]
        for name in ("reasons", "reason_codes"):
            document[name] = list(document[name])
        for name in ("evidence", "task"):
            document[name] = None if document[name] is None else asdict(document[name])
        if self.evidence is not None:
            document["evidence"]["as_of"] = self.evidence.as_of.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return document


_DOCUMENT = (
    *(
        "model",
        "provider",
        "display_name",
        "priority",
        "cost_tier",
        "score",
        "parts",
        "evidence",
        "fallbacks",
        "reasons",
    ),
    *("reason_codes", "rejected", "task", "policy", "snapshot_id", "is_simulated", "age_s", "is_stale", "source"),
    "decision_id",
)


def _names(field: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (tuple, list, AbstractSet)) or not all(isinstance(name, str) and name for name in value):
        raise _wrong(field, value, "a list of names")
    return tuple(sorted(set(value)))


def _whole(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise _wrong(field, value, "a whole number, 0 or more")
    return min(int(value), 2**53)  # the largest that is still exact in the arithmetic of costs


def _number(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)) or not math.isfinite(value) or value < 0:
        raise _wrong(field, value, "a finite number, 0 or more")
    number = float(value)
    if field in _SHARES and number > 1:
        raise _wrong(field, value, "a number from 0 to 1")
    return number


def _numbers(field: str, value: Any, names: tuple[str, ...]) -> dict[str, float]:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if not isinstance(value, Mapping) or not value or not set(value) <= set(names):
        raise _wrong(field, value, f"numbers by name ({', '.join(names)})")
    return {name: _number(field, entry) for name, entry in value.items() if entry is not None}


def _weights(value: Any) -> Weights:
    weights = Weights(**_numbers("weights", value, Weights._fields))
    if not 0 < sum(weights) < math.inf:
        raise _wrong("weights", value, "numbers of which at least one is more than 0")
    return weights


def _wrong(field: str, value: Any, wanted: str) -> ValueError:
    text = repr(value)
    return ValueError(f"{field} must be {wanted}, not {text if len(text) <= 80 else text[:77] + '...'}")
