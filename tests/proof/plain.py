"""The scores once more, slowly and obviously: loops, sorted lists and fractions over raw rows. It shares no code with scoring.

Rows are dicts as a store gives them, times text. What it computes is what the glossary says, so a difference is a question to both.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, TypeVar

Row = dict[str, Any]
_Thing = TypeVar("_Thing")
Z = 1.959963984540054
GROWTH = 1.01 / 0.99
WINDOWS = {"1h": 1, "24h": 24, "7d": 7 * 24, "30d": 30 * 24, "90d": 90 * 24, "all": None}
MEASURES = {"latency": "ms", "ttft": "ms", "tps": "", "inter_token": "ms"}
LIMITS = (
    ("latency", "latency", 1e8),
    ("ttft", "ttft_ms", 1e8),
    ("tps", "tps", 1e8),
    ("inter_token", "inter_token_ms", 1e8),
    ("cost", "cost", 1e6),
    ("confidence", "confidence", 1),
    ("input_tokens", "input_tokens", 1e12),
    ("output_tokens", "output_tokens", 1e12),
)


@dataclass(frozen=True)
class World:
    """Raw rows by table, and the moment of scoring."""

    rows: Mapping[str, Sequence[Row]]
    as_of: datetime

    def __getitem__(self, table: str) -> Sequence[Row]:
        return self.rows.get(table, ())

    @property
    def last_hour(self) -> datetime:
        return hour_of(self.as_of)


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def time_of(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def events(world: World) -> list[Row]:
    """Every request, benchmark or live, in the same words, with the reason why it is left out (None: it counts)."""
    deleted = {row["run_id"] for row in world["tombstones"]}
    asked = [
            {
                "source": "benchmark", "id": row["id"], "is_simulated": row.get("is_simulated"), "provider": row.get("provider"),
                "model": row.get("model"), "domain": row.get("domain"), "task_type": None, "outcome": row.get("outcome"),
                "error_type": row.get("error_type"), "status_code": row.get("status_code"), "tenant": None,
                "latency": row.get("total_latency_ms"), "ttft": row.get("ttft_ms"),
                "tps": row.get("tps") if row.get("token_source") == "provider" else None,
                "inter_token": row.get("inter_token_p50_ms"), "input_tokens": row.get("input_tokens"),
                "output_tokens": row.get("output_tokens"), "cost": corrected_cost(world, row), "confidence": row.get("confidence"),
                "correct": row.get("correct") if row.get("benchmark_id") is not None and row.get("outcome") == "ok" else None,
                "cache_hit": None, "at": time_of(row.get("created_at")), "is_deleted": row.get("run_id") in deleted,
            }
            for row in world["benchmark_results"]
    ]  # fmt: skip
    asked += [
            {
                "source": "live", "id": row["id"], "is_simulated": row.get("is_simulated"), "provider": row.get("provider"),
                "model": row.get("model"), "domain": row.get("domain"), "task_type": row.get("task_type"),
                "outcome": {True: "ok", False: "failed"}.get(row.get("success")),  # type: ignore[arg-type]
                "error_type": row.get("error_type"), "status_code": None, "tenant": row.get("tenant_id"),
                "latency": row.get("latency_ms"), "ttft": row.get("ttft_ms"), "tps": None, "inter_token": None,
                "input_tokens": row.get("tokens_input"), "output_tokens": row.get("tokens_output"), "cost": row.get("cost"),
                "confidence": row.get("confidence"), "correct": None, "cache_hit": row.get("cache_hit"),
                "at": time_of(row.get("created_at")), "is_deleted": False,
            }
            for row in world["request_events"]
    ]  # fmt: skip
    return [{**event, "left_out": left_out(event)} for event in asked]


def left_out(event: Row) -> str | None:
    if event["is_deleted"]:
        return "its run was deleted"
    if event["outcome"] in {"aborted", "skipped"}:
        return str(event["outcome"])
    if event["at"] is None:
        return "created_at is unreadable"
    if event["model"] is None or event["is_simulated"] is None or event["outcome"] is None:
        return "model, is_simulated or success is missing"
    for name, word, limit in LIMITS:
        value = event[name]
        if value is not None and not (math.isfinite(value) and 0 <= value <= limit):
            return f"{word} out of range"
    return None


def corrected_cost(world: World, row: Row) -> float | None:
    """By the newest correction of the price it names, if its cost came from a price."""
    found = [fix for fix in world["repricings"] if fix["price_id"] == row.get("price_id")]
    if row.get("cost_source") != "price" or row.get("price_id") is None or not found:
        return row.get("cost_usd")
    price = max(found, key=lambda fix: (time_of(fix["created_at"]), fix["id"]))
    if row.get("input_tokens") is None or row.get("output_tokens") is None:
        return None
    cached = min(row.get("cached_input_tokens") or 0, row["input_tokens"])
    cached_price = price["cached_input_price_per_m"]
    total = (row["input_tokens"] - cached) * Fraction(price["input_price_per_m"])
    total += cached * Fraction(price["input_price_per_m"] if cached_price is None else cached_price)
    total += row["output_tokens"] * Fraction(price["output_price_per_m"])
    return float(total / 10**6)


def model_key(world: World, kind: bool, provider: str | None, name: str) -> str | None:
    """The catalog's key for what an event calls a model; None: nobody knows it."""
    known = [row for row in world["catalog"] if row["is_simulated"] == kind]
    if any(row["id"] == name for row in known):
        return name
    for row in known:
        if provider is not None and (row["provider_id"], row["external_id"]) == (provider, name):
            return str(row["id"])
    same = [row["id"] for row in known if row["external_id"] == name]
    return same[0] if provider is None and len(same) == 1 else None


def domain_of(world: World, domain: str | None, task_type: str | None) -> str:
    if domain is not None:
        return domain
    mapped = {row["domain"] for row in world["task_domains"] if row["task_type"] == task_type}
    return mapped.pop() if len(mapped) == 1 else "unspecified"


def counted(world: World, kind: bool) -> list[Row]:
    """The events of a kind that count by now, with the model and the domain that are meant."""
    return [
        {
            **event,
            "key": model_key(world, kind, event["provider"], event["model"]) or event["model"],
            "in_domain": domain_of(world, event["domain"], event["task_type"]),
        }
        for event in events(world)
        if event["left_out"] is None and event["is_simulated"] == kind and hour_of(event["at"]) <= world.last_hour
    ]


def rounded(value: float, steps: int) -> int:
    """To whole steps of a unit, as stored: 0.01 ms, 1e-9 USD."""
    return math.floor(Fraction(value) * steps + Fraction(1, 2))


def mean(values: Sequence[int], steps: int = 1) -> Fraction | None:
    return Fraction(sum(values), len(values) * steps) if values else None


def variance(values: Sequence[int], steps: int) -> Fraction | None:
    n, total = len(values), sum(values)
    if n < 2:
        return None
    return Fraction(sum((n * value - total) ** 2 for value in values), n * n * (n - 1) * steps**2)


def wilson(share: float | Fraction | None, n: int) -> tuple[float | None, float | None]:
    if share is None or not n:
        return None, None
    p = float(share)
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    reach = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def percentile(ordered: Sequence[float], share: Fraction) -> float | None:
    if not ordered:
        return None
    position = share * (len(ordered) - 1)
    below = ordered[math.floor(position)]
    return below + float(position - math.floor(position)) * (ordered[math.ceil(position)] - below)


def percentile_interval(ordered: Sequence[float], share: Fraction) -> tuple[float | None, float | None]:
    """Between two order statistics; none where the sample has no such ranks."""
    n = len(ordered)
    reach = Z * math.sqrt(n * share * (1 - share))
    low, high = math.floor(n * share - reach), math.ceil(n * share + reach) + 1
    return (ordered[low - 1], ordered[high - 1]) if low >= 1 and high <= n else (None, None)


def student(n: int) -> float:
    """Student's 97.5 % quantile of n - 1 degrees of freedom: exact for few, a series for the rest."""
    if n <= 4:
        return {2: 12.706204736, 3: 4.30265273, 4: 3.182446305}[n]
    v = n - 1
    first = (Z**3 + Z) / 4
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    third = (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384
    return Z + first / v + second / v**2 + third / v**3


def mean_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Hall's, by the skewness of the histogram."""
    steps = [rounded(value, 100) for value in values]
    n, spread, middle = len(steps), variance(steps, 100), mean(steps, 100)
    if spread is None or middle is None:
        return None, None
    error, t = math.sqrt(spread / n), student(n)
    bend = (skewness(values) or 0.0) * math.sqrt(n * (n - 1)) / max(1, n - 2) / math.sqrt(n) / 3
    if abs(bend) < 1e-6:
        low, high = t - bend / 2, t + bend / 2
    else:
        low = (math.cbrt(1 + 3 * bend * (t - bend / 2)) - 1) / bend
        high = (1 - math.cbrt(1 - 3 * bend * (t + bend / 2))) / bend
    return max(0.0, float(middle) - low * error), float(middle) + high * error


def skewness(values: Sequence[float]) -> float | None:
    """The third standardized moment of the histogram's middles."""
    buckets = [None if value == 0 else math.ceil(math.log(value * 100) / math.log(GROWTH)) for value in values]
    if len(values) < 3 or len(set(buckets)) == 1:
        return None
    middles = [0.0 if b is None else 2 * GROWTH**b / (GROWTH + 1) / 100 for b in buckets]
    centre = math.fsum(middles) / len(middles)
    second = math.fsum((value - centre) ** 2 for value in middles) / len(middles)
    third = math.fsum((value - centre) ** 3 for value in middles) / len(middles)
    scale = second**1.5
    return float(third / scale) if scale else None  # of values so near 0 that nothing is left of their squares


def figures(measure: str, group: Sequence[Row]) -> Row:
    """The columns of one measure; percentiles from raw values, means from steps of 0.01."""
    timed = [
        row[measure] for row in group if row["outcome"] == "ok" and not row["cache_hit"] and row[measure] is not None
    ]
    steps, ordered = [rounded(value, 100) for value in timed], sorted(timed)
    unit = f"_{MEASURES[measure]}" if MEASURES[measure] else ""
    found: Row = {
        f"{measure}_n": len(timed),
        f"{measure}_mean{unit}": mean(steps, 100),
        f"{measure}_variance{unit and unit + '2'}": variance(steps, 100),
    }
    if measure != "inter_token":
        found[f"{measure}_mean_low{unit}"], found[f"{measure}_mean_high{unit}"] = mean_interval(timed)
    for name, share in (("p50", Fraction(1, 2)), ("p95", Fraction(19, 20)), ("p99", Fraction(99, 100))):
        if measure == "tps" and name == "p99":
            continue
        found[f"{measure}_{name}{unit}"] = percentile(ordered, share)
        if measure in {"latency", "ttft"} or (measure, name) == ("tps", "p50"):
            ends = percentile_interval(ordered, share)
            found[f"{measure}_{name}_low{unit}"], found[f"{measure}_{name}_high{unit}"] = ends
    return found


def metrics_of(group: Sequence[Row]) -> Row:
    """All columns of one group of requests, which is not empty."""
    outcomes = [row["outcome"] for row in group]
    failures = outcomes.count("failed") + outcomes.count("incomplete")
    marks = [row["correct"] for row in group if row["correct"] is not None]
    costs = [rounded(row["cost"], 10**9) for row in group if row["cost"] is not None]
    tokens = [sums for row in group if (sums := both(row)) is not None]
    lengths = [row["output_tokens"] for row in group if row["outcome"] == "ok" and row["output_tokens"] is not None]
    confidences = [rounded(row["confidence"], 10**6) for row in group if row["confidence"] is not None]
    accuracy = mean([int(mark) for mark in marks])
    found: Row = {
        "usage_count": len(group), "succeeded": outcomes.count("ok"), "incomplete": outcomes.count("incomplete"),
        "failed": outcomes.count("failed"), "graded": len(marks), "correct": marks.count(True), "accuracy": accuracy,
        "failure_rate": Fraction(failures, len(group)), "cost_n": len(costs), "cost_per_query": mean(costs, 10**9), "tokens_n": len(tokens),
        "tokens_per_query": mean(tokens), "output_n": len(lengths), "avg_output_length": mean(lengths),
        "confidence_n": len(confidences), "confidence": mean(confidences, 10**6), "last_updated": max(row["at"] for row in group),
    }  # fmt: skip
    found["accuracy_low"], found["accuracy_high"] = wilson(accuracy, len(marks))
    found["failure_rate_low"], found["failure_rate_high"] = wilson(found["failure_rate"], len(group))
    for measure in MEASURES:
        found |= figures(measure, group)
    return found


def both(row: Row) -> int | None:
    return (
        None
        if row["input_tokens"] is None or row["output_tokens"] is None
        else row["input_tokens"] + row["output_tokens"]
    )


def grouped(rows: Iterable[_Thing], key: Callable[[_Thing], Any]) -> dict[Any, list[_Thing]]:
    groups: dict[Any, list[_Thing]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def window_metrics(world: World, kind: bool) -> dict[tuple[str, str | None, str], Row]:
    """By model, domain (None: all of them) and window."""
    found, requests = {}, counted(world, kind)
    for window, hours in WINDOWS.items():
        first = datetime.min.replace(tzinfo=UTC) if hours is None else world.last_hour - timedelta(hours=hours)
        inside = [row for row in requests if hour_of(row["at"]) >= first]
        for (model, domain), group in grouped(inside, lambda row: (row["key"], row["in_domain"])).items():
            found[model, domain, window] = metrics_of(group)
        for model, group in grouped(inside, lambda row: row["key"]).items():
            found[model, None, window] = metrics_of(group)
    return found


def daily_aggregates(world: World, kind: bool) -> dict[Any, Row]:
    found = {}
    for date, group in grouped(counted(world, kind), lambda row: row["at"].date()).items():
        costs = [rounded(row["cost"], 10**9) for row in group if row["cost"] is not None]
        tokens = [sums for row in group if (sums := both(row)) is not None]
        cached = [row["cache_hit"] for row in group if row["cache_hit"] is not None]
        found[date] = {
            "requests": len(group),
            "total_cost": Fraction(sum(costs), 10**9) if costs else None,
            "total_tokens": sum(tokens) if tokens else None,
            "cache_hit_rate": mean([int(hit) for hit in cached]),
            "error_rate": Fraction(sum(row["outcome"] != "ok" for row in group), len(group)),
        }
    return found


def ratings(world: World) -> list[Row]:
    return [
        {**row, "at": time_of(row.get("created_at")), "left_out": rating_left_out(row)}
        for row in world["feedback_events"]
    ]


def rating_left_out(row: Row) -> str | None:
    if time_of(row.get("created_at")) is None:
        return "created_at is unreadable"
    if row.get("model") is None or row.get("is_simulated") is None or row.get("rating") is None:
        return "model, is_simulated or rating is missing"
    return None if math.isfinite(row["rating"]) and 0 <= row["rating"] <= 1 else "rating out of range"


def rejects(world: World, kind: bool) -> dict[tuple[str, str], Row]:
    """By source and reason: rows that count nowhere, and the first of them."""
    asked = [(event["source"], event["left_out"], event) for event in events(world)]
    rated = [("feedback", row["left_out"], row) for row in ratings(world)]
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for source, reason, row in (*asked, *rated):
        if reason is not None and row.get("is_simulated") in {None, kind}:
            found[source, reason].append(row["id"])
        elif (
            reason is None
            and source != "feedback"
            and row["is_simulated"] == kind
            and hour_of(row["at"]) > world.last_hour
        ):
            found[source, "later than as_of"].append(None)
    return {
        key: {"rows_left_out": len(ids), "example_id": None if None in ids else min(ids)} for key, ids in found.items()
    }


def unknown_models(world: World, kind: bool) -> dict[tuple[str | None, str], Row]:
    """By provider and name: names that the catalog does not explain, with their requests of all time."""
    named = [
        (row["provider"], row["model"], 1)
        for row in events(world)
        if row["left_out"] is None and row["is_simulated"] == kind
    ]
    named += [
        (None, row["model"], 0) for row in ratings(world) if row["left_out"] is None and row["is_simulated"] == kind
    ]
    found: dict[tuple[str | None, str], Row] = {}
    for provider, name, requests in named:
        if model_key(world, kind, provider, name) is None:
            found.setdefault((provider, name), {"requests": 0})["requests"] += requests
    return found
