"""The quick way to an answer: among the first few hundred models of a stored order, or among the few that an agent may use.

Candidates are drawn one by one, best first, and no more of them than the answer needs. Most questions are settled so. Where they are
not, `walk` gives up, and sets of all models (`limits.Steps`, `choice`) find the same answer.
"""

from collections.abc import Iterator
from itertools import chain

from . import policies
from .asked import Asked
from .board import remember
from .catalog import Members
from .choice import Choice, loss
from .experience import Patch
from .few import Few, Ranked
from .orders import in_order, one_by_one
from .passing import first_passing, passing
from .ties import ROUNDING, SQRT_TAU

_MEMBERS = 2_048  # an agent's list as long as that is put in order by itself
_ONE_BY_ONE = 10
_BAND = 64  # so many may tie with the best: a large catalog has many like it


def walk(asked: Asked) -> Choice | None:
    """The choice, or None where this way does not lead to it."""
    if asked.query.agent is not None:
        members = asked.board.members_of(asked.query.agent, asked.query.tenant)
        if len(members.models) <= _MEMBERS:
            return _of_agent(asked, members)
    own = asked.patch
    if not asked.is_stored or (asked.sort is not None and (own is not None or asked.is_by_tokens)):
        return None
    ranking = asked.ranking
    first = first_passing(asked, ranking.first)
    if first is None:
        return None
    hits: Iterator[Ranked] = chain(first, _later(asked))
    if own is not None:
        hits = _merged(asked, own, hits, is_whole=ranking.is_whole)
    return _chosen(asked, hits, is_whole=ranking.is_whole)


def _of_agent(asked: Asked, members: Members) -> Choice | None:
    """Among all that an agent may use, which are few; None where none of them passes."""
    few = asked.side_by_side(members)
    models = few.models[passing(asked, few, agent=False)]
    hits = (
        one_by_one(asked, models)
        if len(models) <= _ONE_BY_ONE and asked.sort is None
        else in_order(asked, models).ranked()
    )
    return _chosen(asked, hits, is_whole=True)


def _later(asked: Asked) -> Iterator[Ranked]:
    """Those that pass of the rest of the order, as far as it is kept."""
    if len(asked.ranking.order) > len(asked.ranking.first.models):
        few = asked.later_side_by_side()
        for place in passing(asked, few, agent=True).nonzero()[0].tolist():
            yield few.at(place)


def _merged(asked: Asked, own: Patch, hits: Iterator[Ranked], *, is_whole: bool) -> Iterator[Ranked]:
    """With those that the agent or tenant knows better, at their own scores; ends where others might come between."""
    key = (asked.policy.key, asked.task, asked.query.domain, asked.query.agent, asked.query.tenant)
    few = asked.board.patched.get(key)
    if few is None:
        block = in_order(asked, own.models)
        few = Few(asked.board, asked.view, block.models, block.scores, is_whole=True, own=own)
        remember(asked.board.patched, key, few, 2_048)
    tie_rank = asked.board.tie_rank.item
    mine = [few.at(place) for place in passing(asked, few, agent=True).nonzero()[0].tolist()]
    mine.reverse()
    for hit in hits:
        if own.index.get(hit[0]) is not None:
            continue
        while mine and (-mine[-1][1], tie_rank(mine[-1][0])) < (-hit[1], tie_rank(hit[0])):
            yield mine.pop()
        yield hit
    if is_whole:
        yield from reversed(mine)


def _chosen(asked: Asked, hits: Iterator[Ranked], *, is_whole: bool) -> Choice | None:
    """Of the hits, best first, which are all there are if `is_whole`; None where there are none, or those beyond them matter."""
    best = next(hits, None)
    if best is None:
        return None
    band, after = [best], next(hits, None)
    if asked.sort is None:
        floor = _floor(asked, best) if best[3] is None else best[3]
        while after is not None and after[1] >= floor:
            band.append(after)
            if len(band) > _BAND:
                return None
            after = next(hits, None)
    if after is None and not is_whole:
        return None
    at, lost = _settled(asked, band) if len(band) > 1 else (0, 0.0)
    seen = band if after is None else [*band, after]
    fallbacks = _fallbacks(chain(seen, hits), band[at], asked.query.top - 1, is_whole=is_whole)
    if fallbacks is None:
        return None
    return Choice(band[at][0], band[at][1], fallbacks, best[0] if at else None, best[1], lost, len(seen) == 1)


def _fallbacks(
    hits: Iterator[Ranked], chosen: Ranked, wanted: int, *, is_whole: bool
) -> list[tuple[int, float]] | None:
    """The next best, other providers first; None where they may lie beyond the hits."""
    found: list[tuple[int, float]] = []
    same: list[tuple[int, float]] = []
    own = chosen[2]
    if not wanted:
        return found
    for hit in hits:
        if hit[2] != own:
            found.append((hit[0], hit[1]))
            if len(found) == wanted:
                return found
        elif hit is not chosen:
            same.append((hit[0], hit[1]))
    return found + same[: wanted - len(found)] if is_whole else None


def _floor(asked: Asked, hit: Ranked) -> float:
    """The score below which nothing can tie with the best; policies.reach says the same of many."""
    score, best = hit[1], asked.known(hit[0])
    if not best.basis:
        return score
    delta = asked.tie_delta
    widest = max(min(delta, 2 * (delta - best.se / SQRT_TAU)), 0.0)
    reach: float = policies.quality_weight(asked.policy, best.worth) * widest + ROUNDING
    return score - reach


def _settled(asked: Asked, band: list[Ranked]) -> tuple[int, float]:
    """Where the cheapest of those stands that tie with the best, and the expected loss of taking it."""
    best, score, *_ = band[0]
    paid, known = asked.cost(best), None
    cheaper = [(cost, place) for place, hit in enumerate(band) if (cost := asked.cost(hit[0])) < paid]
    cheaper.sort()
    for _, place in cheaper:
        known = asked.known(best) if known is None else known
        lost = loss(asked, known, band[place][0], score - band[place][1])
        if lost is not None:
            return place, lost
    return 0, 0.0
