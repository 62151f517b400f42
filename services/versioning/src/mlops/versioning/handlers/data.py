# SPDX-License-Identifier: Apache-2.0
"""`cmd.data.*`: contents become versions, versions become contents; one at a time in each project.

The order of an addition is: cache, remote, check, then the registry's row (with the command's id), then the event.
A crash before the row leaves objects that nothing names; a crash after it is healed by the command's redelivery.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.versioning import (
    AddData,
    DataPushed,
    DataRestored,
    DataVersioned,
    PullData,
    PushData,
    RestoreData,
)
from mlops.versioning import model
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.model import Content, Version
from mlops.versioning.ports import Datasets, Place, Versions

_MOST_SHOWN = 20


class Data:
    """Everything people wish about datasets."""

    def __init__(
        self, projects: Projects, datasets: Datasets, versions: Versions, clock: Clock
    ) -> None:
        self._projects = projects
        self._datasets = datasets
        self._versions = versions
        self._clock = clock
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def do_add_data(self, command: AddData) -> Sequence[Message]:
        """Make the present content a version, or find the version it is."""
        async with self._turns[command.project]:
            # What the command got before stays what it got, even when the file has changed since.
            version = await self._versions.of_command(command.id) or await self._add(command)
        return [_versioned(version)]

    async def do_push_data(self, command: PushData) -> Sequence[Message]:
        """Bring all versions of a dataset to the remote."""
        async with self._turns[command.project]:
            place = await self._projects.place_for(command, adds=False)
            known = await self._known(command.project, command.name)
            oids = sorted({version.content.oid for version in known})
            moved = await self._datasets.push(place, oids)
        return [DataPushed(**_facts(known[-1]), remote=place.remote, objects=moved)]

    async def do_pull_data(self, command: PullData) -> Sequence[Message]:
        """Put the newest version into the project's folder."""
        async with self._turns[command.project]:
            version = await self._versions.of_command(command.id) or await self._pull(command)
        return [DataRestored(**_facts(version))]

    async def do_restore_data(self, command: RestoreData) -> Sequence[Message]:
        """Put an earlier version into the project's folder."""
        async with self._turns[command.project]:
            version = await self._versions.of_command(command.id) or await self._return_to(command)
        return [DataRestored(**_facts(version))]

    async def _add(self, command: AddData) -> Version:
        place = await self._projects.place_for(command, adds=True)
        name = model.name_of(command.name, command.path)
        if problem := model.problem_with_name(name):
            raise RejectedError(problem)
        content = await self._datasets.snapshot(place, command.path)
        return await self._versions.remember(
            self._wished(command, name, content, place), command.id
        )

    def _wished(self, command: AddData, name: str, content: Content, place: Place) -> Version:
        return Version(
            project=command.project,
            name=name,
            version=1,
            path=model.tidy(command.path, place.folder),
            content=content,
            remote=place.remote,
            parent=None,
            run_id=command.run_id,
            created_at=self._clock(),
        )

    async def _pull(self, command: PullData) -> Version:
        place = await self._projects.place_for(command, adds=False)
        known = await self._known(command.project, command.name)
        return await self._restore(place, known[-1], command.id)

    async def _return_to(self, command: RestoreData) -> Version:
        place = await self._projects.place_for(command, adds=False)
        known = await self._known(command.project, command.name)
        version = model.meant(known, command.version, None)
        if version is None:
            raise RejectedError(
                f"dataset {command.name!r} has no version {command.version}; "
                f"it has {_numbers(known)}"
            )
        return await self._restore(place, version, command.id)

    async def _restore(self, place: Place, version: Version, command_id: str) -> Version:
        await self._datasets.restore(place, version.path, version.content)
        # Noted, it is not done again over what people have written since.
        await self._versions.note(version, command_id)
        return version

    async def _known(self, project: str, name: str) -> list[Version]:
        known = await self._versions.known(project, name)
        if not known:
            names = sorted({version.name for version in await self._versions.known(project)})
            raise RejectedError(
                f"project {project!r} has no dataset {name!r}; "
                f"it has: {', '.join(names[:_MOST_SHOWN]) or 'none yet'}"
            )
        return known


def _numbers(known: Sequence[Version]) -> str:
    shown = ", ".join(str(version.version) for version in known[-_MOST_SHOWN:])
    return shown if len(known) <= _MOST_SHOWN else f"{known[0].version} to {known[-1].version}"


def _versioned(version: Version) -> DataVersioned:
    return DataVersioned(
        **_facts(version),
        remote=version.remote,
        parent_version=version.parent,
        run_id=version.run_id,
    )


def _facts(version: Version) -> dict[str, object]:
    return {
        "project": version.project,
        "name": version.name,
        "version": version.version,
        "hash": version.content.oid,
        "size_bytes": version.content.size_bytes,
        "files": version.content.files,
        "path": version.path,
    }
