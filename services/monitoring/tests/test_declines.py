# SPDX-License-Identifier: Apache-2.0
"""A retraining that is put off again and again is an alert until one is accepted, or nothing asks any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from services.monitoring.tests.conftest import SEEN

from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertRaised, AlertResolved, PerformanceRecovered
from mlops.contracts.orchestration_bridge import (
    Decision,
    WorkflowDeclined,
    WorkflowKind,
    WorkflowQueued,
)
from mlops.contracts.serving import DeploymentProgressed

HOUR = timedelta(hours=1)
QUEUED: dict[str, Any] = {
    "workflow_key": "rainfall-8", "kind": WorkflowKind.RETRAIN, "model": "rain", "why": "drift",
    "trigger_type": "drift.detected", "trigger_id": "t", "place": 1,
    "decision": Decision(admitted=True, reason="free"),
}  # fmt: skip
RECOVERED: dict[str, Any] = {
    "model": "rain", "version": 1, "metric": "accuracy", "value": 0.9, "threshold": 0.8, "window": SEEN,
}  # fmt: skip


async def decline(office: Any, times: int, *, later: bool = True) -> None:
    for _ in range(times):
        office.now += HOUR
        await office.hear(
            WorkflowDeclined,
            kind=WorkflowKind.RETRAIN,
            model="rain",
            trigger_type="drift.detected",
            trigger_id="t",
            reason="cooling down",
            retry_at=office.now + HOUR if later else None,
        )


async def test_the_third_within_a_day_is_told_once(office: Any) -> None:
    await office.register()
    await office.train(60.0)
    await decline(office, 2)
    before = office.heard(AlertRaised)
    await decline(office, 3)

    (raised,) = office.heard(AlertRaised)
    assert before == []
    assert raised.kind == "declined"
    assert raised.title.startswith("rain has asked for a retrain 3 times in 24 hours")
    assert "mlops workflow start --kind retrain --model rain -p rainfall" in raised.suggestion
    assert "A retraining takes about 60 s" in raised.suggestion


async def test_those_of_other_days_and_what_is_never_wanted_do_not_count(office: Any) -> None:
    await decline(office, 9, later=False)
    for _ in range(4):
        office.now += 12 * HOUR
        await decline(office, 1)

    assert office.heard(AlertRaised) == []


@pytest.mark.parametrize(
    ("kind", "fields"), [(WorkflowQueued, QUEUED), (PerformanceRecovered, RECOVERED)]
)
async def test_it_is_over_when_one_is_accepted_or_nothing_asks_any_more(
    office: Any, kind: type[Message], fields: dict[str, Any]
) -> None:
    await decline(office, 3)
    await office.hear(kind, **fields)

    assert len(office.heard(AlertResolved)) == 1


async def test_after_one_was_accepted_they_are_counted_anew(office: Any) -> None:
    await decline(office, 3)
    await office.hear(WorkflowQueued, **QUEUED)
    await decline(office, 2)

    assert len(office.heard(AlertRaised)) == 1


async def test_what_was_put_off_before_it_was_settled_is_no_alert_when_heard_afterwards(
    office: Any,
) -> None:
    began = office.now
    office.now = began + 10 * HOUR
    await office.hear(WorkflowQueued, **QUEUED)
    office.now = began
    await decline(office, 5)  # the last of them at five hours

    office.now = began + 10 * HOUR
    await decline(office, 2)

    assert office.heard(AlertRaised) == []
    await decline(office, 1)
    assert office.heard(AlertRaised)[0].title.startswith("rain has asked for a retrain 3 times")


async def test_an_older_acceptance_that_is_heard_late_settles_nothing_newer(office: Any) -> None:
    began = office.now
    await decline(office, 3)
    office.now = began + HOUR / 2
    await office.hear(WorkflowQueued, **QUEUED)

    office.now = began + 3 * HOUR
    await decline(office, 1)

    assert len(office.heard(AlertRaised)) == 1
    assert office.heard(AlertResolved) == []


async def test_one_of_the_day_before_that_is_heard_late_does_not_count(office: Any) -> None:
    began = office.now
    office.now = began + 28 * HOUR
    await decline(office, 2)
    office.now = began + HOUR
    await decline(office, 1)

    assert office.heard(AlertRaised) == []


async def test_replicas_that_are_lost_are_an_alert_until_they_are_back(office: Any) -> None:
    rollout = {"deployment_id": "d-1", "model": "rain", "version": 2, "traffic_ratio": 1.0}
    await office.hear(DeploymentProgressed, **rollout, phase="lost", reason="0 of 1 answer")
    await office.hear(DeploymentProgressed, **rollout, phase="scaled")
    still = office.heard(AlertResolved)
    await office.hear(DeploymentProgressed, **rollout, phase="recovered")

    (raised,) = office.heard(AlertRaised)
    assert (raised.kind, raised.severity) == ("replicas", "critical")
    assert raised.title == "rain v2 has lost replicas: 0 of 1 answer"
    assert still == []
    assert len(office.heard(AlertResolved)) == 1
