# SPDX-License-Identifier: Apache-2.0
"""Wishes: what people, promotions and judgements want of a model, and the state that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mlops.serving.model.plan import Kind, Plan, first_of_all, straight_back
from mlops.serving.model.rollout import Cause, Mark, Phase, Rollout
from mlops.serving.model.state import (
    State,
    draining,
    give_up,
    remembered,
    runs_on,
    shadowing,
    watched,
)


@dataclass(frozen=True)
class Wish:
    """A version that somebody wants to answer.

    *at* is when it was said, *heard_at* what time it really is (what runs then need not be started). One that nobody
    else tells of has *own* set, and its rollout tells that it has started. A person's word (*by_hand*) lets a shadow
    go on.
    """

    version: int
    deployment_id: str
    cause: Cause
    at: datetime
    plan: Plan
    why: str = ""
    metric: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    heard_at: datetime | None = None
    by_hand: bool = False
    own: bool = False


def rollback_target(state: State) -> int | None:
    """Return the version that a rollback brings back: an unfinished rollout is given up first."""
    return state.live if state.rollout is not None else state.before


def want(state: State, wish: Wish, drain: timedelta) -> State:
    """Return the state with *wish* as the newest one; an unfinished rollout of another version is given up.

    A wish for what answers or comes already, or one older than the newest, changes nothing; but a person who wants
    the version of a shadow lets it go on.
    """
    if state.has_heard(wish.cause.id) or _is_older(state, wish):
        return state
    under_way = state.rollout
    if under_way is not None and under_way.version == wish.version:
        return _approved(state, under_way, wish)
    if under_way is not None:
        # Callers still have its weights now, however long ago the wish was said.
        reason, now = f"superseded by version {wish.version}", wish.heard_at or wish.at
        state = give_up(state, Phase.REVERTED, now, reason, drain, cause=wish.cause)
    if state.live == wish.version:
        return state
    rollout = _begun(state, wish)
    drains = tuple(one for one in state.drains if one.version != wish.version)
    return replace(state, drains=drains, rollouts=remembered((*state.rollouts, rollout)))


def way_back(state: State, cause: Cause, now: datetime, why: str, *, own: bool) -> Wish | None:
    """Return the wish for the version before while that still runs, None when it is too late."""
    done = watched(state, now)
    if done is None or done.previous_version is None:
        return None
    return Wish(
        version=done.previous_version,
        deployment_id=f"{done.deployment_id[:100]}-back-v{done.previous_version}",
        cause=cause,
        at=max(now, done.wanted_at),
        plan=straight_back(done.plan),
        why=why[:500],
        heard_at=now,
        own=own,
    )


def undeploy(state: State, at: datetime, drain: timedelta, cause: Cause, reason: str) -> State:
    """Return the state in which nothing answers any more, and nothing is kept warm."""
    state = give_up(state, Phase.REVERTED, at, reason, drain, cause=cause)
    drains = tuple(replace(one, until=min(one.until, at + drain)) for one in state.drains)
    if state.live is None:
        return replace(state, drains=drains)
    gone = draining(state, state.live, at + drain, cause, reason)
    return replace(state, live=None, before=None, drains=(*drains, gone))


def _begun(state: State, wish: Wish) -> Rollout:
    since = wish.at if wish.heard_at is None else wish.heard_at
    marks = (Mark(Phase.DESIRED, since, reason=wish.why),) if wish.own else ()
    phase = Phase.DESIRED
    if wish.heard_at is not None and runs_on(state, wish.version, wish.heard_at):
        # It was packed, has started and has answered: traffic is all it lacks.
        phase = Phase.WARM
        marks = (*marks, Mark(phase, wish.at, reason="it still runs"))
    return Rollout(
        deployment_id=wish.deployment_id,
        version=wish.version,
        previous_version=state.live,
        cause=wish.cause,
        plan=first_of_all(wish.plan) if state.live is None else wish.plan,
        wanted_at=wish.at,
        since=since,
        why=wish.why,
        metric=wish.metric,
        metrics=wish.metrics,
        phase=phase,
        marks=marks,
    )


def _approved(state: State, rollout: Rollout, wish: Wish) -> State:
    if not wish.by_hand or shadowing(state) is None or rollout.approved is not None:
        return state
    # Who names another kind means how it goes on.
    steps = rollout.plan.steps if wish.plan.kind is Kind.SHADOW else wish.plan.steps
    plan = replace(rollout.plan, steps=steps)
    going = replace(rollout, approved=wish.cause, plan=plan, wanted_at=wish.at)
    return replace(state, rollouts=(*state.rollouts[:-1], going))


def _is_older(state: State, wish: Wish) -> bool:
    return bool(state.rollouts) and wish.at < state.rollouts[-1].wanted_at
