"""The quick way to an answer: among the first few hundred models of a stored order, or among the few that an agent may use.

Most questions are settled there. Where they are not, `walk` gives up, and sets of all models (`limits.sift`, `choice`) find
the same answer.
"""

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
_HITS = 32  # so many that pass are looked at
Ranked = tuple[int, float]


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
    is_whole = few.is_whole and len(places) <= _HITS
    places = places[:_HITS]
    hits: list[Ranked] = list(zip(few.models[places].tolist(), few.scores[places].tolist(), strict=True))
    if own is not None:
        hits = _merged(asked, own, hits, is_whole=is_whole)
    return _chosen(asked, hits, is_whole=is_whole) if hits else None


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
        found = Few(board, asked.view, ranking.order[places], ranking.score[places], is_whole=is_whole)
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
    mine = zip(few.models[places].tolist(), few.scores[places].tolist(), strict=True)
    tie_rank = asked.board.tie_rank.item
    joined = sorted([*hits, *mine], key=lambda ranked: (-ranked[1], tie_rank(ranked[0])))
    if is_whole:
        return joined
    return joined[: joined.index(last) + 1] if last is not None else []


def _chosen(asked: Asked, hits: list[Ranked], *, is_whole: bool) -> Choice | None:
    band = 1
    if asked.sort is None:
        floor = _floor(asked, *hits[0])
        while band < len(hits) and hits[band][1] >= floor:
            band += 1
        if band > _BAND or (band == len(hits) and not is_whole):
            return None
    chosen = _best(asked, hits[:band])
    provider, wanted = asked.board.catalog.provider_code.item, asked.query.top - 1
    own = provider(chosen.model)
    for ranked in hits:
        if len(chosen.fallbacks) == wanted:
            break
        if provider(ranked[0]) != own:
            chosen.fallbacks.append(ranked)
    if len(chosen.fallbacks) < wanted:
        if not is_whole:
            return None
        same = [ranked for ranked in hits if ranked[0] != chosen.model and provider(ranked[0]) == own]
        chosen.fallbacks.extend(same[: wanted - len(chosen.fallbacks)])
    return chosen._replace(is_alone=True) if is_whole and len(hits) == 1 else chosen


def _floor(asked: Asked, model: int, score: float) -> float:
    """The score below which nothing can tie with the best; policies.reach says the same of many."""
    best = asked.known(model)
    if not best.basis:
        return score
    delta = asked.tie_delta
    widest = max(min(delta, 2 * (delta - best.se / SQRT_TAU)), 0.0)
    reach: float = policies.quality_weight(asked.policy, best.n) * widest + ROUNDING
    return score - reach


def _best(asked: Asked, hits: list[Ranked]) -> Choice:
    """The best, or the cheapest of those that tie with it."""
    best, score = hits[0]
    if len(hits) > 1:
        paid, known = asked.cost(best), asked.known(best)
        cheaper = sorted((cost, place) for place, (model, _) in enumerate(hits) if (cost := asked.cost(model)) < paid)
        for _, place in cheaper:
            model, behind = hits[place][0], score - hits[place][1]
            lost = loss(asked, known, model, behind)
            if lost is not None:
                return Choice(model, hits[place][1], [], best, score, lost)
    return Choice(best, score, [])
