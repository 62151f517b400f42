# SPDX-License-Identifier: Apache-2.0
"""Telling: a sample goes out at once, or waits while the bus is away; then the newest first, the others thinned.

Edges do not come through here: they are yielded always, and the bus keeps them in its own outbox, before all samples.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from mlops.contracts.errors import MessageError
from mlops.contracts.telemetry_agent import TelemetrySampled
from mlops.telemetry_agent.ports import Backlog, Line

_AT_ONCE = 20
_FRESH_WINDOWS = 2.0


class Telling:
    """The way out for samples."""

    def __init__(self, line: Line | None = None, backlog: Backlog | None = None) -> None:
        self._line = line
        self._backlog = backlog
        self._newest: TelemetrySampled | None = None

    async def tell(self, sample: TelemetrySampled) -> AsyncIterator[TelemetrySampled]:
        """Yield the sample when the bus is there, else keep it."""
        if self._line is None or self._backlog is None or await self._line.is_open():
            self._newest = None
            yield sample
            return
        self._newest = sample
        payload = sample.encode()
        await asyncio.to_thread(self._backlog.put, sample.sample.observed_at, payload)

    async def late(self, now: datetime) -> AsyncIterator[TelemetrySampled]:
        """Yield what waited, once the bus is back: the newest sample while it is fresh, then some older ones."""
        if self._line is None or self._backlog is None or not len(self._backlog):
            return
        if not await self._line.is_open():
            return
        newest, self._newest = self._newest, None
        if newest is not None and _is_fresh(newest, now):
            yield newest
        waiting = await asyncio.to_thread(self._backlog.take, _AT_ONCE)
        for number, payload in waiting:
            if (message := _read(payload)) and (newest is None or message.id != newest.id):
                yield _backfilled(message)
            # Told, or unreadable since a change of version: either way it need not wait any longer.
            await asyncio.to_thread(self._backlog.forget, [number])


def _is_fresh(message: TelemetrySampled, now: datetime) -> bool:
    age = now - message.sample.observed_at
    return age <= timedelta(seconds=_FRESH_WINDOWS * message.sample.window_s)


def _backfilled(message: TelemetrySampled) -> TelemetrySampled:
    return message.model_copy(
        update={"sample": message.sample.model_copy(update={"backfill": True})}
    )


def _read(payload: bytes) -> TelemetrySampled | None:
    try:
        return TelemetrySampled.decode(payload)
    except MessageError:
        return None
