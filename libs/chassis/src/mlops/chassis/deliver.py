# SPDX-License-Identifier: Apache-2.0
"""What becomes of one delivered copy: done, tried again, or dead. The same for every bus."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from mlops.chassis import metrics, tracing
from mlops.chassis.bus import Delivery
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.chassis.log import handled
from mlops.contracts.commands import CommandRefused
from mlops.contracts.errors import MessageError
from mlops.contracts.message import Command, Message

_JITTER = 0.2


class Outcome(Enum):
    """What to do with the copy."""

    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"


@dataclass(frozen=True)
class Copy:
    """One delivery of a stored message to one service."""

    subject: str
    payload: bytes
    attempt: int
    receiver: str


@dataclass(frozen=True)
class Verdict:
    """What becomes of a copy, and what follows from it."""

    outcome: Outcome
    follow_ups: tuple[Message, ...] = ()
    delay: timedelta = timedelta(0)
    reason: str = ""


async def judge(
    copy: Copy,
    kind: type[Message],
    handler: Callable[[Any], Awaitable[Sequence[Message]]],
    delivery: Delivery,
) -> Verdict:
    """Read the copy, let *handler* see it, and say what follows; one log line and one measurement."""
    began = time.perf_counter()
    message: Message | None = None
    try:
        message = _read(copy, kind)
        with tracing.handling(message, copy.subject) as trace:
            returned = await handler(message)
            follow_ups = _sent_on(returned, message, copy.receiver, trace) if returned else ()
            verdict = Verdict(Outcome.DONE, follow_ups)
    except RejectedError as error:
        verdict = Verdict(Outcome.DEAD, _refusal(message, copy, str(error)), reason=str(error))
    except Exception as error:  # noqa: BLE001 - the bus is where every other failure becomes a retry
        verdict = _failed(message, copy, delivery, error)
    duration_s = time.perf_counter() - began
    metrics.observe_handled(copy.receiver, kind.type, verdict.outcome.value, duration_s)
    handled(copy.subject, copy.attempt, message, verdict.outcome.value, verdict.reason, duration_s)
    return verdict


def _read(copy: Copy, kind: type[Message]) -> Message:
    try:
        message = kind.decode(copy.payload)
    except MessageError as error:
        raise RejectedError(f"unreadable: {error}") from error
    if message.subject != copy.subject:
        raise RejectedError(
            f"subject {copy.subject!r} and {kind.scoped_by} {message.scope!r} disagree"
        )
    return message


def _sent_on(
    returned: Sequence[Message], cause: Message, receiver: str, trace: tracing.Handling
) -> tuple[Message, ...]:
    # A handler may fix correlation and cause itself (a story that comes back from outside); then it keeps them.
    traceparent = trace.parent()
    counts: dict[str, int] = {}
    sent = []
    for message in returned:
        index = counts.get(message.type, 0)
        counts[message.type] = index + 1
        follow_up = message if message.causation_id else message.caused_by(cause, index)
        sent.append(follow_up.model_copy(update={"source": receiver, "traceparent": traceparent}))
    return tuple(sent)


def _refusal(message: Message | None, copy: Copy, reason: str) -> tuple[Message, ...]:
    if not isinstance(message, Command):
        return ()
    refusal = CommandRefused(
        project=message.scope,
        command_id=message.id,
        command_type=message.type,
        refused_by=copy.receiver.rpartition("/")[2],
        reason=reason[:2000],
    )
    return (refusal.caused_by(message, 0).model_copy(update={"source": copy.receiver}),)


def _failed(message: Message | None, copy: Copy, delivery: Delivery, error: Exception) -> Verdict:
    reason = (
        str(error) if isinstance(error, UnavailableError) else f"{type(error).__name__}: {error}"
    )
    if copy.attempt >= delivery.max_deliver:
        reason = f"given up after {copy.attempt} tries: {reason}"
        return Verdict(Outcome.DEAD, _refusal(message, copy, reason), reason=reason)
    delay = delivery.delays[copy.attempt - 1] * (1 + random.uniform(-_JITTER, _JITTER))  # noqa: S311 - jitter
    return Verdict(Outcome.RETRY, delay=delay, reason=reason)
