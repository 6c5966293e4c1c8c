"""Route and reserve in one go: the model that is called is the one whose cost every budget granted.

    reserved = route_and_reserve(lookup, store, RouteQuery(task="code", tenant="acme", input_tokens=900, output_tokens=300))
    if reserved.answer.model is not None:
        ...  # call it
        store.settle_budget(reserved.reservation.id, cost)  # what it cost; None if the call was not made

A call that fails is settled with what it cost; its fallback is asked for anew, with `deny` and under an id of its own, so that it is
checked against the budgets too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from analytics.routing import Lookup, RouteAnswer, RouteQuery
from analytics.routing.policies import both
from analytics.routing.records import LIMIT_FIELDS, Evidence, Explanation, Part
from analytics.store.budgets import RESERVED_S, Reservation
from analytics.store.protocol import Store
from analytics.store.rows import Row, new_id

_RANKING = ("policy", "weights", "sort")
_TRIES = 8  # each finds less left than the one before, because others reserve meanwhile


@dataclass(frozen=True, slots=True)
class Reserved:
    """The answer, and the reservation for its model. `reservation` is None where no model fitted before any budget was asked; where the
    budgets granted nothing it is the last refusal, and the answer is `none` with `budget_refused` among its reason codes.
    """

    answer: RouteAnswer
    reservation: Reservation | None


def route_and_reserve(
    lookup: Lookup,
    store: Store,
    query: RouteQuery,
    reservation_id: str | None = None,
    *,
    ttl_s: float = RESERVED_S,
    at: str | None = None,
) -> Reserved:
    """The best model within the query's limits that every budget of its tenant, user, agent and session has enough left for.

    The cost reserved is that of `input_tokens` and `output_tokens` at the model's price. Where a budget refuses, the same question is
    asked again with what is left as a further limit, so that the next model is cheaper and within the same limits. A model without a
    known price is not taken, unless the query has `allow_unknown`: then nothing is reserved for it. With a `session`, the
    model that the store remembers for it is `session_model` unless given, and the one reserved is remembered. Its stored
    preferences, an object of limits, `policy`, `weights` and `sort`, hold too: of two limits the stricter, and how to rank
    only where the query does not say.

    `reservation_id` is a UUID (None: a new one): asked again under it, the model reserved before is answered. Raises ValueError if the query
    has no tenant or no token counts, if the session's preferences make no sense, or if the call of this id was settled already; what `Store.reserve_budget` raises else.
    """
    if query.tenant is None or query.input_tokens is None or query.output_tokens is None:
        missing = "tenant" if query.tenant is None else "input_tokens and output_tokens"
        raise ValueError(
            f"{missing} must be given to reserve a budget: budgets are a tenant's, and what is reserved is a cost"
        )
    tokens = query.input_tokens, query.output_tokens
    who: dict[str, Any] = {"tenant": query.tenant, "user": query.user, "agent": query.agent, "at": at}
    if query.session is not None:
        remembered = store.touch_session(query.session, **who)
        query = _preferred(replace(query, session_model=query.session_model or remembered["model"]), remembered)
    one, asked, refused = reservation_id or new_id(), query, list[Reservation]()
    for _ in range(_TRIES):
        answer = lookup.route(asked)
        if answer.model is None:
            return Reserved(_refused(answer, refused[-1]), refused[-1]) if refused else Reserved(answer, None)
        cost = lookup.cost_usd(answer.model, *tokens)
        if cost is None and not query.allow_unknown:
            asked = replace(asked, deny=(*asked.deny, answer.model))
            continue
        found = store.reserve_budget(one, cost or 0.0, session=query.session, model=answer.model, ttl_s=ttl_s, **who)
        if found.state == "settled":
            raise ValueError(
                f"reservation {one} was settled already: that call was made; give each call an id of its own"
            )
        if found.is_granted:
            answer = _with_refusals(_of_reserved(lookup, asked, answer, found), refused)
            return Reserved(answer, _kept(store, query, answer, found, who))
        refused.append(found)
        if found.refused_by is None or found.refused_by.what == "requests":
            break
        bounds = (found.left_usd, math.nextafter(found.cost_usd, 0.0), asked.max_usd_per_query)
        asked = replace(asked, max_usd_per_query=min(bound for bound in bounds if bound is not None))
    if not refused:
        said = "Of the models that fit best none has a known price to reserve."
        return Reserved(_without(answer, ("price_unknown", said)), None)
    return Reserved(_refused(answer, refused[-1]), refused[-1])


def _preferred(query: RouteQuery, session: Row) -> RouteQuery:
    """The query with what its session prefers."""
    told = {name: value for name, value in (session["preferences"] or {}).items() if value is not None}
    if session["policy"] is not None:
        told.setdefault("policy", session["policy"])
    if not told:
        return query
    odd = sorted(set(told) - {*LIMIT_FIELDS, *_RANKING})
    try:
        wished = RouteQuery(**{name: value for name, value in told.items() if name not in odd})
    except (ValueError, TypeError) as error:
        raise ValueError(f"the preferences of session {query.session}: {error}") from None
    if odd:
        raise ValueError(f"the preferences of session {query.session}: there is no limit or preference {odd[0]}")
    changed = both(dict(query.limits), dict(wished.limits))
    if all(getattr(query, name) is None for name in _RANKING):
        changed |= {name: getattr(wished, name) for name in _RANKING}
    return replace(query, **changed)


def _kept(
    store: Store, query: RouteQuery, answer: RouteAnswer, found: Reservation, who: Mapping[str, Any]
) -> Reservation:
    """What holds for an answer: its session remembers the model; without a model, what was reserved is given back."""
    if answer.model is None:
        return store.settle_budget(found.id, None, at=who["at"])
    if query.session is not None:
        store.touch_session(query.session, model=answer.model, **who)
    return found


def _of_reserved(lookup: Lookup, asked: RouteQuery, answer: RouteAnswer, found: Reservation) -> RouteAnswer:
    """The answer for the model that holds the reservation, which an earlier call under the same id may have chosen."""
    if found.model in {None, answer.model}:
        return answer
    return lookup.route(replace(asked, allow=(str(found.model),)))


class _Told:
    """An explanation that begins with what the budgets said."""

    def __init__(self, first: tuple[str, str], rest: Explanation) -> None:
        self._first, self._rest = first, rest

    parts: tuple[Part, ...] = ()
    evidence: Evidence | None = None

    @property
    def reasons(self) -> tuple[tuple[str | None, str], ...]:
        return (self._first, *self._rest.reasons) if self._rest.parts == () else (self._first,)

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._rest.rejected


def _refused(answer: RouteAnswer, refusal: Reservation) -> RouteAnswer:
    return _without(answer, ("budget_refused", str(refusal.reason)))


def _without(answer: RouteAnswer, first: tuple[str, str]) -> RouteAnswer:
    """The answer with no model in it, and why."""
    nothing: dict[str, Any] = dict.fromkeys(("model", "provider", "display_name", "priority", "cost_tier", "score"))
    return replace(answer, **nothing, fallbacks=(), source="none", explanation=_Told(first, answer.explanation))


def _with_refusals(answer: RouteAnswer, refused: list[Reservation]) -> RouteAnswer:
    """The answer, with a note that dearer models were passed over."""
    if not refused or answer.model is None:
        return answer
    return replace(
        answer, notes=(*answer.notes, ("budget_cheaper", f"A dearer model was passed over: {refused[0].reason}"))
    )
