# SPDX-License-Identifier: Apache-2.0
"""RememberedProjects: what projects want watched, asked of the bus once in a while and not for every message.

A thousand predictions a second are hundreds of messages, and a document is a round trip. What this process changes it
knows at once; what another replica changed it knows a second later, and settings apply from the next window on anyway.
"""

from __future__ import annotations

from collections.abc import Callable

from mlops.chassis.bus import Documents
from mlops.monitoring.ports import WatchedProject

_FRESH_S = 1.0
_MOST = 1000


class RememberedProjects:
    """The documents of projects; *elapsed_s* is a clock that only goes forward."""

    def __init__(
        self, documents: Documents[WatchedProject], elapsed_s: Callable[[], float]
    ) -> None:
        self._documents = documents
        self._elapsed_s = elapsed_s
        self._known: dict[str, tuple[float, WatchedProject | None]] = {}

    async def get(self, key: str) -> WatchedProject | None:
        """Return the document as it was within the last second, or None."""
        now = self._elapsed_s()
        known = self._known.get(key)
        if known is not None and now - known[0] < _FRESH_S:
            return known[1]
        return self._keep(key, now, await self._documents.get(key))

    async def change(
        self,
        key: str,
        change: Callable[[WatchedProject | None], WatchedProject],
        *,
        applied: str,
    ) -> WatchedProject:
        """Change the document and know it."""
        now = self._elapsed_s()
        found = await self._documents.change(key, change, applied=applied)
        self._keep(key, now, found)
        return found

    async def delete(self, key: str) -> None:
        """Remove the document."""
        await self._documents.delete(key)
        self._known.pop(key, None)

    async def all(self) -> dict[str, WatchedProject]:
        """Return every document by key, as it is now."""
        return await self._documents.all()

    def _keep(self, key: str, now: float, found: WatchedProject | None) -> WatchedProject | None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = now, found
        return found
