"""HashiCorp Vault (or OpenBao) by hvac: secrets of the KV engine, version 2, mounted at `secret`.

One look takes a few seconds at most, follows no redirect, uses no proxy and nothing of the environment. Whatever goes wrong is a
SecretUnavailable of one sentence that names the way out and quotes nothing: errors of HTTP clients hold URLs and headers.
"""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import hvac
import requests
from hvac import exceptions
from pydantic import SecretStr

from flows.errors import SecretUnavailable
from providers.addresses import is_loopback

T = TypeVar("T")

_MOUNT = "secret"


@dataclass(frozen=True, slots=True)
class Access:
    """Where Vault is and who asks: a token, or an AppRole's two ids. `ca_file` replaces the usual authorities."""

    address: str
    timeout_s: float
    token: SecretStr | None = None
    role_id: SecretStr | None = None
    secret_id: SecretStr | None = None
    namespace: str | None = None
    ca_file: str | None = None

    @property
    def is_app_role(self) -> bool:
        """An AppRole asks, even if there is a token as well."""
        return bool(self.role_id and self.secret_id)


@dataclass(frozen=True, slots=True)
class _Lease:
    """A token of Vault; past `renew_at` (monotonic seconds), half of its life, it is renewed or replaced."""

    token: str = field(repr=False)
    is_renewable: bool = False
    renew_at: float = math.inf


class _Strange(Exception):
    """An answer that is no answer of Vault's; its text is ours."""


# What a person reads, the first that fits: requests' own errors are among OSError and ValueError.
_SAID: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (
        (TimeoutError, requests.Timeout),
        "{vault} did not answer within {seconds}; see whether it is well ('vault status').",
    ),
    (
        requests.exceptions.SSLError,
        "{vault} has no certificate that can be trusted; set VAULT_CACERT to the file of its authority.",
    ),
    (requests.ConnectionError, "{vault} cannot be reached; see whether it runs and VAULT_ADDR is right."),
    (exceptions.VaultDown, "{vault} is sealed or standing by; unseal it ('vault operator unseal')."),
    (exceptions.VaultNotInitialized, "{vault} is not initialized; 'vault operator init' does it."),
    (
        (exceptions.Forbidden, exceptions.Unauthorized),
        "{vault} refuses {doing}: {ours} expired, was revoked or has no policy for it; renew it or widen the policy.",
    ),
    (exceptions.InvalidRequest, "{vault} does not accept {ours} or the request for {doing}; renew it."),
    (
        exceptions.InvalidPath,
        "{vault} has nothing for {doing}; mount a KV engine, version 2, at 'secret' (and enable AppRole, if you use it).",
    ),
    (exceptions.VaultError, "{vault} failed at {doing} by an error of its own; its log says why."),
    (_Strange, "{vault} answered {doing} with {error}; see whether VAULT_ADDR is right."),
    (
        Exception,
        "Asking {vault} failed before an answer ({kind}); see whether VAULT_CACERT is a readable file and {ours} is plain text.",
    ),
)


@cache
def connect(access: Access) -> "Vault":
    """One `Vault` per process and access: an AppRole logs in once for all providers of a run. Nothing is sent yet.

    Raises SecretUnavailable for an access that cannot work.
    """
    return Vault(access)


class Vault:
    """Reads and writes secrets; safe to use from many threads. Of all it reads it keeps its own token only."""

    def __init__(self, access: Access) -> None:
        _check(access)
        self._access = access
        self._lock = threading.Lock()
        self._lease: _Lease | None = None

    def read(self, path: str) -> dict[str, Any] | None:
        """The fields of the secret at `path` (`secret/llm/groq`), None if there is none. Raises SecretUnavailable."""

        def ask(client: hvac.Client) -> dict[str, Any] | None:
            try:
                answer = client.secrets.kv.v2.read_secret_version(
                    path=_below_mount(path), mount_point=_MOUNT, raise_on_deleted_version=True
                )
            except exceptions.InvalidPath:
                return None
            fields = _part(_part(answer, "data"), "data")
            return fields if isinstance(fields, dict) else _strange()

        return self._within_deadline(lambda: self._as_ourselves(ask), f"reading {path}")

    def write(self, path: str, fields: dict[str, str]) -> None:
        """Make `fields` the secret at `path`; Vault keeps the older version. Raises SecretUnavailable."""

        def put(client: hvac.Client) -> None:
            answer = client.secrets.kv.v2.create_or_update_secret(
                path=_below_mount(path), secret=fields, mount_point=_MOUNT
            )
            _part(answer, "data")

        self._within_deadline(lambda: self._as_ourselves(put), f"writing {path}")

    def _within_deadline(self, work: Callable[[], T], doing: str) -> T:
        """`work`'s result, or a sentence about what went wrong.

        The deadline has its own clock, in a thread that is left behind when it expires: an HTTP client's is per read.
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  # it is raised again where it is waited for
                future.set_exception(error)

        threading.Thread(target=run, daemon=True, name="vault").start()
        try:
            return future.result(self._access.timeout_s)
        except Exception as error:  # noqa: BLE001  # whatever it was: no key, and a sentence instead of a run that ends
            message = self._sentence(error, doing)
        # Out of the handler: the error above holds URLs and headers, and would travel along as context.
        raise SecretUnavailable(message, "unavailable")

    def _as_ourselves(self, work: Callable[[hvac.Client], T]) -> T:
        """Run `work` with a valid token; an AppRole whose token was revoked meanwhile logs in once more."""
        lease = self._valid_lease(None)
        try:
            return self._with_client(lease.token, work)
        except exceptions.Forbidden:
            if not self._access.is_app_role:
                raise
        return self._with_client(self._valid_lease(lease).token, work)

    def _valid_lease(self, refused: _Lease | None) -> _Lease:
        """Our token, got, renewed or (if it is the `refused` one) replaced as its life demands."""
        with self._lock:
            if self._lease is None or self._lease is refused:
                self._lease = self._log_in()
            elif time.monotonic() >= self._lease.renew_at:
                self._lease = self._renew(self._lease)
            return self._lease

    def _log_in(self) -> _Lease:
        access = self._access
        if access.role_id and access.secret_id:  # as `is_app_role` says
            role_id, secret_id = access.role_id.get_secret_value(), access.secret_id.get_secret_value()
            return self._with_client(
                "", lambda client: _lease(client.auth.approle.login(role_id, secret_id, use_token=False))
            )
        assert access.token is not None  # `_check` saw one of the two
        token = access.token.get_secret_value()
        try:
            data = _part(self._with_client(token, lambda client: client.auth.token.lookup_self()), "data")
        except exceptions.Forbidden:  # its policy may forbid the question alone: reading will tell
            return _Lease(token)
        left, whole = _seconds(data.get("ttl")), _seconds(data.get("creation_ttl"))
        if not data.get("renewable") or left is None or whole is None:  # a root token has no end
            return _Lease(token)
        lease = _Lease(token, is_renewable=True, renew_at=time.monotonic() + left - whole / 2)
        return self._renew(lease) if time.monotonic() >= lease.renew_at else lease

    def _renew(self, lease: _Lease) -> _Lease:
        """The same token with a longer life; where Vault does not renew it, an AppRole's new one, or the old to its end."""
        if lease.is_renewable:
            try:
                return self._with_client(lease.token, lambda client: _lease(client.auth.token.renew_self()))
            except (exceptions.Forbidden, exceptions.InvalidRequest):
                pass  # revoked, or as old as it may get
        return self._log_in() if self._access.is_app_role else _Lease(lease.token)

    def _with_client(self, token: str, work: Callable[[hvac.Client], T]) -> T:
        with requests.Session() as session:
            session.trust_env = False  # no proxy, no .netrc, no other authorities than configured
            session.verify = self._access.ca_file or True
            client = hvac.Client(
                url=self._access.address,
                token=token,
                cert=(),  # type: ignore[arg-type]  # with None, hvac looks into the environment
                timeout=math.ceil(self._access.timeout_s),
                allow_redirects=False,
                session=session,
                namespace=self._access.namespace,
            )
            return work(client)

    def _sentence(self, error: Exception, doing: str) -> str:
        parts = urlsplit(self._access.address)
        vault = f"Vault at {parts.scheme}://{parts.netloc}"
        ours = "the AppRole of VAULT_ROLE_ID" if self._access.is_app_role else "the token of VAULT_TOKEN"
        said = next(said for kinds, said in _SAID if isinstance(error, kinds))
        return said.format(
            vault=vault,
            ours=ours,
            doing=doing,
            error=error,
            seconds=f"{self._access.timeout_s:g} s",
            kind=type(error).__name__,
        )


def _check(access: Access) -> None:
    """Refuse what cannot work, or would send a token in clear, before anything is sent. No value is repeated."""
    try:
        parts = urlsplit(access.address)
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable or not access.address.isprintable() or any(one in access.address for one in " @?#"):
        raise SecretUnavailable("VAULT_ADDR is not the address of a Vault; write https://HOST:PORT.", "unavailable")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise SecretUnavailable(
            "VAULT_ADDR must begin with https:// (http only for this machine): keys would cross the network in clear.",
            "unavailable",
        )
    if not access.token and not access.is_app_role:
        raise SecretUnavailable(
            "VAULT_ADDR is set, but not who asks: set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID.", "unavailable"
        )


def _below_mount(path: str) -> str:
    return path.removeprefix(f"{_MOUNT}/")


def _lease(answer: Any) -> _Lease:
    """The token of a login or a renewal."""
    auth = _part(answer, "auth")
    token, seconds = auth.get("client_token"), _seconds(auth.get("lease_duration"))
    if not isinstance(token, str) or not token:
        _strange()
    return _Lease(token, bool(auth.get("renewable")), math.inf if seconds is None else time.monotonic() + seconds / 2)


def _seconds(value: Any) -> float | None:
    """A span of life; None is one without end, which Vault writes as 0."""
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _part(answer: Any, name: str) -> dict[str, Any]:
    """One object of an answer. hvac hands over what is no JSON, and redirects, as the bare response."""
    if isinstance(answer, requests.Response) and answer.is_redirect:
        raise _Strange("a redirect, which is not followed")
    part = answer.get(name) if isinstance(answer, dict) else None
    return part if isinstance(part, dict) else _strange()


def _strange() -> NoReturn:
    raise _Strange("something that is not a secret of a KV engine, version 2")
