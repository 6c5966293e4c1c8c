"""The quick way to an answer: among the first few hundred models of a stored order, or among the few that an agent may use.

Most questions are settled there. Where they are not, `walk` gives up, and sets of all models (`limits.Steps`, `choice`) find
the same answer.
"""

import numpy as np

from . import bits, policies
from .asked import Asked
from .board import FIRST, remember
from .choice import Choice, loss
from .experience import Patch
from .few import Few
from .orders import in_order
from .passing import passing
from .ties import ROUNDING, SQRT_TAU

_MEMBERS = 2_048  # an agent's list as long as that is put in order by itself
_BAND = 8  # so many may tie with the best
_HITS = 16  # so many that pass are looked at, and as many more as are to be named
Ranked = tuple[int, float, int]  # a model, its score, its provider


def walk(asked: Asked) -> Choice | None:
    """The choice, or None where this way does not lead to it."""
    own = asked.patch
    if not asked.is_stored or (asked.sort is not None and (own is not None or asked.is_by_tokens)):
        return None
    few, of_agent = _candidates(asked)
    mask = passing(asked, few, agent=not of_agent)
    if own is not None:
        mask = mask & ~bits.among(own.words, few.models)
    places = mask.nonzero()[0]
    most = _HITS + asked.query.top
    is_whole = few.is_whole and len(places) <= most
    places = places[:most]
    columns = (few.models[places].tolist(), few.scores[places].tolist(), few.provider[places].tolist())
    hits: list[Ranked] = list(zip(*columns, strict=True))
    floor = few.floors.item(places.item(0)) if few.floors is not None and hits else None
    if own is not None:
        best = hits[:1]
        hits = _merged(asked, own, hits, is_whole=is_whole)
        floor = floor if hits[:1] == best else None
    return _chosen(asked, hits, floor, is_whole=is_whole) if hits else None


def _candidates(asked: Asked) -> tuple[Few, bool]:
    """The models to look at, and whether they are the agent's own list."""
    query, ranking, board = asked.query, asked.ranking, asked.board
    if query.agent is None:
        return ranking.first, False
    key = (*asked.kind_of_question(), asked.sort, query.agent, query.tenant)
    found = board.lists.get(key)
    if found is None:
        places = ranking.place[board.members_of(query.agent, query.tenant).models]
        if len(places) > _MEMBERS:
            return ranking.first, False
        is_whole = len(places) <= FIRST
        if not is_whole:
            places.partition(FIRST)
            places = places[:FIRST]
        places.sort()
        models = ranking.order[places].astype(np.intp)
        found = Few(board, asked.view, models, ranking.score[places], is_whole=is_whole)
        remember(board.lists, key, found, 2_048)
    return found, True


def _merged(asked: Asked, own: Patch, hits: list[Ranked], *, is_whole: bool) -> list[Ranked]:
    """With those that the agent or tenant knows better, at their own scores; cut where others might come between."""
    key = (*asked.kind_of_question(), asked.query.agent, asked.query.tenant)
    few = asked.board.patched.get(key)
    if few is None:
        block = in_order(asked, own.models)
        few = Few(asked.board, asked.view, block.models, block.scores, is_whole=True, own=own)
        remember(asked.board.patched, key, few, 2_048)
    places = passing(asked, few, agent=True).nonzero()[0]
    if not len(places):
        return hits
    last = hits[-1] if hits and not is_whole else None
    mine = zip(few.models[places].tolist(), few.scores[places].tolist(), few.provider[places].tolist(), strict=True)
    tie_rank = asked.board.tie_rank.item
    joined = sorted([*hits, *mine], key=lambda ranked: (-ranked[1], tie_rank(ranked[0])))
    if is_whole:
        return joined
    return joined[: joined.index(last) + 1] if last is not None else []


def _chosen(asked: Asked, hits: list[Ranked], floor: float | None, *, is_whole: bool) -> Choice | None:
    band = 1
    if asked.sort is None:
        if floor is None:
            floor = _floor(asked, hits[0])
        while band < len(hits) and hits[band][1] >= floor:
            band += 1
        if band > _BAND or (band == len(hits) and not is_whole):
            return None
    at, lost = _settled(asked, hits[:band]) if band > 1 else (0, 0.0)
    model, score, own = hits[at]
    wanted = asked.query.top - 1
    fallbacks = [(other, its) for other, its, provider in hits if provider != own][:wanted]
    if len(fallbacks) < wanted:
        if not is_whole:
            return None
        same = [(other, its) for other, its, provider in hits if provider == own and other != model]
        fallbacks += same[: wanted - len(fallbacks)]
    alone = is_whole and len(hits) == 1
    return Choice(model, score, fallbacks, hits[0][0] if at else None, hits[0][1], lost, alone)


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
    best, score, _ = band[0]
    paid, known = asked.cost(best), None
    for cost, place in sorted([(asked.cost(hit[0]), place) for place, hit in enumerate(band)]):
        if not cost < paid:
            break
        known = asked.known(best) if known is None else known
        lost = loss(asked, known, band[place][0], score - band[place][1])
        if lost is not None:
            return place, lost
    return 0, 0.0
