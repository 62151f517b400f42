# SPDX-License-Identifier: Apache-2.0
"""What is told of workflows and rollouts that went wrong, and what a retraining will take."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.contracts.message import Message
from mlops.contracts.monitoring import (
    AlertRaised,
    AlertResolved,
    PerformanceDegraded,
    ReferenceChosen,
    Window,
)
from mlops.contracts.orchestration_bridge import WorkflowFailed, WorkflowKind
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentProgressed,
    DeploymentRemoved,
    DeploymentReverted,
)
from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled
from mlops.contracts.versioning import RemoteLost, RemoteRegained

WORKFLOW = {"workflow_key": "rainfall-7", "kind": WorkflowKind.RETRAIN, "model": "rain"}
DEPLOYMENT = {"deployment_id": "d-2", "model": "rain", "version": 2}


async def test_the_advice_says_what_a_retraining_takes(office: Any) -> None:
    await office.register()
    await office.train(40.0, 300.0)
    await office.train(44.0, 320.0)

    await office.drift()

    (raised,) = office.heard(AlertRaised)
    assert raised.suggestion == (
        "Look at the report. A retraining takes about 42 s and 310 J (the median of the last 2)."
    )


async def test_a_failed_training_is_an_alert_until_one_works(office: Any) -> None:
    await office.hear(
        WorkflowFailed, **WORKFLOW, step="train", diagnosis="out of memory\nline 2", duration_s=3.0
    )
    await office.train(42.0)

    (raised,), (resolved,) = office.heard(AlertRaised), office.heard(AlertResolved)
    assert raised.title == "retrain failed at train: out of memory"
    assert (raised.dedup_key, raised.severity) == ("rainfall.rain.training", "warning")
    assert "mlops explain rainfall-7" in raised.suggestion
    assert resolved.alert_id == raised.alert_id


@pytest.mark.parametrize(
    ("kind", "severity"), [(DeploymentFailed, "critical"), (DeploymentReverted, "warning")]
)
async def test_a_rollout_that_went_wrong_is_an_alert_until_one_works(
    office: Any, kind: type[Message], severity: str
) -> None:
    await office.hear(kind, **DEPLOYMENT, reason="no such file\nTraceback")
    await office.hear(DeploymentCompleted, **{**DEPLOYMENT, "version": 3}, endpoint="/v2/x")

    (raised,), (resolved,) = office.heard(AlertRaised), office.heard(AlertResolved)
    assert raised.title.endswith(": no such file")
    assert (raised.dedup_key, raised.severity) == ("rainfall.rain.deployment", severity)
    assert resolved.alert_id == raised.alert_id


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        (DeploymentProgressed, {"phase": "canary"}, "the rollout of version 2 goes on: canary"),
        (DeploymentCompleted, {"endpoint": "/v2/x"}, "the rollout of version 2 has ended: completed"),
        (DeploymentReverted, {"reason": "slow"}, "the rollout of version 2 has ended: reverted"),
        (DeploymentFailed, {"reason": "gone"}, "the rollout of version 2 has ended: failed"),
    ],
)  # fmt: skip
async def test_a_rollout_that_is_held_is_an_alert_until_it_goes_on_or_ends(
    office: Any, kind: type[Message], fields: dict[str, Any], reason: str
) -> None:
    why = "waits for a person: deploy it again to go on; 98.0% of 200 answers agree"
    await office.hear(DeploymentProgressed, **DEPLOYMENT, phase="shadow")
    await office.hear(DeploymentProgressed, **DEPLOYMENT, phase="held", reason=why)
    await office.hear(DeploymentProgressed, **DEPLOYMENT, phase="slowed", reason="heat")

    (raised,) = office.heard(AlertRaised)
    assert office.heard(AlertResolved) == []
    await office.hear(kind, **DEPLOYMENT, **fields)
    resolved = [one.reason for one in office.heard(AlertResolved) if one.alert_id == raised.alert_id]  # fmt: skip

    assert raised.title == f"the rollout of rain v2 is held: {why}"
    assert raised.suggestion.startswith("What answered before still answers.")
    assert "`mlops deploy rain 2 -p rainfall`" in raised.suggestion
    assert (raised.dedup_key, raised.severity) == ("rainfall.rain.rollout", "warning")
    assert resolved == [reason]


async def test_a_drained_version_ends_nothing_of_the_rollout_of_another(office: Any) -> None:
    old = {"deployment_id": "d-1", "model": "rain", "version": 1}
    await office.hear(DeploymentCompleted, **old, endpoint="/v2/x")
    await office.hear(DeploymentCompleted, **DEPLOYMENT, endpoint="/v2/x")
    new = {"deployment_id": "d-3", "model": "rain", "version": 3}
    await office.hear(DeploymentProgressed, **new, phase="held", reason="waits for a person")
    await office.hear(
        PerformanceDegraded,
        model="rain",
        version=3,
        against_version=2,
        metric="accuracy",
        value=0.6,
        threshold=0.7,
        window=Window(index=1, rows=100, first_at=office.now, last_at=office.now),
    )

    await office.hear(DeploymentRemoved, **old, reason="replaced by version 2")

    assert [one.kind for one in office.heard(AlertRaised)] == ["rollout", "candidate"]
    assert office.heard(AlertResolved) == []


async def test_a_remote_that_cannot_be_used_is_an_alert_until_it_can(office: Any) -> None:
    reason = "s3://data does not answer\nStart it, or name another with `[data] remote`."
    await office.hear(RemoteLost, remote="store", reason=reason, lost_at=office.now)
    await office.hear(RemoteRegained, remote="store")

    (raised,), (resolved,) = office.heard(AlertRaised), office.heard(AlertResolved)
    assert raised.title == "data remote store cannot be used: s3://data does not answer"
    assert "name another with" in raised.suggestion
    # The reason says what is lacking: a remote may answer and not have an object.
    assert "pushed" not in raised.suggestion
    assert (raised.dedup_key, raised.severity) == ("rainfall.-.data-remote", "warning")
    assert resolved.alert_id == raised.alert_id


async def test_a_reference_that_cannot_be_used_is_an_alert_until_the_version_has_another(
    office: Any,
) -> None:
    chosen = {"model": "rain", "version": 2}
    problem = "there is no file 'held_out.csv'"
    await office.hear(ReferenceChosen, **chosen, origin="the next 2 windows", problem=problem)
    await office.hear(ReferenceChosen, **chosen, origin="mended.csv", rows=1000)

    (raised,), (resolved,) = office.heard(AlertRaised), office.heard(AlertResolved)
    assert raised.title == f"rain v2 has not the reference that its project names: {problem}"
    assert "`mlops monitor reference FILE --model rain -p rainfall`" in raised.suggestion
    assert (raised.dedup_key, raised.severity) == ("rainfall.rain.reference", "warning")
    assert (resolved.alert_id, resolved.reason) == (raised.alert_id, "its reference is mended.csv")


async def test_a_workflow_without_a_model_makes_a_key(office: Any) -> None:
    await office.hear(WorkflowFailed, **{**WORKFLOW, "model": None}, diagnosis="broken")

    assert [one.dedup_key for one in office.heard(AlertRaised)] == ["rainfall.-.training"]


async def test_a_machine_that_is_too_hot_is_an_alert_of_all_projects(office: Any) -> None:
    since = office.now
    hot = {"node": "mac-1", "episode_id": "e-1", "reason": "die at 104 °C", "since": since}

    for level in (2, 3, 4):
        await office.hear(ThermalThrottled, **hot, level=level)
    told = await office.look()
    await office.hear(
        ThermalRecovered,
        node="mac-1",
        episode_id="e-1",
        level=0,
        peak_level=4,
        duration_s=60.0,
        since=since,
    )

    first, worse = office.heard(AlertRaised)
    (resolved,) = office.heard(AlertResolved)
    assert told == ["log: raised"]
    assert first.dedup_key == "all-projects.-.heat-mac-1"
    assert first.title == "mac-1 is too hot (critical): die at 104 °C"
    assert (first.severity, worse.severity) == ("warning", "critical")
    assert resolved.alert_id == first.alert_id == worse.alert_id
    assert resolved.reason == "mac-1 has cooled down to nominal"
