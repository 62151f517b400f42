# SPDX-License-Identifier: Apache-2.0
"""One bridge on a memory bus, with a scripted orchestrator and a clock that stands still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message
from mlops.contracts.monitoring import PerformanceDegraded, PerformanceMeasured, Window
from mlops.contracts.settings import (
    Consent,
    ProjectSettings,
    RetrainSettings,
    ServeSettings,
    TrainSettings,
)
from mlops.contracts.workspaces import ProjectRegistered
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.app import wire
from mlops.orchestration_bridge.sources.dispatcher import Dispatcher


class World:
    """One bridge, its bus, a scripted orchestrator and a clock that stands still."""

    def __init__(self, pipelines: FakePipelines | None = None, *, several: bool = False) -> None:
        self.several = several
        self.bus = MemoryBus()
        self.pipelines = pipelines or FakePipelines()
        self.now = datetime.now(UTC)
        self.dispatcher: Dispatcher = self.wired(self.bus)

    def wired(self, bus: MemoryBus) -> Dispatcher:
        return wire(bus, self.pipelines, clock=lambda: self.now, several=self.several)

    async def tell(self, *messages: Message) -> list[Any]:
        known = len(self.bus.published)
        for message in messages:
            await self.bus.publish(message)
            await self.bus.settle()
        given = {message.id for message in messages}
        return [message for message in self.bus.published[known:] if message.id not in given]

    async def round(self) -> list[str]:
        known = len(self.bus.published)
        async for message in self.dispatcher.round():
            await self.bus.publish(message)
        return [message.type for message in self.bus.published[known:]]

    def last(self, type_: str) -> Any:
        return [message for message in self.bus.published if message.type == type_][-1]

    @staticmethod
    def registered(mode: Consent = Consent.AUTO, follow_up: int = 0, revision: int = 1) -> Message:
        return ProjectRegistered(
            project="rain",
            settings=ProjectSettings(
                name="rain",
                train=TrainSettings(command="python train.py"),
                serve=ServeSettings(model="rain"),
                retrain=RetrainSettings(
                    mode=mode, follow_up_windows=follow_up, cooldown=timedelta(minutes=1)
                ),
            ),
            path="/projects/rain",
            revision=revision,
            time=datetime.now(UTC) - timedelta(hours=1),
        )

    @staticmethod
    def window(index: int) -> Window:
        at = datetime.now(UTC) + timedelta(minutes=index)
        return Window(index=index, rows=500, labelled=500, first_at=at, last_at=at)

    @staticmethod
    def degraded(index: int = 0) -> PerformanceDegraded:
        return PerformanceDegraded(
            project="rain",
            model="rain",
            version=1,
            metric="accuracy",
            value=0.61,
            threshold=0.7,
            window=World.window(index),
        )

    @staticmethod
    def measured(index: int, version: int = 1, *, partial: bool = False) -> PerformanceMeasured:
        return PerformanceMeasured(
            project="rain",
            model="rain",
            version=version,
            metric="accuracy",
            value=0.8,
            window=World.window(index),
            partial=partial,
        )

    @staticmethod
    def registered_as(name: str) -> Message:
        settings = ProjectSettings(name=name, train=TrainSettings(command="python train.py"))
        return ProjectRegistered(project=name, settings=settings, path="/projects", revision=1)


@pytest.fixture
def world() -> World:
    return World()
