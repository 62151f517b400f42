# SPDX-License-Identifier: Apache-2.0
"""What became true of a rollout, as messages: the same mark is always the same message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.serving import (
    DeploymentCompared,
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentProgressed,
    DeploymentRemoved,
    DeploymentReverted,
    DeploymentStarted,
)
from mlops.serving.model.apps import endpoint
from mlops.serving.model.evidence import Comparison
from mlops.serving.model.rollout import HELD, Cause, Mark, Phase, Rollout
from mlops.serving.model.state import Drain, Package, State
from mlops.serving.ports import Deployment

_STAGE = {Phase.STARTING: "packed", Phase.WARM: "warm", Phase.CANARY: "canary"}


def untold(known: Deployment) -> list[tuple[Rollout, int, Message]]:
    """Return every mark that was not told yet, with its rollout and how many are told with it."""
    return [
        (rollout, place + 1, fact(known, rollout, place))
        for rollout in known.state.rollouts
        for place in range(rollout.told, len(rollout.marks))
    ]


def fact(known: Deployment, rollout: Rollout, place: int) -> Message:
    """Return mark number *place* of a rollout as a message."""
    mark = rollout.marks[place]
    kind = _kind(mark)
    message = kind(known, rollout, mark)
    before = sum(1 for one in rollout.marks[:place] if _kind(one) is kind)
    identity = follow_up_id(rollout.deployment_id, message.type, before)
    return _caused(message, mark.cause or rollout.cause, identity)


def removed(known: Deployment, drain: Drain) -> Message:
    """Return that a version no longer runs."""
    message = DeploymentRemoved(
        project=known.project,
        deployment_id=drain.deployment_id,
        model=known.model,
        version=drain.version,
        reason=drain.reason[:500],
    )
    cause = f"{drain.deployment_id}:{drain.cause.id}"
    return _caused(message, drain.cause, follow_up_id(cause, message.type, drain.version))


def _kind(mark: Mark) -> Callable[[Deployment, Rollout, Mark], Message]:
    if mark.comparison is not None:
        return _compared
    if mark.stage == HELD:
        return _progressed
    return _KINDS.get(mark.phase, _progressed)


def _started(known: Deployment, rollout: Rollout, mark: Mark) -> Message:
    return DeploymentStarted(
        **_about(known, rollout),
        endpoint=endpoint(known.model),
        previous_version=rollout.previous_version,
        why=mark.reason[:500],
    )


def _compared(known: Deployment, rollout: Rollout, mark: Mark) -> Message:
    found = mark.comparison or Comparison(rollout.previous_version or rollout.version, mark.at)
    return DeploymentCompared(**_about(known, rollout), **asdict(found))


def _progressed(known: Deployment, rollout: Rollout, mark: Mark) -> Message:
    package = _package(known.state, rollout)
    return DeploymentProgressed(
        **_about(known, rollout),
        phase=mark.stage or _STAGE.get(mark.phase, mark.phase.value),
        bento_tag=package.bento_tag,
        backend=package.backend,
        traffic_ratio=mark.traffic_ratio,
        error_ratio=mark.error_ratio,
        latency_ms=mark.latency_ms,
        reason=mark.reason[:500],
    )


def _completed(known: Deployment, rollout: Rollout, mark: Mark) -> Message:
    package = _package(known.state, rollout)
    return DeploymentCompleted(
        **_about(known, rollout),
        bento_tag=package.bento_tag,
        backend=package.backend,
        endpoint=endpoint(known.model),
        replicas=mark.replicas,
        previous_version=rollout.previous_version,
        metric=rollout.metric,
        metrics=rollout.metrics,
        error_ratio=mark.error_ratio,
        latency_ms=mark.latency_ms,
        duration_s=max(0.0, (mark.at - rollout.began_at).total_seconds()),
    )


def _reverted(known: Deployment, rollout: Rollout, mark: Mark) -> Message:
    return DeploymentReverted(
        **_about(known, rollout),
        to_version=rollout.previous_version,
        reason=mark.reason[:1000],
        error_ratio=mark.error_ratio,
    )


def _failed(known: Deployment, rollout: Rollout, mark: Mark) -> Message:
    return DeploymentFailed(**_about(known, rollout), phase=mark.stage, reason=mark.reason[:4000])


_KINDS = {
    Phase.DESIRED: _started,
    Phase.COMPLETED: _completed,
    Phase.REVERTED: _reverted,
    Phase.FAILED: _failed,
}


def _about(known: Deployment, rollout: Rollout) -> dict[str, Any]:
    return {
        "project": known.project,
        "model": known.model,
        "deployment_id": rollout.deployment_id,
        "version": rollout.version,
    }


def _package(state: State, rollout: Rollout) -> Package:
    return state.package(rollout.version) or Package(rollout.version, "", "")


def _caused(message: Message, cause: Cause, identity: str) -> Message:
    return message.model_copy(
        update={
            "id": identity,
            "correlation_id": cause.story_id,
            "causation_id": cause.id,
            "traceparent": cause.traceparent,
        }
    )
