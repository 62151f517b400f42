# SPDX-License-Identifier: Apache-2.0
"""Recovery: looks again and again at machines that were hot, because getting well is something nobody sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from mlops.contracts.message import Message

_LOOK_S = 1.0


class Recovery:
    """The source of what *recoveries* yields."""

    def __init__(self, recoveries: Callable[[], AsyncIterator[Message]]) -> None:
        self._recoveries = recoveries

    async def messages(self) -> AsyncIterator[Message]:
        """Tell for ever."""
        while True:
            async for message in self._recoveries():
                yield message
            await asyncio.sleep(_LOOK_S)
