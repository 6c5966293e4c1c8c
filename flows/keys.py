"""Key references to keys. A key lives in the task that uses it and nowhere else: no parameter, row, file, log or artifact has it.

Keys are in HashiCorp Vault, at `secret/llm/{provider}` in the field `api_key`, each bound to the origin that it was stored for
(field `origin`): a provider whose base URL leads elsewhere since then gets no key and no request. The environment is consulted
in development mode only and only where no Vault is configured; the variable's name follows from the provider's key:
`my-gateway` reads MY_GATEWAY_API_KEY. A key that cannot be had stops its provider (fail closed).
"""

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from flows.errors import SecretUnavailable
from flows.settings import Settings, environment_key
from providers.records import ProviderSpec

if TYPE_CHECKING:
    from flows.vault import Vault

_PORTS = {"http": 80, "https": 443}
_LONGEST_ID = 200  # bytes of a provider's id that stand in a path as they are
LONGEST_KEY = 8192


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key (None: the provider works without) and, for people, where it came from."""

    value: SecretStr | None
    source: str
    is_from_environment: bool = False


def find_key(settings: Settings, spec: ProviderSpec) -> FoundKey:
    """The key for one provider and its source. It may ask Vault, for `vault.timeout_ms` at most.

    Raises SecretUnavailable, which names the way out.
    """
    if spec.is_simulated:
        return FoundKey(None, "a simulated provider needs none")
    if settings.vault_addr:
        return _from_vault(settings, spec)
    variable = variable_name(spec.key)
    value = environment_key(variable) if settings.development else None
    if value:
        if not is_usable(value):
            raise SecretUnavailable(f"{variable} holds a space or another character that no key has.", "void")
        return FoundKey(SecretStr(value), f"the environment, {variable}", is_from_environment=True)
    if not spec.key_required:
        return FoundKey(None, "none is stored, and it may work without")
    way_out = (
        f"set {variable}"
        if settings.development
        else f"set VAULT_ADDR and store one with 'scorehouse keys set {spec.key}', "
        f"or switch development mode on (SCOREHOUSE_DEV=1) and set {variable}"
    )
    raise SecretUnavailable(f"No key for provider {spec.key}: {way_out}.", "absent")


def store_key(settings: Settings, spec: ProviderSpec, key: SecretStr) -> str:
    """Put a provider's key into Vault, bound to the origin of its base URL, which is returned.

    Vault must be configured. Raises SecretUnavailable when it does not take the key.
    """
    bound_to = origin(spec.base_url)
    _vault(settings).write(secret_path(spec.key), {"api_key": key.get_secret_value(), "origin": bound_to})
    return bound_to


def announcement(settings: Settings) -> str | None:
    """What a person must know in development mode before requests go out; None in production."""
    if not settings.development:
        return None
    if settings.vault_addr:
        return "Development mode is on (SCOREHOUSE_DEV), but Vault is configured: keys come from Vault alone."
    return "Development mode (SCOREHOUSE_DEV): keys are read from the environment, not from Vault."


def variable_name(provider: str) -> str:
    """The environment variable that holds a provider's key in development mode."""
    return re.sub(r"[^A-Z0-9]", "_", provider.upper()) + "_API_KEY"


def secret_path(provider: str) -> str:
    """Where a provider's key lies in Vault, one folder deep whatever its id holds.

    An id of more than 200 bytes is named by its hash; the colon in that name is one that no quoted id has.
    """
    raw = provider.encode("utf-8", "surrogatepass")
    if len(raw) > _LONGEST_ID:
        name = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    elif provider.strip("."):
        name = quote(raw, safe="")
    else:  # '.' and '..' are folders to whoever reads a path
        name = provider.replace(".", "%2E")
    return f"secret/llm/{name}"


def origin(url: str) -> str:
    """`scheme://host:port` of a URL, the port always written. Raises ValueError if it has none of these."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not the URL of a web server")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}"


def is_usable(key: str) -> bool:
    """Whether a text can be a key: visible ASCII in one piece, as a header takes it."""
    return 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable() and " " not in key


def _from_vault(settings: Settings, spec: ProviderSpec) -> FoundKey:
    path = secret_path(spec.key)
    secret = _vault(settings).read(path)
    if secret is None:
        if not spec.key_required:
            return FoundKey(None, f"Vault has none at {path}, and it may work without")
        raise SecretUnavailable(
            f"No key for provider {spec.key}: Vault has none at {path}; store it with 'scorehouse keys set {spec.key}'.",
            "absent",
        )
    key = secret.get("api_key")
    if not isinstance(key, str) or not is_usable(key):
        raise SecretUnavailable(
            f"The secret {path} has no usable field 'api_key'; store it with 'scorehouse keys set {spec.key}'.", "void"
        )
    _check_origin(spec, path, secret)
    return FoundKey(SecretStr(key), f"Vault, {path}")


def _check_origin(spec: ProviderSpec, path: str, secret: dict[str, Any]) -> None:
    now = origin(spec.base_url)
    if secret.get("origin") is None:
        raise SecretUnavailable(
            f"The key at {path} is bound to no origin and is sent nowhere; store it with 'scorehouse keys set {spec.key}', "
            f"or add the field origin={now} to the secret.",
            "void",
        )
    try:
        bound_to = origin(str(secret["origin"]))
    except ValueError:
        bound_to = "something that is no address"
    if bound_to != now:
        raise SecretUnavailable(
            f"The key at {path} is bound to {bound_to}, but provider {spec.key} is at {now} now, so it is not sent; "
            f"if that address is right, store its key with 'scorehouse keys set {spec.key}'.",
            "void",
        )


def _vault(settings: Settings) -> "Vault":
    # hvac takes 0.3 s to import; only who has a Vault waits for it.
    from flows.vault import Access, connect  # noqa: PLC0415

    assert settings.vault_addr is not None  # whoever comes here has looked
    return connect(
        Access(
            address=settings.vault_addr,
            timeout_s=settings.vault.timeout_ms / 1000,
            token=settings.vault_token,
            role_id=settings.vault_role_id,
            secret_id=settings.vault_secret_id,
            namespace=settings.vault_namespace,
            ca_file=settings.vault_cacert,
        )
    )
