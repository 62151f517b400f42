# SPDX-License-Identifier: Apache-2.0
"""Errands: answers that may take longer than a question waits; begun once, had by whoever asks again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

# A question on the bus waits five seconds.
PATIENCE = timedelta(seconds=3)
_MOST_KEPT = 32

Answer = dict[str, Any]


class Errands:
    """Work by what was asked; what failed is told once and forgotten."""

    def __init__(self, patience: timedelta = PATIENCE) -> None:
        self._patience_s = patience.total_seconds()
        self._begun: OrderedDict[str, asyncio.Task[Answer]] = OrderedDict()

    async def result(
        self, asked: str, work: Callable[[], Awaitable[Answer]], *, keep: bool = False
    ) -> Answer:
        """Return what *work* returns, or `{"ready": False}` while it goes on; ask the same again then.

        With *keep* the answer never changes, and who asks later gets it without the work. Raises what the work raised.
        """
        task = self._begun.get(asked)
        if task is None:
            task = asyncio.ensure_future(_done(work))
            self._begun[asked] = task
            self._forget_oldest()
        await asyncio.wait({task}, timeout=self._patience_s)
        if not task.done():
            return {"ready": False}
        if not keep or task.cancelled() or task.exception() is not None:
            self._begun.pop(asked, None)
        return {"ready": True, **task.result()}

    async def close(self) -> None:
        """Stop what goes on."""
        tasks = list(self._begun.values())
        self._begun.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget_oldest(self) -> None:
        ended = [asked for asked, task in self._begun.items() if task.done()]
        for asked in ended[: max(0, len(self._begun) - _MOST_KEPT)]:
            del self._begun[asked]


async def _done(work: Callable[[], Awaitable[Answer]]) -> Answer:
    return await work()
