# SPDX-License-Identifier: Apache-2.0
"""Energy from samples on a real bus to the ledger: a bridge that starts again forgets none, nor does a killed gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from integration.gateway.conftest import Platform, Server
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.orchestration_bridge import StartWorkflow
from mlops.contracts.settings import ProjectSettings, TrainSettings
from mlops.contracts.telemetry_agent import Chip, Energy, HardwareSample, Memory, TelemetrySampled
from mlops.contracts.workspaces import ProjectRegistered
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.app import wire
from mlops.orchestration_bridge.ports.books import NodeDocument
from mlops.orchestration_bridge.ports.pipelines import Outcome

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

SHORT = Memory(total_bytes=2**34, available_bytes=2**28, pressure="critical")


class Bridge:
    """A bridge over a scripted orchestrator, on a clock that is told; it may be started again."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.now = datetime.now(UTC)
        self.pipelines = FakePipelines()

    async def start(self) -> None:
        server = self._server
        self.bus = NatsBus(server.url, token=server.token, name="orchestration_bridge")
        self.dispatcher = wire(self.bus, self.pipelines, clock=lambda: self.now)
        await self.bus.start()
        self.nodes = self.bus.documents("orchestration_bridge_nodes", NodeDocument)

    async def round(self) -> list[Any]:
        told = [message async for message in self.dispatcher.round()]
        for message in told:
            await self.bus.publish(message)
        return told

    async def sample(self, seq: int, joules: float, memory: Memory | None = None) -> None:
        self.now += timedelta(seconds=10)
        sample = HardwareSample(
            seq=seq,
            boot_id="b",
            observed_at=self.now,
            window_s=10,
            chip=Chip(vendor="apple", cores=8),
            energy=Energy(package_j=joules),
            memory=memory or Memory(),
        )
        await self.bus.publish(TelemetrySampled(node="n1", sample=sample, time=self.now))
        await until(lambda: self._has_read(seq))

    async def _has_read(self, seq: int) -> bool:
        found = await self.nodes.get("n1")
        return found is not None and found.tab.last is not None and found.tab.last.seq == seq


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(40):
        while not await true():
            await asyncio.sleep(0.02)


async def asked(platform: Platform, path: str, **params: str) -> Any:
    async with httpx.AsyncClient(timeout=30) as http:
        headers = {"Authorization": f"Bearer {platform.token}"}
        answer = await http.get(f"{platform.url}{path}", params=params, headers=headers)
    return answer.json() if answer.is_success else {}


async def test_energy_and_findings_reach_the_ledger_over_restarts(
    platform: Platform, nats_server: Server
) -> None:
    bridge = Bridge(nats_server)
    await bridge.start()
    settings = ProjectSettings(name="rain", train=TrainSettings(command="python train.py"))
    registered = ProjectRegistered(project="rain", settings=settings, path="/p", revision=1)
    await bridge.bus.publish(registered)
    await bridge.sample(1, 100)
    await bridge.bus.publish(StartWorkflow(project="rain"))

    async def begun() -> bool:
        return any(told.type == "workflow.started" for told in await bridge.round())

    await until(begun)
    (key,) = bridge.pipelines.runs
    await bridge.sample(2, 300)
    await bridge.bus.stop()

    await bridge.start()  # it begins to count once it has looked around
    await bridge.round()
    await bridge.sample(3, 400, SHORT)
    failed = Outcome(False, bridge.now, "train", "step 'train' failed with exit status 137")
    bridge.pipelines.outcomes[key] = failed
    (told,) = await bridge.round()

    async def shown() -> bool:
        return bool((await asked(platform, "/api/v1/energy", by="workflow")).get("rows"))

    await until(shown)
    platform.kill("gateway")
    platform.start_gateway()
    await until(shown)
    ledger = await asked(platform, "/api/v1/energy", project="rain")
    workflow = await asked(platform, f"/api/v1/workflows/{key}")
    await bridge.bus.stop()

    assert told.type == "workflow.failed"
    assert told.energy.joules == 300
    assert (ledger["joules"], ledger["measured_j"]) == (300, 300)
    assert workflow["energy_j"] == 300
    assert "killed (signal 9) while memory was short: critical for 10 s" in workflow["hardware"][0]
    assert "[train].resources.memory_gb" in workflow["suggestion"]
