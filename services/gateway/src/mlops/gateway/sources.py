# SPDX-License-Identifier: Apache-2.0
"""What the gateway keeps up to date by itself: its memory of the bus, the routes, its files. None yields a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from mlops.chassis.bus import Bus, History
from mlops.chassis.errors import ChassisError
from mlops.contracts.message import Message
from mlops.gateway.model.facts import Fact
from mlops.gateway.model.routing import Table, table_of
from mlops.gateway.ports import Files, LastRoutes

_NOTHING: tuple[Message, ...] = ()
_ASK = timedelta(seconds=2)
_TIDY_EVERY_S = 3600.0
_OVERLAP = timedelta(
    seconds=5
)  # two streams are read side by side; one may be a little behind the other


class Taking(Protocol):
    """A memory that can be written."""

    def take(self, envelope: Mapping[str, object]) -> Fact | None:
        """Take a message in; None when it was known or is no message."""

    def mark_rebuilt(self) -> None:
        """Say that the backlog is taken in."""


class Follower:
    """Folds what the bus holds into *memory*, then what comes; goes on where it was after a failure."""

    def __init__(self, history: History, memory: Taking, on_deployment: Callable[[], None]) -> None:
        self._history = history
        self._memory = memory
        self._on_deployment = on_deployment
        self._since: datetime | None = None

    async def __call__(self) -> AsyncIterator[Message]:
        """Follow the bus for as long as the gateway runs."""
        await self._fold(live=False)
        self._memory.mark_rebuilt()
        await self._fold(live=True)
        for message in _NOTHING:
            yield message

    async def _fold(self, *, live: bool) -> None:
        async for recorded in self._history.follow(since=self._since, live=live):
            self._since = recorded.stored_at - _OVERLAP
            fact = self._memory.take(recorded.envelope)
            if fact is not None and fact.type.startswith("deployment.") and not fact.is_bulk:
                self._on_deployment()


class RoutesOfServing:
    """The routing table, as serving tells it: every so often, and at once when asked for.

    *on_shadow* hears of every version that becomes a shadow.
    """

    def __init__(
        self,
        bus: Bus,
        every: timedelta,
        last: LastRoutes,
        on_shadow: Callable[[tuple[str, str, int]], None],
    ) -> None:
        self._bus = bus
        self._on_shadow = on_shadow
        self._every_s = every.total_seconds()
        self._last = last
        recalled = last.recall()
        self._table = Table() if recalled is None else table_of(recalled)
        self._wanted = asyncio.Event()
        self._changed = asyncio.Event()
        self._log = structlog.get_logger("routes")

    @property
    def table(self) -> Table:
        """The newest table; the one before stays while serving is away."""
        return self._table

    def refresh(self) -> None:
        """Ask serving again, now."""
        self._wanted.set()

    async def changed(self) -> None:
        """Wait until there is another table."""
        await self._changed.wait()

    async def __call__(self) -> AsyncIterator[Message]:
        """Keep the table fresh for as long as the gateway runs."""
        while True:
            self._wanted.clear()
            await self._ask()
            try:
                async with asyncio.timeout(self._every_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue
        for message in _NOTHING:
            yield message

    async def _ask(self) -> None:
        try:
            answer = await self._bus.ask("serving", "routes", {}, _ASK)
        except (ChassisError, TimeoutError) as error:
            self._log.debug("routes.kept", error=str(error))
            return
        table = table_of(answer)
        self._last.note(answer)
        if table == self._table:
            return
        self._log.info("routes.changed", models=table.names())
        for shadow in table.shadows() - self._table.shadows():
            self._on_shadow(shadow)
        self._table = table
        self._changed.set()
        self._changed = asyncio.Event()


async def tidying(files: Files) -> AsyncIterator[Message]:
    """Let go of old files, at the start and every hour."""
    while True:
        if removed := await files.tidy():
            structlog.get_logger("files").info("files.tidied", removed=removed)
        await asyncio.sleep(_TIDY_EVERY_S)
    for message in _NOTHING:
        yield message
