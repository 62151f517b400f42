# SPDX-License-Identifier: Apache-2.0
"""What the bus keeps when things die: the server, the consumer, the handler's whole process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus import Delivery
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertResolved

pytestmark = pytest.mark.server

SUICIDAL = """
import asyncio, os, sys
from datetime import timedelta
from mlops.chassis.bus import Delivery
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.monitoring import AlertResolved

async def die(message):
    os._exit(9)

async def main():
    bus = NatsBus(sys.argv[1], token=sys.argv[2], name="doomed")
    bus.on("doomed", AlertResolved, die,
           Delivery(delays=(timedelta(seconds=1),), ack_wait=timedelta(seconds=1)))
    await bus.start()
    await asyncio.sleep(30)

asyncio.run(main())
"""


def alert(number: int) -> AlertResolved:
    return AlertResolved(project="rain", alert_id=f"a-{number}", id=f"m-{number}")


def connect(server: Any, folder: Path, name: str = "test") -> NatsBus:
    return NatsBus(server.url, token=server.token, name=name, outbox=folder / f"{name}.db")


async def until(condition: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


class Ear:
    def __init__(self, pause_s: float = 0) -> None:
        self.heard: list[str] = []
        self._pause_s = pause_s

    async def __call__(self, message: Message) -> Sequence[Message]:
        await asyncio.sleep(self._pause_s)
        self.heard.append(message.id)
        return []


async def test_publishing_survives_an_outage_in_order(nats_server: Any, tmp_path: Path) -> None:
    ear = Ear()
    bus = connect(nats_server, tmp_path)
    bus.on("tracking", AlertResolved, ear, Delivery(concurrency=1))
    await bus.start()
    await bus.publish(alert(0))
    await until(lambda: ear.heard)

    nats_server.kill()
    for number in range(1, 21):
        await bus.publish(alert(number))
    nats_server.start()

    await until(lambda: len(ear.heard) >= 21)
    await bus.stop()
    assert ear.heard == [f"m-{number}" for number in range(21)]


async def test_the_outbox_outlives_its_process(nats_server: Any, tmp_path: Path) -> None:
    ear = Ear()
    first = connect(nats_server, tmp_path)
    await first.start()
    nats_server.kill()
    await first.publish(alert(1))
    await first.stop(timedelta(0))

    nats_server.start()
    second = connect(nats_server, tmp_path)
    second.on("tracking", AlertResolved, ear)
    await second.start()

    await until(lambda: ear.heard == ["m-1"])
    await second.stop()


async def test_consumption_resumes_after_the_server_was_killed(
    nats_server: Any, tmp_path: Path
) -> None:
    ear = Ear()
    bus = connect(nats_server, tmp_path)
    bus.on("tracking", AlertResolved, ear)
    await bus.start()

    for number in range(3):
        nats_server.kill()
        nats_server.start()
        await bus.publish(alert(number))
        await until(lambda seen=number: f"m-{seen}" in ear.heard)

    await bus.stop()
    assert sorted(set(ear.heard)) == ["m-0", "m-1", "m-2"]


async def test_a_long_handler_is_kept_alive(nats_server: Any, tmp_path: Path) -> None:
    ear = Ear(pause_s=3)
    bus = connect(nats_server, tmp_path)
    bus.on("tracking", AlertResolved, ear, Delivery(ack_wait=timedelta(seconds=1)))
    await bus.start()

    await bus.publish(alert(1))

    await until(lambda: ear.heard)
    await asyncio.sleep(1.5)
    await bus.stop()
    assert ear.heard == ["m-1"]


async def test_a_stop_finishes_the_handler_that_runs(nats_server: Any, tmp_path: Path) -> None:
    ear = Ear(pause_s=0.5)
    bus = connect(nats_server, tmp_path)
    bus.on("tracking", AlertResolved, ear)
    await bus.start()
    await bus.publish(alert(1))
    await asyncio.sleep(0.2)

    await bus.stop()

    assert ear.heard == ["m-1"]


async def test_a_message_that_kills_its_process_is_dead_lettered(
    nats_server: Any, tmp_path: Path
) -> None:
    bus = connect(nats_server, tmp_path)
    bus.on("tracking", AlertResolved, Ear())  # somebody must live to read the advisories
    await bus.start()
    await bus.publish(alert(1))

    for _ in range(2):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SUICIDAL, nats_server.url, nats_server.token
        )
        async with asyncio.timeout(30):
            assert await child.wait() == 9

    async with asyncio.timeout(45):
        while not await bus.list():
            await asyncio.sleep(0.1)
    letter = (await bus.list())[0]
    await bus.stop()
    assert (letter.service, letter.subject) == ("doomed", "alert.resolved.rain")
    assert "died 2 times" in letter.reason
    assert AlertResolved.decode(letter.payload).id == "m-1"
