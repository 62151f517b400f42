# SPDX-License-Identifier: Apache-2.0
"""Calls of the model: so many at once, in threads, each within its time; and what is stuck.

Calls that have proved to be short (`model/haste.py`) are made where they are asked for, without a thread.
A thread cannot be stopped. So a call keeps its turn until its thread comes back, whether its caller still waits or
not: never does the model compute more at once than it may. Whoever waits gives up its place by leaving.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from mlops.serving.adapters.counters import Counters
from mlops.serving.adapters.replies import RefusedError
from mlops.serving.adapters.turns import CrowdedError, Turns
from mlops.serving.model.haste import Haste

T = TypeVar("T")

_STUCK_S = 10.0
_LOST_S = 60.0
_STUCK_WAIT_S = 5
_CROWDED, _SLOW, _FAILED, _NOT_READY, _NO_ROOM = 429, 504, 500, 503, 507
_END = object()


class Calls:
    """Runs the model's calls in *threads* of its own; *within_s* bounds waiting and computing, each."""

    def __init__(
        self,
        turns: Turns,
        counters: Counters,
        threads: int,
        within_s: float,
        clock: Callable[[], float] = time.monotonic,
        haste: Haste | None = None,
    ) -> None:
        self._turns = turns
        self._haste = haste or Haste(may=False)
        self._counters = counters
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._within_s = within_s
        self._clock = clock
        self._due: dict[object, float] = {}

    async def run(self, work: Callable[[], T], rows: int = 0) -> T:
        """Return what *work* returns for so many rows; raises RefusedError: 429, 504, 507, or 500 for what it raises."""
        await self._enter()
        if not self._haste.is_short(rows):
            answer, cpu_s = await self._in_a_thread(partial(self._measured, work))
            self._haste.proves(rows, cpu_s)
            return answer
        began_s = time.perf_counter()
        try:
            return _result(partial(self._timed, work))
        finally:
            self._turns.leave()
            self._haste.held_up(rows, time.perf_counter() - began_s)

    async def stream(self, begin: Callable[[], Iterator[T]]) -> AsyncGenerator[T]:
        """Yield what the iterator gives, computed in one thread; ends it when the caller leaves."""
        await self._enter()
        loop, gone, call = asyncio.get_running_loop(), threading.Event(), object()
        pieces: asyncio.Queue[Any] = asyncio.Queue()

        def arrived(piece: T) -> None:
            if call in self._due:  # what still produces is not stuck
                self._due[call] = self._clock() + self._within_s
            pieces.put_nowait(piece)

        def produce() -> None:
            for piece in begin():
                if gone.is_set():
                    return
                loop.call_soon_threadsafe(arrived, piece)

        future = self._begin(partial(self._timed, produce), call)
        future.add_done_callback(lambda _: pieces.put_nowait(_END))
        try:
            while (piece := await self._next(pieces)) is not _END:
                yield piece
        finally:
            gone.set()
        _result(future.result)

    def stuck(self) -> str:
        """Return why this replica cannot go on, empty while it can."""
        now = self._clock()
        late = sorted(now - due for due in self._due.values() if now > due)
        if late and late[-1] > _LOST_S:
            return f"a call of the model has not come back for {late[-1] + self._within_s:.0f} s"
        if len(late) >= self._turns.most and late[0] > _STUCK_S:
            return f"all {self._turns.most} places compute for more than {self._within_s:g} s"
        return ""

    def check_ready(self) -> None:
        """Raise RefusedError (503) while this replica cannot go on."""
        stuck = self.stuck()
        if stuck:
            raise RefusedError(_NOT_READY, f"not ready: {stuck}", wait_s=_STUCK_WAIT_S)

    async def _in_a_thread(self, work: Callable[[], T]) -> T:
        future = self._begin(work, object())
        done, _ = await asyncio.wait((future,), timeout=self._within_s)
        if not done:
            raise RefusedError(
                _SLOW,
                f"the model did not answer within {self._within_s:g} s; send less at once, or raise "
                "SERVING_REPLICA_INFER_TIMEOUT_S of the Ray head",
            )
        return _result(future.result)

    async def _enter(self) -> None:
        if self._turns.take():
            return
        try:
            async with asyncio.timeout(self._within_s):
                await self._turns.enter()
        except CrowdedError:
            raise RefusedError(
                _CROWDED,
                f"too many requests: {self._turns.most} are computed and {self._turns.queue} wait, "
                "which is all that may; come again, or raise max_queue or max_replicas in [serve]",
                wait_s=1,
            ) from None
        except TimeoutError:
            raise RefusedError(
                _CROWDED,
                f"no turn within {self._within_s:g} s, {self._turns.waiting} wait; come again later",
                wait_s=5,
            ) from None

    def _begin(self, work: Callable[[], T], call: object) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        self._due[call] = self._clock() + self._within_s
        future = loop.run_in_executor(self._threads, work)
        future.add_done_callback(lambda done: self._ended(done, call))
        return future

    def _measured(self, work: Callable[[], T]) -> tuple[T, float]:
        began_s = time.thread_time()
        answer = self._timed(work)
        return answer, time.thread_time() - began_s

    def _timed(self, work: Callable[[], T]) -> T:
        try:
            with self._counters.busy():
                return work()
        except (StopIteration, SystemExit, KeyboardInterrupt) as error:
            # No future can hold the first, and a model that calls sys.exit must not end the loop.
            raise RuntimeError(repr(error)) from error

    async def _next(self, pieces: asyncio.Queue[Any]) -> Any:
        try:
            async with asyncio.timeout(self._within_s):
                return await pieces.get()
        except TimeoutError:
            raise RefusedError(_SLOW, f"the model gave nothing for {self._within_s:g} s") from None

    def _ended(self, future: asyncio.Future[Any], call: object) -> None:
        del self._due[call]
        self._turns.leave()
        if not future.cancelled():
            future.exception()  # seen, even where nobody waits for it any more


def _result(outcome: Callable[[], T]) -> T:
    try:
        return outcome()
    except MemoryError as error:
        raise RefusedError(
            _NO_ROOM,
            f"the model ran out of memory ({str(error) or 'MemoryError'}); send fewer rows at once, or "
            "raise memory_gb in [serve]",
        ) from error
    except Exception as error:  # a project's model may raise anything
        raise RefusedError(_FAILED, f"the model failed: {type(error).__name__}: {error}") from error
