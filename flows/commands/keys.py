"""`scorehouse keys`: put a provider's key into Vault, and see whether keys are there. No key is ever printed or an option."""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from analytics.errors import AnalyticsError, StoreUnavailable
from analytics.store import Actor, Row, now_text
from analytics.store.audit import row_of
from flows import render
from flows.commands.options import By, Json, Reason, actor_of
from flows.commands.rows import ProviderKey
from flows.errors import FlowError, SecretUnavailable, UsageError
from flows.keys import LONGEST_KEY, announcement, find_key, is_usable, secret_path, store_key, variable_name
from flows.settings import Settings, load_settings
from flows.warehouse import make_store, open_store
from providers.errors import BadProvider
from providers.specs import make_spec

keys = typer.Typer(no_args_is_help=True, help="Keys in Vault: set, check.")

_AT_ONCE = 8  # questions to Vault, so that a hundred providers do not wait for a hundred deadlines


@keys.command("set")
def set_key(provider: ProviderKey, by: By = None, reason: Reason = None, json: Json = False) -> None:
    """Store a provider's key in Vault, bound to the address it has now. The key comes from stdin, or a hidden prompt."""
    settings = load_settings()
    try:
        (row,) = _providers(settings, provider)
    except StoreUnavailable as error:  # nobody can say at which address the key would be spent
        raise FlowError(f"No key of {provider} was stored: {error}") from None
    spec = make_spec(row)
    if spec.is_simulated:
        raise UsageError(f"{provider} is simulated and needs no key.")
    if not settings.vault_addr:
        instead = f"; development mode reads {variable_name(provider)}" if settings.development else ""
        raise UsageError(
            f"No Vault is configured: set VAULT_ADDR, and VAULT_TOKEN or VAULT_ROLE_ID and VAULT_SECRET_ID{instead}."
        )
    key, actor = _ask(provider), actor_of(by, reason)
    if any(key.get_secret_value() in (said or "") for said in (by, reason)):
        raise UsageError("--by or --reason has the key in it, and the audit log is no place for one.")
    bound_to = store_key(settings, spec, key)
    path = secret_path(provider)
    if json:
        render.show_json({"provider": provider, "api_key_vault_path": path, "origin": bound_to})
    render.say(f"Stored in Vault at {path}, for requests to {bound_to} alone.")
    _record(settings, row, actor)


@keys.command("check")
def check_keys(
    provider: Annotated[str | None, typer.Argument(metavar="[PROVIDER]", help="Only this one.")] = None,
    json: Json = False,
) -> None:
    """Is each active provider's key there, and where does it come from? Exit 1 if one is missing."""
    settings = load_settings()
    if notice := announcement(settings):
        render.say(notice)
    providers = _providers(settings, provider)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda row: _look(settings, row), providers))
    if json:
        render.show_json_lines(found)
    else:
        columns = ("provider", "key", "source")
        rows = [{name: entry[name] for name in columns} for entry in found]
        render.show_rows(None, rows, "There are no providers yet: 'scorehouse providers add'.")
    _complain(found)


def _record(settings: Settings, row: Row, actor: Actor) -> None:
    """Tell the audit log that the provider has a key now, and nothing of the key. Vault keeps it whether or not the store takes that."""
    subject, told = ("providers", row["id"]), (None, {"provider": row["key"]})
    done = row_of(actor, "set_key", subject, told, tenant=None, at=now_text())
    try:
        with make_store(settings) as store:
            store.write("audit_log", [done])
    except (AnalyticsError, OSError) as error:
        render.say(f"The key is set, but the audit log does not say so: {str(error).removesuffix('.')}.")


def _complain(found: Iterable[Row]) -> None:
    problems = [entry for entry in found if entry["error"]]
    for entry in problems:
        render.say(f"{entry['provider']}: {entry['error']}")
    if problems:
        raise typer.Exit(1)


def _look(settings: Settings, row: Row) -> dict[str, Any]:
    """One provider's line: `key` is present, not needed, absent, void or unavailable."""
    entry: dict[str, Any] = {"provider": row["key"], "key": "unavailable", "source": None, "error": None}
    try:
        found = find_key(settings, make_spec(row))
    except SecretUnavailable as error:
        return entry | {"key": error.state, "error": str(error)}
    except BadProvider as error:
        return entry | {"error": f"{error}."}
    return entry | {"key": "present" if found.value else "not needed", "source": found.source}


def _providers(settings: Settings, provider: str | None) -> list[Row]:
    """The named provider's row, or those of all active ones."""
    with open_store(settings) as store:
        rows = store.select("providers", {"key": provider} if provider else {"is_active": True}, order="key").items
    if provider and not rows:
        raise UsageError(f"There is no provider '{provider}'; 'scorehouse providers list' shows those that are there.")
    return rows


def _ask(provider: str) -> SecretStr:
    """The key, from a hidden prompt on a terminal, else from stdin. It is not repeated in what is wrong with it."""
    if sys.stdin.isatty():
        text = typer.prompt(f"Key of {provider} (hidden)", hide_input=True, err=True)
    else:
        text = sys.stdin.buffer.read(LONGEST_KEY + 3).decode("utf-8", "replace")
    key = text.strip()
    if not key:
        raise UsageError("There is no key on stdin; type it at the prompt, or pipe it in.")
    if not is_usable(key):
        raise UsageError(f"That is no key: one has at most {LONGEST_KEY} visible ASCII characters and no space in it.")
    return SecretStr(key)
