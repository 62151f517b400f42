# SPDX-License-Identifier: Apache-2.0
"""`query.orchestration_bridge.verdict`: what a message would do now, and why; it is not taken in, and nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.catalogue import read_envelope
from mlops.contracts.errors import MessageError
from mlops.contracts.message import Message
from mlops.contracts.monitoring import DriftDetected, PerformanceDegraded, PerformanceMeasured
from mlops.contracts.orchestration_bridge import StartWorkflow
from mlops.orchestration_bridge.handlers import asking
from mlops.orchestration_bridge.model import policy
from mlops.orchestration_bridge.model.policy import Refused
from mlops.orchestration_bridge.model.queue import Queue, Trigger
from mlops.orchestration_bridge.ports.books import Books

Asked = DriftDetected | PerformanceDegraded | PerformanceMeasured | StartWorkflow
_NO_TRIGGER = {
    "drift.detected": "lesser drift is a warning for people: only a critical one asks for a retraining",
    "performance.degraded": "only labels of the version that answers ask for a retraining: a slow answer wants a person, "
    "and a version beside it is taken back",
    "performance.measured": "the window counts, no follow-up is due",
}


class Verdicts:
    """What people try before it happens."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock

    async def verdict(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer for the CloudEvent in `event`, as JSON. Raises RejectedError where it asks for nothing that is here."""
        message = _read(str(question.get("event", "")))
        project = str(question.get("project") or message.project)
        if project != message.project:
            raise RejectedError(f"the event is of project {message.project!r}, not of {project!r}")
        queue = await self._books.queue(project)
        if queue is None or queue.settings_at is None:
            raise RejectedError(
                f"project {project!r} is not registered; run `mlops register` in its folder"
            )
        trigger = _asked_by(message, queue)
        if trigger is None:
            return _answer("asks for nothing", _NO_TRIGGER[message.type])
        known = _before(queue, trigger)
        return known or await self._decided(queue, trigger)

    async def _decided(self, queue: Queue, trigger: Trigger) -> dict[str, Any]:
        fleet = (await self._books.world()).fleet
        found = policy.decide(queue, trigger, self._clock(), fleet)
        if isinstance(found, Refused):
            return _answer("declined", found.reason, found.rule, found.retry_at)
        if found.awaits_approval:
            return _answer("waits for a person", f"{trigger.why}; [retrain].mode is 'approve'")
        return _answer("queued", trigger.why)


def _read(text: str) -> Asked:
    try:
        message: Message = read_envelope(from_json(text))
    except (ValueError, MessageError) as error:
        raise RejectedError(f"the event cannot be read: {error}") from error
    if not isinstance(message, Asked):
        raise RejectedError(f"{message.type} asks for no workflow")
    return message


def _asked_by(message: Asked, queue: Queue) -> Trigger | None:
    if isinstance(message, StartWorkflow):
        return asking.wish_of(message, queue.policy.model)
    if isinstance(message, PerformanceMeasured):
        return _follow_up(message, queue)
    return asking.trigger_of(message)


def _follow_up(message: PerformanceMeasured, queue: Queue) -> Trigger | None:
    found: list[Trigger] = []

    def note(now: Queue, trigger: Trigger) -> Queue:
        found.append(trigger)
        return now

    asking.after_window(queue, message, note)
    return found[0] if found else None


def _before(queue: Queue, trigger: Trigger) -> dict[str, Any] | None:
    """Return what became of the very same message, if it was decided already."""
    entry, declined = queue.entry_of(trigger.id), queue.refusal_of(trigger.id)
    if entry is not None:
        return _answer("decided already", f"it queued {entry.key}, which is {entry.state.value}")
    if declined is not None:
        said = f"it was declined: {declined.reason}"
        return _answer("decided already", said, retry_at=declined.retry_at)
    return None


def _answer(verdict: str, reason: str, rule: str = "", retry_at: object = None) -> dict[str, Any]:
    return {"verdict": verdict, "reason": reason, "rule": rule or None, "retry_at": retry_at}
