# SPDX-License-Identifier: Apache-2.0
"""Looks that nobody asks for: people's own additions, and remotes that are away, are found by looking now and then."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from mlops.contracts.message import Message

Look = Callable[[], AsyncGenerator[Message, None]]


async def looks(look: Look, pause: Callable[[], Awaitable[None]]) -> AsyncGenerator[Message, None]:
    """Yield what each look finds; *pause* between them."""
    while True:
        async for message in look():
            yield message
        await pause()
