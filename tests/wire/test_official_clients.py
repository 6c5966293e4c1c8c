"""The official SDKs read of the simulated providers what our decoders read: text, reasoning, tools, usage, finish, errors.

Two worlds of one seed say the same to the same first question: one is asked by the SDK, the other by a measurement.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import anthropic
import httpx
import httpx2
import openai
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter
from wire.decoding import decode_once
from wire.vendors import VENDORS, Reply

from providers.measure import measure
from providers.records import Deadlines, Measurement, Prompt
from providers.simulated import Simulated, running
from providers.transport import open_client

KEY = "canary-7d1f20c4"
EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
Dialect = Literal["chat", "messages"]
PROVIDERS: dict[str, tuple[str, str]] = {
    "chat": ("sim-aurora", "aurora-mini"),
    "messages": ("sim-cascade", "cascade-deep"),
}
both = pytest.mark.parametrize("dialect", PROVIDERS)


@pytest.fixture(scope="module")
def worlds() -> Iterator[tuple[Simulated, Simulated]]:
    """The SDK's and ours."""
    with running(seed=29, key=KEY) as theirs, running(seed=29, key=KEY) as ours:
        yield theirs, ours


@dataclass
class Read:
    """What a client made of an answer; usage and tool call as far as its API tells them."""

    text: str = ""
    reasoning: str = ""
    tool: str = ""
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    model: str | None = None
    request_id: str | None = None
    error: Exception | None = None
    events: list[Any] = field(default_factory=list)  # as JSON


def by_openai(simulated: Simulated, model: str, prompt: str, key: str = KEY, **options: Any) -> Read:
    """The answer as the `openai` SDK reads it; each chunk must be one by the SDK's own types."""
    base_url = simulated.spec(PROVIDERS["chat"][0]).base_url
    read = openai_reads(openai.DefaultHttpxClient(trust_env=False), model, prompt, key, base_url, **options)
    for event in read.events:
        ChatCompletionChunk.model_validate(event)
    return read


def openai_reads(
    http: Any, model: str, prompt: str = "Hi", key: str = KEY, base_url: str = "http://127.0.0.1", **options: Any
) -> Read:
    """What the `openai` SDK makes of what this HTTP client brings it."""
    read = Read()
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, http_client=http) as client:
        try:
            stream = client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": prompt}],
                stream=True,
                stream_options={"include_usage": True},
                **options,
            )
            read.request_id = stream.response.headers.get("x-request-id")
            for chunk in stream:
                read.events.append(chunk.to_dict())
                read.model = chunk.model
                if chunk.usage:
                    details = chunk.usage.completion_tokens_details
                    read.input_tokens, read.output_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
                    read.reasoning_tokens = details.reasoning_tokens if details else None
                for choice in chunk.choices:
                    if choice.delta is None:  # Azure's last chunk of a filtered answer has none
                        read.finish = choice.finish_reason or read.finish
                        continue
                    read.text += choice.delta.content or ""
                    read.reasoning += getattr(choice.delta, "reasoning", None) or ""
                    for call in choice.delta.tool_calls or []:
                        assert call.function is not None
                        read.tool += (call.function.name or "") + (call.function.arguments or "")
                    read.finish = choice.finish_reason or read.finish
        except openai.APIError as error:
            read.error = error
    return read


def by_anthropic(simulated: Simulated, model: str, prompt: str, key: str = KEY, max_tokens: int = 4096) -> Read:
    """The answer as the `anthropic` SDK adds it up; each event must be one by the SDK's own types."""
    read = Read()
    http = anthropic.DefaultHttpxClient(trust_env=False)
    base_url = simulated.spec(PROVIDERS["messages"][0]).base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0, http_client=http) as client:
        try:
            for event in client.messages.create(
                model=model, max_tokens=max_tokens, messages=[{"role": "user", "content": prompt}], stream=True
            ):
                read.events.append(event.to_dict())
                EVENTS.validate_python(read.events[-1])
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    read.text += event.delta.text
        except anthropic.APIError as error:
            read.error = error
    return read


def added_up(simulated: Simulated, model: str, prompt: str, max_tokens: int) -> Read:
    """The answer as the `anthropic` SDK's own accumulator sees it."""
    http = anthropic.DefaultHttpxClient(trust_env=False)
    base_url = simulated.spec(PROVIDERS["messages"][0]).base_url.removesuffix("/v1")
    with (
        anthropic.Anthropic(base_url=base_url, api_key=KEY, max_retries=0, http_client=http) as client,
        client.messages.stream(
            model=model, max_tokens=max_tokens, messages=[{"role": "user", "content": prompt}]
        ) as stream,
    ):
        message = stream.get_final_message()
        request_id = stream.response.headers.get("request-id")
    Message.model_validate(message.to_dict())
    read = Read(finish=message.stop_reason, model=message.model, request_id=request_id)
    read.input_tokens, read.output_tokens = message.usage.input_tokens, message.usage.output_tokens
    for block in message.content:
        match block.type:
            case "text":
                read.text += block.text
            case "thinking":
                read.reasoning += block.thinking
            case "tool_use":
                read.tool += block.name + json.dumps(block.input)
    return read


async def by_us(
    simulated: Simulated, dialect: str, model: str, prompt: str, key: str = KEY, limit: int | None = 4096
) -> Measurement:
    """The answer as a measurement has it."""
    spec = simulated.spec(PROVIDERS[dialect][0])
    async with open_client(spec) as client:
        return await measure(
            client,
            spec,
            model,
            Prompt(prompt, max_output_tokens=limit),
            api_key=key,
            deadlines=Deadlines(),
            request_id="r-1",
        )


ANSWERS = (
    "plain",
    "fault/thinking",
    "fault/tool_call",
    "fault/unicode",
    "fault/comments",
    "fault/crlf",
    "fault/no_space",
    "length",
)


@both
@pytest.mark.parametrize("name", ANSWERS)
async def test_the_sdk_and_our_decoders_read_the_same(
    worlds: tuple[Simulated, Simulated], dialect: str, name: str
) -> None:
    model = name if name.startswith("fault/") else PROVIDERS[dialect][1]
    prompt, limit = f"Tell me about {name}.", 14 if name == "length" else 4096
    if dialect == "chat":
        theirs = by_openai(worlds[0], model, prompt, max_completion_tokens=limit)
    else:
        theirs = added_up(worlds[0], model, prompt, limit)
    ours = await by_us(worlds[1], dialect, model, prompt, limit=limit)
    assert theirs.error is None
    assert ours.outcome == "ok"
    assert (ours.response_text, ours.finish_reason_raw) == (theirs.text, theirs.finish)
    assert (ours.input_tokens, ours.output_tokens) == (theirs.input_tokens, theirs.output_tokens)
    assert (ours.reasoning_tokens, ours.response_model) == (theirs.reasoning_tokens, theirs.model)
    assert ours.token_source == "provider"
    assert (ours.provider_request_id or "").startswith("req_")
    assert (theirs.request_id or "").startswith("req_")
    assert (theirs.reasoning != "") == (
        name == "fault/thinking" or (dialect == "messages" and model == PROVIDERS[dialect][1])
    )
    assert theirs.tool.replace(" ", "") == ('look_up{"animal":"spider"}' if name == "fault/tool_call" else "")
    assert (theirs.finish in {"length", "max_tokens"}) == (name == "length")
    assert theirs.text or name == "fault/tool_call"


@pytest.mark.parametrize("name", ANSWERS)
def test_each_event_of_the_messages_dialect_is_one_by_the_sdks_own_types(
    worlds: tuple[Simulated, Simulated], name: str
) -> None:
    model = name if name.startswith("fault/") else PROVIDERS["messages"][1]
    read = by_anthropic(worlds[0], model, f"Once more: {name}.")
    assert read.error is None
    assert [event["type"] for event in read.events[:2]] == ["message_start", "content_block_start"]
    assert read.events[-1]["type"] == "message_stop"


REFUSED = {
    "missing_404": (openai.NotFoundError, anthropic.NotFoundError),
    "rate_429": (openai.RateLimitError, anthropic.RateLimitError),
    "bad_400": (openai.BadRequestError, anthropic.BadRequestError),
    "forbid_403": (openai.PermissionDeniedError, anthropic.PermissionDeniedError),
    "invalid_422": (openai.UnprocessableEntityError, anthropic.UnprocessableEntityError),
    "error_500": (openai.InternalServerError, anthropic.InternalServerError),
    "overloaded_529": (openai.InternalServerError, anthropic.InternalServerError),
}


@both
@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_is_the_same_to_the_sdk_and_to_us(
    worlds: tuple[Simulated, Simulated], dialect: str, name: str
) -> None:
    read = (by_openai if dialect == "chat" else by_anthropic)(worlds[0], f"fault/{name}", "Hi")
    ours = await by_us(worlds[1], dialect, f"fault/{name}", "Hi")
    is_theirs_alike(read.error, ours, REFUSED[name][dialect == "messages"])


@both
async def test_a_wrong_key_is_the_same_to_the_sdk_and_to_us(worlds: tuple[Simulated, Simulated], dialect: str) -> None:
    model = PROVIDERS[dialect][1]
    read = (by_openai if dialect == "chat" else by_anthropic)(worlds[0], model, "Hi", key="another")
    ours = await by_us(worlds[1], dialect, model, "Hi", key="another")
    is_theirs_alike(
        read.error, ours, openai.AuthenticationError if dialect == "chat" else anthropic.AuthenticationError
    )
    assert ours.error_type == "authentication"


def is_theirs_alike(error: Exception | None, ours: Measurement, kind: type[Exception]) -> None:
    assert isinstance(error, kind)
    assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError)
    assert (ours.outcome, ours.status_code) == ("failed", error.status_code)
    assert ours.error_message is not None
    assert ours.error_message in json.dumps(error.body, ensure_ascii=False)
    assert ours.error_code in json.dumps(error.body)


@both
async def test_an_error_in_mid_stream_is_the_same_to_the_sdk_and_to_us(
    worlds: tuple[Simulated, Simulated], dialect: str
) -> None:
    read = (by_openai if dialect == "chat" else by_anthropic)(worlds[0], "fault/error_event", "Hi")
    ours = await by_us(worlds[1], dialect, "fault/error_event", "Hi")
    assert isinstance(read.error, openai.APIError | anthropic.APIError)
    assert (ours.outcome, ours.error_type, ours.error_code) == ("failed", "overloaded", "overloaded_error")
    assert "Overloaded in mid-stream." in str(read.error)
    assert ours.error_message == "Overloaded in mid-stream."
    assert (ours.response_text, read.text != "") == (read.text, True)


STREAMS = [
    pytest.param(reply, id=f"{vendor.name} {model}")
    for vendor in VENDORS
    for model, reply in vendor.answers.items()
    if vendor.provider_type != "anthropic" and reply.content_type == "text/event-stream"
]


@pytest.mark.parametrize("reply", STREAMS)
def test_of_what_vendors_send_the_sdk_reads_what_we_read(reply: Reply) -> None:
    whole = reply.body.rstrip() + b"\n\n"  # the SDK leaves out a last event without its blank line

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=whole, headers={"content-type": reply.content_type})

    read = openai_reads(openai.DefaultHttpxClient(transport=httpx2.MockTransport(answer)), "m")
    assert read.error is None
    ours = decode_once("chat", whole)
    assert ours.finish is not None
    assert ours.text == read.text.rpartition("</think>")[2]  # thinking inside the text is text to the SDK
    assert read.finish in {ours.finish[1], "stop"}  # the vendor's own word, if it has one, is ours
    if read.output_tokens is not None:  # usage in Groq's own place is not the SDK's
        assert ours.usage is not None
        assert (ours.usage.input_tokens, ours.usage.output_tokens) == (read.input_tokens, read.output_tokens)


@both
def test_a_whole_answer_is_one_by_the_sdks_own_types(worlds: tuple[Simulated, Simulated], dialect: str) -> None:
    spec, model = worlds[0].spec(PROVIDERS[dialect][0]), PROVIDERS[dialect][1]
    headers = {spec.auth_header: spec.auth_prefix + KEY, **spec.headers}
    body = {"model": model, "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}
    answer = httpx.post(spec.base_url + spec.chat_path, json=body, headers=headers, trust_env=False).json()
    (ChatCompletion if dialect == "chat" else Message).model_validate(answer)


def test_the_pages_of_models_are_read_by_the_sdk(worlds: tuple[Simulated, Simulated]) -> None:
    http = anthropic.DefaultHttpxClient(trust_env=False)
    base_url = worlds[0].spec("sim-cascade").base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=base_url, api_key=KEY, max_retries=0, http_client=http) as client:
        assert [model.id for model in client.models.list(limit=1)] == ["cascade-swift", "cascade-deep"]
