"""How many of everyone's ratings one user and one tenant can make up: `capped_votes.sql` for feedback that no snapshot holds yet."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import floor
from typing import Any, Protocol, Self, TypeVar


@dataclass(frozen=True, slots=True)
class VoteCaps:
    """How much of everyone's ratings of a model at a task one user and one tenant can make up (shares, 0..1; 1: all of it), and how
    many of them count in any case (of a tenant's, no more than the others' together).
    """

    user_share: float = 0.2
    user_votes: int = 5
    tenant_share: float = 0.2
    tenant_votes: int = 10

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """As a configuration says it; what it leaves out is as usual. Raises `ValueError` for what makes no sense."""
        odd = sorted(set(told) - {entry.name for entry in fields(cls)})
        odd += [name for name, value in told.items() if isinstance(value, bool) or not isinstance(value, (int, float))]
        if odd:
            raise ValueError(f"{odd[0]} is no cap of votes, or not a number")
        caps = cls(**told)
        if not (0 <= caps.user_share <= 1 and 0 <= caps.tenant_share <= 1):
            raise ValueError("a share of votes lies on 0..1")
        if not (1 <= caps.user_votes < 1e9 and 1 <= caps.tenant_votes < 1e9):
            raise ValueError("at least one vote counts")
        return caps


USUAL_CAPS = VoteCaps()


class Vote(Protocol):
    """Who gave an opinion; those without a name are one user of their tenant, those without a tenant one tenant."""

    @property
    def tenant(self) -> str | None:
        """The tenant's id; None: given by nobody's tenant."""

    @property
    def user(self) -> str | None:
        """The user's id within the tenant; None: not said."""


_Vote = TypeVar("_Vote", bound=Vote)


def counted(
    caps: VoteCaps, newest_first: Sequence[_Vote], others: float, *, only_user: bool, only_tenant: bool
) -> list[_Vote]:
    """The votes that count beside `others` that are known already, a user's and a tenant's newest first.

    `only_user`, `only_tenant`: there is no other whose votes could be shouted down.
    """
    left = list(newest_first)
    if not only_user and caps.user_share < 1:
        left = _up_to(
            [(vote.tenant, vote.user) for vote in left],
            left,
            lambda own: max(caps.user_votes, _share(caps.user_share, others + len(newest_first) - own)),
        )
    if not only_tenant and caps.tenant_share < 1:
        beside = others + len(left)
        left = _up_to(
            [vote.tenant for vote in left],
            left,
            lambda own: max(min(caps.tenant_votes, beside - own), _share(caps.tenant_share, beside - own)),
        )
    return left


def _share(share: float, others: float) -> float:
    return floor(share * others / (1 - share))


def _up_to(whose: Sequence[Any], votes: Iterable[_Vote], most: Any) -> list[_Vote]:
    """The first votes of each, as many as `most` allows one who gave so many."""
    given = Counter(whose)
    allowed = {who: most(number) for who, number in given.items()}
    seen: Counter[Any] = Counter()
    kept = []
    for who, vote in zip(whose, votes, strict=True):
        seen[who] += 1
        if seen[who] <= allowed[who]:
            kept.append(vote)
    return kept
