# SPDX-License-Identifier: Apache-2.0
"""Predictions leave the replica as events: queued in memory, sent in batches, never waited for by an answer.

A batch goes out when it holds 100 rows or 0.5 s after its first one. While the bus is away batches wait in the
replica's own outbox on disk; when even that is too slow the oldest rows are dropped, and the next batch says how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog

from mlops.chassis.errors import ChassisError, RejectedError
from mlops.contracts.message import Message
from mlops.contracts.serving import Prediction, PredictionLogged

MOST_ROWS = 100
MOST_WAITING = 20_000
_SAMPLES = 10_000

Publish = Callable[[Message], Awaitable[None]]


class PredictionLog:
    """The log of one replica; `put` is for requests, `run` is its task."""

    def __init__(
        self,
        publish: Publish,
        project: str,
        model: str,
        version: int,
        *,
        most_waiting: int = MOST_WAITING,
        pause: timedelta = timedelta(seconds=0.5),
    ) -> None:
        self._publish = publish
        self._about = (project, model, version)
        self._waiting: deque[Prediction] = deque()
        self._most_waiting = most_waiting
        self._pause_s = pause.total_seconds()
        self._filled = asyncio.Event()
        self._arrived = asyncio.Event()
        self.sampled_ratio = 1.0
        self.dropped = 0
        self._log = structlog.get_logger("predictions")

    def put(self, rows: Sequence[Prediction]) -> None:
        """Queue what the sample takes of *rows*; drops the oldest when too many wait."""
        self._waiting.extend(row for row in rows if sampled(row.request_id, self.sampled_ratio))
        while len(self._waiting) > self._most_waiting:
            self._waiting.popleft()
            self.dropped += 1
        if self._waiting:
            self._arrived.set()
        if len(self._waiting) >= MOST_ROWS:
            self._filled.set()

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            await self._arrived.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s):
                    await self._filled.wait()
            await self.flush()

    async def flush(self) -> None:
        """Send everything that waits."""
        while self._waiting:
            rows = [self._waiting.popleft() for _ in range(min(MOST_ROWS, len(self._waiting)))]
            await self._send(rows)
        self._arrived.clear()
        self._filled.clear()

    async def _send(self, rows: list[Prediction]) -> None:
        project, model, version = self._about
        message = PredictionLogged(
            project=project,
            model=model,
            version=version,
            predictions=tuple(rows),
            dropped=self.dropped,
        )
        try:
            await self._publish(message)
        except RejectedError as error:  # too large for one message: halves, down to single rows
            await self._send_halves(rows, error)
            return
        except ChassisError as error:  # not even the outbox took it
            self.dropped += len(rows)
            self._log.warning("predictions.dropped", rows=len(rows), reason=str(error))
            return
        self.dropped -= message.dropped

    async def _send_halves(self, rows: list[Prediction], error: RejectedError) -> None:
        if len(rows) == 1:
            self.dropped += 1
            self._log.warning("predictions.dropped", rows=1, reason=str(error))
            return
        await self._send(rows[: len(rows) // 2])
        await self._send(rows[len(rows) // 2 :])


def sampled(request_id: str, ratio: float) -> bool:
    """Return whether a request belongs to the sample; the same request always does or does not."""
    return zlib.crc32(request_id.encode()) % _SAMPLES < ratio * _SAMPLES
