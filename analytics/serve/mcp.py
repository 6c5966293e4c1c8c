"""The lookup as tools for agents that speak the Model Context Protocol: route, explain, compare, performance, feedback.

What a tool gives back is the same JSON that Python and the command line give. Arguments that make no sense, unknown ones included,
are a tool error of one sentence: a limit that was misspelt must not be ignored.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from socket import socket
from typing import Annotated, Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from analytics.errors import AnalyticsError
from analytics.routing import Lookup, RouteQuery
from analytics.routing.records import Sort, Tier

_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
_INSTRUCTIONS = (
    "Ask route_model which model should take a query, within hard limits, before calling a model; read its reasons. "
    "Tell record_feedback afterwards how the answer was."
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Task = Annotated[str | None, Field(description="Task type: code, analysis, summarization, translation, ...")]
Agent = Annotated[str | None, Field(description="The agent that asks: only models enabled for it.")]
Tenant = Annotated[str | None, Field(description="The agent's tenant.")]
Names = Annotated[list[str] | None, Field(description="Keys, as provider/name; for providers their key.")]


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PartResult(_Result):
    """One term of a score: weight x value, both on 0..1."""

    name: str
    weight: float
    value: float
    basis: str


class EvidenceResult(_Result):
    """What the experience rests on: n ratings or graded answers with their mean and 95 % interval; of a quality shrunk to broader
    evidence, the share that is its own.
    """

    kind: str
    n: int
    quality: float
    low: float | None
    high: float | None
    as_of: str
    own_share: float | None
    basis: str | None


class TaskResult(_Result):
    """The task type, and where it comes from."""

    task: str
    source: str | None
    confidence: str | None


class FallbackResult(_Result):
    """The next best model within the same limits."""

    model: str
    provider: str
    display_name: str
    priority: int | None
    cost_tier: str | None
    score: float | None


class AnswerResult(_Result):
    """The model to take (null: none passes, `reasons` say what to relax), and why."""

    model: str | None
    provider: str | None
    display_name: str | None
    priority: int | None
    cost_tier: str | None
    score: float | None
    parts: list[PartResult]
    evidence: EvidenceResult | None
    fallbacks: list[FallbackResult]
    reasons: list[str]
    reason_codes: list[str]
    rejected: dict[str, int]
    task: TaskResult | None
    policy: str
    snapshot_id: str | None
    is_simulated: bool
    age_s: float | None
    is_stale: bool
    source: Literal["snapshot", "default", "none"]
    decision_id: str


class CandidateResult(FallbackResult):
    """A model that passed, with the terms of its score."""

    parts: list[PartResult] = Field(default_factory=list)


class DecisionResult(_Result):
    """A decision as it was made: the query, the answer, and the first of the models that `passed` every limit."""

    decision_id: str
    created_at: str
    query: dict[str, Any]
    answer: AnswerResult
    candidates: list[CandidateResult]
    passed: int | None
    configuration_id: str | None
    decision_ms: float | None


class ComparisonResult(_Result):
    """The answer for each model alone, best first; of one that does not pass, `model` is null and `reasons` say why."""

    compared: list["ComparedResult"]


class ComparedResult(_Result):
    """One of the models that were compared."""

    key: str
    answer: AnswerResult


class PerformanceRow(_Result):
    """Mean rating (0..1) over so many, requests, and mean latency of a model; null is unknown."""

    model: str
    avg_rating: float | None
    rating_n: int
    usage_count: int
    avg_latency_ms: float | None


class PerformanceResult(_Result):
    """A row per model, the best rated first."""

    models: list[PerformanceRow]


class FeedbackResult(_Result):
    """What was recorded; `rating` is null where a signal says nothing certain."""

    id: str
    message_id: str
    model: str
    rating: float | None
    feedback_type: str
    task_type: str | None
    recorded_at: str


@dataclass(frozen=True, slots=True)
class Services:
    """What the tools stand on beside the lookup: `explain` a decision's id, `performance` by task and agent, `record` feedback on a
    message. They may raise AnalyticsError and ValueError, whose sentence becomes the tool's error.
    """

    explain: Callable[[str], Mapping[str, Any]]
    performance: Callable[[str | None, str | None], list[dict[str, Any]]]
    record: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]


def make_server(lookup: Lookup, services: Services, *, version: str) -> MCPServer:
    """The server with its tools; `run_stdio_async` or `run_streamable_http_async` of it serves."""
    server = MCPServer("scorehouse", version=version, instructions=_INSTRUCTIONS, log_level="WARNING")
    _add_routing(server, lookup)
    _add_evidence(server, lookup, services)
    for tool in server._tool_manager.list_tools():  # noqa: SLF001  # there is no public way to refuse unknown arguments
        model = tool.fn_metadata.arg_model
        model.model_config["extra"] = "forbid"
        model.model_rebuild(force=True)
        tool.parameters["additionalProperties"] = False
    return server


def http_security(host: str, names: list[str]) -> TransportSecuritySettings:
    """Which Host and Origin headers are answered: those of loopback, or where others may reach the server the names they use."""
    own = [f"[{name}]" if ":" in name else name for name in (*LOOPBACK, *names)] if host in LOOPBACK or names else []
    hosts = [form for name in own for form in (name, f"{name}:*")]
    origins = [f"{scheme}://{form}" for form in hosts for scheme in ("http", "https")]
    return TransportSecuritySettings(enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins)


async def serve_http(
    server: MCPServer, host: str, listening: list[socket], names: list[str], token: str | None = None
) -> None:
    """Serve over streamable HTTP at sockets of `host` until it is stopped; with a `token` only to those who send it as `Authorization: Bearer`."""
    import uvicorn  # noqa: PLC0415  # half a second that stdio does not need

    app = server.streamable_http_app(host=host, transport_security=http_security(host, names))
    guarded = app if token is None else _guarded(app, token)
    await uvicorn.Server(uvicorn.Config(guarded, log_level="warning")).serve(sockets=listening)


def _guarded(app: ASGIApp, token: str) -> ASGIApp:
    """The app for those who know the token; the time a comparison takes says nothing of it."""
    expected = hashlib.sha256(token.encode()).digest()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, said = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        is_known = hmac.compare_digest(hashlib.sha256(said.strip()).digest(), expected)
        if scheme.lower() == b"bearer" and is_known:
            await app(scope, receive, send)
            return
        refusal = PlainTextResponse("A bearer token is needed.", 401, {"WWW-Authenticate": "Bearer"})
        await refusal(scope, receive, send)

    return answer


def _add_routing(server: MCPServer, lookup: Lookup) -> None:
    @server.tool(annotations=_READS)
    def route_model(
        task: Task = None,
        domain: Annotated[str | None, Field(description="Judge by this domain's benchmarks: math, coding, ...")] = None,
        agent: Agent = None,
        tenant: Tenant = None,
        role: Annotated[str | None, Field(description="Only models that this role may use.")] = None,
        user: Annotated[str | None, Field(description="Whose policy ranks.")] = None,
        message: Annotated[str | None, Field(description="Without a task: detect it from this.")] = None,
        session: Annotated[str | None, Field(description="A conversation that is to stay with one model.")] = None,
        session_model: Annotated[str | None, Field(description="The model that the session has now.")] = None,
        tools: Annotated[list[str] | None, Field(description="Tools called, to detect the task by.")] = None,
        attachments: Annotated[list[str] | None, Field(description="MIME types, to detect the task by.")] = None,
        need: Annotated[list[str] | None, Field(description="Capabilities it must have, all of them.")] = None,
        allow: Names = None,
        deny: Names = None,
        only: Names = None,
        ignore: Names = None,
        max_tier: Tier | None = None,
        max_price: Annotated[
            dict[str, float] | None, Field(description="prompt and completion, USD per 1M tokens.")
        ] = None,
        max_usd_per_query: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        min_context: Annotated[int | None, Field(description="Tokens.")] = None,
        max_ttft_p95_ms: float | None = None,
        max_latency_p95_ms: float | None = None,
        min_tps: float | None = None,
        max_failure_rate: Annotated[float | None, Field(description="0 to 1.")] = None,
        min_quality: Annotated[float | None, Field(description="0 to 1.")] = None,
        min_samples: int | None = None,
        max_age_s: float | None = None,
        policy: Annotated[str | None, Field(description="A stored policy by name, or a preset.")] = None,
        weights: Annotated[
            dict[str, float] | None, Field(description="priority, quality, latency, cost, reliability.")
        ] = None,
        sort: Sort | None = None,
        top: Annotated[int, Field(description="How many models to name, fallbacks included.")] = 3,
        allow_unknown: Annotated[bool, Field(description="A limit on what is unknown lets a model pass.")] = False,
        model_type: str = "chat",
    ) -> AnswerResult:
        """Which model should take a query within hard limits, with its fallbacks and the reasons in plain sentences."""
        given = {name: value for name, value in locals().items() if name not in {"lookup", "server"}}
        return AnswerResult(**lookup.route(_query(given)).to_dict())

    @server.tool(annotations=_READS)
    def compare_models(
        models: Annotated[list[str], Field(min_length=1, max_length=50, description="Keys, as provider/name.")],
        task: Task = None,
        domain: str | None = None,
        agent: Agent = None,
        tenant: Tenant = None,
        policy: str | None = None,
    ) -> ComparisonResult:
        """How given models stand against each other for a task: each one's score with its parts, evidence and figures."""
        about = {"task": task, "domain": domain, "agent": agent, "tenant": tenant, "policy": policy}
        answers = {
            key: lookup.route(_query({**about, "allow": [key], "top": 1})).to_dict() for key in dict.fromkeys(models)
        }
        ranked = sorted(answers, key=lambda key: (answers[key]["score"] is None, -(answers[key]["score"] or 0.0), key))
        return ComparisonResult(
            compared=[ComparedResult(key=key, answer=AnswerResult(**answers[key])) for key in ranked]
        )


def _add_evidence(server: MCPServer, lookup: Lookup, services: Services) -> None:
    @server.tool(annotations=_READS)
    def explain_route(
        decision_id: Annotated[str, Field(min_length=1, description="The decision_id of an answer.")],
    ) -> DecisionResult:
        """Why an earlier decision was made, with the models it weighed; also when its snapshot is gone."""
        if lookup.log is not None:
            lookup.log.flush()  # what was decided a moment ago may still wait for its line
        return DecisionResult(**_asked(lambda: services.explain(decision_id)))

    @server.tool(annotations=_READS)
    def model_performance(task: Task = None, agent: Agent = None) -> PerformanceResult:
        """How each model did: mean rating, use and latency, over everything or at one task and for one agent."""
        rows = _asked(lambda: services.performance(task, agent))
        return PerformanceResult(models=[PerformanceRow(**row) for row in rows])

    @server.tool(annotations=_WRITES)
    def record_feedback(
        message_id: Annotated[str, Field(min_length=1, description="The message that is rated.")],
        rating: Annotated[float | None, Field(ge=0, le=1, description="0 (useless) to 1 (perfect).")] = None,
        signal: Annotated[
            Literal["regenerate", "copy", "continue", "abandon"] | None, Field(description="What the reader did.")
        ] = None,
        model: Annotated[str | None, Field(description="Who answered, where the message was never recorded.")] = None,
        task: Task = None,
        agent: Agent = None,
        tenant: Tenant = None,
        user: Annotated[str | None, Field(description="Who rates.")] = None,
    ) -> FeedbackResult:
        """Rate one answer, by a number or by what its reader did; the next route_model takes it into account."""
        given = {
            "rating": rating, "signal": signal, "model": model, "task_type": task, "agent_id": agent, "tenant_id": tenant, "user_id": user,
        }  # fmt: skip
        row = _asked(lambda: services.record(message_id, given))
        if row.get("rating") is not None:
            lookup.note_feedback(
                row["model"], row["rating"], task=row.get("task_type"), agent=row.get("agent_id"), tenant=row.get("tenant_id"),
                user=row.get("user_id"), message_id=message_id,
            )  # fmt: skip
        told = {name: row.get(name) for name in ("id", "message_id", "model", "rating", "feedback_type", "task_type")}
        return FeedbackResult(**told, recorded_at=row["created_at"])


def _query(given: Mapping[str, Any]) -> RouteQuery:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    try:
        return RouteQuery(**{name: value for name, value in fields.items() if value is not None})
    except ValueError as error:
        raise ToolError(str(error)) from None


def _asked(service: Callable[[], Any]) -> Any:
    try:
        return service()
    except (AnalyticsError, ValueError) as error:
        raise ToolError(str(error)) from None
