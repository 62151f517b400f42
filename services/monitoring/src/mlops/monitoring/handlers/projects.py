# SPDX-License-Identifier: Apache-2.0
"""What a project wants watched, and where its reports will be."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.chassis.bus import Documents
from mlops.contracts.message import Message
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
    ProjectUpdated,
    WorkspaceProvisioned,
)
from mlops.monitoring.model.metrics import can_measure, names
from mlops.monitoring.ports import Reports, WatchedProject

COMPONENT = "monitoring"


class ProjectHandlers:
    """What happens when a project comes, changes or goes."""

    def __init__(self, projects: Documents[WatchedProject], reports: Reports) -> None:
        self._projects = projects
        self._reports = reports

    async def on_project_changed(
        self, event: ProjectRegistered | ProjectUpdated
    ) -> Sequence[Message]:
        """Keep the newest settings and say what was made."""
        told = WatchedProject(
            evaluate=event.settings.evaluate,
            monitor=event.settings.monitor,
            alerts=event.settings.alerts,
            path=event.path,
            revision=event.revision,
            told_at=event.time,
        )

        def change(now: WatchedProject | None) -> WatchedProject:
            return now if now is not None and _is_old(now, event) else told

        await self._projects.change(event.project, change, applied=event.id)
        names = {**self._reports.names(event.project), "performance": _performance(told)}
        return [
            WorkspaceProvisioned(
                project=event.project, component=COMPONENT, names=names, revision=event.revision
            )
        ]

    async def on_project_archived(self, event: ProjectArchived) -> Sequence[Message]:
        """Watch the project no longer; what was found stays readable."""

        def change(now: WatchedProject | None) -> WatchedProject:
            known = now or WatchedProject()
            if known.knows_better(event.time):
                return known
            return known.model_copy(update={"archived": True, "told_at": event.time})

        await self._projects.change(event.project, change, applied=event.id)
        return []


def _is_old(now: WatchedProject, event: ProjectRegistered | ProjectUpdated) -> bool:
    return now.revision > event.revision or now.knows_better(event.time)


def _performance(project: WatchedProject) -> str:
    metric = project.evaluate.metric
    if can_measure(metric):
        return metric
    return f"not measured: {metric!r} does not follow from predictions and labels; {names()} do"
