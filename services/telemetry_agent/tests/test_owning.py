# SPDX-License-Identifier: Apache-2.0
"""Two agents under one name: the second one notices, tells nothing, and takes over when the first is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from mlops.chassis.bus import Documents
from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import UnavailableError
from mlops.telemetry_agent.model.claims import EXPIRES_S, LOOK_S, RENEW_S, Claim, Held, judge
from mlops.telemetry_agent.sources.owning import BUCKET, ClaimDocument, Owning


@dataclass
class Time:
    seconds: float = 0.0

    def now(self) -> float:
        return self.seconds


@pytest.fixture
def documents() -> Documents[ClaimDocument]:
    return MemoryBus().documents(BUCKET, ClaimDocument)


def owning(
    documents: Documents[ClaimDocument], owner: str, time: Time, boot: str = "boot"
) -> Owning:
    return Owning(documents, "node-1", Claim(owner, boot), monotonic=time.now)


async def test_the_second_agent_says_so_and_tells_nothing(
    documents: Documents[ClaimDocument],
) -> None:
    time = Time()
    first, second = owning(documents, "one", time), owning(documents, "two", time)
    await first.check()
    await second.check()

    assert first.tells
    assert await first.reason() is None
    assert not second.tells
    said = await second.reason()
    assert said is not None
    assert "another agent tells for node-1" in said
    assert "TELEMETRY_AGENT_NODE" in said


async def test_two_agents_never_fight_however_long(documents: Documents[ClaimDocument]) -> None:
    time = Time()
    agents = [owning(documents, name, time) for name in ("one", "two", "three")]
    told = []
    for _ in range(50):
        for agent in agents:
            await agent.check()
        told.append([agent.tells for agent in agents])
        time.seconds += RENEW_S

    assert told == [[True, False, False]] * 50


async def test_the_name_is_taken_over_from_an_agent_that_is_gone(
    documents: Documents[ClaimDocument],
) -> None:
    time = Time()
    first, second = owning(documents, "one", time), owning(documents, "two", time)
    await first.check()
    await second.check()
    time.seconds += EXPIRES_S
    await second.check()
    await first.check()

    assert second.tells
    # The first one was only asleep: now it is the second.
    assert not first.tells


async def test_a_restart_on_the_same_boot_goes_on_at_once(
    documents: Documents[ClaimDocument],
) -> None:
    time = Time()
    await owning(documents, "one", time).check()
    again = owning(documents, "one", time)
    await again.check()

    assert again.tells


async def test_a_copied_installation_is_told_apart_by_its_boot(
    documents: Documents[ClaimDocument],
) -> None:
    time = Time()
    await owning(documents, "one", time, boot="here").check()
    copy = owning(documents, "one", time, boot="there")
    await copy.check()

    assert not copy.tells


async def test_a_machine_that_started_anew_waits_less_than_half_a_minute(
    documents: Documents[ClaimDocument],
) -> None:
    time = Time()
    await owning(documents, "one", time, boot="before").check()
    again = owning(documents, "one", time, boot="after")
    waited: list[float] = []
    while not waited or not again.tells:
        await again.check()
        waited.append(time.seconds)
        time.seconds += LOOK_S

    assert waited[-1] == 25.0


async def test_an_orderly_end_frees_the_name(documents: Documents[ClaimDocument]) -> None:
    time, running = Time(), asyncio.Event()

    async def sleep(_: float) -> None:
        running.set()
        await asyncio.Event().wait()

    first = Owning(documents, "node-1", Claim("one", "boot"), monotonic=time.now, sleep=sleep)
    task = asyncio.create_task(_drain(first.keep()))
    await running.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    second = owning(documents, "two", time)
    await second.check()

    assert second.tells


class Away:
    """A store that cannot be reached."""

    async def get(self, key: str) -> ClaimDocument | None:
        raise UnavailableError(key)

    async def delete(self, key: str) -> None:
        raise UnavailableError(key)


async def test_an_agent_that_cannot_ask_goes_on_telling() -> None:
    alone = Owning(Away(), "node-1", Claim("one", "boot"), monotonic=Time().now)  # type: ignore[arg-type]  # what is used
    await alone.check()

    assert alone.tells


def test_a_claim_that_moves_on_is_alive_whatever_any_clock_says() -> None:
    me, held = Claim("me", "boot"), Held()
    for beat in range(20):
        held, write = judge(held, Claim("other", "boot", beat), me, beat * EXPIRES_S * 10)
        assert (held.mine, write) == (False, False)


async def _drain(source: AsyncIterator[object]) -> None:
    async for _ in source:
        pass
