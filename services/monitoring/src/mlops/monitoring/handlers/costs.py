# SPDX-License-Identifier: Apache-2.0
"""Costs: remembers what the last retrainings of each project took, for the advice of alerts."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.chassis.bus import Documents
from mlops.contracts.message import Message, Part
from mlops.contracts.orchestration_bridge import WorkflowCompleted, WorkflowKind
from mlops.monitoring.model.costs import Spent, with_one_more

_TRAINING = (WorkflowKind.TRAIN, WorkflowKind.RETRAIN)


class Costs(Part):
    """What the last retrainings of a project took; a document of `monitoring_costs`, by the project's name."""

    spent: tuple[Spent, ...] = ()


class CostHandlers:
    """What happens when a workflow has ended well."""

    def __init__(self, costs: Documents[Costs]) -> None:
        self._costs = costs

    async def on_workflow_completed(self, event: WorkflowCompleted) -> Sequence[Message]:
        """Note what a training took."""
        if event.kind not in _TRAINING:
            return []
        one = Spent(event.duration_s, None if event.energy is None else event.energy.joules)

        def change(now: Costs | None) -> Costs:
            return Costs(spent=with_one_more((now or Costs()).spent, one))

        await self._costs.change(event.project, change, applied=event.id)
        return []
