# SPDX-License-Identifier: Apache-2.0
"""Departure: what becomes of a workflow whose attempt is over, and which attempts the orchestrator must end.

An attempt that left at a request, was stopped by heat, or vanished with its machine is started again, so often within 24
hours and no oftener. A new one never begins before the old one has certainly ended, or is fenced: the orchestrator has
ended it, which its own process hears at its next heartbeat, and its steps ask for the newest attempt before they act.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model import heat, nodes
from mlops.orchestration_bridge.model.attempts import Ask, Forced, Parted, Parting
from mlops.orchestration_bridge.model.lifecycle import End
from mlops.orchestration_bridge.model.moving import count_today
from mlops.orchestration_bridge.model.placement import planned
from mlops.orchestration_bridge.model.queue import Entry, Queue, State
from mlops.orchestration_bridge.model.standing import World, line_of, needs
from mlops.orchestration_bridge.model.workers import Work

# The step has ended its command within seconds of hearing; what it saved must be stored, too.
STOP_PATIENCE = timedelta(minutes=2)
# The orchestrator's processes hear within 5 s that they are over, and have 5 s to end.
SETTLING = timedelta(seconds=15)
MOST_A_DAY = {Parting.LEFT: 6, Parting.EVICTED: 3, Parting.LOST: 3}
MOST_ATTEMPTS = 20


@dataclass(frozen=True)
class Overdue:
    """An attempt that the orchestrator is to end."""

    project: str
    key: str
    attempt: int
    force: Forced


def overdue(world: World, now: datetime) -> Iterator[Overdue]:
    """Yield the attempts that were to stop and still run, and those whose machine has vanished."""
    for queue in world.queues.values():
        for entry in queue.in_state(State.RUNNING):
            force = (
                None
                if entry.forced
                else _unheeded(world, entry, now) or _vanished(world, entry, now)
            )
            if force is not None:
                yield Overdue(queue.project, entry.key, entry.attempt, force)


def is_settled(entry: Entry, now: datetime) -> bool:
    """Return whether an attempt that was ended by force has had the time to end."""
    return entry.forced is None or now - entry.forced.at >= SETTLING


def after(world: World, queue: Queue, entry: Entry, end: End, now: datetime) -> End | Parted:
    """Return how the workflow goes on after its attempt ended so: it has ended, or waits to be started again."""
    found = None if end.completed else _parting(world, entry, end, now)
    if found is None:
        return end
    parting, reason = found
    spent = _spent(entry, parting, now)
    if spent:
        return End(
            completed=False, at=end.at, step=end.step, diagnosis=f"{spent}; the last time: {reason}"
        )
    to = "" if parting is Parting.LOST else _meant_for(world, queue, entry, now)
    return Parted(parting, end.at, reason[:500], end.saved, to)


def silence(world: World, entry: Entry, now: datetime) -> str:
    """Return what is known of a running workflow whose machine says nothing, empty where it speaks."""
    node = world.nodes.get(entry.node)
    silent = nodes.unknown(entry.node, node, now) if node else ""
    if not silent:
        return ""
    if not _has_no_worker(world, entry.node):
        answers = "its worker still answers" if entry.node in world.workers else "Airflow runs it"
        return f"{silent}, but {answers}: it goes on"
    left_s = (nodes.FORGOTTEN_AFTER - (now - node.seen_at)).total_seconds() if node else 0.0
    return (
        f"{silent}, nor does its worker answer; in {max(0.0, left_s):.0f} s it is started elsewhere"
    )


def _unheeded(world: World, entry: Entry, now: datetime) -> Forced | None:
    """Return why to end work that was to stop: its step did not hear of it, and the machine is as hot as it was."""
    last = entry.asked[-1] if entry.asked else None
    if last is None or last.ask is not Ask.STOP or now - last.at < STOP_PATIENCE:
        return None
    node = world.nodes.get(entry.node)
    if node is None or (node.level or 0) < heat.EVICTS:
        return None  # the reason is gone, and so is the request: the step takes no old one
    return Forced(Parting.EVICTED, last.reason, now)


def _vanished(world: World, entry: Entry, now: datetime) -> Forced | None:
    node = world.nodes.get(entry.node)
    if node is None or len(entry.nodes) > 1 or not _has_no_worker(world, entry.node):
        return None
    if not nodes.forgotten(node, now):
        return None
    quiet = (now - node.seen_at).total_seconds() / 60
    return Forced(
        Parting.LOST,
        f"{entry.node} vanished with it: neither its agent nor its worker spoke for {quiet:.0f} min",
        now,
    )


def _has_no_worker(world: World, node: str) -> bool:
    """Return whether the orchestrator, too, has lost the machine: its worker is gone, or was taken away."""
    worker = world.workers.get(node)
    if worker is not None:
        return worker.work is Work.GONE
    return bool(world.workers) and node != world.local


def _parting(world: World, entry: Entry, end: End, now: datetime) -> tuple[Parting, str] | None:
    last = entry.asked[-1] if entry.asked else None
    if end.left:
        evicted = last is not None and last.ask is Ask.STOP
        why = last.reason if last else f"it ended itself to go on later (on {entry.node})"
        return Parting.EVICTED if evicted else Parting.LEFT, why
    if entry.forced is not None:
        return entry.forced.parting, entry.forced.reason
    node = world.nodes.get(entry.node)
    silent = nodes.unknown(entry.node, node, now) if node else ""
    return (Parting.LOST, f"it ended without a word, and {silent}") if end.mute and silent else None


def _spent(entry: Entry, parting: Parting, now: datetime) -> str:
    """Return why it is not started again, empty when it is."""
    where = ", ".join(dict.fromkeys([*(one.node for one in entry.stints), entry.node]))
    if entry.attempt >= MOST_ATTEMPTS:
        return f"it was started {entry.attempt} times (on {where}), and not once came to its end"
    times = count_today(entry, parting, now) + 1
    if times <= MOST_A_DAY[parting]:
        return ""
    return f"{_TOLD[parting].format(times=times, where=where)} within 24 hours; {_FIXES[parting]}"


_TOLD = {
    Parting.LEFT: "it left its machine {times} times ({where})",
    Parting.EVICTED: "its machine stopped it for its heat {times} times ({where})",
    Parting.LOST: "its machine vanished with it {times} times ({where})",
}
_FIXES = {
    Parting.LEFT: "its command should end with status 75 only when it is asked to leave",
    Parting.EVICTED: "let the machine cool, lower [train].resources, or let it save ([train.checkpoint])",
    Parting.LOST: "see why the machine goes away (`mlops node list`), or whether it runs out of memory",
}


def _meant_for(world: World, queue: Queue, entry: Entry, now: datetime) -> str:
    """Return the machine that it is meant for next, as of any workflow that waits; empty where all are hot."""
    hosts = line_of(world, now).hosts.values()
    found = planned(hosts, needs(queue, entry, tuple(hosts)))
    return found or ""
