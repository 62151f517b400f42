# SPDX-License-Identifier: Apache-2.0
"""Predictions leave the replica as events: queued in memory, sent in batches, never waited for by an answer.

A batch goes out when it holds 100 rows or 0.5 s after its first one, and holds no more than a message may. A row that
is alone too wide leaves without its inputs, so that its label still finds it. While the bus is away batches wait in
the replica's own outbox on disk; when even that is too slow the oldest rows are dropped, and the next batch says how
many. Nothing leaves before the project's share of logged predictions is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

import structlog

from mlops.chassis.errors import ChassisError, RejectedError
from mlops.contracts.message import MAX_BYTES, Message
from mlops.contracts.serving import Prediction, PredictionLogged

MOST_ROWS = 100
MOST_WAITING = 20_000
MOST_WAITING_BYTES = 32 * 1024 * 1024
_MOST_UNDER_WAY = 16 * 1024 * 1024  # bytes of requests
_MOST_BYTES = MAX_BYTES - 4096  # room for the envelope
_ROW_BYTES = 160  # what a row needs beside its features
_NUMBER_BYTES = 20
_PART_BYTES = 12  # a number of a vector, which is rounded
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
        self._waiting: deque[tuple[Prediction, int]] = deque()
        self._most_waiting = most_waiting
        self._pause_s = pause.total_seconds()
        self._known = asyncio.Event()
        self._filled = asyncio.Event()
        self._arrived = asyncio.Event()
        self._turn = asyncio.Lock()
        self._has_shortened = False
        self._under_way: set[asyncio.Future[Sequence[Prediction]]] = set()
        self._under_way_bytes = 0
        self.share: float | None = None
        self.waiting_bytes = 0
        self.dropped = 0  # not told yet
        self.dropped_ever = 0
        self._log = structlog.get_logger("predictions")

    def know(self, share: float) -> None:
        """Learn which share of the predictions the project wants logged, now and again."""
        if self.share is None:
            kept = [one for one in self._waiting if sampled(one[0].request_id, share)]
            self._waiting = deque(kept)
            self.waiting_bytes = sum(size for _, size in kept)
        self.share = share
        self._known.set()

    def put(self, rows: Sequence[Prediction]) -> None:
        """Queue what the sample takes of *rows*; drops the oldest when too much waits."""
        for row in rows:
            if self.share is None or sampled(row.request_id, self.share):
                size = _size(row)
                self._waiting.append((row, size))
                self.waiting_bytes += size
        while len(self._waiting) > self._most_waiting or self.waiting_bytes > MOST_WAITING_BYTES:
            self._pop()
            self.dropped += 1
            self.dropped_ever += 1
        if self._waiting:
            self._arrived.set()
        if len(self._waiting) >= MOST_ROWS:
            self._filled.set()

    def later(self, size: int, count: int, work: Callable[[], Sequence[Prediction]]) -> None:
        """Queue the *count* rows that *work* makes of a request of *size* bytes, in a thread: no answer waits for it.

        Where much is under way already it is done at once, so that memory has a bound and nothing is lost.
        """
        if self._under_way and self._under_way_bytes + size > _MOST_UNDER_WAY:
            self.put(work())
            return
        future = asyncio.get_running_loop().run_in_executor(None, work)
        self._under_way.add(future)
        self._under_way_bytes += size
        future.add_done_callback(partial(self._arrive, size, count))

    def _arrive(self, size: int, count: int, done: asyncio.Future[Sequence[Prediction]]) -> None:
        self._under_way.discard(done)
        self._under_way_bytes -= size
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is None:
            self.put(done.result())
        else:
            self._drop(count, error)

    async def run(self) -> None:
        """Send batches until cancelled."""
        await self._known.wait()
        while True:
            await self._arrived.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s):
                    await self._filled.wait()
            await self.flush()

    async def flush(self) -> None:
        """Send everything that may leave; what is on its way already has arrived when this returns."""
        if self.share is None:
            return
        async with self._turn:
            if self._under_way:
                await asyncio.wait(self._under_way)
            while self._waiting:
                await self._send(self._batch())
            self._arrived.clear()
            self._filled.clear()

    def _batch(self) -> list[Prediction]:
        rows, room = [self._pop()], _MOST_BYTES
        room -= _size(rows[0])
        while self._waiting and len(rows) < MOST_ROWS and self._waiting[0][1] <= room:
            room -= self._waiting[0][1]
            rows.append(self._pop())
        return rows

    def _pop(self) -> Prediction:
        row, size = self._waiting.popleft()
        self.waiting_bytes -= size
        return row

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
            await self._send_less(rows, error)
            return
        except ChassisError as error:  # not even the outbox took it
            self._drop(len(rows), error)
            return
        self.dropped -= message.dropped

    async def _send_less(self, rows: list[Prediction], error: RejectedError) -> None:
        if len(rows) > 1:
            await self._send(rows[: len(rows) // 2])
            await self._send(rows[len(rows) // 2 :])
        elif rows[0].features or rows[0].vectors:
            if not self._has_shortened:  # said once: such models are asked again and again
                self._has_shortened = True
                self._log.warning("predictions.without_features", reason=str(error))
            await self._send([rows[0].model_copy(update={"features": {}, "vectors": {}})])
        else:
            self._drop(1, error)

    def _drop(self, rows: int, error: BaseException) -> None:
        self.dropped += rows
        self.dropped_ever += rows
        self._log.warning(
            "predictions.dropped", rows=rows, reason=str(error) or type(error).__name__
        )


def sampled(request_id: str, ratio: float) -> bool:
    """Return whether a request belongs to the sample; the same request always does or does not."""
    return zlib.crc32(request_id.encode()) % _SAMPLES < ratio * _SAMPLES


def _size(row: Prediction) -> int:
    # Good enough to fill batches, and far cheaper than writing the row; what is larger is sent in halves.
    texts = [*row.features, *row.features.values(), *row.vectors, row.prediction, row.request_id]
    plain = _ROW_BYTES + sum(
        4 + len(one.encode()) if isinstance(one, str) else _NUMBER_BYTES for one in texts
    )
    if not row.vectors and row.answer is None:
        return plain
    vectors = [*row.vectors.values(), *([] if row.answer is None else [row.answer])]
    return plain + sum(_ROW_BYTES + _PART_BYTES * len(one.values) for one in vectors)
