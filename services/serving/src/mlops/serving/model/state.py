# SPDX-License-Identifier: Apache-2.0
"""The state of one model of one project: what answers now, what is on its way, what is on its way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mlops.serving.model.figures import kept_metrics
from mlops.serving.model.rollout import (
    RUNNING,
    Cause,
    Counts,
    Phase,
    Plan,
    Rollout,
    Seen,
    advanced,
    ended,
    held,
)

_KEPT = 10


@dataclass(frozen=True)
class Package:
    """A version as it was packed: what runs it and why that."""

    version: int
    bento_tag: str
    backend: str
    backend_reason: str = ""
    run_id: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Drain:
    """A version that gets no new traffic and is stopped at *until*; *quiet* when it never answered."""

    version: int
    deployment_id: str
    until: datetime
    cause: Cause
    reason: str = ""
    quiet: bool = False


@dataclass(frozen=True)
class Wish:
    """A version that somebody wants to answer."""

    version: int
    deployment_id: str
    cause: Cause
    at: datetime
    plan: Plan
    why: str = ""
    metric: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """`live` answers what no rollout takes; `before` is where a rollback goes; the last rollout is the newest."""

    live: int | None = None
    before: int | None = None
    packages: tuple[Package, ...] = ()
    drains: tuple[Drain, ...] = ()
    rollouts: tuple[Rollout, ...] = ()

    @property
    def rollout(self) -> Rollout | None:
        """Return the rollout that is under way, if any."""
        last = self.rollouts[-1] if self.rollouts else None
        return None if last is None or last.is_final else last

    def package(self, version: int) -> Package | None:
        """Return how a version was packed."""
        return next((one for one in self.packages if one.version == version), None)

    def caused_by(self, cause_id: str) -> Rollout | None:
        """Return the rollout that a message has started."""
        return next((one for one in self.rollouts if one.cause.id == cause_id), None)

    def has_heard(self, cause_id: str) -> bool:
        """Return whether a message has changed this state, as far back as it remembers."""
        heard = {one.cause.id for one in self.rollouts} | {one.cause.id for one in self.drains}
        heard |= {mark.cause.id for one in self.rollouts for mark in one.marks if mark.cause}
        return cause_id in heard


def weights(state: State) -> dict[int, float]:
    """Return the share of the traffic of each version; they add up to one, or there are none."""
    rollout = state.rollout
    share = rollout.traffic_ratio if rollout else 0.0
    found: dict[int, float] = {}
    if rollout is not None and share > 0:
        found[rollout.version] = share
    if state.live is not None and share < 1:
        found[state.live] = 1.0 - share
    return found


def needed(state: State) -> tuple[int, ...]:
    """Return the versions that must run now, in order."""
    found = {drain.version for drain in state.drains}
    if state.live is not None:
        found.add(state.live)
    if state.rollout is not None and state.rollout.phase in RUNNING:
        found.add(state.rollout.version)
    return tuple(sorted(found))


def deployment_of(state: State, version: int) -> str:
    """Return the name of the rollout by which a version runs."""
    by = [one for one in state.rollouts if one.version == version]
    return by[-1].deployment_id if by else f"v{version}"


def rollback_target(state: State) -> int | None:
    """Return the version that a rollback brings back: an unfinished rollout is given up first."""
    return state.live if state.rollout is not None else state.before


def want(state: State, wish: Wish, drain: timedelta) -> State:
    """Return the state with *wish* as the newest one; an unfinished rollout of another version is given up.

    A wish for what answers or comes already, or one older than the newest, changes nothing.
    """
    if state.caused_by(wish.cause.id) or _is_older(state, wish):
        return state
    under_way = state.rollout
    if under_way is not None and under_way.version == wish.version:
        return state
    if under_way is not None:
        reason = f"superseded by version {wish.version}"
        state = give_up(state, Phase.REVERTED, wish.at, reason, drain, cause=wish.cause)
    if state.live == wish.version:
        return state
    rollout = Rollout(
        deployment_id=wish.deployment_id,
        version=wish.version,
        previous_version=state.live,
        cause=wish.cause,
        # Without a version before there is nothing to compare with, and nothing to go back to.
        plan=wish.plan if state.live is not None else Plan(backend=wish.plan.backend, urgent=True),
        wanted_at=wish.at,
        since=wish.at,
        why=wish.why,
        metric=wish.metric,
        metrics=wish.metrics,
    )
    drains = tuple(one for one in state.drains if one.version != wish.version)
    return replace(state, drains=drains, rollouts=_remembered((*state.rollouts, rollout)))


def give_up(
    state: State,
    phase: Phase,
    at: datetime,
    reason: str,
    drain: timedelta,
    *,
    counts: Counts | None = None,
    cause: Cause | None = None,
) -> State:
    """Return the state after the rollout under way has failed or was taken back."""
    rollout = state.rollout
    if rollout is None:
        return state
    answered = rollout.phase is Phase.CANARY
    stopped = Drain(
        version=rollout.version,
        deployment_id=rollout.deployment_id,
        until=at + drain if answered else at,
        cause=cause or rollout.cause,
        reason=reason,
        quiet=not answered,
    )
    runs = rollout.phase in RUNNING and rollout.version != state.live
    over = ended(rollout, phase, at, reason, counts=counts, cause=cause)
    return replace(
        state,
        drains=(*state.drains, stopped) if runs else state.drains,
        rollouts=(*state.rollouts[:-1], over),
    )


def advance(state: State, at: datetime, drain: timedelta, seen: Seen | None = None) -> State:
    """Return the state with its rollout one step further; completion makes its version the live one."""
    if state.rollout is None:
        return state
    rollout = advanced(state.rollout, at, seen)
    state = replace(state, rollouts=(*state.rollouts[:-1], rollout))
    if rollout.phase is not Phase.COMPLETED:
        return state
    drains = state.drains
    if state.live is not None:
        reason = f"replaced by version {rollout.version}"
        drains = (*drains, _drain(state, state.live, at + drain, rollout.cause, reason))
    return replace(state, live=rollout.version, before=state.live, drains=drains)


def hold(state: State, at: datetime, reason: str) -> State:
    """Return the state with its rollout held up where it is."""
    if state.rollout is None:
        return state
    rollout = held(state.rollout, at, reason)
    return replace(state, rollouts=(*state.rollouts[:-1], rollout))


def packed(state: State, package: Package, at: datetime) -> State:
    """Return the state after the version of its rollout was packed."""
    rollout = state.rollout
    if rollout is None or rollout.version != package.version or rollout.phase is not Phase.PACKING:
        return state
    others = [one for one in state.packages if one.version != package.version]
    in_use = {*needed(state), state.before}
    kept = tuple(one for one in others if one.version in in_use or one in others[1 - _KEPT :])
    metrics = rollout.metrics or kept_metrics(package.metrics, rollout.metric)
    moved = advanced(replace(rollout, metrics=metrics), at)
    packages = (*kept, replace(package, metrics={}))
    return replace(state, packages=packages, rollouts=(*state.rollouts[:-1], moved))


def undeploy(state: State, at: datetime, drain: timedelta, cause: Cause, reason: str) -> State:
    """Return the state in which nothing answers any more."""
    state = give_up(state, Phase.REVERTED, at, reason, drain, cause=cause)
    if state.live is None:
        return state
    gone = _drain(state, state.live, at + drain, cause, reason)
    return replace(state, live=None, before=None, drains=(*state.drains, gone))


def drained(state: State, version: int) -> State:
    """Return the state after a version was stopped."""
    return replace(state, drains=tuple(one for one in state.drains if one.version != version))


def told(state: State, deployment_id: str, count: int) -> State:
    """Return the state after the first *count* marks of a rollout were told."""
    now = changed(state, deployment_id, lambda one: replace(one, told=max(one.told, count)))
    return replace(now, rollouts=_remembered(now.rollouts))


def changed(state: State, deployment_id: str, change: Callable[[Rollout], Rollout]) -> State:
    """Return the state with one rollout changed."""
    return replace(
        state,
        rollouts=tuple(
            change(one) if one.deployment_id == deployment_id else one for one in state.rollouts
        ),
    )


def _remembered(rollouts: tuple[Rollout, ...]) -> tuple[Rollout, ...]:
    # However many wishes came meanwhile: what is not told yet is still to be told.
    old = (one for one in rollouts[:-_KEPT] if one.told < len(one.marks))
    return (*old, *rollouts[-_KEPT:])


def _is_older(state: State, wish: Wish) -> bool:
    return bool(state.rollouts) and wish.at < state.rollouts[-1].wanted_at


def _drain(state: State, version: int, until: datetime, cause: Cause, reason: str) -> Drain:
    return Drain(version, deployment_of(state, version), until, cause, reason)
