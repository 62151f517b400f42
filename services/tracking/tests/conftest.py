# SPDX-License-Identifier: Apache-2.0
"""World: tracking on a memory bus, over a remembered registry."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message
from mlops.contracts.settings import EvaluateSettings, ProjectSettings
from mlops.contracts.tracking import (
    ModelPromoted,
    ModelRejected,
)
from mlops.contracts.workspaces import (
    ProjectRegistered,
)
from mlops.tracking.adapters.memory import MemoryTracking
from mlops.tracking.adapters.memory_lives import MemoryLead, MemoryLives
from mlops.tracking.adapters.memory_presences import MemoryPresences
from mlops.tracking.app import wire, wire_datasets, wire_energy
from mlops.tracking.sources.relay import Relay


@dataclass
class NamedFiles:
    """What `.dvc` files name: by path now, by commit and path in git."""

    here: dict[str, str] = field(default_factory=dict)
    commits: dict[tuple[str, str], str] = field(default_factory=dict)

    async def now(self, _: str, path: str) -> str | None:
        return self.here.get(path)

    async def committed(self, _: str, commit: str, path: str) -> str | None:
        return self.commits.get((commit, path))


class World:
    """Tracking on a memory bus; `settle` lets the relay tell and the handlers react until nothing is left."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.tracking = MemoryTracking()
        self.lives = MemoryLives(self.tracking)
        self.lead = MemoryLead()
        tracking = self.tracking
        self.now = datetime.now(UTC)
        wire(self.bus, tracking, tracking, tracking, self.lives, "http://mlflow")
        self.files = NamedFiles()
        self.read = wire_datasets(self.bus, self.files)
        self.energy = wire_energy(self.bus, MemoryPresences(tracking), lambda: self.now)

    async def settle(self) -> None:
        await self.bus.settle()
        while waiting := len(await self.tracking.pending(1000)):
            await self.relay(waiting)
            await self.bus.settle()

    async def relay(self, most: int) -> None:
        relay = Relay(
            self.tracking,
            self.tracking,
            self.lead,
            lambda: datetime.now(UTC),
            timedelta(days=1),
            self.energy,
            self.read,
        )
        async with aclosing(relay.tell()) as told:
            for _ in range(most):
                await self.bus.publish(await anext(told))
        await self.tracking.told([row.sequence for row in self.tracking.rows])

    async def project(self, **evaluate: object) -> None:
        settings = ProjectSettings(name="rain", evaluate=EvaluateSettings.model_validate(evaluate))
        registered = ProjectRegistered(
            project="rain", settings=settings, revision=1, path="/home/ada/rain"
        )
        await self.bus.publish(registered)
        await self.settle()

    async def model(self, accuracy: float | None, **tags: str) -> int:
        run_id = self.tracking.start_run("rain", tags=tags)
        if accuracy is not None:
            self.tracking.log(run_id, {"accuracy": accuracy})
        version = self.tracking.register("rain", "rain", run_id)
        self.tracking.end_run(run_id)
        await self.settle()
        return version

    def told(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.bus.published if isinstance(message, kind)]

    @property
    def promoted(self) -> list[ModelPromoted]:
        return [message for message in self.bus.published if isinstance(message, ModelPromoted)]

    @property
    def rejected(self) -> list[ModelRejected]:
        return [message for message in self.bus.published if isinstance(message, ModelRejected)]


@pytest.fixture
def world() -> World:
    return World()
