# SPDX-License-Identifier: Apache-2.0
"""Follow-up: a retraining right after a change learns mostly from before it; some windows later it is worth one more."""

from __future__ import annotations

from dataclasses import replace

from mlops.orchestration_bridge.model.queue import FollowUp, Queue, Seen, State

# As many as [retrain].follow_up_windows may ask for; more say nothing new while the retraining is not let.
MOST_WINDOWS = 100


def counted(queue: Queue, model: str, window: Seen) -> Queue:
    """Return the queue after a labelled window of *model*; each window counts once, in any order."""
    return replace(
        queue, follow_ups=tuple(_counted(found, model, window) for found in _hopeful(queue))
    )


def due(queue: Queue, model: str) -> FollowUp | None:
    """Return the follow-up whose windows are full and whose retraining is over."""
    wanted = queue.policy.follow_up_windows
    for found in _hopeful(queue):
        before = queue.entry(found.key)
        over = before is not None and before.state is State.COMPLETED
        if found.model == model and over and 0 < wanted <= len(found.windows):
            return found
    return None


def _counted(found: FollowUp, model: str, window: Seen) -> FollowUp:
    name = (window.version, window.index)
    old = window.last_at <= found.after.last_at or name in found.windows
    if found.model != model or old or name == (found.after.version, found.after.index):
        return found
    return replace(found, windows=(*found.windows, name)[-MOST_WINDOWS:])


def _hopeful(queue: Queue) -> tuple[FollowUp, ...]:
    # After a failed retraining the next alarm decides, not the follow-up of something that never was.
    failed = {entry.key for entry in queue.in_state(State.FAILED, State.CANCELLED)}
    known = {entry.key for entry in queue.entries}
    return tuple(
        found for found in queue.follow_ups if found.key in known and found.key not in failed
    )
