# SPDX-License-Identifier: Apache-2.0
"""MemoryOfBus: the read models of this process, and those who wait for what comes next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

from mlops.gateway.model.archive import Archive, Bounds, Wanted
from mlops.gateway.model.explain import Explanation, explain
from mlops.gateway.model.facts import Fact, fact_of
from mlops.gateway.model.folding import apply
from mlops.gateway.model.world import World


class MemoryOfBus:
    """Holds the archive and the world; rebuilt from the bus at every start."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._archive = Archive(bounds or Bounds())
        self._world = World()
        self._rebuilt = False
        self._arrived: dict[str, list[asyncio.Event]] = {}

    @property
    def world(self) -> World:
        """The present."""
        return self._world

    @property
    def rebuilt(self) -> bool:
        """Whether all that the bus held at start is taken in."""
        return self._rebuilt

    async def check(self) -> str | None:
        """Return why questions cannot be answered yet, or None."""
        return None if self._rebuilt else "still reading what the bus holds"

    def mark_rebuilt(self) -> None:
        """Say that the backlog is taken in."""
        self._rebuilt = True

    def take(self, envelope: Mapping[str, object]) -> Fact | None:
        """Take a message in; None when it was known or is no message."""
        fact = fact_of(envelope)
        if fact is None or not self._archive.add(fact.at_rest()):
            return None
        apply(self._world, fact)
        for event in self._arrived.get(fact.cause, ()):
            event.set()
        return fact

    def last(self, wanted: Wanted, most: int) -> list[Fact]:
        """Return the newest messages that are wanted, oldest first."""
        return self._archive.last(wanted, most)

    def explain(self, asked: str) -> Explanation | None:
        """Return the story of something, or None."""
        return explain(self._archive, asked)

    async def followers(
        self, cause_id: str, enough: Callable[[list[Fact]], bool], timeout: timedelta
    ) -> list[Fact]:
        """Return what a message caused directly, once it is *enough* or *timeout* has passed."""
        arrived = asyncio.Event()
        self._arrived.setdefault(cause_id, []).append(arrived)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                while not enough(self._archive.caused_by(cause_id)):
                    arrived.clear()
                    await arrived.wait()
        except TimeoutError:
            pass  # what there is, is the answer
        finally:
            self._arrived[cause_id].remove(arrived)
            if not self._arrived[cause_id]:
                del self._arrived[cause_id]
        return self._archive.caused_by(cause_id)
