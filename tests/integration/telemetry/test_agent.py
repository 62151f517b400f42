# SPDX-License-Identifier: Apache-2.0
"""The agent as a process on a real bus: what it costs, and that a kill loses no edge and tells none twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops.chassis.bus_nats import NatsBus

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

Start = Callable[..., subprocess.Popen[bytes]]
QUICK = {"TELEMETRY_AGENT_READ_EVERY_S": "0.1", "TELEMETRY_AGENT_SAMPLE_EVERY_S": "0.5"}


@pytest.fixture
def start(nats_server: Any, tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def begin(**settings: str) -> subprocess.Popen[bytes]:
        own = {
            "MLOPS_HOME": str(tmp_path),
            "NATS_URL": nats_server.url,
            "NATS_TOKEN": nats_server.token,
            "TELEMETRY_AGENT_NODE": "node-1",
        }
        with (tmp_path / "agent.log").open("ab") as log:
            agent = subprocess.Popen(
                [sys.executable, "-m", "mlops.telemetry_agent"],
                env={**os.environ, **own, **settings},
                stdout=log,
                stderr=log,
            )
        running.append(agent)
        return agent

    yield begin
    for agent in running:
        agent.kill()
        agent.wait(10)


@pytest.fixture
async def bus(nats_server: Any) -> AsyncIterator[NatsBus]:
    bus = NatsBus(nats_server.url, token=nats_server.token, name="test")
    await bus.start()
    yield bus
    await bus.stop()


async def said(bus: NatsBus, type_: str) -> list[dict[str, Any]]:
    return [m.envelope async for m in bus.follow([type_], "node-1", live=False)]


async def heard(bus: NatsBus, type_: str, count: int, seconds: float = 40) -> list[dict[str, Any]]:
    async with asyncio.timeout(seconds):
        while len(found := await said(bus, type_)) < count:
            await asyncio.sleep(0.1)
    return found


async def test_an_episode_survives_kills_and_is_told_once(start: Start, bus: NatsBus) -> None:
    hot = {**QUICK, "TELEMETRY_AGENT_SIMULATE": "fanless_air:load=1.0,speed=30"}
    cool = {
        **QUICK,
        "TELEMETRY_AGENT_SIMULATE": "desktop:load=0",
        "TELEMETRY_AGENT_RECOVER_AFTER_S": "2",
    }
    agent = start(**hot)
    [throttled] = await heard(bus, "thermal.throttled", 1)
    agent.send_signal(signal.SIGKILL)
    agent.wait(10)

    agent = start(**cool)
    [recovered] = await heard(bus, "thermal.recovered", 1)
    agent.send_signal(signal.SIGKILL)
    agent.wait(10)
    start(**cool)
    samples = len(await said(bus, "telemetry.sampled"))
    await heard(bus, "telemetry.sampled", samples + 3)

    assert recovered["data"]["episode_id"] == throttled["data"]["episode_id"]
    assert len(await said(bus, "thermal.throttled")) == 1
    assert len(await said(bus, "thermal.recovered")) == 1


async def test_the_agent_costs_less_than_a_hundredth_of_a_core(start: Start, bus: NatsBus) -> None:
    agent = psutil.Process(start(TELEMETRY_AGENT_SAMPLE_EVERY_S="4").pid)
    await heard(bus, "telemetry.sampled", 1)
    before, began = sum(agent.cpu_times()[:2]), time.monotonic()

    await asyncio.sleep(20)

    share = (sum(agent.cpu_times()[:2]) - before) / (time.monotonic() - began)
    memory = agent.memory_full_info()
    cost = f"{share:.4f} cores, {memory.rss / 1e6:.0f} MB RSS, {memory.uss / 1e6:.0f} MB of its own"
    assert share < 0.01, cost
    assert memory.uss < 60e6, cost
