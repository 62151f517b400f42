# SPDX-License-Identifier: Apache-2.0
"""Waking: the agent sleeps between readings, and wakes early when the machine itself says that something changed."""

from __future__ import annotations

import asyncio
import contextlib
import os

_MOST_BYTES = 4096


class Waking:
    """A pause that a file descriptor can end; made and used inside one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until somebody wakes."""
        if not self._event.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, 0.0)):
                    await self._event.wait()
        self._event.clear()

    def wake(self) -> None:
        """End the present pause, or the next one at once."""
        self._event.set()

    def on_bytes(self, descriptor: int) -> None:
        """Wake when there is something to read at *descriptor*, which is emptied; it stays the caller's."""
        asyncio.get_running_loop().add_reader(descriptor, self._emptied, descriptor)

    def _emptied(self, descriptor: int) -> None:
        try:
            if not os.read(descriptor, _MOST_BYTES):
                asyncio.get_running_loop().remove_reader(descriptor)  # the other end is gone
        except OSError:
            asyncio.get_running_loop().remove_reader(descriptor)
        self.wake()
