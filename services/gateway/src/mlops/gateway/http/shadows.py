# SPDX-License-Identifier: Apache-2.0
"""Shadows: copies of answered requests go to a version that nobody hears, and its answers are compared."""

from __future__ import annotations

import asyncio
import time

from mlops.gateway.http.comparisons import Comparisons, Pair
from mlops.gateway.http.dispatch import Answered, Asked
from mlops.gateway.http.outputs import outputs_of
from mlops.gateway.model.comparison import Compared, compare
from mlops.gateway.model.routing import Shadow
from mlops.gateway.ports import LostReplicaError, Replicas, Reply, SlowReplicaError

_UNDER_WAY = 32
_LARGEST = 1024 * 1024  # larger answers are not compared: it would take time from callers
_AT_ONCE = 16 * 1024
_HEADER_LENGTH = "Inference-Header-Content-Length"
_MARK = {"mlops-shadow": "true"}
_GOOD = 200


class Shadows:
    """Sends copies beside the work for callers: at most *most* at once, the rest are dropped and counted."""

    def __init__(
        self, replicas: Replicas, comparisons: Comparisons, most: int = _UNDER_WAY
    ) -> None:
        self._replicas = replicas
        self._comparisons = comparisons
        self._most = most
        self._under_way: set[asyncio.Task[None]] = set()

    def copy(self, asked: Asked, answered: Answered) -> None:
        """Send a copy to the shadow of an answer, if it has one; never waits."""
        shadow = answered.shadow
        if shadow is None:
            return
        pair = (asked.route.project, asked.route.model, shadow.version, answered.version)
        if len(self._under_way) >= self._most or not _can_be_compared(asked, answered.reply):
            self._comparisons.dropped(pair)
            return
        task = asyncio.create_task(self._compare(asked, answered, shadow, pair))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Let go of what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _compare(self, asked: Asked, answered: Answered, shadow: Shadow, pair: Pair) -> None:
        began = time.perf_counter()
        try:
            reply = await self._replicas.send(
                asked.method, shadow.url + asked.path, asked.body, {**asked.headers, **_MARK}
            )
        except (LostReplicaError, SlowReplicaError):
            self._comparisons.failed(pair)
            return
        took_ms = (time.perf_counter() - began) * 1000
        await reply.close()
        both = (answered.reply, reply)
        is_short = len(reply.body) <= _AT_ONCE
        result = _compared(*both) if is_short else await asyncio.to_thread(_compared, *both)
        if result is None:
            self._comparisons.failed(pair)
            return
        self._comparisons.compared(pair, result, took_ms, answered.took_ms)


def _can_be_compared(asked: Asked, reply: Reply) -> bool:
    is_small = max(len(asked.body), len(reply.body)) <= _LARGEST and reply.rest is None
    return is_small and "Content-Encoding" not in reply.headers


def _compared(ours: Reply, theirs: Reply) -> Compared | None:
    if theirs.status != _GOOD or not _is_whole(theirs):
        return None
    known = outputs_of(ours.body, ours.headers.get(_HEADER_LENGTH))
    found = outputs_of(theirs.body, theirs.headers.get(_HEADER_LENGTH))
    return None if known is None or found is None else compare(known, found)


def _is_whole(reply: Reply) -> bool:
    return reply.rest is None and len(reply.body) <= _LARGEST
