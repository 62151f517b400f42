# SPDX-License-Identifier: Apache-2.0
"""Early: a node that starts while the bus is away is watched all the same; once the bus is there, the source goes on.

A service's sources begin when the bus has answered, which may be never for a laptop on the road. Until then the same
agent tells into the bus' local outbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import structlog

from mlops.contracts.message import NodeEvent
from mlops.telemetry_agent.sources.agent import Agent

_PAUSES_S = (0.5, 2.0, 10.0, 30.0)


class Early:
    """The agent's telling before and after the bus is there."""

    def __init__(self, agent: Agent, publish: Callable[[NodeEvent], Awaitable[None]]) -> None:
        self._agent = agent
        self._publish = publish
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Watch from now on; call it inside the event loop."""
        self._task = asyncio.create_task(self._keep_telling(), name="early-telemetry")

    async def telemetry(self) -> AsyncGenerator[NodeEvent, None]:
        """Yield what the agent tells, now that the bus is there; an edge under way is told again, under its id."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        async with aclosing(self._agent.telemetry()) as told:
            async for message in told:
                yield message

    async def _keep_telling(self) -> None:
        failures = 0
        while True:
            try:
                async with aclosing(self._agent.telemetry()) as told:
                    async for message in told:
                        await self._publish(message)
                        failures = 0
            except Exception as error:  # noqa: BLE001 - it must come back whatever it met, as the chassis' sources do
                pause = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
                failures += 1
                structlog.get_logger("telemetry").warning(
                    "source.failed", source="early", error=repr(error), again_in_s=pause
                )
                await asyncio.sleep(pause)
