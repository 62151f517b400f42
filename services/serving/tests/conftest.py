# SPDX-License-Identifier: Apache-2.0
"""Serving over memory, for the stories."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message
from mlops.contracts.serving import DeploymentProgressed
from mlops.contracts.settings import EvaluateSettings, ProjectSettings, ServeSettings
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectRegistered
from mlops.serving.adapters.memory import MemoryPackages, MemoryReplicas, MemoryTraffic
from mlops.serving.app import Pace, Parts, wire

RAIN = ProjectSettings(
    name="rain",
    serve=ServeSettings(model="rain", steps=(0.1, 1.0), step_hold="2s"),
    evaluate=EvaluateSettings(metric="accuracy"),
)
KINDS = frozenset(
    {
        "deployment.started",
        "deployment.progressed",
        "deployment.compared",
        "deployment.completed",
        "deployment.failed",
        "deployment.reverted",
        "deployment.removed",
    }
)


@dataclass
class Stage:
    """Serving over memory; a clock that moves only when told."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    packages: MemoryPackages = field(default_factory=MemoryPackages)
    replicas: MemoryReplicas = field(default_factory=MemoryReplicas)
    traffic: MemoryTraffic = field(default_factory=MemoryTraffic)
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    parts: Parts | None = None
    settings: ProjectSettings = RAIN
    door: str = "http://door"
    kinds: frozenset[str] = KINDS
    capacity_gib: float = 8.0

    def start(self) -> None:
        """Begin anew, as after a kill: what is remembered stands in the documents."""
        fresh = MemoryBus(
            _buckets=self.bus._buckets, published=self.bus.published, _ids=self.bus._ids
        )
        self.bus = fresh
        self.parts = wire(
            fresh,
            self.packages,
            self.replicas,
            self.replicas,
            self.traffic,
            door=self.door,
            capacity_bytes=int(self.capacity_gib * 2**30),
            pace=Pace(start_timeout=timedelta(seconds=60)),
            clock=lambda: self.now,
        )

    async def tell(self, *messages: Message) -> None:
        for message in messages:
            await self.bus.publish(message)
            await self.bus.settle()

    async def turn(self, seconds: float = 0.5, times: int = 1) -> None:
        assert self.parts is not None
        for _ in range(times):
            self.now += timedelta(seconds=seconds)
            for messages in (
                self.parts.reconciler.round,
                self.parts.heats.recoveries,
                self.parts.meter.round,
                self.parts.naps.round,
                self.parts.losses.round,
            ):
                async for message in messages():
                    await self.bus.publish(message)
            await asyncio.sleep(0)  # what goes on beside it has its turn
            await self.bus.settle()

    def said(self) -> list[str]:
        return [_short(one) for one in self.bus.published if one.type in KINDS]

    async def routes(self) -> dict[int, float]:
        answer = await self.bus.ask("serving", "routes", {})
        return {
            version["version"]: version["weight"]
            for route in answer["routes"]
            for version in route["versions"]
        }

    async def first(self) -> None:
        """Serve version 1, and forget what was said of it."""
        await self.tell(self.promoted(1))
        await self.turn(times=10)
        self.bus.published.clear()

    def promoted(self, version: int, **changes: Any) -> ModelPromoted:
        known = {"metric": "accuracy", "candidate_metrics": {"accuracy": 0.8}, "time": self.now}
        return ModelPromoted(project="rain", name="rain", version=version, **{**known, **changes})

    def only(self, kind: type[Any]) -> Any:
        [found] = [one for one in self.bus.published if isinstance(one, kind)]
        return found

    def short(self, message: Message) -> str:
        return _short(message)


def _short(message: Message) -> str:
    kind = message.type.partition(".")[2]
    version = getattr(message, "version", "")
    if isinstance(message, DeploymentProgressed):
        kind = f"{message.phase} {message.traffic_ratio:g}"
    return f"v{version} {kind}"


async def _begun() -> Stage:
    stage = Stage()
    stage.start()
    await stage.tell(ProjectRegistered(project="rain", settings=RAIN, revision=1, time=stage.now))
    return stage


@pytest.fixture
async def stage() -> Stage:
    return await _begun()


@pytest.fixture
def unknown() -> Stage:
    """Return a stage that has not heard of its project yet."""
    stage = Stage()
    stage.start()
    return stage


@pytest.fixture
def begun() -> Any:
    """Return what begins a stage, for stories that need several."""
    return _begun
