"""What an agent asks and what it gets.

Durations are milliseconds (`_ms`) or seconds (`_s`), money is USD, qualities and scores lie on 0..1. Unknown is None.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Literal, get_args

Sort = Literal["price", "latency", "throughput", "quality"]
Tier = Literal["free", "low", "standard", "premium"]
Source = Literal["snapshot", "default", "none"]

SORTS = get_args(Sort)
TIERS: tuple[Tier, ...] = get_args(Tier)  # from cheap to dear

_TEXTS = ("task", "domain", "agent", "tenant", "model_type")
_NAME_LISTS = ("need", "allow", "deny", "only", "ignore")
_OPEN_LISTS = ("allow", "only")  # None: everything; empty: nothing
_WHOLE_NUMBERS = ("input_tokens", "output_tokens", "min_context", "min_samples")
_SHARES = ("max_failure_rate", "min_quality")  # lie on 0..1
_NUMBERS = ("max_usd_per_query", "max_ttft_p95_ms", "max_latency_p95_ms", "min_tps", "max_age_s", *_SHARES)
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteQuery:
    """A question to the lookup; what is left out is no limit.

    `task` and `domain` say what the answer's quality is judged by; `agent` (of `tenant`) narrows to the models enabled
    for it. Limits on the model: `need` (capabilities, all of them), `allow` and `deny` (model keys), `only` and `ignore`
    (provider keys), `max_tier`, `max_usd_per_query` (by `input_tokens` and `output_tokens`, else by the cost measured
    per query), `min_context` (tokens), `model_type`. Limits on what was measured: `max_ttft_p95_ms`,
    `max_latency_p95_ms`, `min_tps`, `max_failure_rate` and `min_quality` (0..1), `min_samples`, `max_age_s` (since the
    model was last seen). A model without the data for a limit does not pass it, unless `allow_unknown`. An empty
    `allow` or `only` allows nothing. `sort` ranks by one figure instead of the policy's score. `top` is how many models
    to name, fallbacks included. Raises `ValueError` naming the field and the value.
    """

    task: str | None = None
    domain: str | None = None
    agent: str | None = None
    tenant: str | None = None
    need: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    max_tier: Tier | None = None
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
    sort: Sort | None = None
    top: int = 3
    allow_unknown: bool = False
    model_type: str = "chat"

    def __post_init__(self) -> None:
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
        self._check_choices()

    def _check_choices(self) -> None:
        if self.model_type is None:
            raise _wrong("model_type", None, "a text of 1 to 500 characters")
        if self.max_tier is not None and self.max_tier not in TIERS:
            raise _wrong("max_tier", self.max_tier, "one of " + ", ".join(TIERS))
        if self.sort is not None and self.sort not in SORTS:
            raise _wrong("sort", self.sort, "one of " + ", ".join(SORTS))
        if type(self.top) is not int or not 1 <= self.top <= _MOST:
            raise _wrong("top", self.top, f"a whole number from 1 to {_MOST}")
        if type(self.allow_unknown) is not bool:
            raise _wrong("allow_unknown", self.allow_unknown, "true or false")
        if (self.input_tokens is None) != (self.output_tokens is None):
            missing, given = (
                ("input_tokens", "output_tokens") if self.input_tokens is None else ("output_tokens", "input_tokens")
            )
            raise _wrong(missing, None, f"given together with {given}")


@dataclass(frozen=True, slots=True)
class Part:
    """One term of a score: `weight` x `value`, both on 0..1, and what the value rests on.

    `basis` is `catalog` or `agent_override` for the priority; `agent_ratings`, `ratings`, `domain_benchmarks` or
    `overall` for the experience.
    """

    name: Literal["priority", "experience"]
    weight: float
    value: float
    basis: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the experience rests on: `n` ratings or graded answers (`kind`: feedback, benchmark or mixed), their mean
    `quality` with its 95 % interval `low`..`high`, and the time `as_of` which they were scored.
    """

    kind: str
    n: int
    quality: float
    low: float | None
    high: float | None
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Fallback:
    """The next best model, within the same limits."""

    model: str
    provider: str
    display_name: str
    priority: int | None
    cost_tier: str | None
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAnswer:
    """The model to take, and why.

    `source` says where it comes from: the scoring snapshot, the configured default model, or `none` (then `model` is
    None). `reasons` are sentences for a reader, `reason_codes` the same for a program. `rejected` counts the models of
    the catalog that did not pass, each under the first limit it failed. `age_s` is the snapshot's age.
    """

    model: str | None
    provider: str | None
    display_name: str | None
    priority: int | None
    cost_tier: str | None
    score: float | None
    parts: tuple[Part, ...]
    evidence: Evidence | None
    fallbacks: tuple[Fallback, ...]
    reasons: tuple[str, ...]
    reason_codes: tuple[str, ...]
    rejected: Mapping[str, int]
    policy: str
    snapshot_id: str | None
    is_simulated: bool
    age_s: float | None
    is_stale: bool
    source: Source
    decision_id: str

    def to_dict(self) -> dict[str, Any]:
        """The answer as one JSON document: lists, objects, numbers and text, times as ISO 8601 UTC."""
        document = asdict(self)
        for name in ("parts", "fallbacks", "reasons", "reason_codes"):
            document[name] = list(document[name])
        if self.evidence is not None:
            document["evidence"]["as_of"] = self.evidence.as_of.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return document


def _names(field: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (tuple, list, AbstractSet)) or not all(isinstance(name, str) and name for name in value):
        raise _wrong(field, value, "a list of names")
    return tuple(sorted(set(value)))


def _whole(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise _wrong(field, value, "a whole number, 0 or more")
    return int(value)


def _number(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)) or not math.isfinite(value) or value < 0:
        raise _wrong(field, value, "a finite number, 0 or more")
    number = float(value)
    if field in _SHARES and number > 1:
        raise _wrong(field, value, "a number from 0 to 1")
    return number


def _wrong(field: str, value: Any, wanted: str) -> ValueError:
    text = repr(value)
    return ValueError(f"{field} must be {wanted}, not {text if len(text) <= 80 else text[:77] + '...'}")
