# SPDX-License-Identifier: Apache-2.0
"""Expectation: when each of those who wait will probably start, from what runs, what such work usually takes, and heat.

A guess is only made where one can be made: people keep no timetable, nor does a machine whose heat was never seen to end.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from mlops.orchestration_bridge.model.accounts import Run
from mlops.orchestration_bridge.model.line import Line
from mlops.orchestration_bridge.model.placement import Gate
from mlops.orchestration_bridge.model.waiting import Job

_NEVER = (Gate.ORCHESTRATOR, Gate.UNKNOWN_NODE, Gate.ACCELERATOR, Gate.QUOTA)


def starts(
    line: Line, waiting: Sequence[Job], held: Mapping[str, tuple[Gate, str]], now_s: float
) -> dict[str, float]:
    """Return the probable start of each workflow that has one, in seconds; *waiting* in the order of the line."""
    runs = [run for account in line.accounts.values() for run in account.runs]
    slots = [end_s for run in runs if (end_s := _end_s(run, now_s)) is not None]
    slots += [now_s] * sum(host.slots for host in line.hosts.values() if host.shut is Gate.NONE)
    heapq.heapify(slots)
    found: dict[str, float] = {}
    for job in waiting:
        at_s = _start_s(line, job, held[job.key][0], slots, now_s)
        if at_s is not None:
            found[job.key] = at_s
    return found


def _start_s(line: Line, job: Job, gate: Gate, slots: list[float], now_s: float) -> float | None:
    if gate in _NEVER:
        return None
    if gate is Gate.HEAT:
        found = [now_s + host.cool_s for host in line.hosts.values() if host.cool_s is not None]
        if job.bears_from_s is not None and any(host.slowed for host in line.hosts.values()):
            found.append(max(now_s, job.bears_from_s))
        return min(found, default=None)
    own = [_end_s(run, now_s) for run in line.accounts[job.project].runs]
    first = min((end_s for end_s in own if end_s is not None), default=None)
    if gate is Gate.PARALLEL:
        return first
    if gate is Gate.MEMORY:  # it is free when something ends, and what is not ours tells nobody
        return min((at_s for at_s in slots if at_s > now_s), default=None)
    if not slots:
        return None
    at_s = heapq.heappop(slots)
    if job.lasts_s is not None:  # else nobody knows when this place is free again
        heapq.heappush(slots, at_s + job.lasts_s)
    return at_s


def _end_s(run: Run, now_s: float) -> float | None:
    return None if run.lasts_s is None else max(now_s, run.since_s + run.lasts_s)
