"""A Supabase project passes the contract of a store: real PostgreSQL, real PostgREST, the real client."""

from collections.abc import Iterator

import pytest
from store.base import StoreContract
from supabase_project import Project

from analytics.store.supabase import SupabaseStore


@pytest.fixture
def store(project: Project) -> Iterator[SupabaseStore]:
    with SupabaseStore(project.url, project.service_key, timeout_s=10, patience_s=5) as opened:
        opened.migrate()
        yield opened


class TestSupabaseStore(StoreContract):
    """The contract, unchanged."""
