# SPDX-License-Identifier: Apache-2.0
"""A sidecar answers, says which family of error it met, and comes back after death."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, ItemsView
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.chassis.sidecar import Sidecar

MODULE = """
import os, time
from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import serve

def add(a, b):
    print("noise of a library")
    return a + b

def refuse():
    raise RejectedError("never")

def fail():
    raise ValueError("now")

def hang():
    time.sleep(60)

def die():
    os._exit(3)

def pid():
    return os.getpid()

def slow():
    time.sleep(1)
    return "late"

def talk():
    return "x" * 100_000

def count(to, tell=None):
    for number in range(to):
        if tell:
            tell({"done": number + 1, "whole": to})
    return to

def same(value):
    return value

def go_on(tell=None):
    for _ in range(8):
        time.sleep(0.5)
        if tell:
            tell("still there")
    return "done"

serve({f.__name__: f for f in (add, refuse, fail, hang, die, pid, slow, talk, count, same, go_on)})
"""
SOON = timedelta(seconds=20)


class Noting(dict[str, object]):
    """Notes which threads have read it."""

    def __init__(self, **columns: object) -> None:
        super().__init__(**columns)
        self.readers: set[threading.Thread] = set()

    def items(self) -> ItemsView[str, object]:  # type: ignore[override]
        """Return the columns."""
        self.readers.add(threading.current_thread())
        return super().items()


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Sidecar]:
    (tmp_path / "odd_library.py").write_text(MODULE)
    child = Sidecar("odd_library", env={"PYTHONPATH": str(tmp_path)}, idle=timedelta(seconds=0.5))
    yield child
    await child.close()


async def test_calls_are_answered_whatever_the_library_prints(sidecar: Sidecar) -> None:
    assert await sidecar.call("add", SOON, a=2, b=3) == 5


@pytest.mark.parametrize(
    "value", [None, 1.5, [], {}, {"": {}}, {"a": [1, None, "ä\n"], "b": {"c": [{"d": True}]}}]
)
async def test_what_is_sent_arrives_as_it_was(sidecar: Sidecar, value: object) -> None:
    assert await sidecar.call("same", SOON, value=value) == value


async def test_a_large_request_is_written_beside_what_else_goes_on(sidecar: Sidecar) -> None:
    columns = Noting(wind=[1.0], sky=["blue"])

    assert await sidecar.call("same", SOON, value=columns) == columns
    assert threading.main_thread() not in columns.readers


async def test_a_long_call_tells_how_far_it_is_to_those_who_want_to_hear_it(
    sidecar: Sidecar,
) -> None:
    heard: list[dict[str, int]] = []

    answer = await sidecar.call("count", SOON, hear=heard.append, to=3)
    silently = await sidecar.call("count", SOON, to=3)

    assert (answer, silently) == (3, 3)
    assert heard == [{"done": number, "whole": 3} for number in (1, 2, 3)]


async def test_errors_keep_their_family(sidecar: Sidecar) -> None:
    with pytest.raises(RejectedError, match="never"):
        await sidecar.call("refuse", SOON)
    with pytest.raises(UnavailableError, match="ValueError: now"):
        await sidecar.call("fail", SOON)


async def test_a_dead_child_is_replaced(sidecar: Sidecar) -> None:
    with pytest.raises(UnavailableError, match="died during die"):
        await sidecar.call("die", SOON)

    assert await sidecar.call("add", SOON, a=1, b=1) == 2


async def test_a_hung_child_is_killed(sidecar: Sidecar) -> None:
    await sidecar.call("pid", SOON)

    with pytest.raises(UnavailableError, match="no answer within"):
        await sidecar.call("hang", timedelta(seconds=0.3))

    assert await sidecar.call("add", SOON, a=1, b=1) == 2


async def test_a_call_may_last_as_long_as_it_tells_that_it_goes_on(sidecar: Sidecar) -> None:
    await sidecar.call("pid", SOON)
    limit, heard = timedelta(seconds=3), list[str]()

    assert await sidecar.call("go_on", limit, hear=heard.append) == "done"
    with pytest.raises(UnavailableError, match="no answer within"):
        await sidecar.call("go_on", limit)

    assert len(heard) == 8


async def test_an_idle_child_ends(sidecar: Sidecar) -> None:
    first = await sidecar.call("pid", SOON)

    async with asyncio.timeout(10):
        while psutil.pid_exists(first):
            await asyncio.sleep(0.05)

    assert await sidecar.call("pid", SOON) != first


async def test_a_call_at_the_moment_of_leaving_is_answered(tmp_path: Path) -> None:
    (tmp_path / "odd_library.py").write_text(MODULE)
    hasty = Sidecar("odd_library", env={"PYTHONPATH": str(tmp_path)}, idle=timedelta(0))

    pids = set[int]()
    for _ in range(4):
        pids.add(await hasty.call("pid", SOON))
        await asyncio.sleep(0)
    sums = await asyncio.gather(*(hasty.call("add", SOON, a=n, b=1) for n in range(20)))
    await hasty.close()

    assert sums == list(range(1, 21))
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


async def test_a_child_that_will_not_leave_is_killed(tmp_path: Path) -> None:
    (tmp_path / "odd_library.py").write_text(MODULE + "time.sleep(60)\n")
    child = Sidecar(
        "odd_library",
        env={"PYTHONPATH": str(tmp_path)},
        idle=timedelta(seconds=0.1),
        leave=timedelta(seconds=0.2),
    )
    pid = await child.call("pid", SOON)

    async with asyncio.timeout(10):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.05)
    await child.close()


async def test_the_reply_to_a_cancelled_call_is_not_the_next_ones(sidecar: Sidecar) -> None:
    await sidecar.call("pid", SOON)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await sidecar.call("slow", SOON)

    assert await sidecar.call("add", SOON, a=1, b=1) == 2


async def test_an_answer_that_is_too_long_is_said_so_and_ends_the_child(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.chassis.sidecar._LINE_LIMIT", 1000)

    with pytest.raises(UnavailableError, match="answered with more than 1000 bytes"):
        await sidecar.call("talk", SOON)

    assert await sidecar.call("add", SOON, a=1, b=1) == 2


async def test_closing_ends_the_call_under_way_and_those_that_wait(sidecar: Sidecar) -> None:
    pid = await sidecar.call("pid", SOON)
    calls = [asyncio.create_task(sidecar.call("hang", SOON)) for _ in range(3)]
    await asyncio.sleep(0.1)

    await sidecar.close()

    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [UnavailableError] * 3
    assert not psutil.pid_exists(pid)


async def test_closing_ends_a_child_that_is_just_coming_up(sidecar: Sidecar) -> None:
    call = asyncio.create_task(sidecar.call("hang", SOON))
    await asyncio.sleep(0)

    await sidecar.close()

    with pytest.raises(UnavailableError):
        await call
