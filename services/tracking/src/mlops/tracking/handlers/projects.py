# SPDX-License-Identifier: Apache-2.0
"""Projects: each gets a workspace and an experiment in MLflow, and its settings are remembered for the gate."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import AwareDatetime

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message, Part
from mlops.contracts.settings import EvaluateSettings
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
    ProjectUpdated,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.tracking.ports import Workspaces

NAME = "tracking"


class TrackedProject(Part):
    """The document of a project in the bucket `tracking_projects`, by the project's name."""

    evaluate: EvaluateSettings = EvaluateSettings()
    folder: str | None = None
    revision: int = 0
    archived: bool = False
    at: AwareDatetime | None = None


class Projects:
    """Makes MLflow's part of a project and keeps what the gate needs to know."""

    def __init__(
        self, projects: Documents[TrackedProject], workspaces: Workspaces, tracking_uri: str
    ) -> None:
        self._projects = projects
        self._workspaces = workspaces
        self._tracking_uri = tracking_uri

    async def on_project_changed(
        self, event: ProjectRegistered | ProjectUpdated
    ) -> Sequence[Message]:
        """Provision the workspace and remember the newest settings."""

        def change(now: TrackedProject | None) -> TrackedProject:
            if now is not None and now.revision > event.revision:
                return now
            settings, folder = event.settings.evaluate, event.path
            if now is not None and now.archived and _is_older(event, now):
                # The archive has overtaken its registration.
                newest = {"evaluate": settings, "folder": folder, "revision": event.revision}
                return now.model_copy(update=newest)
            return TrackedProject(
                evaluate=settings, folder=folder, revision=event.revision, at=event.time
            )

        try:
            names = await self._workspaces.provision(event.project)
        except RejectedError as error:
            return [_refused(event, str(error))]
        known = await self._projects.change(event.project, change, applied=event.id)
        await self._admit(event.project, known)
        return [
            WorkspaceProvisioned(
                project=event.project,
                component=NAME,
                names={**names, "tracking_uri": self._tracking_uri},
                revision=event.revision,
            )
        ]

    async def on_project_archived(self, event: ProjectArchived) -> Sequence[Message]:
        """Take and promote nothing of this project any more; its runs stay readable and may end."""

        def change(now: TrackedProject | None) -> TrackedProject:
            if now is not None and _is_older(event, now):
                return now
            closed = {"archived": True, "at": event.time}
            return (now or TrackedProject()).model_copy(update=closed)

        known = await self._projects.change(event.project, change, applied=event.id)
        await self._admit(event.project, known)
        return []

    async def _admit(self, project: str, known: TrackedProject) -> None:
        # From the state, not from the message: a redelivery, or one that comes late, does the same. The state is
        # looked at again afterwards: archive and registration may be handled at the same time.
        while True:
            if known.archived:
                await self._workspaces.close(project, "archived")
            else:
                await self._workspaces.reopen(project)
            now = await self._projects.get(project)
            if now is None or now.archived == known.archived:
                return
            known = now


def _is_older(event: Message, now: TrackedProject) -> bool:
    return now.at is not None and event.time < now.at


def _refused(event: ProjectRegistered | ProjectUpdated, reason: str) -> WorkspaceRefused:
    return WorkspaceRefused(
        project=event.project, component=NAME, reason=reason[:2000], revision=event.revision
    )
