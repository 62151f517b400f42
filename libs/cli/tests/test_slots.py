# SPDX-License-Identifier: Apache-2.0
"""Slots are given by rank; a waiter that gives up leaves no slot lost."""

from __future__ import annotations

import asyncio
import contextlib

from mlops.cli.supervisor.slots import Slots


async def test_the_first_of_the_plan_goes_first() -> None:
    slots, order = Slots(1), list[int]()

    async def start(rank: int) -> None:
        async with slots.one(rank):
            order.append(rank)

    async with asyncio.TaskGroup() as group, slots.one(0):
        for rank in (5, 2, 9):
            group.create_task(start(rank))
        await asyncio.sleep(0.01)

    assert order == [2, 5, 9]


async def test_no_more_start_at_once_than_there_are_slots() -> None:
    slots, now, most = Slots(2), 0, 0

    async def start(rank: int) -> None:
        nonlocal now, most
        async with slots.one(rank):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= 1

    await asyncio.gather(*(start(rank) for rank in range(6)))

    assert (now, most) == (0, 2)


async def test_a_waiter_that_is_cancelled_leaves_the_slot_to_others() -> None:
    slots, got = Slots(1), list[str]()

    async def start(name: str) -> None:
        async with slots.one(1):
            got.append(name)

    async with slots.one(0):
        impatient = asyncio.create_task(start("impatient"))
        patient = asyncio.create_task(start("patient"))
        await asyncio.sleep(0.01)
        impatient.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await impatient
    await patient

    assert got == ["patient"]
