"""What the tests of the lookup share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from routing.worlds import CODE, NOW_S, Ask, Make, Row, configure, scored

from analytics.routing import Lookup, RouteQuery


@pytest.fixture
def lookup(tmp_path: Path) -> Make:
    """Publish a little world; gives back a function that asks it."""

    def make(
        models: Sequence[Row], scores: Sequence[Row] = (), agents: Sequence[Row] = (), tasks: Any = CODE, **meta: Any
    ) -> Ask:
        configure(tmp_path, models, agents, tasks, **meta)
        scored(tmp_path, scores)
        opened = Lookup.open(tmp_path, watch=False, clock=lambda: NOW_S + 60)
        assert opened.problems == ()
        return lambda **fields: opened.route(RouteQuery(**fields))

    return make
