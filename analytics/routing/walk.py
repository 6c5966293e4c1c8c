"""The quick way to an answer: among the first few hundred models of a stored order, or among the few that an agent may use.

Most questions are settled there. Where they are not, `walk` gives up, and sets of all models (`limits.Steps`, `choice`) find
the same answer.
"""

from . import bits, front, policies
from .asked import Asked
from .board import remember
from .catalog import Members
from .choice import Choice, loss
from .experience import Patch
from .few import Few
from .orders import in_order
from .passing import passing
from .ties import ROUNDING, SQRT_TAU

_MEMBERS = 2_048  # an agent's list as long as that is put in order by itself
_BAND = 8  # so many may tie with the best
_NEAR = 4  # so many that pass are looked at first; they are nearly always enough
_HITS = 16  # and then so many, and as many more as are to be named
Ranked = tuple[int, float, int]  # a model, its score, its provider


def walk(asked: Asked) -> Choice | None:
    """The choice, or None where this way does not lead to it."""
    if asked.query.agent is not None:
        members = asked.board.members_of(asked.query.agent, asked.query.tenant)
        if len(members.models) <= _MEMBERS:
            return _of_agent(asked, members)
    own = asked.patch
    if not asked.is_stored or (asked.sort is not None and (own is not None or asked.is_by_tokens)):
        return None
    few = asked.ranking.first
    fitting = front.fitting(asked, few)
    if own is None:
        return _first(asked, few, fitting)
    fitting &= ~front.as_number(bits.among(own.words, few.models))
    hits, is_whole = _ranked(few, fitting, _HITS + asked.query.top)
    hits = _merged(asked, own, hits, is_whole=is_whole)
    return _chosen(asked, hits, None, is_whole=is_whole)


def _of_agent(asked: Asked, members: Members) -> Choice | None:
    """Among all that an agent may use, which are few; None where none of them passes."""
    few = asked.side_by_side(members)
    models = few.models[passing(asked, few, agent=False)]
    if not len(models):
        return None
    block = in_order(asked, models)
    most = _HITS + asked.query.top
    columns = (block.models[:most].tolist(), block.scores[:most].tolist(), block.providers[:most].tolist())
    return _chosen(asked, list(zip(*columns, strict=True)), None, is_whole=len(models) <= most)


def _first(asked: Asked, few: Few, fitting: int) -> Choice | None:
    """Among the first of the order, where nobody knows any of them better than everyone."""
    if not fitting:
        return None
    floor = None if few.floors is None else few.floors.item((fitting & -fitting).bit_length() - 1)
    most, hits = _HITS + asked.query.top, list[Ranked]()
    for number in (_NEAR, most):
        hits, is_whole = _ranked(few, fitting, number)
        choice = _chosen(asked, hits, floor, is_whole=is_whole)
        if choice is not None:
            return choice
        if len(hits) < number:
            break
    ranking = asked.ranking
    if few.is_whole or len(hits) >= most:
        return None
    later = asked.later_side_by_side()
    hits += _ranked(later, front.as_number(passing(asked, later, agent=True)), most)[0]
    return _chosen(asked, hits, floor, is_whole=ranking.is_whole and len(hits) < most)


def _ranked(few: Few, fitting: int, most: int) -> tuple[list[Ranked], bool]:
    """The first of them, and whether there are no others."""
    hits, best = list[Ranked](), few.best
    while fitting and len(hits) < most:
        lowest = fitting & -fitting
        fitting ^= lowest
        place = lowest.bit_length() - 1
        if place < len(best):
            hits.append(best[place])
        else:
            hits.append((few.models.item(place), few.scores.item(place), few.provider.item(place)))
    return hits, few.is_whole and not fitting


def _merged(asked: Asked, own: Patch, hits: list[Ranked], *, is_whole: bool) -> list[Ranked]:
    """With those that the agent or tenant knows better, at their own scores; cut where others might come between."""
    key = (asked.policy.key, asked.task, asked.query.domain, asked.query.agent, asked.query.tenant)
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
    if not hits:
        return None
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
    cheaper = [(cost, place) for place, hit in enumerate(band) if (cost := asked.cost(hit[0])) < paid]
    cheaper.sort()
    for _, place in cheaper:
        known = asked.known(best) if known is None else known
        lost = loss(asked, known, band[place][0], score - band[place][1])
        if lost is not None:
            return place, lost
    return 0, 0.0
