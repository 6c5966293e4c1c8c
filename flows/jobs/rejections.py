"""Which parameters the models of a run refuse: known from earlier runs, or learnt in this one and kept for later ones."""

import asyncio
from collections.abc import Mapping

from structlog.typing import FilteringBoundLogger

from analytics.errors import AnalyticsError
from analytics.store import Store
from flows.plan import PlannedRequest


class Rejections:
    """What is known of the models of one provider; lives in one event loop."""

    def __init__(self, store: Store, log: FilteringBoundLogger) -> None:
        self._store = store
        self._log = log
        self._learnt: dict[str, frozenset[str]] = {}  # by model

    def known(self, planned: PlannedRequest) -> frozenset[str]:
        """The parameters that this request's model refuses, as far as is known now."""
        return planned.rejected_parameters | self._learnt.get(planned.model, frozenset())

    async def learn(self, planned: PlannedRequest, refused: Mapping[str, str]) -> None:
        """The model refuses these (parameter -> UTC time). When the store is out of reach, only this run remembers."""
        new = {name: at for name, at in refused.items() if name not in self.known(planned)}
        if not new:
            return  # another request of this model was refused for them as well
        self._learnt[planned.model] = self._learnt.get(planned.model, frozenset()) | new.keys()
        try:
            await asyncio.to_thread(self._store.note_rejected_parameters, planned.model_id, new)
        except AnalyticsError as error:
            self._log.error(
                "a refused parameter could not be noted; the next run asks with it again",
                model=planned.model,
                parameters=sorted(new),
                message=str(error),
            )
