# SPDX-License-Identifier: Apache-2.0
"""The aftermath: while the version before is kept warm, a version that took over and fails gives way to it at once."""

from __future__ import annotations

from datetime import timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import UnavailableError
from mlops.contracts.message import follow_up_id
from mlops.contracts.serving import DeploymentCompleted
from mlops.serving.model.rollout import Cause
from mlops.serving.model.state import watched
from mlops.serving.model.wishes import want, way_back
from mlops.serving.ports import Deployment
from mlops.serving.sources.judging import Judge


class Aftermath:
    """Looks at what has completed for as long as there is a quick way back."""

    def __init__(
        self, deployments: Documents[Deployment], judge: Judge, clock: Clock, drain: timedelta
    ) -> None:
        self._deployments = deployments
        self._judge = judge
        self._clock = clock
        self._drain = drain

    async def look(self, key: str, known: Deployment) -> None:
        """Go back to the version before where the new one fails too often."""
        rollout = watched(known.state, self._clock())
        if rollout is None or not (fault := await self._judge.kept(known, rollout)):
            return
        now = self._clock()
        identity = follow_up_id(rollout.deployment_id, DeploymentCompleted.type, 0)
        cause = Cause(identity, rollout.cause.story_id, rollout.cause.traceparent)
        why = f"version {rollout.version} after it took over: {fault}"

        def change(current: Deployment | None) -> Deployment:
            if current is None:
                raise UnavailableError(f"the document {key} is gone")
            wish = way_back(current.state, cause, now, why, own=True)
            if wish is None:
                return current
            return current.model_copy(update={"state": want(current.state, wish, self._drain)})

        await self._deployments.change(key, change, applied=f"{rollout.deployment_id}/back")
