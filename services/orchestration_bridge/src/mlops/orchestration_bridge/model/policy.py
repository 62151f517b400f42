# SPDX-License-Identifier: Apache-2.0
"""Policy: whether a trigger queues a workflow, and what the queue looks like afterwards.

A trigger is decided once: the queue remembers what became of it, so a message that comes again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from mlops.orchestration_bridge.model import limits
from mlops.orchestration_bridge.model.cohort import FEDERATED
from mlops.orchestration_bridge.model.fleet import Fleet
from mlops.orchestration_bridge.model.queue import (
    DAY,
    MOST_REMEMBERED,
    Declined,
    Entry,
    FollowUp,
    Queue,
    State,
    Trigger,
)

MOST_WAITING = 100
_NO_COHORT = (
    "project {!r} has nothing to run on several machines: give it a folder, and a `command` and an `aggregate` under "
    "[federated]"
)


@dataclass(frozen=True)
class Accepted:
    """The trigger queues a workflow."""

    depth: int
    awaits_approval: bool


@dataclass(frozen=True)
class Refused:
    """The trigger queues nothing. `rule` names the rule that held it back, in one word; `reason` has its figures."""

    reason: str
    retry_at: datetime | None = None
    rule: str = field(default="", compare=False)


def decide(
    queue: Queue, trigger: Trigger, now: datetime, fleet: Fleet | None = None
) -> Accepted | Refused:
    """Return whether *trigger* may queue a workflow; a person's wish skips budget, cooldown and mode.

    With a *fleet*, what no machine of it could ever run is refused, whoever asks.
    """
    for name, rule in _AUTOMATIC if trigger.automatic else _ALWAYS:
        refused = rule(queue, trigger, now)
        if refused is not None:
            return replace(refused, rule=name)
    impossible = limits.never(queue.policy, fleet) if fleet else ""
    if impossible:
        return Refused(impossible, rule="limits")
    approval = trigger.automatic and queue.policy.mode == "approve"
    return Accepted(_of_story(queue, trigger) + 1, approval)


def apply(
    queue: Queue,
    trigger: Trigger,
    key: str,
    queued_id: str,
    now: datetime,
    fleet: Fleet | None = None,
) -> Queue:
    """Return the queue after *trigger*: a new entry, or a remembered refusal; a repeat changes nothing."""
    if queue.entry_of(trigger.id) or queue.entry(key) or queue.refusal_of(trigger.id):
        return queue
    verdict = decide(queue, trigger, now, fleet)
    if isinstance(verdict, Refused):
        return _remembered(queue, trigger, verdict, now)
    state = State.AWAITS_APPROVAL if verdict.awaits_approval else State.WAITING
    entry = Entry(
        key=key,
        kind=trigger.kind,
        model=trigger.model,
        why=trigger.why,
        trigger_id=trigger.id,
        trigger_type=trigger.type,
        queued_id=queued_id,
        story_id=trigger.story_id,
        queued_at=now,
        state=state,
        told=state,
        traceparent=trigger.traceparent,
        depth=verdict.depth,
        place=len(queue.in_state(State.WAITING, State.AWAITS_APPROVAL)) + 1,
        automatic=trigger.automatic,
    )
    return _followed(_charged(queue.put(entry), entry, now), trigger, key)


def _closed(queue: Queue, trigger: Trigger, now: datetime) -> Refused | None:  # noqa: ARG001 - one shape for all rules
    if queue.archived:
        return Refused(f"project {queue.project!r} is archived; register it again to open it")
    if trigger.kind == FEDERATED:
        return None if queue.policy.cohort else Refused(_NO_COHORT.format(queue.project))
    if not queue.policy.can_train:
        return Refused(
            f"project {queue.project!r} has nothing to run: give it a folder and a `command` under [train]"
        )
    return None


def _under_way(queue: Queue, trigger: Trigger, now: datetime) -> Refused | None:  # noqa: ARG001 - the same
    for entry in queue.entries:
        if entry.active and entry.model == trigger.model:
            return Refused(f"already under way: {entry.key} ({entry.state.value})")
    return None


def _full(queue: Queue, trigger: Trigger, now: datetime) -> Refused | None:  # noqa: ARG001 - the same
    waiting = sum(1 for entry in queue.entries if entry.active)
    if waiting < MOST_WAITING:
        return None
    return Refused(f"{waiting} workflows wait or run, more are not kept; cancel some of them")


def _unwanted(queue: Queue, trigger: Trigger, now: datetime) -> Refused | None:  # noqa: ARG001 - the same
    if trigger.follows or trigger.type in queue.policy.on:
        return None
    wanted = ", ".join(queue.policy.on) or "nothing"
    return Refused(f"{trigger.type} starts no retraining here; [retrain].on lists {wanted}")


def _suggested(queue: Queue, trigger: Trigger, now: datetime) -> Refused | None:  # noqa: ARG001 - the same
    if queue.policy.mode in ("auto", "approve"):
        return None
    return Refused(
        f"[retrain].mode is {queue.policy.mode!r}: a retraining of {trigger.model!r} is suggested, "
        "start it with cmd.workflow.start if you agree"
    )


def _loops(queue: Queue, trigger: Trigger, now: datetime) -> Refused | None:  # noqa: ARG001 - the same
    depth, most = _of_story(queue, trigger), queue.policy.max_depth
    if depth < most:
        return None
    return Refused(
        f"loop broken: this story has started {depth} workflows, [retrain].max_causation_depth is {most}"
    )


def _spent(queue: Queue, trigger: Trigger, now: datetime) -> Refused | None:  # noqa: ARG001 - the same
    used, most = queue.used_today(now), queue.policy.max_per_day
    if used < most:
        return None
    recent = sorted(at for at in queue.spent if at > now - DAY)
    retry_at = recent[used - most] + DAY if most else None
    return Refused(f"budget spent: {used} of {most} retrainings in the last 24 hours", retry_at)


def _cooling(queue: Queue, trigger: Trigger, now: datetime) -> Refused | None:
    ends = [e.ended_at for e in queue.entries if e.model == trigger.model and e.ended_at]
    if not ends or max(ends) + queue.policy.cooldown <= now:
        return None
    until = max(ends) + queue.policy.cooldown
    return Refused(
        f"cooling down: the last workflow of {trigger.model!r} ended at {_short(max(ends))}, "
        f"[retrain].cooldown is {queue.policy.cooldown.total_seconds():g} s",
        until,
    )


def _of_story(queue: Queue, trigger: Trigger) -> int:
    return sum(1 for entry in queue.entries if entry.story_id == trigger.story_id)


def _remembered(queue: Queue, trigger: Trigger, verdict: Refused, now: datetime) -> Queue:
    declined = Declined(
        trigger.id, trigger.type, trigger.kind, trigger.model, verdict.reason, now, verdict.retry_at
    )
    return replace(queue, declined=(*queue.declined, declined)[-MOST_REMEMBERED:])


def _charged(queue: Queue, entry: Entry, now: datetime) -> Queue:
    if not entry.automatic:
        return queue
    return replace(queue, spent=(*(at for at in queue.spent if at > now - DAY), now))


def _followed(queue: Queue, trigger: Trigger, key: str) -> Queue:
    # A newer retraining has newer data: it replaces the follow-up that waited.
    others = tuple(found for found in queue.follow_ups if found.model != trigger.model)
    if trigger.seen is None or queue.policy.follow_up_windows == 0:
        return replace(queue, follow_ups=others)
    waiting = FollowUp(key, trigger.model, trigger.seen)
    return replace(queue, follow_ups=(*others, waiting))


def _short(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


_ALWAYS = (("closed", _closed), ("under_way", _under_way), ("full", _full))
_AUTOMATIC = (
    *_ALWAYS,
    ("on", _unwanted),
    ("mode", _suggested),
    ("max_causation_depth", _loops),
    ("max_per_day", _spent),
    ("cooldown", _cooling),
)
