"""`scorehouse audit`: who changed what, when and why."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from analytics.store import Row, to_text
from flows import render
from flows.commands.options import Json
from flows.errors import UsageError
from flows.settings import load_settings
from flows.warehouse import open_store

ENTITIES = (
    "providers", "models", "model_overrides", "prices", "repricings", "budgets", "agents", "agent_models", "routing_configs",
    "routing_experiments", "organizations", "domains", "domain_benchmarks", "task_domains",
)  # fmt: skip  # whose changes are audited: a person's by a command, and an account's by REST
_NAMES = ("model", "key", "provider", "agent", "name")  # by which of its columns a person knows what was changed
_UNSAID = {
    "id",
    "metadata",
    *_NAMES,
}  # columns that a line of the table leaves to --json, as it does those that end with _id
_WIDEST = 100  # letters of what changed, in a line of the table


def audit(
    entity: Annotated[
        str | None, typer.Option(help="Changes of this table's rows: providers, models, model_overrides, prices, ...")
    ] = None,
    entity_id: Annotated[str | None, typer.Option("--id", help="Changes of the row with this id.")] = None,
    by: Annotated[str | None, typer.Option(help="Changes that this person or program made.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Changes of what is this tenant's.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Changes from then on: 2026-11-21, or 2026-11-21T02:00 (UTC).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest.")] = 50,
    json: Json = False,
) -> None:
    """Who changed what, when and why: the newest change first. --json has each row before and after."""
    if entity is not None and entity not in ENTITIES:
        raise UsageError(f"--entity '{entity}' is not one of {', '.join(ENTITIES)}.")
    begin = None if since is None else _moment(since)
    given = {"object_type": entity, "object_id": entity_id, "actor_id": by, "tenant_id": tenant}
    filters = {column: value for column, value in given.items() if value is not None}
    with open_store(load_settings()) as store:
        page = store.select("audit_log", filters, "-created_at,-commit_seq", per_page=limit)
    found = [row for row in page.items if begin is None or row["created_at"] >= begin]
    if json:
        render.show_json_lines({name: value for name, value in row.items() if name != "commit_seq"} for row in found)
        return
    none = "No change matches." if filters or begin else "Nobody has changed anything by a command yet."
    render.show_rows(None, [_line(row) for row in found], none)
    if len(found) == limit < page.total:
        render.say(f"These are the newest {limit:,}; --limit shows more, --since and the other options choose.")


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text.strip())
        return to_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise UsageError(f"--since '{text}' is no time: write 2026-11-21, or 2026-11-21T02:00 (UTC).") from None


def _line(row: Row) -> Row:
    """A row of the audit log as a line of the table."""
    before, after = row["old_value"] or {}, row["new_value"] or {}
    known = after or before
    named = next((known[name] for name in _NAMES if known.get(name) is not None), row["object_id"])
    return {
        "when": f"{row['created_at'][:19]}Z",
        "who": row["actor_id"] or row["actor_role"],
        "did": row["action"],
        "to": f"{row['object_type']} {named}",
        "tenant": row["tenant_id"],
        "what": _difference(before, after) or None,
        "why": row["reason"],
    }


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The columns that differ, each with its value before and after; of a row that is new or gone, those that it has."""
    said = []
    for name in after.keys() | before.keys() if before and after else after or before:
        old, new = before.get(name), after.get(name)
        if old == new or name in _UNSAID or name.endswith("_id"):
            continue
        values = [_exactly(value) for value in ((old, new) if before and after else (new if after else old,))]
        said.append(f"{name} {' -> '.join(values)}")
    text = ", ".join(sorted(said))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _exactly(value: Any) -> str:
    """A value with all its digits: two that differ look different."""
    return f"{value:.12g}" if isinstance(value, float) else render.cell(value) or "none"
