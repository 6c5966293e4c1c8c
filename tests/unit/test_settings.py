"""Settings: everything is checked once, at start, and a mistake is one sentence that names it."""

import os
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.settings import load_settings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is configured, and the current folder is empty."""
    for name in (
        "SCOREHOUSE_HOME",
        "SCOREHOUSE_CONFIG",
        "SCOREHOUSE_DEV",
        "SCOREHOUSE_DEFAULT_MODEL",
        "PREFECT_API_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("VAULT_", "SUPABASE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_without_configuration_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings.home.path == Path.home() / ".scorehouse"
    assert settings.home.store == Path.home() / ".scorehouse" / "store.sqlite"
    assert (settings.routing.priority_weight, settings.routing.quality_weight, settings.routing.tie_delta) == (
        0.3,
        0.7,
        0.01,
    )
    assert settings.development is False
    assert settings.benchmark.max_usd == 1.0


def test_a_users_file_overrides_key_by_key(tmp_path: Path) -> None:
    Path("scorehouse.toml").write_text("[benchmark]\nmax_usd = 7.5\n")
    settings = load_settings()
    assert settings.benchmark.max_usd == 7.5
    assert settings.benchmark.workload == "default"


def test_the_file_may_lie_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text("[retention]\nraw_days = 3\n")
    monkeypatch.setenv("SCOREHOUSE_CONFIG", str(tmp_path / "mine.toml"))
    assert load_settings().retention.raw_days == 3


def test_the_environment_names_the_home_and_an_argument_beats_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SCOREHOUSE_HOME", "~/elsewhere")
    assert load_settings().home.path == Path.home() / "elsewhere"
    assert load_settings(tmp_path).home.path == tmp_path


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCOREHOUSE_HOME", "SCOREHOUSE_CONFIG", "SCOREHOUSE_DEV", "SCOREHOUSE_DEFAULT_MODEL"):
        monkeypatch.setenv(name, "")
    settings = load_settings()
    assert settings.home.path == Path.home() / ".scorehouse"
    assert (settings.development, settings.default_model) == (False, None)


@pytest.mark.parametrize("name", ["DEVELOPMENT", "BENCHMARK", "SPOOL", "HOME_PATH", "DEFAULT_MODEL", "scorehouse_dev"])
def test_other_peoples_variables_are_not_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert load_settings() == load_settings(Path("~/.scorehouse"))
    assert load_settings().development is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[benchmark\n", ["scorehouse.toml is not valid TOML"]),
        ("[benchmark]\nmax_ust = 1\n", ["scorehouse.toml", "benchmark.max_ust", "not permitted"]),
        ("[bencmark]\nmax_usd = 1\n", ["scorehouse.toml", "bencmark"]),
        ("[benchmark]\nmax_usd = -1\n", ["benchmark.max_usd", "greater than or equal to 0", "-1"]),
        ("[benchmark]\nmax_usd = nan\n", ["benchmark.max_usd"]),
        ("[benchmark]\nrepeats = 1.5\n", ["benchmark.repeats", "1.5"]),
        ("[routing]\ntie_delta = 2\n", ["routing.tie_delta", "less than or equal to 1"]),
        ("benchmark = 3\n", ["benchmark", "found 3"]),
        ("development = true\n", ["development"]),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_that_names_file_key_and_value(text: str, words: list[str]) -> None:
    Path("scorehouse.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings()
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREHOUSE_CONFIG", "nowhere.toml")
    with pytest.raises(UsageError, match=r"nowhere\.toml: No such file"):
        load_settings()


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    Path("scorehouse.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_settings()


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREHOUSE_DEV", "perhaps")
    with pytest.raises(UsageError, match="environment variable SCOREHOUSE_DEV"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('VAULT_TOKEN = "s.secret"', "VAULT_TOKEN: it belongs in the environment"),
        ("SCOREHOUSE_DEV = true", "SCOREHOUSE_DEV: it belongs in the environment"),
        ('vault_token = "s.secret"', "vault_token: it belongs in the environment"),
        ('[vault]\ntoken = "s.secret"', "key vault.token: Extra inputs are not permitted."),
        ('[benchmark]\nopenai_api_key = "s.secret"', "key benchmark.openai_api_key: Extra inputs are not permitted."),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(text: str, words: str) -> None:
    Path("scorehouse.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert words in str(caught.value)
    assert "s.secret" not in str(caught.value)


def test_settings_do_not_show_what_opens_the_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID"):
        monkeypatch.setenv(name, "s.secret")
    settings = load_settings()
    assert settings.vault_token is not None
    assert "s.secret" not in f"{settings} {settings!r} {settings.model_dump_json()}"


@pytest.mark.parametrize("name", ["SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SERVICE_ROLE"])
def test_supabases_key_has_two_names_and_is_never_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://project.example")
    monkeypatch.setenv("SUPABASE_DB_URL", "postgresql://postgres:hidden@db.example/postgres")
    monkeypatch.setenv(name, "hidden")
    settings = load_settings()
    assert settings.supabase_url == "https://project.example"
    assert settings.supabase_service_role_key
    assert settings.supabase_service_role_key.get_secret_value() == "hidden"
    assert "hidden" not in repr(settings)


def test_supabases_key_does_not_belong_in_a_file() -> None:
    Path("scorehouse.toml").write_text('supabase_service_role = "hidden"\n')
    with pytest.raises(UsageError, match="belongs in the environment") as refused:
        load_settings()
    assert "hidden" not in str(refused.value)
