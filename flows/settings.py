"""Everything that can be configured, read and checked once: defaults.toml, then the user's scorehouse.toml, then the environment.

This is the only module that reads the environment for the program; below `flows/` nobody does.
"""

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from flows.errors import UsageError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
UsdPerM = Annotated[float, Field(ge=0, le=1_000_000)]
Days = Annotated[int, Field(ge=1, le=36_500)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=500)]

_SECRET = re.compile("token|secret|password|key", re.IGNORECASE)  # a setting so named is never repeated to anyone


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BenchmarkSettings(_Section):
    """What a run measures when its caller does not say; times in ms, money in USD."""

    workload: str
    repeats: Annotated[int, Field(ge=1, le=10_000)]
    concurrency: Annotated[int, Field(ge=1, le=1000)]
    sequential: bool
    max_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    cold: bool
    first_byte_ms: Positive
    idle_ms: Positive
    total_ms: Positive


class CatalogSettings(_Section):
    """Cost tiers in USD per 1M tokens (blended 3 input : 1 output), what a price may be before it is put into quarantine,
    and the patience of a sync: in all and between two attempts, ms.
    """

    low_below_usd_per_m: Positive
    standard_below_usd_per_m: Positive
    highest_price_usd_per_m: Positive
    price_jump: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    timeout_ms: Positive
    attempts: Annotated[int, Field(ge=1, le=20)]
    retry_wait_max_ms: Positive


class PriceSettings(_Section):
    """A model's price where its provider's API gives none, in USD per 1M tokens; None: cached input costs what the rest does."""

    input_price_per_m: UsdPerM
    output_price_per_m: UsdPerM
    cached_input_price_per_m: UsdPerM | None = None


class RoutingSettings(_Section):
    """The default policy's weights, the quality that may be lost for a lower price, when evidence is called stale (s), and the
    environment whose stored policies hold in this house.
    """

    priority_weight: Share
    quality_weight: Share
    tie_delta: Share
    stale_after_s: Positive
    environment: Name


class AllowedModels(_Section):
    """All models that a tenant, a role, or a role of one tenant may use, by their keys; none: nothing."""

    tenant: Name | None = None
    role: Name | None = None
    models: tuple[Name, ...]

    @model_validator(mode="after")
    def _is_somebodys(self) -> Self:
        if self.tenant is None and self.role is None:
            raise ValueError("give a tenant, a role or both")
        return self


class TaskType(_Section):
    """What a task is told by, beside the built-in table: names of tools, MIME types (`image/*` for all of a kind) or keywords."""

    task_type: Name
    source: Literal["tool", "attachment", "keyword"]
    patterns: Annotated[tuple[Name, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_understood(self) -> Self:
        from analytics.routing.tasks import TaskRow, TaskTable  # noqa: PLC0415  # costs a second that few settings need

        TaskTable(TaskRow(self.task_type, self.source, pattern) for pattern in self.patterns)
        return self


class FeedbackSettings(_Section):
    """How much of everyone's ratings of a model at a task one user and one tenant can make up (1: all of it), and how many of them
    count in any case (of a tenant's, no more than the others' together).
    """

    user_share: Share
    user_votes: Annotated[int, Field(ge=1)]
    tenant_share: Share
    tenant_votes: Annotated[int, Field(ge=1)]


class ScoringSettings(_Section):
    """Days after which a rating counts half as much in the learned experience."""

    half_life_days: Positive


class RetentionSettings(_Section):
    """Days that raw rows stay: `raw_days` in the store, `store` by table where it differs; `lake` by table, for good where it says nothing.

    A lake's table stays longer than the store's, and longer than the 90 days that scores look back.
    """

    raw_days: Days
    store: dict[Literal["benchmark_results", "request_events", "feedback_events"], Days] = Field(default_factory=dict)
    lake: dict[Literal["benchmark_results", "request_events"], Annotated[int, Field(gt=90, le=36_500)]] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _lake_stays_longer(self) -> Self:
        for table, days in self.lake.items():
            if days < self.store_days(table):
                raise ValueError(f"{table}: the lake's {days} days are less than the store's {self.store_days(table)}")
        return self

    def store_days(self, table: str) -> int:
        """Days that rows of that table stay in the store."""
        return next((days for name, days in self.store.items() if name == table), self.raw_days)


class SpoolSettings(_Section):
    """Free disk in MB below which no call is made."""

    free_floor_mb: Annotated[int, Field(ge=0)]


class VaultSettings(_Section):
    """The patience of one look into Vault, in ms, whatever it does meanwhile."""

    timeout_ms: Positive


@dataclass(frozen=True)
class Home:
    """The folder that holds everything Scorehouse keeps on this machine."""

    path: Path

    @property
    def store(self) -> Path:
        """The SQLite file of an installation without Supabase."""
        return self.path / "store.sqlite"

    @property
    def spool(self) -> Path:
        """The folder of what has not landed in the store yet: measured results, logged decisions."""
        return self.path / "spool"

    @property
    def lake(self) -> Path:
        """The folder of Parquet files that were extracted from the store."""
        return self.path / "lake"

    @property
    def scoring(self) -> Path:
        """The folder of published scoring snapshots, from which lookups answer."""
        return self.path / "scoring"

    @property
    def configuration(self) -> Path:
        """The folder of published configuration snapshots: catalog, agents and policies, as lookups read them."""
        return self.path / "configuration"

    @property
    def workloads(self) -> Path:
        """The folder of the user's own workloads and gold questions."""
        return self.path / "workloads"

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.path / "logs"


class _Variables(EnvSettingsSource):
    """The variables that a field names as its alias, and no others: a stray BENCHMARK or DEVELOPMENT is somebody else's."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        if field.validation_alias is None:
            return None, field_name, False
        return super().get_field_value(field, field_name)


class Settings(BaseSettings):
    """One frozen answer to "how is this configured?"; unknown keys and impossible values are refused at start."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    home_path: Path = Field(default=Path("~/.scorehouse"), validation_alias="SCOREHOUSE_HOME")
    development: bool = Field(default=False, validation_alias="SCOREHOUSE_DEV")
    default_model: str | None = Field(default=None, validation_alias="SCOREHOUSE_DEFAULT_MODEL")
    prefect_api_url: str | None = Field(default=None, validation_alias="PREFECT_API_URL")
    supabase_url: str | None = Field(default=None, validation_alias="SUPABASE_URL")
    supabase_service_role_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SERVICE_ROLE")
    )
    supabase_db_url: SecretStr | None = Field(default=None, validation_alias="SUPABASE_DB_URL")
    vault_addr: str | None = Field(default=None, validation_alias="VAULT_ADDR")
    vault_token: SecretStr | None = Field(default=None, validation_alias="VAULT_TOKEN")
    vault_role_id: SecretStr | None = Field(default=None, validation_alias="VAULT_ROLE_ID")
    vault_secret_id: SecretStr | None = Field(default=None, validation_alias="VAULT_SECRET_ID")
    vault_cacert: str | None = Field(default=None, validation_alias="VAULT_CACERT")
    vault_namespace: str | None = Field(default=None, validation_alias="VAULT_NAMESPACE")
    allowed_models: tuple[AllowedModels, ...]
    task_types: tuple[TaskType, ...]
    benchmark: BenchmarkSettings
    catalog: CatalogSettings
    prices: dict[str, PriceSettings] = Field(default_factory=dict)  # by model key: provider/name
    routing: RoutingSettings
    feedback: FeedbackSettings
    scoring: ScoringSettings
    retention: RetentionSettings
    spool: SpoolSettings
    vault: VaultSettings

    @property
    def home(self) -> Home:
        """Where the store, the lake, the snapshots and the logs lie."""
        return Home(self.home_path.expanduser().absolute())

    @classmethod
    def settings_customise_sources(  # the signature is pydantic's
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment beats the files, which arrive as arguments; an empty variable counts as absent."""
        return _Variables(settings_cls, case_sensitive=True, env_ignore_empty=True), init_settings


def load_settings(home: Path | None = None) -> Settings:
    """Read the configuration: $SCOREHOUSE_CONFIG, else ./scorehouse.toml if it is there, over the defaults.

    `home` takes the place of SCOREHOUSE_HOME. Raises UsageError with the file, the key and what is wrong with it.
    """
    named = os.environ.get("SCOREHOUSE_CONFIG")
    user_file = Path(named or "scorehouse.toml")
    tables = _read_toml(Path(__file__).with_name("defaults.toml"))
    if named or user_file.is_file():
        own = _read_toml(user_file)
        variables = set(_variables())
        # Pydantic takes a variable's name from a file as well, in capitals or not; a file is no place for a token.
        if misplaced := next((key for key in own if key.upper() in variables), None):
            raise UsageError(f"{user_file}, key {misplaced}: it belongs in the environment, not in a file.")
        tables = _overlay(tables, own)
    try:
        settings = Settings(**tables)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"the environment variable {key}" if key in os.environ else f"{user_file}, key {key}"
        found = "" if _SECRET.search(key) else f" (found {first['input']!r})"
        raise UsageError(f"{where}: {first['msg']}{found}.") from None
    return settings.model_copy(update={"home_path": home}) if home else settings


def _variables() -> Iterator[str]:
    """The names of the environment variables that are settings."""
    for field in Settings.model_fields.values():
        match field.validation_alias:
            case str(name):
                yield name
            case AliasChoices(choices=names):
                yield from (str(name) for name in names)


def environment_key(name: str) -> str | None:
    """The value of one environment variable that may hold a provider's key; empty counts as absent."""
    return os.environ.get(name) or None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"Cannot read the configuration {path}: {reason}.") from None


def _overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        merged[key] = (
            _overlay(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
        )
    return merged
