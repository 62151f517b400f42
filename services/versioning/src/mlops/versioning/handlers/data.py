# SPDX-License-Identifier: Apache-2.0
"""`cmd.data.*`: contents become versions, versions become contents; one at a time in each project.

The order of an addition is: cache, remote, check, then the registry's row (with the command's id), then the event.
A crash before the row leaves objects that nothing names; a crash after it is healed by the command's redelivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.versioning import (
    AddData,
    DataPushed,
    DataRestored,
    PullData,
    PushData,
    RestoreData,
)
from mlops.versioning import model
from mlops.versioning.handlers.asked import chosen_of, facts, version_of, versioned, versions_of
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.handlers.watching import Watching
from mlops.versioning.model import Content, Version
from mlops.versioning.ports import Contents, Place, Registry, Room, Told


class Data:
    """Everything people wish about datasets."""

    def __init__(
        self,
        projects: Projects,
        datasets: Contents,
        versions: Registry,
        watching: Watching,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._datasets = datasets
        self._versions = versions
        self._clock = clock
        self._watching = watching

    async def do_add_data(self, command: AddData) -> Sequence[Message]:
        """Make the present content a version, or find the version it is."""
        async with self._watching.turn(command) as told:
            # What the command got before stays what it got, even when the file has changed since.
            version = await self._versions.of_command(command.id) or await self._add(command, told)
        return [versioned(version)]

    async def do_push_data(self, command: PushData) -> Sequence[Message]:
        """Bring all versions of a dataset to the remote."""
        async with self._watching.turn(command) as told:
            place = await self._projects.place_for(command, adds=False)
            known = await versions_of(self._versions, command.project, command.name)
            oids = sorted({version.content.oid for version in known})
            moved = await self._datasets.push(place, oids, told)
        return [DataPushed(**facts(known[-1]), remote=place.remote, objects=moved)]

    async def do_pull_data(self, command: PullData) -> Sequence[Message]:
        """Put the newest version, or the one an alias points at, into the project's folder."""
        async with self._watching.turn(command) as told:
            version = await self._versions.of_command(command.id) or await self._pull(command, told)
        return [DataRestored(**facts(version))]

    async def do_restore_data(self, command: RestoreData) -> Sequence[Message]:
        """Put an earlier version into the project's folder."""
        async with self._watching.turn(command) as told:
            version = await self._versions.of_command(command.id) or await self._return_to(
                command, told
            )
        return [DataRestored(**facts(version))]

    async def _add(self, command: AddData, told: Told) -> Version:
        place = await self._projects.place_for(command, adds=True)
        name = model.name_of(command.name, command.path)
        if problem := model.problem_with_name(name):
            raise RejectedError(problem)
        if command.reread:
            await self._datasets.forget(place, command.path)
        room = await self._room(command.project)
        content = await self._datasets.snapshot(place, command.path, room, told)
        return await self._versions.remember(
            self._wished(command, name, content, place), command.id
        )

    async def _room(self, project: str) -> Room | None:
        quota_gb = (await self._projects.settings_of(project)).quota_gb
        if quota_gb is None:
            return None
        known = await self._versions.known(project)
        held = sorted({version.content.oid for version in known})
        return Room(tuple(held), round(quota_gb * 1e9))

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

    async def _pull(self, command: PullData, told: Told) -> Version:
        place = await self._projects.place_for(command, adds=False)
        version = await chosen_of(self._versions, command.project, command.name, command.alias)
        return await self._restore(place, version, command.id, told)

    async def _return_to(self, command: RestoreData, told: Told) -> Version:
        place = await self._projects.place_for(command, adds=False)
        version = await version_of(self._versions, command.project, command.name, command.version)
        return await self._restore(place, version, command.id, told)

    async def _restore(
        self, place: Place, version: Version, command_id: str, told: Told
    ) -> Version:
        settings = await self._projects.settings_of(version.project)
        known = await self._versions.known(version.project)
        # What stands in the folder is mostly one of the dataset's newest.
        known.sort(key=lambda one: (one.name != version.name, -one.version))
        held = dict.fromkeys(one.content.oid for one in known)
        content = version.content
        if known[0].stage:
            # A pipeline makes it now: a `.dvc` file beside that one's own record would break both.
            content = replace(content, dvc_text="")
        elif version.stage and known[0].path == version.path:
            # A pipeline made it then; the `.dvc` file that stands there now would go on naming other content.
            text = model.dvc_text(content, PurePosixPath(version.path).name)
            content = replace(content, dvc_text=text)
        await self._datasets.restore(
            place,
            version.path,
            content,
            held=list(held),
            read_only=settings.read_only,
            told=told,
        )
        # Noted, it is not done again over what people have written since.
        await self._versions.note(version, command_id)
        return version
