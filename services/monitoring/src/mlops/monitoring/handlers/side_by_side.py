# SPDX-License-Identifier: Apache-2.0
"""Side by side: what several tellers tell, as one stream in which none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

from mlops.contracts.message import Message

Look = Callable[[Collection[str]], Awaitable[Mapping[str, AsyncIterator[Message]]]]


async def side_by_side(look: Look, pause: Callable[[], Awaitable[None]]) -> AsyncIterator[Message]:
    """Yield what tellers tell, each going on once its message was stored.

    *look* is asked, at first and after each *pause*, for tellers by name; it is told of those that are busy. When one
    that had something to tell has ended it is asked at once: there may be more of it by now.
    """
    tellers = _Tellers()
    rest: asyncio.Task[None] | None = None
    try:
        while True:
            if rest is None:
                tellers.begin(await look(tellers.names))
                rest = asyncio.create_task(_rested(pause))
            await asyncio.wait((rest, *tellers.tasks), return_when=asyncio.FIRST_COMPLETED)
            for task in tellers.told():
                if (message := tellers.message(task)) is not None:
                    yield message
                    tellers.go_on(task)
            if rest.done() or tellers.has_room():
                await _end(rest)
                rest = None
    finally:
        await _end(*tellers.tasks, *(() if rest is None else (rest,)))


class _Tellers:
    """Those that tell now, and which of them has told something."""

    def __init__(self) -> None:
        self.tasks: dict[asyncio.Task[Message | None], str] = {}
        self._by_name: dict[str, AsyncIterator[Message]] = {}
        self._spoken: set[str] = set()
        self._has_room = False

    @property
    def names(self) -> Collection[str]:
        return frozenset(self._by_name)

    def begin(self, tellers: Mapping[str, AsyncIterator[Message]]) -> None:
        for name, teller in tellers.items():
            self._by_name[name] = teller
            self.tasks[asyncio.create_task(_next(teller))] = name

    def told(self) -> list[asyncio.Task[Message | None]]:
        return [task for task in self.tasks if task.done()]

    def message(self, task: asyncio.Task[Message | None]) -> Message | None:
        message = task.result()
        if message is None:
            name = self.tasks.pop(task)
            del self._by_name[name]
            self._has_room |= name in self._spoken
            self._spoken.discard(name)
        return message

    def go_on(self, task: asyncio.Task[Message | None]) -> None:
        name = self.tasks.pop(task)
        self._spoken.add(name)
        self.tasks[asyncio.create_task(_next(self._by_name[name]))] = name

    def has_room(self) -> bool:
        found, self._has_room = self._has_room, False
        return found


async def _next(teller: AsyncIterator[Message]) -> Message | None:
    return await anext(teller, None)


async def _rested(pause: Callable[[], Awaitable[None]]) -> None:
    await pause()


async def _end(*tasks: asyncio.Task[Message | None] | asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
