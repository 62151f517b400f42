# SPDX-License-Identifier: Apache-2.0
"""The state of one model of one project: what answers now, what is on its way, what is on its way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mlops.serving.model.evidence import Counts, Seen
from mlops.serving.model.figures import kept_metrics
from mlops.serving.model.rollout import (
    RUNNING,
    Cause,
    Phase,
    Rollout,
    advanced,
    ended,
    held,
)

_KEPT = 10
_SOON = timedelta(seconds=10)


@dataclass(frozen=True)
class Package:
    """A version as it was packed: what runs it and why that, how it is kept, and the size of its files."""

    version: int
    bento_tag: str
    backend: str
    backend_reason: str = ""
    run_id: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    format: str = ""
    task: str = "predict"
    size_bytes: int = 0


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
        heard |= {one.approved.id for one in self.rollouts if one.approved}
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


def runs_on(state: State, version: int, now: datetime) -> bool:
    """Return whether a version that answered before still runs, so that it can answer again at once."""
    runs = any(one.version == version and one.until > now for one in state.drains if not one.quiet)
    return runs and state.package(version) is not None


def watched(state: State, now: datetime) -> Rollout | None:
    """Return the completed rollout whose version before is kept warm: it can be taken back at once."""
    last = state.rollouts[-1] if state.rollouts else None
    if last is None or last.phase is not Phase.COMPLETED or last.version != state.live:
        return None
    if last.plan.keep_warm_s <= 0:
        return None  # it only drains: whoever wants to be taken back later has said so
    before = last.previous_version
    return last if before is not None and runs_on(state, before, now) else None


def shadowing(state: State) -> Rollout | None:
    """Return the rollout whose version gets copies of requests, if any."""
    rollout = state.rollout
    return rollout if rollout is not None and rollout.phase is Phase.SHADOW else None


def is_busy(state: State, now: datetime) -> bool:
    """Return whether a version is coming or going now; not while one only runs as a shadow or is kept warm."""
    moves = state.rollout is not None and shadowing(state) is None
    return moves or any(one.until - now <= _SOON for one in state.drains)


def deployment_of(state: State, version: int) -> str:
    """Return the name of the rollout by which a version runs."""
    by = [one for one in state.rollouts if one.version == version]
    return by[-1].deployment_id if by else f"v{version}"


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
    # A shadow has only answered copies; what was not started for this rollout has answered before it.
    started = any(mark.phase is Phase.STARTING for mark in rollout.marks)
    answered = rollout.phase is Phase.CANARY or not started
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


def advance(
    state: State, at: datetime, drain: timedelta, seen: Seen | None = None, reason: str = ""
) -> State:
    """Return the state with its rollout one step further; completion makes its version the live one.

    The one before runs on for as long as callers may have the old weights, or as it is to be kept warm.
    """
    if state.rollout is None:
        return state
    rollout = advanced(state.rollout, at, seen, reason)
    state = replace(state, rollouts=(*state.rollouts[:-1], rollout))
    if rollout.phase is not Phase.COMPLETED:
        return state
    drains = state.drains
    if state.live is not None:
        reason = f"replaced by version {rollout.version}"
        until = at + max(drain, timedelta(seconds=rollout.plan.keep_warm_s))
        drains = (*drains, draining(state, state.live, until, rollout.cause, reason))
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


def drained(state: State, version: int) -> State:
    """Return the state after a version was stopped."""
    return replace(state, drains=tuple(one for one in state.drains if one.version != version))


def told(state: State, deployment_id: str, count: int) -> State:
    """Return the state after the first *count* marks of a rollout were told."""
    now = changed(state, deployment_id, lambda one: replace(one, told=max(one.told, count)))
    return replace(now, rollouts=remembered(now.rollouts))


def changed(state: State, deployment_id: str, change: Callable[[Rollout], Rollout]) -> State:
    """Return the state with one rollout changed."""
    return replace(
        state,
        rollouts=tuple(
            change(one) if one.deployment_id == deployment_id else one for one in state.rollouts
        ),
    )


def remembered(rollouts: tuple[Rollout, ...]) -> tuple[Rollout, ...]:
    """Return the newest rollouts, and those of which something is still to be told."""
    # However many wishes came meanwhile: what is not told yet is still to be told.
    old = (one for one in rollouts[:-_KEPT] if one.told < len(one.marks))
    return (*old, *rollouts[-_KEPT:])


def draining(state: State, version: int, until: datetime, cause: Cause, reason: str) -> Drain:
    """Return how a version leaves."""
    return Drain(version, deployment_of(state, version), until, cause, reason)
