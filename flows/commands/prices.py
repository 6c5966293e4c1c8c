"""`scorehouse prices`: what models cost, who says so, and what is done about a price that is wrong."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from analytics.store import Row, Store, now_text
from flows import render
from flows.commands.options import By, Json, Reason, actor_of
from flows.commands.rows import ModelKey, find_row, publish, whose
from flows.errors import UsageError
from flows.settings import load_settings
from flows.warehouse import open_store

prices = typer.Typer(no_args_is_help=True, help="Prices: list, show, set, clear, accept, reprice.")

PriceId = Annotated[str, typer.Argument(metavar="PRICE_ID", help="The price's id, as 'prices show' tells it.")]
Input = Annotated[float, typer.Option("--input", min=0, max=1_000_000, help="USD per 1M input tokens.")]
Output = Annotated[float, typer.Option("--output", min=0, max=1_000_000, help="USD per 1M output tokens.")]
Cached = Annotated[
    float | None,
    typer.Option(
        "--cached-input", min=0, max=1_000_000, help="USD per 1M input tokens that the provider has in its cache."
    ),
]

_FIGURES = {
    "input_price_per_m": "USD/M in",
    "output_price_per_m": "USD/M out",
    "cached_input_price_per_m": "USD/M cached",
}

# The columns of the view `catalog` that are about a price -> what they are called here.
_CATALOG = {
    "id": "model",
    "provider_id": "provider",
    "pricing_input": "input_price_per_m",
    "pricing_output": "output_price_per_m",
    "pricing_cached_input": "cached_input_price_per_m",
    "price_source": "source",
    "is_price_estimated": "is_estimated",
    "price_id": "price_id",
}


@prices.command("list")
def list_prices(
    provider: Annotated[str | None, typer.Option(help="Only this provider's models.")] = None,
    model: Annotated[str | None, typer.Option(help="Only models with this in their key.")] = None,
    quarantined: Annotated[bool, typer.Option("--quarantined", help="Only prices that wait to be accepted.")] = False,
    json: Json = False,
) -> None:
    """The price of each model that is in force, in USD per 1M tokens, and whose word it is."""
    settings = load_settings()
    with open_store(settings) as store:
        if provider:
            find_row(store, "provider_registry", provider, "provider")
        everything = _all_in_force(store)
        rows = _waiting(store) if quarantined else everything
        waiting = store.select("quarantined_prices", page=1, per_page=1).total
    rows = [
        row
        for row in rows
        if provider in {None, row["provider"]} and (model is None or model.lower() in row["model"].lower())
    ]
    if json:
        render.show_json_lines(rows)
    elif quarantined:
        columns = {"model": "model", **_FIGURES, "source": "from", "quarantine_reason": "why", "price_id": "price"}
        shown = [{title: row[name] for name, title in columns.items()} for row in rows]
        render.show_rows(None, shown, "No price is in quarantine.")
    else:
        columns = {"model": "model", **_FIGURES}
        shown = [{title: row[name] for name, title in columns.items()} | {"from": _whose(row)} for row in rows]
        none = (
            "No model matches; 'scorehouse models list' shows those that are there."
            if everything
            else "There are no models yet: 'scorehouse models sync' asks the providers what they serve."
        )
        render.show_rows(None, shown, none)
    if strangers := sorted(settings.prices.keys() - {row["model"] for row in everything}):
        render.say(f"The settings price {', '.join(strangers)}: no model of the catalog has such a key.")
    if waiting and not quarantined:
        render.say(f"{waiting} in quarantine: 'scorehouse prices list --quarantined' shows why they do not count.")


@prices.command("show")
def show_prices(model: ModelKey, json: Json = False) -> None:
    """A model's prices over time, newest first: who said so, which one is in force, which never counted; and corrections."""
    with open_store(load_settings()) as store:
        row = find_row(store, "catalog", model, "model")
        history = store.select("prices", {"model_id": row["model_id"]}, "-timestamp,-id").items
        ids = [price["id"] for price in history]
        corrections = store.select("repricings", {"price_id": ids}, "-created_at").items if ids else []
    past = [_described(price, row["price_id"]) for price in history]
    fixes = [{name: value for name, value in fix.items() if name != "commit_seq"} for fix in corrections]
    if json:
        render.show_json({**_in_force(row), "history": past, "corrections": fixes})
        return
    columns = {"timestamp": "since", **_FIGURES, "source": "from", "matched_model": "taken for", "status": "status", "price_id": "price"}  # fmt: skip
    shown = [{title: price[name] for name, title in columns.items()} for price in past]
    render.show_rows(model, shown, f"The price of {model} is unknown: nobody ever gave one.")
    if fixes:
        columns = {"created_at": "corrected", "price_id": "price", **_FIGURES, "reason": "reason"}
        render.show_rows("Corrections", [{title: fix[name] for name, title in columns.items()} for fix in fixes], "")
    if past and row["price_id"] and row["pricing_input"] is None and row["pricing_output"] is None:
        render.say("Its price is unknown now.")


@prices.command("set")
def set_price(
    model: ModelKey,
    input_price: Input,
    output_price: Output,
    cached_input: Cached = None,
    by: By = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Say what a model costs. It counts until 'prices clear', whatever its provider, your settings or a price library say."""
    from flows.jobs.prices import set_price as set_one

    settings = load_settings()
    with open_store(settings) as store:
        row = find_row(store, "catalog", model, "model")
        figures = (input_price, output_price, cached_input)
        set_one(settings, store, row, figures, now_text(), actor_of(by, reason))
        publish(settings, store)
        now = _in_force(find_row(store, "catalog", model, "model"))
    _tell(now, as_json=json)


@prices.command("clear")
def clear_price(model: ModelKey, by: By = None, reason: Reason = None, json: Json = False) -> None:
    """Take back what 'prices set' said; from now on counts what the others say."""
    from flows.jobs.prices import clear_price as clear_one
    from flows.logs import open_log

    settings = load_settings()
    with open_store(settings) as store:
        row = find_row(store, "catalog", model, "model")
        clear_one(settings, store, row, now_text(), open_log(settings.home.logs), actor_of(by, reason))
        publish(settings, store)
        now = _in_force(find_row(store, "catalog", model, "model"))
    _tell(now, as_json=json)


@prices.command("accept")
def accept_price(price: PriceId, by: By = None, reason: Reason = None, json: Json = False) -> None:
    """Let a price out of quarantine: it counts from now on, and the next leap is measured from it."""
    from flows.jobs.prices import accept_price as accept_one

    settings = load_settings()
    with open_store(settings) as store:
        accepted = accept_one(settings, store, price, now_text(), actor_of(by, reason))
        publish(settings, store)
        (row,) = store.select("catalog", {"model_id": accepted["model_id"]}).items
    _tell(_in_force(row), as_json=json)


@prices.command("reprice")
def reprice(
    price: PriceId,
    input_price: Input,
    output_price: Output,
    reason: Annotated[str, typer.Option(help="Why it was wrong; kept with the correction, and in the audit log.")],
    cached_input: Cached = None,
    by: By = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the results, and correct nothing.")] = False,
    json: Json = False,
) -> None:
    """Correct a price that was wrong: every result that names it costs by the new figures from the next 'score' on.

    The results keep what was computed then. What is in force is 'prices set' to change.
    """
    from flows.jobs.repricing import reprice as reprice_results

    if not reason.strip():
        raise UsageError("--reason is empty: say why the price was wrong.")
    figures = (input_price, output_price, cached_input)
    report = reprice_results(load_settings(), price, figures, now_text(), actor_of(by, reason), dry_run=dry_run)
    if json:
        render.show_json(report.to_dict())
    verb = "would cost" if dry_run else "cost"
    render.say(
        f"{report.results} results {verb} {report.cost_usd_after:.6f} USD instead of {report.cost_usd_before:.6f}"
        f"{'' if dry_run else ', from the next scoring on'}."
    )
    if report.is_in_force:
        render.say("The price is still in force for what is measured next; 'scorehouse prices set' changes that.")
    for sentence in report.corrupt:
        render.say(f"Not counted: {sentence}")


def _whose(row: Mapping[str, Any]) -> str:
    return whose(row["source"], row["input_price_per_m"], row["output_price_per_m"])


def _all_in_force(store: Store) -> list[Row]:
    return [_in_force(row) for row in store.select("catalog", order="id", columns=tuple(_CATALOG)).items]


def _in_force(row: Row) -> Row:
    """A row of the view `catalog` as a price."""
    return {name: row[column] for column, name in _CATALOG.items()}


def _waiting(store: Store) -> list[Row]:
    rows = store.select("quarantined_prices", order="model").items
    return [{("price_id" if name == "id" else name): value for name, value in row.items()} for row in rows]


def _described(price: Row, in_force: str | None) -> Row:
    """A row of `prices` with what has become of it."""
    status = "in force" if price["id"] == in_force else "past"
    if price["quarantine_reason"] is not None:
        status = f"quarantined: {price['quarantine_reason']}"
    named = {("price_id" if name == "id" else name): value for name, value in price.items()}
    return {name: value for name, value in named.items() if name not in {"provider_id", "model_id"}} | {
        "status": status
    }


def _tell(now: Row, *, as_json: bool) -> None:
    if as_json:
        render.show_json(now)
    figures = " / ".join(render.cell(now[name]) for name in _FIGURES)
    known = _whose(now)
    render.say(
        f"{now['model']}: its price is unknown."
        if known == "unknown"
        else f"{now['model']}: {figures} USD per 1M tokens in / out / cached, from {known}."
    )
