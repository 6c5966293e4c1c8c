"""`scorehouse explain` and `scorehouse performance`: why a model was chosen, and how models did."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import render
from flows.commands.options import Json
from flows.settings import Settings, load_settings
from flows.warehouse import make_store


def explain(
    decision_id: Annotated[str, typer.Argument(metavar="DECISION_ID", help="The decision_id of an answer.")],
    json: Json = False,
) -> None:
    """Why a decision was made, with what was weighed; also when its snapshot is gone."""
    document = find(load_settings(), decision_id)
    if json:
        render.show_json(document)
    else:
        _show(document)


def performance(
    task: Annotated[str | None, typer.Option(help="Ratings and live requests of this task type alone.")] = None,
    agent: Annotated[str | None, typer.Option(help="Those of this agent alone.")] = None,
    json: Json = False,
) -> None:
    """How each model did: mean rating, use and latency, the best rated first."""
    from analytics.performance import is_simulated_left_out
    from analytics.performance import performance as measured

    home = load_settings().home
    rows = measured(home.lake, home.scoring, task=task, agent=agent)
    if json:
        render.show_json_lines(rows)
    else:
        render.show_rows(None, rows, "No rows: nothing of that kind has been rated or asked and scored yet.")
    if is_simulated_left_out(home.scoring):
        render.say("This is the real evidence; there is simulated evidence too, which is left out.")


def find(settings: Settings, decision_id: str) -> dict[str, Any]:
    """A decision's document, from the log of this home, else from the store. Raises UnknownName where nobody knows it."""
    from analytics.errors import UnknownName
    from analytics.store.decisions import find_decision, told

    # A question must not make a store; and what lies in the log can be told without one.
    is_there = settings.supabase_url is not None or settings.home.store.is_file()
    directory = decisions_folder(settings)
    try:
        return told(find_decision(decision_id, directory, None))
    except UnknownName:
        pass
    with make_store(settings) if is_there else nullcontext() as store:
        try:
            return told(find_decision(decision_id, directory, store))
        except UnknownName as error:
            raise UnknownName(f"{error}; only logged decisions can be explained") from None


def decisions_folder(settings: Settings) -> Path:
    """Where answering processes of this home log their decisions."""
    return settings.home.spool / "decisions"


def _show(document: Mapping[str, Any]) -> None:
    answer = document["answer"]

    def say(text: str) -> None:
        render.out.print("  ", render.plain(text), soft_wrap=True)

    score = "" if answer["score"] is None else f"   score {answer['score']:.3f}"
    render.out.print(render.plain(answer["model"] or "No model"), render.plain(score), style="bold")
    for reason in answer["reasons"]:
        say(reason)
    passed = document["passed"]
    if passed is not None and document["candidates"]:
        noun = "model" if passed == 1 else "models"
        say(f"{passed:,} {noun} passed every limit; weighed first:")
    for place, candidate in enumerate(document["candidates"], 1):
        terms = " + ".join(
            f"{part['weight']:.3g} x {part['name']} {part['value']:.3f} ({part['basis'].replace('_', ' ')})"
            for part in candidate.get("parts", ())
        )
        sign = "unknown" if candidate["score"] is None else f"{candidate['score']:.3f}"
        say(f"{place}. {candidate['model']}   score {sign}{f' = {terms}' if terms else ''}")
    if answer["rejected"]:
        counts = ", ".join(f"{count} by {reason.replace('_', ' ')}" for reason, count in answer["rejected"].items())
        say(f"left out: {counts}")
    if document["query"]:
        say("asked for: " + ", ".join(f"{name} {value}" for name, value in document["query"].items()))
    kind = "simulated evidence" if answer["is_simulated"] else "evidence"
    snapshot = f"snapshot {answer['snapshot_id']}" if answer["snapshot_id"] else "no snapshot"
    age = "" if answer["age_s"] is None else f", {answer['age_s']:.0f} s old{' (stale)' if answer['is_stale'] else ''}"
    say(f"policy {answer['policy']}, {kind} of {snapshot}{age}, configuration {document['configuration_id'] or 'none'}")
    took = "" if document["decision_ms"] is None else f" in {document['decision_ms']:.3f} ms"
    say(f"decided at {document['created_at']}{took}, decision {document['decision_id']}")
