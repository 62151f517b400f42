# SPDX-License-Identifier: Apache-2.0
"""Predictions that a replica could not send before it died, sent on its behalf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import structlog

from mlops.chassis.errors import UnavailableError
from mlops.contracts.catalogue import read
from mlops.contracts.errors import MessageError
from mlops.contracts.message import Message
from mlops.serving.ports import Leftovers


class LeftPredictions:
    """Looks for abandoned logs every *pause*."""

    def __init__(self, leftovers: Leftovers, pause: timedelta) -> None:
        self._leftovers = leftovers
        self._pause_s = pause.total_seconds()
        self._log = structlog.get_logger("leftovers")

    async def messages(self) -> AsyncIterator[Message]:
        """Yield what dead replicas left, for ever."""
        while True:
            async for message in self.sweep():
                yield message
            await asyncio.sleep(self._pause_s)

    async def sweep(self) -> AsyncIterator[Message]:
        """Yield what is left now; each message is forgotten after it was stored."""
        for name in await self._leftovers.abandoned():
            try:
                async for message in self._told_by(name):
                    yield message
            except UnavailableError as error:  # the other logs are not to wait for this one
                self._log.warning("leftovers.kept", log=name, reason=str(error))

    async def _told_by(self, name: str) -> AsyncIterator[Message]:
        while found := await self._leftovers.waiting(name):
            for place, payload in found:
                try:
                    yield read(payload)
                except MessageError as error:
                    self._log.warning("leftover.unreadable", log=name, reason=str(error))
                await self._leftovers.forget(name, place)
        await self._leftovers.discard(name)
