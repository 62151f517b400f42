# SPDX-License-Identifier: Apache-2.0
"""A registered project gets its remote and its part of the shared cache, and is remembered with its folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.message import Message, ProjectCommand
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
    ProjectUpdated,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.versioning.ports import Datasets, KnownProject, Place

COMPONENT = "versioning"
# A command may overtake the registration it follows; this long it is tried again instead of refused.
PATIENCE = timedelta(seconds=5)


class Projects:
    """Which projects there are and where their data stand."""

    def __init__(
        self,
        documents: Documents[KnownProject],
        datasets: Datasets,
        clock: Clock,
        *,
        remote_root: str,
        cache: str,
    ) -> None:
        self._documents = documents
        self._datasets = datasets
        self._clock = clock
        self._remote_root = remote_root
        self._cache = cache

    async def on_project_registered(
        self, event: ProjectRegistered | ProjectUpdated
    ) -> Sequence[Message]:
        """Provision the folder and say what was made; without a folder there is nothing to version."""

        def change(now: KnownProject | None) -> KnownProject:
            if now is not None and now.at > event.time:
                return now
            return KnownProject(folder=event.path, revision=event.revision, at=event.time)

        await self._documents.change(event.project, change, applied=event.id)
        if event.path is None:
            return [self._refused(event, "the project names no folder; register it with its path")]
        place = self._place(event.project, event.path)
        try:
            await self._datasets.provision(place)
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
        return self._place(command.project, known.folder)

    def _unknown(self, command: ProjectCommand) -> Exception:
        text = f"project {command.project!r} is not registered; run `mlops register` in its folder"
        just_sent = abs(self._clock() - command.time) < PATIENCE
        return UnavailableError(text) if just_sent else RejectedError(text)

    def _place(self, project: str, folder: str) -> Place:
        return Place(project, folder, f"{self._remote_root}/{project}", self._cache)

    def _refused(self, event: ProjectRegistered | ProjectUpdated, reason: str) -> WorkspaceRefused:
        return WorkspaceRefused(
            project=event.project,
            component=COMPONENT,
            reason=reason[:2000],
            revision=event.revision,
        )
