"""Publish the configuration snapshot: what the lookup must know beside the scores (catalog, agents, policy, default model)."""

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
    )
