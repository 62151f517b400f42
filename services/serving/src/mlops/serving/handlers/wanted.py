# SPDX-License-Identifier: Apache-2.0
"""A wish becomes the newest of its model, once; and that its rollout has started is told, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from mlops.chassis.bus import Documents
from mlops.contracts.message import Message
from mlops.contracts.serving import DeploymentStarted
from mlops.serving.model.apps import endpoint, key_of
from mlops.serving.model.wishes import Wish, want
from mlops.serving.ports import Deployment


class Wanted:
    """What is wanted of each model; *nudge* wakes the reconciler."""

    def __init__(
        self, deployments: Documents[Deployment], drain: timedelta, nudge: Callable[[], None]
    ) -> None:
        self._deployments = deployments
        self._drain = drain
        self._nudge = nudge

    async def want(self, project: str, model: str, wish: Wish) -> Deployment:
        """Return the model's document with *wish* in it; the same cause again changes nothing."""

        def change(now: Deployment | None) -> Deployment:
            current = now or Deployment(project=project, model=model)
            return current.model_copy(update={"state": want(current.state, wish, self._drain)})

        key = key_of(project, model)
        kept = await self._deployments.change(key, change, applied=wish.cause.id)
        self._nudge()
        return kept


def started(known: Deployment, cause: Message) -> list[Message]:
    """Return that the rollout which a message has caused has begun, nothing if it has caused none or tells so itself."""
    rollout = known.state.caused_by(cause.id)
    if rollout is None or rollout.tells_its_start:
        return []
    return [
        DeploymentStarted(
            project=known.project,
            deployment_id=rollout.deployment_id,
            model=known.model,
            version=rollout.version,
            endpoint=endpoint(known.model),
            previous_version=rollout.previous_version,
            why=rollout.why,
        )
    ]
