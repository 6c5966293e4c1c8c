"""Key references to keys. A key lives in the task that uses it and nowhere else: no parameter, row, log or artifact has it.

A provider that needs a key and has none gets no request (fail closed). The environment is consulted in development mode
only, and the variable's name follows from the provider's key: `my-gateway` reads MY_GATEWAY_API_KEY.
"""

import re

from pydantic import SecretStr

from flows.errors import SecretUnavailable
from flows.settings import Settings, environment_key
from providers.records import ProviderSpec


def variable_name(provider: str) -> str:
    """The environment variable that holds a provider's key in development mode."""
    return re.sub(r"[^A-Z0-9]", "_", provider.upper()) + "_API_KEY"


def api_key(settings: Settings, spec: ProviderSpec) -> SecretStr | None:
    """The key for one provider; None where it works without. Raises SecretUnavailable, which names the way out."""
    if spec.is_simulated:
        return None
    variable = variable_name(spec.key)
    value = environment_key(variable) if settings.development else None
    if value:
        return SecretStr(value)
    if not spec.key_required:
        return None
    way_out = (
        f"set {variable}"
        if settings.development
        else f"switch development mode on (SCOREHOUSE_DEV=1) and set {variable}"
    )
    raise SecretUnavailable(f"No key for provider {spec.key}: {way_out}.")
