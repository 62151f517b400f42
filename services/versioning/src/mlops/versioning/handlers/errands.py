# SPDX-License-Identifier: Apache-2.0
"""Errands: answers that may take longer than a question waits; begun once, had by whoever asks again."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

# A question on the bus waits five seconds.
PATIENCE = timedelta(seconds=3)
_MOST_KEPT = 32
# Who waits asks several times a second; what nobody came for is no longer known to be so.
_FRESH_S = 10.0

Answer = dict[str, Any]


@dataclass
class _Errand:
    """Work under way, and when it ended."""

    task: asyncio.Task[Answer]
    ended_s: float | None = None

    def failed(self) -> bool:
        return self.task.cancelled() or self.task.exception() is not None


class Errands:
    """Work by what was asked; what failed is told once and forgotten."""

    def __init__(
        self, patience: timedelta = PATIENCE, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience_s = patience.total_seconds()
        self._now_s = now_s
        self._begun: OrderedDict[str, _Errand] = OrderedDict()

    async def result(
        self, asked: str, work: Callable[[], Awaitable[Answer]], *, keep: bool = False
    ) -> Answer:
        """Return what *work* returns, or `{"ready": False}` while it goes on; ask the same again then.

        With *keep* the answer never changes, and who asks later gets it without the work; without, it is given only to
        who asks again within seconds of its end. Raises what the work raised.
        """
        errand = self._begun.get(asked)
        if errand is None or self._is_stale(errand, keep=keep):
            errand = self._begin(asked, work)
        await asyncio.wait({errand.task}, timeout=self._patience_s)
        if not errand.task.done():
            return {"ready": False}
        if not keep or errand.failed():
            self._begun.pop(asked, None)
        return {"ready": True, **errand.task.result()}

    async def close(self) -> None:
        """Stop what goes on."""
        tasks = [errand.task for errand in self._begun.values()]
        self._begun.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, asked: str, work: Callable[[], Awaitable[Answer]]) -> _Errand:
        errand = _Errand(asyncio.ensure_future(_done(work)))

        def ended(_: asyncio.Task[Answer]) -> None:
            errand.ended_s = self._now_s()

        errand.task.add_done_callback(ended)
        self._begun.pop(asked, None)
        self._begun[asked] = errand
        self._forget_oldest()
        return errand

    def _is_stale(self, errand: _Errand, *, keep: bool) -> bool:
        if errand.ended_s is None or (keep and not errand.failed()):
            return False
        return self._now_s() - errand.ended_s > _FRESH_S

    def _forget_oldest(self) -> None:
        ended = [asked for asked, errand in self._begun.items() if errand.task.done()]
        for asked in ended[: max(0, len(self._begun) - _MOST_KEPT)]:
            del self._begun[asked]


async def _done(work: Callable[[], Awaitable[Answer]]) -> Answer:
    return await work()
