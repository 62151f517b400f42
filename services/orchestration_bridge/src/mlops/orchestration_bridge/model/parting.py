# SPDX-License-Identifier: Apache-2.0
"""How an attempt is asked for something, is ended by force, and parts from its machine while its workflow goes on."""

from __future__ import annotations

from dataclasses import replace

from mlops.orchestration_bridge.model.attempts import Asked, Forced, Parted, Stint, latest
from mlops.orchestration_bridge.model.queue import Entry, Queue, State


def asked(queue: Queue, key: str, attempt: int, request: Asked) -> Queue:
    """Return the queue after a running attempt was asked for something; the same request again changes nothing."""
    entry = _running(queue, key, attempt)
    if entry is None or request.number != entry.requests + 1:
        return queue
    known = latest(entry.asked, request)
    return queue.put(replace(entry, asked=known, requests=request.number))


def forced(queue: Queue, key: str, attempt: int, force: Forced) -> Queue:
    """Return the queue after it was decided that the orchestrator ends an attempt; the first reason stays."""
    entry = _running(queue, key, attempt)
    return queue.put(replace(entry, forced=force)) if entry and not entry.forced else queue


def parted(queue: Queue, key: str, attempt: int, how: Parted) -> Queue:
    """Return the queue after an attempt parted from its machine: the workflow waits again, with its age and its work."""
    entry = _running(queue, key, attempt)
    if entry is None:
        return queue
    began = entry.started_at or how.at
    last = entry.asked[-1].ask if entry.asked else None
    stint = Stint(entry.node, began, how.at, how.parting, how.saved, entry.needs, last)
    back = replace(
        entry,
        state=State.WAITING,
        told=State.WAITING,
        attempt=attempt + 1,
        stints=(*entry.stints, stint),
        parted_at=how.at,
        from_checkpoint=any(one.saved for one in (*entry.stints, stint)),
        moved_from=entry.node,
        moved_why=how.reason,
        holds=entry.holds + 1,
        node=how.to,
    )
    return queue.put(_unplaced(back))


def _unplaced(entry: Entry) -> Entry:
    """Return the workflow without what belonged to the start that is over."""
    return replace(
        entry,
        nodes=(),
        admitted_at=None,
        started_at=None,
        dag_id="",
        run_id="",
        url="",
        held="",
        not_before=None,
        expected_at=None,
        needs=None,
        asked=(),
        forced=None,
    )


def _running(queue: Queue, key: str, attempt: int) -> Entry | None:
    entry = queue.entry(key)
    if entry is None or entry.state is not State.RUNNING or entry.attempt != attempt:
        return None
    return entry
