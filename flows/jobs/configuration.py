"""Publish the configuration snapshot: what the lookup must know beside the scores (catalog, agents, policy, default model)."""

from analytics.scoring import VoteCaps
from analytics.scoring.configuration import publish_configuration
from analytics.store import Store
from flows.settings import Settings


def publish(settings: Settings, store: Store) -> str:
    """Write the configuration of this store for the lookup, at once and whole; the new snapshot's id."""
    routing = settings.routing
    return publish_configuration(
        store,
        settings.home.configuration,
        default_model=settings.default_model,
        policies={"default": {"priority": routing.priority_weight, "quality": routing.quality_weight}},
        tie_delta=routing.tie_delta,
        stale_after_s=routing.stale_after_s,
        environment=routing.environment,
        caps=VoteCaps(**settings.feedback.model_dump()),
        further={"allowed_models": _allowed_models(settings), "task_types": _task_types(settings)},
    )


def _allowed_models(settings: Settings) -> list[dict[str, str | None]]:
    """A row for each model; who may use none has one row without a model."""
    return [
        {"tenant_id": allowed.tenant, "role": allowed.role, "model": model}
        for allowed in settings.allowed_models
        for model in allowed.models or (None,)
    ]


def _task_types(settings: Settings) -> list[dict[str, str]]:
    return [
        {"task_type": told.task_type, "source": told.source, "pattern": pattern}
        for told in settings.task_types
        for pattern in told.patterns
    ]
