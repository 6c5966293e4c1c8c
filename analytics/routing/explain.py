"""An answer's reasons, in plain sentences: what decided, what it rests on, and what to know before trusting it."""

import math
from collections.abc import Mapping

from .board import BASES
from .choice import Choice
from .limits import FAILING, Asked
from .records import Evidence

_SORTED_BY = {
    "price": "the lowest price",
    "latency": "the shortest median latency",
    "throughput": "the highest throughput",
    "quality": "the highest quality",
}
_UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))
_AT_MOST = {"max_tier", "max_usd_per_query", "max_ttft_p95_ms", "max_latency_p95_ms", "max_failure_rate", "max_age_s"}
_WORTH_SAYING = 0.01  # failures below this share of the requests are not


def headline(asked: Asked, choice: Choice, count: int) -> tuple[str, str]:
    """Code and sentence of what decided for the model."""
    catalog, ranking = asked.board.catalog, asked.ranking
    name, score = catalog.display_names[choice.model], ranking.score.item(choice.model)
    if count == 1:
        return "only_one", f"{name} is the only model that fits."
    if asked.query.sort is not None:
        figure = _sorting_figure(asked, choice.model)
        if figure is None:
            return (
                "sorted_by_unknown",
                f"The {asked.query.sort} of none of the {count:,} models that fit is known, so {name} leads by its score of {score:.2f}.",
            )
        return (
            f"sorted_by_{asked.query.sort}",
            f"{name} has {_SORTED_BY[asked.query.sort]} of the {count:,} models that fit: {figure}.",
        )
    if choice.instead_of is not None:
        other = choice.instead_of
        mine, theirs = (_price_text(asked, model) for model in (choice.model, other))
        against = ranking.score.item(other)
        rival = catalog.display_names[other]
        if against == score:
            return (
                "cheaper_of_a_tie",
                f"{name} and {rival} score the same ({score:.2f}), and {name} is cheaper: {mine} instead of {theirs}.",
            )
        return "cheaper_of_a_tie", (
            f"{rival} scores a shade higher ({_apart(against, score)}), but {name} costs {mine} instead of {theirs}, "
            f"and taking it is expected to lose only {_percent(choice.loss, 2)} of quality."
        )
    return "best_score", f"{name} scores {score:.2f}, the best of the {count:,} models that fit."


def experience(asked: Asked, model: int, evidence: Evidence | None) -> tuple[str | None, str]:
    """Code (None: nothing unusual) and sentence of what the experience with the model is."""
    query, ranking = asked.query, asked.ranking
    if evidence is None:
        decides = f"so its base priority of {ranking.priority.item(model):.0f} out of 100 decides alone."
        if not ranking.task_is_known:
            return (
                "unknown_task",
                f'Nothing is known about the task "{query.task}" from ratings or benchmarks, {decides}',
            )
        subject = f"in {query.domain}" if query.domain else f"at {query.task}" if query.task else "yet"
        return "no_experience", f"It has no ratings or graded answers {subject}, {decides}"
    n = f"{evidence.n:,}"
    match BASES[ranking.basis.item(model)]:
        case "agent_ratings" if evidence.kind == "feedback":
            text = f"For this agent its {query.task} answers were rated {evidence.quality:.2f} out of 1 on average, over {_count(evidence.n, 'rating')}"
        case "ratings" if evidence.kind == "feedback":
            text = f"Its {query.task} answers were rated {evidence.quality:.2f} out of 1 on average, over {_count(evidence.n, 'rating')}"
        case "overall" if evidence.kind == "feedback":
            text = f"Its answers were rated {evidence.quality:.2f} out of 1 on average, over {_count(evidence.n, 'rating')}"
        case basis if evidence.kind == "benchmark":
            where = "" if basis == "overall" else f" for {query.domain or query.task}"
            text = f"It answered {_percent(evidence.quality)} of {_count(evidence.n, 'benchmark question')}{where} correctly"
        case _:
            text = f"Ratings and benchmark answers together put its quality at {evidence.quality:.2f} out of 1, from {n} of them"
    if evidence.low is None or evidence.high is None:
        return None, text + "."
    if evidence.kind == "benchmark":
        return None, f"{text} (95 % interval: {_percent(evidence.low)} to {_percent(evidence.high)})."
    return None, f"{text} (95 % interval: {evidence.low:.2f} to {evidence.high:.2f})."


def arithmetic(asked: Asked, model: int) -> str | None:
    """How the score came about, if there is more to it than the base priority."""
    catalog, ranking = asked.board.catalog, asked.ranking
    if not ranking.basis.item(model):
        return None
    whose = " set for this agent" if ranking.of_agent[model] else ""
    return (
        f"Its score is {catalog.weight_priority:g} x priority {ranking.priority.item(model) / 100:.2f}{whose} "
        f"+ {catalog.weight_quality:g} x experience {ranking.quality.item(model):.2f} = {ranking.score.item(model):.2f}."
    )


def behaviour(asked: Asked, model: int) -> str | None:
    """How fast it answers, as measured, and what the query would cost."""
    total, first, tps = (
        asked.board.measured[name].item(model) for name in ("latency_p50_ms", "ttft_p50_ms", "tps_mean")
    )
    said = []
    if not math.isnan(total):
        said.append(
            f"answers in {duration(total)}"
            + (f", with the first word after {duration(first)}" if not math.isnan(first) else "")
        )
    elif not math.isnan(first):
        said.append(f"begins to answer after {duration(first)}")
    if not math.isnan(tps):
        said.append(f"writes {tps:.0f} tokens a second" if tps >= 10 else f"writes {tps:.1f} tokens a second")
    joint = ", and " if said and "," in said[0] else " and "
    return f"It typically {joint.join(said)}." if said else None


def failures(asked: Asked, model: int) -> str | None:
    """How many of its requests it failed, unless that is hardly any."""
    rate, requests, days = (
        asked.board.measured[name].item(model) for name in ("failure_rate", "requests", "window_days")
    )
    if not (rate >= _WORTH_SAYING and requests > 0 and days > 0):  # nor when unknown
        return None
    return f"It failed {rate * requests:,.0f} of {_count(int(requests), 'request')} in the last {days:.0f} days."


def nothing_fits(asked: Asked, rejected: Mapping[str, int]) -> str:
    """Why no model is left, with a number for each reason."""
    total = len(asked.board.catalog.keys)
    if not total:
        return "The catalog holds no model of the kind that was scored."
    query = asked.query
    if query.agent is not None and query.agent not in asked.board.catalog.agents:
        return f'No model is enabled for the agent "{query.agent}", and an agent without models gets none.'
    missing = [name for name in query.need if name not in asked.board.catalog.capabilities]
    if missing and "need" in rejected:
        return f'No model in the catalog is known to have the capability "{missing[0]}".'
    counts = sorted(rejected.items(), key=lambda entry: -entry[1])
    listed = "; ".join(f"{number:,} {FAILING[field][number == 1]}" for field, number in counts)
    listed = listed.format(requests=f"{asked.board.measured['requests'][asked.ranking.failing].sum():,.0f}")
    return f"None of the {_count(total, 'model')} in the catalog fits: {listed}."


def relaxing(asked: Asked, helping: list[tuple[str, int]]) -> str | None:
    """What to change in the query; None if no single limit is to blame."""
    if not helping:
        return None
    said = [f"without {_limit_text(asked, field)}, {_count(number, 'model')} would fit" for field, number in helping]
    text = "; ".join(said)
    return text[0].upper() + text[1:] + "."


def refusal(asked: Asked, field: str, name: str) -> str:
    """Why the default model may not stand in."""
    limit = (
        ""
        if field in {"unavailable", "disabled", "model_type", "agent"}
        else f" (the limit was {_limit_text(asked, field)})"
    )
    return f"The default model {name} cannot stand in: it {FAILING[field][1]}{limit}."


def duration(ms: float) -> str:
    """840 ms, 1.2 s, 3 minutes, 2 hours, 5 days: as exact as a reader needs."""
    if ms < 1000:
        return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
    seconds = ms / 1000
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    size, name = next(unit for unit in _UNITS if seconds >= 2 * unit[0])
    return f"{seconds / size:.0f} {name}"


def dollars(amount: float) -> str:
    """$2.50, $0.15, $0.00042: at least two figures that count."""
    if amount == 0:
        return "nothing"
    if amount >= 0.1:
        return f"${amount:,.2f}"
    return f"${amount:.{1 - math.floor(math.log10(amount))}f}"


def _sorting_figure(asked: Asked, model: int) -> str | None:
    measured = asked.board.measured
    match asked.query.sort:
        case "price":
            value = asked.board.cost(asked.query, model)
            text = _price_text(asked, model)
        case "latency":
            value = float(measured["latency_p50_ms"][model])
            text = duration(value) if not math.isnan(value) else ""
        case "throughput":
            value = float(measured["tps_mean"][model])
            text = f"{value:.0f} tokens a second"
        case _:
            value = float(asked.ranking.quality[model])
            text = f"{value:.2f} out of 1"
    return text if not math.isnan(value) else None


def _price_text(asked: Asked, model: int) -> str:
    cost = asked.board.cost(asked.query, model)
    if math.isnan(cost):
        return "an unknown price"
    return dollars(cost) + (" per 1M tokens" if asked.query.input_tokens is None else " for this query")


def _limit_text(asked: Asked, field: str) -> str:
    value = getattr(asked.query, field)
    if isinstance(value, tuple):
        return f"{field} = {', '.join(value) or 'nothing'}"
    sign = "<=" if field in _AT_MOST else ">="
    return f"{field.removeprefix('max_').removeprefix('min_')} {sign} {value if isinstance(value, str) else format(value, 'g')}"


def _apart(high: float, low: float) -> str:
    """Two scores with as many figures as tell them apart, at most four."""
    digits = next((digits for digits in (2, 3) if f"{high:.{digits}f}" != f"{low:.{digits}f}"), 4)
    return f"{high:.{digits}f} against {low:.{digits}f}"


def _percent(share: float, figures: int = 0) -> str:
    text = f"{share * 100:.{figures}f}"
    if figures == 0 and share not in (0, 1) and text in ("0", "100"):
        text = f"{share * 100:.1f}"
    return f"{text} %"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
