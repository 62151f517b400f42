# SPDX-License-Identifier: Apache-2.0
"""Projects: what each wants of serving, and the endpoint that it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.workspaces import (
    ProjectRegistered,
    ProjectUpdated,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.serving.handlers.names import NAME
from mlops.serving.handlers.owners import Owners
from mlops.serving.handlers.promotions import Promotions
from mlops.serving.model.apps import endpoint
from mlops.serving.ports import Served


class ProjectHandlers:
    """Keeps what every rollout of a project needs; *nudge* wakes the reconciler."""

    def __init__(
        self,
        projects: Documents[Served],
        owners: Owners,
        promotions: Promotions,
        nudge: Callable[[], None],
    ) -> None:
        self._projects = projects
        self._owners = owners
        self._promotions = promotions
        self._nudge = nudge

    async def on_project(self, event: ProjectRegistered | ProjectUpdated) -> Sequence[Message]:
        """Keep the project's settings; two projects cannot have the same endpoint."""
        wished = event.settings.serve
        news = Served(
            settings=wished,
            metric=event.settings.evaluate.metric,
            revision=event.revision,
            weight=event.settings.share.weight,
            refusal=await self._refusal(event.project, wished.model),
            at=event.time,
        )
        kept = await self._projects.change(
            event.project, lambda now: _newest(now, news), applied=event.id
        )
        await self._promotions.catch_up(event.project, kept.settings.model)
        self._nudge()
        return [_answer(event, kept)]

    async def _refusal(self, project: str, model: str) -> str:
        if not model:
            return ""
        try:
            await self._owners.check_endpoint(project, model)
        except RejectedError as error:
            return str(error)
        return ""


def _newest(now: Served | None, news: Served) -> Served:
    if now is None:
        return news
    if now.revision > news.revision:
        return now
    if now.archived and news.at is not None and now.is_after(news.at):
        # The archive has overtaken what it closes.
        return news.model_copy(update={"archived": True, "at": now.at})
    return news


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
