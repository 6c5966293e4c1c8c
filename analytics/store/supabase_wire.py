"""Calls of a Supabase project's functions over its REST interface: deadlines, retries, and what each failure means.

Only calls of functions (RPC) by POST go this way: nothing of a row stands in an address, no page is cut at the project's row
limit, and a redirect, which would take the service key along, is not followed. Every function may be called again
after a lost reply: their rows carry ids of ours.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import stamina
import uuid_utils
from postgrest.exceptions import APIError
from supabase import Client, SupabaseException, create_client
from supabase.lib.client_options import SyncClientOptions
from supabase_auth import SyncMemoryStorage

from analytics import sqlfiles
from analytics.errors import AnalyticsError, BadRows, SchemaMismatch, StoreUnavailable

stamina.instrumentation.set_on_retry_hooks([])  # a second try is no news; it would be printed to stdout

_SQLSTATE = re.compile(r"[0-9A-Z]{5}|PGRST\d{1,3}|PGRSTX\d\d")
# Connections, resources, an operator's doing, a lost race; PostgREST without its database.
_PASSING = ("08", "25006", "40", "53", "55P03", "57", "58", "PGRST000", "PGRST001", "PGRST002", "PGRST003")
_KEY_REFUSED = ("PGRST300", "PGRST301", "PGRST302", "PGRST303", "28")
_NO_SUCH_THING = ("PGRST202", "PGRST203", "PGRST204", "PGRST205", "42P01", "42703", "42883", "42704", "3F000", "42P02")
_UNUSABLE_ROW = ("22", "23", "54")  # values, constraints, what is too large for an index
_FINAL = {400, 401, 403, 404, 405, 410, 413, 414, 415, 422, 431}  # statuses that come again with the next try
_NAMED = re.compile(r"(?:public\.|scorehouse\.|relation \"?|column \"?)([a-z_]+)")


# What each function answers, as far as it is relied on: a proxy may answer in JSON too.
_NOTHING = type(None)
_ANSWERS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "activate_policy": {"policy": (dict, _NOTHING)},
    "add_policy": {"policy": (dict,)},
    "catalog_failed": {"found": (bool,)},
    "catalog_prices": {"prices": (list,)},
    "catalog_state": {"catalog": (dict, _NOTHING)},
    "change_rows": {"changed": (int,)},
    "commit_catalog": {"written": (int, _NOTHING)},
    "current_epoch": {"epoch": (str,)},
    "delete_rows": {"deleted": (int,)},
    "expire_events": {"expired": (int,)},
    "land_results": {"epoch": (str,), "rows": (int,), "fates": (list,)},
    "make_partitions": {"made": (list,)},
    "note_rejected_parameters": {"found": (bool,)},
    "read_events": {"rows": (list,)},
    "remove_rows": {"removed": (int,)},
    "reserve_budget": {"reservation": (dict, _NOTHING), "refusal": (dict, _NOTHING)},
    "select_rows": {"rows": (list,), "total": (int, _NOTHING)},
    "set_agent_models": {"rows": (list, _NOTHING), "unknown": (str, _NOTHING)},
    "settle_budget": {"reservation": (dict, _NOTHING), "over": (list,)},
    "stage_rows": {"staged": (int,)},
    "store_state": {"epoch": (str,), "migrations": (list, _NOTHING), "columns": (dict,)},
    "submit_feedback": {"feedback": (dict, _NOTHING)},
    "tally_events": {"days": (list,)},
    "touch_session": {"session": (dict, _NOTHING)},
    "unstage_rows": {"unstaged": (int,)},
    "write_rows": {"written": (int,)},
}


class Refusal(BadRows):
    """A row that the database does not take: `table` and `key` say which, where it said so."""

    def __init__(self, why: str, table: str | None = None, key: Any = None) -> None:
        super().__init__(why)
        self.table, self.key = table, key


class _Failed(Exception):
    """An answer that is none: `status` of HTTP, and what the body said. `passes`: worth another try."""

    def __init__(self, status: int, said: Mapping[str, Any], *, passes: bool) -> None:
        super().__init__(status)
        self.status, self.said, self.passes = status, said, passes

    @property
    def code(self) -> str:
        return str(self.said.get("code") or "")


class Wire:
    """One project. `timeout_s` bounds each wait on the connection, `patience_s` all tries of one call together."""

    def __init__(self, url: str, key: str, *, timeout_s: float, patience_s: float) -> None:
        self._host: Final = urlsplit(url).hostname or "the address given"
        self._key = key
        self._patience_s = patience_s
        self._is_closed = False
        self._http = httpx.Client(
            timeout=timeout_s,
            trust_env=False,  # no proxy that the environment names, no netrc
            follow_redirects=False,
            event_hooks={"response": [_judge]},
        )
        options = SyncClientOptions(
            auto_refresh_token=False,
            persist_session=False,
            storage=SyncMemoryStorage(),
            postgrest_client_retry=False,  # it would repeat reads alone, and not for what a write may meet
            httpx_client=self._http,
        )
        try:
            self._client: Client = create_client(url, key, options)
        except (SupabaseException, ValueError) as error:
            self._http.close()
            raise StoreUnavailable(
                f"SUPABASE_URL is no address of a Supabase project ({type(error).__name__})"
            ) from None

    def call(self, function: str, **values: Any) -> dict[str, Any]:
        """What a function answers, or the error that says what to do.

        Raises StoreUnavailable (what may pass has been tried again for `patience_s`), SchemaMismatch, Refusal.
        """
        if self._is_closed:
            raise StoreUnavailable(f"{self.name}: this store was closed")
        try:
            for attempt in stamina.retry_context(
                on=_may_pass, attempts=None, timeout=self._patience_s, wait_initial=0.1, wait_max=5.0, wait_jitter=0.2
            ):
                with attempt:
                    return self._once(function, values)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, APIError, _Failed) as error:
            raise self._explained(function, error) from None
        raise AssertionError("the last attempt returns or raises")

    def send(self, function: str, parts: Sequence[Any], **values: Any) -> dict[str, Any]:
        """Call a function that takes groups of rows. More than one part is staged first, so that it takes them as one."""
        if len(parts) < 2:
            return self.call(function, p_groups=parts[0] if parts else [], **values)
        batch = str(uuid_utils.uuid7())
        for number, part in enumerate(parts):
            self.call("stage_rows", p_batch=batch, p_part=number, p_groups=part)
        answer = self.call(function, p_groups=None, p_batch=batch, p_parts=len(parts), **values)
        self.call("unstage_rows", p_batch=batch)
        return answer

    def until_known(self, check: Callable[[], None]) -> None:
        """Check again for a while: PostgREST learns of new tables and functions a moment after they were made."""
        for attempt in stamina.retry_context(on=SchemaMismatch, attempts=None, timeout=self._patience_s, wait_max=0.5):
            with attempt:
                check()

    def close(self) -> None:
        self._is_closed = True
        self._http.close()

    @property
    def name(self) -> str:
        """The project, for messages."""
        return f"the Supabase project at {self._host}"

    def _once(self, function: str, values: Mapping[str, Any]) -> dict[str, Any]:
        data: Any = self._client.rpc(function, dict(values)).execute().data
        if isinstance(data, dict) and all(
            name in data and isinstance(data[name], kinds) for name, kinds in _ANSWERS[function].items()
        ):
            return data
        raise _Failed(200, {"message": f"that is not what {function} answers"}, passes=True)

    def _explained(self, function: str, error: Exception) -> AnalyticsError:
        if not isinstance(error, _Failed):
            # The text of an error of the connection may hold what the connection was given.
            return StoreUnavailable(
                f"{self.name} could not be reached ({type(error).__name__}); it was tried for a while"
            )
        code, message = error.code, self._redacted(str(error.said.get("message") or "no reason was given"))
        if code.startswith(_NO_SUCH_THING):
            return SchemaMismatch(f"{self.name}: {message}; {remedy(f'{function} {message}')}")
        if code.startswith(_UNUSABLE_ROW):
            where = error.said.get("details")
            named = where if isinstance(where, Mapping) else {}
            return Refusal(message, named.get("table"), named.get("key"))
        if code.startswith(_KEY_REFUSED) or error.status in {401, 403}:
            return StoreUnavailable(
                f"{self.name} does not take the service key ({error.status}: {message}); set SUPABASE_SERVICE_ROLE_KEY to the "
                "project's service_role key"
            )
        return StoreUnavailable(f"{self.name} answered {error.status}: {message}")

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "***")[:500]


def remedy(text: str) -> str:
    """What to do about something that is missing: the migration that makes it, and how it is applied."""
    files = sqlfiles.files("migrations/postgres")
    names = [name for name in _NAMED.findall(text) if len(name) > 1] + [text.split(maxsplit=1)[0]]
    makers = (
        stem
        for name in names
        for stem, path in files.items()
        if re.search(
            rf"\b(table|view|function)\s+(if not exists\s+)?(public\.|scorehouse\.)?{name}\b", path.read_text("utf-8")
        )
    )
    stem = next(makers, next(reversed(files), "the newest one"))
    return (
        f"the migration {stem} is missing or was undone: set SUPABASE_DB_URL and run `scorehouse db migrate`, or paste "
        f"sql/migrations/postgres/{stem}.sql into the project's SQL editor"
    )


def _judge(response: httpx.Response) -> None:
    """Let only JSON with a success through: the client itself takes a page with 200 for data, and forgets the status of others."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if response.is_success and kind == "application/json":
        return
    response.read()
    if response.is_success:
        raise _Failed(response.status_code, {"message": f"that is no data but {kind or 'nothing'}"}, passes=True)
    said = _document(response.text)
    if not isinstance(said, Mapping) or not _SQLSTATE.fullmatch(str(said.get("code") or "")):
        # Not PostgREST's word but that of something on the way.
        passes = response.status_code not in _FINAL
        raise _Failed(response.status_code, {"message": response.reason_phrase or "an error"}, passes=passes)
    details = _document(str(said.get("details") or ""))  # our own functions say more, in JSON
    raise _Failed(response.status_code, {**said, "details": details}, passes=str(said["code"]).startswith(_PASSING))


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _may_pass(error: Exception) -> bool:
    if isinstance(error, _Failed):
        return error.passes
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
