"""`scorehouse route`: which model for this task, within these limits, and why."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import render
from flows.commands.limits import numbers
from flows.commands.options import Json
from flows.errors import UsageError
from flows.settings import Settings, load_settings

if TYPE_CHECKING:
    from analytics.routing import Lookup, RouteAnswer, RouteQuery

_NO_MODEL = 3

Tools = Annotated[list[str] | None, typer.Option(help="Detect the task by a tool that is called; repeatable.")]
MaxPrice = Annotated[
    list[str] | None,
    typer.Option(metavar="prompt=X,completion=Y", help="At most so many USD per 1M tokens of input, of output."),
]
AllowUnknown = Annotated[
    bool, typer.Option("--allow-unknown", help="A limit on what is unknown of a model lets it pass.")
]
IsLogged = Annotated[
    bool, typer.Option("--log/--no-log", help="Keep the decision, so that 'explain' can tell it again.")
]
Session = Annotated[
    str | None, typer.Option(help="The conversation's id: it stays with one model as long as that costs little.")
]


def route(
    task: Annotated[str | None, typer.Option(help="The task type: code, analysis, summarization, ...")] = None,
    message: Annotated[str | None, typer.Option(help="Without --task: detect it from this message.")] = None,
    tool: Tools = None,
    attachment: Annotated[list[str] | None, typer.Option(help="Detect the task by a MIME type; repeatable.")] = None,
    domain: Annotated[str | None, typer.Option(help="Judge by this domain's benchmarks: math, coding, ...")] = None,
    agent: Annotated[str | None, typer.Option(help="Only models that are enabled for this agent.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The agent's tenant.")] = None,
    user: Annotated[str | None, typer.Option(help="Whose policy ranks, if this user has one.")] = None,
    role: Annotated[str | None, typer.Option(help="Only models that this role may use.")] = None,
    need: Annotated[list[str] | None, typer.Option(help="A capability that it must have; repeatable.")] = None,
    allow: Annotated[list[str] | None, typer.Option(help="Only these models; repeatable.")] = None,
    deny: Annotated[list[str] | None, typer.Option(help="Not this model; repeatable.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this provider; repeatable.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Not this provider; repeatable.")] = None,
    max_tier: Annotated[str | None, typer.Option(help="At most free, low, standard or premium.")] = None,
    max_price: MaxPrice = None,
    max_usd_per_query: Annotated[float | None, typer.Option(help="At most so much for one query.")] = None,
    input_tokens: Annotated[int | None, typer.Option(help="Expected input of the query.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="Expected output of the query.")] = None,
    min_context: Annotated[int | None, typer.Option(help="Context window in tokens.")] = None,
    max_ttft_p95_ms: Annotated[float | None, typer.Option(help="95 % of first tokens come faster.")] = None,
    max_latency_p95_ms: Annotated[float | None, typer.Option(help="95 % of answers are complete faster.")] = None,
    min_tps: Annotated[float | None, typer.Option(help="Mean tokens per second.")] = None,
    max_failure_rate: Annotated[float | None, typer.Option(help="Share of requests it may fail, 0 to 1.")] = None,
    min_quality: Annotated[float | None, typer.Option(help="Measured quality, 0 to 1.")] = None,
    min_samples: Annotated[int | None, typer.Option(help="Ratings or graded answers behind the quality.")] = None,
    max_age: Annotated[float | None, typer.Option(help="Seconds since the model was last measured.")] = None,
    policy: Annotated[str | None, typer.Option(help="Rank by this policy instead of the active one.")] = None,
    sort: Annotated[str | None, typer.Option(help="Rank by price, latency, throughput or quality alone.")] = None,
    top: Annotated[int, typer.Option(help="How many models to name, fallbacks included.")] = 3,
    allow_unknown: AllowUnknown = False,
    log: IsLogged = True,
    session: Session = None,
    json: Json = False,
) -> None:
    """The best model for a task within limits, with its reasons. Exit 3: no model passes, and what to relax."""
    query = _query(
        task=task, message=message, tools=tool, attachments=attachment, domain=domain, agent=agent, tenant=tenant, user=user, role=role,
        policy=policy, need=need, allow=allow, deny=deny, only=only, ignore=ignore, max_tier=max_tier, max_price=max_price,
        max_usd_per_query=max_usd_per_query, input_tokens=input_tokens, output_tokens=output_tokens, min_context=min_context,
        max_ttft_p95_ms=max_ttft_p95_ms, max_latency_p95_ms=max_latency_p95_ms, min_tps=min_tps, max_failure_rate=max_failure_rate,
        min_quality=min_quality, min_samples=min_samples, max_age_s=max_age, sort=sort, top=top, allow_unknown=allow_unknown, session=session,
    )  # fmt: skip
    answer = _answered(load_settings(), query, is_logged=log)
    if json:
        render.show_json(answer.to_dict())
    else:
        show_answer(answer, is_logged=log)
    if answer.source == "none":
        raise typer.Exit(_NO_MODEL)


def _query(**given: Any) -> "RouteQuery":
    """The question that the options ask; an option that was not given, or a list without words, asks nothing. Raises UsageError."""
    from analytics.routing import RouteQuery
    from analytics.routing.records import SORTS

    if given["sort"] is not None and given["sort"] not in SORTS:
        raise UsageError(f"--sort '{given['sort']}' is not one of {', '.join(SORTS)}.")
    said: dict[str, Any] = {name: value for name, value in given.items() if value is not None and value != []}
    if "max_price" in said:
        said["max_price"] = numbers("--max-price", said["max_price"])
    said |= {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    try:
        return RouteQuery(**said)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _answered(settings: Settings, query: "RouteQuery", *, is_logged: bool) -> "RouteAnswer":
    """The answer from what is published now; why it could not be logged goes to stderr."""
    from analytics.routing import Lookup

    default = settings.default_model
    with Lookup.open(settings.home.path, watch=False, default_model=default, log=is_logged) as lookup:
        answer = lookup.route(query) if query.session is None else _in_session(settings, lookup, query)
    if lookup.log is not None and lookup.log.problem is not None:
        render.say(f"{lookup.log.problem}.")
    return answer


def _in_session(settings: Settings, lookup: "Lookup", query: "RouteQuery") -> "RouteAnswer":
    """The answer within a session that the store remembers: its policy and its model, and from now on the model answered."""
    from flows.warehouse import open_store

    assert query.session is not None
    who: dict[str, Any] = {"tenant": query.tenant, "user": query.user, "agent": query.agent}
    with open_store(settings) as store:
        known = store.touch_session(query.session, **who)
        answer = lookup.route(replace(query, session_model=known["model"], policy=query.policy or known["policy"]))
        if answer.model is not None and answer.model != known["model"]:
            store.touch_session(query.session, **who, model=answer.model)
    return answer


def show_answer(answer: "RouteAnswer", *, is_logged: bool = True) -> None:
    """The answer as a person reads it: the model, why, on what evidence, who is next, and what `explain` wants to know of it."""
    head = answer.model or "No model"
    figure = _figure_that_ranks(answer)
    score = "" if answer.score is None else f"{figure(head)}   score {answer.score:.3f}"
    render.out.print(render.plain(head), render.plain(score), style="bold")
    for reason in answer.reasons:
        render.out.print("  ", render.plain(reason), soft_wrap=True)
    if answer.evidence:
        seen = answer.evidence
        interval = "" if seen.low is None or seen.high is None else f", 95 % interval {seen.low:.3f} to {seen.high:.3f}"
        render.out.print(
            "  ", render.plain(f"evidence: {seen.n} {_noun(seen.kind)}, mean {seen.quality:.3f}{interval}, as of {seen.as_of:%Y-%m-%d %H:%M:%S} UTC"),
            soft_wrap=True,
        )  # fmt: skip
    for place, fallback in enumerate(answer.fallbacks, 2):
        line = f"{place}. {fallback.model}{figure(fallback.model)}   score {fallback.score:.3f}"
        render.out.print("  ", render.plain(line), soft_wrap=True)
    if answer.rejected:
        counts = ", ".join(f"{count} by {reason.replace('_', ' ')}" for reason, count in answer.rejected.items())
        render.out.print("  ", render.plain(f"left out: {counts}"), soft_wrap=True)
    kind = "simulated evidence" if answer.is_simulated else "evidence"
    snapshot = f"snapshot {answer.snapshot_id}" if answer.snapshot_id else "no snapshot"
    age = "" if answer.age_s is None else f", {answer.age_s:.0f} s old{' (stale)' if answer.is_stale else ''}"
    render.out.print("  ", render.plain(f"policy {answer.policy}, {kind} of {snapshot}{age}"), soft_wrap=True)
    if is_logged:
        render.out.print("  ", render.plain(f"decision {answer.decision_id}"), soft_wrap=True)


def _figure_that_ranks(answer: "RouteAnswer") -> Callable[[str], str]:
    """What to say of a model named in the answer where models are sorted by one figure: that figure; else nothing."""
    from analytics.routing.answers import Why
    from analytics.routing.explain import sorting_figure

    why = answer.explanation
    if not isinstance(why, Why) or why.asked.sort is None:
        return lambda _: ""
    asked = why.asked
    position = asked.board.catalog.position
    return lambda model: f"   {asked.sort} {sorting_figure(asked, position[model]) or 'unknown'}"


def _noun(kind: str) -> str:
    return {"feedback": "ratings", "benchmark": "graded answers"}.get(kind, "ratings and graded answers")
