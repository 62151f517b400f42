# SPDX-License-Identifier: Apache-2.0
"""Versioning on the memory bus with real DVC, which a test may start again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import DataVersioned
from mlops.contracts.workspaces import ProjectRegistered
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.dvc_places import own_places
from mlops.versioning.adapters.mlflow_models import MlflowModels
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.handlers.people import People
from mlops.versioning.ports import Place

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLAIN = ProjectSettings(name="rain")


class Versioning:
    """One project's folder, and the service around it; `start` begins a new life of the process."""

    def __init__(self, root: Path, place: Place, datasets: DvcDatasets) -> None:
        self.place = place
        self.datasets = datasets
        self.files = DvcFiles(own_places(root / "state"))
        self.versions = SqliteVersions(root / "versions.db")
        self.comparison = FileDifferences()
        self.errands = Errands()
        self.start()

    def start(self, models: MlflowModels | None = None) -> None:
        self.models = models
        self.bus = MemoryBus()
        self.people: People = wire(
            self.bus,
            self.datasets,
            self.versions,
            self.comparison,
            self.errands,
            self.files,
            models=models,
            remote_root=str(Path(self.place.remote).parent),
            cache=self.place.cache,
            clock=lambda: NOON,
        )

    async def tell(self, message: Message) -> Message:
        await self.bus.publish(message)
        await self.bus.settle()
        return self.bus.published[-1]

    async def register(self, settings: ProjectSettings = PLAIN, revision: int = 1) -> None:
        await self.tell(
            ProjectRegistered(
                project="rain", settings=settings, path=self.place.folder, revision=revision
            )
        )

    async def looks(self, times: int = 1) -> list[DataVersioned]:
        """Return what so many looks tell."""
        told: list[DataVersioned] = []
        for _ in range(times):
            async for message in self.people.look():
                assert isinstance(message, DataVersioned)
                told.append(message)
        return told

    async def close(self) -> None:
        await self.errands.close()
        await self.comparison.close()
        await self.files.close()
        await self.versions.close()
