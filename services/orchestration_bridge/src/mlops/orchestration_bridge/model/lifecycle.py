# SPDX-License-Identifier: Apache-2.0
"""How a workflow goes on: approved, admitted, started, ended, cancelled; and what the bus has yet to hear of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from mlops.orchestration_bridge.model.energy import Used
from mlops.orchestration_bridge.model.findings import Finding
from mlops.orchestration_bridge.model.placement import Needs
from mlops.orchestration_bridge.model.queue import ENDED, UNDER_WAY, Entry, Queue, State, told


@dataclass(frozen=True)
class Run:
    """Where the orchestrator runs a workflow; `node` where it says on which machine."""

    dag_id: str
    run_id: str
    url: str = ""
    node: str = ""


@dataclass(frozen=True)
class Wish:
    """The message that takes a workflow out."""

    id: str
    reason: str


@dataclass(frozen=True)
class End:
    """How a run ended, as the orchestrator saw it.

    `left` when its work ended itself at a request, `saved` when it kept a checkpoint; `mute` when it failed without a
    word of its own, as it does when its machine vanishes.
    """

    completed: bool
    at: datetime
    step: str = ""
    diagnosis: str = ""
    left: bool = False
    saved: bool = False
    mute: bool = False
    energy: Used | None = None
    hardware: tuple[Finding, ...] = ()
    suggestion: str = ""


def approved(queue: Queue, key: str, by: str, now: datetime) -> Queue:
    """Return the queue after the message *by* let a workflow go that waits for a person; again changes nothing."""
    entry = queue.entry(key)
    if entry is None or entry.state is not State.AWAITS_APPROVAL:
        return queue
    free = replace(entry, state=State.WAITING, told=State.WAITING)
    return queue.put(replace(free, approved_by=by, approved_at=now))


def admitted(
    queue: Queue,
    key: str,
    now: datetime,
    node: str = "",
    needs: Needs | None = None,
    nodes: tuple[str, ...] = (),
) -> Queue:
    """Return the queue after a waiting workflow got its place, and what it takes there; nothing else can be admitted.

    A further start of one that was moved is no new service: its project stands as if it had never left.
    """
    entry = queue.entry(key)
    if entry is None or entry.state is not State.WAITING:
        return queue
    placed = replace(entry, state=State.ADMITTED, admitted_at=now, held="", node=node, nodes=nodes)
    if entry.attempt == 1:
        queue = replace(queue, served_at=now)
    return queue.put(replace(placed, needs=needs or queue.policy.needs))


def meant_for(queue: Queue, key: str, node: str, expected_at: datetime | None) -> Queue:
    """Return the queue after a waiting workflow got its first plan: a machine, and when it should start there."""
    entry = queue.entry(key)
    if entry is None or entry.state is not State.WAITING:
        return queue
    first = entry.expected_at or expected_at
    return queue.put(replace(entry, node=entry.node or node, expected_at=first))


def held(queue: Queue, key: str, reason: str, not_before: datetime | None = None) -> Queue:
    """Return the queue after heat stopped a waiting workflow; the same hold counts once."""
    entry = queue.entry(key)
    if entry is None or entry.state is not State.WAITING or entry.held:
        return queue
    hold = replace(entry, held=reason, holds=entry.holds + 1, not_before=not_before)
    return queue.put(replace(hold, moved_from=entry.node, node=""))


def moved(queue: Queue, key: str, node: str, reason: str) -> Queue:
    """Return the queue after a waiting workflow is meant for a cooler machine than before."""
    entry = queue.entry(key)
    if entry is None or entry.state is not State.WAITING or entry.node in ("", node):
        return queue
    there = replace(entry, node=node, moved_from=entry.node, not_before=None)
    return queue.put(replace(there, moved_why=reason, holds=entry.holds + 1))


def let_go(queue: Queue, key: str) -> Queue:
    """Return the queue after the heat was over, whatever else the workflow waits for."""
    entry = queue.entry(key)
    return queue.put(replace(entry, held="", not_before=None)) if entry and entry.held else queue


def started(queue: Queue, key: str, run: Run, at: datetime) -> Queue:
    """Return the queue after the orchestrator took the run; a cancelled workflow stays cancelled."""
    entry = queue.entry(key)
    if entry is None or entry.state is not State.ADMITTED:
        return queue
    running = replace(entry, state=State.RUNNING, started_at=at, node=run.node or entry.node)
    if entry.expected_at is not None:
        off_s = (at - entry.expected_at).total_seconds()
        queue = replace(queue, expected_off=queue.expected_off.with_one(off_s))
    return queue.put(replace(running, dag_id=run.dag_id, run_id=run.run_id, url=run.url))


def ended(queue: Queue, key: str, end: End) -> Queue:
    """Return the queue after the run ended."""
    entry = queue.entry(key)
    if entry is None or entry.state not in UNDER_WAY:
        return queue
    state = State.COMPLETED if end.completed else State.FAILED
    over = replace(entry, state=state, ended_at=end.at, step=end.step, reason=end.diagnosis)
    return queue.put(
        replace(over, energy=end.energy, hardware=end.hardware, suggestion=end.suggestion)
    )


def cancelled(queue: Queue, key: str, wish: Wish, now: datetime) -> Queue:
    """Return the queue after a person took a workflow out; one that has ended stays as it ended."""
    entry = queue.entry(key)
    if entry is None or not entry.active:
        return queue
    gone = replace(entry, state=State.CANCELLED, ended_at=now, reason=wish.reason, held="")
    quiet = replace(gone, told_holds=entry.holds, told_requests=entry.requests)
    return queue.put(told(replace(quiet, cancelled_by=wish.id)))


def unstopped(queue: Queue) -> tuple[Entry, ...]:
    """Return the cancelled workflows that may still run: a run can begin while its workflow is being cancelled."""
    return tuple(
        entry
        for entry in queue.in_state(State.CANCELLED)
        if entry.admitted_at is not None and not entry.stopped
    )


def stopped(queue: Queue, key: str) -> Queue:
    """Return the queue after the orchestrator has ended the run of a cancelled workflow, or had none."""
    entry = queue.entry(key)
    return queue.put(replace(entry, stopped=True)) if entry else queue


def archived(queue: Queue, wish: Wish, now: datetime) -> Queue:
    """Return the queue of a closed project: nothing waits, nothing runs, no follow-up is owed."""
    for entry in queue.entries:
        queue = cancelled(queue, entry.key, wish, now)
    return replace(queue, archived=True, follow_ups=())


def untold(queue: Queue) -> tuple[Entry, ...]:
    """Return the workflows of which the bus has yet to hear something: a state, a hold, a request; oldest first."""
    return tuple(entry for entry in queue.entries if not is_told(entry))


def is_told(entry: Entry) -> bool:
    """Return whether the bus has heard all of a workflow; until then nothing new is decided of it."""
    known = entry.state not in {State.RUNNING, *ENDED} or entry.told is entry.state
    return known and (entry.told_holds, entry.told_requests) == (entry.holds, entry.requests)


def heard(queue: Queue, entry: Entry) -> Queue:
    """Return the queue after the bus heard the oldest thing about *entry*; what changed since is still to tell."""
    now = queue.entry(entry.key)
    if now is None:
        return queue
    if entry.told_holds < entry.holds:
        return queue.put(replace(now, told_holds=max(now.told_holds, entry.holds)))
    if entry.state is State.RUNNING and entry.told is not State.RUNNING:
        return queue.put(told(now)) if now.state is entry.state else queue
    if entry.told_requests < entry.requests:
        return queue.put(replace(now, told_requests=max(now.told_requests, entry.requests)))
    return queue.put(told(now)) if now.state is entry.state else queue
