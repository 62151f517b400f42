# SPDX-License-Identifier: Apache-2.0
"""What the gateway needs of others, in its own words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from mlops.chassis.bus import Bus, History
from mlops.gateway.model.archive import Wanted
from mlops.gateway.model.explain import Explanation
from mlops.gateway.model.facts import Fact
from mlops.gateway.model.routing import Table
from mlops.gateway.model.tables import Kind
from mlops.gateway.model.world import World


class SpokenBus(Bus, History, Protocol):
    """A bus on which one can also read what was said."""


@dataclass
class Reply:
    """What a replica answered, as bytes; of a long answer, or of events that come one by one, *rest* is still to come.

    Whoever has a reply closes it, or the connection behind its rest stays open.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    rest: AsyncIterator[bytes] | None = None
    at_close: list[Callable[[], Awaitable[None] | None]] = field(default_factory=list)

    async def close(self) -> None:
        """Let go of the connection, and of whatever was held until now; closing twice changes nothing."""
        while self.at_close:
            done = self.at_close.pop()()
            if done is not None:
                await done


class LostReplicaError(Exception):
    """The replica did not answer: refused, reset, or gone; another try may work."""


class SlowReplicaError(Exception):
    """The replica took too long; another try would only add load."""


class Replicas(Protocol):
    """The processes that hold models."""

    async def send(
        self, method: str, url: str, body: bytes | bytearray, headers: Mapping[str, str]
    ) -> Reply:
        """Ask a replica once; Raises LostReplicaError, SlowReplicaError, also while the rest is read."""


@dataclass(frozen=True)
class Streamed:
    """What a server answers, while it comes; names of headers are in lower case."""

    status: int
    headers: Sequence[tuple[str, str]]
    pieces: AsyncIterator[bytes]


class Upstream(Protocol):
    """A server that is reached through the gateway."""

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""

    def open(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: AsyncIterator[bytes] | None,
    ) -> AbstractAsyncContextManager[Streamed]:
        """Send a request for *target* (a path and its query, as they stand on the wire).

        Neither body is held as a whole. Raises LostReplicaError, SlowReplicaError, also while the answer is read.
        """


@dataclass(frozen=True)
class Stored:
    """A file that is kept, by the hash of its content."""

    uri: str
    sha256: str
    bytes: int


class NoTableError(Exception):
    """What came is no table of the kind that was said."""


class TooLargeError(Exception):
    """A file has more bytes than are taken."""


class FullShelfError(Exception):
    """There is no room for another file."""


class Files(Protocol):
    """Tables that callers brought, kept for a while."""

    async def store(self, kind: Kind, pieces: AsyncIterator[bytes]) -> Stored:
        """Keep a table as a whole, or not at all; the same content is the same file.

        Raises NoTableError, TooLargeError, FullShelfError; UnavailableError when nothing can be written.
        """

    async def tidy(self) -> int:
        """Let go of what is too old and of what was never finished; return how many."""


class Memory(Protocol):
    """What was said on the bus, folded; taking the same message twice changes nothing."""

    @property
    def world(self) -> World:
        """The present."""

    @property
    def rebuilt(self) -> bool:
        """Whether all that the bus held at start is taken in."""

    def last(self, wanted: Wanted, most: int) -> list[Fact]:
        """Return the newest messages that are wanted, oldest first."""

    def explain(self, asked: str) -> Explanation | None:
        """Return the story of something, or None."""

    async def followers(
        self, cause_id: str, enough: Callable[[list[Fact]], bool], timeout: timedelta
    ) -> list[Fact]:
        """Return what a message caused directly, once it is *enough* or *timeout* has passed."""


class Routes(Protocol):
    """The routing table; a refresh that is asked for happens at once."""

    @property
    def table(self) -> Table:
        """The newest table."""

    def refresh(self) -> None:
        """Ask serving again, now."""

    async def changed(self) -> None:
        """Wait until there is another table."""


class LastRoutes(Protocol):
    """What serving told last, kept over a restart: replicas answer on while gateway and serving are away."""

    def recall(self) -> Mapping[str, object] | None:
        """Return it, or None when there is none, or none that is young enough."""

    def note(self, answer: Mapping[str, object]) -> None:
        """Keep it; never raises, because nothing but a later restart needs it."""


class Meter(Protocol):
    """Counts requests for whoever watches the gateway; labels are bounded by the routes."""

    def count(self, project: str, model: str, version: str, outcome: str) -> None:
        """Count a request and how it ended."""

    def took(self, project: str, model: str, version: str, seconds: float) -> None:
        """Record how long the caller waited."""

    def retried(self, project: str, model: str) -> None:
        """Count a second try."""
