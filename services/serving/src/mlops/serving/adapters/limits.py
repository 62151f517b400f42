# SPDX-License-Identifier: Apache-2.0
"""Limits: how much a replica computes at once and how much it logs, as serving says, or Ray where serving is silent.

Serving is asked every two seconds, and at once when it tells that a version of the project is slowed or restored: that
is what takes milliseconds. Ray's `user_config` comes with the replica's start and with changes of what Ray was told;
a lower one counts at once, a higher one only where serving does not answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.errors import ChassisError
from mlops.contracts.serving import DeploymentProgressed
from mlops.serving.adapters.prediction_log import PredictionLog
from mlops.serving.adapters.turns import DEFAULT_QUEUE, Turns
from mlops.serving.model.apps import FULL_CONCURRENCY

NAME = "serving"
_EVERY_S = 2.0
_SOON_S = 0.2
_SILENT_S = 10.0
_AGAIN_S = 1.0


class Limits:
    """Keeps *turns* and *log* to what serving says of *project*; *report* is what a question tells of the replica."""

    def __init__(
        self,
        turns: Turns,
        log: PredictionLog,
        project: str,
        report: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._turns = turns
        self._log = log
        self._project = project
        self._report = report
        self._told_at: float | None = None
        self._changed = asyncio.Event()
        self._logger = structlog.get_logger("limits")
        self.source = "start"

    def declare(self, config: Mapping[str, Any] | None) -> None:
        """Take Ray's `user_config`."""
        self._turns.queue = int((config or {}).get("queue", DEFAULT_QUEUE))
        wanted = int((config or {}).get("concurrency", FULL_CONCURRENCY))
        told = self._told_at is not None and time.monotonic() - self._told_at < _SILENT_S
        if wanted < self._turns.most or not told:
            self._turns.most = wanted
            self.source = "user_config"

    async def follow(self, bus: NatsBus) -> None:
        """Ask for ever."""
        while True:
            self._changed.clear()
            with suppress(ChassisError):
                await self.ask(bus)
            pause_s = _SOON_S if self._log.share is None else _EVERY_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()

    async def ask(self, bus: NatsBus) -> None:
        """Ask once, and keep to the answer."""
        # Reading the memory takes milliseconds, in which others shall be answered.
        report = await asyncio.to_thread(self._report)
        limits = await bus.ask(NAME, "limits", {"project": self._project, **report})
        self._turns.most = int(limits["concurrency"])
        self._told_at = time.monotonic()
        self.source = "serving"
        self._log.know(float(limits["log_predictions"]))

    async def listen(self, bus: NatsBus) -> None:
        """Ask at once whenever serving tells of a change, for ever."""
        while True:
            now = datetime.now(UTC)
            try:
                async for _ in bus.follow((DeploymentProgressed.type,), self._project, since=now):
                    self._changed.set()
            except Exception as error:  # noqa: BLE001 - whatever the bus meets: asking goes on, and so do answers
                self._logger.warning("changes.unheard", error=repr(error))
            await asyncio.sleep(_AGAIN_S)
