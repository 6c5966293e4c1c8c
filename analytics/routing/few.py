"""Some models side by side: columns of a few hundred candidates, best first, so that a limit is one short comparison.

Reading the figures of models that lie anywhere in a large catalog waits for memory each time; these were gathered once.
"""

from typing import TYPE_CHECKING, Any

from . import bits

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from .bits import Floats, Mask, Positions, Words
    from .board import Board
    from .experience import Patch, View


class Few:
    """`models` with their `scores`, best first; columns and sets of them are kept once they were asked for.

    `is_whole`: no other model comes into question. `own` is given where these are the models of a patch, `floors` (the score
    below which nothing can tie with each) where they are known beforehand.
    """

    __slots__ = ("_board", "_columns", "_masks", "_own", "_view", "floors", "is_whole", "models", "provider", "scores")

    def __init__(
        self,
        board: "Board",
        view: "View",
        models: "Positions",
        scores: "Floats",
        *,
        is_whole: bool,
        own: "Patch | None" = None,
        floors: "Floats | None" = None,
    ) -> None:
        self._board, self._view, self._own = board, view, own
        self.models, self.scores, self.is_whole, self.floors = models, scores, is_whole, floors
        self.provider: NDArray[np.int32] = board.catalog.provider_code[models]
        self._columns: dict[str, Floats] = {}
        self._masks: dict[Any, Mask] = {}

    def column(self, name: str) -> "Floats":
        """`quality` and `n` of the experience, or a column of the board."""
        column = self._columns.get(name)
        if column is None:
            if name not in {"quality", "n"}:
                column = self._board.column(name)[self.models]
            elif self._own is None:
                column = getattr(self._view, name)[self._view.row[self.models]]
            else:
                column = getattr(self._own, name)[self._own.models.searchsorted(self.models)]
            self._columns[name] = column
        return column

    def among(self, key: Any, words: "Callable[[], Words]") -> "Mask":
        """Which of them are in a set that many questions share."""
        mask = self._masks.get(key)
        if mask is None:
            mask = self._masks[key] = bits.among(words(), self.models)
        return mask
