# SPDX-License-Identifier: Apache-2.0
"""MemoryBus: the bus in one process, with JetStream's manners, for tests and trials.

Messages pass as bytes, are redelivered, deduplicated and dead-lettered as on NATS; only the delays are missing:
`settle()` delivers everything at once, in a fixed order. `clock` says when something was stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, cast

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from mlops.chassis.bus import (
    Answer,
    D,
    DeadLetter,
    Delivery,
    Handler,
    M,
    Question,
    Recorded,
    checked_key,
)
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.deliver import Copy, Outcome, judge
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.catalogue import read
from mlops.contracts.errors import MessageError
from mlops.contracts.message import Message

_REMEMBERED = 256


@dataclass
class _Subscription:
    service: str
    kind: type[Message]
    handler: Callable[[Any], Awaitable[Sequence[Message]]]
    delivery: Delivery


@dataclass
class _Stored:
    sequence: int
    stored_at: datetime
    subject: str
    payload: bytes


@dataclass
class MemoryBus:
    """The bus of unit and story tests; `published` and `dead` are for looking."""

    published: list[Message] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    clock: Clock = utc_now
    _stored: list[_Stored] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)
    _pending: deque[tuple[_Subscription, _Stored, int]] = field(default_factory=deque)
    _subscriptions: list[_Subscription] = field(default_factory=list)
    _answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    _buckets: dict[str, MemoryDocuments[Any]] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Do nothing: subscriptions are live at once."""

    async def stop(self) -> None:
        """Do nothing: there is nothing to let go."""

    async def publish(self, message: Message) -> None:
        """Store *message* and hand a copy to each subscribed service at the next `settle`."""
        try:
            payload = message.encode()
        except MessageError as error:
            raise RejectedError(str(error)) from error
        await self.publish_bytes(message.subject, payload, message.id)

    async def publish_bytes(self, subject: str, payload: bytes, message_id: str) -> None:
        """Store bytes as a stranger would, readable or not."""
        if message_id in self._ids:
            return
        self._ids.add(message_id)
        stored = _Stored(len(self._stored) + 1, self.clock(), subject, payload)
        self._stored.append(stored)
        with contextlib.suppress(MessageError):  # a stranger's bytes are stored all the same
            self.published.append(read(payload))
        for subscription in self._subscriptions:
            if _matches(subscription.kind, subject):
                self._pending.append((subscription, stored, 1))
        self._arrived.set()

    def on(
        self, service: str, kind: type[M], handler: Handler[M], delivery: Delivery | None = None
    ) -> None:
        """Subscribe; two subscriptions of one service to one kind are replicas and share its copies."""
        if any(s.service == service and s.kind is kind for s in self._subscriptions):
            return
        self._subscriptions.append(_Subscription(service, kind, handler, delivery or Delivery()))

    async def settle(self) -> None:
        """Deliver until nothing is pending, follow-ups and further tries included."""
        while self._pending:
            subscription, stored, attempt = self._pending.popleft()
            await self._deliver(subscription, stored, attempt)

    def answer(self, service: str, verb: str, answer: Answer) -> None:
        """Answer `query.<service>.<verb>`."""
        self._answers[service, verb] = answer

    async def ask(
        self, service: str, verb: str, question: Question, timeout: timedelta = timedelta(seconds=2)
    ) -> dict[str, Any]:
        """Ask; the question and the answer pass as JSON."""
        answer = self._answers.get((service, verb))
        if answer is None:
            raise UnavailableError(f"nobody answers query.{service}.{verb}")
        async with asyncio.timeout(timeout.total_seconds()):
            reply = await answer(from_json(to_json(dict(question))))
        return cast("dict[str, Any]", from_json(to_json(dict(reply))))

    def documents(self, bucket: str, kind: type[D]) -> MemoryDocuments[D]:
        """Return the documents of *bucket*, the same ones at every call."""
        return self._buckets.setdefault(bucket, MemoryDocuments(kind))

    async def follow(
        self,
        types: Sequence[str] = (),
        scope: str = "*",
        *,
        since: datetime | None = None,
        live: bool = True,
    ) -> AsyncIterator[Recorded]:
        """Yield what was stored; see `History`."""
        seen = 0
        while True:
            for stored in self._stored[seen:]:
                seen = stored.sequence
                if _wanted(stored, types, scope, since):
                    yield Recorded(
                        stored.sequence, stored.stored_at, stored.subject, _envelope(stored.payload)
                    )
            if not live:
                return
            if seen == len(self._stored):
                self._arrived.clear()
                await self._arrived.wait()

    async def list(self) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""
        return list(self.dead)

    async def mark(self) -> str:
        """Return a word for the letters there are."""
        return " ".join(f"{one.sequence}@{one.died_at.isoformat()}" for one in self.dead)

    async def replay(self, sequence: int) -> None:
        """Give a dead message back to the service that gave it up."""
        letter = next(found for found in self.dead if found.sequence == sequence)
        stored = next(
            found
            for found in self._stored
            if found.subject == letter.subject and found.payload == letter.payload
        )
        for subscription in self._subscriptions:
            if subscription.service == letter.service and _matches(
                subscription.kind, letter.subject
            ):
                self._pending.append((subscription, stored, 1))
        await self.discard(sequence)

    async def discard(self, sequence: int) -> None:
        """Forget a dead letter."""
        self.dead = [letter for letter in self.dead if letter.sequence != sequence]

    async def _deliver(self, subscription: _Subscription, stored: _Stored, attempt: int) -> None:
        copy = Copy(stored.subject, stored.payload, attempt, f"/services/{subscription.service}")
        verdict = await judge(copy, subscription.kind, subscription.handler, subscription.delivery)
        for message in verdict.follow_ups:
            await self.publish(message)
        if verdict.outcome is Outcome.RETRY:
            self._pending.append((subscription, stored, attempt + 1))
        if verdict.outcome is Outcome.DEAD:
            self.dead.append(
                DeadLetter(
                    sequence=len(self.dead) + 1,
                    subject=stored.subject,
                    service=subscription.service,
                    reason=verdict.reason,
                    deliveries=attempt,
                    died_at=self.clock(),
                    payload=stored.payload,
                )
            )


class MemoryDocuments(Generic[D]):
    """Documents in a dict, kept as bytes so that nobody shares an instance by accident."""

    def __init__(self, kind: type[D]) -> None:
        self._kind = kind
        self._kept: dict[str, tuple[bytes, tuple[str, ...]]] = {}

    async def get(self, key: str) -> D | None:
        """Return the document, or None."""
        kept = self._kept.get(checked_key(key))
        return None if kept is None else self._kind.model_validate_json(kept[0])

    async def change(self, key: str, change: Callable[[D | None], D], *, applied: str) -> D:
        """Apply *change* once per *applied*."""
        now = await self.get(key)
        _, ids = self._kept.get(key, (b"", ()))
        if now is not None and applied in ids:
            return now
        changed = change(now)
        self._kept[key] = (_to_bytes(changed), (*ids, applied)[-_REMEMBERED:])
        return changed

    async def delete(self, key: str) -> None:
        """Remove the document."""
        self._kept.pop(checked_key(key), None)

    async def all(self) -> dict[str, D]:
        """Return every document by key."""
        return {key: self._kind.model_validate_json(kept[0]) for key, kept in self._kept.items()}


def _to_bytes(document: BaseModel) -> bytes:
    return document.model_dump_json().encode()


def _matches(kind: type[Message], subject: str) -> bool:
    return subject.rpartition(".")[0] == kind.type


def _wanted(stored: _Stored, types: Sequence[str], scope: str, since: datetime | None) -> bool:
    type_, _, found_scope = stored.subject.rpartition(".")
    return (
        (not types or type_ in types)
        and scope in ("*", found_scope)
        and (since is None or stored.stored_at >= since)
    )


def _envelope(payload: bytes) -> dict[str, Any]:
    try:
        event = from_json(payload)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
