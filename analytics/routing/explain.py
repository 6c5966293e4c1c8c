"""An answer's reasons, in plain sentences: what decided, what it rests on, and what to know before trusting it."""

import math
from collections.abc import Mapping

from . import policies
from .asked import Asked
from .choice import Choice
from .experience import Known
from .experience import evidence as interval
from .fresh import FRESH
from .fresh import interval as wilson
from .limits import FAILING, LIMITS, unanswered
from .records import Evidence, MaxPrice, Part
from .views import BASES

_SORTED_BY = {
    "price": "the lowest price",
    "latency": "the shortest median latency",
    "throughput": "the highest throughput",
    "quality": "the highest quality",
}
_UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))
_AT_MOST = {"max_tier", "max_usd_per_query", "max_ttft_p95_ms", "max_latency_p95_ms", "max_failure_rate", "max_age_s"}
_ALONE = 1 - 1e-9  # so much of all weights leaves nothing for the others
_FURTHER = (("latency", "measured"), ("cost", "price"), ("reliability", "measured"))  # parts by weights
_WORTH_SAYING = 0.01  # failures below this share of the requests are not


def headline(asked: Asked, choice: Choice) -> tuple[str, str]:
    """Code and sentence of what decided for the model."""
    catalog = asked.board.catalog
    name, score = catalog.display_names[choice.model], choice.score
    if choice.is_alone:
        return "only_one", f"{name} is the only model that fits."
    if asked.sort is not None:
        figure = sorting_figure(asked, choice.model)
        if figure is None:
            return (
                "sorted_by_unknown",
                f"The {asked.sort} of no model that fits is known, so {name} leads by its score of {score:.2f}.",
            )
        return (
            f"sorted_by_{asked.sort}",
            f"{name} has {_SORTED_BY[asked.sort]} of the models that fit: {figure}.",
        )
    if choice.instead_of is not None:
        other, against = choice.instead_of, choice.against
        mine, theirs = (_price_text(asked, model) for model in (choice.model, other))
        rival = catalog.display_names[other]
        if against == score:
            return (
                "cheaper_of_a_tie",
                f"{name} and {rival} score the same ({score:.2f}), and {name} is cheaper: {mine} instead of {theirs}.",
            )
        return "cheaper_of_a_tie", (
            f"{rival} scores a shade higher ({_apart(against, score)}), but {name} costs {mine} instead of {theirs}, "
            f"and taking it is expected to lose only {percent(choice.loss, 2)} of quality."
        )
    return "best_score", f"{name} scores {score:.2f}, the best of the models that fit."


def experience(asked: Asked, known: Known, evidence: Evidence | None) -> tuple[str | None, str]:
    """Code (None: nothing unusual) and sentence of what the experience with the model is."""
    query, task = asked.query, asked.task
    if evidence is None:
        return _inexperienced(asked, known)
    if evidence.own_share is not None:
        return None, _learned(asked, known, evidence)
    n = f"{evidence.n:,}"
    match BASES[known.basis]:
        case "agent_ratings" if evidence.kind == "feedback":
            text = f"For this agent its {task} answers were rated {evidence.quality:.2f} out of 1 on average, over {_count(evidence.n, 'rating')}"
        case "tenant_ratings" if evidence.kind == "feedback":
            text = f"For this tenant its {task} answers were rated {evidence.quality:.2f} out of 1 on average, over {_count(evidence.n, 'rating')}"
        case "ratings" if evidence.kind == "feedback":
            text = f"Its {task} answers were rated {evidence.quality:.2f} out of 1 on average, over {_count(evidence.n, 'rating')}"
        case "overall" if evidence.kind == "feedback":
            text = f"Its answers were rated {evidence.quality:.2f} out of 1 on average, over {_count(evidence.n, 'rating')}"
        case basis if evidence.kind == "benchmark":
            where = "" if basis == "overall" else f" for {query.domain or task}"
            text = f"It answered {percent(evidence.quality)} of {_count(evidence.n, 'benchmark question')}{where} correctly"
        case _:
            text = f"Ratings and benchmark answers together put its quality at {evidence.quality:.2f} out of 1, from {n} of them"
    if evidence.low is None or evidence.high is None:
        return None, text + "."
    if evidence.kind == "benchmark":
        return None, f"{text} (95 % interval: {percent(evidence.low)} to {percent(evidence.high)})."
    return None, f"{text} (95 % interval: {evidence.low:.2f} to {evidence.high:.2f})."


def _inexperienced(asked: Asked, known: Known) -> tuple[str, str]:
    query, task, weights = asked.query, asked.task, asked.policy.weights
    stands = "decides alone" if weights.priority + weights.quality > _ALONE else "stands in for it"
    decides = f"so its base priority of {known.priority:.0f} out of 100 {stands}."
    if not (asked.view.task_is_known or (asked.patch is not None and asked.patch.groups)):
        return "unknown_task", f'Nothing is known about the task "{task}" from ratings or benchmarks, {decides}'
    subject = f"in {query.domain}" if query.domain else f"at {task}" if task else "yet"
    return "no_experience", f"It has no ratings or graded answers {subject}, {decides}"


_RESTS_ON = {
    "priority": "its base priority",
    "overall": "its whole record",
    "domain_benchmarks": "benchmark questions of the domain",
    "ratings": "everyone's ratings",
    "tenant_ratings": "the tenant's ratings",
    "agent_ratings": "the agent's ratings",
}


def _learned(asked: Asked, known: Known, evidence: Evidence) -> str:
    """What a quality that was shrunk to broader evidence rests on."""
    whose = {"agent_ratings": "the agent's", "tenant_ratings": "the tenant's"}.get(BASES[known.basis], "everyone's")
    at = f" at {asked.task}" if asked.task is not None and BASES[known.basis] != "overall" else ""
    rests = _RESTS_ON.get(evidence.basis or "", "broader evidence")
    text = f"Its quality{at} is put at {evidence.quality:.2f} out of 1"
    if evidence.low is not None and evidence.high is not None:
        text += f" (95 % interval: {evidence.low:.2f} to {evidence.high:.2f})"
    own = (
        f"{whose} own evidence there ({evidence.n:,})"
        if whose != "everyone's"
        else f"the evidence there ({evidence.n:,})"
    )
    return f"{text}, {percent(evidence.own_share or 0.0)} of it by {own}; most of it rests on {rests}."


def arithmetic(parts: tuple[Part, ...], score: float) -> str | None:
    """How the score came about, if there is more to it than the base priority."""
    if len(parts) == 1:
        return None
    said = [
        f"{part.weight:.3g} x {part.name} {part.value:.2f}{' set for this agent' if part.basis == 'agent_override' else ''}"
        for part in parts
    ]
    return f"Its score is {' + '.join(said)} = {score:.2f}."


def parts(asked: Asked, model: int, known: Known) -> tuple[Part, ...]:
    """The terms whose sum is the score; without experience the priority has the quality's weight too."""
    weights, own = asked.policy.weights, "agent_override" if known.of_agent else "catalog"
    if known.basis:
        share = policies.faded(asked.policy, known.worth)
        found = [
            Part("priority", share, known.priority / 100, own),
            Part("experience", weights.quality + (weights.priority - share), known.quality, BASES[known.basis]),
        ]
    else:
        found = [Part("priority", weights.priority + weights.quality, known.priority / 100, own)]
    for place, (name, basis) in enumerate(_FURTHER, 2):
        if weights[place]:
            value = asked.board.values[place - 1].item(model)
            found.append(Part(name, weights[place], value, basis))  # type: ignore[arg-type]  # the names are those of a part
    return tuple(found)


def behaviour(asked: Asked, model: int) -> str | None:
    """How fast it answers, as measured, and what the query would cost."""
    measured = asked.board.measured
    total, first = measured["latency_p50_ms"].item(model), measured["ttft_p50_ms"].item(model)
    tps = measured["tps_mean"].item(model)
    said = []
    if not math.isnan(total):
        said.append(
            f"answers in {duration(total)}"
            + (f", with the first word after {duration(first)}" if not math.isnan(first) else "")
        )
    elif not math.isnan(first):
        said.append(f"begins to answer after {duration(first)}")
    if not math.isnan(tps):
        said.append(f"writes {tps:.{0 if tps >= 10 else 1}f} tokens a second on average")
    joint = ", and " if said and "," in said[0] else " and "
    return f"It typically {joint.join(said)}." if said else None


def freshness(known: Known) -> str | None:
    """Whether ratings count that the scores do not hold yet."""
    is_fresh = bool(known.groups) and known.groups[0].scope == FRESH
    return "Ratings given since the scores were made count in this." if is_fresh else None


def failures(asked: Asked, model: int) -> str | None:
    """How many of its requests it failed, unless that is hardly any."""
    measured = asked.board.measured
    rate = measured["failure_rate"].item(model)
    if not rate >= _WORTH_SAYING:  # nor when unknown
        return None
    requests, days = measured["requests"].item(model), measured["window_days"].item(model)
    if not (requests > 0 and days > 0):
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
    needed = dict(asked.limits).get("need", ())
    missing = [name for name in needed if name not in asked.board.catalog.capabilities]
    if missing and "need" in rejected:
        return f'No model in the catalog is known to have the capability "{missing[0]}".'
    counts = sorted(rejected.items(), key=lambda entry: -entry[1])
    listed = "; ".join(f"{number:,} {FAILING[field][number == 1]}" for field, number in counts)
    if "failing" in rejected:
        listed = listed.format(requests=f"{unanswered(asked):,.0f}")
    return f"None of the {_count(total, 'model')} in the catalog fits: {listed}."


def relaxing(asked: Asked, helping: list[tuple[str, int]]) -> list[tuple[str | None, str]]:
    """What to change in the query, code and sentence; nothing if no single limit is to blame."""
    if not helping:
        return []
    said = [f"without {_limit_text(asked, field)}, {_count(number, 'model')} would fit" for field, number in helping]
    text = "; ".join(said)
    codes: list[tuple[str | None, str]] = [(f"relax_{field}", "") for field, _ in helping]
    codes[0] = (codes[0][0], text[0].upper() + text[1:] + ".")
    return codes


def detected(asked: Asked) -> tuple[str, str] | None:
    """What the task was taken for, unless the query said it."""
    guess = asked.guess
    if guess is None or guess.source == "query":
        return None
    by = {"tool": "the tools it calls", "attachment": "what is attached", "keyword": "the words of the message"}
    return (
        f"task_by_{guess.source}",
        f"The task was taken for {guess.task}, by {by[guess.source]} ({guess.confidence} confidence).",
    )


def evidence(asked: Asked, known: Known, model: int) -> Evidence | None:
    """What a model's experience rests on."""
    if known.groups and known.groups[0].scope == FRESH and asked.board.scores is not None:
        kind = "mixed" if BASES[known.basis] == "overall" else "feedback"
        return Evidence(kind, int(known.n), known.quality, *wilson(known.quality, known.n), asked.board.scores.as_of)
    is_learned = asked.view.is_learned
    found = interval(asked.board, known.groups, model, is_learned=is_learned) if known.basis else None
    if found is None or asked.board.scores is None:
        return None
    kind, n, low, high, own_share, basis = found
    return Evidence(kind, n, known.quality, low, high, asked.board.scores.as_of, own_share, basis)


def refusal(asked: Asked, field: str, name: str) -> str:
    """Why the default model may not stand in."""
    limit = "" if field not in LIMITS else f" (the limit was {_limit_text(asked, field)})"
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


def sorting_figure(asked: Asked, model: int) -> str | None:
    """The figure of a model that the question sorts by, in words; None where it is unknown."""
    measured = asked.board.measured
    match asked.sort:
        case "price":
            value = asked.cost(model)
            text = _price_text(asked, model)
        case "latency":
            value = float(measured["latency_p50_ms"][model])
            text = duration(value) if not math.isnan(value) else ""
        case "throughput":
            value = float(measured["tps_mean"][model])
            text = f"{value:.0f} tokens a second on average"
        case _:
            value = asked.known(model).quality
            text = f"{value:.2f} out of 1"
    return text if not math.isnan(value) else None


def _price_text(asked: Asked, model: int) -> str:
    cost = asked.cost(model)
    if math.isnan(cost):
        return "an unknown price"
    return dollars(cost) + (" per 1M tokens" if asked.query.input_tokens is None else " for this query")


def _limit_text(asked: Asked, field: str) -> str:
    value = dict(asked.limits)[field]
    if isinstance(value, MaxPrice):
        bounds = [f"{name} <= {bound:g}" for name, bound in value._asdict().items() if bound is not None]
        return f"{field} = {', '.join(bounds)}"
    if isinstance(value, tuple):
        return f"{field} = {', '.join(value) or 'nothing'}"
    sign = "<=" if field in _AT_MOST else ">="
    return f"{field.removeprefix('max_').removeprefix('min_')} {sign} {value if isinstance(value, str) else format(value, 'g')}"


def _apart(high: float, low: float) -> str:
    """Two scores with as many figures as tell them apart, at most four."""
    digits = next((digits for digits in (2, 3) if f"{high:.{digits}f}" != f"{low:.{digits}f}"), 4)
    return f"{high:.{digits}f} against {low:.{digits}f}"


def percent(share: float, figures: int = 0) -> str:
    """A share of 1 as "12 %", with so many figures behind the point."""
    text = f"{share * 100:.{figures}f}"
    if figures == 0 and share not in (0, 1) and text in ("0", "100"):
        text = f"{share * 100:.1f}"
    return f"{text} %"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
