# SPDX-License-Identifier: Apache-2.0
"""A look after a start is cheap: what is already known is read once, however many `.dvc` files there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.model import Content, Version

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MANY = 20


@dataclass
class CountingVersions(MemoryVersions):
    """Counts how often all versions are read."""

    reads: int = 0

    async def known(
        self, project: str, name: str | None = None, *, removed: bool = False
    ) -> list[Version]:
        self.reads += 1
        return await super().known(project, name, removed=removed)


async def test_all_versions_are_read_once_for_all_files(tmp_path: Path) -> None:
    versions, bus = CountingVersions(), MemoryBus()
    people = wire(
        bus,
        MemoryDatasets(),
        versions,
        FileDifferences(),
        Errands(),
        DvcFiles({}),
        remote_root="/remote",
        cache="/cache",
        clock=lambda: NOON,
    )
    settings = ProjectSettings(name="rain")
    await bus.publish(
        ProjectRegistered(project="rain", settings=settings, path=str(tmp_path), revision=1)
    )
    await bus.settle()
    for number in range(MANY):
        name, oid = f"days-{number}", f"{number:032x}"
        (tmp_path / f"{name}.dvc").write_text(f"outs:\n- md5: {oid}\n  path: {name}\n")
        content = Content(oid, 1, 1, "")
        version = Version("rain", name, 1, name, content, "/remote/rain", None, None, NOON)
        await versions.remember(version, f"command {number}")
    versions.reads = 0

    told = [message async for message in people.look()]
    again = [message async for message in people.look()]

    assert (told, again) == ([], [])
    assert versions.reads == 1
