# SPDX-License-Identifier: Apache-2.0
"""Wishes about projects become their documents and facts; reports of services are collected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.datasets import remote_problem
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import (
    ArchiveProject,
    ProjectArchived,
    ProjectRegistered,
    ProjectUpdated,
    RegisterProject,
    UpdateProject,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.workspaces import model
from mlops.workspaces.model import Fact, State
from mlops.workspaces.ports import Folders, Project, Provisioned, content_of


class Handlers:
    """Everything workspaces reacts to."""

    def __init__(self, projects: Documents[Project], folders: Folders, clock: Clock) -> None:
        self._projects = projects
        self._folders = folders
        self._clock = clock

    async def do_register_project(self, command: RegisterProject) -> Sequence[Message]:
        """Make a project known, open a closed one, or tell a known one again."""
        await self._check(command.project, command.settings, command.path)
        content = content_of(command.settings, command.path)

        def change(now: Project | None) -> Project:
            outcome = model.register(now.standing if now else None, content)
            return self._changed(now, command, command.path, outcome)

        project = await self._projects.change(command.project, change, applied=command.id)
        return _told(project, command)

    async def do_update_project(self, command: UpdateProject) -> Sequence[Message]:
        """Replace the settings of an active project; without a path it keeps its folder."""
        await self._check(command.project, command.settings, command.path)
        known = await self._known(command.project)

        def change(now: Project | None) -> Project:
            current = now or known
            _refuse_closed(current, command.project)
            path = command.path or current.path
            outcome = model.update(current.standing, content_of(command.settings, path))
            return self._changed(current, command, path, outcome)

        project = await self._projects.change(command.project, change, applied=command.id)
        return _told(project, command)

    async def do_archive_project(self, command: ArchiveProject) -> Sequence[Message]:
        """Close a project; what it made stays."""
        known = await self._known(command.project)

        def change(now: Project | None) -> Project:
            current = now or known
            outcome = model.archive(current.standing)
            return current.model_copy(
                update={
                    "state": outcome.standing.state,
                    "archive_reason": command.reason,
                    "changed_at": self._clock(),
                    "acts": current.after(command.id, outcome.fact),
                }
            )

        project = await self._projects.change(command.project, change, applied=command.id)
        if project.state is not State.ARCHIVED:
            return []  # opened since; its registration is the newer word
        return [ProjectArchived(project=command.project, reason=project.archive_reason)]

    async def on_workspace_provisioned(self, event: WorkspaceProvisioned) -> Sequence[Message]:
        """Keep what a service has made."""
        report = Provisioned(names=event.names, revision=event.revision, at=event.time)
        return await self._collect(event.project, event.component, report, event.id)

    async def on_workspace_refused(self, event: WorkspaceRefused) -> Sequence[Message]:
        """Keep why a service has not made its part."""
        report = Provisioned(refusal=event.reason, revision=event.revision, at=event.time)
        return await self._collect(event.project, event.component, report, event.id)

    async def list_projects(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.workspaces.list`: every project, by name."""
        found = await self._projects.all()
        return {"projects": [_view(name, found[name]) for name in sorted(found)]}

    async def get_project(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.workspaces.get {project}`."""
        name = str(question.get("project", ""))
        return {"project": _view(name, await self._known(name))}

    async def _collect(
        self, name: str, component: str, report: Provisioned, applied: str
    ) -> Sequence[Message]:
        known = await self._known(name)

        def change(now: Project | None) -> Project:
            current = now or known
            kept = current.provisioned.get(component)
            if not model.is_newer(report.order, kept.order if kept else None):
                return current
            return current.model_copy(
                update={"provisioned": {**current.provisioned, component: report}}
            )

        await self._projects.change(name, change, applied=applied)
        return []

    async def _check(self, name: str, settings: ProjectSettings, path: str | None) -> None:
        if settings.name != name:
            raise RejectedError(
                f"the settings are of project {settings.name!r}, the command is for {name!r}; "
                "make `name` in mlops.toml and the command's project the same"
            )
        if unfit := remote_problem(settings.data.remote):
            raise RejectedError(f"project {name!r}: [data] remote {unfit}")
        problem = await asyncio.to_thread(self._folders.problem, path) if path else None
        if problem:
            raise RejectedError(f"project {name!r}: {problem}")

    async def _known(self, name: str) -> Project:
        project = await self._projects.get(name) if name else None
        if project is None:
            known = ", ".join(sorted(await self._projects.all())) or "none yet"
            raise RejectedError(
                f"no project {name!r} is registered; registered are: {known}. "
                "Register it with `mlops register` in its folder"
            )
        return project

    def _changed(
        self,
        now: Project | None,
        command: RegisterProject | UpdateProject,
        path: str | None,
        outcome: model.Outcome,
    ) -> Project:
        at = self._clock()
        kept = now or Project(settings=command.settings, registered_at=at, changed_at=at)
        same = now is not None and now.standing == outcome.standing
        return kept.model_copy(
            update={
                "settings": command.settings,
                "path": path or None,
                "state": outcome.standing.state,
                "revision": outcome.standing.revision,
                "archive_reason": "",
                "changed_at": kept.changed_at if same else at,
                "acts": kept.after(command.id, outcome.fact),
            }
        )


def _refuse_closed(project: Project, name: str) -> None:
    if project.state is State.ARCHIVED:
        raise RejectedError(f"project {name!r} is archived; register it again to open it")


def _told(project: Project, command: RegisterProject | UpdateProject) -> Sequence[Message]:
    # From the document, not from "was it new": a redelivery after a crash must tell the same fact.
    if project.state is State.ARCHIVED:
        return []  # closed since; told now, the registration would open it everywhere else
    updated = project.fact_of(command.id) is Fact.UPDATED
    kind: Callable[..., ProjectRegistered | ProjectUpdated] = (
        ProjectUpdated if updated else ProjectRegistered
    )
    fact = kind(
        project=command.project,
        settings=project.settings,
        path=project.path,
        revision=project.revision,
    )
    return [fact]


def _view(name: str, project: Project) -> dict[str, Any]:
    return {"project": name, **project.model_dump(mode="json", exclude={"acts"})}
