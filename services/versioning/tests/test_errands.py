# SPDX-License-Identifier: Apache-2.0
"""Long answers: begun once, had by whoever asks again, told once when they fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from mlops.chassis.errors import RejectedError
from mlops.versioning.handlers.errands import Answer, Errands


@dataclass
class Work:
    """Work that ends when it is let go."""

    begun: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> Answer:
        self.begun += 1
        await self.may_end.wait()
        return {"number": self.begun}


@dataclass
class Watch:
    """Seconds that a test lets go by."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def errands(watch: Watch) -> Errands:
    return Errands(timedelta(milliseconds=10), watch)


async def test_who_asks_again_gets_what_was_begun(errands: Errands) -> None:
    work = Work()

    first = await errands.result("a", work)
    work.may_end.set()
    second = await errands.result("a", work)

    assert (first, second) == ({"ready": False}, {"ready": True, "number": 1})
    assert work.begun == 1


async def test_what_may_change_is_worked_out_anew(errands: Errands) -> None:
    work = Work()
    work.may_end.set()

    answers = [await errands.result("a", work) for _ in range(2)]

    assert [answer["number"] for answer in answers] == [1, 2]


async def test_what_nobody_came_for_is_worked_out_anew(errands: Errands, watch: Watch) -> None:
    work = Work()
    await errands.result("a", work)
    work.may_end.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    watch.now_s = 3600.0

    later = await errands.result("a", work)

    assert later == {"ready": True, "number": 2}


async def test_what_never_changes_is_kept_until_many_others_came(errands: Errands) -> None:
    work = Work()
    work.may_end.set()
    await errands.result("a", work, keep=True)
    again = await errands.result("a", work, keep=True)

    for number in range(40):
        await errands.result(f"other {number}", work, keep=True)
    later = await errands.result("a", work, keep=True)

    assert (again["number"], later["number"]) == (1, 42)


async def test_what_failed_is_told_and_tried_anew(errands: Errands) -> None:
    work = Work()
    work.may_end.set()

    async def failing() -> Answer:
        raise RejectedError("no such column")

    with pytest.raises(RejectedError, match="no such column"):
        await errands.result("a", failing, keep=True)

    assert (await errands.result("a", work, keep=True))["ready"]


async def test_closing_ends_what_goes_on(errands: Errands) -> None:
    work = Work()
    await errands.result("a", work)

    await errands.close()

    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
