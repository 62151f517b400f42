# SPDX-License-Identifier: Apache-2.0
"""Several tellers are heard at once; each goes on only when what it told is stored, and none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing

import pytest

from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertResolved
from mlops.monitoring.handlers.side_by_side import side_by_side


def told(name: str) -> AlertResolved:
    return AlertResolved(project="rain", alert_id=name, reason="over")


async def never() -> None:
    await asyncio.Event().wait()


async def test_one_that_is_slow_holds_back_no_other_and_is_not_asked_twice() -> None:
    slow_may, asked = asyncio.Event(), list[Collection[str]]()

    async def slow() -> AsyncIterator[Message]:
        await slow_may.wait()
        yield told("slow")

    async def fast(number: int) -> AsyncIterator[Message]:
        yield told(f"fast-{number}")

    async def look(busy: Collection[str]) -> Mapping[str, AsyncIterator[Message]]:
        asked.append(busy)
        if len(asked) > 2:
            slow_may.set()
        new = {"fast": fast(len(asked))} if len(asked) < 4 else {}
        return new | ({} if "slow" in busy else {"slow": slow()})

    async with aclosing(side_by_side(look, never)) as heard:  # type: ignore[type-var]  # it is a generator
        async with asyncio.timeout(30):
            found = [str((await anext(heard)).alert_id) for _ in range(4)]  # type: ignore[attr-defined]  # as told

    assert found[:2] == ["fast-1", "fast-2"]
    assert set(found) == {"fast-1", "fast-2", "fast-3", "slow"}
    assert [sorted(busy) for busy in asked[:3]] == [[], ["slow"], ["slow"]]


async def test_who_listens_no_more_ends_them_all() -> None:
    ended = asyncio.Event()

    async def long() -> AsyncIterator[Message]:
        try:
            yield told("one")
            await never()
        finally:
            ended.set()

    async def look(busy: Collection[str]) -> Mapping[str, AsyncIterator[Message]]:
        return {} if busy else {"long": long()}

    heard = side_by_side(look, never)
    await anext(heard)
    waiting = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    async with asyncio.timeout(30):
        await ended.wait()


async def test_what_a_teller_meets_is_not_swallowed() -> None:
    async def broken() -> AsyncIterator[Message]:
        yield told("one")
        raise OSError("the disk is full")

    async def look(busy: Collection[str]) -> Mapping[str, AsyncIterator[Message]]:
        return {} if busy else {"broken": broken()}

    heard = side_by_side(look, never)
    await anext(heard)

    with pytest.raises(OSError, match="disk is full"):
        await anext(heard)
