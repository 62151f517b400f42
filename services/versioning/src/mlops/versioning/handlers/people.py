# SPDX-License-Identifier: Apache-2.0
"""What people version themselves, with DVC by hand, becomes versions here: by what their `.dvc` and `dvc.lock` files name."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

import structlog

from mlops.chassis.clock import Clock
from mlops.chassis.errors import ChassisError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.versioning import DataVersioned
from mlops.versioning import model
from mlops.versioning.handlers.additions import Additions
from mlops.versioning.handlers.asked import Turns, versioned
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.model import Version
from mlops.versioning.ports import Claim, PeoplesFiles, Place, Versions

# Looks, a few seconds apart: what is not pushed for weeks must not keep DVC in memory.
_LONGEST_WAIT = 100


@dataclass(frozen=True)
class _Wait:
    """A file whose content was on no remote: so many looks are passed over, of so many."""

    signature: str
    oid: str
    left: int
    step: int


@dataclass
class People:
    """Looks at the `.dvc` files, and at the outputs of pipelines, of every registered folder.

    A file that names what no version holds becomes one once all of its content is on a remote: who has not pushed yet
    is waited for, in growing steps. What was told is noted in the registry after it was stored on the bus, so nothing
    is told twice, and nothing is lost when the process dies in between.
    """

    projects: Projects
    files: PeoplesFiles
    versions: Versions
    turns: Turns
    additions: Additions
    clock: Clock
    _settled: dict[tuple[str, str], str] = field(default_factory=dict)
    _waits: dict[tuple[str, str], _Wait] = field(default_factory=dict)

    async def look(self) -> AsyncGenerator[Message, None]:
        """Look once, and yield `data.versioned` for what people have pushed; it must be stored before the next step."""
        for place in await self.projects.places():
            fresh = await self._fresh(place)
            # All of them at once: at a start every file is fresh, and there may be many of both.
            known = await self.versions.known(place.project, removed=True) if fresh else []
            asked = dict[str, str]()
            for file, signature in fresh.items():
                if await self._is_told_by_now(place, file, known):
                    self._settled[place.project, file] = signature
                else:
                    asked[file] = signature
            unpushed = await self._unpushed(place, list(asked))
            for file, signature in asked.items():
                if file in unpushed:
                    await self._wait(place, file, signature)
                    continue
                version = await self._version(place, file, signature)
                if version is not None:
                    yield _event(version)
                    await self.versions.note(version, _told(version))
                    self._settled[place.project, file] = signature

    async def _fresh(self, place: Place) -> dict[str, str]:
        if self.turns[place.project].locked():
            return {}  # an addition writes its `.dvc` file before its version is known
        found = await self.files.look(place.folder)
        return {
            file: signature
            for file, signature in found.items()
            if self._settled.get((place.project, file)) != signature
            and await self._is_due(place, file, signature)
        }

    async def _is_told_by_now(self, place: Place, file: str, known: Sequence[Version]) -> bool:
        named = await self.files.named(place.folder, file)
        return named is not None and await self._is_among(known, *named)

    async def _is_due(self, place: Place, file: str, signature: str) -> bool:
        wait = self._waits.get((place.project, file))
        if wait is None or not wait.left or wait.signature != signature:
            return True
        if await self.files.arrived(place, wait.oid):
            return True
        self._waits[place.project, file] = replace(wait, left=wait.left - 1)
        return False

    async def _version(self, place: Place, file: str, signature: str) -> Version | None:
        key = place.project, file
        named = await self.files.named(place.folder, file)
        try:
            async with self.turns[place.project]:
                version, is_over = await self._look_into(place, file, named)
        except ChassisError as error:
            structlog.get_logger("people").warning(
                "claim.failed", project=place.project, file=file, error=str(error)
            )
            version, is_over = None, False
        if is_over or version is not None:
            self._waits.pop(key, None)
        else:
            await self._wait(place, file, signature)
        if is_over:
            self._settled[key] = signature
        return version

    async def _unpushed(self, place: Place, files: Sequence[str]) -> set[str]:
        """Return what is on no remote: many at once, for each alone costs a reading of its whole pipeline."""
        try:
            return await self.files.unpushed(place, files) if len(files) > 1 else set()
        except ChassisError as error:
            structlog.get_logger("people").warning(
                "claims.failed", project=place.project, files=len(files), error=str(error)
            )
            return set(files)

    async def _wait(self, place: Place, file: str, signature: str) -> None:
        named = await self.files.named(place.folder, file)
        if named is not None:
            key = place.project, file
            before = self._waits.get(key)
            step = min(2 * before.step, _LONGEST_WAIT) if before else 1
            self._waits[key] = _Wait(signature, named[1], step, step)

    async def _look_into(
        self, place: Place, file: str, named: tuple[str, str] | None
    ) -> tuple[Version | None, bool]:
        """Return the version to be told, or none and whether the file is done with."""
        if named is None or await self._is_told(place.project, *named):
            return None, True
        claim = await self.files.claimed(place, file)
        if claim is None:
            return None, False
        if await self._is_told(place.project, claim.path, claim.content.oid):
            return None, True
        if await self.additions.is_under_way(place, claim.path):
            return None, False  # killed in the midst: it becomes the version of its command
        wished = await self._wished(place, claim)
        return await self.versions.remember(wished, _added(wished)), False

    async def _is_told(self, project: str, path: str, oid: str) -> bool:
        known = await self.versions.known(project, removed=True)
        return await self._is_among(known, path, oid)

    async def _is_among(self, known: Sequence[Version], path: str, oid: str) -> bool:
        held = next((v for v in known if v.path == path and v.content.oid == oid), None)
        if held is None:
            return False
        # A version that came by a command is told by its command.
        by_hand = await self.versions.of_command(_added(held)) is not None
        return not by_hand or await self.versions.of_command(_told(held)) is not None

    async def _wished(self, place: Place, claim: Claim) -> Version:
        names = (await self.projects.settings_of(place.project)).datasets
        known = await self.versions.known(place.project, removed=True)
        name = model.name_at(claim.path, known, names)
        return Version(
            project=place.project,
            name=name,
            version=1,
            path=claim.path,
            content=claim.content,
            remote=place.remote,
            parent=None,
            run_id=None,
            created_at=self.clock(),
            stage=claim.stage,
        )


def _event(version: Version) -> DataVersioned:
    # The same id each time: the bus stores it once, however often a restart tells it.
    id_ = follow_up_id(_added(version), DataVersioned.type, 0)
    return versioned(version).model_copy(update={"id": id_})


def _added(version: Version) -> str:
    return f"by hand: {version.project}/{version.path}@{version.content.oid}"


def _told(version: Version) -> str:
    return f"told {_added(version)}"
