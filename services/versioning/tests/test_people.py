# SPDX-License-Identifier: Apache-2.0
"""Looks are cheap however many files there are: what is known is read once, what is not pushed is asked for at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import DataVersioned
from mlops.contracts.workspaces import ProjectRegistered
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.handlers.people import People
from mlops.versioning.model import Content, Version
from mlops.versioning.ports import Claim, Place

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


class Outputs(DvcFiles):
    """As many outputs as there are addresses; some of them were pushed."""

    def __init__(self, oids: list[str]) -> None:
        super().__init__({})
        self.oids, self.pushed = oids, set[str]()
        self.away = False
        self.asked: list[int] = []
        self.claims: list[str] = []

    async def look(self, _folder: str) -> dict[str, str]:
        return {f"dvc.lock:make:{oid}": oid for oid in self.oids}

    async def named(self, _folder: str, file: str) -> tuple[str, str] | None:
        oid = file.rpartition(":")[2]
        return oid, oid

    async def arrived(self, _place: Place, oid: str) -> bool:
        return oid in self.pushed

    async def unpushed(self, _place: Place, files: Sequence[str]) -> set[str]:
        self.asked.append(len(files))
        if self.away:
            raise UnavailableError("away")
        return {file for file in files if file.rpartition(":")[2] not in self.pushed}

    async def claimed(self, _place: Place, file: str) -> Claim | None:
        self.claims.append(file)
        oid = file.rpartition(":")[2]
        return Claim(oid, Content(oid, 1, 1, ""), "make") if oid in self.pushed else None


async def people_of(folder: Path, versions: MemoryVersions, files: DvcFiles) -> People:
    bus = MemoryBus()
    people = wire(
        bus,
        MemoryDatasets(),
        versions,
        FileDifferences(),
        Errands(),
        files,
        remote_root="/remote",
        cache="/cache",
        clock=lambda: NOON,
    )
    settings = ProjectSettings(name="rain")
    await bus.publish(
        ProjectRegistered(project="rain", settings=settings, path=str(folder), revision=1)
    )
    await bus.settle()
    return people


async def test_what_is_not_pushed_is_asked_for_at_once_and_told_when_it_is(tmp_path: Path) -> None:
    files = Outputs([f"{number:032x}" for number in range(MANY)])
    people = await people_of(tmp_path, MemoryVersions(), files)

    files.away = True
    unasked = [message async for message in people.look()]
    files.away = False
    # Who is waited for is asked at every second look, then more seldom.
    unpushed = [message for _ in range(2) async for message in people.look()]
    waited = list(files.claims)
    files.pushed = set(files.oids[:2])
    told = [message async for message in people.look()]

    assert (unasked, unpushed, waited) == ([], [], [])
    assert files.asked == [MANY, MANY, 2]
    assert len(files.claims) == 2
    assert [one.hash for one in told if isinstance(one, DataVersioned)] == files.oids[:2]


async def test_all_versions_are_read_once_for_all_files(tmp_path: Path) -> None:
    versions = CountingVersions()
    people = await people_of(tmp_path, versions, DvcFiles({}))
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
