# SPDX-License-Identifier: Apache-2.0
"""A registered project gets its remote and its part of the shared cache, and is remembered with its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.datasets import DataSettings, bytes_per_s
from mlops.contracts.message import Message, ProjectCommand
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
    ProjectUpdated,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.versioning import model
from mlops.versioning.handlers.asked import Turns
from mlops.versioning.ports import Datasets, KnownProject, Place, Registry

COMPONENT = "versioning"
# A command may overtake the registration it follows; this long it is tried again instead of refused.
PATIENCE = timedelta(seconds=5)


class Projects:
    """Which projects there are and where their data stand."""

    def __init__(
        self,
        documents: Documents[KnownProject],
        datasets: Datasets,
        registry: Registry,
        turns: Turns,
        clock: Clock,
        *,
        remote_root: str,
        cache: str,
        bandwidth: str = "",
    ) -> None:
        self._documents = documents
        self._datasets = datasets
        self._registry = registry
        self._turns = turns
        self._clock = clock
        self._remote_root = remote_root
        self._cache = cache
        self._bandwidth = bandwidth

    async def on_project_registered(
        self, event: ProjectRegistered | ProjectUpdated
    ) -> Sequence[Message]:
        """Provision the folder and say what was made; without a folder there is nothing to version."""

        def change(now: KnownProject | None) -> KnownProject:
            if now is not None and now.at > event.time:
                return now
            return KnownProject(
                folder=event.path,
                revision=event.revision,
                at=event.time,
                data=event.settings.data,
                remote=now.remote if now else "",
            )

        known = await self._documents.change(event.project, change, applied=event.id)
        if event.path is None:
            return [self._refused(event, "the project names no folder; register it with its path")]
        # Of the newest registration, which this one need not be.
        wished = known.data.remote
        place = self._place(event.project, event.path, wished, known.data)
        try:
            await self._refuse_shared(place)
            await self._datasets.provision(place)
            if known.remote != wished:
                await self._move(event.project, known.remote, place)
                await self._keep_remote(event, wished)
        except RejectedError as error:
            return [self._refused(event, str(error))]
        return [
            WorkspaceProvisioned(
                project=event.project,
                component=COMPONENT,
                names={"dvc_remote": place.remote, "dvc_cache": place.cache},
                revision=event.revision,
            )
        ]

    async def on_project_archived(self, event: ProjectArchived) -> Sequence[Message]:
        """Take no new data; what there is can still be restored."""

        def change(now: KnownProject | None) -> KnownProject:
            if now is None:
                return KnownProject(archived=True, at=event.time)
            if now.at > event.time:
                return now
            return now.model_copy(update={"archived": True, "at": event.time})

        await self._documents.change(event.project, change, applied=event.id)
        return []

    async def place_for(self, command: ProjectCommand, *, adds: bool) -> Place:
        """Return where the data of a command's project stand.

        Raises RejectedError for a project that is unknown, archived (when it *adds*), or has no folder.
        """
        known = await self._documents.get(command.project)
        if known is None:
            raise self._unknown(command)
        if adds and known.archived:
            raise RejectedError(
                f"project {command.project!r} is archived and takes no new data; register it again"
            )
        if known.folder is None:
            raise RejectedError(
                f"project {command.project!r} has no folder; register it with its path"
            )
        return self._place(command.project, known.folder, known.remote, known.data)

    async def settings_of(self, project: str) -> DataSettings:
        """Return what a project says about its data; the usual for one that is not known."""
        known = await self._documents.get(project)
        return known.data if known else DataSettings()

    async def place_of(self, project: str) -> Place:
        """Return where the data of a project stand, for who only reads; RejectedError when it has none."""
        known = await self._documents.get(project)
        if known is None or known.folder is None:
            raise RejectedError(
                f"project {project!r} is not registered with a folder; run `mlops register` in it"
            )
        return self._place(project, known.folder, known.remote, known.data)

    async def places(self, *, archived: bool = False) -> list[Place]:
        """Return where the data of every project that takes new ones stand; of *archived* ones too if asked."""
        known = await self._documents.all()
        return [
            self._place(project, one.folder, one.remote, one.data)
            for project, one in sorted(known.items())
            if one.folder is not None and (archived or not one.archived)
        ]

    def _unknown(self, command: ProjectCommand) -> Exception:
        text = f"project {command.project!r} is not registered; run `mlops register` in its folder"
        just_sent = abs(self._clock() - command.time) < PATIENCE
        return UnavailableError(text) if just_sent else RejectedError(text)

    def _place(self, project: str, folder: str, remote: str, data: DataSettings) -> Place:
        rate = bytes_per_s(data.bandwidth or self._bandwidth)
        return Place(project, folder, self._remote(project, remote), self._cache, rate)

    def _remote(self, project: str, wished: str) -> str:
        return wished or f"{self._remote_root}/{project}"

    async def _refuse_shared(self, place: Place) -> None:
        """A collection in one project would take from under an addition in the other what both have there."""
        for other in await self.places(archived=True):
            if other.project != place.project and model.overlap(other.remote, place.remote):
                raise RejectedError(
                    f"remote {place.remote!r} is that of project {other.project!r} ({other.remote!r}), or lies inside "
                    "or around it; give [data] remote a folder of its own, as in s3://bucket/PROJECT"
                )

    async def _move(self, project: str, before: str, place: Place) -> None:
        """Bring what the versions name to the new remote; until all is there they stay where they are."""
        async with self._turns[project]:
            old = replace(place, remote=self._remote(project, before))
            known = await self._registry.known(project)
            contents = {version.content.oid: version.content for version in known}
            for content in contents.values():
                await self._datasets.files(old, content)
            if contents:
                await self._datasets.push(place, sorted(contents))
            await self._registry.moved(project, place.remote)

    async def _keep_remote(self, event: ProjectRegistered | ProjectUpdated, remote: str) -> None:
        def change(now: KnownProject | None) -> KnownProject:
            if now is None:
                return KnownProject(folder=event.path, at=event.time, remote=remote)
            return now.model_copy(update={"remote": remote})

        await self._documents.change(event.project, change, applied=f"{event.id}:remote")

    def _refused(self, event: ProjectRegistered | ProjectUpdated, reason: str) -> WorkspaceRefused:
        return WorkspaceRefused(
            project=event.project,
            component=COMPONENT,
            reason=reason[:2000],
            revision=event.revision,
        )
