"""Some models side by side: columns of a few hundred candidates, best first, so that a limit is one short comparison.

Reading the figures of models that lie anywhere in a large catalog waits for memory each time; these were gathered once.
"""

from itertools import repeat
from typing import TYPE_CHECKING, Any

from . import bits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from .bits import Floats, Mask, Places, Positions, Words
    from .board import Board
    from .experience import Patch
    from .views import View


_BEST = 64
_SETS = 256  # a question can name what is in no catalog, so there is no end of sets


# A model, its score, its provider, and the score below which nothing can tie with it, where that is known beforehand.
Ranked = tuple[int, float, int, float | None]


class Few:
    """`models` with their `scores`, best first; columns and sets of them are kept once they were asked for.

    `is_whole`: no other model comes into question. `own` is given where some of them are known better than by everyone,
    `floors` (the score below which nothing can tie with each) where they are known beforehand, and no `scores` where the models are
    in no order yet.
    """

    __slots__ = (
        "_board",
        "_columns",
        "_own",
        "_places",
        "_provider",
        "_view",
        "best",
        "floors",
        "is_whole",
        "models",
        "scores",
        "sets",
        "table",
        "width",
    )

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
        self._provider: NDArray[np.int32] | None = None
        self._places: tuple[Places, Words] | None = None
        self._columns: dict[str, Floats] = {}
        self.best: list[Ranked] = [] if floors is None else self._ranked(slice(_BEST))
        self.sets: dict[Any, int] = {}
        self.width = -(-len(models) // 8)
        self.table = b"" if floors is None else board.layout.table(board, self)

    def _ranked(self, part: slice) -> list[Ranked]:
        columns = (self.models[part].tolist(), self.scores[part].tolist(), self.provider[part].tolist())
        floors = repeat(None) if self.floors is None else self.floors[part].tolist()
        return list(zip(*columns, floors))  # noqa: B905  # the last one may be endless

    def at(self, place: int) -> Ranked:
        """What stands at a place; the first places of an order are asked for again and again."""
        if place < len(self.best):
            return self.best[place]
        return self._ranked(slice(place, place + 1))[0]

    @property
    def provider(self) -> "NDArray[np.int32]":
        """The code of each model's provider, as the catalog numbers them; parallel to `models`."""
        if self._provider is None:
            self._provider = self._board.catalog.provider_code[self.models]
        return self._provider

    def row(self, number: int) -> int:
        """One of the sets of `front`."""
        return int.from_bytes(self.table[number * self.width : (number + 1) * self.width], "little")

    def figures(self, name: str) -> "Floats":
        """A column that limits speak of; those of the experience alone are kept."""
        return self.column(name) if name in {"quality", "n"} else self._board.column(name)[self.models]

    def column(self, name: str) -> "Floats":
        """`quality` and `n` of the experience, or a column of the board."""
        column = self._columns.get(name)
        if column is None:
            if name not in {"quality", "n"}:
                column = self._board.column(name)[self.models]
            else:
                column = getattr(self._view, name)[self._view.find_many(self.models)[0]]
                if self._own is not None:
                    mine, at = self._own.among(self.models)
                    column[mine] = getattr(self._own, name)[at]
            self._columns[name] = column
        return column

    def among(self, sets: "Sequence[Words]") -> "Mask":
        """Which of them are in all these sets."""
        if self._places is None:
            self._places = bits.places(self.models)
        word, bit = self._places
        found = sets[0][word]
        for words in sets[1:]:
            found &= words[word]
        found &= bit
        mask: Mask = found != 0
        return mask

    def keep_set(self, key: Any, found: int) -> int:
        """Remember a set, the lowest bit the first of them."""
        if len(self.sets) < _SETS:
            self.sets[key] = found
        return found
