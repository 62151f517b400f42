# SPDX-License-Identifier: Apache-2.0
"""MemoryDatasets and MemoryVersions: the same promises without DVC and without a database, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.paths import existing, locate
from mlops.versioning.model import Content, Use, Version, newest, same
from mlops.versioning.ports import Place

_Files = dict[str, bytes]


@dataclass
class MemoryDatasets:
    """Contents in a dict; the project's files are real. `cache` and `remote` are for looking and breaking."""

    cache: dict[str, _Files] = field(default_factory=dict)
    remote: dict[str, _Files] = field(default_factory=dict)
    provisioned: list[Place] = field(default_factory=list)

    async def provision(self, place: Place) -> None:
        """Note the place."""
        locate(place.folder, "any")
        self.provisioned.append(place)

    async def snapshot(self, place: Place, path: str) -> Content:
        """Read the files and keep them in both places."""
        files = _read(existing(place.folder, path))
        oid = _address(files)
        self.cache[oid] = self.remote[oid] = files
        size = sum(len(content) for content in files.values())
        return Content(oid, size, len(files), f"memory: {oid}\n")

    async def push(self, _: Place, oids: Sequence[str]) -> int:
        """Copy what the remote lacks."""
        missing = [oid for oid in oids if oid not in self.remote]
        self.remote.update({oid: self.cache[oid] for oid in missing})
        return len(missing)

    async def restore(self, place: Place, path: str, content: Content) -> None:
        """Write the files back."""
        at = locate(place.folder, path)
        files = self.cache.get(content.oid) or self.remote.get(content.oid)
        if files is None:
            raise UnavailableError(f"neither cache nor remote holds {content.oid}")
        if at.exists() and _address(_read(at)) not in self.cache:
            raise RejectedError(f"{path!r} has changes that no version holds; add it first")
        _clear(at)
        for name, payload in files.items():
            file = at / name if name else at
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(payload)


@dataclass
class MemoryVersions:
    """The registry in lists."""

    versions: list[Version] = field(default_factory=list)
    commands: dict[str, Version] = field(default_factory=dict)
    read: dict[tuple[str, Use], datetime] = field(default_factory=dict)

    async def remember(self, wished: Version, command_id: str) -> Version:
        """Number the version, or find the one it is."""
        if command_id in self.commands:
            return self.commands[command_id]
        known = await self.known(wished.project, wished.name)
        version = same(known, wished.content, wished.path)
        if version is None:
            last = newest(known)
            parent = last.version if last else None
            version = replace(wished, version=(parent or 0) + 1, parent=parent)
            self.versions.append(version)
        self.commands[command_id] = version
        return version

    async def note(self, version: Version, command_id: str) -> None:
        """Keep what a command was about."""
        self.commands.setdefault(command_id, version)

    async def of_command(self, command_id: str) -> Version | None:
        """Return what a command got."""
        return self.commands.get(command_id)

    async def known(self, project: str, name: str | None = None) -> list[Version]:
        """Return versions by name and number."""
        found = [v for v in self.versions if v.project == project and name in (None, v.name)]
        return sorted(found, key=lambda version: (version.name, version.version))

    async def record_uses(self, project: str, uses: Sequence[Use], at: datetime) -> None:
        """Keep the uses once."""
        for use in uses:
            self.read.setdefault((project, use), at)

    async def uses(self, project: str) -> list[Use]:
        """Return the uses of a project."""
        found = [use for of, use in self.read if of == project]
        return sorted(found, key=lambda use: (use.run_id, use.name))


def _read(place: Path) -> _Files:
    if place.is_file():
        return {"": place.read_bytes()}
    files = (p for p in sorted(place.rglob("*")) if p.is_file())
    return {file.relative_to(place).as_posix(): file.read_bytes() for file in files}


def _address(files: _Files) -> str:
    if list(files) == [""]:
        return hashlib.md5(files[""], usedforsecurity=False).hexdigest()
    listing = repr(sorted((name, hashlib.sha256(f).hexdigest()) for name, f in files.items()))
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _clear(place: Path) -> None:
    if place.is_file():
        place.unlink()
    for entry in sorted(place.rglob("*"), reverse=True) if place.is_dir() else []:
        entry.rmdir() if entry.is_dir() else entry.unlink()
