# SPDX-License-Identifier: Apache-2.0
"""A steady stream of requests at a door, and what came of it: failures, the longest stall, answer times."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp

Pick = Callable[[], Awaitable[str]]
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_FAREWELL_S = 60


@dataclass
class Outcome:
    """One stream during one change; a stall is the longest time without a good answer."""

    began: float
    ended: float = 0.0
    good_at: list[float] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Return how many were sent."""
        return len(self.good_at) + len(self.failed)

    @property
    def stall_ms(self) -> float:
        """Return the longest time without a good answer."""
        marks = [self.began, *sorted(self.good_at), self.ended]
        return max(after - before for before, after in pairwise(marks)) * 1000

    @property
    def p99_ms(self) -> float:
        """Return the 99th percentile of the answer times."""
        if len(self.times_ms) < 2:
            return self.stall_ms
        return statistics.quantiles(self.times_ms, n=100)[98]


@dataclass
class Stream:
    """Where requests go (asked anew for each), what they carry, and how many leave in a second."""

    pick: Pick
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    per_second: float


@asynccontextmanager
async def flowing(stream: Stream) -> AsyncIterator[Outcome]:
    """Keep requests leaving at their rate, however long the answers take; at the end wait for all of them."""
    outcome, sent = Outcome(time.perf_counter()), set[asyncio.Task[None]]()
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
        sending = asyncio.create_task(_send(stream, http, outcome, sent))
        try:
            yield outcome
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            async with asyncio.timeout(_FAREWELL_S):
                await asyncio.gather(*sent, return_exceptions=True)
            outcome.ended = time.perf_counter()


async def _send(
    stream: Stream, http: aiohttp.ClientSession, outcome: Outcome, sent: set[asyncio.Task[None]]
) -> None:
    pause, due = 1 / stream.per_second, time.perf_counter()
    while True:
        one = asyncio.create_task(_ask(stream, http, outcome))
        sent.add(one)
        one.add_done_callback(sent.discard)
        due += pause
        await asyncio.sleep(max(0.0, due - time.perf_counter()))


async def _ask(stream: Stream, http: aiohttp.ClientSession, outcome: Outcome) -> None:
    began = time.perf_counter()
    try:
        url = await stream.pick()
        async with http.post(url, json=stream.body, headers=stream.headers) as answer:
            content = await answer.read()
        if answer.status != 200:
            outcome.failed.append(f"{answer.status} {content[:200]!r}")
            return
    except (aiohttp.ClientError, TimeoutError, LookupError) as error:
        outcome.failed.append(repr(error))
        return
    now = time.perf_counter()
    outcome.good_at.append(now)
    outcome.times_ms.append((now - began) * 1000)


class Weighted:
    """Picks a version by the weights that serving publishes, as a caller of the hot path does."""

    def __init__(self, routes: Callable[[], Mapping[str, float]], refresh_s: float = 0.5) -> None:
        self._routes = routes
        self._refresh_s = refresh_s
        self._known: Mapping[str, float] = {}

    async def follow(self) -> None:
        """Ask again and again, for ever."""
        while True:
            self._known = await asyncio.to_thread(self._routes) or self._known
            await asyncio.sleep(self._refresh_s)

    async def pick(self) -> str:
        """Return one; LookupError while there is none."""
        if not self._known:
            raise LookupError("no version answers")
        return random.choices(list(self._known), list(self._known.values()))[0]  # noqa: S311 - traffic
