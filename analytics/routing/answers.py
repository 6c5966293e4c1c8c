"""From what was chosen to the answer: Python objects are made here, for the winner and its fallbacks only."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from . import explain
from .board import BASES, interval, remember
from .choice import Choice, choose
from .columns import Scores
from .limits import Asked, Fitting, first_failed, set_limits, sift, what_to_relax
from .records import Evidence, Fallback, Part, RouteAnswer, RouteQuery, Source
from .snapshots import State

_POLICY = "default"
_TOLD = 4_096  # models to remember what there is to say of, each about 2 KB
# The limits that a model's key alone decides; the others need a catalog.
_BY_NAME = {"allow", "deny", "only", "ignore"}


@dataclass(frozen=True, slots=True)
class _Model:
    """What an answer says of the model it names, whatever it was chosen for."""

    named: Fallback
    parts: tuple[Part, ...]
    evidence: Evidence | None
    texts: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


class Settled(NamedTuple):
    """Everything of an answer that stays true as long as the board does: all but its age and its id."""

    source: Source
    model: _Model | None
    fallbacks: tuple[Fallback, ...]
    texts: tuple[str, ...]
    codes: tuple[str, ...]
    rejected: Mapping[str, int]


def settle(asked: Asked) -> Settled:
    """Sift, choose, and say why; the answer names a model if any passes every limit."""
    fitting = sift(asked)
    return _chosen(asked, fitting, choose(asked, fitting)) if fitting.number else _nothing(asked, fitting)


def answer(state: State, scores: Scores, stale_after_s: float, settled: Settled, now: float) -> RouteAnswer:
    """A settled question, answered at `now` (seconds since 1970): with the age of the scores, and what to know of them."""
    notes = _Notes(list(settled.codes), list(settled.texts))
    notes.add_problems(state)
    notes.add_scores(scores, stale_after_s, now)
    return _answer(settled.source, notes, settled.rejected, settled.model, settled.fallbacks)


def _chosen(asked: Asked, fitting: Fitting, choice: Choice) -> Settled:
    code, decided = explain.headline(asked, choice, fitting.number)
    model = _told(asked, choice.model)
    return Settled(
        source="snapshot",
        model=model,
        fallbacks=tuple([_fallback(asked, other) for other in choice.fallbacks]),
        texts=(decided, *model.texts),
        codes=(code, *model.codes),
        rejected=fitting.rejected,
    )


def _told(asked: Asked, model: int) -> _Model:
    """What there is to say of a model for this kind of question, limits and token counts aside."""
    key = (asked.ranking.key, model)
    told: _Model | None = asked.board.told.get(key)
    if told is not None:
        return told
    evidence = _evidence(asked, model)
    unusual, experience = explain.experience(asked, model, evidence)
    failures = explain.failures(asked, model)
    texts = (experience, explain.arithmetic(asked, model), explain.behaviour(asked, model), failures)
    codes = (unusual, None if failures is None else "failures")
    told = _Model(
        _fallback(asked, model),
        _parts(asked, model),
        evidence,
        tuple(text for text in texts if text is not None),
        tuple(code for code in codes if code is not None),
    )
    remember(asked.board.told, key, told, _TOLD)
    return told


def _nothing(asked: Asked, fitting: Fitting) -> Settled:
    """There are scores, but no model passes every limit: say what to relax."""
    agent = asked.query.agent
    code = "agent_unknown" if agent is not None and agent not in asked.board.catalog.agents else "nothing_fits"
    helping = what_to_relax(asked)
    advice = explain.relaxing(asked, helping)
    said = explain.nothing_fits(asked, fitting.rejected)
    return Settled(
        source="none",
        model=None,
        fallbacks=(),
        texts=(said,) if advice is None else (said, advice),
        codes=(code, *(f"relax_{field}" for field, _ in helping)),
        rejected=fitting.rejected,
    )


def stand_in(state: State, query: RouteQuery, now: float, default_model: str | None) -> RouteAnswer:
    """The answer without scores: the configured default model (else `default_model`), if it passes every limit."""
    board = state.board
    notes = _Notes([], [])
    notes.add_problems(state)
    configured = None if board is None else board.catalog.default_model
    key = default_model if configured is None else configured
    if key is None:
        notes.add("no_default_model", "No default model is configured, so there is nothing to answer with.")
        return _answer("none", notes)
    if board is None:
        return _unlisted(key, query, notes)
    model = board.catalog.position.get(key)
    if model is None:
        notes.add("default_unlisted", f"The default model {key} is not in the catalog, so it cannot stand in.")
        return _answer("none", notes)
    asked = Asked(board, board.ranking(query), query, now)
    notes.is_simulated = bool(board.catalog.is_simulated[model])
    name = board.catalog.display_names[model]
    failed = first_failed(asked, model)
    if failed is not None:
        notes.add("default_rejected", explain.refusal(asked, failed, name))
        return _answer("none", notes, {failed: 1})
    notes.first("default_model", f"{name} is the default model; it stands in until there are scores.")
    return _answer("default", notes, {}, _Model(_fallback(asked, model), _parts(asked, model), None))


def _unlisted(key: str, query: RouteQuery, notes: "_Notes") -> RouteAnswer:
    """Without a catalog only names can be checked; every other limit is unknown data, and an agent's models too."""
    provider = key.partition("/")[0]
    by_name = {
        "allow": query.allow is None or key in query.allow,
        "deny": key not in query.deny,
        "only": query.only is None or provider in query.only,
        "ignore": provider not in query.ignore,
    }
    failed = [
        limit.field
        for limit, _ in set_limits(query)
        if not (by_name[limit.field] if limit.field in _BY_NAME else query.allow_unknown)
    ]
    if query.agent is not None:
        failed.append("agent")
    if failed:
        notes.add(
            "default_rejected",
            f"The default model {key} cannot stand in: without a catalog nobody knows whether it passes {failed[0]}.",
        )
        return _answer("none", notes, {failed[0]: 1})
    notes.first("default_model", f"{key} is the default model; it stands in until there is a catalog.")
    unknown = Fallback(key, provider, key, priority=None, cost_tier=None, score=None)
    return _answer("default", notes, {}, _Model(unknown, (), None))


class _Notes:
    """An answer's reasons in the making, and the age of what they rest on."""

    def __init__(self, codes: list[str], texts: list[str]) -> None:
        self.codes = codes
        self.texts = texts
        self.snapshot_id: str | None = None
        self.is_simulated = False
        self.age_s: float | None = None
        self.is_stale = False

    def add_problems(self, state: State) -> None:
        for problem in state.problems:
            self.add(problem.code, problem.text)

    def add_scores(self, scores: Scores, stale_after_s: float, now: float) -> None:
        """What to know about the snapshot before trusting it."""
        age_s = now - scores.as_of_s
        self.snapshot_id, self.is_simulated, self.age_s = scores.snapshot_id, scores.is_simulated, max(0.0, age_s)
        self.is_stale = age_s > stale_after_s
        if self.is_stale:
            old, limit = explain.duration(age_s * 1000), explain.duration(stale_after_s * 1000)
            self.add("stale", f"The scores are {old} old; they count as stale after {limit}.")
        if age_s < 0:
            ahead = explain.duration(-age_s * 1000)
            self.add(
                "clock_ahead", f"The scores are dated {ahead} ahead of this machine's clock, so their age counts as 0."
            )
        if scores.is_simulated:
            self.add("simulated", "The evidence is simulated: it says nothing about real providers.")

    def add(self, code: str, text: str) -> None:
        self.codes.append(code)
        self.texts.append(text)

    def first(self, code: str, text: str) -> None:
        """Put what decided before everything else."""
        self.codes.insert(0, code)
        self.texts.insert(0, text)


def _fallback(asked: Asked, model: int) -> Fallback:
    catalog, ranking = asked.board.catalog, asked.ranking
    key = (ranking.key, model)
    named = asked.board.named.get(key)
    if named is None:
        named = Fallback(
            catalog.keys[model],
            catalog.providers[model],
            catalog.display_names[model],
            int(ranking.priority.item(model)),
            catalog.tier_names[model],
            ranking.score.item(model),
        )
        remember(asked.board.named, key, named, _TOLD)
    return named


def _parts(asked: Asked, model: int) -> tuple[Part, ...]:
    """The terms whose sum is the score; priority alone weighs 1."""
    catalog, ranking = asked.board.catalog, asked.ranking
    basis = ranking.basis.item(model)
    whose = "agent_override" if ranking.of_agent[model] else "catalog"
    priority = Part("priority", catalog.weight_priority if basis else 1.0, ranking.priority.item(model) / 100, whose)
    if not basis:
        return (priority,)
    return priority, Part("experience", catalog.weight_quality, ranking.quality.item(model), BASES[basis])


def _evidence(asked: Asked, model: int) -> Evidence | None:
    rows = asked.board.experience_rows(asked.ranking, model)
    if not rows:
        return None
    assert asked.board.scores is not None
    kind, n, low, high = interval(rows)
    return Evidence(kind, n, asked.ranking.quality.item(model), low, high, asked.board.scores.as_of)


def _answer(
    source: Source,
    notes: _Notes,
    rejected: Mapping[str, int] | None = None,
    model: _Model | None = None,
    fallbacks: tuple[Fallback, ...] = (),
) -> RouteAnswer:
    named = None if model is None else model.named
    return RouteAnswer(
        model=None if named is None else named.model,
        provider=None if named is None else named.provider,
        display_name=None if named is None else named.display_name,
        priority=None if named is None else named.priority,
        cost_tier=None if named is None else named.cost_tier,
        score=None if named is None else named.score,
        parts=() if model is None else model.parts,
        evidence=None if model is None else model.evidence,
        fallbacks=fallbacks,
        reasons=tuple(notes.texts),
        reason_codes=tuple(notes.codes),
        rejected=dict(rejected or {}),
        policy=_POLICY,
        snapshot_id=notes.snapshot_id,
        is_simulated=notes.is_simulated,
        age_s=notes.age_s,
        is_stale=notes.is_stale,
        source=source,
        decision_id=_new_id(),
    )


def _new_id() -> str:
    """A UUIDv7: ids of later decisions sort after those of earlier ones."""
    ms, noise = time.time_ns() // 1_000_000, random.getrandbits(74)
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{noise & 0xFFF:03x}-{0x8000 | noise >> 60:04x}-{noise >> 12 & 0xFFFFFFFFFFFF:012x}"
