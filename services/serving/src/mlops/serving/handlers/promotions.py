# SPDX-License-Identifier: Apache-2.0
"""Promotions: a champion is rolled out if its project serves the model, else remembered until it does.

Promotions and projects are read side by side. Each writes what it has read before it looks at what the other wrote, so
that one of them sees both; a rollout that both want is one, because it has one cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message
from mlops.contracts.tracking import ModelPromoted
from mlops.serving.handlers.names import cause_of
from mlops.serving.handlers.owners import is_name
from mlops.serving.handlers.wanted import Wanted, started
from mlops.serving.handlers.wishes import champion
from mlops.serving.model.apps import key_of
from mlops.serving.model.promotions import Promotion, is_over, newest, without
from mlops.serving.ports import Promoted, Served


class Promotions:
    """Listens to tracking, and is asked again when a project has changed."""

    def __init__(
        self,
        documents: Documents[Promoted],
        projects: Documents[Served],
        wanted: Wanted,
        clock: Clock,
    ) -> None:
        self._documents = documents
        self._projects = projects
        self._wanted = wanted
        self._clock = clock

    async def on_model_promoted(self, event: ModelPromoted) -> Sequence[Message]:
        """Roll out the new champion, or remember it."""
        project, model, promotion = event.project, event.name, _promotion(event)
        served = await self._projects.get(project)
        if served is not None and served.serves(model):
            wish = champion(promotion, served, model, now=self._clock())
            return started(await self._wanted.want(project, model, wish), event)
        if is_name(model):  # another name never becomes an endpoint
            await self._remember(project, model, promotion)
            await self.catch_up(project, model)
        return []

    async def catch_up(self, project: str, model: str) -> None:
        """Roll out what was promoted before its project served it; forget what a closed project has left."""
        served = await self._projects.get(project)
        known = await self._documents.get(key_of(project, model)) if is_name(model) else None
        if served is None or known is None or known.promotion is None:
            return
        promotion = known.promotion
        if served.serves(model):
            # The answer to a project's message is no place to tell of it: the rollout does so itself.
            wish = champion(promotion, served, model, now=self._clock(), own=True)
            await self._wanted.want(project, model, wish)
            await self._forget(known, promotion)
        elif served.archived and is_over(promotion, served.at):
            await self._forget(known, promotion)

    async def close(self, project: str, closed_at: datetime) -> None:
        """Forget what was promoted of a project until it was closed."""
        for known in (await self._documents.all()).values():
            promotion = known.promotion
            if known.project == project and promotion and is_over(promotion, closed_at):
                await self._forget(known, promotion)

    async def _remember(self, project: str, model: str, told: Promotion) -> None:
        def change(now: Promoted | None) -> Promoted:
            known = now.promotion if now else None
            return Promoted(project=project, model=model, promotion=newest(known, told))

        await self._documents.change(key_of(project, model), change, applied=told.cause.id)

    async def _forget(self, known: Promoted, done: Promotion) -> None:
        # The document stays: it knows which messages were applied, and a newer promotion may have come meanwhile.
        def change(now: Promoted | None) -> Promoted:
            current = now or known
            return current.model_copy(update={"promotion": without(current.promotion, done)})

        key = key_of(known.project, known.model)
        await self._documents.change(key, change, applied=f"{done.cause.id}/done")


def _promotion(event: ModelPromoted) -> Promotion:
    return Promotion(
        version=event.version,
        cause=cause_of(event),
        at=event.time,
        why=event.reason or "promoted",
        metric=event.metric,
        metrics=event.candidate_metrics,
    )
