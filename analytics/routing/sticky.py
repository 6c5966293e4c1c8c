"""Sessions: one conversation stays with one model as long as that costs little.

Without knowing where a session was, the models that tie with the best, and are no dearer, are told apart by rendezvous hashing: each
session has an order of its own over all models, so it changes only when its model is no longer among them, and what
other models do moves nobody else. Where the caller knows the session's model, it is kept while it passes every limit and the quality
expected to be lost by it stays below the policy's `kept_within` times what a tie may lose: changing in mid-conversation costs something too.
"""

import hashlib
import math
from dataclasses import fields
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from . import bits, explain, policies
from .asked import Asked
from .bits import Words
from .choice import Choice, fallbacks_of, tied
from .limits import FAILING, Steps, first_failed
from .orders import in_order
from .records import RouteQuery
from .ties import expected_loss

REMEMBERED = 4_096
_OF_SESSIONS = {"session", "session_model"}
Reason = tuple[str, str]

question_of = attrgetter(
    *(entry.name for entry in fields(RouteQuery) if entry.compare and entry.name not in _OF_SESSIONS)
)
"""A query without its session: what many sessions ask alike."""


class Band(NamedTuple):
    """The models that fit a question (`words`, `number` of them), and those that may be taken for it: `members`, the best first, each
    with its score and the key that is hashed.
    """

    asked: Asked
    words: Words
    number: int
    members: tuple[tuple[int, float, str], ...]


class Picked(NamedTuple):
    """The model of a session, and why it and no other: None where the best is taken as ever."""

    choice: Choice
    reason: Reason | None


def band_of(asked: Asked) -> Band | None:
    """What fits and what ties; None where nothing fits."""
    words = Steps(asked).fitting()
    number = bits.count(words)
    if not number:
        return None
    keys = asked.board.catalog.keys
    return Band(asked, words, number, tuple((model, score, keys[model]) for model, score in tied(asked, words, number)))


def pick(band: Band, query: RouteQuery) -> Picked:
    """The session's model. `query` has a session; all else of it is what the band was made for."""
    assert query.session is not None
    hashed = _hashed(band, query.session)
    if query.session_model is None:
        model, score, _ = band.members[hashed]
        lost = 0.0 if not hashed else _lost(band.asked, band.members[0], model, score)
        return Picked(_choice(band, model, score, lost), _chosen(band, model))
    position = band.asked.board.catalog.position.get(query.session_model)
    if position is not None and bits.has(band.words, position):
        score = in_order(band.asked, np.array([position])).scores.item(0)
        lost = _lost(band.asked, band.members[0], position, score)
        if _is_kept(band, position, lost):
            return Picked(_choice(band, position, score, lost), _kept(band, position, lost))
    else:
        lost = 0.0
    model, score, _ = band.members[hashed]
    off = 0.0 if not hashed else _lost(band.asked, band.members[0], model, score)
    return Picked(_choice(band, model, score, off), _moved(band, query.session_model, position, model, lost))


def weight_of(session: str, key: str) -> bytes:
    """The place of a model in a session's own order, the highest first: the same on every machine."""
    return hashlib.blake2b(f"{len(session)}:{session}{key}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _hashed(band: Band, session: str) -> int:
    if len(band.members) == 1:
        return 0
    return max(range(len(band.members)), key=lambda place: weight_of(session, band.members[place][2]))


def _is_kept(band: Band, model: int, lost: float) -> bool:
    asked, best = band.asked, band.members[0][0]
    if model == best:
        return True
    if asked.sort is None:
        return lost < asked.policy.kept_within * asked.tie_delta or any(
            model == member for member, _, _ in band.members
        )
    return _figure(asked, model) == _figure(asked, best)


def _figure(asked: Asked, model: int) -> float:
    """What is sorted by, lower being better."""
    models = np.array([model])
    assert asked.sort is not None
    quality, _ = asked.quality_and_se(models)
    return asked.board.figures(asked.sort, models, quality, asked.costs(models)).item(0)


def _lost(asked: Asked, best: tuple[int, float, str], model: int, score: float) -> float:
    """The quality expected to be lost by taking `model` instead of the best; without experience the gap of their scores."""
    behind = best[1] - score
    if behind <= 0:
        return 0.0
    first, other = asked.known(best[0]), asked.known(model)
    weight = policies.quality_weight(asked.policy, first.worth)
    if not (first.basis and other.basis and weight > 0):
        return behind
    return expected_loss(max(first.quality - other.quality, behind / weight), math.hypot(first.se, other.se))


def _choice(band: Band, model: int, score: float, lost: float) -> Choice:
    best, against, _ = band.members[0]
    others = fallbacks_of(band.asked, band.words, band.number, model)
    return Choice(model, score, others, None if model == best else best, against, lost, band.number == 1)


def _chosen(band: Band, model: int) -> Reason | None:
    if len(band.members) == 1:
        return None
    name = band.asked.board.catalog.display_names[model]
    return "session_hashed", (
        f"{name} is one of {len(band.members):,} models that are as good as each other here; the session's id chose among them, and "
        "chooses it again as long as they are."
    )


def _kept(band: Band, model: int, lost: float) -> Reason:
    names, best = band.asked.board.catalog.display_names, band.members[0][0]
    text = f"The session stays with {names[model]}"
    if model == best:
        return "session_kept", f"{text}, which is the best of the models that fit."
    if not lost:
        return "session_kept", f"{text}, which is as good as {names[best]}."
    return (
        "session_kept",
        f"{text}: {names[best]} scores higher, but staying is expected to lose only {explain.percent(lost, 2)} of quality.",
    )


def _moved(band: Band, key: str, position: int | None, model: int, lost: float) -> Reason:
    asked, names = band.asked, band.asked.board.catalog.display_names
    if position is None:
        return "session_moved", f"The session moves to {names[model]}: {key} is not in the catalog any more."
    old = names[position]
    failed = first_failed(asked, position)
    if failed is not None:
        why = FAILING[failed][1].format(requests=f"{asked.board.measured['requests'].item(position):,.0f}")
        return "session_moved", f"The session moves from {old} to {names[model]}: {old} {why}."
    if asked.sort is not None:
        return "session_moved", f"The session moves from {old} to {names[model]}, which comes first by {asked.sort}."
    return "session_moved", (
        f"The session moves from {old} to {names[model]}: staying would be expected to lose {explain.percent(lost, 2)} of quality."
    )
