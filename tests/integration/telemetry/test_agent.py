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

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

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


async def test_the_agent_costs_less_than_a_hundredth_of_a_core_and_says_what_it_takes(
    start: Start, bus: NatsBus
) -> None:
    every = {"TELEMETRY_AGENT_SAMPLE_EVERY_S": "4", "TELEMETRY_AGENT_IDLE_SAMPLE_EVERY_S": "4"}
    agent = psutil.Process(start(**every).pid)
    await heard(bus, "telemetry.sampled", 1)
    before, began = sum(agent.cpu_times()[:2]), time.monotonic()

    # It judges itself after a minute.
    samples = await heard(bus, "telemetry.sampled", 17, seconds=140)

    share = (sum(agent.cpu_times()[:2]) - before) / (time.monotonic() - began)
    memory = agent.memory_full_info()
    cost = f"{share:.4f} cores, {memory.rss / 1e6:.0f} MB RSS, {memory.uss / 1e6:.0f} MB of its own"
    assert share < 0.01, cost
    assert memory.rss < 80e6, cost
    said = samples[-1]["data"]["sample"]["agent"]
    assert said["cpu_ratio"] < 0.01, said
    assert said["rss_bytes"] < 80e6, said
    assert said["read_ms"] < 20, said
    assert not said["degraded"], said


async def test_an_outage_loses_no_edge_and_does_not_pile_up_samples(
    start: Start, nats_server: Any, bus: NatsBus
) -> None:
    settings = {"TELEMETRY_AGENT_SIMULATE": "fanless_air:load=1.0,speed=4"}
    start(**QUICK, **settings)
    await heard(bus, "telemetry.sampled", 2)
    nats_server.kill()
    # At four times its speed it is throttled about nine seconds after it began.
    await asyncio.sleep(15)
    nats_server.start()

    [throttled] = await heard(bus, "thermal.throttled", 1)
    await asyncio.sleep(5)
    samples = await said(bus, "telemetry.sampled")
    edges = await said(bus, "thermal.throttled")

    assert len(edges) == 1
    assert len({one["id"] for one in samples}) == len(samples)
    late = [one for one in samples if one["data"]["sample"]["backfill"]]
    at_once = [one for one in samples if not one["data"]["sample"]["backfill"]]
    # Of each minute one sample is left, and a quarter of a minute may lie in two; the newest comes as itself while fresh.
    assert len(late) <= 2
    assert not any(one["data"]["sample"]["backfill"] for one in samples[-3:])
    assert at_once[-1]["data"]["sample"]["thermal"]["level"] >= 2
    assert at_once[-1]["data"]["episode_id"] == throttled["data"]["episode_id"]


async def test_a_node_that_boots_without_a_bus_tells_its_episode_when_the_bus_comes(
    start: Start, nats_server: Any, bus: NatsBus
) -> None:
    nats_server.kill()
    start(**QUICK, TELEMETRY_AGENT_SIMULATE="fanless_air:load=1.0,speed=30")
    await asyncio.sleep(8)
    nats_server.start()

    [throttled] = await heard(bus, "thermal.throttled", 1)
    await heard(bus, "telemetry.sampled", 2)

    assert throttled["data"]["level"] == 2
    assert len(await said(bus, "thermal.throttled")) == 1


async def test_a_second_agent_under_the_same_name_says_so_and_does_not_fight(
    start: Start, bus: NatsBus, tmp_path: Path
) -> None:
    cool = {**QUICK, "TELEMETRY_AGENT_SIMULATE": "desktop:load=1"}
    start(**cool)
    await heard(bus, "telemetry.sampled", 2)
    other = tmp_path / "other"
    other.mkdir()
    start(**cool, MLOPS_HOME=str(other))
    async with asyncio.timeout(60):
        while "another agent tells for node-1" not in (tmp_path / "agent.log").read_text():
            await asyncio.sleep(0.2)
    await asyncio.sleep(2)

    before = {
        one["data"]["sample"]["boot_id"] for one in (await said(bus, "telemetry.sampled"))[-3:]
    }
    await asyncio.sleep(2)
    after = {
        one["data"]["sample"]["boot_id"] for one in (await said(bus, "telemetry.sampled"))[-3:]
    }
    assert len(before) == 1
    assert before == after


async def test_a_second_agent_on_the_same_folder_ends_with_a_sentence(
    start: Start, bus: NatsBus, tmp_path: Path
) -> None:
    start(**QUICK, TELEMETRY_AGENT_SIMULATE="desktop:load=1")
    await heard(bus, "telemetry.sampled", 1)

    second = start(**QUICK, TELEMETRY_AGENT_SIMULATE="desktop:load=1")

    assert await asyncio.to_thread(second.wait, 20) == 1
    assert "runs already; stop it" in (tmp_path / "agent.log").read_text()
