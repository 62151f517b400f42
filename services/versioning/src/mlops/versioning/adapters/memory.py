# SPDX-License-Identifier: Apache-2.0
"""MemoryDatasets and MemoryVersions: the same promises without DVC and without a database, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from mlops.versioning.adapters.memory_datasets import MemoryDatasets
from mlops.versioning.model import Alias, Use, Version, newest, same

__all__ = ["MemoryDatasets", "MemoryVersions"]


@dataclass
class MemoryVersions:
    """The registry in lists."""

    versions: list[Version] = field(default_factory=list)
    commands: dict[str, Version] = field(default_factory=dict)
    pointing: dict[tuple[str, str, str], int] = field(default_factory=dict)
    read: dict[tuple[str, Use], datetime] = field(default_factory=dict)

    async def remember(self, wished: Version, command_id: str) -> Version:
        """Number the version, or find the one it is."""
        if earlier := await self.of_command(command_id):
            return earlier
        version = same(await self.known(wished.project, wished.name), wished.content, wished.path)
        if version is None:
            last = newest(await self.known(wished.project, wished.name, removed=True))
            parent = last.version if last else None
            version = replace(wished, version=(parent or 0) + 1, parent=parent)
            self.versions.append(version)
        self.commands[command_id] = version
        return version

    async def note(self, version: Version, command_id: str) -> None:
        """Keep what a command was about."""
        self.commands.setdefault(command_id, version)

    async def of_command(self, command_id: str) -> Version | None:
        """Return what a command got, as it is now."""
        version = self.commands.get(command_id)
        return self.versions[self._place(version)] if version else None

    async def known(
        self, project: str, name: str | None = None, *, removed: bool = False
    ) -> list[Version]:
        """Return versions by name and number."""
        found = [
            version
            for version in self.versions
            if version.project == project
            and name in (None, version.name)
            and (removed or version.removed_at is None)
        ]
        return sorted(found, key=lambda version: (version.name, version.version))

    async def point(self, version: Version, alias: str, command_id: str) -> None:
        """Move the alias."""
        if command_id not in self.commands:
            self.commands[command_id] = version
            self.pointing[version.project, version.name, alias] = version.version

    async def unpoint(self, version: Version, alias: str, command_id: str) -> None:
        """Take the alias away."""
        if command_id not in self.commands:
            self.commands[command_id] = version
            self.pointing.pop((version.project, version.name, alias), None)

    async def aliases(self, project: str, name: str | None = None) -> list[Alias]:
        """Return aliases by dataset and name."""
        return [
            Alias(of, alias, version)
            for (owner, of, alias), version in sorted(self.pointing.items())
            if owner == project and name in (None, of)
        ]

    async def say(
        self, version: Version, tags: Sequence[str], description: str, command_id: str
    ) -> None:
        """Replace tags and description."""
        if command_id not in self.commands:
            self.commands[command_id] = version
            self._change(replace(version, tags=tuple(tags), description=description))

    async def remove(self, version: Version, at: datetime, command_id: str) -> None:
        """Give the version up."""
        if command_id in self.commands:
            return
        self.commands[command_id] = version
        self._change(replace(version, removed_at=at))
        dataset = (version.project, version.name)
        self.pointing = {
            key: number
            for key, number in self.pointing.items()
            if (key[:2], number) != (dataset, version.version)
        }

    async def live(self) -> list[str]:
        """Return contents that versions name."""
        return sorted({v.content.oid for v in self.versions if v.removed_at is None})

    async def moved(self, project: str, remote: str) -> None:
        """Keep the new remote."""
        self.versions = [
            replace(version, remote=remote) if version.project == project else version
            for version in self.versions
        ]

    async def record_uses(self, project: str, uses: Sequence[Use], at: datetime) -> None:
        """Keep the uses once."""
        for use in uses:
            self.read.setdefault((project, use), at)

    async def uses(self, project: str) -> list[Use]:
        """Return the uses of a project."""
        found = [use for of, use in self.read if of == project]
        return sorted(found, key=lambda use: (use.run_id, use.name))

    def _change(self, version: Version) -> None:
        self.versions[self._place(version)] = version

    def _place(self, version: Version) -> int:
        key = (version.project, version.name, version.version)
        return [(v.project, v.name, v.version) for v in self.versions].index(key)
