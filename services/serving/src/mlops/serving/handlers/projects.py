# SPDX-License-Identifier: Apache-2.0
"""Projects and heat: what a project wants of serving, and how hot the nodes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled
from mlops.contracts.workspaces import (
    ProjectRegistered,
    ProjectUpdated,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.serving.handlers.names import NAME, endpoint
from mlops.serving.handlers.owners import Owners
from mlops.serving.ports import Heat, Served


class ProjectHandlers:
    """Keeps what every rollout of a project needs; *nudge* wakes the reconciler."""

    def __init__(
        self,
        projects: Documents[Served],
        heat: Documents[Heat],
        owners: Owners,
        nudge: Callable[[], None],
    ) -> None:
        self._projects = projects
        self._heat = heat
        self._owners = owners
        self._nudge = nudge

    async def on_project(self, event: ProjectRegistered | ProjectUpdated) -> Sequence[Message]:
        """Keep the project's settings; two projects cannot have the same endpoint."""
        wished = event.settings.serve
        news = Served(
            settings=wished,
            metric=event.settings.evaluate.metric,
            revision=event.revision,
            refusal=await self._refusal(event.project, wished.model),
        )
        kept = await self._projects.change(
            event.project,
            lambda now: now if now and now.revision > event.revision else news,
            applied=event.id,
        )
        self._nudge()
        return [_answer(event, kept)]

    async def on_thermal_throttled(self, event: ThermalThrottled) -> Sequence[Message]:
        """Compute fewer predictions at once while a node is hot."""
        return await self._feel(event)

    async def on_thermal_recovered(self, event: ThermalRecovered) -> Sequence[Message]:
        """Go back to full concurrency."""
        return await self._feel(event)

    async def _feel(self, event: ThermalThrottled | ThermalRecovered) -> Sequence[Message]:
        news = Heat(level=event.level, at=event.time)
        await self._heat.change(
            event.node, lambda now: now if now and now.at > news.at else news, applied=event.id
        )
        self._nudge()
        return []

    async def _refusal(self, project: str, model: str) -> str:
        if not model:
            return ""
        try:
            await self._owners.check_endpoint(project, model)
        except RejectedError as error:
            return str(error)
        return ""


def _answer(event: ProjectRegistered | ProjectUpdated, kept: Served) -> Message:
    if kept.refusal:
        return WorkspaceRefused(
            project=event.project,
            component=NAME,
            reason=kept.refusal[:2000],
            revision=event.revision,
        )
    model = event.settings.serve.model
    return WorkspaceProvisioned(
        project=event.project,
        component=NAME,
        names={"endpoint": endpoint(model)} if model else {},
        revision=event.revision,
    )
