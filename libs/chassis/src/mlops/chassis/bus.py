# SPDX-License-Identifier: Apache-2.0
"""Bus: how services speak and remember. Each promise below is a test in tests/conformance/test_bus.py and test_documents.py.

Messages
 1. A message is stored before `publish` returns: on the bus or, while the bus is away, in the local outbox.
 2. Each service gets its own copy; the replicas of a service share one.
 3. A failed handler gets the message again after a growing delay, up to `max_deliver` times; then it goes to
    `dlq.<subject>` with the reason. `RejectedError`, or bytes that cannot be read, go there at once. So does a
    message whose handler died with its process too often.
 4. The same id is stored once, within the stream's window.
 5. What a handler returns is published before the ack, with ids derived from the cause: a crash between the two
    repeats nothing.
 6. A message whose project (or node) and subject disagree is refused.
 7. A rejected command is also answered with `command.refused`.
Documents
 8. A change of a document and the id of the message that caused it are one write; a repeated id changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message

_DOCUMENT_KEY = re.compile(r"^[A-Za-z0-9._=-]+$")

M = TypeVar("M", bound=Message)
D = TypeVar("D", bound=BaseModel)

Handler = Callable[[M], Awaitable[Sequence[Message]]]
Question = Mapping[str, Any]
Answer = Callable[[Question], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Delivery:
    """How a subscription is served.

    `delays` are the pauses before each further try (with jitter); one more delivery than delays is made.
    `concurrency` 1 keeps the order of messages within one replica.
    """

    delays: tuple[timedelta, ...] = (
        timedelta(seconds=1),
        timedelta(seconds=5),
        timedelta(seconds=20),
        timedelta(seconds=60),
        timedelta(seconds=180),
    )
    ack_wait: timedelta = timedelta(seconds=30)
    concurrency: int = 4

    @property
    def max_deliver(self) -> int:
        """Return how often a message is tried in all."""
        return len(self.delays) + 1


@dataclass(frozen=True)
class Recorded:
    """A stored message, as read back from the history: the CloudEvent as JSON values, not validated."""

    sequence: int
    stored_at: datetime
    subject: str
    envelope: dict[str, Any]


@dataclass(frozen=True)
class DeadLetter:
    """A message that was given up, and why."""

    sequence: int
    subject: str
    service: str
    reason: str
    deliveries: int
    died_at: datetime
    payload: bytes


class Documents(Protocol[D]):
    """Small typed state of one service, by key (`[A-Za-z0-9._=-]+`); promise 8 of the bus."""

    async def get(self, key: str) -> D | None:
        """Return the document, or None."""

    async def change(self, key: str, change: Callable[[D | None], D], *, applied: str) -> D:
        """Apply *change* unless the message id *applied* was applied before; return the document as it now is.

        *change* is pure and may run again when another replica wrote in between.
        Raises UnavailableError when the store is away, ConflictError when others kept writing.
        """

    async def delete(self, key: str) -> None:
        """Remove the document; removing what is not there is fine."""

    async def all(self) -> dict[str, D]:
        """Return every document by key."""


class Bus(Protocol):
    """What services need of the bus."""

    async def publish(self, message: Message) -> None:
        """Store *message*; RejectedError when the bus will never take it."""

    def on(
        self, service: str, kind: type[M], handler: Handler[M], delivery: Delivery = ...
    ) -> None:
        """Subscribe *service* to every scope of *kind*; takes effect when the bus starts."""

    def answer(self, service: str, verb: str, answer: Answer) -> None:
        """Answer the query `query.<service>.<verb>`."""

    async def ask(
        self, service: str, verb: str, question: Question, timeout: timedelta = ...
    ) -> dict[str, Any]:
        """Ask another service; UnavailableError when nobody answers, RejectedError when it refuses."""

    def documents(self, bucket: str, kind: type[D]) -> Documents[D]:
        """Return the documents of a bucket; each bucket belongs to one service."""


class History(Protocol):
    """What was said before, and what is being said; for read models, `tail` and `explain`."""

    def follow(
        self,
        types: Sequence[str] = (),
        scope: str = "*",
        *,
        since: datetime | None = None,
        live: bool = True,
    ) -> AsyncIterator[Recorded]:
        """Yield stored messages in order; all types when none is named.

        *since* None begins with the oldest. With *live* it then waits for new ones, else it ends.
        Events and commands are both yielded; dead letters are not.
        """


class DeadLetters(Protocol):
    """Messages that were given up."""

    async def list(self) -> list[DeadLetter]:
        """Return all dead letters, oldest first."""

    async def mark(self) -> str:
        """Return a word that is another one once a letter came or went: cheap, where `list` reads every letter."""

    async def replay(self, sequence: int) -> None:
        """Give the message back to the service that gave it up, and forget the dead letter."""

    async def discard(self, sequence: int) -> None:
        """Forget a dead letter."""


def checked_key(key: str) -> str:
    """Return a document key as it is; RejectedError when a bus could not store it."""
    if not _DOCUMENT_KEY.fullmatch(key):
        raise RejectedError(f"document key {key!r} may only hold letters, digits and . _ = -")
    return key
