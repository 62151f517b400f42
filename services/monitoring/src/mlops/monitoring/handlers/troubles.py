# SPDX-License-Identifier: Apache-2.0
"""Troubles: which events mean that something is wrong, in words for people, and which say that it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlops.contracts.monitoring import (
    DriftCleared,
    DriftDetected,
    DriftKind,
    PerformanceDegraded,
    PerformanceRecovered,
    ReferenceChosen,
    Severity,
)
from mlops.contracts.orchestration_bridge import WorkflowCompleted, WorkflowFailed, WorkflowKind
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentProgressed,
    DeploymentRemoved,
    DeploymentReverted,
)
from mlops.contracts.telemetry_agent import LADDER, ThermalRecovered, ThermalThrottled
from mlops.contracts.versioning import RemoteLost, RemoteRegained

CANDIDATE, DEPLOYMENT, PERFORMANCE = "candidate", "deployment", "performance"
LATENCY, REPLICAS, ROLLOUT, REMOTE = "latency", "replicas", "rollout", "data-remote"
REFERENCE = "reference"
_DRIFTS = tuple(
    kind.value
    for kind in (DriftKind.DATA, DriftKind.PREDICTION, DriftKind.LABEL, DriftKind.MISSING)
)
_LONGEST = 300
_FIRST_LINE = 160
_DIAGNOSIS = 700
_LONGEST_KIND = 64
_GOES_ON = ("packed", "warm", "shadow", "canary")
_DRAINS = 3  # on the ladder of heat


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong with a model; `retrains` says that a retraining may help."""

    model: str
    kind: str
    severity: Severity
    title: str
    suggestion: str = ""
    links: tuple[str, ...] = ()
    retrains: bool = False


@dataclass(frozen=True)
class GoodNews:
    """Which kinds of trouble of a model are over, and why."""

    model: str
    kinds: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Meaning:
    """What an event says about troubles."""

    begun: Trouble | None = None
    over: Sequence[GoodNews] = field(default=())


def of_drift(event: DriftDetected) -> Meaning:
    """Return the trouble of a drift; that of a concept is told by the loss that shows it."""
    if event.kind is DriftKind.CONCEPT:
        return Meaning()
    names = [column.name for column in event.columns if column.drifted]
    title = f"{event.model} v{event.version}: {event.kind.value} drift"
    title += f" in {', '.join(names[:5])}" if names else ""
    # Missing values are mended at their source; of the others a new model may be the answer.
    retrains = event.kind is not DriftKind.MISSING
    return Meaning(
        Trouble(
            event.model,
            event.kind.value,
            event.severity,
            _short(title),
            event.suggestion,
            _links(event.report_uri),
            retrains,
        )
    )


def of_drift_cleared(event: DriftCleared) -> Meaning:
    """Return that a drift is over."""
    reason = "the data are back at their reference, or have a new one"
    return _over(event.model, (event.kind.value,), reason)


def of_degraded(event: PerformanceDegraded) -> Meaning:
    """Return the trouble of a model, or of a version that is rolled out beside another."""
    title = (
        f"{event.model} v{event.version}: {event.metric} is {event.value:.3f}, "
        f"worse than {event.threshold:.3f}"
    )
    links = _links(event.report_uri)
    if event.about_speed:
        return Meaning(_slow(event))
    if event.against_version is None:
        title = _short(title)
        severity = Severity.CRITICAL
        return Meaning(
            Trouble(event.model, PERFORMANCE, severity, title, event.suggestion, links, True)
        )
    title = _short(f"{title}, while it is rolled out beside v{event.against_version}")
    severity = Severity.WARNING
    return Meaning(Trouble(event.model, CANDIDATE, severity, title, event.suggestion, links))


def _slow(event: PerformanceDegraded) -> Trouble:
    causes = "; ".join(one.evidence for one in event.suspects[:2])
    title = (
        f"{event.model} v{event.version} is slow: 95 % of answers within {event.value:.3g} ms, "
        f"{event.expected or 0:.3g} ms before{': ' if causes else ''}{causes}"
    )
    severity = Severity.WARNING
    return Trouble(event.model, LATENCY, severity, _short(title), event.suggestion)


def of_recovered(event: PerformanceRecovered) -> Meaning:
    """Return that a model does as promised."""
    reason = f"{event.metric} is {event.value:.3f} again with version {event.version}"
    return _over(event.model, (LATENCY if event.about_speed else PERFORMANCE,), reason)


def of_deployed(event: DeploymentCompleted) -> Meaning:
    """Return that a rollout has ended well."""
    reason = f"the rollout of version {event.version} has ended: completed"
    return _over(event.model, (CANDIDATE, DEPLOYMENT, REPLICAS, ROLLOUT), reason)


def of_progressed(event: DeploymentProgressed) -> Meaning:
    """Return that replicas are lost or back, that the rollout is held where it is or goes on; other phases are no trouble."""
    if event.phase == "recovered":
        reason = f"all replicas of version {event.version} answer again"
        return _over(event.model, (REPLICAS,), reason)
    if event.phase in _GOES_ON:
        reason = f"the rollout of version {event.version} goes on: {event.phase}"
        return _over(event.model, (ROLLOUT,), reason)
    if event.phase == "held":
        return Meaning(_held(event))
    return Meaning(_lost(event)) if event.phase == "lost" else Meaning()


def _lost(event: DeploymentProgressed) -> Trouble:
    title = f"{event.model} v{event.version} has lost replicas: {_first_line(event.reason)}"
    advice = (
        "Serving starts them again by itself; while some are left they answer, slower. `mlops deployments` shows what "
        "runs, `mlops logs serving` and Ray's own page the cause. `mlops model rollback` takes the version before."
    )
    severity = Severity.CRITICAL if event.traffic_ratio else Severity.WARNING
    return Trouble(event.model, REPLICAS, severity, _short(title), advice)


def _held(event: DeploymentProgressed) -> Trouble:
    title = f"the rollout of {event.model} v{event.version} is held: {_first_line(event.reason)}"
    advice = (
        "What answered before still answers. What waits for a person goes on with "
        f"`mlops deploy {event.model} {event.version} -p {event.project}`; what waits for memory, for a cooler machine "
        "or for answers to compare goes on by itself. `mlops deployments` shows where it stands."
    )
    return Trouble(event.model, ROLLOUT, Severity.WARNING, _short(title), advice)


def of_removed(event: DeploymentRemoved, *, answered: bool) -> Meaning:
    """Return that what was wrong with the answers is over, where the version that answered is gone.

    A rollout ends with an event of its own; what was drained may be of another version than the one that waits.
    """
    if not answered:
        return Meaning()
    kinds = (PERFORMANCE, LATENCY, REPLICAS, *_DRIFTS)
    return _over(event.model, kinds, f"version {event.version} no longer answers")


def of_deployment_failed(event: DeploymentFailed) -> Meaning:
    """Return the trouble of a version that could not be brought up; the one before still answers."""
    title = f"{event.model} v{event.version} could not be rolled out: {_first_line(event.reason)}"
    advice = "The version before still answers. `mlops deployments` shows the rollout, `mlops logs serving` its end."
    severity = Severity.CRITICAL
    trouble = Trouble(event.model, DEPLOYMENT, severity, _short(title), advice)
    return Meaning(trouble, _ended(event.model, event.version, "failed"))


def of_deployment_reverted(event: DeploymentReverted) -> Meaning:
    """Return the trouble of a rollout that was taken back."""
    title = f"{event.model} v{event.version} was taken back: {_first_line(event.reason)}"
    now = "the version before" if event.to_version is None else f"version {event.to_version}"
    advice = f"Now {now} answers. `mlops explain {event.deployment_id}` tells what led to it."
    trouble = Trouble(event.model, DEPLOYMENT, Severity.WARNING, _short(title), advice)
    return Meaning(trouble, _ended(event.model, event.version, "reverted"))


def of_workflow_failed(event: WorkflowFailed) -> Meaning:
    """Return the trouble of a training or evaluation that failed for good."""
    at = f" at {event.step}" if event.step else ""
    title = f"{event.kind.value} failed{at}: {_first_line(event.diagnosis)}"
    advice = event.suggestion or event.diagnosis[:_DIAGNOSIS]
    advice += f"\n`mlops explain {event.workflow_key}` tells the whole story."
    trouble = Trouble(event.model or "", _workflow(event), Severity.WARNING, _short(title), advice)
    return Meaning(trouble)


def of_workflow_completed(event: WorkflowCompleted) -> Meaning:
    """Return that workflows of this kind work."""
    reason = f"workflow {event.workflow_key} completed"
    return _over(event.model or "", (_workflow(event),), reason)


def of_heat(event: ThermalThrottled) -> Meaning:
    """Return the trouble of a machine that is so hot that its work is being drained."""
    if event.level < _DRAINS:
        return Meaning()
    title = f"{event.node} is too hot ({LADDER[event.level]}): {event.reason}"
    advice = (
        "Work that can checkpoint moves to cooler machines or waits, and replicas are lowered. Look at the machine's "
        "air and fans; `mlops top` shows it, `mlops workflow list` what waits."
    )
    severity = Severity.CRITICAL if event.level > _DRAINS else Severity.WARNING
    return Meaning(Trouble("", _heat(event), severity, _short(title), advice))


def of_cooled(event: ThermalRecovered) -> Meaning:
    """Return that a machine has cooled down."""
    reason = f"{event.node} has cooled down to {LADDER[event.level]}"
    return _over("", (_heat(event),), reason)


def of_reference(event: ReferenceChosen) -> Meaning:
    """Return the trouble of a version that does not get the reference that its project names."""
    if event.problem is None:
        return _over(event.model, (REFERENCE,), f"its reference is {event.origin}")
    title = f"{event.model} v{event.version} has not the reference that its project names: {_first_line(event.problem)}"
    advice = (
        f"{event.problem}\nMeanwhile its first requests become its reference. Mend the file and say "
        f"`mlops monitor reference FILE --model {event.model} -p {event.project}`, or correct `[monitor] reference`."
    )
    return Meaning(Trouble(event.model, REFERENCE, Severity.WARNING, _short(title), advice))


def of_remote_lost(event: RemoteLost) -> Meaning:
    """Return the trouble of a project whose data remote cannot be used."""
    title = f"data remote {event.remote} cannot be used: {_first_line(event.reason)}"
    advice = f"{event.reason[:_DIAGNOSIS]}\nMeanwhile what is in the cache here can be read and restored."
    return Meaning(Trouble("", REMOTE, Severity.WARNING, _short(title), advice))


def of_remote_regained(event: RemoteRegained) -> Meaning:
    """Return that the remote answers again."""
    return _over("", (REMOTE,), f"remote {event.remote} can be used again")


def _heat(event: ThermalThrottled | ThermalRecovered) -> str:
    return f"heat-{event.node}"[:_LONGEST_KIND]


def _workflow(event: WorkflowFailed | WorkflowCompleted) -> str:
    # Whoever trains, the platform or a person, the same command runs: one that works ends the trouble of another.
    return "evaluation" if event.kind is WorkflowKind.EVALUATE else "training"


def _ended(model: str, version: int, how: str) -> Sequence[GoodNews]:
    return (
        GoodNews(model, (CANDIDATE, ROLLOUT), f"the rollout of version {version} has ended: {how}"),
    )


def _over(model: str, kinds: tuple[str, ...], reason: str) -> Meaning:
    return Meaning(over=(GoodNews(model, kinds, reason),))


def _links(report_uri: str | None) -> tuple[str, ...]:
    return (report_uri,) if report_uri else ()


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:_FIRST_LINE]


def _short(title: str) -> str:
    return title[:_LONGEST]
