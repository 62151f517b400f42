# SPDX-License-Identifier: Apache-2.0
"""Aside: a look at a place that may never answer, as a share whose server is gone; it costs one thread for each place.

Not one of the loop's own threads: those are few, all other work needs them, and the service waits for them when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from mlops.chassis.errors import UnavailableError

T = TypeVar("T")
_ANSWER_S = 20.0


class Aside(Generic[T]):
    """Looks at each place once at a time, however often it is asked meanwhile."""

    def __init__(self) -> None:
        self._looks: dict[str, asyncio.Future[T | OSError | UnavailableError]] = {}

    async def look(self, place: str, work: Callable[[], T]) -> T:
        """Return what *work* does, or raise its OSError; UnavailableError when it does not come to an end."""
        look = self._looks.get(place) or _begun(work)
        self._looks[place] = look
        done, _ = await asyncio.wait({look}, timeout=_ANSWER_S)
        if not done:
            raise UnavailableError(
                f"remote {place}: no answer within {_ANSWER_S:g} s; see whether what is mounted there still is"
            )
        self._looks.pop(place, None)
        found = look.result()
        if isinstance(found, OSError | UnavailableError):
            raise found
        return found


def _begun(work: Callable[[], T]) -> asyncio.Future[T | OSError | UnavailableError]:
    loop = asyncio.get_running_loop()
    look: asyncio.Future[T | OSError | UnavailableError] = loop.create_future()

    def run() -> None:
        found: T | OSError | UnavailableError
        try:
            found = work()
        except (OSError, UnavailableError) as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(look.set_result, found)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return look
