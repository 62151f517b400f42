# SPDX-License-Identifier: Apache-2.0
"""What waits for a person's yes is told, with what it will take, until somebody has said something."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertRaised, AlertResolved
from mlops.contracts.orchestration_bridge import (
    Decision,
    WorkflowApproved,
    WorkflowCancelled,
    WorkflowKind,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.tracking import ModelNominated, ModelPromoted

WORKFLOW = {"workflow_key": "rainfall-7", "kind": WorkflowKind.RETRAIN, "model": "rain"}
DECISION = Decision(admitted=False, reason="waits for a person")
QUEUED = {
    **WORKFLOW,
    "why": "accuracy fell",
    "trigger_type": "performance.degraded",
    "trigger_id": "e-1",
    "place": 1,
    "decision": DECISION,
}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (WorkflowApproved, {"waited_s": 60.0, "decision": DECISION}),
        (WorkflowCancelled, {"reason": "no"}),
        (WorkflowStarted, {"dag_id": "d", "dag_run_id": "r", "waited_s": 60.0}),
    ],
)
async def test_a_retraining_that_waits_for_a_yes_is_told_with_what_it_takes(
    office: Any, kind: type[Message], fields: dict[str, Any]
) -> None:
    await office.register()
    await office.train(42.0, 310.0)
    await office.hear(WorkflowQueued, **QUEUED, awaits_approval=True)
    told = await office.look()

    await office.hear(kind, **WORKFLOW, **fields)

    (raised,), (resolved,) = office.heard(AlertRaised), office.heard(AlertResolved)
    assert told == ["chat: raised"]
    assert raised.title == "retrain of rain waits for a yes: accuracy fell"
    assert raised.suggestion == (
        "`mlops workflow approve rainfall-7` lets it go, `mlops workflow cancel rainfall-7` does not. "
        "A retraining takes about 42 s and 310 J (as the last one did)."
    )
    assert resolved.alert_id == raised.alert_id


async def test_a_retraining_that_waits_for_nobody_is_no_alert(office: Any) -> None:
    await office.hear(WorkflowQueued, **QUEUED)

    assert office.heard(AlertRaised) == []


async def test_a_version_that_waits_for_a_yes_is_told_by_its_newest(office: Any) -> None:
    for version in (3, 4):
        await office.hear(ModelNominated, name="rain", version=version, reason="it is better")
    (shown,) = (await office.bus.ask("monitoring", "alerts", {"open": True}))["alerts"]

    await office.hear(ModelPromoted, name="rain", version=4)

    (raised,), (resolved,) = office.heard(AlertRaised), office.heard(AlertResolved)
    assert shown["title"] == "rain v4 waits for a yes: it is better"
    assert "mlops model promote rain 4" in shown["suggestion"]
    assert raised.dedup_key == "rainfall.rain.promotion"
    assert resolved.reason == "version 4 was promoted"
