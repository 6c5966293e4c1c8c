"""Which parameters go out: only those that somebody set, named as the model's family wants, without what a 400 refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.loopback import CHAT, DONE, MESSAGES, SOON, Conversation, data, said, serving

from providers.dialects import DIALECTS, chat, messages
from providers.dialects.parameters import (
    OPTIONAL,
    SYSTEM_ROLES,
    TOKEN_LIMIT_FIELDS,
    base_model,
    refused_parameter,
    wording_of,
)
from providers.errors import Garbled, Refused
from providers.measure import measure
from providers.records import Prompt, ProviderSpec
from providers.specs import load, make_spec, provider_types
from providers.transport import open_client

FULL = Prompt("How many legs has a spider?", system="Be brief.", max_output_tokens=64, temperature=0.0)
ALL = ("role.developer", "stream_options", "max_completion_tokens", "temperature")


def spec_of(provider_type: str) -> ProviderSpec:
    url = "https://mine.openai.azure.com" if provider_type == "azure" else None
    return make_spec({"key": "mine", "provider_type": provider_type, "base_url": url})


def body_of(spec: ProviderSpec, model: str, prompt: Prompt = FULL, **known: Any) -> dict[str, Any]:
    request = DIALECTS[spec.dialect].build_request(spec, model, prompt, wording_of(spec, model, **known))
    body: dict[str, Any] = json.loads(request.body)
    return body


def dropped(spec: ProviderSpec, model: str, **known: Any) -> tuple[str, ...]:
    return DIALECTS[spec.dialect].build_request(spec, model, FULL, wording_of(spec, model, **known)).dropped


# -- families -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "role", "takes_temperature"),
    [
        ("gpt-4o-mini", "system", True),
        ("gpt-4.1", "system", True),
        ("gpt-3.5-turbo", "system", True),
        ("ft:gpt-4o-mini:acme::1", "system", True),
        ("gpt-5-chat-latest", "system", True),
        ("GPT-5", "developer", False),
        ("gpt-5-mini", "developer", False),
        ("gpt-5.1", "developer", False),
        ("gpt-5.1-chat-latest", "developer", False),
        ("gpt-6-sol", "developer", False),
        ("gpt-10", "developer", False),
        ("o1", "developer", False),
        ("o3-mini", "developer", False),
        ("ft:o4-mini:acme::1", "developer", False),
        ("omni-moderation", "system", True),
    ],
)
def test_openais_reasoning_models_have_another_role_and_no_temperature(
    model: str, role: str, takes_temperature: bool
) -> None:
    body = body_of(spec_of("openai"), model)
    assert [message["role"] for message in body["messages"]] == [role, "user"]
    assert body["max_completion_tokens"] == 64
    assert ("temperature" in body) is takes_temperature
    assert dropped(spec_of("openai"), model) == (() if takes_temperature else ("temperature",))


@pytest.mark.parametrize("model", ["o1-mini", "o1-mini-2024-09-12", "o1-preview"])
def test_a_model_without_roles_gets_the_system_text_in_front_of_the_question(model: str) -> None:
    body = body_of(spec_of("openai"), model)
    assert body["messages"] == [{"role": "user", "content": "Be brief.\n\nHow many legs has a spider?"}]
    assert body_of(spec_of("openai"), model, Prompt("Hi"))["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("model", "takes_temperature"),
    [
        ("claude-opus-4-7", False),
        ("claude-opus-4-8-20260901", False),
        ("claude-opus-5", False),
        ("claude-sonnet-5-20260701", False),
        ("claude-fable-5", False),
        ("claude-mythos-5", False),
        ("claude-opus-4-6", True),
        ("claude-opus-4-20250514", True),
        ("claude-sonnet-4-5", True),
        ("claude-haiku-4-5-20251001", True),
    ],
)
def test_anthropics_newest_families_take_no_temperature(model: str, takes_temperature: bool) -> None:
    body = body_of(spec_of("anthropic"), model)
    assert ("temperature" in body) is takes_temperature
    assert (body["max_tokens"], body["system"]) == (64, "Be brief.")


@pytest.mark.parametrize("provider_type", [name for name in provider_types() if name not in {"openai", "anthropic"}])
def test_other_providers_are_asked_and_answer_by_themselves(provider_type: str) -> None:
    body = body_of(spec_of(provider_type), "openai/o3")
    assert body["messages"][0]["role"] == "system"
    assert body["temperature"] == 0.0
    assert (set(body) & set(TOKEN_LIMIT_FIELDS)) == {load(provider_type)["token_limit_field"]}


def test_a_deployment_is_spoken_to_by_its_base_model_where_somebody_says_which() -> None:
    azure = spec_of("azure")
    assert "temperature" in body_of(azure, "o3-mini")  # only its name: it may be anything
    for entry in (
        {"base_model": "o3-mini"},
        {"id": "chat", "model": "gpt-5"},
        {"id": "chat", "model": {"name": "gpt-5", "version": "1"}},
        {"name": "chat", "properties": {"model": {"format": "OpenAI", "name": "o4-mini"}}},
        {"id": "o3-mini-2025-01-31", "lifecycle_status": "generally-available"},  # the listing is of base models
    ):
        assert dropped(azure, "chat", raw=entry) == ("temperature",)
    assert base_model(azure, "chat", {}) is None
    assert base_model(azure, "chat", {"model": 7, "properties": [], "id": None}) is None
    assert base_model(spec_of("openai"), "o3", {"model": "gpt-4o"}) == "o3"


def test_a_listing_that_names_what_a_model_supports_is_believed() -> None:
    router = spec_of("openrouter")
    assert dropped(router, "openai/o3", raw={"supported_parameters": ["max_tokens", "tools"]}) == ("temperature",)
    for entry in (
        {"supported_parameters": ["temperature"]},
        {"supported_parameters": []},
        {"supported_parameters": "no"},
        {},
    ):
        assert dropped(router, "openai/gpt-4o", raw=entry) == ()


@pytest.mark.parametrize("provider_type", provider_types())
def test_the_families_of_every_type_name_only_what_exists(provider_type: str) -> None:
    for family in spec_of(provider_type).families:
        assert family.token_limit_field in {None, *TOKEN_LIMIT_FIELDS}
        assert family.system_role in {None, *SYSTEM_ROLES}
        assert set(family.never_send) <= {*OPTIONAL, "stream_options"}


# -- what was refused before ----------------------------------------------------------------------------------------------


def test_what_a_model_refused_is_left_out_and_what_it_must_have_is_said_in_another_way() -> None:
    body = body_of(CHAT, "m", rejected={"temperature", "stream_options", "max_tokens", "role.system"})
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Be brief.\n\nHow many legs has a spider?"}],
        "stream": True,
        "max_completion_tokens": 64,
    }
    assert dropped(CHAT, "m", rejected={"temperature", "stream_options", "max_tokens", "role.system"}) == (
        "temperature",
    )


def test_nothing_is_called_dropped_that_nobody_set() -> None:
    wording = wording_of(CHAT, "m", rejected={"temperature"})
    assert chat.build_request(CHAT, "m", Prompt("Hi"), wording).dropped == ()
    assert messages.build_request(MESSAGES, "m", Prompt("Hi"), wording).dropped == ()


def test_the_role_falls_from_developer_to_system_to_user() -> None:
    openai = spec_of("openai")
    assert wording_of(openai, "o3").system_role == "developer"
    assert wording_of(openai, "o3", rejected={"role.developer"}).system_role == "system"
    assert wording_of(openai, "o3", rejected={"role.developer", "role.system"}).system_role == "user"
    assert wording_of(openai, "gpt-4o", rejected={"role.developer"}).system_role == "system"


@given(
    st.sets(st.sampled_from([*ALL, "max_tokens", "role.system", "role.user", "nonsense"])),
    st.sampled_from(provider_types()),
)
def test_the_limit_and_the_system_text_always_go_out(rejected: set[str], provider_type: str) -> None:
    spec = spec_of(provider_type)
    for model in ("m", "o3", "claude-opus-5"):
        body = body_of(spec, model, rejected=rejected)
        assert [body[name] for name in TOKEN_LIMIT_FIELDS if name in body] == [64]
        assert json.dumps(body).count("Be brief.") == 1
        assert ("temperature" in body) != ("temperature" in dropped(spec, model, rejected=rejected))


def test_a_request_says_which_of_its_parameters_could_be_said_otherwise() -> None:
    def adaptable(spec: ProviderSpec, model: str, prompt: Prompt, *rejected: str) -> tuple[str, ...]:
        wording = wording_of(spec, model, rejected=rejected)
        return DIALECTS[spec.dialect].build_request(spec, model, prompt, wording).adaptable

    assert adaptable(CHAT, "m", FULL) == ("role.system", "stream_options", "max_tokens", "temperature")
    assert adaptable(CHAT, "m", Prompt("Hi")) == ("stream_options",)
    assert adaptable(CHAT, "m", FULL, "max_tokens", "role.system", "stream_options", "temperature") == ()
    assert adaptable(MESSAGES, "m", FULL) == ("temperature",)  # its limit is required, its system text has no role


# -- what a 400 says ------------------------------------------------------------------------------------------------------


def openai_error(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


REFUSALS: dict[str, tuple[Any, str]] = {
    "OpenAI, the limit's old name": (
        openai_error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        ),
        "max_tokens",
    ),
    "the same in the message alone": (
        openai_error("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
        "max_tokens",
    ),
    "a server that knows only the old name": (
        openai_error("Unrecognized request argument supplied: max_completion_tokens"),
        "max_completion_tokens",
    ),
    "OpenAI, a reasoning model's temperature": (
        openai_error(
            "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.",
            "temperature",
            "unsupported_value",
        ),
        "temperature",
    ),
    "only the field says it": (openai_error("Bad request.", "temperature"), "temperature"),
    "Anthropic": (
        {"type": "error", "error": {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."}},
        "temperature",
    ),
    "OpenAI, a role": (
        openai_error(
            "Unsupported value: 'messages[0].role' does not support 'developer' with this model.",
            "messages[0].role",
            "unsupported_value",
        ),
        "role.developer",
    ),
    "an older server's list of roles": (
        openai_error("'developer' is not one of ['system', 'assistant', 'user', 'tool', 'function'] - 'messages.0.role'"),
        "role.developer",
    ),
    "Azure, an api-version without the option": (
        openai_error("Unrecognized request argument supplied: stream_options"),
        "stream_options",
    ),
    "a part of an option": (openai_error("Unknown.", "stream_options.include_usage", "unknown_parameter"), "stream_options"),
    "FastAPI": (
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "stream_options"],
                    "msg": "Extra inputs are not permitted",
                    "input": {"temperature": 0, "max_completion_tokens": 64},
                }
            ]
        },
        "stream_options",
    ),
    "OpenRouter, its upstream's words": (
        {"error": {"code": 400, "message": "Provider returned error",
                   "metadata": {"raw": '{"error":{"message":"temperature is not supported"}}', "provider_name": "X"}}},
        "temperature",
    ),
    "LiteLLM's empty fields": (
        {"error": {"message": "litellm.UnsupportedParamsError: does not support parameters: {'temperature': 0.0}",
                   "type": "None", "param": "None", "code": "400"}},
        "temperature",
    ),
    "several names, the first is meant": (
        openai_error("'temperature' is not supported; supported are max_completion_tokens, stream_options."),
        "temperature",
    ),
    "the default alone is taken": (openai_error("invalid temperature: only 1 is allowed for this model"), "temperature"),
    "Ollama's string": ({"error": "temperature is not supported by this runner"}, "temperature"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_names_the_parameter_that_it_is_about(case: str, status: int) -> None:
    body, expected = REFUSALS[case]
    error = chat.parse_error(status, {"content-type": "application/json"}, json.dumps(body).encode())
    assert refused_parameter(error, (*ALL, "max_tokens")) == expected


OTHERS: dict[str, tuple[int, Any]] = {
    "a value out of range": (
        400,
        openai_error(
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
            "temperature",
            "decimal_above_max_value",
        ),
    ),
    "a range": (400, openai_error("temperature: range: 0..1")),
    "a limit that is too large": (
        400,
        openai_error(
            "max_completion_tokens is too large: 100000. This model supports at most 16384 tokens.",
            "max_completion_tokens",
        ),
    ),
    "a context that overflows": (
        400,
        openai_error(
            "This model's maximum context length is 8192 tokens; max_completion_tokens is part of it.",
            "messages",
            "context_length_exceeded",
        ),
    ),
    "a parameter that was not sent": (
        400,
        openai_error("Unsupported parameter: 'logprobs'.", "logprobs", "unsupported_parameter"),
    ),
    "no parameter": (400, openai_error("The prompt was filtered.", None, "content_filter")),
    "a word inside another": (
        400,
        openai_error("temperatures, max_completion_tokens_total and my_stream_options are odd"),
    ),
    "a developer who is no role": (400, openai_error("Ask the developer of this server.")),
    "an unknown model": (400, openai_error("The model 'temperature' does not exist", None, "model_not_found")),
    "a wrong key": (401, openai_error("temperature", "temperature")),
    "a busy provider": (429, openai_error("temperature", "temperature")),
    "a broken one": (500, openai_error("temperature", "temperature")),
    "FastAPI, a field that is missing": (
        422,
        {
            "detail": [
                {"type": "missing", "loc": ["body", "user"], "msg": "Field required", "input": {"temperature": 0}}
            ]
        },
    ),
    "HTML": (400, "<html>Bad Request</html>"),
    "nothing": (400, ""),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_refusal_is_about_no_parameter(case: str) -> None:
    status, body = OTHERS[case]
    error = chat.parse_error(status, {}, body.encode() if isinstance(body, str) else json.dumps(body).encode())
    assert refused_parameter(error, ALL) is None


def test_what_is_no_refusal_is_about_no_parameter() -> None:
    assert refused_parameter(None, ALL) is None
    assert refused_parameter(Garbled("malformed", "temperature"), ALL) is None
    assert refused_parameter(Refused("bad_request", "temperature", None), ALL) is None


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.text(max_size=20) | st.sampled_from(ALL),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["error", "param", "detail", "loc", "message", "code"]), inner, max_size=3),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_error_body_breaks_the_reader(body: bytes) -> None:
    found = refused_parameter(chat.parse_error(400, {}, body), ALL)
    assert found is None or found in ALL


# -- on the wire ----------------------------------------------------------------------------------------------------------


async def test_a_measurement_says_what_was_dropped_and_what_it_was_refused_for() -> None:
    async def script(c: Conversation) -> None:
        if len(provider.requests) == 1:
            body = json.dumps(
                openai_error("Unsupported value: 'temperature'", "temperature", "unsupported_value")
            ).encode()
            await c.answer("400 Bad Request", "application/json", body)
        else:
            await c.answer("200 OK", "text/event-stream", data(said("eight", "stop")) + DONE)

    told: list[str] = []
    async with serving(script) as provider:
        spec = provider.spec()
        async with open_client(spec) as client:
            asked = {"api_key": None, "deadlines": SOON, "request_id": "r-1", "on_refused": told.append}
            refused = await measure(client, spec, "m", FULL, **asked)
            again = await measure(client, spec, "m", FULL, wording=wording_of(spec, "m", rejected=told), **asked)
    assert (refused.outcome, refused.status_code, refused.error_code) == ("failed", 400, "unsupported_value")
    assert refused.dropped_parameters == ()
    assert told == ["temperature"]
    assert (again.outcome, again.dropped_parameters) == ("ok", ("temperature",))
    first, second = (body for _, _, body in provider.requests)
    assert first == {**second, "temperature": 0.0}


async def test_a_family_drops_without_asking() -> None:
    async def script(c: Conversation) -> None:
        await c.answer("200 OK", "text/event-stream", data(said("eight", "stop")) + DONE)

    async with serving(script) as provider:
        spec = provider.spec(replace(CHAT, families=spec_of("openai").families))
        async with open_client(spec) as client:
            seen = await measure(client, spec, "o3-mini", FULL, api_key=None, deadlines=SOON, request_id="r-1")
    assert seen.dropped_parameters == ("temperature",)
    assert "temperature" not in provider.requests[0][2]
