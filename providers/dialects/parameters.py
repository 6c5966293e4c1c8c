"""Which parameters a model is sent, and under which names: by its family, by what it refused before, by what a 400 says now.

A parameter goes out only if somebody set it. One that the model refuses is left out and named in the row; the limit of the
output and the system text are never left out, they are said in another way: a run's budget rests on the one, the question on
the other. Parameters have the names that they have in a request; `role.developer` and `role.system` stand for the role of
the system text.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.dialects import fields
from providers.errors import Refused, WireError
from providers.records import Family, Prompt, ProviderSpec

TOKEN_LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")
OPTIONAL = ("temperature",)  # what a prompt may set beside the output limit: sent under the same name, or dropped
SYSTEM_ROLES = ("developer", "system", "user")  # each is what comes after the refusal of the one before it

_REFUSING = (400, 422)
# A value out of range is the workload's mistake: the model takes the parameter.
_RANGE = re.compile(
    r"\b(between|range|less than|greater than|at least|at most|maximum|minimum|too (large|small|high|low|long)|exceed)",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unsupported|(not|n't) support|unrecogni[sz]ed|unknown|unexpected|deprecated|not permitted|not allowed|extra",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Wording:
    """How a request to one model is worded. `refused` parameters are not sent; `other_limit` says that the output limit
    could still go by its other name.
    """

    token_limit_field: str
    other_limit: bool
    system_role: str
    refused: frozenset[str] = field(default_factory=frozenset)


def wording_of(
    spec: ProviderSpec, model: str, *, raw: Mapping[str, Any] | None = None, rejected: Collection[str] = ()
) -> Wording:
    """How `model` (its external id) is spoken to.

    `raw` is its entry in the provider's listing, `rejected` are parameters that it refused before. A listing that names the
    parameters a model supports (`supported_parameters`) is believed: a gateway would leave the others out unsaid.
    """
    family = family_of(spec, model, raw or {})
    limit = family.token_limit_field or spec.token_limit_field
    others = [name for name in TOKEN_LIMIT_FIELDS if name != limit and limit in TOKEN_LIMIT_FIELDS]
    if limit in rejected and others and others[0] not in rejected:
        limit, others = others[0], [limit]
    first = SYSTEM_ROLES.index(family.system_role or "system")
    role = next((role for role in SYSTEM_ROLES[first:] if f"role.{role}" not in rejected), SYSTEM_ROLES[-1])
    supported = fields.items((raw or {}).get("supported_parameters"))
    unlisted = [name for name in OPTIONAL if supported and name not in supported]
    return Wording(
        token_limit_field=limit,
        other_limit=any(other not in rejected for other in others),
        system_role=role,
        refused=frozenset({*family.never_send, *rejected, *unlisted}),
    )


def add_optional(body: dict[str, Any], prompt: Prompt, wording: Wording) -> tuple[str, ...]:
    """Put what the prompt sets and the model takes into a request's body; the names of what it sets and the model refuses."""
    given = {name: value for name in OPTIONAL if (value := getattr(prompt, name)) is not None}
    body.update({name: value for name, value in given.items() if name not in wording.refused})
    return tuple(name for name in given if name in wording.refused)


def family_of(spec: ProviderSpec, model: str, raw: Mapping[str, Any]) -> Family:
    """The first family of `spec` that `model` belongs to; one that says nothing where there is none or nobody knows."""
    name = base_model(spec, model, raw)
    if name is not None:
        for family in spec.families:
            if family.models.match(name.lower()):
                return family
    return Family(re.compile(""))


def base_model(spec: ProviderSpec, model: str, raw: Mapping[str, Any]) -> str | None:
    """The name of the model behind an id; None for a deployment whose entry does not say.

    An entry may name it as `base_model`, as `model` (a name, or an object with one) or as `properties.model`; an entry of
    the listing itself has its own id, because a resource lists base models, not deployments.
    """
    if not spec.ids_are_deployments:
        return model
    for found in (raw.get("base_model"), raw.get("model"), fields.mapping(raw.get("properties")).get("model")):
        if name := fields.string(found) or fields.string(fields.mapping(found).get("name")):
            return name
    return fields.string(raw.get("id"))


def refused_parameter(error: WireError | None, adaptable: Collection[str]) -> str | None:
    """The one of the `adaptable` parameters of a request that a refusal is about, if any.

    The provider's own field counts (`error.param`, or `loc` of a validation error); without one, the message does: the
    parameter that it names first. A refusal of a value that is out of range is about none.
    """
    if not isinstance(error, Refused) or error.status_code not in _REFUSING or error.error_type != "bad_request":
        return None
    text = f"{error.error_code or ''} {error.message}"
    if _RANGE.search(text) and not _UNSUPPORTED.search(text):
        return None
    if error.parameters:
        segments = [set(re.split(r"[.\[\]]+", named.lower())) for named in error.parameters]
        return next((name for found in segments for name in adaptable if name.partition(".")[0] in found), None)
    places = {name: place for name in adaptable if (place := _place(name, error.message)) is not None}
    return min(places, key=places.__getitem__, default=None)


def _place(parameter: str, message: str) -> int | None:
    """Where a message names a parameter, as a word of its own; a role must be called one."""
    name, _, role = parameter.partition(".")
    if role and not re.search(r"\brole", message, re.IGNORECASE):
        return None
    found = re.search(rf"(?<![\w]){re.escape(role or name)}(?![\w])", message, re.IGNORECASE)
    return found.start() if found else None
