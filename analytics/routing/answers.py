"""From what was chosen to the answer: Python objects are made here, for the winner and its fallbacks only, and sentences when
somebody reads them.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from . import bits, explain, sticky
from .asked import Asked
from .board import Board, remember
from .choice import Choice, choose
from .limits import Steps, first_failed, rejections, what_to_relax
from .records import Evidence, Explanation, Fallback, Part, RouteAnswer, RouteQuery, Source, TaskGuess
from .scores import Scores
from .snapshots import State
from .walk import walk

_TOLD, _NAMED = 128, 128  # models of each kind of question to remember what there is to say of; each 1 KB, a name 200 B
# The limits that a model's key alone decides; the others need a catalog.
_BY_NAME = {"allow", "deny", "only", "ignore"}
_NOTHING: Mapping[str, int] = {}
Reason = tuple[str | None, str]


@dataclass(frozen=True)
class Said:
    """An explanation that is ready."""

    parts: tuple[Part, ...] = ()
    evidence: Evidence | None = None
    reasons: tuple[Reason, ...] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)


class Settled(NamedTuple):
    """Everything of an answer that stays true as long as the board does: all but its age and its id."""

    source: Source
    named: Fallback | None
    fallbacks: tuple[Fallback, ...]
    task: TaskGuess | None
    policy: str
    explanation: Explanation


def settle(asked: Asked) -> Settled:
    """Sift and choose; the answer names a model if any passes every limit."""
    choice = walk(asked)
    if choice is None:
        steps = Steps(asked)
        words = steps.fitting()
        number = bits.count(words)
        if not number:
            why_not = WhyNothing(asked, rejections(steps), what_to_relax(steps))
            return Settled("none", None, (), asked.guess, asked.policy.name, why_not)
        choice = choose(asked, words, number)
    return _settled(asked, choice)


def settle_session(board: Board, query: RouteQuery, now: float) -> Settled:
    """The same for a question of a session. What many sessions ask alike is worked out once."""
    question = sticky.question_of(query)
    band: sticky.Band | None = board.bands.get(question)
    if band is None:
        asked = asked_of(board, query, now)
        if isinstance(asked, Settled):
            return asked
        band = sticky.band_of(asked)
        if band is None:
            return settle(asked)
        if asked.is_timeless and query.message is None:
            remember(board.bands, question, band, sticky.REMEMBERED)
    choice, reason = sticky.pick(band, query)
    asked = band.asked
    key = (question, query.session_model, choice.model)
    settled: Settled | None = board.sticky.get(key)
    if settled is None:
        settled = _settled(asked, choice, reason)
        if asked.is_timeless and query.message is None:
            remember(board.sticky, key, settled, sticky.REMEMBERED)
    return settled


def _settled(asked: Asked, choice: Choice, reason: tuple[str, str] | None = None) -> Settled:
    fallbacks = tuple([_named(asked, model, score) for model, score in choice.fallbacks])
    named = _named(asked, choice.model, choice.score)
    return Settled("snapshot", named, fallbacks, asked.guess, asked.policy.name, Why(asked, choice, reason))


def asked_of(board: Board, query: RouteQuery, now: float) -> Asked | Settled:
    """The question with its task and its policies; or its answer, if a policy of it cannot be used.

    Such a policy may have limits that nobody knows, so nothing is answered.
    """
    active, task = board.catalog.policies.active(query), task_of(board, query)
    if active.problem is not None:
        return Settled("none", None, (), task, active.policy.name, Said(reasons=(active.problem,)))
    return Asked(board, query, now, active, task)


def task_of(board: Board, query: RouteQuery) -> TaskGuess | None:
    """The task type that was asked, else what the tools, attachments and words of the query show."""
    if query.task is not None:
        return TaskGuess(query.task, "query", "high")
    if query.message is None and not query.tools and not query.attachments:
        return None
    return board.catalog.tasks.guess(query.message, query.tools, query.attachments)


class Why:
    """Why a model was chosen, worked out when it is read. `of_session` is the reason that a session gave."""

    __slots__ = ("_asked", "_choice", "_of_session", "_reasons", "_rejected", "_said")

    def __init__(self, asked: Asked, choice: Choice, of_session: tuple[str, str] | None = None) -> None:
        self._asked, self._choice, self._of_session = asked, choice, of_session
        self._said: Said | None = None
        self._reasons: tuple[Reason, ...] | None = None
        self._rejected: Mapping[str, int] | None = None

    @property
    def asked(self) -> Asked:
        """The question, for those who want to know what else was weighed."""
        return self._asked

    @property
    def parts(self) -> tuple[Part, ...]:
        """The terms that the model's score is the sum of, weights and values on 0..1."""
        return (self._said or self._told()).parts

    @property
    def evidence(self) -> Evidence | None:
        """The samples, mean and interval (quality, 0..1) behind the model; None: there is none."""
        return (self._said or self._told()).evidence

    @property
    def rejected(self) -> Mapping[str, int]:
        """How many models of the catalog failed, by the first limit that each failed."""
        if self._rejected is None:
            self._rejected = rejections(Steps(self._asked))
        return self._rejected

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Code (None: nothing unusual) and sentence of each reason, the one that decided first."""
        if self._reasons is None:
            detected = explain.detected(self._asked)
            decided: list[Reason] = [] if self._of_session is None else [self._of_session]
            if self._of_session is None or self._choice.instead_of is None:
                decided.append(explain.headline(self._asked, self._choice))
            self._reasons = (*decided, *(() if detected is None else (detected,)), *self._told().reasons)
        return self._reasons

    def _told(self) -> Said:
        """What there is to say of a model for this kind of question, limits and token counts aside."""
        if self._said is None:
            asked = self._asked
            model, known = self._choice.model, asked.kind.told
            is_alike = asked.is_alike(model)
            told: Said | None = known.get(model) if is_alike else None
            if told is None:
                told = _tell(asked, self._choice)
                if is_alike:
                    remember(known, model, told, _TOLD)
            self._said = told
        return self._said


class WhyNothing:
    """Why no model fits, and what to relax; put in words when it is read."""

    parts: tuple[Part, ...] = ()
    evidence: Evidence | None = None

    def __init__(self, asked: Asked, rejected: Mapping[str, int], helping: list[tuple[str, int]]) -> None:
        self._asked, self.rejected, self._helping = asked, rejected, helping

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """Code and sentence of why nothing fits, then of each limit whose relaxing would help."""
        asked, agent = self._asked, self._asked.query.agent
        code = "agent_unknown" if agent is not None and agent not in asked.board.catalog.agents else "nothing_fits"
        said: list[Reason] = [(code, explain.nothing_fits(asked, self.rejected))]
        return tuple(said + explain.relaxing(asked, self._helping))


def _tell(asked: Asked, choice: Choice) -> Said:
    known = asked.known(choice.model)
    evidence = explain.evidence(asked, known, choice.model)
    parts = explain.parts(asked, choice.model, known)
    failures = explain.failures(asked, choice.model)
    reasons = (
        explain.experience(asked, known, evidence),
        ("fresh_feedback", explain.freshness(known)),
        (None, explain.arithmetic(parts, choice.score)),
        (None, explain.behaviour(asked, choice.model)),
        ("failures", failures),
    )
    return Said(parts, evidence, tuple((code, text) for code, text in reasons if text is not None))


def answer(state: State, scores: Scores, stale_after_s: float, settled: Settled, now: float) -> RouteAnswer:
    """A settled question, answered at `now` (seconds since 1970): with the age of the scores, and what to know of them."""
    notes = [(problem.code, problem.text) for problem in state.problems]
    age_s = now - scores.as_of_s
    is_stale = age_s > stale_after_s
    if is_stale:
        old, limit = explain.duration(age_s * 1000), explain.duration(stale_after_s * 1000)
        notes.append(("stale", f"The scores are {old} old; they count as stale after {limit}."))
    if age_s < 0:
        ahead = explain.duration(-age_s * 1000)
        text = f"The scores are dated {ahead} ahead of this machine's clock, so their age counts as 0."
        notes.append(("clock_ahead", text))
    if scores.is_simulated:
        notes.append(("simulated", "The evidence is simulated: it says nothing about real providers."))
    return _answer(settled, tuple(notes), scores.snapshot_id, scores.is_simulated, max(0.0, age_s), is_stale)


def stand_in(state: State, query: RouteQuery, now: float, default_model: str | None) -> RouteAnswer:
    """The answer without scores: the configured default model (else `default_model`), if it passes every limit."""
    board = state.board
    problems = tuple((problem.code, problem.text) for problem in state.problems)
    configured = None if board is None else board.catalog.default_model
    key = default_model if configured is None else configured
    if key is None:
        said: Reason = ("no_default_model", "No default model is configured, so there is nothing to answer with.")
        return _unanswered(query, problems, said)
    if board is None:
        return _unlisted(key, query, problems)
    model = board.catalog.position.get(key)
    if model is None:
        said = ("default_unlisted", f"The default model {key} is not in the catalog, so it cannot stand in.")
        return _unanswered(query, problems, said)
    asked = asked_of(board, query, now)
    if isinstance(asked, Settled):
        return _answer(asked, problems)
    name, is_simulated = board.catalog.display_names[model], bool(board.catalog.is_simulated[model])
    failed = first_failed(asked, model)
    if failed is not None:
        said = ("default_rejected", explain.refusal(asked, failed, name))
        return _unanswered(query, problems, said, {failed: 1}, is_simulated=is_simulated)
    text = f"{name} is the default model; it stands in until there are scores."
    why = Said(parts=explain.parts(asked, model, asked.known(model)), reasons=(("default_model", text),))
    named = _named(asked, model, asked.score(model))
    return _answer(
        Settled("default", named, (), asked.guess, asked.policy.name, why), problems, is_simulated=is_simulated
    )


def _unlisted(key: str, query: RouteQuery, problems: tuple[tuple[str, str], ...]) -> RouteAnswer:
    """Without a catalog only names can be checked; every other limit is unknown data, and who may use what too."""
    provider = key.partition("/")[0]
    by_name = {
        "allow": query.allow is None or key in query.allow,
        "deny": key not in query.deny,
        "only": query.only is None or provider in query.only,
        "ignore": provider not in query.ignore,
    }
    failed = [field for field, _ in query.limits if not (by_name[field] if field in _BY_NAME else query.allow_unknown)]
    failed += [who for who in ("agent", "tenant", "role", "policy") if getattr(query, who) is not None]
    if failed:
        text = f"The default model {key} cannot stand in: without a catalog nobody knows whether it passes {failed[0]}."
        return _unanswered(query, problems, ("default_rejected", text), {failed[0]: 1})
    text = f"{key} is the default model; it stands in until there is a catalog."
    named = Fallback(key, provider, key, priority=None, cost_tier=None, score=None)
    return _answer(Settled("default", named, (), None, "default", Said(reasons=(("default_model", text),))), problems)


def _unanswered(
    query: RouteQuery,
    problems: tuple[tuple[str, str], ...],
    said: Reason,
    rejected: Mapping[str, int] = _NOTHING,
    *,
    is_simulated: bool = False,
) -> RouteAnswer:
    """No model: the problems come first, as they are why."""
    why = Said(reasons=(*problems, said), rejected=rejected)
    return _answer(Settled("none", None, (), None, query.policy or "default", why), (), is_simulated=is_simulated)


def _named(asked: Asked, model: int, score: float) -> Fallback:
    is_alike = asked.is_alike(model)
    named: Fallback | None = asked.kind.named.get(model) if is_alike else None
    if named is None:
        catalog = asked.board.catalog
        own = None if asked.patch is None else asked.patch.index.get(model)
        priority = (
            catalog.priority.item(model) if own is None or asked.patch is None else asked.patch.priority.item(own)
        )
        named = Fallback(
            catalog.keys[model],
            catalog.providers[model],
            catalog.display_names[model],
            int(priority),
            catalog.tier_name(model),
            score,
        )
        if is_alike:
            remember(asked.kind.named, model, named, _NAMED)
    return named


def _answer(
    settled: Settled,
    notes: tuple[tuple[str, str], ...],
    snapshot_id: str | None = None,
    is_simulated: bool = False,
    age_s: float | None = None,
    is_stale: bool = False,
) -> RouteAnswer:
    named = settled.named
    model = provider = display_name = priority = cost_tier = score = None
    if named is not None:
        model, provider, display_name = named.model, named.provider, named.display_name
        priority, cost_tier, score = named.priority, named.cost_tier, named.score
    return RouteAnswer(
        model=model,
        provider=provider,
        display_name=display_name,
        priority=priority,
        cost_tier=cost_tier,
        score=score,
        fallbacks=settled.fallbacks,
        task=settled.task,
        policy=settled.policy,
        snapshot_id=snapshot_id,
        is_simulated=is_simulated,
        age_s=age_s,
        is_stale=is_stale,
        source=settled.source,
        stamp=(time.time_ns() // 1_000_000, random.getrandbits(74)),
        explanation=settled.explanation,
        notes=notes,
    )
