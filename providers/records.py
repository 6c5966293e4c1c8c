"""The nouns of the wire: a provider as data, a catalog entry, a prompt, and one measured request.

Durations are milliseconds from one monotonic clock, money is USD, prices are USD per 1M tokens, times are UTC.
What is not known is None, never 0.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

Outcome = Literal["ok", "incomplete", "failed", "aborted", "skipped"]
Dialect = Literal["chat", "messages"]


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one provider that are spoken to in another way than the rest: those whose id begins with what `models` matches.

    None says "as the provider's other models". `system_role` is the role of a system text; `user` puts it in front of the
    question. `never_send` are parameters that these models refuse.
    """

    models: re.Pattern[str]
    token_limit_field: str | None = None
    system_role: str | None = None
    never_send: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """How one provider is spoken to: its type's TOML file, with the fields its user set laid over it.

    `auth_header` and `auth_prefix` make the credential header (`Authorization: Bearer ...`); it is omitted without a key.
    `chat_path` and `models_path` are joined to `base_url`; `token_limit_field` is the name of the output limit in a request;
    `query` and `headers` go with each request; `models_shape` names the adapter that reads the models endpoint. Of `families`
    the first that matches counts; where `ids_are_deployments` an id says nothing of the model behind it. `genai_provider` is
    who the price library takes it for; None: the library's prices are not this provider's. Unless `zero_is_free` a listed price
    of 0 may mean "not priced".
    """

    key: str
    provider_type: str
    dialect: Dialect
    base_url: str
    chat_path: str
    models_path: str
    auth_header: str = "Authorization"
    auth_prefix: str = "Bearer "
    key_required: bool = True
    token_limit_field: str = "max_tokens"  # noqa: S105  # a field's name, not a secret
    send_stream_options: bool = True
    families: tuple[Family, ...] = ()
    ids_are_deployments: bool = False
    models_shape: str = "openai"
    genai_provider: str | None = None
    zero_is_free: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    default_models: tuple[str, ...] = ()
    rate_limit_rpm: int | None = None
    is_simulated: bool = False
    is_private_allowed: bool = False  # its host may lead to addresses that are not of the public internet


@dataclass(frozen=True, slots=True)
class Model:
    """A catalog entry as its provider describes it.

    `capabilities` maps a capability (text, vision, code, audio, long_context, function_calling) to the origin of the claim:
    declared, catalogue or inferred. An absent capability is unknown. Prices are USD per 1M tokens; `price_problem` is a sentence
    about a price that is none, and then there are no others. `raw` is the
    provider's entry as JSON in UTF-8 with sorted names: 50,000 of them as objects would be half a gigabyte.
    """

    external_id: str
    display_name: str
    model_type: str = "chat"
    capabilities: Mapping[str, str] = field(default_factory=dict)
    context_window: int | None = None
    input_price_per_m: Decimal | None = None
    output_price_per_m: Decimal | None = None
    cached_input_price_per_m: Decimal | None = None
    price_problem: str | None = None
    cost_tier: str | None = None
    raw: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent: one user message, an optional system text, and only those parameters that somebody set."""

    text: str
    system: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Milliseconds until a request is given up: to the first byte, between two bytes, and in all."""

    first_byte_ms: float = 30_000
    idle_ms: float = 30_000
    total_ms: float = 120_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reports them; input and output are the inclusive totals."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None
    cost_usd: float | None = None
    provider_time_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was seen of one request on the wire.

    All `*_ms` are milliseconds; but for `client_wait_ms`, `connect_ms` and `call_latency_ms` they count from the last
    byte of the request written. `total_latency_ms` is None when the end of the stream was not seen (a deadline).
    The truth of `ttft_ms` and `total_latency_ms` lies at most `timing_uncertainty_ms` below them.
    `tps` = (output_tokens - 1) / (last token - first token). `success` is `outcome == "ok"`. `cost_usd` is what the
    provider itself reported; in a `BenchmarkResult` also what its price makes it. `rate_limits` is what the headers said
    (see `providers.rate_limits`); `dropped_parameters` are those that the prompt set and the model refuses.
    """

    outcome: Outcome
    success: bool
    status_code: int | None = None
    error_type: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    finish_reason: str | None = None
    finish_reason_raw: str | None = None
    response_text: str | None = None
    response_model: str | None = None
    provider_request_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None
    token_source: Literal["provider", "estimated"] | None = None
    client_wait_ms: float | None = None
    connect_ms: float | None = None
    connection_reused: bool | None = None
    headers_ms: float | None = None
    first_event_ms: float | None = None
    first_reasoning_ms: float | None = None
    ttft_ms: float | None = None
    total_latency_ms: float | None = None
    call_latency_ms: float | None = None
    max_gap_ms: float | None = None
    inter_token_p50_ms: float | None = None
    provider_time_ms: float | None = None
    timing_source: Literal["kernel", "socket"] | None = None
    timing_uncertainty_ms: float | None = None
    tps: float | None = None
    cost_usd: float | None = None
    rate_limits: Mapping[str, Any] | None = None
    dropped_parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult(Measurement):
    """One measured request with all that identifies, prices and grades it: a row of `benchmark_results`, field for column."""

    id: str
    run_id: str
    provider_id: str | None
    model_id: str | None
    provider: str
    model: str
    is_simulated: bool
    workload_id: str
    workload_version: str
    domain: str | None = None
    benchmark_id: str | None = None
    repeat: int = 0
    cost_source: Literal["provider", "price"] | None = None
    price_id: str | None = None
    correct: bool | None = None
    confidence: float | None = None
    created_at: datetime
