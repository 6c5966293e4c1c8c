"""Providers as data: each type's file makes a spec, and every usual way of writing a URL gives the same one."""

import pytest

from providers import specs
from providers.errors import BadProvider


def row(provider_type: str, base_url: str | None = None, **more: object) -> dict[str, object]:
    return {"key": "mine", "provider_type": provider_type, "base_url": base_url, **more}


def chat_url(**fields: object) -> str:
    spec = specs.make_spec({"key": "mine", **fields})
    return spec.base_url + spec.chat_path


def models_url(base_url: str, endpoint: str | None) -> str:
    spec = specs.make_spec(row("custom", base_url, models_endpoint=endpoint))
    return spec.base_url + spec.models_path


@pytest.mark.parametrize("provider_type", specs.provider_types())
def test_each_type_makes_a_spec_of_its_own_address(provider_type: str) -> None:
    known = specs.load(provider_type)
    spec = specs.make_spec(row(provider_type))
    assert spec.base_url == known["base_url"]
    assert spec.provider_type == provider_type
    assert set(known) - specs._SPEC_FIELDS <= {"name", "docs", "checked", "genai_hosts"}


def test_the_seven_types_of_the_requirements_are_there() -> None:
    assert specs.provider_types() == ("anthropic", "azure", "custom", "groq", "openai", "openrouter", "together")


def test_the_required_models_are_benchmarked_by_default() -> None:
    assert {
        name: specs.make_spec(row(name)).default_models for name in ("openai", "groq", "together", "openrouter")
    } == {
        "openai": ("gpt-4o-mini",),
        "groq": ("llama-3.1-8b-instant",),
        "together": ("mistralai/Mixtral-8x7B-Instruct-v0.1",),
        "openrouter": ("openai/gpt-4o-mini",),
    }


@pytest.mark.parametrize(
    ("provider_type", "given", "expected"),
    [
        ("openai", "https://api.openai.com", "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com/v1/models", "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("groq", "https://api.groq.com", "https://api.groq.com/openai/v1/chat/completions"),
        ("groq", "https://api.groq.com/openai/", "https://api.groq.com/openai/v1/chat/completions"),
        ("openrouter", "https://openrouter.ai", "https://openrouter.ai/api/v1/chat/completions"),
        ("anthropic", "https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("anthropic", "https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1/messages"),
        ("custom", "http://localhost:11434", "http://localhost:11434/v1/chat/completions"),
        ("custom", "http://127.0.0.1:4000/v1/", "http://127.0.0.1:4000/v1/chat/completions"),
        ("custom", "http://[::1]:4000", "http://[::1]:4000/v1/chat/completions"),
        ("custom", "https://gateway.example/tenant/v1beta", "https://gateway.example/tenant/v1beta/chat/completions"),
        ("custom", "https://gateway.example/chat/completions/", "https://gateway.example/chat/completions"),
        ("azure", "https://mine.openai.azure.com/", "https://mine.openai.azure.com/openai/v1/chat/completions"),
        (
            "azure",
            "https://mine.openai.azure.com/openai/v1",
            "https://mine.openai.azure.com/openai/v1/chat/completions",
        ),
    ],
)
def test_a_url_is_understood_however_it_is_written(provider_type: str, given: str, expected: str) -> None:
    assert chat_url(provider_type=provider_type, base_url=given) == expected


def test_a_dated_azure_url_keeps_its_version_and_leaves_room_for_the_deployment() -> None:
    spec = specs.make_spec(
        row("azure", "https://mine.openai.azure.com/openai/deployments/chat-4o/chat/completions?api-version=2024-10-21")
    )
    assert spec.base_url == "https://mine.openai.azure.com"
    assert spec.chat_path == "/openai/deployments/{model}/chat/completions"
    assert spec.models_path == "/openai/models"
    assert spec.query == {"api-version": "2024-10-21"}


@pytest.mark.parametrize(
    ("base_url", "endpoint", "expected"),
    [
        ("https://a.example/v1", None, "https://a.example/v1/models"),
        ("https://a.example/v1", "/models", "https://a.example/v1/models"),
        ("https://a.example/v1", "models", "https://a.example/v1/models"),
        ("https://a.example/v1", "/v1/models", "https://a.example/v1/models"),
        ("https://a.example/api/v1", "/v1/models", "https://a.example/api/v1/models"),
        ("https://a.example/api/v1", "/api/v1/models", "https://a.example/api/v1/models"),
        ("https://a.example/v1", "https://a.example/v1/models", "https://a.example/v1/models"),
        ("https://a.example/v1", "https://a.example/api/tags", "https://a.example/api/tags"),
        ("https://a.example/v1", "/v12/models", "https://a.example/v1/v12/models"),
    ],
)
def test_a_models_endpoint_is_a_path_or_a_url_of_the_same_origin(base_url: str, endpoint: str, expected: str) -> None:
    assert models_url(base_url, endpoint) == expected


def test_a_models_endpoint_elsewhere_on_the_host_leaves_the_chat_url_alone() -> None:
    spec = specs.make_spec(row("custom", "https://a.example/v1", models_endpoint="https://a.example/api/tags"))
    assert spec.base_url + spec.chat_path == "https://a.example/v1/chat/completions"


@pytest.mark.parametrize(
    ("bad", "because"),
    [
        ("api.openai.com/v1", "https://"),
        ("ftp://api.openai.com", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https://", "no host"),
        ("https:///v1", "no host"),
        ("https://:443/v1", "no host"),
        ("https://a.example:0/v1", "no host"),
        ("https://a.example:99999/v1", "port"),
        ("https://a.example:x/v1", "port"),
        ("https://[::1/v1", "cannot be read"),
        ("https://me:secret@a.example/v1", "password"),
        ("https://127.0.0.1@evil.example/v1", "password"),
        ("https://a.example\\@evil.example/v1", "character"),
        ("https://a.example/v1 ", "character"),
        ("https://a.example/\r\nHost: evil", "character"),
        ("https://exämple.com/v1", "xn--"),
        ("https://a.example/v1?api_key=secret", "api-version"),
        ("https://a.example/v1?key", "api-version"),
        ("https://a.example/v1#top", "path"),
        ("https://a.example/v1/../admin", "folder"),
        ("https://a.example/%2E%2e/admin", "folder"),
        ("http://a.example/v1", "in clear"),
        ("http://localhost.evil.example/v1", "in clear"),
        ("http://2130706433/v1", "in clear"),
        ("http://0x7f.1/v1", "in clear"),
        ("http://10.0.0.5:8000/v1", "in clear"),
    ],
)
def test_an_unusable_url_is_refused_in_one_sentence(bad: str, because: str) -> None:
    with pytest.raises(BadProvider, match=because) as caught:
        specs.make_spec(row("custom", bad))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_models_endpoint_on_another_host_is_refused() -> None:
    with pytest.raises(BadProvider, match="models_endpoint must be on"):
        specs.make_spec(row("openai", None, models_endpoint="https://evil.example/v1/models"))


def test_an_unknown_type_is_refused_with_the_list_of_types() -> None:
    with pytest.raises(BadProvider, match="anthropic, azure, custom"):
        specs.load("../errors")


def test_a_simulated_provider_needs_no_key_and_stays_on_this_machine() -> None:
    spec = specs.make_spec(row("anthropic", "http://127.0.0.1:5000/cascade/v1", is_simulated=1))
    assert (spec.is_simulated, spec.key_required, spec.default_models) == (True, False, ())
    with pytest.raises(BadProvider, match="loopback"):
        specs.make_spec(row("openai", "https://api.openai.com/v1", is_simulated=True))


def test_what_the_user_set_is_kept() -> None:
    spec = specs.make_spec(row("groq", None, rate_limit_rpm=30))
    assert (spec.key, spec.rate_limit_rpm, spec.key_required) == ("mine", 30, True)
